"""The gallery of a task: its most anomalous events, sample by sample, and what makes them so; for a page.

Of every sample the events with the largest scores under the first training of each detector are there, and as many that
are drawn at random of those looked at, so that one sees what is strange about the others. Each comes with its
constituents and objects, its observables with the share of background that has less, and its p-value under all
detectors (:mod:`hepad.evaluation.p_values`). Scores are those of the run.
"""

from pathlib import Path

import numpy as np

from hepad.config.results import Results
from hepad.config.scoring import Models, column, models
from hepad.config.subjects import Subject
from hepad.errors import InputError
from hepad.evaluation.anomalous import Picked, most_anomalous
from hepad.evaluation.explanation import Explanation, explain
from hepad.evaluation.p_values import of_scores
from hepad.evaluation.scored_sample import LOOK, ScoredSample
from hepad.events import Events, concatenate, of_kind
from hepad.events.cuts import outside
from hepad.events.kinematics import delta_phi
from hepad.events.observables import available
from hepad.figures.gallery import render
from hepad.representations import EventVector
from hepad.representations.event_vector import KNOWN, VARIABLES
from hepad.samples.sources import stream_of
from hepad.storage.files import atomic_path

BACKGROUND, COMPARED = 4000, 300  # background events that observables, and single events, are compared with
SUBSTRUCTURE = ("mass", "soft_drop_mass", "tau21", "tau32", "c2", "d2", "girth", "pt_dispersion", "leading_fraction")
OBJECTS = ("jets", "electrons", "muons", "photons", "taus")
NUMBERS = ("run", "luminosity_block", "event")
REASONS = 6  # variables that are named of an event
RADIUS = 0.1  # of the constituents that are left out together
DIGITS = 4


def write(found: dict, path: Path) -> None:
    """Write the page of what :func:`gallery` or :func:`events_of` has found, one HTML file that needs nothing else."""
    page = render(found)
    with atomic_path(path) as partial:
        partial.write_text(page)


def gallery(results: Results, task: str) -> dict:
    """What the page of a task shows, as JSON.

    Returns
    -------
    task; detectors, samples, variables: labels, in the order of what follows
    events: of each the number of the sample, its identifier as text, 'where' (run, section and event of data), jet
        (pt, eta, phi, mass), constituents (pt, and eta and phi relative to the jet), objects and missing momentum,
        values of the variables and the share of background below them, scores and p-values of the detectors, and
        'why': by detector, if it is one of the most anomalous under it
    top: of each sample and detector the places of events, falling; random: of each sample
    unexplained: label of the detector -> why not; chosen: whether someone has named the events; warning: of them

    Raises
    ------
    InputError: an unknown task, or a file of the run is missing or damaged
    """
    known, rng, picked = models(results, task, first=True), np.random.default_rng(0), {}
    labels = Subject(results.plan, {"task": task}).labels(["samples"])
    for name, label in labels.items():
        picked[label] = most_anomalous(_scored(results, task, name).beginning(LOOK, True), known.of, rng)
    return _described(results, task, known, picked)


def events_of(results: Results, task: str, files: list[str], wanted: list[str]) -> dict:
    """The same of some events of files, under the detectors of a task.

    wanted: their identifiers, or 'run:section:event' of each

    Raises
    ------
    InputError: an event is not there, or as of :func:`gallery`, or the files are bad
    """
    known, parts = models(results, task, first=True), []
    if not all(wanted):
        raise InputError("show: an event without a name. Give identifiers, or run:section:event.")
    for events in stream_of({"files": files}, name="files", selection="any", split=(0, 0, 1), part=True):
        inside = [bool({text, where} & {*wanted}) for text, where in zip(*_identified(events), strict=True)]
        parts.append(events[np.array(inside, bool)])
    found = concatenate(parts)
    names = _identified(found)
    for one in wanted:
        if not any(one in of for of in names):
            raise InputError(f"{', '.join(files)}: there is no event {one}. Give its identifier, or run:section:event.")
    lacking: dict[str, str] = {}
    columns, warning = known.score(found, lacking), outside(found.jet, known.window)
    if lacking:
        raise InputError(f"{', '.join(files)}: {next(iter(lacking.values()))}")
    scores = {key: columns[column(key)] for key in known.of}
    top = {key: np.argsort(-of, kind="stable") for key, of in scores.items()}
    picked = Picked(found, scores, top, np.zeros(0, int))
    shown = _described(results, task, known, {", ".join(Path(file).name for file in files): picked})
    return shown | {"chosen": True, "warning": f"{warning}." if warning else ""}


def _described(results: Results, task: str, known: Models, picked: dict[str, Picked]) -> dict:
    of = Subject(results.plan, {"task": task})
    labels = of.labels(["detectors"])
    background = concatenate(
        [events for events, _ in _scored(results, task, of.background).beginning(BACKGROUND, True)]
    )  # fmt: skip
    vector = _vector(background, [found.events for found in picked.values()])
    below, compared = _below(background, vector), _some(background)
    events, top, random, unexplained = [], [], [], {}
    for number, found in enumerate(picked.values()):
        why = _explained(known, found, compared, unexplained)
        top.append([(len(events) + found.top[key]).tolist() for key in known.of])
        random.append((len(events) + found.random).tolist())
        events += _events(number, found, known, vector, below, why)
    return {
        "task": task, "detectors": [labels[key.split("/")[0]] for key in known.of], "samples": list(picked),
        "variables": [KNOWN[name].label for name in vector.variables], "events": events, "top": top, "random": random,
        "chosen": False, "warning": "",
        "unexplained": {labels[key.split("/")[0]]: text for key, text in unexplained.items()},
    }  # fmt: skip


