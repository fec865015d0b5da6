"""The map of a task: its most anomalous events and those of further files, by what is strange about them; for a page.

Events are those beyond so many standard deviations of the background's score under the first training of a detector
(:mod:`hepad.evaluation.anomaly_map`). Of each cluster it is said where its events come from, which observables differ
from the other events of the map and from background, what its mean jet and its mean residual look like, and what makes
the scores of the events in its middle.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.config.described import Describing, below, mean_share, number, rounded, scored
from hepad.config.results import Results
from hepad.config.scoring import Models, column, models
from hepad.config.subjects import Subject
from hepad.errors import InputError, check_choice
from hepad.evaluation.anomalous import Picked, lots
from hepad.evaluation.anomaly_map import BY, FEWEST, AnomalyMap, anomaly_map, features, lacking
from hepad.evaluation.scored_sample import LOOK, Rows, ScoredSample
from hepad.events import Events, concatenate
from hepad.events.cuts import outside
from hepad.figures.anomaly_map import letters, render
from hepad.figures.colors import of_samples
from hepad.representations import JetImage
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of
from hepad.storage.files import atomic_path, write_rows

SIGMAS, SEEDS = 3.0, 5
MOST = 1500  # events of a map, of each sample as many
MIDDLE = 6  # events of a cluster that are explained
DIFFERENT = 6  # observables that are named of a cluster
IMAGE = JetImage(size=20)


class Sampled(NamedTuple):
    """Some events of a sample that are beyond the threshold.

    looked: how many were looked at; beyond: how many of them are beyond it; plain: whether all weights are the same;
    shares: 'detector/seed' -> the share of the weight that is beyond the threshold of that training
    """

    picked: Picked
    looked: int
    beyond: int
    plain: bool
    shares: dict[str, float]

    @property
    def on_map(self) -> int:
        """How many are on the map."""
        return len(self.picked.events)

    @property
    def share(self) -> float:
        """The share of the events that were looked at that an event of the map stands for."""
        return self.beyond / max(self.on_map, 1) / self.looked


def map_of(
    results: Results, task: str, files: Iterable[str] = (), *, detector: str | None = None, by: str | None = None,
    sigmas: float = SIGMAS, seeds: int = SEEDS, most: int = MOST,
) -> dict:  # fmt: skip
    """What the page of a map shows, as JSON.

    Parameters
    ----------
    results, task: of a finished run
    files: further events, such as data; with files the run's background alone stands beside them, without its signals
    detector: whose most anomalous events; None for the first of the task that ``by`` is possible with
    by: 'residuals', 'latents' or 'inputs'; None for the first of these that is possible
    sigmas: events are beyond so many standard deviations from the mean of the background's score
    seeds: maps that are made to see which clusters stay
    most: events of the map, of each sample as many

    Returns
    -------
    dict
        detectors, samples, variables, events, unexplained of :func:`hepad.config.gallery.gallery`, and of these events
        places: (N, 2); clusters: (N,), -1 for none; summaries: of each cluster (expected: how many events of each
        sample if it were background); agreement: mean and smallest of pairs of maps; purity: of all clustered events;
        largest: share of the largest sample; detector: its number; by, sigmas, threshold, eps_b, seeds; beyond, on_map:
        events of each sample; shares: of each training the share of each sample beyond its
        threshold; files: whether there are any; colors: of samples; warning

    Raises
    ------
    InputError: an unknown task or detector, too few events, or what the detector cannot do; or a bad file
    """
    if not sigmas > 0:
        raise InputError(f"map: sigmas = {sigmas:g} must be greater than 0.")
    if most < FEWEST:
        raise InputError(f"map: {most} events are too few for a map; {FEWEST} are needed.")
    known, of = models(results, task, first=True), Subject(results.plan, {"task": task})
    key, by = _chosen(known, detector, by)
    background = scored(results, task, of.background)
    thresholds = thresholds_beyond(background.beginning(), known.of, sigmas)
    if key not in thresholds:
        raise InputError(f"map: {key} has background events with an infinite score, and so no spread. Take another.")
    labels = of.labels(["samples"])
    rows = {labels[of.background]: _of_sample(background, known)}
    for name in () if files else (name for name in labels if name != of.background):
        rows[labels[name]] = _of_sample(scored(results, task, name), known)
    for path in find_files(list(files)) if files else ():
        name = Path(path).name
        rows[path if name in rows else name] = _of_file(path, known)
    samples = {label: most_beyond(blocks, thresholds, key, most // len(rows)) for label, blocks in rows.items()}
    found = concatenate([one.picked.events for one in samples.values()])
    warning = outside(found.jet, known.window)
    model = known.of[key].set_params(representation=known.representations[known.representation_of[key]])
    made = anomaly_map(model, found, by, seeds)
    return _described(known, key, samples, made, background, of.labels(["detectors"]), by) | {
        "task": task, "by": by, "sigmas": sigmas, "threshold": number(thresholds[key]),
        "eps_b": number(next(iter(samples.values())).shares[key]), "shares": _shares(known, samples),
        "beyond": [of.beyond for of in samples.values()], "on_map": [of.on_map for of in samples.values()],
        "seeds": seeds, "files": bool(files), "warning": warning, "colors": _colors(results, labels, samples),
    }  # fmt: skip


def write(found: dict, path: Path) -> list[Path]:
    """Write the page of what :func:`map_of` has found, and beside it tables of clusters and events; their paths."""
    page, tables = render(found), [path.with_suffix(".csv"), path.with_name(f"{path.stem}_events.csv")]
    with atomic_path(path) as partial:
        partial.write_text(page)
    rows = []
    for place, cluster in enumerate(found["summaries"]):
        shares = {f"events of {name}": n for name, n in zip(found["samples"], cluster["counts"], strict=True)}
        if found["files"]:
            names = zip(found["samples"], cluster["expected"], strict=True)
            shares |= {f"expected of {name}": n for name, n in names if n is not None}
        different = "; ".join(f"{name} {of_background:.3f}" for name, of_background, *_ in cluster["different"])
        rows.append({
            "cluster": letters(place), "events": cluster["events"], **shares, "purity": f"{cluster['purity']:.3f}",
            "differs (share of background below)": different,
        })  # fmt: skip
    write_rows(tables[0], rows[0].keys() if rows else ["cluster"], rows)
    events = [
        {"cluster": letters(cluster) if cluster >= 0 else "", "sample": found["samples"][event["sample"]],
         "event": event["id"], "run:section:event": event["where"], "x": x, "y": y,
         "score": event["scores"][found["detector"]], "p": event["p"][found["detector"]]}
        for event, cluster, (x, y) in zip(found["events"], found["clusters"], found["places"], strict=True)
    ]  # fmt: skip
    write_rows(tables[1], events[0].keys(), events)
    return tables


def _chosen(known: Models, detector: str | None, by: str | None) -> tuple[str, str]:
    """The training, and what the map is made of: the first that is possible."""
    names = {key.split("/")[0]: key for key in known.of}
    wanted = [check_choice("map: detector", detector, names)] if detector else list(names)
    ways = [check_choice("map: by", by, BY)] if by else BY
    possible = [(name, way) for way in ways for name in wanted if not lacking(known.of[names[name]].module, way)]
    if not possible:
        raise InputError(lacking(known.of[names[wanted[0]]].module, ways[0]))
    return names[possible[0][0]], possible[0][1]


def _colors(results: Results, labels: dict[str, str], picked: Iterable[str]) -> list[str]:
    """Of the samples of a map, those of the figures; files come after all samples."""
    names = {label: name for name, label in labels.items()}
    colors = of_samples([*results.config["samples"], *(label for label in picked if label not in names)])
    return [colors[names.get(label, label)] for label in picked]


def thresholds_beyond(blocks: Iterable[Rows], keys: Iterable[str], sigmas: float) -> dict[str, float]:
    """Of each training the threshold; of one with infinite scores, which have no spread, none."""
    found, (weights, scores) = {}, zip(*((events.weight, of) for events, of in blocks), strict=True)
    weights = np.concatenate(weights)
    for key in keys:
        values = np.concatenate([of[key] for of in scores]).astype(float)
        if np.isfinite(values).all():
            mean = np.average(values, weights=weights)
            variance = np.average((values - mean) ** 2, weights=weights)
            found[key] = float(mean + sigmas * np.sqrt(max(variance, 0.0)))
    return found


def _of_sample(sample: ScoredSample, known: Models) -> Iterator[Rows]:
    for events, scores in sample.beginning(LOOK, True):
        yield events, {key: scores[key] for key in known.of}


def _of_file(path: str, known: Models) -> Iterator[Rows]:
    for events in stream_of({"files": [path], "unit_weights": True}, name=path, selection="any", split=(0, 0, 1)):
        missing: dict[str, str] = {}
        columns = known.score(events, missing)
        if missing:
            raise InputError(f"{path}: {next(iter(missing.values()))}")
        yield events, {key: columns[column(key)] for key in known.of}


def most_beyond(blocks: Iterable[Rows], thresholds: dict[str, float], key: str, most: int) -> Sampled:
    """At most so many events beyond the threshold of a training, drawn by weight."""
    rng, looked, count, total, weights = np.random.default_rng(0), 0, 0, 0.0, set()
    sums, held = dict.fromkeys(thresholds, 0.0), None
    for events, scores in blocks:
        far = scores[key] > thresholds[key]
        looked, count, total = looked + len(events), count + int(far.sum()), total + events.weight.sum()
        weights |= set(np.unique(events.weight)[:2])
        sums = {name: sums[name] + events.weight[scores[name] > t].sum() for name, t in thresholds.items()}
        new = events[far], {name: of[far] for name, of in scores.items()}, lots(events.weight[far], rng)
        if held:
            together = {name: np.concatenate([held[1][name], of]) for name, of in new[1].items()}
            new = concatenate([held[0], new[0]]), together, np.concatenate([held[2], new[2]])
        kept = np.sort(np.argsort(-new[2], kind="stable")[:most])
        held = new[0][kept], {name: of[kept] for name, of in new[1].items()}, new[2][kept]
    if held is None:
        raise InputError("map: a sample has no test events. Check its split.")
    shares = {name: float(of / total) for name, of in sums.items()}
    return Sampled(Picked(held[0], held[1], {}, np.zeros(0, int)), looked, count, len(weights) == 1, shares)


def _shares(known: Models, samples: dict[str, Sampled]) -> list[list[float] | None]:
    """Of each training the share of each sample beyond its threshold; None if it has none."""
    everywhere = [of.shares for of in samples.values()]
    return [[number(of[key]) for of in everywhere] if key in everywhere[0] else None for key in known.of]


def _described(
    known: Models, key: str, samples: dict[str, Sampled], made: AnomalyMap, background: ScoredSample,
    labels: dict[str, str], by: str,
) -> dict:  # fmt: skip
    describing = Describing(background, known, labels, [one.picked.events for one in samples.values()])
    of = np.repeat(np.arange(len(samples)), [one.on_map for one in samples.values()])
    middles = [_middle(made, cluster) for cluster in range(made.clusters.max(initial=-1) + 1)]
    explained, events = np.concatenate([*middles, np.zeros(0, int)]), []
    for place, one in enumerate(samples.values()):
        inside = explained[of[explained] == place] - len(events)
        events += describing.events(place, one.picked._replace(top={key: inside}))
    together = concatenate([one.picked.events for one in samples.values()])
    values, images = describing.values(together), _images(known, key, together, by)
    summaries = []
    for cluster, middle in enumerate(middles):
        inside = made.clusters == cluster
        counts = np.bincount(of[inside], minlength=len(samples))
        summaries.append({
            "events": int(inside.sum()), "counts": counts.tolist(), "expected": _expected(counts, samples),
            "purity": float(counts.max() / counts.sum()), "again": number(made.again(cluster)),
            "different": _different(describing, values, inside), "middle": middle.tolist(),
            "images": {what: rounded(of_events[inside].mean(axis=0)) for what, of_events in images.items()},
        })  # fmt: skip
    order = sorted(range(len(summaries)), key=lambda cluster: -_excess(summaries[cluster]))
    places = np.append(np.argsort(order), -1)  # of -1 the last
    clustered = max(int((made.clusters >= 0).sum()), 1)
    return {
        "detectors": describing.detectors, "samples": list(samples), "variables": describing.variables,
        "events": events, "places": rounded(made.places), "clusters": places.astype(int)[made.clusters].tolist(),
        "summaries": [summaries[cluster] for cluster in order], "agreement": [number(x) for x in made.agreement],
        "purity": sum(cluster["purity"] * cluster["events"] for cluster in summaries) / clustered,
        "largest": np.bincount(of).max() / len(of), "detector": list(known.of).index(key),
        "unexplained": describing.unexplained,
    }  # fmt: skip


def _expected(counts: np.ndarray, samples: dict[str, Sampled]) -> list[float | None]:
    """Of each file how many events of a cluster there would be if it were background, the first sample; None: of
    simulated signals, and where weights differ."""
    first, *others = samples.values()
    ratios = [first.share / one.share if first.plain and one.beyond else None for one in others]
    return [None, *(None if ratio is None else number(counts[0] * ratio) for ratio in ratios)]


def _excess(summary: dict) -> float:
    """By how many standard deviations there are more events than expected, as far as that is known."""
    both = zip(summary["counts"], summary["expected"], strict=True)
    return max(((n - e) / np.sqrt(n + e + 1) for n, e in both if e is not None), default=0.0)


def _middle(made: AnomalyMap, cluster: int) -> np.ndarray:
    """Places of the events that are nearest to the median of their cluster, rising distance."""
    inside = np.flatnonzero(made.clusters == cluster)
    away = np.linalg.norm(made.places[inside] - np.median(made.places[inside], axis=0), axis=1)
    return inside[np.argsort(away, kind="stable")[:MIDDLE]]


def _different(describing: Describing, values: np.ndarray, inside: np.ndarray) -> list[list]:
    """Observables that differ most from the other events of the map, or, if there are none, from background.

    Of each its label, the mean share of background, and of the others, that has less, ties count half, and its median.
    """
    of_background = mean_share(describing.background, values[inside])
    of_others = of_background
    if (~inside).any():
        of_others = mean_share(below(np.ones((~inside).sum()), values[~inside]), values[inside])
    order = np.argsort(-np.abs(of_others - 0.5), kind="stable")[:DIFFERENT]
    median = np.median(values[inside], axis=0)
    return [[describing.variables[k], *map(number, (of_background[k], of_others[k], median[k]))] for k in order]


def _images(known: Models, key: str, events: Events, by: str) -> dict[str, np.ndarray]:
    """(N, pixels) of the jets, and, if the map is of residuals of images, of these."""
    found = {}
    if (events.constituents[..., 0] > 0).any():
        found["jet"] = IMAGE(events).flatten(1).numpy()
    module = known.of[key].module
    if by == "residuals" and module.inner.pixels:
        x = known.representations[known.representation_of[key]](events)
        found["residual"] = features(module, x, by)[:, : module.inner.pixels].numpy()
    return found
