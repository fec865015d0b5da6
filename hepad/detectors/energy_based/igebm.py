r"""Energies that are a plain network: the opponents of MPDR in its paper.

IGEBM    negative samples from a replay buffer of earlier ones        Du and Mordatch, NeurIPS 2019, arXiv:1903.08689
DRL      negative samples recovered from Gaussian noise               Gao et al., ICLR 2021, arXiv:2012.08125

L = < E(x) > - < E(x-) > + gamma < E(x)^2 + E(x-)^2 >
"""

import torch

from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Scalar
from hepad.detectors.energy_based.langevin import ReplayBuffer, Support
from hepad.detectors.energy_based.negative_sampling import (
    ContrastiveDivergence,
    NegativeSampler,
    PersistentCD,
    Recovery,
    RecoveryLikelihood,
    buffer_settings,
    noise_start,
)
from hepad.errors import InputError, check_choice
from hepad.representations import Space


class ScalarDetector(EnergyDetector):
    """An energy-based detector whose energy is a network with one output, without any autoencoder."""

    squares_of_background = True

    def __init__(
        self,
        space: Space,
        network: str,
        hidden_dims: tuple[int, ...],
        training: dict,
        visible_chain: dict,
        objective: dict | None,
        n_components: int,
    ):
        super().__init__(space, training, objective, n_components)
        self.energy = Scalar(self.inner, network, hidden_dims)
        self.visible_chain = self.visible(visible_chain)
        self.check_criterion()


class IGEBM(ScalarDetector):
    """Scalar energy with persistent chains, or with chains from the data (contrastive divergence).

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

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden_dims: tuple[int, ...] = (256, 128),
        training: dict,
        visible_chain: dict,
        start: str = "persistent",
        objective: dict | None = None,
        replay: float | None = None,
        buffer: int | None = None,
        n_components: int = 0,
    ):
        super().__init__(space, network, hidden_dims, training, visible_chain, objective, n_components)
        self.start = check_choice("start", start, ("persistent", "data"))
        self.replay, self.buffer = buffer_settings(start, replay, buffer)

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        if self.start == "data":
            return ContrastiveDivergence(self.visible_chain)
        fresh = noise_start(self.inner.shape, support, generator)
        return PersistentCD(self.visible_chain, ReplayBuffer(self.buffer, self.replay, fresh))


class DRL(ScalarDetector):
    """Scalar energy trained by recovery from Gaussian noise, drawn for each event from a range of magnitudes.

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

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden_dims: tuple[int, ...] = (256, 128),
        training: dict,
        visible_chain: dict,
        sigma: tuple[float, float] = (0.05, 0.3),
        weight: float = 1.0,
        objective: dict | None = None,
        n_components: int = 0,
    ):
        super().__init__(space, network, hidden_dims, training, visible_chain, objective, n_components)
        self.recovery, chain = Recovery(sigma=tuple(sigma), weight=weight), self.visible_chain
        # a step takes x' - x~ to (1 - step_size c / sigma^2) (x' - x~)
        if chain.unlimited and chain.step_size * weight >= 2 * sigma[0] ** 2:
            raise InputError(
                f"visible_chain: step_size: {chain.step_size} overshoots where the noise is {sigma[0]}; it must be "
                f"below 2 sigma^2 / weight = {2 * sigma[0] ** 2 / weight:.3g}. Lower it or 'weight', or raise the "
                "smallest 'sigma'."
            )

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        return RecoveryLikelihood(self.recovery, self.visible_chain)
