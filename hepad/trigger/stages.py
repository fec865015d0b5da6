"""Stages of a trigger: what a menu accepts of events, and samples behind a first stage, counted.

A detector stands beside the seeds of its own stage, and may stand behind an earlier one that accepts an event with the
probability a_1 (:mod:`hepad.trigger.menu`); a_2 is that of its own stage's menu. Of the whole sample an event counts

    total: a_1,    pure: a_1 (1 - a_2),    overlap: a_1 a_2

so that rates are those of events that both stages accept, and ε_S is the share of all signal events.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, at, check_choice
from hepad.evaluation.scored_sample import Rows
from hepad.evaluation.streaming import GROUPS, Sample, StreamingDistribution
from hepad.events import Events
from hepad.trigger.menu import Acceptance, Menu, acceptance, acceptance_of_others, in_step, read_menu, unprescaled
from hepad.trigger.rates import RATES
from hepad.trigger.seeds import bits_of, check_seed

MENU_KEYS = ("table", "column", "bits", "seeds", "without")


class Stages(NamedTuple):
    """``menu`` of the detector's own stage, ``after``: of the one before it, ``of``: which rate budgets are for."""

    menu: Menu | None
    after: Menu | None
    of: str


ALONE = Stages(None, None, "total")  # a detector without a menu


def stages_of(entry: dict | None, bits: Iterable[str]) -> Stages:
    """The stages of a configuration's ``menu``.

    Parameters
    ----------
    entry: {table, column}, {bits: [patterns]} or {seeds: {name: condition}}, the last also with one of the others;
        {without: [patterns]}; {budget: 'pure' or 'total'}, by default pure; {after: a menu like this one, but for
        'budget' and 'after'}. None: there is no menu, and only a total rate
    bits: trigger bits of the background
    """
    if not entry:
        return ALONE
    check_keys(entry)
    own, bits, after = own_keys(entry), tuple(bits), None
    if "after" in entry:
        with at("menu.after"):
            after = _menu(entry["after"], bits)
    menu = _menu(own, bits) if own or after is None else None
    budget = entry.get("budget", "pure" if menu else "total")
    if menu is None and budget == "pure":
        raise InputError("menu.budget: a pure rate needs other seeds beside the detector. Add them, or leave it out.")
    return Stages(menu, after, budget)


def check_keys(entry: dict) -> None:
    """InputError unless the keys of a ``menu`` are known and go together; no file is looked at."""
    for key in entry:
        check_choice("menu: key", key, (*MENU_KEYS, "budget", "after"))
    check_choice("menu.budget", entry.get("budget", RATES[0]), RATES[:2])
    with at("menu.after"):
        for key in entry.get("after", ()):
            check_choice("key", key, MENU_KEYS)
    own = own_keys(entry)
    for where, part in (("menu", own if own or "after" not in entry else None), ("menu.after", entry.get("after"))):
        if part is None:
            continue
        few, torn = not {"bits", "table", "seeds"} & set(part), ("column" in part) != ("table" in part)
        if few or torn or {"bits", "table"} <= set(part):
            raise InputError(
                f"{where}: give a prescale table, 'table' and 'column', or 'bits', a list of patterns, or 'seeds', a "
                "condition for each name."
            )


def own_keys(entry: dict) -> dict:
    """What a ``menu`` says of its own stage."""
    return {key: value for key, value in entry.items() if key in MENU_KEYS}


def _menu(entry: dict, bits: tuple[str, ...]) -> Menu:
    seeds = entry.get("seeds", {})
    for name, text in seeds.items():
        with at(f"menu.seeds.{name}"):
            check_seed(text, bits)
            if name in bits:
                raise InputError("the files have a trigger bit of this name. Choose another one.")
    if "table" in entry:
        menu = read_menu(entry["table"], entry["column"])
        for name in seeds:
            check_choice(f"menu.seeds: {menu.source}: seed", name, menu.prescales)
        menu = menu._replace(seeds=dict(seeds))
    else:
        own = unprescaled(bits, entry["bits"]) if "bits" in entry else Menu({}, "seeds")
        menu = Menu(own.prescales | dict.fromkeys(seeds, 1.0), own.source, dict(seeds))
    return menu.without(entry.get("without", ()))


class Decision:
    """What a menu decides of events; seeds that are in step in the background are so everywhere.

    Parameters
    ----------
    menu: its seeds
    background: its events in blocks, gone through once
    """

    def __init__(self, menu: Menu, background: Iterable[Events]):
        self.menu, names = menu, []

        def bits():
            for events in background:
                names[:], found = bits_of(menu, events)
                yield found

        self.steps = dict(zip(names, in_step(bits()).tolist(), strict=True))

    def __call__(self, sample: str, events: Events) -> Acceptance:
        """How often the menu accepts each event."""
        with at(f"samples.{sample}"):
            names, bits = bits_of(self.menu, events)
            return acceptance(self.menu, bits, names, events.meta.get("partial", ()), self._groups(names))

    def each(self, sample: str, events: Events) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """How often the menu accepts each event, and of each seed its bits and how often the others accept it."""
        with at(f"samples.{sample}"):
            names, bits = bits_of(self.menu, events)
            return acceptance_of_others(self.menu, bits, names, self._groups(names))

    def _groups(self, names: tuple[str, ...]) -> np.ndarray:
        # a bit that the background lacks is in step with no other
        return np.array([self.steps.get(bit, -1 - i) for i, bit in enumerate(names)], int)


def decisions(stages: Stages, background: Iterable[Rows]) -> tuple[Decision | None, Decision | None]:
    """Those of the first stage and of the menu; None where there is none."""
    first, own = (menu and Decision(menu, (events for events, _ in background)) for menu in (stages.after, stages.menu))
    return first, own


def processes_in(events: Events) -> dict[str, np.ndarray]:
    """{name: (n,) mask} of the processes of a sum, and of the sample itself, ''."""
    masks = {"": np.ones(len(events), bool)}
    if names := events.meta.get("processes"):
        masks |= {name: events.truth["process"] == number for number, name in enumerate(names)}
    return masks


class Counted:
    """Collects the events of a sample by score, block by block, behind a first stage if there is one.

    What it counts as having passed are events above a threshold, of which a first stage may have refused some.
    """

    def __init__(self, name: str, groups: int = GROUPS):
        self.name, self.groups, self.parts = name, groups, {}

    def add(self, scores, weights, cluster, menu=None, after=None) -> None:
        """Add n events, of every cluster all; ``menu`` and ``after`` are (n,) acceptances, or None."""
        if after is None:
            shares = {"all": menu}
        elif menu is None:
            shares = {"total": after}
        else:
            shares = {"total": after, "pure": after * (1 - menu), "overlap": after * menu}
        for key, share in shares.items():
            self.parts.setdefault(key, StreamingDistribution(self.name, self.groups)).add(
                scores, weights, share, cluster
            )

    def sample(self) -> Sample:
        """The sample; InputError if it is empty."""
        if not self.parts:
            StreamingDistribution(self.name).sample()  # says that it is empty
        found = {key: part.sample() for key, part in self.parts.items()}
        if "all" in found:
            return found["all"]
        counted = {key: of.overlap for key, of in found.items()}
        return Sample(self.name, **counted, menu=found["overlap"].menu if "overlap" in found else None)
