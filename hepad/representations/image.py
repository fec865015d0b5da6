"""Jet images: the jet's pT on a grid, after the symmetries of the problem are divided out.

Constituent i has (pT_i, η_i, φ_i); all sums weigh with pT_i, whatever ``power`` is. Step by step:

    shift       φ_i -> φ_i - φ_hardest, wrapped to [-π, π)
    centre      x_i = η_i - Σ pT η / Σ pT,   y_i = φ_i - Σ pT φ / Σ pT
    rotate      M = Σ pT (x, y)ᵀ(x, y);  θ = ½ atan2(2 M_xy, M_xx - M_yy) is the angle of the principal axis;
                x -> x sin θ - y cos θ,  y -> x cos θ + y sin θ     (the principal axis becomes vertical)
    flip        signs of x and y such that more pT lies at x < 0 and at y > 0
    pixelate    I_uv = Σ pT_i over the constituents in pixel (u, v): added, never overwritten; |x| < Δη, |y| < Δφ
    reweight    I -> Iⁿ, on pixels, after the sum and before the filter; then I -> I / ΣI
    filter      I -> G I G,  G_uv ∝ exp(-(u - v)² / 2σ_G²) for |u - v| <= 4σ_G, zero outside the image; I -> I / ΣI

The steps are those of Heidelberg's jet images (arXiv:2206.14225), except that their published script keeps one
constituent per pixel, and that the filter acts here along both axes.
"""

from typing import final

import numpy as np
import torch

from hepad.errors import InputError
from hepad.events import Events
from hepad.kinematics import delta_phi
from hepad.representations.base import Representation, Space


@final
class JetImage(Representation):
    """Image of the probe jet: (N, 1, size, size) float32, each of unit sum.

    The first image axis is y (φ before the rotation), rising; the second is x (η before the rotation).
    A jet none of whose constituents lies inside the window is an image of zeros.

    Parameters
    ----------
    size: pixels per side
    eta_range, phi_range: half widths Δη and Δφ of the window [rad]
    sigma: width σ_G of the Gaussian filter in pixels; 0 for no filter
    power: n in pT -> pTⁿ of the pixels, > 0

    Raises
    ------
    InputError: a parameter is out of range.
    """

    def __init__(
        self, size: int = 40, eta_range: float = 0.58, phi_range: float = 0.70, sigma: float = 1.0, power: float = 1.0
    ):
        if not isinstance(size, int) or size < 1:
            raise InputError(f"JetImage: size = {size!r} must be a whole number of pixels, 1 or more.")
        for name, value in {"eta_range": eta_range, "phi_range": phi_range, "power": power}.items():
            if not isinstance(value, (int, float)) or not value > 0:
                raise InputError(f"JetImage: {name} = {value!r} must be a number greater than 0.")
        if not isinstance(sigma, (int, float)) or not sigma >= 0:
            raise InputError(f"JetImage: sigma = {sigma!r} must be 0 (no filter) or greater.")
        self.size, self.eta_range, self.phi_range = size, eta_range, phi_range
        self.sigma, self.power = sigma, power

    @property
    def space(self) -> Space:
        return Space(shape=(1, self.size, self.size), pixels=self.size**2)

    def transform(self, events: Events) -> torch.Tensor:
        pt, x, y = aligned(events.constituents)
        image = torch.from_numpy(self._pixelate(pt, x, y))
        if self.power != 1:
            image = image**self.power
        image = _normalised(image).float()
        if self.sigma > 0:
            g = gaussian_matrix(self.size, self.sigma).float()
            image = _normalised(g @ image @ g)
        return image[:, None]

    def _pixelate(self, pt: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        column = np.floor((x / self.eta_range + 1) * (self.size / 2))
        row = np.floor((y / self.phi_range + 1) * (self.size / 2))
        inside = (column >= 0) & (column < self.size) & (row >= 0) & (row < self.size)
        jet = np.arange(len(pt))[:, None]
        index = (jet * self.size + row) * self.size + column
        flat = np.bincount(index[inside].astype(np.int64), weights=pt[inside], minlength=len(pt) * self.size**2)
        return flat.reshape(-1, self.size, self.size)


def aligned(constituents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift, centre, rotate and flip.

    Parameters
    ----------
    constituents: (N, P, 4) of (pt, eta, phi, mass); pt = 0 is padding

    Returns
    -------
    pt, x, y: each (N, P) float64; [GeV, rad, rad]
    """
    pt, eta, phi = (np.ascontiguousarray(constituents[..., k], dtype=np.float64) for k in range(3))
    weight = pt / pt.sum(axis=1, keepdims=True)
    phi = delta_phi(phi, np.take_along_axis(phi, pt.argmax(axis=1, keepdims=True), axis=1))
    x = eta - _sum(weight, eta)
    y = phi - _sum(weight, phi)
    m_xx, m_yy, m_xy = _sum(weight, x * x), _sum(weight, y * y), _sum(weight, x * y)
    theta = 0.5 * np.arctan2(2 * m_xy, m_xx - m_yy)
    sin, cos = np.sin(theta), np.cos(theta)
    x, y = x * sin - y * cos, x * cos + y * sin
    x *= np.where(_sum(weight, np.sign(x)) > 0, -1, 1)
    y *= np.where(_sum(weight, np.sign(y)) < 0, -1, 1)
    return pt, x, y


def gaussian_matrix(size: int, sigma: float) -> torch.Tensor:
    """(size, size) float64: one-dimensional Gaussian filter with zeros beyond the edges, cut at 4σ."""
    u = torch.arange(size, dtype=torch.float64)
    reach = int(4 * sigma + 0.5)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    norm = torch.exp(-0.5 * (steps / sigma) ** 2).sum()
    distance = u[:, None] - u
    return torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= reach) / norm


def _sum(weight: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.einsum("np,np->n", weight, value)[:, None]


def _normalised(image: torch.Tensor) -> torch.Tensor:
    total = image.sum(dim=(1, 2), keepdim=True)
    return image / torch.where(total > 0, total, 1)
