r"""Normalized autoencoder (Yoon, Noh, Park, ICML 2021, arXiv:2105.05735; for jets Dillon et al., arXiv:2206.14225).

    E(x) = e(x) / e0,     e(x) = |x - g(f(x))|^2 / D,      p(x) = exp(-E(x)) / Omega
    L    = < E(x) > - < E(x-) > + gamma < E(x-)^2 >

e0 is the validation error of the autoencoder that training starts from. The negative samples x- are found from a point
of the manifold (``start`` on_manifold, NAE-OMI), from the data (NAE-CD) or from earlier samples (persistent, NAE-PCD);
see hepad.detectors.energy_based.negative_sampling.
"""

from dataclasses import dataclass

import torch

from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Support
from hepad.detectors.energy_based.negative_sampling import (
    NegativeSampler,
    OnManifold,
    buffer_settings,
    noise_start,
    sphere_start,
    visible_chains,
)
from hepad.detectors.energy_based.reconstruction import ReconstructionDetector
from hepad.errors import InputError, check_choice

STARTS = ("on_manifold", "data", "persistent")


class NAE(ReconstructionDetector):
    """Normalized autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, sphere, l2)
    pretraining, training: Schedules of the autoencoder phase and of the energy phase; in the place of the first an AE
        to start from, in Python a fitted one, in a configuration the name of one, without 'autoencoder'
    latent_chain, visible_chain: Chains (n_steps, step_size, noise_std, grad_clip, unit, anneal, metropolis, bfloat16,
        components); the latent one is required for ``start`` 'on_manifold', and refused for others
    start: where the chains start: 'on_manifold', 'data' (CD) or 'persistent' (PCD)
    objective: an Objective (gamma, criterion, events)
    replay, buffer: of a ``start`` that is not the data: probability of a start from the buffer of earlier ends, by
        default 0.95, and the buffer's size, by default 10,000
    n_components: as for Detector
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(ReconstructionDetector.Settings):
        latent_chain: Chain | None = None
        start: str = "on_manifold"
        replay: float | None = None
        buffer: int | None = None

        def __post_init__(self):
            check_choice("start", self.start, STARTS)
            buffer_settings(self.start, self.replay, self.buffer)
            if (self.latent_chain is not None) != (self.start == "on_manifold"):
                raise InputError(
                    f"latent_chain: it is needed with start 'on_manifold' and only there, not with '{self.start}'."
                )
            chain = self.latent_chain
            if chain and (not self.autoencoder.sphere or chain.metropolis or chain.components):
                raise InputError(
                    "latent_chain: it runs on the unit sphere, without 'metropolis' and 'components'; set "
                    "'sphere: true'."
                )

        @property
        def near_background(self) -> bool:
            return self.start != "persistent"

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        settings = self.settings
        if settings.start != "on_manifold":
            return visible_chains(settings, noise_start(self.inner.shape, support, generator))
        replay, size = buffer_settings(settings.start, settings.replay, settings.buffer)
        fresh = sphere_start(self.energy.autoencoder.latent_dim, generator)
        return OnManifold(settings.latent_chain, settings.visible_chain, ReplayBuffer(size, replay, fresh))
