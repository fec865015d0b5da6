"""Tables of many evaluations: CSV for programs, LaTeX for notes.

A record is a dict with the keys ``task``, ``detector``, ``signal``, ``seed``, ``group`` and ``evaluation`` (an
:class:`hepad.evaluation.Evaluation`). Groups are kept apart wherever results are shown: blind detectors, trivial
baselines, and the supervised ceiling, which has seen the signal.
"""

import csv
from collections.abc import Iterable
from math import floor, isfinite, log10
from pathlib import Path

from hepad.errors import InputError, choose
from hepad.evaluation import Evaluation, Rejection, WorkingPoint
from hepad.io import atomic_path

GROUPS = {
    "detector": "Detectors, fitted on background alone",
    "baseline": "Trivial baselines",
    "ceiling": "Ceiling: supervised, not blind",
}
KEYS = ("task", "detector", "signal", "seed")
COLUMNS = {
    "auc": (*KEYS, "n_background", "n_signal", "auc", "auc_low", "auc_high"),
    "efficiency": (*KEYS, "eps_b", "n_background_passed", "eps_s", "eps_s_low", "eps_s_high"),
    "rejection": (*KEYS, "eps_s", "inverse_eps_b", "low", "high"),
}
ESCAPES = {character: f"\\{character}" for character in "&%$#_{}"}
ESCAPES |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


def ordered(records: Iterable[dict]) -> list[dict]:
    """Records by task, group, detector, signal and seed, whatever order they came in; InputError if one is twice."""
    ranks, seen = list(GROUPS), set()
    records = list(records)
    for record in records:
        choose("group", record["group"], ranks)
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
    choose("table", kind, COLUMNS)
    found = []
    for record in ordered(records):
        values = {"auc": _auc, "efficiency": _efficiency, "rejection": _rejection}[kind](record["evaluation"])
        found += [dict(zip(COLUMNS[kind], [*(record[key] for key in KEYS), *row], strict=True)) for row in values]
    return found


def write_csv(path: str | Path, kind: str, records: Iterable[dict]) -> None:
    """Write one table as CSV, atomically; numbers have six significant digits, unresolved ones are empty."""
    with atomic_path(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS[choose("table", kind, COLUMNS)], lineterminator="\n")
        writer.writeheader()
        for row in rows(kind, records):
            writer.writerow({key: f"{x:.6g}" if isinstance(x, float) else x for key, x in row.items()})


def latex(records: Iterable[dict], task: str) -> str:
    """A LaTeX ``tabular`` of one task: detectors as rows; AUC and ε_S at each ε_B as columns, signal by signal.

    It needs no packages; put it into a ``table`` of your own with ``\\input``. Intervals are those of the evaluations.
    """
    records = [record for record in ordered(records) if record["task"] == task]
    if not records:
        raise InputError(f"tables: there is no result of the task '{task}'. Check its name in the config.")
    signals = sorted({record["signal"] for record in records})
    budgets = sorted({p.eps_b for record in records for p in record["evaluation"].working_points}, reverse=True)
    width = 1 + len(budgets)
    lines = [
        f"% task {task}: AUC and signal efficiency at fixed background efficiency, 68.3 % intervals",
        f"\\begin{{tabular}}{{l{'c' * width * len(signals)}}}",
        "\\hline",
        " & ".join(["", *(f"\\multicolumn{{{width}}}{{c}}{{{escape(signal)}}}" for signal in signals)]) + r" \\",
        " & ".join(["", *(["AUC", *(f"$\\epsilon_S({_power(eps)})$" for eps in budgets)] * len(signals))]) + r" \\",
    ]
    for group, title in GROUPS.items():
        block = [record for record in records if record["group"] == group]
        if block:
            lines += ["\\hline", f"\\multicolumn{{{1 + width * len(signals)}}}{{l}}{{\\textit{{{title}}}}} \\\\"]
        lines += _block(block, signals, budgets)
    return "\n".join([*lines, "\\hline", "\\end{tabular}", ""])


def write_latex(path: str | Path, records: Iterable[dict], task: str) -> None:
    """Write :func:`latex`, atomically."""
    text = latex(records, task)
    with atomic_path(path) as partial:
        partial.write_text(text)


def escape(text: str) -> str:
    """``text`` with LaTeX's special characters made harmless."""
    return "".join(ESCAPES.get(character, character) for character in text)


def with_interval(value: float, low: float, high: float) -> str:
    """A value with its asymmetric interval as LaTeX math, two digits of the larger error: $0.912^{+0.011}_{-0.010}$."""
    up, down = high - value, value - low
    size = max(up, down)
    digits = min(max(1 - floor(log10(size)), 0), 6) if size > 0 and isfinite(size) else 4
    return f"${value:.{digits}f}^{{+{up:.{digits}f}}}_{{-{down:.{digits}f}}}$"


def _auc(evaluation: Evaluation) -> list[tuple]:
    return [(evaluation.n_background, evaluation.n_signal, *evaluation.auc)]


def _efficiency(evaluation: Evaluation) -> list[tuple]:
    def row(point: WorkingPoint) -> tuple:
        known = point.eps_s[:3] if point.resolved else (None, None, None)
        return (point.eps_b, point.n_background_passed, *known)

    return [row(point) for point in evaluation.working_points]


def _rejection(evaluation: Evaluation) -> list[tuple]:
    def row(r: Rejection) -> tuple:
        return (r.eps_s, r.inverse_eps_b, r.low, r.high) if r.resolved else (r.eps_s, None, r.low, None)

    return [row(r) for r in evaluation.rejections]


def _block(records: list[dict], signals: list[str], budgets: list[float]) -> list[str]:
    """One line per detector; the seed is named where a detector has several."""
    cells, seeds = {}, {}
    for r in records:
        cells[r["detector"], r["seed"], r["signal"]] = _cells(r["evaluation"], budgets)
        seeds.setdefault(r["detector"], set()).add(r["seed"])
    lines = []
    for detector, seed in sorted({key[:2] for key in cells}):
        name = escape(detector) + (f" (seed {seed})" if len(seeds[detector]) > 1 else "")
        absent = ["--"] * (1 + len(budgets))
        parts = [cell for signal in signals for cell in cells.get((detector, seed, signal), absent)]
        lines.append(" & ".join([name, *parts]) + r" \\")
    return lines


def _cells(evaluation: Evaluation, budgets: list[float]) -> list[str]:
    points = {point.eps_b: point for point in evaluation.working_points}

    def cell(eps_b: float) -> str:
        if eps_b not in points:
            return "--"
        point = points[eps_b]
        return with_interval(*point.eps_s[:3]) if point.resolved else f"unresolved ($k={point.n_background_passed}$)"

    return [with_interval(*evaluation.auc), *(cell(eps_b) for eps_b in budgets)]


def _power(eps: float) -> str:
    exponent = log10(eps)
    return f"10^{{{exponent:.0f}}}" if abs(exponent - round(exponent)) < 1e-9 else f"{eps:g}"
