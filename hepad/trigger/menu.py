"""The trigger menu beside a score: prescales of a table, bits of the events, and what the menu accepts.

The table is a CSV with one seed per line and one column of prescales per luminosity, as CMS keeps them for L1
(cms-l1-dpg/L1MenuRun3): ``Index,Name,<columns>`` or ``Bit,Algo name,<columns>``. A prescale P >= 1, which may be
fractional, takes every P-th event that fires the seed, and 0 takes none. An event that fires the seeds b is accepted
with the probability

    a = 1 - Π_g (1 - a_g),    a_g = 1/P_b for a seed by itself

The counters of two seeds that fire in different events are independent; a is 1 if one of the fired seeds has P = 1.
Seeds g that fire in the same events of the background, ten or more, count in step, from the common start of a run on:
they accept the events whose number one of their prescales divides, a share of

    a_g = Σ_b 1/P_b - Σ_{b < c} 1/lcm(P_b, P_c) + ...

which is 1/P for equal prescales, however many seeds they are.

Bits are those in the files, or conditions on the objects of the events (:mod:`hepad.trigger.seeds`). Those of files
must be decisions before prescales. Data taken with prescales hold decisions after them: there every bit is as good as
unprescaled, which :func:`unprescaled` says.
"""

import csv
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import combinations
from math import lcm, prod
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.evaluation.efficiency import MIN_COUNT

NAMES = ("Name", "Algo name")
INDICES = ("Index", "Bit")
BLOCK = 2000  # events
MANY = 10  # different prescales in step; more are taken as independent


class Menu(NamedTuple):
    """Seeds.

    Attributes
    ----------
    prescales: of each seed, 0 where it is off
    source: where they are from, for messages
    seeds: conditions of those that are not bits of the files (:mod:`hepad.trigger.seeds`)
    """

    prescales: dict[str, float]
    source: str
    seeds: Mapping[str, str] = MappingProxyType({})

    def without(self, patterns: Iterable[str]) -> "Menu":
        """The menu without the seeds that match one of the patterns, such as the trigger's own: ``L1_AXO_*``."""
        patterns = tuple(patterns)
        kept = {
            name: value
            for name, value in self.prescales.items()
            if not any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        return Menu(kept, self.source, {name: text for name, text in self.seeds.items() if name in kept})


class Acceptance(NamedTuple):
    """The answer of a menu to events.

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
        """A sentence on seeds without a bit in the events; empty if there are none."""
        total = len(self.missing) + len(self.matched)
        return " ".join(
            f"{len(seeds)} of {total} seeds of the menu have no bit in {place} "
            f"({', '.join(seeds[:3])}{', ...' if len(seeds) > 3 else ''}): pure rates and gains are upper bounds."
            for place, seeds in (("the events", self.missing), ("some of the files", self.partial))
            if seeds
        )


def read_menu(path: str | Path, column: str) -> Menu:
    """The prescales in one column of a table; InputError if the file, the column or a prescale is bad.

    A seed may be there twice if both lines agree.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(file), start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a prescale table ({error}). Check the path and the file.") from None
    lines = [(number, row) for number, row in lines if any(row)]
    if not lines or not (named := [i for i, name in enumerate(lines[0][1]) if name in NAMES]):
        raise InputError(f"{path}: the first line has no column 'Name'. A menu is a CSV: Index,Name,<prescales>.")
    header = lines[0][1]
    check_choice(f"{path}: column", column, [name for name in header if name and name not in (*NAMES, *INDICES)])
    if header.count(column) > 1:
        raise InputError(f"{path}: column '{column}' is there {header.count(column)} times. Give each its own name.")
    prescales: dict[str, float] = {}
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} cells under {len(header)} columns. Correct the line.")
        name, where = row[named[0]], f"{path}, line {number}"
        if not name:
            raise InputError(f"{where}: the seed has no name. Correct the line.")
        prescale = _prescale(row[header.index(column)], f"{where}: {name}")
        if prescales.setdefault(name, prescale) != prescale:
            raise InputError(f"{where}: seed '{name}' is there twice, with two prescales. Correct the line.")
    return Menu(prescales, f"{path}, column {column}")


