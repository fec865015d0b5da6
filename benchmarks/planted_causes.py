"""How often an explanation names the cause: prongs and missing momentum planted in background jets.

    snakemake --cores all
    python benchmarks/planted_causes.py --results results

In test jets of the background of a task is planted

    prong    10 to 20 % of the jet's pT at 0.4 to 0.6 of its axis, as one hard constituent (`particles` 1) or as three;
             the rest is scaled so that the jet keeps the sum of its constituents' pT
    met      50, 100 or 200 GeV more missing momentum (`gev`), in its direction

and `planted_causes.csv` has for each detector and method of `hepad.explain` the share of the events in which the
largest attribution is right: a constituent of the prong; a pixel at most two pixels beside the prong (of 20 a side: 6 %
of the image); the variable 'met'. `raised` counts the events whose score the cause raises, `passed` those that pass a
threshold at eps_B = 10 % with it and would not without. An empty share: the gradients are not complete for some event.
The background that the methods compare with, and that gives the threshold, are other test events.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from workflow_tables import TABLES

import hepad
from hepad.config.results import Results
from hepad.errors import InputError, report_errors
from hepad.events import Events
from hepad.events.kinematics import sum_four_vectors
from hepad.representations import JetImage
from hepad.representations.jet_image import aligned
from hepad.storage.files import write_rows

DETECTORS = "ae_image,nae_image,mpdr_r_image,pca,gmm_all,knn,ae_vector,nae_vector,mpdr_r_vector,gmm_vector,vae_vector"
EPS_B, REACH = 0.1, 2
COLUMNS = ["detector", "planted", "size", "method", "raised", "found_raised", "passed", "found_passed"]
INSIDE = {"constituents": {"method": "constituents"}}
INSIDE |= {"constituents, R = 0.1": {"method": "constituents", "radius": 0.1}}
BY_ENTRY = {name: {"method": name} for name in ("shapley", "occlusion", "gradients", "terms")}
# what is not tried: scores that are no sums, and gradients that change thousands of times along a line
REFUSED = {"Mixture": ("terms",), "ConvVAE": ("terms",), "NearestNeighbours": ("terms", "gradients")}


def with_prong(events: Events, rng: np.random.Generator, particles: int = 1) -> tuple[Events, np.ndarray]:
    """Events with a prong in their jet, and which of the constituents (N, P) it is."""
    n = len(events)
    share, distance, angle = (rng.uniform(low, high, n) for low, high in ((0.1, 0.2), (0.4, 0.6), (0, 2 * np.pi)))
    total = events.constituents[..., 0].sum(1)
    prong = np.zeros((n, particles, 4))
    prong[..., 0] = (share * total / particles)[:, None]
    prong[..., 1] = (events.jet[:, 1] + distance * np.cos(angle))[:, None]
    prong[..., 2] = (events.jet[:, 2] + distance * np.sin(angle))[:, None]
    if particles > 1:
        prong[..., 1:3] += rng.normal(0, 0.02, (n, particles, 2))
    prong[..., 2] = (prong[..., 2] + np.pi) % (2 * np.pi) - np.pi
    prong[..., 3] = 0.1396
    rest = events.constituents * np.stack([1 - share, *np.ones((3, n))], 1)[:, None]
    both = np.concatenate([rest, prong], 1)
    planted = np.arange(both.shape[1]) >= rest.shape[1]
    order = np.argsort(-both[..., 0], axis=1, kind="stable")
    both = np.take_along_axis(both, order[..., None], 1).astype(np.float32)
    jet = sum_four_vectors(both).astype(np.float32)
    jets = np.where((events.jets == events.jet[:, None]).all(-1, keepdims=True), jet[:, None], events.jets)
    return replace(events, constituents=both, jet=jet, jets=jets), planted[order]


def with_met(events: Events, gev: float) -> Events:
    """Events with so much more missing momentum."""
    return replace(events, met=events.met + np.array([gev, 0], np.float32))


def at_prong(events: Events, planted: np.ndarray, pixels: np.ndarray, image: JetImage) -> np.ndarray:
    """(N,) whether the largest of the pixels (N, size^2) is at most ``REACH`` pixels from the planted constituents."""
    jet, _, x, y = aligned(events.constituents)
    mine = planted[events.constituents[..., 0] > 0]
    column, row = (
        np.floor((value[mine] / half + 1) * image.size / 2)
        for value, half in ((x, image.eta_range), (y, image.phi_range))
    )
    top_row, top_column = np.divmod(pixels.argmax(1)[jet[mine]], image.size)
    near = np.maximum(np.abs(row - top_row), np.abs(column - top_column)) <= REACH
    return np.bincount(jet[mine], near, len(events)) > 0


def found(explanation, events: Events, planted: np.ndarray | None, image: JetImage | None) -> np.ndarray:
    """(N,) whether the largest attribution is that of the cause: of 'met' if nothing is ``planted`` in the jet."""
    if planted is None:
        return explanation.variables["met"] >= np.max(list(explanation.variables.values()), 0)
    if explanation.method == "constituents":
        return planted[np.arange(len(events)), np.nanargmax(explanation.attribution, 1)]
    return at_prong(events, planted, explanation.pixels, image)


def rows_of(name: str, detector, events: Events, background: Events) -> Iterator[dict]:
    """The rows of one detector."""
    representation = detector.get_params()["representation"]
    parts = getattr(representation, "parts", (representation,))
    image = next((part for part in parts if isinstance(part, JetImage)), None)
    has_met = "met" in representation.space.columns
    detector.window = None  # a prong may move a jet out of it
    threshold, before = np.quantile(detector.score(background), 1 - EPS_B), detector.score(events)
    causes = [("prong", particles, *with_prong(events, np.random.default_rng(1), particles)) for particles in (1, 3)]
    causes += [("met", gev, with_met(events, gev), None) for gev in (50, 100, 200) if has_met]
    for cause, size, changed, planted in causes:
        after = detector.score(changed)
        of = {"raised": after > before, "passed": (after > threshold) & (before <= threshold)}
        counts = {key: int(events.sum()) for key, events in of.items()}
        for way in [*(INSIDE if cause == "prong" else ()), *(BY_ENTRY if cause == "met" or image else ())]:
            if way in REFUSED.get(type(detector).__name__, ()) or (way == "shapley" and image):
                continue
            row = {"detector": name, "planted": cause, "size": size, "method": way, **counts}
            try:
                explanation = hepad.explain(detector, changed, background, **(INSIDE | BY_ENTRY)[way])
            except InputError as error:
                print(error)
            else:
                right = found(explanation, changed, planted, image)
                row |= {f"found_{key}": float(right[of[key]].mean()) for key in of if counts[key]}
            yield row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the workflow with config/config.yaml")
    parser.add_argument("--task", default="qcd", help="whose background the causes are planted in")
    parser.add_argument("--detectors", default=DETECTORS, help="their names, with commas")
    parser.add_argument("--events", type=int, default=100, help="in which each cause is planted")
    parser.add_argument("--background", type=int, default=2000, help="other events to compare with")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the table")
    args = parser.parse_args(argv)
    results = Results(args.results)
    test = results.events(results.config["tasks"][args.task]["background"])
    events, background = test[: args.events], test[args.events : args.events + args.background]
    rows = []
    for name in args.detectors.split(","):
        for row in rows_of(name, results.model(args.task, name), events, background):
            rows.append(row)
            print(*(round(value, 3) if isinstance(value, float) else value for value in row.values()), flush=True)
        write_rows(args.tables / "planted_causes.csv", COLUMNS, rows)


if __name__ == "__main__":
    with report_errors():
        main()
