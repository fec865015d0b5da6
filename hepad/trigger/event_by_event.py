r"""Two files of scores of the same events, data and emulator say, event by event.

Rows are matched by who they are, not by their place. Of the ``KEYS`` those are taken that both files have: run,
luminosity block and event, unless one of them is -1 somewhere, which means that there is none; the number of a test
vector; hepad's event_id. Rows of one event are its probe jets, and the event has the highest score of them that is not
NaN, as a trigger has it. Two rows that are also the same jet, or have no jet columns, are a duplicate and refused.

    differ:  |a - b| > atol + rtol |a|,  or NaN, or infinite, in one file alone
    flip:    (a > t) ≠ (b > t),  NaN passes nothing

Where one file has single precision, both are compared in it. Files of any size: events are divided by the last number
of their key into parts, so that about ``ROWS`` rows are in memory, and the files are read once for each part.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.efficiency import Efficiency, clopper_pearson
from hepad.storage.files import atomic_path
from hepad.trigger.score_columns import ScoreFile

KEYS = (("run", "luminosity_block", "event"), ("vector",), ("event_id",))
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")
ROWS = 1 << 22  # a gigabyte, of both files together
RTOL = 1e-5  # of scores that are no integers: that of an export (hepad.trigger.export.closure_test)
FIRST = 10  # events that differ, which are kept for people


class Flips(NamedTuple):
    """Events that pass ``threshold`` in one file alone; ``rate``: of the common events, with its binomial interval."""

    threshold: float
    only_a: int
    only_b: int
    rate: Efficiency


class Difference(NamedTuple):
    """An event: the row in the first file, its key, both scores."""

    row: int
    key: tuple[int, ...]
    a: float
    b: float


@dataclass
class Comparison:
    """What :func:`compare` finds.

    key: names of what events are matched by; rtol, atol: that were used; both, only_a, only_b: numbers of events; nan:
    rows without a score, of each file; differ: common events whose scores differ; largest: difference of two finite
    scores; first: events that differ, by their place in the first file; flips: of every threshold
    """

    key: tuple[str, ...]
    rtol: float
    atol: float
    both: int = 0
    only_a: int = 0
    only_b: int = 0
    nan: list[int] = field(default_factory=lambda: [0, 0])
    differ: int = 0
    largest: float = 0.0
    first: list[Difference] = field(default_factory=list)
    flips: dict[str, Flips] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether both files have the same events with the same scores, to the tolerance, and the same decisions."""
        flipped = any(flips.only_a or flips.only_b for flips in self.flips.values())
        return not (self.only_a or self.only_b or self.differ or flipped)


class Column(NamedTuple):
    """A column of scores in a file."""

    file: ScoreFile
    name: str


class Events(NamedTuple):
    """m events ordered by key: keys (m, k), scores (m,), first row of each (m,), and how many rows were NaN."""

    keys: np.ndarray
    scores: np.ndarray
    rows: np.ndarray
    nan: int


