r"""Convolutional flow (Zheng, Yang, Carbonell, arXiv:1711.02255), here with parameters from the encoder.

    z' = z + u * tanh(c),      c_i = b + sum_j w_j z_{i + (j-1) d},   j = 1 ... kernel,   z beyond the end = 0
    log|det dz'/dz| = sum_i log(1 + u_i w_1 (1 - t_i^2)) = sum_i log(t_i^2 + (1 - t_i^2) s_i),     t = tanh(c)

z'_i depends on z_i and later coordinates alone: the Jacobian is triangular. It is positive, and the map invertible, iff
u_i w_1 > -1; therefore

    w_1 = exp(a) + 0.1,      u_i = (s_i - 1) / w_1,      s_i = softplus(lambda_i) > 0

where w_1, a divisor, stays away from zero, and the training starts at s = 1, the identity. A layer is a block of
dilations d = 1, 2, 4, ... < D. Every second block takes the coordinates in reversed order: it looks back instead of
ahead, which is the same as to reverse z and feed it on. Ours, not the paper's: a, w, b and lambda are linear in h, and
b is there at all.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from hepad.detectors.flows.base import Flow, Map, amortised
from hepad.detectors.flows.planar import SOFTPLUS_ONE

FLOOR = 0.1


class Convolutional(Flow):
    """``layers`` blocks of dilated convolutions; ``kernel``: taps of each, less where they would miss all of z."""

    def __init__(self, latent_dim: int, context: int, layers: int = 4, kernel: int = 7):
        super().__init__(latent_dim, layers)
        self.need("kernel", kernel, 1)
        dilations = [2**i for i in range(max(1, (latent_dim - 1).bit_length()))]
        self.block = [(d, min(kernel, 1 + (latent_dim - 1) // d)) for d in dilations]  # dilation, taps
        self.sizes = [size for _ in range(layers) for _, taps in self.block for size in (taps, 1, latent_dim)]
        start = []
        for _ in range(layers):
            for _, taps in self.block:
                w = torch.randn(taps) / taps**0.5
                w[0] = 0
                start += [w, torch.zeros(1), torch.full((latent_dim,), SOFTPLUS_ONE)]
        self.parameters_of = amortised(context, torch.cat(start))

    def maps(self, h: Tensor) -> Iterator[Map]:
        given = iter(self.parameters_of(h).split(self.sizes, 1))
        for k in range(self.layers):
            for dilation, _ in self.block:
                w, b, scale = next(given), next(given), softplus(next(given))
                yield partial(convolve, w=w, b=b, s=scale, dilation=dilation, back=bool(k % 2))


def convolve(z: Tensor, w: Tensor, b: Tensor, s: Tensor, dilation: int, back: bool) -> tuple[Tensor, Tensor]:
    """z (B, D), taps w (B, kernel) of which the first is a, b (B, 1), s (B, D); ``back``: in reversed order."""
    first = w[:, :1].exp() + FLOOR
    reach = (w.shape[1] - 1) * dilation
    windows = pad(z, (reach, 0) if back else (0, reach)).unfold(1, reach + 1, 1)[..., ::dilation]  # (B, D, taps)
    w = torch.cat([first, w[:, 1:]], 1)
    w = w.flip(1) if back else w
    t = torch.tanh((windows * w.unsqueeze(1)).sum(2) + b)
    return z + (s - 1) / first * t, torch.log(t.square() + (1 - t.square()) * s).sum(1)
