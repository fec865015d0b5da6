"""Event vectors: named variables of the probe jet's substructure and of the event around it.

Values are physical, in GeV and radians, and not transformed: detectors standardise what they are fed.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import final

import numpy as np
import torch

from hepad.errors import InputError, check_choice
from hepad.events import MEASURES, Events
from hepad.events.observables import OBSERVABLES, Measured, Observable
from hepad.representations import declustering, substructure
from hepad.representations.base import Representation, Space, check_names
from hepad.representations.constituents import FEATURES as OF_CONSTITUENTS
from hepad.representations.event_matrix import FEATURES as OF_OBJECTS


class Substructure(Measured):
    """Quantities that several variables of the substructure share."""

    @cached_property
    def jets(self) -> substructure.Jets:
        return substructure.Jets(self.constituents)

    @cached_property
    def branch(self) -> declustering.Branch:
        return declustering.primary_branch(declustering.cluster(self.jets, declustering.CAMBRIDGE))

    @cached_property
    def groomed(self) -> declustering.Groomed:
        return declustering.soft_drop(self.branch)

    @cached_property
    def tau_to_3(self) -> np.ndarray:
        return declustering.n_subjettiness(self.jets)

    @cached_property
    def tau_to_5(self) -> np.ndarray:
        return declustering.n_subjettiness(self.jets, up_to=5)

    @cached_property
    def efp(self) -> dict[str, np.ndarray]:
        return substructure.energy_flow(self.jets)

    @cached_property
    def e(self) -> tuple[np.ndarray, np.ndarray]:
        return substructure.energy_correlations(self.jets)

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        return substructure.axes(self.jets)


def _planar_flow(m: Substructure) -> np.ndarray:
    major, minor = m.axes
    return substructure.ratio(2 * major * minor, major**2 + minor**2) ** 2


def _tau_ratio(n: int, few: str) -> Observable:
    """τ_n / τ_(n-1), of jets with so few constituents 0; five axes are looked for where three are not enough."""

    def compute(m: Substructure) -> np.ndarray:
        tau = m.tau_to_3 if n <= 3 else m.tau_to_5
        return substructure.ratio(tau[n - 1], tau[n - 2])

    symbol, meaning = rf"$\tau_{{{n}{n - 1}}}$", f"τ{n} / τ{n - 1}; 0 for up to {few} constituents"
    return Observable(compute, symbol, "", meaning, "constituents")


SUBSTRUCTURE_OBSERVABLES = {
    "mass": Observable(
        lambda m: substructure.mass(m.jets), "$m$", "GeV", "mass of the jet's constituents", "constituents"
    ),
    "soft_drop_mass": Observable(
        lambda m: m.groomed.mass, r"$m_\mathrm{SD}$", "GeV", "mass after soft drop, β = 0, z_cut = 0.1", "constituents"
    ),
    "soft_drop_angle": Observable(
        lambda m: m.groomed.angle, "$R_g$", "rad", "angle R_g of the splitting that passes soft drop", "constituents"
    ),
    "soft_drop_sharing": Observable(
        lambda m: m.groomed.sharing, "$z_g$", "", "momentum sharing z_g of that splitting", "constituents"
    ),
    "lund_multiplicity": Observable(
        lambda m: declustering.lund_multiplicity(m.branch),
        r"$n_\mathrm{Lund}$",
        "",
        "primary C/A splittings with kT > 1 GeV",
        "constituents",
    ),
    "tau1": Observable(lambda m: m.tau_to_3[0], r"$\tau_1$", "", "1-subjettiness, β = 1, R0 = 0.8", "constituents"),
    "tau2": Observable(lambda m: m.tau_to_3[1], r"$\tau_2$", "", "2-subjettiness", "constituents"),
    "tau3": Observable(lambda m: m.tau_to_3[2], r"$\tau_3$", "", "3-subjettiness", "constituents"),
    "tau21": _tau_ratio(2, "two"),
    "tau32": _tau_ratio(3, "three"),
    "tau43": _tau_ratio(4, "four"),
    "tau54": _tau_ratio(5, "five"),
    "e2": Observable(lambda m: m.e[0], "$e_2$", "", "two-point energy correlation, β = 1", "constituents"),
    "e3": Observable(lambda m: m.e[1], "$e_3$", "", "three-point energy correlation, β = 1", "constituents"),
    "c2": Observable(lambda m: substructure.ratio(m.e[1], m.e[0] ** 2), "$C_2$", "", "C2 = e3 / e2²", "constituents"),
    "d2": Observable(lambda m: substructure.ratio(m.e[1], m.e[0] ** 3), "$D_2$", "", "D2 = e3 / e2³", "constituents"),
    "pt_dispersion": Observable(
        lambda m: substructure.pt_dispersion(m.jets), "$p_T^D$", "", "sqrt(Σ pT²) / Σ pT", "constituents"
    ),
    "leading_fraction": Observable(
        lambda m: substructure.leading_fraction(m.jets),
        r"$z_\mathrm{max}$",
        "",
        "pT share of the hardest constituent",
        "constituents",
    ),
    "girth": Observable(
        lambda m: substructure.girth(m.jets),
        "girth",
        "rad",
        "pT-weighted mean distance to the axis",
        "constituents",
    ),
    "major_axis": Observable(
        lambda m: m.axes[0],
        r"$\sigma_\mathrm{major}$",
        "rad",
        "pT-weighted spread along the principal axis",
        "constituents",
    ),
    "minor_axis": Observable(
        lambda m: m.axes[1],
        r"$\sigma_\mathrm{minor}$",
        "rad",
        "pT-weighted spread across the principal axis",
        "constituents",
    ),
    "planar_flow": Observable(_planar_flow, "$Pf$", "", "0 for a line, 1 for a disc", "constituents"),
} | {
    name: Observable(
        lambda m, name=name: m.efp[name],
        rf"EFP$_\mathrm{{{name.removeprefix('efp_')}}}$",
        "",
        f"energy-flow polynomial {name.removeprefix('efp_')}, β = 1",
        "constituents",
    )
    for name in substructure.ENERGY_FLOW
}
STORED = {name: OBSERVABLES[name] for name in MEASURES}  # for what a Combination is given, and rivals for a Variable
# a detector is to see no angle that physics does not depend on, no weight and nothing that simulation alone knows
UNSEEN = ("jet_eta", "jet_phi", "jet_mass", "constituents_pt_share", "weight", *STORED)
VARIABLES = {name: x for name, x in OBSERVABLES.items() if name not in UNSEEN} | SUBSTRUCTURE_OBSERVABLES
KNOWN = VARIABLES | STORED


def with_units(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of variables, or of an object's features, as they stand at an axis: '$m$ [GeV]', 'jet1_px [GeV]'."""

    def label(name: str) -> str:
        if name in KNOWN:
            return KNOWN[name].label
        unit = (OF_OBJECTS | OF_CONSTITUENTS).get(name.rpartition("_")[2], "")  # numbers of an embedding have none
        return f"{name} [{unit}]" if unit else name

    return tuple(map(label, columns))


