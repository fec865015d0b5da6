"""All checks of a detector in one record, for the table and for the page: stability, AUC, swapped AUC, contamination.

    stability        what :func:`hepad.evaluation.diagnostics.diagnose` finds on the background
    AUC              of the task, and of the task in which the background and a signal change places
    contamination    AUC of trainings with some signal in the background (:mod:`hepad.evaluation.contamination`)

Each is of the training that the record names.
"""

from collections.abc import Iterable
from pathlib import Path

from hepad.storage.files import write_rows

COLUMNS = ("task", "detector", "seed", "check", "of", "value", "low", "high", "expected_low", "expected_high", "events")


def areas(evaluations: Iterable[dict], task: str, backgrounds: dict[str, str]) -> dict[tuple, dict[str, dict]]:
    """(detector, seed) -> {'auc', 'swapped'} -> signal -> (value, low, high), in ``task`` and with samples swapped.

    ``evaluations``: records of :mod:`hepad.evaluation.tables`; ``backgrounds``: of each task.
    """
    trainings: dict[tuple, dict] = {}
    for record in evaluations:
        entry = trainings.setdefault((record["detector"], record["seed"]), {"auc": {}, "swapped": {}})
        if record["task"] == task:
            entry["auc"].setdefault(record["signal"], list(record["evaluation"].auc))
        elif record["signal"] == backgrounds[task]:
            entry["swapped"].setdefault(backgrounds[record["task"]], list(record["evaluation"].auc))
    return {
        key: {"auc": entry["auc"], "swapped": {s: auc for s, auc in entry["swapped"].items() if s in entry["auc"]}}
        for key, entry in trainings.items()
        if entry["auc"]
    }


def joined(checks: list[dict], evaluations: list[dict], contamination: list[dict], backgrounds: dict) -> list[dict]:
    """The records of :func:`hepad.evaluation.diagnostics.diagnose` with the keys 'auc', 'swapped' and 'contamination'
    added.

    Parameters
    ----------
    checks: with the keys task, detector and seed
    evaluations: records of :mod:`hepad.evaluation.tables`, of the tasks of ``checks`` and of those that swap their
        samples
    contamination: {task, detector, signal, trainings: as
        :func:`hepad.evaluation.contamination.auc_against_contamination` says}
    backgrounds: of each task
    """
    areas_of_task = {task: areas(evaluations, task, backgrounds) for task in {record["task"] for record in checks}}
    dirty = {(record["task"], record["detector"]): record for record in contamination}
    none = {"auc": {}, "swapped": {}}
    return [
        record
        | areas_of_task[record["task"]].get((record["detector"], record["seed"]), none)
        | {"contamination": dirty.get((record["task"], record["detector"]))}
        for record in checks
    ]


def rows(record: dict) -> list[dict]:
    """Rows of the table, keys ``COLUMNS``, of a record of :func:`joined`."""
    table = []

    def row(check, subject, value, low=None, high=None, expected=(None, None), events=None):
        shared = [record[key] for key in COLUMNS[:3]]
        table.append(dict(zip(COLUMNS, [*shared, check, subject, value, low, high, *expected, events], strict=True)))

    n = record["events"]
    if pileup := record["pileup"]:
        row("pileup", "change per collision", pileup["slope"], pileup["low"], pileup["high"], (0, 0), n)
        for subject in ("constant", "linear"):
            row("pileup", f"p-value of a {subject} rate", pileup[f"p_{subject}"], events=n)
    for name, x in record["invariance"].items():
        row("invariance", f"{name}: median", x["median"], expected=(0, 0), events=x["events"])
        row("invariance", f"{name}: 95 % quantile", x["high"], expected=(0, 0), events=x["events"])
        row("invariance", f"{name}: decisions changed", x["flipped"], expected=(0, 0), events=x["events"])
    for x in record["sculpting"]:
        row("sculpting", f"eps_b = {x['eps_b']:g}", x["jsd"], expected=(0, x["null_high"]), events=x["passed"])
    for name, x in record["correlation"].items():
        row("correlation", name, x["rho"], x["low"], x["high"], (0, 0), n)
    for kind, text in (("auc", "AUC"), ("swapped", "AUC, tasks swapped")):
        for signal, (value, low, high) in record[kind].items():
            row(text, signal, value, low, high)
    if dirty := record["contamination"]:
        for x in dirty["trainings"]:
            share = f"{dirty['signal']}: {100 * x['fraction']:g} % signal in training"
            row("AUC, contaminated", share, x["value"], x["low"], x["high"])
    return table


def write_checks(path: str | Path, records: Iterable[dict]) -> None:
    """Write the rows of all records as CSV, atomically."""
    write_rows(path, COLUMNS, [row for record in records for row in rows(record)])