def compare(
    a: Column,
    b: Column,
    rtol: float | None = None,
    atol: float | None = None,
    thresholds: dict[str, float] | None = None,
    to: str | Path | None = None,
) -> Comparison:
    """Compare the scores of two files.

    Parameters
    ----------
    a, b: columns of scores
    rtol, atol: tolerance as above; None: that which the first line of ``a`` states; else 0 of integers, and ``RTOL``
        and 0 of others
    thresholds: {name: score above which an event passes}; None: those that the first line of ``a`` states
    to: a CSV for all events that differ, in the order of the first file within each part

    Raises
    ------
    InputError: no common key or event, or an event twice in one file
    """
    key, rows, integers = _survey(a, b)
    about = a.file.about
    rtol = _stated(about, "rtol", 0.0 if integers else RTOL) if rtol is None else rtol
    atol = _stated(about, "atol", 0.0) if atol is None else atol
    named = _thresholds(a.file) if thresholds is None else thresholds
    found, counts = Comparison(key, rtol, atol), {name: np.zeros(2, int) for name in named}
    parts = -(-rows // ROWS)
    with _differences(to, key) as write:
        for part in range(parts):
            x, y = (_events(column, key, part, parts) for column in (a, b))
            at_x, at_y = _common(x.keys, y.keys)
            found.both += len(at_x)
            found.only_a += len(x.keys) - len(at_x)
            found.only_b += len(y.keys) - len(at_x)
            found.nan = [n + events.nan for n, events in zip(found.nan, (x, y), strict=True)]
            s, t = _alike(x.scores[at_x], y.scores[at_y])
            finite = np.isfinite(s) & np.isfinite(t)
            distance = np.abs(s[finite] - t[finite])
            same = (s == t) | (np.isnan(s) & np.isnan(t))
            same[finite] |= distance <= atol + rtol * np.abs(s[finite])
            found.largest = max(found.largest, float(distance.max(initial=0)))
            differ = np.flatnonzero(~same)
            differ = differ[np.argsort(x.rows[at_x][differ])]
            found.differ += len(differ)
            events = (Difference(int(x.rows[at_x[i]]), tuple(x.keys[at_x[i]].tolist()), s[i].item(), t[i].item())
                      for i in differ[: None if to else FIRST])  # fmt: skip
            found.first = sorted([*found.first, *write(events)])[:FIRST]
            for name, threshold in named.items():
                passes = [values > np.float64(threshold) for values in (s, t)]
                counts[name] += [np.count_nonzero(passes[0] & ~passes[1]), np.count_nonzero(passes[1] & ~passes[0])]
    if not found.both:
        raise InputError(
            f"{a.file.path} and {b.file.path}: none of {found.only_a} and {found.only_b} events is in both, by "
            f"{', '.join(key)}. Give two files of the same events."
        )
    for name, (only_a, only_b) in counts.items():
        total = int(only_a + only_b)
        low, high = (float(x) for x in clopper_pearson(total, found.both))
        rate = Efficiency(total / found.both, low, high, total, found.both)
        found.flips[name] = Flips(float(named[name]), int(only_a), int(only_b), rate)
    return found


def score_column(file: ScoreFile, name: str | None, other: ScoreFile) -> str:
    """The column ``name``; None: the only one of scores, or the only one that ``other`` has as well."""
    if name is not None:
        return name
    own = [name for name in file.names if name == "score" or name.startswith("score_")]
    shared = [name for name in own if name in other.names]
    for found in (own, shared):
        if len(found) == 1:
            return found[0]
    listed = ", ".join(own) or f"none among {', '.join(file.names)}"
    raise InputError(f"{file.path}: which column has the scores ({listed})? Choose it with --score.")


def _stated(about: dict, name: str, otherwise: float) -> float:
    value = about.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def _thresholds(file: ScoreFile) -> dict[str, float]:
    stated = file.about.get("thresholds", {})
    if not isinstance(stated, dict) or not all(isinstance(value, int | float) for value in stated.values()):
        raise InputError(f"{file.path}: the 'thresholds' of its first line are no numbers with names. Correct them.")
    return stated


def _survey(a: Column, b: Column) -> tuple[tuple[str, ...], int, bool]:
    """Names of the key, the rows of the larger file, and whether both scores are integers."""
    keys = [key for key in KEYS if all(set(key) <= {*column.file.names} for column in (a, b))]
    if not keys:
        raise InputError(
            f"{a.file.path} and {b.file.path}: nothing tells which events are the same. Both need the columns "
            f"{'; or '.join(', '.join(key) for key in KEYS)}."
        )
    known, rows, kinds = dict.fromkeys(keys, True), [], []
    for column in (a, b):
        rows.append(0)
        for block in column.file.blocks([*dict.fromkeys(name for key in keys for name in key), column.name]):
            rows[-1] += len(block[column.name])
            kinds.append(block[column.name].dtype.kind)
            known[KEYS[0]] = known.get(KEYS[0], False) and all((block[name] != -1).all() for name in KEYS[0])
    usable = [key for key in keys if known[key]]
    if not usable:
        raise InputError(f"{a.file.path} and {b.file.path}: an event has no number (-1), and there is no event_id.")
    return usable[0], max(rows), "f" not in kinds


def _events(column: Column, key: tuple[str, ...], part: int, parts: int) -> Events:
    """The events of one part of a file."""
    jet = [name for name in JET if name in column.file.names]
    held: dict[str, list[np.ndarray]] = {name: [] for name in (*key, *jet, column.name, "row")}
    first = 0
    for block in column.file.blocks([*key, *jet, column.name]):
        for name in key:
            if block[name].dtype.kind == "f":
                raise InputError(f"{column.file.path}: '{name}' has numbers that are not whole. Write integers.")
        block["row"] = np.arange(first, first + len(block[key[-1]]))
        first += len(block["row"])
        rows = block[key[-1]] % parts == part
        for name, values in block.items():
            held[name].append(values[rows])
    columns = {name: np.concatenate(values or [np.zeros(0, np.int64)]) for name, values in held.items()}
    order = np.lexsort([columns[name] for name in ("row", *jet[::-1], *key[::-1])])
    columns = {name: values[order] for name, values in columns.items()}
    keys = np.stack([columns[name].astype(np.int64) for name in key], axis=1)
    new = _changes(keys)
    if len(twice := np.flatnonzero(~(new | _changes(np.stack([columns[name] for name in jet], 1) if jet else keys)))):
        numbers = ", ".join(f"{name} {value}" for name, value in zip(key, keys[twice[0]].tolist(), strict=True))
        places = " and ".join(str(columns["row"][twice[0] - i]) for i in (1, 0))
        raise InputError(
            f"{column.file.path}: {len(twice)} rows are of an event that is there already, first {numbers} (rows "
            f"{places}, counted from 0). Score one sample at a time, or leave the second out."
        )
    starts, scores = np.flatnonzero(new), columns[column.name]
    highest = np.fmax.reduceat(scores, starts) if len(starts) else scores
    rows = np.minimum.reduceat(columns["row"], starts) if len(starts) else starts
    return Events(keys[starts], highest, rows, int(np.count_nonzero(np.isnan(scores))))


def _changes(rows: np.ndarray) -> np.ndarray:
    """(n,) whether each of the rows (n, k) differs from the one before it; the first does."""
    return np.append(np.ones(min(len(rows), 1), bool), (rows[1:] != rows[:-1]).any(axis=1))


def _common(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that both have, each without repetition."""
    together = np.concatenate([x, y])
    order = np.lexsort(together.T[::-1])  # stable: of two alike that of x comes first
    pairs = np.flatnonzero(~_changes(together[order]))
    return order[pairs - 1], order[pairs] - len(x)


def _alike(s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both scores rounded to single precision if one of them has no more; integers stay integers if both are."""
    if "f" not in (s.dtype.kind, t.dtype.kind):
        return s.astype(np.int64), t.astype(np.int64)
    single = np.float32 in (s.dtype, t.dtype)
    s, t = ((x.astype(np.float32) if single else x).astype(np.float64) for x in (s, t))
    return s, t


@contextmanager
def _differences(to: str | Path | None, key: tuple[str, ...]) -> Iterator[Callable[[Iterator], Sequence[Difference]]]:
    """A function that writes events to the CSV ``to``, if there is one, and gives back the first of them."""

    def first(events: Iterator[Difference], writer=None) -> list[Difference]:
        kept = []
        for event in events:
            if writer:
                writer.writerow([*event.key, repr(event.a), repr(event.b), repr(event.b - event.a)])
            if len(kept) < FIRST:
                kept.append(event)
        return kept

    if to is None:
        yield first
        return
    with atomic_path(to) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*key, "a", "b", "difference"])
        yield lambda events: first(events, writer)
