"""Events whose rate is followed: columns of the files of data, and of what the threshold is frozen on."""

from pathlib import Path

import numpy as np

from hepad.config.results import Results
from hepad.config.scoring import Models, column
from hepad.errors import InputError
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import per_event
from hepad.events import FOUR_VECTOR, NUMBERS, Events, of_kind
from hepad.events.cuts import inside
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of

IN_TIME = ("run", "luminosity_block")
PILEUP = ("pileup", "n_pv")  # the first that is known is compared at
BESIDE = ("event_id", "weight", "cluster")

Columns = dict[str, np.ndarray]


def of_run(results: Results, task: str, key: str) -> Columns:
    """The test events of the run's background, an event each: :data:`BESIDE`, 'jet_pt', ..., 'score', and PILEUP."""
    background = results.config["tasks"][task]["background"]
    scores, beside = read_scores(results.there(Path("scores") / task / f"{background}.h5"))
    columns = {name: np.asarray(beside[name]) for name in BESIDE}
    columns |= {f"jet_{x}": np.asarray(beside["jet"])[:, i] for i, x in enumerate(FOUR_VECTOR)}
    table = Events.table(results.there(Path("events") / f"{background}.h5"))
    ids, first = np.unique(np.asarray(table["event_id"]), return_index=True)
    rows = first[np.minimum(np.searchsorted(ids, columns["event_id"]), len(ids) - 1)]
    for name in PILEUP:
        there = f"facts/{name}" in table
        columns[name] = np.asarray(table[f"facts/{name}"])[rows] if there else np.full(len(rows), np.nan)
    return _events(columns, np.asarray(scores[key]))


def of_data(files: list[str], known: Models, key: str) -> Columns:
    """The same of files, and ``IN_TIME``; rows without a score (NaN) are events without a jet in the window.

    InputError: events without run and luminosity section, or with different weights, which data have not
    """
    found = of_files(files, known, key)
    for path, columns in found.items():
        weights = columns["weight"]
        if len(weights) and np.ptp(weights) > 1e-6 * np.abs(weights).max():
            raise InputError(
                f"{path}: events have different weights, and data have none: how many would pass in a section is not "
                "known. They can be what the threshold is frozen on, with --reference."
            )
        if any((columns[name] < 0).any() for name in IN_TIME):
            raise InputError(
                f"{path}: events without run and luminosity section cannot be put in the order of time. Map the "
                "branches 'run' and 'luminosity_block'."
            )
    return together(files, found, known)


def scored(columns: Columns) -> Columns:
    """The events with a jet in the window of the training."""
    inside = ~np.isnan(columns["score"])
    return {name: values[inside] for name, values in columns.items()}


def of_files(files: list[str], known: Models, key: str) -> dict[str, Columns]:
    """{path: columns}, an event each, in any order; without a jet in the window of the training its score is NaN."""
    found = {}
    for path in find_files(files):
        parts: list[Columns] = []
        source = {"files": [path]}
        for events in stream_of(source, name=Path(path).name, selection="any", split=(0, 0, 1), part=True):
            lacking: dict[str, str] = {}
            every = known.window == "any"  # of a trigger, also events without a jet
            within = np.ones(len(events), bool) if every else inside(events.jet, known.window)
            score = np.full(len(events), np.nan)
            score[within] = known.score(events[within], lacking)[column(key)]
            if lacking:
                raise InputError(f"{path}: {next(iter(lacking.values()))}")
            facts = {
                name: of_kind(events.facts.get(name), NUMBERS.get(name, np.float32), len(events))
                for name in (*IN_TIME, *PILEUP)
            }
            jet = {f"jet_{x}": events.jet[:, i] for i, x in enumerate(FOUR_VECTOR)}
            parts.append({name: getattr(events, name) for name in BESIDE} | facts | jet | {"score": score})
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        found[path] = _events(columns, columns.pop("score"))
    return found


def together(files: list[str], found: dict[str, Columns], known: Models) -> Columns:
    """The events of all files; InputError if there are none."""
    if not sum(np.isfinite(columns["score"]).sum() for columns in found.values()):
        raise InputError(
            f"{', '.join(files)}: no jet lies in the window of the training, {known.window}: nothing to follow."
        )
    first = next(iter(found.values()))
    return {name: np.concatenate([columns[name] for columns in found.values()]) for name in first}


def pileup_of(*samples: Columns) -> str:
    """Which of ``PILEUP`` all events of all samples have; '' if none."""
    known = (name for name in PILEUP if all((np.nan_to_num(columns[name], nan=-1) >= 0).all() for columns in samples))
    return next(known, "")


def _events(columns: Columns, scores: np.ndarray) -> Columns:
    """One row for each event: the numbers of its first jet with a score, and the highest score, NaN without one."""
    order = np.argsort(np.isnan(scores), kind="stable")
    columns, scores = {name: values[order] for name, values in columns.items()}, scores[order]
    first, highest = per_event(columns["event_id"], np.nan_to_num(scores, nan=-np.inf))
    highest = np.where(np.isneginf(highest), np.nan, highest)
    return {name: values[first] for name, values in columns.items()} | {"score": highest}
