"""``hepad monitor``: the rate of a finished run's detector, luminosity section by section, in files of data."""

import base64
import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.config import monitored
from hepad.config.results import Results
from hepad.config.scoring import models
from hepad.errors import InputError, check_choice
from hepad.evaluation.drift import ENOUGH, Drift, distances, follow
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.strata import Strata, Weighted, strata
from hepad.evaluation.streaming import distribution
from hepad.events import FOUR_VECTOR
from hepad.figures.drift import rates_in_time
from hepad.figures.style import save
from hepad.storage.files import atomic_path, write_rows

COLUMNS = (
    "run",
    "luminosity_block",
    "events",
    "passed",
    "share",
    "low",
    "high",
    "expected",
    "outside",
    "risen",
    "fallen",
    "alarm",
)
COMPARED = {"score": "the score", **{f"jet_{x}": f"jet {x}" for x in FOUR_VECTOR}}
WORDS = {"pileup": "collisions", "n_pv": "vertices"}
FOLLOWS = 0.01  # p-value below which a rate is said to follow the pile-up
MOVED = 1e-4  # p-value below which a distribution is said to have moved
STEP = 5.0  # standard deviations of the largest step of a share, of a hundred that are looked at


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
    known = models(results, task, [chosen])
    key = next(iter(known.of))
    known = replace(known, of={key: known.of[key]})  # one training of several
    if reference:
        before = monitored.scored(monitored.together(reference, monitored.of_files(reference, known, key), known))
    else:
        before = monitored.of_run(results, task, key)
    counted = distribution("reference", before["score"], before["weight"], before["cluster"])
    threshold = float(counted.at_most(eps_b))
    if not counted.resolved(threshold):
        raise InputError(
            f"monitor: {counted.count(threshold)} of {counted.whole.n} reference events pass ε_B = {eps_b:g}, "
            f"and count for {counted.independent(threshold):.3g} independent ones; to follow a rate {MIN_COUNT} are "
            "needed. Ask for a larger --eps-b, or give more with --reference."
        )
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
    changed, restored = {}, None
    if since.sum() >= ENOUGH:
        share = np.bincount(places[1][since], minlength=shape[1]) / since.sum()
        weights = before["weight"] * (share / divided.weight)[places[0]]
        found = _changed(before, weights, {x: after[x][since] for x in COMPARED})
        changed = {
            x: (*of, float(np.average(before[x], weights=weights)), float(after[x][since].mean()))
            for x, of in found.items()
        }
    if drift.alarm is not None:
        recent = distribution("data", after["score"][since])
        again = float(recent.at_most(eps_b))
        restored = again if recent.resolved(again) else None
    return Monitored(
        key, eps_b, threshold, counted, pileup, divided, average, sections, events.sum(1), passed.sum(1), beyond, drift,
        changed, restored, _outside(everything, sections), factor, false_alarms,
    )  # fmt: skip


def _outside(everything: monitored.Columns, sections: np.ndarray) -> np.ndarray:
    """(S,) events of each section without a jet in the window of the training."""
    rest = np.stack([everything[x][np.isnan(everything["score"])] for x in monitored.IN_TIME], 1)
    numbers, count = np.unique(rest, axis=0, return_counts=True)
    counted = dict(zip(map(tuple, numbers.tolist()), count.tolist(), strict=True))
    return np.array([counted.get(tuple(section), 0) for section in sections.tolist()], int)


def _step(part: np.ndarray, whole: np.ndarray) -> tuple[int, float, float, float]:
    """The section from which on a share of events changes most: its number, the share before and after, and z."""
    k, n = np.cumsum(part)[:-1], np.cumsum(whole)[:-1]
    later, rest = part.sum() - k, whole.sum() - n
    if not len(n) or not (n.min() and rest.min()):
        return 0, 0.0, 0.0, 0.0
    mean = part.sum() / whole.sum()
    z = (later / rest - k / n) / np.sqrt(max(mean * (1 - mean), 1e-12) * (1 / n + 1 / rest))
    i = int(np.abs(z).argmax())
    return i + 1, float(k[i] / n[i]), float(later[i] / rest[i]), float(z[i])


def _within(before: dict, after: dict, places: list[np.ndarray]) -> tuple[dict, dict, list[np.ndarray]]:
    """Reference and data, and their strata, without the events that lie in none."""
    inside = [place >= 0 for place in places]
    kept = [{x: v[rows] for x, v in columns.items()} for columns, rows in zip((before, after), inside, strict=True)]
    return *kept, [place[rows] for place, rows in zip(places, inside, strict=True)]


def _changed(before: dict, weights: np.ndarray, recent: dict) -> dict[str, tuple[float, float]]:
    """:func:`hepad.evaluation.drift.distances` of ``COMPARED``; {} of too few reference events."""
    try:
        return distances({x: before[x] for x in COMPARED}, recent, weights, before["cluster"])
    except InputError:
        return {}


def write(found: Monitored, folder: Path, style: dict) -> list[Path]:
    """``monitor.csv``, ``monitor.pdf`` and .png, and the page ``monitor.html``."""
    folder.mkdir(parents=True, exist_ok=True)
    drift = found.drift
    rows = [
        {
            "run": int(run), "luminosity_block": int(block), "events": int(found.events[i]),
            "passed": int(found.passed[i]), "share": float(drift.share[i]), "low": float(drift.low[i]),
            "high": float(drift.high[i]), "expected": float(drift.expected[i]),
            "outside": int(found.outside[i]), "risen": float(drift.risen[i]),
            "fallen": float(drift.fallen[i]), "alarm": int(drift.alarm is not None and i >= drift.alarm),
        }
        for i, (run, block) in enumerate(found.sections)
    ]  # fmt: skip
    write_rows(folder / "monitor.csv", COLUMNS, rows)
    save(rates_in_time(found.sections, drift, style), folder / "monitor")
    picture = base64.b64encode((folder / "monitor.png").read_bytes()).decode()
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in report(found))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(found.key)}: rate</title>'
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}</style>"
        f"<h1>Rate of {html.escape(found.key)}</h1>{lines}"
        f'<img alt="rate in time" src="data:image/png;base64,{picture}">'
    )
    with atomic_path(folder / "monitor.html") as partial:
        partial.write_text(page)
    return [folder / name for name in ("monitor.html", "monitor.csv", "monitor.pdf")]


