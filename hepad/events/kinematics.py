"""Four-vector functions on plain numpy arrays.

A four-vector is the last axis of an array: (pt, eta, phi, mass) or (px, py, pz, E), GeV and radians, c = 1:

    px = pt cos φ,  py = pt sin φ,  pz = pt sinh η,  E² = pt² cosh² η + m²

All functions accept any number of leading axes, zeros (an absent, padded object) included, work in double
precision and return it.
"""

import numpy as np

# sinh(20) ~ 2.4e8: beyond any detector, but finite
MAX_ABS_ETA = 20.0


def to_cartesian(p: np.ndarray) -> np.ndarray:
    """(..., 4) of (pt, eta, phi, mass) to (..., 4) of (px, py, pz, E)."""
    pt, eta, phi, mass = np.moveaxis(np.asarray(p, dtype=np.float64), -1, 0)
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + mass**2)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy], axis=-1)


def from_cartesian(p: np.ndarray) -> np.ndarray:
    """(..., 4) of (px, py, pz, E) to (..., 4) of (pt, eta, phi, mass).

    φ is in [-π, π]; η is cut at ±``MAX_ABS_ETA`` along the beam; a space-like vector, as rounding makes them of
    massless ones, gets mass 0.
    """
    px, py, pz, energy = np.moveaxis(np.asarray(p, dtype=np.float64), -1, 0)
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.where(pt > 0, pt, np.inf))
    eta = np.where((pt == 0) & (pz != 0), np.copysign(MAX_ABS_ETA, pz), np.clip(eta, -MAX_ABS_ETA, MAX_ABS_ETA))
    mass = np.sqrt(np.maximum((energy - pz) * (energy + pz) - pt**2, 0))
    return np.stack([pt, eta, np.arctan2(py, px), mass], axis=-1)


def sum_four_vectors(p: np.ndarray) -> np.ndarray:
    """Sums of four-vectors (pt, eta, phi, mass): (..., P, 4) to (..., 4); padding adds nothing."""
    return from_cartesian(to_cartesian(p).sum(axis=-2))


def delta_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """φ_a - φ_b in [-π, π)."""
    return (np.asarray(a, dtype=np.float64) - b + np.pi) % (2 * np.pi) - np.pi


def delta_r(eta_a: np.ndarray, phi_a: np.ndarray, eta_b: np.ndarray, phi_b: np.ndarray) -> np.ndarray:
    """ΔR = sqrt(Δη² + Δφ²)."""
    return np.hypot(np.asarray(eta_a, dtype=np.float64) - eta_b, delta_phi(phi_a, phi_b))
