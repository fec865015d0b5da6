"""Observables: the one list of what is measured of an event, with symbols, units and how each is computed.

Event vectors, data quality, diagnostics and figures take theirs from here; those of a jet's substructure join them in
:mod:`hepad.representations.event_vector`. Values are physical, in GeV and radians.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hepad.events.events import FACTS, Events
from hepad.events.kinematics import delta_phi
from hepad.events.padding import sum_pt

JET_PT_MIN = 30.0  # GeV, of the jets that are counted and summed


class Measured:
    """Quantities that several observables of one block of events share, computed when first needed."""

    def __init__(self, events: Events):
        self.events = events
        self.constituents = events.constituents

    @cached_property
    def jets_pt(self) -> np.ndarray:
        """(N, K) pt of the jets above ``JET_PT_MIN``, falling; 0 where there is none."""
        pt = self.events.jets[..., 0]
        return -np.sort(-np.where(pt > JET_PT_MIN, pt, 0), axis=1)


class Observable(NamedTuple):
    """How it is computed, (N,) of N events; its symbol at axes; its unit; what it means; what it needs beside the jet.

    ``needs``: 'constituents', a collection of objects, 'met', or a fact of the events.
    """

    compute: Callable[[Measured], np.ndarray]
    symbol: str
    unit: str
    meaning: str
    needs: str | None = None

    @property
    def label(self) -> str:
        """As at an axis: 'jet mass [GeV]'."""
        return f"{self.symbol} [{self.unit}]" if self.unit else self.symbol


def _count(objects: np.ndarray) -> np.ndarray:
    return (objects[..., 0] > 0).sum(axis=1)


def _second_jet_pt(m: Measured) -> np.ndarray:
    return m.jets_pt[:, 1] if m.jets_pt.shape[1] > 1 else np.zeros(len(m.events))


OBSERVABLES = {
    "jet_pt": Observable(lambda m: m.events.jet[:, 0], "jet $p_T$", "GeV", "pT of the jet"),
    "jet_eta": Observable(lambda m: m.events.jet[:, 1], r"jet $\eta$", "", "η of the jet"),
    "jet_abs_eta": Observable(lambda m: np.abs(m.events.jet[:, 1]), r"jet $|\eta|$", "", "|η| of the jet"),
    "jet_phi": Observable(lambda m: m.events.jet[:, 2], r"jet $\phi$", "rad", "φ of the jet"),
    "jet_mass": Observable(lambda m: m.events.jet[:, 3], "jet mass", "GeV", "mass of the jet"),
    "multiplicity": Observable(
        lambda m: _count(m.constituents), "constituents", "", "number of constituents", "constituents"
    ),
    "constituents_pt_share": Observable(
        lambda m: np.round(sum_pt(m.constituents) / m.events.jet[:, 0], 3), r"$|\Sigma p_T|$ of constituents / jet", "",
        "pT of the constituents' sum over the jet's", "constituents"
    ),
    "met": Observable(
        lambda m: m.events.met[:, 0], "missing $p_T$", "GeV", "missing transverse momentum", "met"
    ),
    "met_over_jet_pt": Observable(
        lambda m: m.events.met[:, 0] / m.events.jet[:, 0], "missing $p_T$ / jet $p_T$", "",
        "missing transverse momentum over the jet's pT", "met"
    ),
    "delta_phi_jet_met": Observable(
        lambda m: np.abs(delta_phi(m.events.jet[:, 2], m.events.met[:, 1])), r"$|\Delta\phi|$ (jet, missing $p_T$)",
        "rad", "|Δφ| of jet and missing momentum", "met"
    ),
    "n_jets": Observable(
        lambda m: _count(m.jets_pt[..., None]), "jets", "", "number of jets with pT > 30 GeV", "jets"
    ),
    "ht": Observable(
        lambda m: m.jets_pt.sum(axis=1), "$H_T$", "GeV", "scalar pT sum of the jets with pT > 30 GeV", "jets"
    ),
    "second_jet_pt": Observable(
        _second_jet_pt, "second jet $p_T$", "GeV", "pT of the second hardest jet above 30 GeV; 0 if there is none",
        "jets"
    ),
    "n_electrons": Observable(
        lambda m: _count(m.events.electrons), "electrons", "", "number of electrons", "electrons"
    ),
    "n_muons": Observable(lambda m: _count(m.events.muons), "muons", "", "number of muons", "muons"),
    "n_photons": Observable(lambda m: _count(m.events.photons), "photons", "", "number of photons", "photons"),
    "n_taus": Observable(lambda m: _count(m.events.taus), r"hadronic $\tau$", "", "number of hadronic taus", "taus"),
    "weight": Observable(lambda m: m.events.weight, "weight", "", "weight of the event"),
    "pileup": Observable(
        lambda m: m.events.facts["pileup"], "true interactions", "", "collisions of the crossing", "pileup"
    ),
    "n_pv": Observable(
        lambda m: m.events.facts["n_pv"], "primary vertices", "", "reconstructed primary vertices", "n_pv"
    ),
    "cicada": Observable(
        lambda m: m.events.facts["cicada"], "CICADA score", "", "score that CMS's trigger CICADA gave the event",
        "cicada"
    ),
    "axol1tl": Observable(
        lambda m: m.events.facts["axol1tl"], "AXOL1TL score", "", "score that CMS's trigger AXOL1TL gave the event",
        "axol1tl"
    ),
}  # fmt: skip


def available(events: Events, names: Iterable[str] = OBSERVABLES) -> list[str]:
    """The observables of ``names`` that the events have; facts of only a part of the events are left out.

    >>> available(events, ("jet_pt", "met", "pileup"))
    ['jet_pt', 'met']
    """
    facts = events.facts.keys() - set(events.meta.get("partial", ()))
    present = set(events.meta.get("present", ("jets", "met"))) - set(FACTS) | facts
    if events.constituents.shape[1]:
        present.add("constituents")
    return [name for name in names if OBSERVABLES[name].needs in (None, *present)]


def measure(events: Events, names: Iterable[str] = OBSERVABLES) -> dict[str, np.ndarray]:
    """{label: (N,) float64} of the observables ``names`` that the events have, in their order."""
    measured = Measured(events)
    return {OBSERVABLES[name].label: np.asarray(OBSERVABLES[name].compute(measured), float)
            for name in available(events, names)}  # fmt: skip
