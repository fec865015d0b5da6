"""``hepad monitor``: the rate of a finished run's detector, luminosity section by section, in files of data."""

from typing import NamedTuple

import numpy as np

from hepad.config import monitored
from hepad.config.results import Results
from hepad.config.scoring import models
from hepad.errors import InputError, check_choice
from hepad.evaluation.drift import ENOUGH, Drift, delay_of, distances, follow
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.strata import Strata, Weighted, strata
from hepad.evaluation.streaming import distribution
from hepad.events import FOUR_VECTOR

COMPARED = ("score", *(f"jet_{x}" for x in FOUR_VECTOR))
SMALLER = (1.1, 1.05)  # changes of which it is told when they would be found


class Monitored(NamedTuple):
    """What was found.

    Attributes
    ----------
    key: 'detector/seed'; eps_b: of the threshold; threshold: frozen; reference: the distribution of its scores
    pileup: 'pileup' or 'n_pv', at which sections are compared with the reference; '' if it is not known of all events
    strata: of the reference, one if nothing is known
    average: of the pile-up in the reference and in the data, NaN if it is not known
    sections: (S, 2) run and luminosity block, in the order of time; events, passed: (S,) of each
    beyond: events left out, of a pile-up that the reference does not have
    drift: of :mod:`hepad.evaluation.drift`
    changed: of each compared quantity (largest difference of the distributions, p-value, mean of the reference, mean
        of the data), of the events since the change, or of all, and of the reference with their pile-up; {} of fewer
        than 100
    restored: the threshold that passes ``eps_b`` of the events since the change; None without an alarm, or if they are
        too few
    smaller: change by a factor that was not asked for, and is smaller -> sections until an alarm that looks for it
    outside: (S,) events of each section without a jet in the window of the training, which are left out
    factor, false_alarms: as they were asked for
    """

    key: str
    eps_b: float
    threshold: float
    reference: ScoreDistribution
    pileup: str
    strata: Strata
    average: tuple[float, float]
    sections: np.ndarray
    events: np.ndarray
    passed: np.ndarray
    beyond: int
    drift: Drift
    changed: dict[str, tuple[float, float, float, float]]
    restored: float | None
    smaller: dict[float, float]
    outside: np.ndarray
    factor: float
    false_alarms: float


def monitor(
    results: Results, task: str, files: list[str], *, detector: str | None = None, eps_b: float = 1e-2,
    reference: list[str] | None = None, factor: float = 1.3, false_alarms: float = 0.01,
) -> Monitored:  # fmt: skip
    """Follow a detector's rate through files with run and luminosity section.

    Parameters
    ----------
    task, detector: of the run; the detector's first training; by default the task's first detector
    files: paths, patterns or addresses of the data
    eps_b: share of the reference events, by their weights, that pass the threshold
    reference: files that the threshold is frozen on; by default the test events of the run's background
    factor, false_alarms: as for :func:`hepad.evaluation.drift.follow`

    Raises
    ------
    InputError: an unknown task or detector; data without run and luminosity section, or with weights, or without what
        the detector needs; a reference that does not fix the threshold
    """
    check_choice("task", task, results.tasks)
    chosen = detector or results.config["tasks"][task]["detectors"][0]
    known = models(results, task, [chosen], first=True)
    (key,) = known.of
    if reference:
        before = monitored.scored(monitored.together(reference, monitored.of_files(reference, known, key), known))
    else:
        before = monitored.of_run(results, task, key)
    counted, threshold = _frozen(before, eps_b)
    everything = monitored.of_data(files, known, key)
    after = monitored.scored(everything)
    pileup = monitored.pileup_of(before, after)
    at = [columns[pileup] if pileup else np.zeros(len(columns["score"])) for columns in (before, after)]
    divided = strata(Weighted(before["score"], before["weight"], before["cluster"], at[0]), threshold)
    average = (np.average(at[0], weights=before["weight"]), at[1].mean()) if pileup else (np.nan, np.nan)
    places = [divided.place(values) for values in at]
    before, after, places, beyond = *_within(before, after, places), int((places[1] < 0).sum())
    if not len(after["score"]):
        raise InputError(
            f"monitor: all events have a pile-up beyond {divided.edges[0]:.4g} to {divided.edges[-1]:.4g}, that of the "
            "reference. Give one with the pile-up of the data, with --reference."
        )
    sections, section = np.unique(np.stack([after[x] for x in monitored.IN_TIME], 1), axis=0, return_inverse=True)
    section, shape = section.ravel(), (len(sections), len(divided.weight))
    cell, passes = section * shape[1] + places[1], after["score"] > threshold
    events, passed = (np.bincount(x, minlength=np.prod(shape)).reshape(shape) for x in (cell, cell[passes]))
    drift = follow(passed, events, divided.reference, factor=factor, false_alarms=false_alarms)
    since = section >= (drift.began or 0)
    recent, share = {x: after[x][since] for x in COMPARED}, np.bincount(places[1][since], minlength=shape[1])
    changed = _changed(before, before["weight"] * (share / divided.weight)[places[0]], recent)
    restored = None if drift.alarm is None else _restored(recent["score"], eps_b)
    smaller = {x: delay_of(events, divided.reference, x, false_alarms) for x in SMALLER if x < factor}
    return Monitored(
        key, eps_b, threshold, counted, pileup, divided, average, sections, events.sum(1), passed.sum(1), beyond, drift,
        changed, restored, smaller, _outside(everything, sections), factor, false_alarms,
    )  # fmt: skip


