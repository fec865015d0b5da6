"""Tables of many evaluations: CSV for programs; :mod:`hepad.evaluation.latex` has those for notes.

A record is a dict with the keys ``task``, ``detector``, ``signal``, ``seed``, ``group`` and ``evaluation`` (an
:class:`hepad.evaluation.roc.Evaluation`). Groups are kept apart wherever results are shown: blind detectors, trivial
baselines, and the supervised trees, which have seen the signal.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hepad.errors import InputError, check_choice
from hepad.evaluation.roc import Evaluation, Rejection, WorkingPoint, from_json
from hepad.storage.files import read_json, write_rows

GROUPS = {
    "detector": "Detectors, fitted on background alone",
    "baseline": "Trivial baselines",
    "supervised": "Supervised, not blind",
}

SUPERVISED = {"supervised": "gradient-boosted trees"}  # its label in figures

KEYS = ("task", "detector", "signal", "seed")

COLUMNS = {
    "auc": (*KEYS, "n_background", "n_signal", "auc", "auc_low", "auc_high", "remark"),
    "efficiency": (*KEYS, "eps_b", "n_background_passed", "independent", "eps_s", "eps_s_low", "eps_s_high", "remark"),
    "rejection": (*KEYS, "eps_s", "n_background_passed", "independent", "inverse_eps_b", "low", "high", "remark"),
}

ENDS = ("", "_low", "_high")  # of the names of a value and of its interval

DARK_MACHINES = ("Signal", "Model", "Chan", "AUC", "1e-2", "1e-3", "1e-4")


def read_records(paths: Iterable[str | Path], labels: dict[str, str] | None = None) -> list[dict]:
    """Records of JSON files that hold lists of them, in the order of the files.

    Two keys are added: ``label``, the detector's in ``labels`` (by default its own name), and ``name``, the label with
    the seed where the detector has several, so that it tells the records of one task and signal apart.
    """
    records = []
    for path in paths:
        try:
            found = [{**entry, "evaluation": from_json(entry["evaluation"])} for entry in read_json(path)]
            groups = {record["group"] for record in found}
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a list of evaluations ({error}). Delete it and run again.") from None
        if "ceiling" in groups:  # what is called 'supervised' now would count as blind
            raise InputError(f"{path}: evaluations of an earlier version of hepad. Delete it and run again.")
        records += found
    seeds = Counter((r["task"], r["signal"], r["detector"]) for r in records)
    for r in records:
        r["label"] = (labels or {}).get(r["detector"], r["detector"])
        several = seeds[r["task"], r["signal"], r["detector"]] > 1
        r["name"] = f"{r['label']} (seed {r['seed']})" if several else r["label"]
    return records


def with_ends(name: str, interval: dict | None, scale: float | None) -> dict:
    """{name, name_low, name_high} of a value with its interval, times ``scale``; None where one is missing."""
    values = [None if interval is None else interval[key] for key in ("value", "low", "high")]
    return {name + end: None if None in (x, scale) else x * scale for end, x in zip(ENDS, values, strict=True)}


def ordered(records: Iterable[dict]) -> list[dict]:
    """Records by task, group, detector, signal and seed, whatever order they came in; InputError if one is twice."""
    ranks, seen = list(GROUPS), set()
    records = list(records)
    for record in records:
        check_choice("group", record["group"], ranks)
        key = tuple(record[name] for name in KEYS)
        if key in seen:
            raise InputError(f"tables: {list(key)} is there twice. Give the two different names or seeds.")
        seen.add(key)
    return sorted(records, key=lambda r: (r["task"], ranks.index(r["group"]), *(r[name] for name in KEYS[1:])))


def rows(kind: str, records: Iterable[dict]) -> list[dict]:
    """Rows of one table, a dict per row with the keys ``COLUMNS[kind]``; kind: 'auc', 'efficiency' or 'rejection'.

    A value that the sample cannot resolve is None; the number of passing background events, or the lower bound of the
    rejection, says why.
    """
    check_choice("table", kind, COLUMNS)
    found = []
    for record in ordered(records):
        values = {"auc": _auc, "efficiency": _efficiency, "rejection": _rejection}[kind](record["evaluation"])
        found += [dict(zip(COLUMNS[kind], [*(record[key] for key in KEYS), *row], strict=True)) for row in values]
    return found


def write_csv(path: str | Path, kind: str, records: Iterable[dict]) -> None:
    """Write one table as CSV, atomically; unresolved numbers are empty."""
    write_rows(path, COLUMNS[check_choice("table", kind, COLUMNS)], rows(kind, records))


def write_supervised(path: str | Path, records: Iterable[dict]) -> None:
    """Write the AUC of the supervised trees as CSV, atomically; a signal without them has a remark and no number."""
    records = list(records)
    found = rows("auc", (record for record in records if record["group"] == "supervised"))
    known = {(row["task"], row["signal"]) for row in found}
    for task, signal in dict.fromkeys((record["task"], record["signal"]) for record in records):
        if (task, signal) not in known:
            names = {"task": task, "detector": "supervised", "signal": signal, "seed": 1}
            found.append(dict.fromkeys(COLUMNS["auc"]) | names | {"remark": "none: too few training events"})
    write_rows(path, COLUMNS["auc"], found)


def write_dark_machines(path: str | Path, records: Iterable[dict]) -> None:
    """Write ε_S at three ε_B in the layout of the Dark Machines challenge (arXiv:2105.14027), atomically.

    A model's seeds are models of their own (the column Model has the records' ``name``), a task is a channel. What the
    background sample does not resolve, or the configuration does not ask for, is empty.
    """
    found = []
    for record in ordered(records):
        points = {p.eps_b: p.eps_s[0] for p in record["evaluation"].working_points if p.resolved}
        cells = [record["signal"], record["name"], record["task"], record["evaluation"].auc[0]]
        cells += [points.get(float(column)) for column in DARK_MACHINES[4:]]
        found.append(dict(zip(DARK_MACHINES, cells, strict=True)))
    write_rows(path, DARK_MACHINES, found)


def _auc(evaluation: Evaluation) -> list[tuple]:
    return [(evaluation.n_background, evaluation.n_signal, *evaluation.auc, evaluation.remark)]


def _efficiency(evaluation: Evaluation) -> list[tuple]:
    def row(point: WorkingPoint) -> tuple:
        known = point.eps_s[:3] if point.resolved else (None, None, None)
        return (point.eps_b, point.n_background_passed, point.independent, *known, point.remark)

    return [row(point) for point in evaluation.working_points]


def _rejection(evaluation: Evaluation) -> list[tuple]:
    def row(r: Rejection) -> tuple:
        known = (r.inverse_eps_b, r.low, r.high) if r.resolved else (None, r.low, None)
        return (r.eps_s, r.n_background_passed, r.independent, *known, r.remark)

    return [row(r) for r in evaluation.rejections]