SUBSTRUCTURE = (
    "mass", "soft_drop_mass", "tau21", "tau32", "c2", "d2", "pt_dispersion", "girth", "multiplicity",
    "leading_fraction", "planar_flow", "lund_multiplicity",
)  # fmt: skip


@final
class EventVector(Representation):
    """(N, D) float32 of D named variables; only those asked for are computed.

    Parameters
    ----------
    variables: names out of ``VARIABLES``, or of ``STORED``, each once. What is stored is for what a Combination is
        given (pile-up), or a rival as the detector Variable (the score of another trigger)

    Raises
    ------
    InputError: a variable is unknown (the message lists the allowed ones), repeated, or none is given.

    Examples
    --------
    >>> vector = hepad.EventVector(["mass", "tau21", "met"])
    >>> vector(events).shape, vector.space.columns
    (torch.Size([500, 3]), ('mass', 'tau21', 'met'))
    """

    def __init__(self, variables: Sequence[str] = SUBSTRUCTURE):
        check_names("EventVector", "variable", variables)
        self.variables = tuple(
            name if name in STORED else check_choice("variable", name, VARIABLES) for name in variables
        )

    @property
    def space(self) -> Space:
        return Space(shape=(len(self.variables),), columns=self.variables)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(KNOWN[name].needs for name in self.variables) - {None, "constituents"}

    @property
    def needs_constituents(self) -> bool:
        return any(KNOWN[name].needs == "constituents" for name in self.variables)

    def transform(self, events: Events) -> torch.Tensor:
        measured = Substructure(events)
        for name in STORED.keys() & set(self.variables) - set(events.facts):
            raise InputError(f"EventVector: the events have no '{name}'. Leave it out, or read files that have it.")
        columns = [KNOWN[name].compute(measured) for name in self.variables]
        return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