def _frozen(before: dict, eps_b: float) -> tuple[ScoreDistribution, float]:
    """The distribution of the reference's scores, and the threshold that ``eps_b`` of it passes.

    InputError if too few pass: of few events with weights it is not known how often a steady rate rings.
    """
    counted = distribution("reference", before["score"], before["weight"], before["cluster"])
    threshold = float(counted.at_most(eps_b))
    needed, weighted = (MIN_COUNT, "") if counted.plain else (ENOUGH, "with weights ")
    if not counted.resolved(threshold) or counted.independent(threshold) < needed:
        raise InputError(
            f"monitor: {counted.count(threshold)} of {counted.whole.n} reference events pass ε_B = {eps_b:g}, "
            f"and count for {counted.independent(threshold):.3g} independent ones; to follow a rate {weighted}{needed} "
            "are needed. Ask for a larger --eps-b, or give more with --reference."
        )
    return counted, threshold


def _restored(scores: np.ndarray, eps_b: float) -> float | None:
    """The threshold that ``eps_b`` of the events pass; None if they are too few."""
    recent = distribution("data", scores)
    threshold = float(recent.at_most(eps_b))
    return threshold if recent.resolved(threshold) else None


def _outside(everything: monitored.Columns, sections: np.ndarray) -> np.ndarray:
    """(S,) events of each section without a jet in the window of the training."""
    rest = np.stack([everything[x][np.isnan(everything["score"])] for x in monitored.IN_TIME], 1)
    numbers, count = np.unique(rest, axis=0, return_counts=True)
    counted = dict(zip(map(tuple, numbers.tolist()), count.tolist(), strict=True))
    return np.array([counted.get(tuple(section), 0) for section in sections.tolist()], int)


def _within(before: dict, after: dict, places: list[np.ndarray]) -> tuple[dict, dict, list[np.ndarray]]:
    """Reference and data, and their strata, without the events that lie in none."""
    inside = [place >= 0 for place in places]
    kept = [{x: v[rows] for x, v in columns.items()} for columns, rows in zip((before, after), inside, strict=True)]
    return *kept, [place[rows] for place, rows in zip(places, inside, strict=True)]


def _changed(before: dict, weights: np.ndarray, recent: dict) -> dict[str, tuple[float, float, float, float]]:
    """:func:`hepad.evaluation.drift.distances` of ``COMPARED``, and both means; {} of too few events."""
    try:
        found = distances({x: before[x] for x in COMPARED}, recent, weights, before["cluster"])
    except InputError:
        return {}
    return {x: (*of, float(np.average(before[x], weights=weights)), float(recent[x].mean())) for x, of in found.items()}
