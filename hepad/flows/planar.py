r"""Planar flow (Rezende, Mohamed, ICML 2015, arXiv:1505.05770, eqs. 10-12 and appendix A.1), amortised.

    z' = z + u^ tanh(w.z + b)
    u^ = u + (m(w.u) - w.u) w / |w|^2,      m(a) = -1 + softplus(a + a0)
    log|det dz'/dz| = log(1 + (u^.w) (1 - tanh^2(w.z + b)))

m > -1 makes u^.w > -1, so that every layer is invertible and its determinant positive. The offset a0 = log(e - 1) gives
m(0) = 0: with u = 0 a layer is the identity, which is where the training starts. u, w and b are linear in the encoder's
output h, different for every event and layer.
"""

import math

import torch
from torch import Tensor, nn

SOFTPLUS_ONE = math.log(math.e - 1)


class Planar(nn.Module):
    """``layers`` planar transformations of a ``latent``-dimensional z with parameters from a ``context``-wide h."""

    def __init__(self, latent: int, context: int, layers: int = 6):
        super().__init__()
        self.latent, self.layers = latent, layers
        self.parameters_of = nn.Linear(context, layers * (2 * latent + 1))
        with torch.no_grad():
            self.parameters_of.weight.mul_(0.01)
            bias = self.parameters_of.bias.view(layers, -1)
            bias[:, :latent] = 0  # u: start at the identity
            bias[:, latent:-1].normal_(0, 1 / math.sqrt(latent))  # w: start in all directions
            bias[:, -1] = 0

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, latent), h (B, context) -> z' (B, latent), log_abs_det_jacobian (B,)."""
        log_abs_det_jacobian = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for layer in self.parameters_of(h).view(len(z), self.layers, -1).unbind(1):
            u, w, b = layer[:, : self.latent], layer[:, self.latent : -1], layer[:, -1]
            w_u = (w * u).sum(-1)
            m = nn.functional.softplus(w_u + SOFTPLUS_ONE) - 1
            u_hat = u + ((m - w_u) / w.square().sum(-1).clamp(min=1e-12)).unsqueeze(-1) * w
            t = torch.tanh((w * z).sum(-1) + b)
            z = z + u_hat * t.unsqueeze(-1)
            log_abs_det_jacobian = log_abs_det_jacobian + torch.log1p((u_hat * w).sum(-1) * (1 - t.square()))
        return z, log_abs_det_jacobian
