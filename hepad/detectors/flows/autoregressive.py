r"""Inverse autoregressive flow (Kingma et al., NIPS 2016, arXiv:1606.04934), with zuko's masked networks.

    z'_i = sigma_i z_i + mu_i,      (mu, log sigma)_i = network_i(z_<i, h)
    log|det dz'/dz| = sum_i log sigma_i

'Inverse' because z' depends on the z that it is computed from: all coordinates in one pass, where the autoregressive
flow of a density (MAF) needs one pass each; in zuko this is the ``inv`` of MAF's transformation. log sigma is bounded
to +-log(1000) (zuko's softclip), so that the determinant is positive and finite. Every second layer takes the
coordinates in reversed order. The last weights start near zero: the identity. h enters every network.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform

from hepad.detectors.flows.base import Flow, Map


class InverseAutoregressive(Flow):
    """``layers`` affine autoregressive transformations with masked networks of ``hidden_dims`` widths."""

    def __init__(self, latent_dim: int, context: int, layers: int = 4, hidden_dims: tuple[int, ...] = (64,)):
        super().__init__(latent_dim, layers)
        order = torch.arange(latent_dim)
        self.transforms = nn.ModuleList(
            MaskedAutoregressiveTransform(
                latent_dim,
                context,
                order=order.flip(0) if k % 2 else order,
                hidden_features=hidden_dims,
                activation=nn.ELU,
            )
            for k in range(layers)
        )
        with torch.no_grad():
            for transform in self.transforms:
                transform.hyper[-1].weight.mul_(0.01)
                transform.hyper[-1].bias.zero_()

    def maps(self, h: Tensor) -> Iterator[Map]:
        for transform in self.transforms:
            yield transform(h).call_and_ladj
