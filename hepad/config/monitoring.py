"""``hepad monitor``: the rate of a finished run's detector, luminosity section by section, in files of data."""

import base64
import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.config.results import Results
from hepad.config.scoring import Models, column, models, score_files
from hepad.errors import InputError, check_choice
from hepad.evaluation.drift import ENOUGH, Drift, Reference, distances, follow
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import distribution, per_event
from hepad.events import FOUR_VECTOR
from hepad.events.cuts import inside
from hepad.figures.drift import rates_in_time
from hepad.figures.style import save
from hepad.storage.files import atomic_path, write_rows

COLUMNS = ("run", "luminosity_block", "events", "passed", "share", "low", "high", "risen", "fallen", "alarm")
NUMBERS = ("run", "luminosity_block")
COMPARED = {"score": "the score", **{f"jet_{x}": f"jet {x}" for x in FOUR_VECTOR}}


class Monitored(NamedTuple):
    """What was found.

    Attributes
    ----------
    key: 'detector/seed'; eps_b: of the threshold; threshold: frozen; reference: its events
    sections: (S, 2) run and luminosity block, in the order of time; events, passed: (S,) of each
    drift: of :mod:`hepad.evaluation.drift`
    changed: of each compared quantity (largest difference of the distributions, p-value), of the events since the
        change, or of all; {} of fewer than 100
    restored: the threshold that passes ``eps_b`` of the events since the change; None without an alarm, or if they are
        too few
    """

    key: str
    eps_b: float
    threshold: float
    reference: Reference
    sections: np.ndarray
    events: np.ndarray
    passed: np.ndarray
    drift: Drift
    changed: dict[str, tuple[float, float]]
    restored: float | None


def monitor(
    results: Results, task: str, files: list[str], *, detector: str | None = None, eps_b: float = 1e-2,
    reference: list[str] | None = None, factor: float = 1.3, false_alarms: float = 0.01,
) -> Monitored:  # fmt: skip
    """Follow a detector's rate through files with run and luminosity section.

    Parameters
    ----------
    task, detector: of the run; the detector's first training; by default the task's first detector
    files: paths, patterns or addresses of the data
    eps_b: share of the reference events that pass the threshold
    reference: files that the threshold is frozen on; by default the test events of the run's background
    factor, false_alarms: as for :func:`hepad.evaluation.drift.follow`

    Raises
    ------
    InputError: an unknown task or detector; a file without run and luminosity section, or without what the detector
        needs; a reference that does not fix the threshold
    """
    check_choice("task", task, results.tasks)
    chosen = detector or results.config["tasks"][task]["detectors"][0]
    known = models(results, task, [chosen])
    key = next(iter(known.of))
    known = replace(known, of={key: known.of[key]})  # one training of several
    before = _of_files(reference, known, key, eps_b) if reference else _of_run(results, task, key)
    counted = distribution("reference", before["score"])
    threshold = float(counted.at_most(eps_b))
    at = Reference(int(counted.count(threshold)), len(before["score"]))
    if not counted.resolved(threshold):
        raise InputError(
            f"monitor: {at.passed} of {at.events} reference events pass ε_B = {eps_b:g}, "
            "too few to follow a rate. Ask for a larger --eps-b, or give more with --reference."
        )
    after = _of_files(files, known, key, eps_b)
    sections, place = np.unique(np.stack([after[name] for name in NUMBERS], 1), axis=0, return_inverse=True)
    place = place.ravel()
    events = np.bincount(place, minlength=len(sections))
    passed = np.bincount(place[after["score"] > threshold], minlength=len(sections))
    drift = follow(passed, events, at, factor=factor, false_alarms=false_alarms)
    since = place >= (drift.began or 0)
    changed, restored = {}, None
    if min(len(before["score"]), since.sum()) >= ENOUGH:
        changed = distances({x: before[x] for x in COMPARED}, {x: after[x][since] for x in COMPARED})
    if drift.alarm is not None:
        recent = distribution("data", after["score"][since])
        again = float(recent.at_most(eps_b))
        restored = again if recent.resolved(again) else None
    return Monitored(key, eps_b, threshold, at, sections, events, passed, drift, changed, restored)