def unprescaled(names: Iterable[str], patterns: Iterable[str] = ("L1_*",)) -> Menu:
    """The menu of all bits that match one of the patterns, each with prescale 1."""
    patterns = tuple(patterns)
    prescales = {name: 1.0 for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
    if not prescales:
        raise InputError(f"menu: no trigger bit matches {', '.join(patterns)}. Correct the patterns.")
    return Menu(prescales, f"bits {', '.join(patterns)}")


def in_step(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """(T,) a number for each trigger bit; bits that are set in the same MIN_COUNT events or more share theirs.

    ``blocks``: (N, T) bool, of all events of the background.
    """
    rng, sums, count = np.random.default_rng(0), np.zeros(0, np.uint64), np.zeros(0, int)
    for bits in blocks:  # a random number for each event: equal sums are of equal events
        if not len(sums):
            sums, count = np.zeros(bits.shape[1], np.uint64), np.zeros(bits.shape[1], int)
        for start in range(0, len(bits), BLOCK):
            block = bits[start : start + BLOCK]
            sums += rng.integers(2**64, size=len(block), dtype=np.uint64) @ block.astype(np.uint64)
            count += block.sum(axis=0)
    group = np.unique(sums, return_inverse=True)[1]
    return np.where(count < MIN_COUNT, len(group) + np.arange(len(group)), group)


def acceptance(
    menu: Menu,
    triggers: np.ndarray,
    names: Iterable[str],
    partial: Iterable[str] = (),
    groups: np.ndarray | None = None,
) -> Acceptance:
    """How often the menu accepts each event.

    Parameters
    ----------
    menu: of :func:`read_menu` or :func:`unprescaled`
    triggers: (N, T) bool, ``Events.triggers``
    names: of the T bits, ``Events.meta['triggers']``; InputError if none of them is a seed that is on
    partial: those that some of the files lack, ``Events.meta['partial']``
    groups: (T,) of :func:`in_step`; None: of these events
    """
    found, bits, prescale, groups = _matched(menu, triggers, names, groups)
    refused = np.ones(len(bits))
    for group in np.unique(groups):
        refused *= 1 - _accepted(bits[:, groups == group], prescale[groups == group])
    partial = tuple(name for name in found.matched if name in set(partial))
    return found._replace(probability=1 - refused, partial=partial)


def acceptance_of_others(
    menu: Menu, triggers: np.ndarray, names: Iterable[str], groups: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """How often the menu accepts each event, (N,), and of each matched seed its bits and the same without it.

    The parameters are those of :func:`acceptance`.
    """
    found, bits, prescale, groups = _matched(menu, triggers, names, groups)
    numbers = np.unique(groups)
    refused = np.stack([1 - _accepted(bits[:, groups == g], prescale[groups == g]) for g in numbers])
    ones = np.ones((1, len(bits)))
    before = np.concatenate([ones, np.cumprod(refused, axis=0)[:-1]])
    after = np.concatenate([np.cumprod(refused[::-1], axis=0)[:-1][::-1], ones])
    others = {}
    for place, name in enumerate(found.matched):
        beside = (groups == groups[place]) & (np.arange(len(groups)) != place)
        left = 1 - _accepted(bits[:, beside], prescale[beside]) if beside.any() else 1.0
        g = np.searchsorted(numbers, groups[place])
        others[name] = bits[:, place], 1 - before[g] * after[g] * left
    return 1 - refused.prod(axis=0), others


def _matched(menu: Menu, triggers, names, groups) -> tuple[Acceptance, np.ndarray, np.ndarray, np.ndarray]:
    """What is matched, and of those seeds the bits (N, S), prescales (S,) and groups (S,)."""
    names, triggers = tuple(names), np.asarray(triggers, bool)
    if triggers.ndim != 2 or triggers.shape[1] != len(names):
        raise InputError(f"menu: trigger bits of shape {triggers.shape} do not fit {len(names)} names. Check the file.")
    seeds = {name: value for name, value in menu.prescales.items() if value > 0}
    matched = tuple(name for name in names if name in seeds)
    if not matched:
        raise InputError(
            f"{menu.source}: none of the {len(seeds)} seeds that are on is among the events' {len(names)} trigger "
            "bits. Check the column, and the 'triggers' of the sample's entry."
        )
    prescale, places = np.array([seeds[name] for name in matched]), [names.index(name) for name in matched]
    bits, groups = triggers[:, places], (in_step([triggers]) if groups is None else groups)[places]
    missing = tuple(name for name in seeds if name not in names)
    unlisted = tuple(name for name in names if name not in menu.prescales)
    return Acceptance(np.zeros(0), matched, missing, unlisted), bits, prescale, groups


def _accepted(bits: np.ndarray, prescale: np.ndarray) -> np.ndarray:
    """(N,) how often each event is accepted by seeds in step, from their bits (N, S) and prescales (S,)."""
    if len(prescale) == 1:
        return bits[:, 0] / prescale[0]
    patterns, number = np.unique(bits, axis=0, return_inverse=True)
    return np.array([_divided(prescale[pattern]) for pattern in patterns])[number.reshape(-1)]


def _divided(prescales: Iterable[float]) -> float:
    """The share of the whole numbers that one of the prescales divides; fractional ones as if independent."""
    different = sorted(set(prescales))
    whole = [int(p) for p in different if p == int(p)]
    whole = [p for i, p in enumerate(whole) if not any(p % smaller == 0 for smaller in whole[:i])]
    if len(whole) > MANY:
        return 1 - prod(1 - 1 / p for p in different)
    chosen = (subset for k in range(1, len(whole) + 1) for subset in combinations(whole, k))
    share = sum((-1) ** (len(subset) + 1) / lcm(*subset) for subset in chosen)
    return 1 - (1 - share) * prod(1 - 1 / p for p in different if p != int(p))


def _prescale(text: str, line: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not (value == 0 or 1 <= value < np.inf):
        raise InputError(f"{line}: prescale '{text}' is neither 0 (off) nor a number from 1 on. Correct the line.")
    return value
