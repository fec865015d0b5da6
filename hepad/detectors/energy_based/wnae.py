r"""Wasserstein normalized autoencoder (CMS, CMS-MLG-24-002, arXiv:2510.02168).

    E(x) = e(x) / e0,       L = W^2( {x}, {x-} )

W^2 is the squared Wasserstein distance between the batch and negative samples in the space of normalised events. Its
gradient reaches the parameters through every step of the chain that found the x-, from earlier samples or from noise;
there is no E+ - E-, and the loss itself measures how well the model samples background, down to what two batches of
background differ by.
"""

import torch
from torch import Tensor

from hepad.detectors.distances import wasserstein
from hepad.detectors.energy_based.langevin import ReplayBuffer, Support
from hepad.detectors.energy_based.nae import ReconstructionDetector
from hepad.detectors.energy_based.negative_sampling import NegativeSampler, PersistentCD, noise_start
from hepad.errors import InputError
from hepad.representations import Space


class WNAE(ReconstructionDetector):
    """Wasserstein normalized autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, sphere, l2)
    pretraining, training: Schedules of the autoencoder phase and of the energy phase
    visible_chain: a Chain; memory grows with its steps
    objective: an Objective (criterion, events; there is no gamma in this loss)
    replay, buffer: probability of a start from the buffer of earlier ends, and the buffer's size
    n_components: as for Detector
    """

    remedy = "Lower 'training: learning_rate' or 'visible_chain: step_size'"

    def __init__(
        self,
        space: Space,
        *,
        autoencoder: dict | None = None,
        pretraining: dict,
        training: dict,
        visible_chain: dict,
        objective: dict | None = None,
        replay: float = 0.95,
        buffer: int = 10_000,
        n_components: int = 0,
    ):
        if "gamma" in (objective or {}):
            raise InputError("objective: the Wasserstein loss has no gamma; leave it out.")
        super().__init__(space, autoencoder, pretraining, training, objective, n_components)
        self.visible_chain = self.visible(visible_chain)
        if self.visible_chain.metropolis:
            raise InputError("visible_chain: the Wasserstein loss needs a chain without 'metropolis'.")
        ReplayBuffer.check(buffer, replay)
        self.replay, self.buffer = replay, buffer

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        fresh = noise_start(self.inner.shape, support, generator)
        return PersistentCD(self.visible_chain, ReplayBuffer(self.buffer, self.replay, fresh), differentiable=True)

    def loss(self, positive: Tensor, negative: Tensor, x: Tensor, sample: Tensor) -> Tensor:
        return wasserstein(x, sample)