def _of_run(results: Results, task: str, key: str) -> dict[str, np.ndarray]:
    """Columns of the test events of the run's background, an event each; InputError if they have different weights."""
    background = results.config["tasks"][task]["background"]
    scores, beside = read_scores(results.there(Path("scores") / task / f"{background}.h5"))
    jets, weights = np.asarray(beside["jet"]), np.asarray(beside["weight"])
    if len(weights) and np.ptp(weights) > 1e-6 * np.abs(weights).max():
        raise InputError(
            f"monitor: the events of '{background}' have different weights, and data have none. Give data that the "
            "threshold is frozen on with --reference."
        )
    columns = {f"jet_{x}": jets[:, i] for i, x in enumerate(FOUR_VECTOR)}
    return _events(columns | {"event_id": np.asarray(beside["event_id"]), "score": np.asarray(scores[key])})


def _of_files(files: list[str], known: Models, key: str, eps_b: float) -> dict[str, np.ndarray]:
    """Columns of all events of files with a jet in the window of the training, an event each, in any order."""
    parts: list[dict[str, np.ndarray]] = []
    for scored in score_files(files, known, eps_b):
        if scored.lacking:
            raise InputError(f"{scored.path}: {next(iter(scored.lacking.values()))}")
        there = inside(np.stack([scored.columns[f"jet_{x}"] for x in FOUR_VECTOR], axis=1), known.window)
        columns = {name: values[there] for name, values in scored.columns.items()}
        if any((columns[name] < 0).any() for name in NUMBERS):
            raise InputError(
                f"{scored.path}: events without run and luminosity section cannot be put in the order of time. Map the "
                "branches 'run' and 'luminosity_block'."
            )
        parts.append(_events(columns | {"score": columns[column(key)]}))
    if not sum(len(part["score"]) for part in parts):
        raise InputError(
            f"{', '.join(files)}: no jet lies in the window of the training, {known.window}: nothing to follow."
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _events(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row for each event: the numbers of its first jet, and its highest score."""
    first, highest = per_event(columns["event_id"], columns["score"])
    return {name: values[first] for name, values in columns.items()} | {"score": highest}


def write(found: Monitored, folder: Path, style: dict) -> list[Path]:
    """``monitor.csv``, ``monitor.pdf`` and .png, and the page ``monitor.html``."""
    folder.mkdir(parents=True, exist_ok=True)
    drift = found.drift
    rows = [
        {
            "run": int(run), "luminosity_block": int(block), "events": int(found.events[i]),
            "passed": int(found.passed[i]), "share": float(drift.share[i]), "low": float(drift.low[i]),
            "high": float(drift.high[i]), "risen": float(drift.risen[i]), "fallen": float(drift.fallen[i]),
            "alarm": int(drift.alarm is not None and i >= drift.alarm),
        }
        for i, (run, block) in enumerate(found.sections)
    ]  # fmt: skip
    write_rows(folder / "monitor.csv", COLUMNS, rows)
    share = found.reference.passed / found.reference.events
    save(rates_in_time(found.sections, drift, share, style), folder / "monitor")
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
    drift, reference, number = found.drift, found.reference, len(found.sections)
    yield (
        f"{found.key}: {found.passed.sum()} of {found.events.sum()} events in {number} sections pass "
        f"{found.threshold:.6g}, which {reference.passed} of {reference.events} reference events pass."
    )
    soon = "not within this run" if np.isinf(drift.delay) else f"after {drift.delay:.0f} sections in half of the cases"
    yield f"A change by the factor that is looked for would be found {soon}."
    if drift.alarm is None:
        yield f"No alarm: the sums stay below {drift.level:.1f}."
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
    if not found.changed:
        return
    name, (distance, p) = max(found.changed.items(), key=lambda item: (-item[1][1], item[1][0]))
    when = "since then" if drift.alarm is not None else "of all events"
    yield (
        f"Farthest from the reference {when}: {COMPARED[name]}, by {distance:.3f} of the cumulative distribution "
        f"(p-value {p:.2g}, for the {len(found.changed)} quantities that were looked at)."
    )
