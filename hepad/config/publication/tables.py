"""Tables as HEPData has them: what rows are of in front, what was found behind; and those of a run's CSV files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from hepad.config.results import Results
from hepad.config.subjects import Subject
from hepad.evaluation.efficiency import LEVEL
from hepad.figures.content import Axis
from hepad.samples.phase_space import meta_of, of_sample

INTERVAL = f"{100 * LEVEL:g} % interval"
KEYS = ("seed", "trainings", "eps_b", "eps_s", "at", "budget_khz")  # numbers that say what a row is of, as texts do
REMARKS = ("remark", "resolved")  # texts that say what was found
NAMES = {
    "auc": "AUC",
    "eps_b": r"$\epsilon_B$",
    "eps_s": r"$\epsilon_S$",
    "inverse_eps_b": r"$1/\epsilon_B$",
    "n_background": "background events",
    "n_signal": "signal events",
    "n_background_passed": "background events that pass",
    "independent": "independent background events that pass",
}


class Column(NamedTuple):
    """One column of a table.

    axis: what it is, and its unit
    values: of each row a number, a text, or as a pair the edges of a bin; None where nothing is known
    errors: of each row, the ends of the interval around its number less that number, or None; empty without intervals
    interval: what kind of interval that is
    of: what all values are of, such as a curve, a seed
    """

    axis: Axis
    values: list
    errors: Sequence = ()
    interval: str = INTERVAL
    of: Mapping[str, str | float] = MappingProxyType({})


@dataclass(frozen=True)
class Table:
    """name: with letters, numbers, spaces; keys: what rows are of; values: what was found; file: of the run, that it
    is from; of: what the whole table is of, by name and unit; picture: its PNG, '' without one."""

    name: str
    description: str
    keys: list[Column]
    values: list[Column]
    file: str
    of: Mapping[Axis, str | float] = field(default_factory=dict)
    picture: str = ""


def of_search(results: Results, task: str, signal: str | None = None) -> dict[Axis, str | float]:
    """What the numbers of a task are of: energy, phase space and background from its sample, and the signal."""
    subject = Subject(results.plan, {"task": task})
    labels = subject.labels(["samples"])
    label = labels[subject.background]
    said = of_sample(meta_of(results.there(f"events/{subject.background}.h5")), label)
    energy, header = said["sqrt_s_tev"], said["header"].removeprefix(label).removeprefix(", ")
    found = {Axis("SQRT(S)", "GeV"): round(1000 * energy, 6)} if energy else {}
    found |= {Axis("Phase space"): header} if header else {}
    found |= {Axis("Task"): task, Axis("Background"): label}
    return found | ({Axis("Signal"): labels[signal]} if signal in labels else {})


def of_run(results: Results, captions: Mapping[str, str]) -> Iterator[Table]:
    """The CSV files of a run, each for every task and signal that it is of; ``captions``: by their names."""
    for name in results.tables:
        columns = {key: np.asarray(values) for key, values in dict(results.table(name)).items()}
        searches = [columns[key].tolist() for key in ("task", "signal") if key in columns]
        for search in dict.fromkeys(zip(*searches, strict=True)) if searches else [()]:
            rows = [all(a == b for a, b in zip(row, search, strict=True)) for row in zip(*searches, strict=True)]
            part = {key: values[np.array(rows, bool)] if searches else values for key, values in columns.items()}
            of = of_search(results, *search) if "task" in columns and search[0] in results.tasks else {}
            keys, values = _split(part)
            if keys and values:
                caption = captions.get(name, f"The table {name} of a run.")
                yield Table(" ".join([name, *search]), caption, keys, values, f"{name}.csv", of)


def _split(columns: dict[str, np.ndarray]) -> tuple[list[Column], list[Column]]:
    """What rows are of, and what was found; what is the same in all rows is said once, what is empty is left out.

    Where a table says of a row that it is not resolved, the numbers with intervals are not known.
    """
    middles, constant, keys, values = _middles(list(columns)), {}, [], []
    ends = {end for pair in middles.values() for end in pair}
    if "resolved" in columns:
        fixed = {key: np.where(columns["resolved"] == "True", columns[key], np.nan) for key in {*middles, *ends}}
        columns = {**columns, **fixed}
    for key, column in columns.items():
        of_ends = [columns[end].tolist() for end in middles.get(key, ())]
        if key in ("task", "signal") or key in ends or all(map(_is_empty, chain(column, *of_ends))):
            continue
        cells = [None if _is_empty(x) else x for x in column.tolist()]
        if (any(isinstance(x, str) for x in cells) and key not in REMARKS) or (key in KEYS and key not in middles):
            if len(set(cells)) > 1 or key == "detector":
                keys.append(Column(_axis(key), ["-" if x is None else x for x in cells]))
            else:
                constant[_axis(key).name] = cells[0]
        else:
            values += _with_ends(key, cells, of_ends)
    return keys, [column._replace(of=constant) for column in values]


def _middles(names: list[str]) -> dict[str, tuple[str, str]]:
    """The columns with intervals, and the two that have their ends: named after them, or behind them."""
    found = {name: (f"{name}_low", f"{name}_high") for name in names if {f"{name}_low", f"{name}_high"} <= {*names}}
    if {"low", "high"} <= {*names}:
        found[names[names.index("low") - 1]] = ("low", "high")
    return found


def _with_ends(key: str, cells: list, ends: list[list]) -> list[Column]:
    """A column with its intervals, and behind it ends that are known where the value or the other end is not."""
    if not ends:
        return [Column(_axis(key), cells)]
    whole = [x is not None and not any(map(_is_empty, of)) for x, *of in zip(cells, *ends, strict=True)]
    pairs = [offsets(x, low, high) if good else None for good, x, low, high in zip(whole, cells, *ends, strict=True)]
    found = [Column(_axis(key), cells, pairs)]
    for side, of in zip(("lower", "upper"), ends, strict=True):
        alone = [None if good or _is_empty(x) else x for good, x in zip(whole, of, strict=True)]
        if any(x is not None for x in alone):
            found.append(Column(Axis(f"{_axis(key).name}, {side} end alone", _axis(key).unit), alone))
    return found


def offsets(value: float, low: float, high: float) -> tuple[float, float]:
    """The ends of an interval less the value, with six digits."""
    return float(f"{low - value:.6g}") + 0.0, float(f"{high - value:.6g}") + 0.0


def _is_empty(value) -> bool:
    return value == "" or value != value


def _axis(key: str) -> Axis:
    """What a column of a CSV file is called, and its unit."""
    name, _, unit = key.partition("_khz")
    return Axis(NAMES.get(name, name.replace("_", " ")) + unit.replace("_", " "), "kHz" if "_khz" in key else "")


def of_name(text: str) -> str:
    """Letters, digits and spaces alone."""
    return " ".join(re.sub(r"[^\w+.-]+", " ", text).split())
