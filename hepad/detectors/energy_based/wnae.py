r"""Wasserstein normalized autoencoder (CMS, CMS-MLG-24-002, arXiv:2510.02168).

    E(x) = e(x) / e0,       L = W^2( {x}, {x-} )

W^2 is the squared Wasserstein distance between the batch and negative samples in the space of normalised events. Its
gradient reaches the parameters through every step of the chain that found the x-, from earlier samples or from noise;
there is no E+ - E-, and the loss itself measures how well the model samples background, down to what two batches of
background differ by.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.distances import wasserstein
from hepad.detectors.energy_based.base import StateChoice
from hepad.detectors.energy_based.langevin import ReplayBuffer, Support
from hepad.detectors.energy_based.negative_sampling import NegativeSampler, PersistentCD, noise_start
from hepad.detectors.energy_based.reconstruction import ReconstructionDetector
from hepad.errors import InputError


class WNAE(ReconstructionDetector):
    """Wasserstein normalized autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, sphere, l2)
    pretraining, training: Schedules of the autoencoder phase and of the energy phase; in the place of the first an AE
        to start from, in Python a fitted one, in a configuration the name of one, without 'autoencoder'
    visible_chain: a Chain; memory grows with its steps
    objective: a StateChoice (criterion, events); there is no gamma in this loss
    replay, buffer: probability of a start from the buffer of earlier ends, and the buffer's size
    n_components: as for Detector
    """

    remedy = "Lower 'training: learning_rate' or 'visible_chain: step_size'"

    @dataclass(frozen=True, kw_only=True)
    class Settings(ReconstructionDetector.Settings):
        objective: StateChoice = StateChoice()
        replay: float = 0.95
        buffer: int = 10_000

        def __post_init__(self):
            ReplayBuffer.check(self.buffer, self.replay)
            if self.visible_chain.metropolis:
                raise InputError("visible_chain: the Wasserstein loss needs a chain without 'metropolis'.")

        @property
        def near_background(self) -> bool:
            return False

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        fresh = noise_start(self.inner.shape, support, generator)
        buffer = ReplayBuffer(self.settings.buffer, self.settings.replay, fresh)
        return PersistentCD(self.settings.visible_chain, buffer, differentiable=True)

    def loss(self, positive: Tensor, negative: Tensor, x: Tensor, sample: Tensor) -> Tensor:
        return wasserstein(x, sample)