def report(found: Monitored) -> Iterator[str]:
    """Sentences for people."""
    drift, threshold = found.drift, found.threshold
    share, k, n = (float(x) for x in found.reference.effective(threshold))
    yield (
        f"{found.key}: {found.passed.sum()} of {found.events.sum()} events in {len(found.sections)} sections pass "
        f"{threshold:.6g}, which {found.reference.count(threshold)} of {found.reference.whole.n} reference events pass"
        + ("." if found.reference.plain else f": {share:.4g} by weight, as well known as by {k:.4g} of {n:.4g}.")
    )
    yield from _of_pileup(found)
    if np.isinf(drift.delay):
        expected = float(np.nansum(drift.expected * found.events))
        yield (
            f"TOO FEW: a change by the factor {found.factor:g} that is looked for would not be found in half of such "
            f"runs. {expected:.3g} events were expected to pass. Give more files, a larger --eps-b, or a larger "
            "--reference."
        )
    else:
        yield (
            f"A change by the factor {found.factor:g} that is looked for would be found after {drift.delay:.0f} "
            f"sections in half of the cases; {found.false_alarms:g} of steady runs ring."
        )
    if drift.alarm is None:
        sums = {"risen": drift.risen, "fallen": drift.fallen}
        way = max(sums, key=lambda name: sums[name].max())
        top = int(sums[way].argmax())
        zeros = np.flatnonzero(sums[way][: top + 1] == 0)
        run, block = found.sections[zeros[-1] + 1 if len(zeros) and zeros[-1] < top else 0]
        yield (
            f"No alarm: the sums stay below {drift.level:.1f}. The highest, that of a rate that has {way}, reaches "
            f"{sums[way][top]:.1f}, on its way since run {run}, section {block}."
        )
    else:
        run, block = found.sections[drift.alarm]
        first_run, first_block = found.sections[drift.began]
        yield (
            f"ALARM in run {run}, section {block}: the rate has {drift.direction}, from about run {first_run}, section "
            f"{first_block} on. "
            + (
                "The events since are too few for a threshold."
                if found.restored is None
                else f"A threshold of {found.restored:.6g} would pass {found.eps_b:g} of the events since."
            )
        )
    yield from _of_window(found)
    moved = [name for name, (_, p, *_) in found.changed.items() if p < MOVED]
    when = "since then" if drift.alarm is not None else "of all events"
    if found.changed and not moved:
        name, (distance, p, *_) = max(found.changed.items(), key=lambda item: (-item[1][1], item[1][0]))
        yield (
            f"No distribution has moved. Farthest from the reference {when}: {COMPARED[name]}, by {distance:.3f} of "
            f"the cumulative distribution (p-value {p:.2g}, for the {len(found.changed)} that were looked at)."
        )
    for name in moved:
        distance, p, before, after = found.changed[name]
        yield (
            f"WARNING: the distribution of {COMPARED[name]} is not that of the reference, {when}: its mean is "
            f"{after:.5g}, there {before:.5g}; it is off by {distance:.3f} of the cumulative distribution "
            f"(p-value {p:.2g})."
        )


def _of_window(found: Monitored) -> Iterator[str]:
    """How many events have no jet in the window of the training, and whether that changes."""
    whole = found.outside + found.events
    if not found.outside.sum():
        return
    share = f"{found.outside.sum()} of {whole.sum()} events have no jet in the window of the training and are left out"
    place, before, after, z = _step(found.outside, whole)
    if abs(z) < STEP:
        yield f"{share}."
        return
    run, block = found.sections[place]
    yield (
        f"WARNING: {share}: {before:.3g} of all before run {run}, section {block}, {after:.3g} from there on. "
        "Something moves jets across its edges, and the rate is of those that are left."
    )


def _of_pileup(found: Monitored) -> Iterator[str]:
    """What the rate has to do with the pile-up."""
    if not found.pileup:
        yield (
            "Pile-up is not known of all events, 'pileup' or 'n_pv': a rate that follows it rings an alarm when the "
            "luminosity falls."
        )
        return
    edges, (k, n, _), what = found.strata.edges, found.strata.reference, WORDS[found.pileup]
    yield (
        f"Pile-up: {found.average[1]:.1f} {what} on average, {found.average[0]:.1f} in the reference. Sections are "
        f"compared with the reference at the same number, in {len(k)} intervals."
    )
    flat = f"(p-value of a flat rate {found.strata.p_flat:.2g})."
    if found.strata.p_flat < FOLLOWS:
        yield (
            f"The rate follows the pile-up: of the reference {k[0] / n[0]:.3g} pass with {edges[0]:.4g} to "
            f"{edges[1]:.4g} {what}, and {k[-1] / n[-1]:.3g} with {edges[-2]:.4g} to {edges[-1]:.4g} {flat}"
        )
    elif len(k) > 1:
        yield f"The rate does not follow the pile-up, as far as is known {flat}"
    if found.beyond:
        yield (
            f"{found.beyond} events are left out: their pile-up is beyond {edges[0]:.4g} to {edges[-1]:.4g}, where "
            "99 % of the reference are."
        )
