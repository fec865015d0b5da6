"""Event vectors: named variables of the probe jet's substructure and of the event around it.

Values are physical, in GeV and radians, and not transformed: detectors standardise what they are fed.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
import torch

from hepad.errors import InputError, choose
from hepad.events import Events
from hepad.kinematics import delta_phi
from hepad.representations import clustering, substructure
from hepad.representations.base import Representation, Space
from hepad.representations.matrix import FEATURES

JET_PT_MIN = 30.0


class Quantities:
    """What several variables of one block of events share, computed when first asked for."""

    def __init__(self, events: Events):
        self.events = events
        self.constituents = events.constituents

    @cached_property
    def branch(self) -> clustering.Branch:
        return clustering.primary_branch(clustering.cluster(self.constituents, clustering.CAMBRIDGE))

    @cached_property
    def groomed(self) -> clustering.Groomed:
        return clustering.soft_drop(self.branch)

    @cached_property
    def tau(self) -> np.ndarray:
        return clustering.n_subjettiness(self.constituents)

    @cached_property
    def e(self) -> tuple[np.ndarray, np.ndarray]:
        return substructure.energy_correlations(self.constituents)

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        return substructure.axes(self.constituents)

    @cached_property
    def jets_pt(self) -> np.ndarray:
        """(N, K) pt of the jets above ``JET_PT_MIN``, falling; 0 where there is none."""
        pt = self.events.jets[..., 0]
        return -np.sort(-np.where(pt > JET_PT_MIN, pt, 0), axis=1)


class Variable(NamedTuple):
    """One column: how it is computed, its unit, what it means, and what of the event it needs besides the jet."""

    compute: Callable[[Quantities], np.ndarray]
    unit: str
    meaning: str
    needs: str | None = None


def _planar_flow(q: Quantities) -> np.ndarray:
    major, minor = q.axes
    return substructure.ratio(2 * major * minor, major**2 + minor**2) ** 2


def _second_jet_pt(q: Quantities) -> np.ndarray:
    return q.jets_pt[:, 1] if q.jets_pt.shape[1] > 1 else np.zeros(len(q.events))


def _count(objects: np.ndarray) -> np.ndarray:
    return (objects[..., 0] > 0).sum(axis=1)


VARIABLES = {
    "jet_pt": Variable(lambda q: q.events.jet[:, 0], "GeV", "pT of the jet"),
    "jet_abs_eta": Variable(lambda q: np.abs(q.events.jet[:, 1]), "", "|η| of the jet"),
    "mass": Variable(lambda q: substructure.mass(q.constituents), "GeV", "mass of the jet's constituents"),
    "soft_drop_mass": Variable(lambda q: q.groomed.mass, "GeV", "mass after soft drop, β = 0, z_cut = 0.1"),
    "soft_drop_angle": Variable(lambda q: q.groomed.angle, "rad", "angle R_g of the splitting that passes soft drop"),
    "soft_drop_sharing": Variable(lambda q: q.groomed.sharing, "", "momentum sharing z_g of that splitting"),
    "lund_multiplicity": Variable(
        lambda q: clustering.lund_multiplicity(q.branch), "", "primary C/A splittings with kT > 1 GeV"
    ),
    "tau1": Variable(lambda q: q.tau[0], "", "1-subjettiness, β = 1, R0 = 0.8"),
    "tau2": Variable(lambda q: q.tau[1], "", "2-subjettiness"),
    "tau3": Variable(lambda q: q.tau[2], "", "3-subjettiness"),
    "tau21": Variable(lambda q: substructure.ratio(q.tau[1], q.tau[0]), "", "τ2 / τ1; 0 for up to two constituents"),
    "tau32": Variable(lambda q: substructure.ratio(q.tau[2], q.tau[1]), "", "τ3 / τ2; 0 for up to three constituents"),
    "e2": Variable(lambda q: q.e[0], "", "two-point energy correlation, β = 1"),
    "e3": Variable(lambda q: q.e[1], "", "three-point energy correlation, β = 1"),
    "c2": Variable(lambda q: substructure.ratio(q.e[1], q.e[0] ** 2), "", "C2 = e3 / e2²"),
    "d2": Variable(lambda q: substructure.ratio(q.e[1], q.e[0] ** 3), "", "D2 = e3 / e2³"),
    "pt_dispersion": Variable(lambda q: substructure.pt_dispersion(q.constituents), "", "sqrt(Σ pT²) / Σ pT"),
    "leading_fraction": Variable(
        lambda q: substructure.leading_fraction(q.constituents), "", "pT share of the hardest constituent"
    ),
    "girth": Variable(lambda q: substructure.girth(q.constituents), "rad", "pT-weighted mean distance to the axis"),
    "major_axis": Variable(lambda q: q.axes[0], "rad", "pT-weighted spread along the principal axis"),
    "minor_axis": Variable(lambda q: q.axes[1], "rad", "pT-weighted spread across the principal axis"),
    "planar_flow": Variable(_planar_flow, "", "0 for a line, 1 for a disc"),
    "multiplicity": Variable(lambda q: substructure.multiplicity(q.constituents), "", "number of constituents"),
    "met": Variable(lambda q: q.events.met[:, 0], "GeV", "missing transverse momentum", "met"),
    "met_over_jet_pt": Variable(
        lambda q: q.events.met[:, 0] / q.events.jet[:, 0], "", "missing transverse momentum over the jet's pT", "met"
    ),
    "delta_phi_jet_met": Variable(
        lambda q: np.abs(delta_phi(q.events.jet[:, 2], q.events.met[:, 1])),
        "rad",
        "|Δφ| of jet and missing momentum",
        "met",
    ),
    "n_jets": Variable(lambda q: _count(q.jets_pt[..., None]), "", "number of jets with pT > 30 GeV", "jets"),
    "ht": Variable(lambda q: q.jets_pt.sum(axis=1), "GeV", "scalar pT sum of the jets with pT > 30 GeV", "jets"),
    "second_jet_pt": Variable(
        _second_jet_pt, "GeV", "pT of the second hardest jet above 30 GeV; 0 if there is none", "jets"
    ),
    "n_electrons": Variable(lambda q: _count(q.events.electrons), "", "number of electrons", "electrons"),
    "n_muons": Variable(lambda q: _count(q.events.muons), "", "number of muons", "muons"),
    "n_photons": Variable(lambda q: _count(q.events.photons), "", "number of photons", "photons"),
}


def with_units(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of variables, or of an object's features, as they stand at an axis: 'mass [GeV]', 'jet1_px [GeV]'."""

    def unit(name: str) -> str:
        return VARIABLES[name].unit if name in VARIABLES else FEATURES[name.rpartition("_")[2]]

    return tuple(f"{name} [{unit(name)}]" if unit(name) else name for name in columns)


