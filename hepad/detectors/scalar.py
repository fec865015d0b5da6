r"""Energies that are a plain network: the opponents of MPDR in its paper.

IGEBM    negative samples from a replay buffer of earlier ones        Du and Mordatch, NeurIPS 2019, arXiv:1903.08689
DRL      negative samples recovered from Gaussian noise               Gao et al., ICLR 2021, arXiv:2012.08125

L = < E(x) > - < E(x-) > + gamma < E(x)^2 + E(x-)^2 >
"""

import torch

from hepad.detectors.energy import EnergyDetector
from hepad.energies import Scalar
from hepad.errors import InputError, choose
from hepad.negatives import FromData, GaussianDiffusion, Law, Persistent, Recovery, buffer_settings, noise_start
from hepad.representations import Space
from hepad.sampling import ReplayBuffer, Support


class ScalarDetector(EnergyDetector):
    """An energy-based detector whose energy is a network with one output, without any autoencoder."""

    squares_of_background = True

    def __init__(
        self,
        space: Space,
        network: str,
        hidden: tuple[int, ...],
        training: dict,
        visible_chain: dict,
        objective: dict | None,
        compress: int,
    ):
        super().__init__(space, training, objective, compress)
        self.energy = Scalar(self.inner, network, hidden)
        self.visible_chain = self.visible(visible_chain)
        self.refuse_criterion_without_manifold()


class IGEBM(ScalarDetector):
    """Scalar energy with persistent chains, or with chains from the data (contrastive divergence).

    Parameters
    ----------
    space: what the representation yields
    network, hidden: the encoder of that name with one output, and widths of its dense layers
    training: a Schedule
    visible_chain: a Chain
    start: 'persistent' or 'data'
    objective: an Objective (gamma, criterion, events)
    replay, buffer: of ``start`` persistent: probability of a start from the buffer of earlier ends, by default 0.95,
        and the buffer's size, by default 10,000
    compress: as for Detector
    """

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden: tuple[int, ...] = (256, 128),
        training: dict,
        visible_chain: dict,
        start: str = "persistent",
        objective: dict | None = None,
        replay: float | None = None,
        buffer: int | None = None,
        compress: int = 0,
    ):
        super().__init__(space, network, hidden, training, visible_chain, objective, compress)
        self.start = choose("start", start, ("persistent", "data"))
        self.replay, self.buffer = buffer_settings(start, replay, buffer)

    def law(self, support: Support, generator: torch.Generator) -> Law:
        if self.start == "data":
            return FromData(self.visible_chain)
        fresh = noise_start(self.inner.shape, support, generator)
        return Persistent(self.visible_chain, ReplayBuffer(self.buffer, self.replay, fresh))


class DRL(ScalarDetector):
    """Scalar energy trained by recovery from Gaussian noise, drawn for each event from a range of magnitudes.

    Parameters
    ----------
    space: what the representation yields
    network, hidden: the encoder of that name with one output, and widths of its dense layers
    training: a Schedule
    visible_chain: a Chain; without 'metropolis', 'unit' or 'clip' its step must be below 2 sigma^2 / weight
    sigma: smallest and largest standard deviation of the noise, in normalised units
    weight: of the tie of a chain to its perturbed event; 1 stands for chains of temperature one
    objective: an Objective (gamma, criterion, events)
    compress: as for Detector
    """

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden: tuple[int, ...] = (256, 128),
        training: dict,
        visible_chain: dict,
        sigma: tuple[float, float] = (0.05, 0.3),
        weight: float = 1.0,
        objective: dict | None = None,
        compress: int = 0,
    ):
        super().__init__(space, network, hidden, training, visible_chain, objective, compress)
        self.recovery, chain = Recovery(sigma=tuple(sigma), weight=weight), self.visible_chain
        # a step takes x' - x~ to (1 - step c / sigma^2) (x' - x~)
        if chain.unlimited and chain.step * weight >= 2 * sigma[0] ** 2:
            raise InputError(
                f"visible_chain: step: {chain.step} overshoots where the noise is {sigma[0]}; it must be below "
                f"2 sigma^2 / weight = {2 * sigma[0] ** 2 / weight:.3g}. Lower it or 'weight', or raise the smallest "
                "'sigma'."
            )

    def law(self, support: Support, generator: torch.Generator) -> Law:
        return GaussianDiffusion(self.recovery, self.visible_chain)
