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

All functions take constituents (N, P, 4) of (pt, eta, phi, mass) [GeV, rad], pt = 0 being padding, with at least
one constituent per jet, and return (N,) float64. The order and the amount of padding do not matter.
"""

from collections.abc import Iterator

import numpy as np
import torch

from hepad.events.kinematics import delta_phi, sum_four_vectors

# pairs of constituents are held for this many jets at a time
BLOCK = 64

ENERGY_FLOW = ("efp_22", "efp_23", "efp_32", "efp_33", "efp_star", "efp_chain")


def rapidity(p: np.ndarray) -> np.ndarray:
    """(..., 4) of (pt, eta, phi, mass) to y = asinh(pz / sqrt(pt² + m²)); 0 for padding."""
    pt, eta, _, mass = np.moveaxis(np.asarray(p, dtype=np.float64), -1, 0)
    transverse_mass = np.hypot(pt, mass)
    return np.arcsinh(pt * np.sinh(eta) / np.where(transverse_mass > 0, transverse_mass, 1))


def relative(constituents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, Δy and Δφ to the four-momentum sum, each (N, P) float64; all zero for padding."""
    jet = sum_four_vectors(constituents)[:, None]
    pt = np.asarray(constituents[..., 0], dtype=np.float64)
    dy = (rapidity(constituents) - rapidity(jet)) * (pt > 0)
    dphi = delta_phi(constituents[..., 2], jet[..., 2]) * (pt > 0)
    return pt / pt.sum(axis=1, keepdims=True), dy, dphi


def mass(constituents: np.ndarray) -> np.ndarray:
    """Invariant mass of the constituents [GeV]."""
    return sum_four_vectors(constituents)[..., 3]


def multiplicity(constituents: np.ndarray) -> np.ndarray:
    """Number of constituents."""
    return (constituents[..., 0] > 0).sum(axis=1).astype(np.float64)


def pt_dispersion(constituents: np.ndarray) -> np.ndarray:
    """p_TD, in (0, 1]."""
    pt = np.asarray(constituents[..., 0], dtype=np.float64)
    return np.sqrt((pt**2).sum(axis=1)) / pt.sum(axis=1)


def leading_fraction(constituents: np.ndarray) -> np.ndarray:
    """z of the hardest constituent, in (0, 1]."""
    pt = np.asarray(constituents[..., 0], dtype=np.float64)
    return pt.max(axis=1) / pt.sum(axis=1)


def girth(constituents: np.ndarray) -> np.ndarray:
    """pT-weighted mean distance to the jet's direction [rad]; 0 for a single constituent."""
    z, dy, dphi = relative(constituents)
    return (z * np.hypot(dy, dphi)).sum(axis=1)


def axes(constituents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Major and minor axis sqrt(λ_1) >= sqrt(λ_2) [rad]."""
    z, u, v = relative(constituents)
    u, v = (w - (z * w).sum(axis=1, keepdims=True) for w in (u, v))
    uu, vv, uv = (z * u * u).sum(axis=1), (z * v * v).sum(axis=1), (z * u * v).sum(axis=1)
    mean, half = (uu + vv) / 2, np.hypot((uu - vv) / 2, uv)
    return np.sqrt(mean + half), np.sqrt(np.maximum(mean - half, 0))


def energy_correlations(constituents: np.ndarray, beta: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """e_2 and e_3; e_2 = 0 for one constituent, e_3 = 0 for up to two."""
    e2, e3 = torch.empty(2, len(constituents), dtype=torch.float64)
    for jets, z, angle in _pairs(constituents):
        w = z.sqrt()
        m = w[:, :, None] * w[:, None] * angle**beta
        e2[jets] = (w[:, None] @ m @ w[:, :, None]).double().flatten() / 2
        e3[jets] = ((m @ m) * m).sum(dim=(1, 2)).double() / 6
    return e2.numpy(), e3.numpy()


def energy_flow(constituents: np.ndarray, beta: float = 1.0) -> dict[str, np.ndarray]:
    """Energy-flow polynomials by their names; all are 0 for one constituent."""
    found = {name: torch.empty(len(constituents), dtype=torch.float64) for name in ENERGY_FLOW}
    for jets, z, angle in _pairs(constituents):
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
            found[name][jets] = (z * vertex).sum(dim=1).double()
    return {name: values.numpy() for name, values in found.items()}


def _pairs(constituents: np.ndarray) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Blocks of B jets of alike multiplicity: their places (B,), z (B, P) and ΔR of all pairs (B, P, P), float32."""
    z, dy, dphi = (torch.from_numpy(a) for a in relative(constituents))
    present = torch.from_numpy(np.ascontiguousarray(constituents[..., 0] > 0))
    # constituents to the front and jets of alike multiplicity together: no time goes into padding
    place = torch.argsort(present.logical_not().to(torch.uint8), dim=1, stable=True)
    z, dy, dphi = (a.gather(1, place).float() for a in (z, dy, dphi))
    count = present.sum(dim=1)
    for jets in torch.argsort(count).split(BLOCK):
        filled = slice(int(count[jets].max()))
        u, v = dy[jets, filled], dphi[jets, filled]
        yield jets, z[jets, filled], torch.hypot(u[:, :, None] - u[:, None], v[:, :, None] - v[:, None])


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b = 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