SUBSTRUCTURE = (
    "mass", "soft_drop_mass", "tau21", "tau32", "c2", "d2", "pt_dispersion", "girth", "multiplicity",
    "leading_fraction", "planar_flow", "lund_multiplicity",
)  # fmt: skip


@final
class EventVector(Representation):
    """(N, D) float32 of D named variables; only those asked for are computed.

    Parameters
    ----------
    variables: names out of ``VARIABLES``, each once

    Raises
    ------
    InputError: a variable is unknown (the message lists the allowed ones), repeated, or none is given.
    """

    def __init__(self, variables: Sequence[str] = SUBSTRUCTURE):
        if isinstance(variables, str) or not variables:
            raise InputError(f"EventVector: variables = {variables!r} must be a list of at least one name.")
        self.variables = tuple(choose("EventVector: variable", name, VARIABLES) for name in variables)
        for name in self.variables:
            if self.variables.count(name) > 1:
                raise InputError(f"EventVector: variable '{name}' is listed twice. Remove one.")

    @property
    def space(self) -> Space:
        return Space(shape=(len(self.variables),), columns=self.variables)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(VARIABLES[name].needs for name in self.variables) - {None}

    @property
    def needs_constituents(self) -> bool:
        return any(VARIABLES[name].needs is None and name not in ("jet_pt", "jet_abs_eta") for name in self.variables)

    def transform(self, events: Events) -> torch.Tensor:
        quantities = Quantities(events)
        columns = [VARIABLES[name].compute(quantities) for name in self.variables]
        return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
