"""Jet substructure from the constituents alone.

Constituent i has pT_i, rapidity y_i, azimuth φ_i and z_i = pT_i / Σ pT. Angles are ΔR² = Δy² + Δφ², so that a boost
along the beam changes nothing; n is the four-momentum sum's direction and (u, v) = (y, φ) about the pT-weighted
centroid:

    p_TD        sqrt(Σ pT²) / Σ pT                          1 for a single constituent, 1/sqrt(P) for P equal ones
    girth       Σ z_i ΔR(i, n)
    width       λ_1 >= λ_2, eigenvalues of Σ z_i (u, v)ᵀ(u, v);  axes sqrt(λ_1), sqrt(λ_2)
    planar flow 4 λ_1 λ_2 / (λ_1 + λ_2)²                    0 for a line, 1 for a disc
    e_2         Σ_{i<j} z_i z_j ΔR_ij^β
    e_3         Σ_{i<j<k} z_i z_j z_k (ΔR_ij ΔR_jk ΔR_ki)^β = tr(M³) / 6,  M_ij = sqrt(z_i z_j) ΔR_ij^β
    C_2, D_2    e_3 / e_2²,  e_3 / e_2³
    EFP_G       Σ_{i_1 ... i_n} z_{i_1} ... z_{i_n} Π_{edges kl of G} ΔR_{i_k i_l}^β,   G a connected multigraph

Energy-flow polynomials are named by the numbers of vertices and edges of G, or, with four vertices, by its shape. Those
of up to three edges but for the single edge, 2 e_2, and the triangle, 6 e_3, are

    efp_22, efp_23      two vertices, joined two and three times
    efp_32              a chain of three
    efp_33              a chain of three with a double edge
    efp_star            one vertex joined to three
    efp_chain           a chain of four

e_2, e_3 and C_2: Larkoski, Salam, Thaler, arXiv:1305.0007; D_2: Larkoski, Moult, Neill, arXiv:1409.6298; EFP: Komiske,
Metodiev, Thaler, arXiv:1712.07124; girth: Gallicchio, Schwartz, arXiv:1106.3076. A ratio 0/0 is 0 here: a jet of one
constituent has C_2 = D_2 = 0.

All functions take :class:`Jets`, with at least one constituent each, and return (N,) float64. The order and the amount
of padding do not matter.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from hepad.events.kinematics import delta_phi, from_cartesian, to_cartesian

# pairs of constituents are held for this many jets at a time
BLOCK = 64

ENERGY_FLOW = ("efp_22", "efp_23", "efp_32", "efp_33", "efp_star", "efp_chain")


class Jets:
    """Jets of one block of events and what their observables share, computed when first needed.

    Values of constituents are flat, (M,) of those that are there, jet by jet, float64; ``count`` (N,) says how many
    each jet has, ``first`` (N,) where they begin.

    Parameters
    ----------
    constituents: (N, P, 4) of (pt, eta, phi, mass) [GeV, rad], pt = 0 being padding
    """

    def __init__(self, constituents: np.ndarray):
        there = constituents[..., 0] > 0
        self.count = there.sum(axis=1)
        self.first = np.cumsum(self.count) - self.count
        self.p = constituents[there].astype(np.float64)
        self.pt, self.phi = (np.ascontiguousarray(self.p[:, k]) for k in (0, 2))

    def __len__(self) -> int:
        return len(self.count)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums over each jet's constituents, (M, ...) to (N, ...)."""
        return np.add.reduceat(values, self.first) if len(values) else np.zeros((len(self), *values.shape[1:]))

    def each(self, values: np.ndarray) -> np.ndarray:
        """Every jet's value for each of its constituents, (N,) to (M,)."""
        return np.repeat(values, self.count)

    @cached_property
    def cartesian(self) -> np.ndarray:
        """(M, 4) of (px, py, pz, E)."""
        return to_cartesian(self.p)

    @cached_property
    def sum(self) -> np.ndarray:
        """(N, 4) of (px, py, pz, E)."""
        return self.total(self.cartesian)

    @cached_property
    def y(self) -> np.ndarray:
        """Rapidities."""
        return rapidity(*self.cartesian[:, 2:].T, np.sqrt(self.pt**2 + self.p[:, 3] ** 2))

    @cached_property
    def z(self) -> np.ndarray:
        """Shares of the jet's pT."""
        return self.pt / self.each(self.total(self.pt))

    @cached_property
    def offset(self) -> tuple[np.ndarray, np.ndarray]:
        """Δy and Δφ to the jet's four-momentum."""
        pt, _, phi, m = from_cartesian(self.sum).T
        y = rapidity(*self.sum[:, 2:].T, np.hypot(pt, m))
        return self.y - self.each(y), delta_phi(self.phi, self.each(phi))


