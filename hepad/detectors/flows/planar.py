r"""Planar flow (Rezende, Mohamed, ICML 2015, arXiv:1505.05770, eqs. 10-12 and appendix A.1), amortised.

    z' = z + u^ tanh(w.z + b)
    u^ = u + (m(w.u) - w.u) w / |w|^2,      m(a) = s(a) - 1,      s(a) = 0.001 + 0.999 softplus(a + a0)
    log|det dz'/dz| = log(1 + (u^.w) (1 - t^2)) = log(t^2 + (1 - t^2) s(w.u)),      t = tanh(w.z + b)

s > 0 makes u^.w > -1, so that every layer is invertible and its determinant positive; the second form, and the 0.001
that the paper lacks, keep it so in floating point. The offset a0 = log(e - 1) gives m(0) = 0: with u = 0 a layer is the
identity, which is where the training starts. u, w and b are linear in the encoder's output h, different for every event
and layer.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hepad.detectors.flows.base import Flow, Map, amortised

SOFTPLUS_ONE = math.log(math.e - 1)
FLOOR = 1e-3


class Planar(Flow):
    """``layers`` planar transformations."""

    def __init__(self, latent_dim: int, context: int, layers: int = 6):
        super().__init__(latent_dim, layers)
        u, b = torch.zeros(layers, latent_dim), torch.zeros(layers, 1)
        w = torch.randn(layers, latent_dim) / math.sqrt(latent_dim)  # in all directions
        self.parameters_of = amortised(context, torch.cat([u, w, b], 1))

    def maps(self, h: Tensor) -> Iterator[Map]:
        for layer in self.parameters_of(h).unflatten(1, (self.layers, -1)).unbind(1):
            u, w, b = layer.split([self.latent_dim, self.latent_dim, 1], 1)
            yield partial(_planar, u=u, w=w, b=b)


def _planar(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    w_u = (w * u).sum(1, keepdim=True)
    s = FLOOR + (1 - FLOOR) * softplus(w_u + SOFTPLUS_ONE)  # 1 + u^.w
    u_hat = u + (s - 1 - w_u) / w.square().sum(1, keepdim=True).clamp(min=1e-12) * w
    t = torch.tanh((w * z).sum(1, keepdim=True) + b)
    return z + u_hat * t, torch.log(t.square() + (1 - t.square()) * s).squeeze(1)
