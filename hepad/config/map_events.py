"""Which events a map shows: of samples of a run and of files those beyond so many standard deviations of background.

A threshold is the mean of the background's score and so many of its standard deviations, over at most ``LOOK`` of its
test events; of more events beyond it than there is room for some are drawn by their weights.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from hepad.config.described import scored, shown_as
from hepad.config.results import Results
from hepad.config.scoring import Models, column
from hepad.config.subjects import Subject
from hepad.errors import InputError
from hepad.evaluation.anomalous import Picked, lots
from hepad.evaluation.scored_sample import LOOK, Rows, ScoredSample
from hepad.events import concatenate
from hepad.events.cuts import outside
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of

SEPARATE = 6  # more files are one sample


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


def rows_of(
    results: Results, task: str, of: Subject, known: Models, key: str, files: Iterable[str], options: dict
) -> tuple[dict[str, Iterable[Rows]], list[str]]:
    """The samples by their labels, background first, and what has to be said of them once they are read.

    options: of the readers of the files
    """
    labels, said = of.labels(["samples"]), []
    rows = {labels[of.background]: _of_sample(scored(results, task, of.background), known)}
    if not files:
        others = (name for name in labels if name != of.background)
        return rows | {labels[name]: _of_sample(scored(results, task, name), known) for name in others}, said
    paths = find_files(list(files))
    if len(paths) > SEPARATE:
        return rows | {f"{len(paths)} files": _of_files(paths, options, known, key, said)}, said
    for path in paths:
        label = shown_as(path, paths)
        rows[path if label in rows else label] = _of_files([path], options, known, key, said)
    return rows, said


def _of_files(paths: list[str], options: dict, known: Models, key: str, said: list[str]) -> Iterator[Rows]:
    """Scores of files; NaN of a detector that lacks something in them."""
    for path in paths:
        jets, source = [], {"files": [path], "unit_weights": True, **options}
        for events in stream_of(source, name=path, selection="any", split=(0, 0, 1)):
            missing: dict[str, str] = {}
            columns = known.score(events, missing)
            if why := missing.get(known.representation_of[key]):
                raise InputError(f"{path}: {why}")
            jets.append(events.jet)
            yield events, {name: columns[column(name)] for name in known.of}
        if jets and (warning := outside(np.concatenate(jets), known.window)):
            said.append(f"{path}: {warning}.")


def quotas_of(count: int, files: bool, most: int) -> list[int]:
    """Events of the map of each of so many samples; of the background, which is first, half if there are files."""
    if not files:
        return [most // count] * count
    return [most // 2, *[most // 2 // (count - 1)] * (count - 1)]


def most_beyond(blocks: Iterable[Rows], thresholds: dict[str, float], key: str, most: int) -> Sampled:
    """At most so many events beyond the threshold of a training, drawn by weight; only those that have a weight."""
    rng, looked, count, total, weights = np.random.default_rng(0), 0, 0, 0.0, set()
    sums, held = dict.fromkeys(thresholds, 0.0), None
    for events, scores in blocks:
        far = (scores[key] > thresholds[key]) & np.isfinite(scores[key]) & (events.weight > 0)
        looked, count, total = looked + len(events), count + int(far.sum()), total + events.weight.sum()
        weights |= set(np.unique(events.weight)[:2])
        for name, threshold in thresholds.items():
            beyond = np.where(np.isnan(scores[name]), np.nan, scores[name] > threshold)
            sums[name] += float((events.weight * beyond).sum())
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
