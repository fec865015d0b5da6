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
from hepad.representations.base import Representation, Space

BLOCK = 256  # images that are worked on together: they fit into the cache


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

    Examples
    --------
    >>> images = hepad.JetImage(sigma=2)(events)
    >>> images.shape
    torch.Size([500, 1, 40, 40])
    """

    at_once = 10**9  # all that is needed beside the images is that of BLOCK of them

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
        constituents = events.constituents
        images = np.zeros((len(constituents), 1, self.size, self.size), np.float32)
        g = gaussian_matrix(self.size, self.sigma).float() if self.sigma > 0 else None
        for start in range(0, len(constituents), BLOCK):
            self._fill(images[start : start + BLOCK, 0], constituents[start : start + BLOCK], g)
        return torch.from_numpy(images)

    def _fill(self, image: np.ndarray, constituents: np.ndarray, g: torch.Tensor | None) -> None:
        jet, pt, x, y = aligned(constituents)
        column = np.floor((x / self.eta_range + 1) * (self.size / 2))
        row = np.floor((y / self.phi_range + 1) * (self.size / 2))
        inside = (column >= 0) & (column < self.size) & (row >= 0) & (row < self.size)
        index = ((jet * self.size + row) * self.size + column)[inside].astype(np.int64)
        np.add.at(image.reshape(-1), index, pt[inside].astype(np.float32))
        image = torch.from_numpy(image)
        if self.power != 1:
            _normalise(image.pow_(self.power))
        if g is not None:
            torch.matmul(g @ image, g, out=image)
        _normalise(image)


def aligned(constituents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shift, centre, rotate and flip.

    Parameters
    ----------
    constituents: (N, P, 4) of (pt, eta, phi, mass); pt = 0 is padding

    Returns
    -------
    jet, pt, x, y: of the M constituents that are there: number of their jet (M,) int, and (M,) float64 [GeV, rad, rad]
    """
    jet, place = np.nonzero(constituents[..., 0] > 0)
    pt, eta, phi, _ = np.ascontiguousarray(constituents[jet, place].T, np.float64)
    first = np.flatnonzero(np.diff(jet, prepend=-1))  # first constituent of each jet that has any
    count = np.diff(first, append=len(jet))

    def total(value: np.ndarray) -> np.ndarray:
        return np.add.reduceat(value, first) if len(first) else value

    def each(value: np.ndarray) -> np.ndarray:
        return np.repeat(value, count)

    weight = pt / each(total(pt))
    hardest = constituents[jet[first], constituents[jet[first], :, 0].argmax(axis=1), 2].astype(np.float64)
    phi -= each(hardest)
    phi -= 2 * np.pi * np.rint(phi / (2 * np.pi))
    x = eta - each(total(weight * eta))
    y = phi - each(total(weight * phi))
    wx, wy = weight * x, weight * y
    theta = 0.5 * np.arctan2(2 * total(wx * y), total(wx * x) - total(wy * y))
    sin, cos = each(np.sin(theta)), each(np.cos(theta))
    x, y = x * sin - y * cos, x * cos + y * sin
    x *= each(np.where(total(np.copysign(weight, x)) > 0, -1.0, 1.0))
    y *= each(np.where(total(np.copysign(weight, y)) < 0, -1.0, 1.0))
    return jet, pt, x, y


def gaussian_matrix(size: int, sigma: float) -> torch.Tensor:
    """(size, size) float64: one-dimensional Gaussian filter with zeros beyond the edges, cut at 4σ."""
    u = torch.arange(size, dtype=torch.float64)
    reach = int(4 * sigma + 0.5)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    norm = torch.exp(-0.5 * (steps / sigma) ** 2).sum()
    distance = u[:, None] - u
    return torch.exp(-0.5 * (distance / sigma) ** 2) * (distance.abs() <= reach) / norm


def _normalise(image: torch.Tensor) -> torch.Tensor:
    """Every image (N, ...) to unit sum, in place; zeros stay zeros."""
    total = image.sum(dim=(1, 2), keepdim=True)
    return image.div_(torch.where(total > 0, total, 1))
