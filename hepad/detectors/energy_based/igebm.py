r"""Energies that are a plain network: the opponents of MPDR in its paper.

IGEBM    negative samples from a replay buffer of earlier ones        Du and Mordatch, NeurIPS 2019, arXiv:1903.08689
DRL      negative samples recovered from Gaussian noise               Gao et al., ICLR 2021, arXiv:2012.08125

L = < E(x) > - < E(x-) > + gamma < E(x)^2 + E(x-)^2 >
"""

from dataclasses import dataclass

import torch

from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Scalar
from hepad.detectors.energy_based.langevin import Support
from hepad.detectors.energy_based.negative_sampling import (
    NegativeSampler,
    Recovery,
    RecoveryLikelihood,
    buffer_settings,
    noise_start,
    visible_chains,
)
from hepad.errors import InputError, check_choice
from hepad.representations import Space


class ScalarDetector(EnergyDetector):
    """An energy-based detector whose energy is a network with one output, without any autoencoder."""

    squares_of_background = True

    @dataclass(frozen=True, kw_only=True)
    class Settings(EnergyDetector.Settings):
        network: str = "dense"
        hidden_dims: tuple[int, ...] = (256, 128)

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        self.energy = Scalar(self.inner, self.settings.network, self.settings.hidden_dims)
        self.check_criterion()


class IGEBM(ScalarDetector):
    """Scalar energy with persistent chains (arXiv:1903.08689), or with chains from the data (contrastive divergence).

    Parameters
    ----------
    space: what the representation yields
    network, hidden_dims: the encoder of that name with one output, and widths of its dense layers
    training: a Schedule
    visible_chain: a Chain
    start: 'persistent' or 'data'
    objective: an Objective (gamma, criterion, events)
    replay, buffer: of ``start`` persistent: probability of a start from the buffer of earlier ends, by default 0.95,
        and the buffer's size, by default 10,000
    n_components: as for Detector
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(ScalarDetector.Settings):
        start: str = "persistent"
        replay: float | None = None
        buffer: int | None = None

        def __post_init__(self):
            check_choice("start", self.start, ("persistent", "data"))
            buffer_settings(self.start, self.replay, self.buffer)
            if self.network == "sets" and self.start != "data":
                raise InputError(
                    "start: chains of network 'sets' keep the constituents that they start with, and in noise all are "
                    "there. Set 'start: data'."
                )

        @property
        def near_background(self) -> bool:
            return self.start == "data"

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        return visible_chains(self.settings, noise_start(self.inner.shape, support, generator))


class DRL(ScalarDetector):
    """Scalar energy trained by recovery from Gaussian noise (arXiv:2012.08125), of a magnitude drawn for each event.

    Parameters
    ----------
    space: what the representation yields
    network, hidden_dims: the encoder of that name with one output, and widths of its dense layers
    training: a Schedule
    visible_chain: a Chain; without 'metropolis', 'unit' or 'grad_clip' its step_size must be below 2 sigma^2 / weight
    sigma: smallest and largest standard deviation of the noise, in normalised units
    weight: of the tie of a chain to its perturbed event; 1 stands for chains of temperature one
    objective: an Objective (gamma, criterion, events)
    n_components: as for Detector
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(ScalarDetector.Settings):
        sigma: tuple[float, float] = (0.05, 0.3)
        weight: float = 1.0

        def __post_init__(self):
            smallest, chain = self.recovery.sigma[0], self.visible_chain
            # a step takes x' - x~ to (1 - step_size c / sigma^2) (x' - x~)
            if chain.unlimited and chain.step_size * self.weight >= 2 * smallest**2:
                raise InputError(
                    f"visible_chain: step_size: {chain.step_size} overshoots where the noise is {smallest}; it must be "
                    f"below 2 sigma^2 / weight = {2 * smallest**2 / self.weight:.3g}. Lower it or 'weight', or raise "
                    "the smallest 'sigma'."
                )

        @property
        def near_background(self) -> bool:
            return False

        @property
        def recovery(self) -> Recovery:
            """Range of the noise, and the weight of the tie."""
            return Recovery(sigma=tuple(self.sigma), weight=self.weight)

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        return RecoveryLikelihood(self.settings.recovery, self.settings.visible_chain)
