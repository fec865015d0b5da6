"""The trigger menu beside a score: prescales of a table, trigger bits of the events, and what the menu accepts.

The table is a CSV with one seed per line and one column of prescales per luminosity, as CMS keeps them for L1
(cms-l1-dpg/L1MenuRun3): ``Index,Name,<columns>`` or ``Bit,Algo name,<columns>``. A prescale P >= 1, which may be
fractional, takes every P-th event that fires the seed, and 0 takes none. An event that fires the seeds b is accepted
with the probability

    a = 1 - Π_b (1 - 1/P_b)

as if the counters of the seeds were independent. a is 1 if one of the fired seeds has P = 1.

The bits must be decisions before prescales. Data taken with prescales hold decisions after them: there every bit is as
good as unprescaled, which :func:`unprescaled` says.
"""

import csv
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, choose

NAMES = ("Name", "Algo name")
INDICES = ("Index", "Bit")


class Menu(NamedTuple):
    """``prescales``: of each seed, 0 where it is off; ``source``: where they are from, for messages."""

    prescales: dict[str, float]
    source: str

    def without(self, patterns: Iterable[str]) -> "Menu":
        """The menu without the seeds that match one of the patterns, such as the trigger's own: ``L1_AXO_*``."""
        patterns = tuple(patterns)
        kept = {
            name: value
            for name, value in self.prescales.items()
            if not any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        return Menu(kept, self.source)


class Acceptance(NamedTuple):
    """What a menu does with events.

    Attributes
    ----------
    probability: (N,) in [0, 1], a
    matched: seeds that are on and that the events have a bit of
    missing: seeds that are on, but of which the events have no bit: the menu accepts more than is seen here
    unlisted: bits of the events that the menu does not know; they do not count
    partial: of the matched ones those that some of the files lack, whose events count as not accepted by them
    """

    probability: np.ndarray
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    partial: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """What does not fit, in words; empty if all does."""
        total = len(self.missing) + len(self.matched)
        return " ".join(
            f"{len(seeds)} of {total} seeds of the menu have no bit in {where} "
            f"({', '.join(seeds[:3])}{', ...' if len(seeds) > 3 else ''}): pure rates and gains are upper bounds."
            for where, seeds in (("the events", self.missing), ("some of the files", self.partial))
            if seeds
        )


def read_menu(path: str | Path, column: str) -> Menu:
    """The prescales in one column of a table; InputError if the file, the column or a prescale is bad."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(file), start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a prescale table ({error}). Check the path and the file.") from None
    lines = [(number, row) for number, row in lines if any(row)]
    if not lines or not (named := [i for i, name in enumerate(lines[0][1]) if name in NAMES]):
        raise InputError(f"{path}: the first line has no column 'Name'. A menu is a CSV: Index,Name,<prescales>.")
    header = lines[0][1]
    choose(f"{path}: column", column, [name for name in header if name and name not in (*NAMES, *INDICES)])
    if header.count(column) > 1:
        raise InputError(f"{path}: column '{column}' is there {header.count(column)} times. Give each its own name.")
    prescales: dict[str, float] = {}
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} cells under {len(header)} columns. Correct the line.")
        name = row[named[0]]
        if name in prescales or not name:
            raise InputError(f"{path}, line {number}: seed '{name}' is there twice or has no name. Correct the line.")
        prescales[name] = _prescale(row[header.index(column)], f"{path}, line {number}: {name}")
    return Menu(prescales, f"{path}, column {column}")


def unprescaled(names: Iterable[str], patterns: Iterable[str] = ("L1_*",)) -> Menu:
    """The menu of all bits that match one of the patterns, each with prescale 1."""
    patterns = tuple(patterns)
    found = {name: 1.0 for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
    if not found:
        raise InputError(f"menu: no trigger bit matches {', '.join(patterns)}. Correct the patterns.")
    return Menu(found, f"bits {', '.join(patterns)}")


def acceptance(menu: Menu, triggers: np.ndarray, names: Iterable[str], partial: Iterable[str] = ()) -> Acceptance:
    """How often the menu accepts each event.

    Parameters
    ----------
    menu: of :func:`read_menu` or :func:`unprescaled`
    triggers: (N, T) bool, ``Events.triggers``
    names: of the T bits, ``Events.meta['triggers']``; InputError if none of them is a seed that is on
    partial: those that some of the files lack, ``Events.meta['partial']``
    """
    names, triggers = tuple(names), np.asarray(triggers, bool)
    if triggers.ndim != 2 or triggers.shape[1] != len(names):
        raise InputError(f"menu: trigger bits of shape {triggers.shape} do not fit {len(names)} names. Check the file.")
    on = {name: value for name, value in menu.prescales.items() if value > 0}
    matched = tuple(name for name in names if name in on)
    if not matched:
        raise InputError(
            f"{menu.source}: none of the {len(on)} seeds that are on is among the events' {len(names)} trigger bits. "
            "Check the column, and the 'triggers' of the sample's entry."
        )
    prescale = np.array([on[name] for name in matched])
    bits = triggers[:, [names.index(name) for name in matched]]
    # log(1 - 1/P) is -inf for P = 1, hence the two kinds apart
    refused = np.exp(bits[:, prescale > 1] @ np.log1p(-1 / prescale[prescale > 1]))
    refused[bits[:, prescale == 1].any(axis=1)] = 0
    missing = tuple(name for name in on if name not in names)
    unlisted = tuple(name for name in names if name not in menu.prescales)
    return Acceptance(1 - refused, matched, missing, unlisted, tuple(name for name in matched if name in set(partial)))


def _prescale(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not (value == 0 or 1 <= value < np.inf):
        raise InputError(f"{where}: prescale '{text}' is neither 0 (off) nor a number from 1 on. Correct the line.")
    return value
