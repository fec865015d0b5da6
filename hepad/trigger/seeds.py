"""Seeds of a menu as conditions on the objects of an event.

    jet_pt > 180
    ht > 280 & n_jets >= 2
    any(jets_pt > 60 & abs(jets_eta) < 2.5) & met > 90
    sum(muons_pt > 15) >= 1 & sum(muons_pt > 7) >= 2          two muons

They are the expressions of :mod:`hepad.events.expressions`, but for ``& | ~``, also written ``&& || !``, which bind as
'and', 'or' and 'not' do, weaker than comparisons. What may stand in them, in GeV and radians:

- quantities of the event: those of :data:`hepad.events.observables.OBSERVABLES`, and ``met_phi``
- lists of its objects by falling pT: ``jets_``, ``electrons_``, ``muons_``, ``photons_``, ``taus_`` with ``pt``,
  ``eta``, ``phi``, ``mass``, and ``jets_b_tag``
- the trigger bits of its file, by their names

Of an event with several probe jets the first one is meant by ``jet_``.
"""

import re
from collections.abc import Iterable, Mapping

import awkward as ak
import numpy as np

from hepad.errors import InputError, at, check_choice
from hepad.events import FOUR_VECTOR, Events
from hepad.events.expressions import evaluate, names_in
from hepad.events.observables import OBSERVABLES, Measured, available
from hepad.trigger.menu import Menu

COLLECTIONS = ("jets", "electrons", "muons", "photons", "taus")
QUANTITIES = tuple(name for name in OBSERVABLES if name not in ("weight", "constituents_pt_share"))
OBJECTS = {f"{collection}_{x}": (collection, i) for collection in COLLECTIONS for i, x in enumerate(FOUR_VECTOR)}
KNOWN = (*QUANTITIES, "met_phi", *OBJECTS, "jets_b_tag")
SPELLING = ((r"&&?", " and "), (r"\|\|?", " or "), (r"~|!(?!=)", " not "))


def check_seed(text: str, bits: Iterable[str] = ()) -> None:
    """InputError unless a seed is an expression of what is known and of the trigger bits ``bits``."""
    if not isinstance(text, str):
        raise InputError(f"{text!r} is no condition. Write one, such as 'jet_pt > 180'.")
    names = names_in(_spelt(text), frozenset(bits))
    for name in sorted(names):
        check_choice("quantity", name, (*KNOWN, *bits))
    if not names:
        raise InputError(f"'{text}' depends on nothing of the event. Write a condition, such as 'jet_pt > 180'.")
    _fired(text, _Nothing(bits))


def seed_bits(seeds: Mapping[str, str], events: Events) -> np.ndarray:
    """(N, S) bool, which of S seeds each of N events fires.

    Raises
    ------
    InputError: a seed is no condition, or the events lack a quantity of it

    Examples
    --------
    >>> seed_bits({"SingleJet180": "jet_pt > 180", "Mu22": "any(muons_pt > 22)"}, events).mean(axis=0)
    array([0.41, 0.02])
    """
    quantities, bits = _Quantities(events), np.zeros((len(events), len(seeds)), bool)
    for place, (name, text) in enumerate(seeds.items()):
        with at(f"menu.seeds.{name}"):
            bits[:, place] = _fired(text, quantities)
    return bits


def bits_of(menu: Menu, events: Events) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (T,) and bits (N, T) of the events' own triggers and of the seeds that the menu defines."""
    own = events.meta.get("triggers", ())
    if twice := sorted(set(own) & set(menu.seeds)):
        raise InputError(f"menu.seeds.{twice[0]}: the files have a trigger bit of this name. Choose another one.")
    names = (*own, *menu.seeds)
    return names, np.concatenate([events.triggers, seed_bits(menu.seeds, events)], axis=1)


class _Quantities(dict):
    """Quantities of N events by name, each made when it is first asked for."""

    def __init__(self, events: Events):
        super().__init__()
        self.events, self.measured = events, Measured(events)
        self.triggers = list(events.meta.get("triggers", ()))

    def __missing__(self, name: str):
        events = self.events
        if name in self.triggers and name not in KNOWN:
            self[name] = events.triggers[:, self.triggers.index(name)]
            return self[name]
        collection, feature = OBJECTS.get(name, ("jets" if name == "jets_b_tag" else None, None))
        counted = f"n_{collection}" if collection else "met" if name == "met_phi" else name
        if not available(events, [counted]):
            raise InputError(f"the events have no '{name}'. Leave it out, or read files that have it.")
        if collection:
            values = events.b_tag if feature is None else getattr(events, collection)[..., feature]
            self[name] = self._listed(collection, values)
        else:
            self[name] = events.met[:, 1] if name == "met_phi" else OBSERVABLES[name].compute(self.measured)
        return self[name]

    def _listed(self, collection: str, values: np.ndarray) -> ak.Array:
        """(N, *) values of the objects that exist, by falling pT."""
        pt = getattr(self.events, collection)[..., 0]
        order = np.argsort(-pt, axis=1, kind="stable")
        pt, values = (np.take_along_axis(x, order, axis=1) for x in (pt, values))
        return ak.unflatten(values[pt > 0], (pt > 0).sum(axis=1))


class _Nothing(dict):
    """The quantities of no event, by which a condition shows whether it is one."""

    events = ()

    def __init__(self, bits: Iterable[str]):
        super().__init__({name: np.zeros(0, bool) for name in bits})

    def __missing__(self, name: str):
        listed = name in OBJECTS or name == "jets_b_tag"
        return ak.unflatten(np.zeros(0), np.zeros(0, int)) if listed else np.zeros(0)


def _fired(text: str, quantities: "_Quantities | _Nothing") -> np.ndarray:
    """(N,) bool of one seed."""
    value = evaluate(_spelt(text), quantities)
    if isinstance(value, ak.Array) and value.ndim > 1:
        raise InputError(f"'{text}' is a list for each event. Write any(...), or how many there must be: sum(...) > 1.")
    bits = np.asarray(value)
    if bits.dtype != bool or bits.shape != (len(quantities.events),):
        raise InputError(f"'{text}' is a number, no condition. Compare it with one: 'jet_pt > 180'.")
    return bits


def _spelt(text: str) -> str:
    """A seed with 'and', 'or' and 'not', which bind weaker than comparisons."""
    for symbol, word in SPELLING:
        text = re.sub(symbol, word, text)
    return " ".join(text.split())