def _scored(results: Results, task: str, name: str) -> ScoredSample:
    return ScoredSample(name, results.there(f"scores/{task}/{name}.h5"), results.there(f"events/{name}.h5"))


def _vector(background: Events, others: list[Events]) -> EventVector:
    """What is measured of all events."""
    inside = SUBSTRUCTURE if all((of.constituents[..., 0] > 0).any() for of in (background, *others)) else ()
    there = set.intersection(*(set(available(of)) for of in (background, *others)))
    return EventVector([*(name for name in VARIABLES if name in there), *inside])


def _some(background: Events) -> Events:
    """Background events that others are compared with, drawn by their weights."""
    weight = np.maximum(background.weight, 0)
    rows = np.random.default_rng(0).choice(len(background), min(COMPARED, len(background)), p=weight / weight.sum())
    return background[np.sort(rows)]


def _measured(events: Events, vector: EventVector) -> np.ndarray:
    """(N, D); a ratio to nothing, as to a jet that is not there, is infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return vector(events).numpy()


def _below(background: Events, vector: EventVector) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each variable its values in background, rising, and the share of the weight before each, and of all."""
    found = []
    for values in _measured(background, vector).T:
        order = np.argsort(values, kind="stable")
        share = np.append(0, np.cumsum(background.weight[order])) / background.weight.sum()
        found.append((values[order], share))
    return found


def _explained(known: Models, found: Picked, background: Events, unexplained: dict[str, str]) -> dict[str, dict]:
    """Of each detector what 'why' says of its most anomalous events, by their places."""
    why = {}
    for key, model in known.of.items():
        representation, places = known.representations[known.representation_of[key]], found.top[key]
        events = found.events[places]
        inside = representation.needs_constituents and (events.constituents[..., 0] > 0).any()
        detector, parts = model.set_params(representation=representation), None
        try:
            whole = explain(detector, events, background)
            if inside:
                parts = explain(detector, events, method="constituents", radius=RADIUS).attribution
        except InputError as error:
            unexplained.setdefault(key, str(error))
            continue
        there = (events.constituents[..., 0] > 0).sum(axis=1)
        why[key] = {int(place): _reasons(whole, parts, i, int(there[i])) for i, place in enumerate(places)}
    return why


def _reasons(whole: Explanation, parts: np.ndarray | None, i: int, there: int) -> dict:
    """What is said of one event: the largest attributions of variables, those of pixels and of constituents."""
    variables = {name: float(values[i]) for name, values in whole.variables.items()}
    largest = sorted(variables, key=lambda name: -abs(variables[name]))[:REASONS]
    return {
        "reference": _number(whole.reference[i]),
        "variables": [[KNOWN[name].label if name in KNOWN else name, _number(variables[name])] for name in largest],
        "pixels": _rounded(whole.pixels[i]),
        "constituents": None if parts is None else _rounded(parts[i, :there]),
    }  # fmt: skip


def _events(sample: int, found: Picked, known: Models, vector: EventVector, below: list, why: dict) -> list[dict]:
    events, values = found.events, _measured(found.events, vector)
    share = np.stack([of[np.searchsorted(x, v)] for (x, of), v in zip(below, values.T, strict=True)], axis=1)
    p = {key: of_scores(known.backgrounds[key], scores) for key, scores in found.scores.items()}
    names, wheres = _identified(events)
    return [
        {
            "sample": sample, "id": names[i], "where": wheres[i], "jet": _rounded(events.jet[i]),
            "constituents": _rounded(_inside(events.constituents[i], events.jet[i])), "met": _rounded(events.met[i]),
            "objects": {name: _rounded(_there(getattr(events, name)[i])) for name in OBJECTS},
            "values": _rounded(values[i]), "below": _rounded(share[i]),
            "scores": [_number(scores[i]) for scores in found.scores.values()],
            "p": [_number(of[i]) for of in p.values()],
            "why": {str(n): why[key][i] for n, key in enumerate(known.of) if i in why.get(key, {})},
        }
        for i in range(len(events))
    ]  # fmt: skip


def _identified(events: Events) -> tuple[list[str], list[str]]:
    """Identifiers of events as text, and run:section:event, '' where they have none."""
    numbers = [of_kind(events.facts.get(name), np.int64, len(events)) for name in NUMBERS]
    wheres = [":".join(map(str, of)) if min(of) >= 0 else "" for of in np.stack(numbers, axis=1).tolist()]
    return [str(number) for number in events.event_id], wheres


def _there(objects: np.ndarray) -> np.ndarray:
    return objects[objects[:, 0] > 0][:, :3]


def _inside(constituents: np.ndarray, jet: np.ndarray) -> np.ndarray:
    pt, eta, phi = _there(constituents).T
    return np.stack([pt, eta - jet[1], delta_phi(phi, jet[2])], axis=1)


def _rounded(values: np.ndarray) -> list:
    return [_rounded(row) for row in values] if np.ndim(values) > 1 else [_number(x) for x in values]


def _number(x: float) -> float | str | None:
    """As it is shown; JSON has neither infinity, which is text here, nor what is no number, None."""
    if np.isinf(x):
        return "∞" if x > 0 else "−∞"
    return float(f"{x:.{DIGITS}g}") if np.isfinite(x) else None