def rapidity(pz: np.ndarray, energy: np.ndarray, transverse_mass: np.ndarray) -> np.ndarray:
    """y = ± log((E + |pz|) / mT), which does not cancel along the beam."""
    return np.copysign(np.log((energy + np.abs(pz)) / transverse_mass), pz)


def mass(jets: Jets) -> np.ndarray:
    """Invariant mass of the constituents [GeV]."""
    return from_cartesian(jets.sum)[:, 3]


def multiplicity(jets: Jets) -> np.ndarray:
    """Number of constituents."""
    return jets.count.astype(np.float64)


def pt_dispersion(jets: Jets) -> np.ndarray:
    """p_TD, in (0, 1]."""
    return np.sqrt(jets.total(jets.z**2))


def leading_fraction(jets: Jets) -> np.ndarray:
    """z of the hardest constituent, in (0, 1]."""
    return np.maximum.reduceat(jets.z, jets.first)


def girth(jets: Jets) -> np.ndarray:
    """pT-weighted mean distance to the jet's direction [rad]; 0 for a single constituent."""
    return jets.total(jets.z * np.hypot(*jets.offset))


def axes(jets: Jets) -> tuple[np.ndarray, np.ndarray]:
    """Major and minor axis sqrt(λ_1) >= sqrt(λ_2) [rad]."""
    z, (u, v) = jets.z, jets.offset
    u, v = (w - jets.each(jets.total(z * w)) for w in (u, v))
    uu, vv, uv = jets.total(z * u * u), jets.total(z * v * v), jets.total(z * u * v)
    mean, half = (uu + vv) / 2, np.hypot((uu - vv) / 2, uv)
    return np.sqrt(mean + half), np.sqrt(np.maximum(mean - half, 0))


def energy_correlations(jets: Jets, beta: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """e_2 and e_3; e_2 = 0 for one constituent, e_3 = 0 for up to two."""
    e2, e3 = torch.empty(2, len(jets), dtype=torch.float64)
    for rows, z, angle in _pairs(jets):
        w = z.sqrt()
        m = w[:, :, None] * w[:, None] * angle**beta
        e2[rows] = (w[:, None] @ m @ w[:, :, None]).double().flatten() / 2
        e3[rows] = ((m @ m) * m).sum(dim=(1, 2)).double() / 6
    return e2.numpy(), e3.numpy()


def energy_flow(jets: Jets, beta: float = 1.0) -> dict[str, np.ndarray]:
    """Energy-flow polynomials by their names; all are 0 for one constituent."""
    found = {name: torch.empty(len(jets), dtype=torch.float64) for name in ENERGY_FLOW}
    for rows, z, angle in _pairs(jets):
        edge = angle**beta

        def joined(edges: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """(B, P): of every constituent the sum over the others, each with its ``weight``."""
            return (edges @ weight[:, :, None]).squeeze(2)

        one, two = joined(edge, z), joined(edge**2, z)
        for name, vertex in (
            ("efp_22", two),
            ("efp_23", joined(edge**3, z)),
            ("efp_32", one**2),
            ("efp_33", one * two),
            ("efp_star", one**3),
            ("efp_chain", one * joined(edge, z * one)),
        ):
            found[name][rows] = (z * vertex).sum(dim=1).double()
    return {name: values.numpy() for name, values in found.items()}


def _pairs(jets: Jets) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Blocks of B jets of alike multiplicity, so that little time goes into padding: their places (B,), z (B, P) and ΔR
    of all pairs (B, P, P), float32."""
    count = torch.from_numpy(jets.count)
    filled = torch.arange(int(count.max()) if len(jets) else 0) < count[:, None]
    padded = torch.zeros(3, *filled.shape)
    padded[:, filled] = torch.from_numpy(np.stack([jets.z, *jets.offset])).float()
    z, y, phi = padded
    for rows in torch.argsort(count).split(BLOCK):
        places = slice(int(count[rows].max()))
        u, v = y[rows, places], phi[rows, places]
        yield rows, z[rows, places], torch.hypot(u[:, :, None] - u[:, None], v[:, :, None] - v[:, None])


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b = 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
