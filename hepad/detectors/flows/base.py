"""Base of all flows: a sequence of invertible maps of z whose parameters come, per event, from the encoder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hepad.errors import InputError

Map = Callable[[Tensor], tuple[Tensor, Tensor]]  # z (B, D) -> z' (B, D), log|det dz'/dz| (B,)


class Flow(nn.Module, ABC):
    """z0 -> zK with log|det dzK/dz0|; ``layers`` maps of a ``latent_dim``-dimensional z, given a ``context``-wide h.

    Raises InputError if there is no layer.
    """

    def __init__(self, latent_dim: int, layers: int):
        super().__init__()
        self.latent_dim, self.layers = latent_dim, layers
        self.need("layers", layers, 1)

    @abstractmethod
    def maps(self, h: Tensor) -> Iterator[Map]:
        """The maps of the events with h (B, context), in their order."""

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, latent_dim), h (B, context) -> z' (B, latent_dim), log_abs_det_jacobian (B,)."""
        log_abs_det_jacobian = z.new_zeros(z.shape[0])
        for transform in self.maps(h):
            z, part = transform(z)
            log_abs_det_jacobian = log_abs_det_jacobian + part
        return z, log_abs_det_jacobian

    def need(self, setting: str, value: int, low: int, high: int | None = None) -> None:
        """InputError that names the setting unless low <= value <= high."""
        if value < low or (high is not None and value > high):
            limit = f"at least {low}" if high is None else f"between {low} and the latent dimension, {high}"
            raise InputError(f"flow: {type(self).__name__}: {setting}: {value} must be {limit}.")


def amortised(context: int, start: Tensor) -> nn.Linear:
    """The layer that computes all parameters from h: nearly ``start``, flattened, for every event."""
    linear = nn.Linear(context, start.numel())
    with torch.no_grad():
        linear.weight.mul_(0.01)
        linear.bias.copy_(start.flatten())
    return linear
