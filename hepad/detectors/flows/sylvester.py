r"""Sylvester flows (van den Berg, Hasenclever, Tomczak, Welling, UAI 2018, arXiv:1803.05649), amortised.

    z' = z + Q R1 tanh(R2 Q^T z + b)
    log|det dz'/dz| = sum_i log(1 + (1 - t_i^2) R1_ii R2_ii),      t = tanh(R2 Q^T z + b)

Q (D x M) has orthonormal columns, Q^T Q = 1; R1 and R2 (M x M) are upper triangular. By Sylvester's identity,
det(1 + A B) = det(1 + B A), the determinant of D x D is one of M x M. |R1_ii|, |R2_ii| < 1 make it positive and the map
invertible.

    orthogonal   Q = the orthonormal factor of an amortised D x M matrix: QR with R_ii > 0, where the paper iterates
    Householder  Q = product of reflections 1 - 2 v v^T / |v|^2, M = D
    triangular   Q = 1 and, in every second layer, the reversal of the order of the coordinates, M = D

One amortised M x M matrix holds both triangles and the diagonal of R1. The training starts at R1 = 0, the identity.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from hepad.detectors.flows.base import Flow, Map, amortised

MARGIN = 0.999  # |R_ii| stays below it: tanh alone rounds to one, and the determinant to zero


class Sylvester(Flow):
    """Sylvester transformations with M = ``rank``; subclasses say what Q is, from ``axes`` (layers, n) at the start."""

    def __init__(self, context: int, *, latent_dim: int, layers: int, rank: int, axes: Tensor):
        super().__init__(latent_dim, layers)
        self.rank = rank
        for name, mask in (("unit", torch.eye(rank)), ("above", torch.ones(rank, rank).triu(1))):
            self.register_buffer(name, mask, persistent=False)
        lower = torch.randn(layers, rank, rank).tril(-1) / math.sqrt(rank)  # R2's; the rest, R1's, is zero
        start = [axes, lower.flatten(1), torch.ones(layers, rank), torch.zeros(layers, rank)]
        self.parameters_of = amortised(context, torch.cat(start, 1))

    @abstractmethod
    def basis(self, axes: Tensor) -> Tensor:
        """Q (B or 1, layers, latent_dim, rank) from the parameters (B, layers, n) of the events."""

    def maps(self, h: Tensor) -> Iterator[Map]:
        rank = self.rank
        given = self.parameters_of(h).unflatten(1, (self.layers, -1))
        n = given.shape[2] - rank**2 - 2 * rank
        axes, square, d2, b = given.split([n, rank**2, rank, rank], 2)
        square = square.unflatten(2, (rank, rank))
        d1, d2 = (MARGIN * torch.tanh(d) for d in (square.diagonal(dim1=2, dim2=3), d2))
        r1 = square * self.above + d1.unsqueeze(3) * self.unit
        r2 = square.transpose(2, 3) * self.above + d2.unsqueeze(3) * self.unit
        q = self.basis(axes)
        left, right = q @ r1, r2 @ q.transpose(2, 3)  # (B, layers, latent_dim, rank) and (B, layers, rank, latent_dim)
        for k in range(self.layers):
            yield partial(_sylvester, left=left[:, k], right=right[:, k], b=b[:, k], diagonal=d1[:, k] * d2[:, k])


def _sylvester(z: Tensor, left: Tensor, right: Tensor, b: Tensor, diagonal: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tanh((right @ z.unsqueeze(2)).squeeze(2) + b)
    return z + (left @ t.unsqueeze(2)).squeeze(2), torch.log1p((1 - t.square()) * diagonal).sum(1)


class OrthogonalSylvester(Sylvester):
    """``columns`` orthonormal columns; InputError if there are more than latent dimensions."""

    def __init__(self, latent_dim: int, context: int, layers: int = 4, columns: int = 4):
        axes = torch.randn(layers, latent_dim * columns)
        super().__init__(context, latent_dim=latent_dim, layers=layers, rank=columns, axes=axes)
        self.need("columns", columns, 1, latent_dim)

    def basis(self, axes: Tensor) -> Tensor:
        q, r = torch.linalg.qr(axes.unflatten(2, (self.latent_dim, self.rank)))
        # QR leaves the sign of each column open: with R_ii > 0 Q is one smooth function of the matrix
        return q * torch.where(r.diagonal(dim1=2, dim2=3) < 0, -1.0, 1.0).to(q.dtype).unsqueeze(2)


class HouseholderSylvester(Sylvester):
    """Product of ``reflections``; InputError if there are more than latent dimensions, which suffice for any Q."""

    def __init__(self, latent_dim: int, context: int, layers: int = 4, reflections: int = 4):
        axes = torch.randn(layers, reflections * latent_dim)
        super().__init__(context, latent_dim=latent_dim, layers=layers, rank=latent_dim, axes=axes)
        self.need("reflections", reflections, 1, latent_dim)

    def basis(self, axes: Tensor) -> Tensor:
        q = torch.eye(self.latent_dim, dtype=axes.dtype, device=axes.device)
        for v in torch.nn.functional.normalize(axes.unflatten(2, (-1, self.latent_dim)), dim=3).unbind(2):
            q = q - 2 * (q @ v.unsqueeze(3)) * v.unsqueeze(2)
        return q


class TriangularSylvester(Sylvester):
    """Q is the identity and the reversal of the coordinates in turn."""

    def __init__(self, latent_dim: int, context: int, layers: int = 4):
        super().__init__(context, latent_dim=latent_dim, layers=layers, rank=latent_dim, axes=torch.zeros(layers, 0))

    def basis(self, axes: Tensor) -> Tensor:
        q = torch.eye(self.latent_dim, dtype=axes.dtype, device=axes.device)
        return torch.stack([q.flip(0) if k % 2 else q for k in range(self.layers)]).unsqueeze(0)
