r"""Manifold projection-diffusion recovery (Yoon, Jin, Noh, Park, NeurIPS 2023).

Frozen autoencoders (f, g) with codes on the unit sphere give the manifolds. For a background event x

    z~ = P( f(x) + sigma eps ),  sigma ~ U(smallest, largest)                         projection and diffusion
    H(x') = E(x') + c d(f(x'), z~) / (2 sigma^2)                                      recovery likelihood exp(-H/T)
    x-    : latent chain on H(g(z)) from z~, then visible chain on H(x') from g(z)    two-stage sampling
    L     = < E(x) > - < E(x-) > + regulariser

(hepad.detectors.energy_based.negative_sampling.ManifoldProjectionDiffusion). In H the energy of R is the error e
itself, so that steps have the papers' size; T is what step_size and noise_std imply. Energies:

    reconstruction (R)   E = e(x) / e0, an autoencoder that starts as such;          regulariser gamma < E(x-)^2 >
    scalar (S)           E = a network with one output, of bounded slope;            regulariser gamma < E^2 + E(x-)^2 >
"""

import torch
from torch import Tensor, nn

from hepad.detectors.autoencoder import fit_autoencoder
from hepad.detectors.base import Reconstructing
from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Reconstruction, Scalar
from hepad.detectors.energy_based.langevin import Chain, Support
from hepad.detectors.energy_based.negative_sampling import ManifoldProjectionDiffusion, NegativeSampler, Recovery
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import History, Schedule
from hepad.errors import InputError, check_choice
from hepad.registry import settings
from hepad.representations import Space

ENERGIES = ("reconstruction", "scalar")


class MPDR(EnergyDetector, Reconstructing):
    """MPDR-R and MPDR-S on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    kind: 'reconstruction' (R) or 'scalar' (S)
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, l2) of the energy R and of the manifolds; the
        scalar energy is its encoder with one output
    manifolds: latent sizes of the manifolds' autoencoders (manifold ensemble); None for the one of ``autoencoder``
    pretraining, training: Schedules of the autoencoder phases and of the energy phase
    latent_chain, visible_chain: Chains (n_steps, step_size, noise_std, grad_clip, unit, anneal, metropolis)
    recovery: a Recovery (sigma, weight, visible_weight, geodesic)
    objective: an Objective (gamma, criterion, events)
    n_components: as for Detector
    """

    def __init__(
        self,
        space: Space,
        *,
        kind: str = "reconstruction",
        autoencoder: dict | None = None,
        manifolds: tuple[int, ...] | None = None,
        pretraining: dict,
        training: dict,
        latent_chain: dict,
        visible_chain: dict,
        recovery: dict | None = None,
        objective: dict | None = None,
        n_components: int = 0,
    ):
        super().__init__(space, training, objective, n_components)
        scalar = check_choice("kind", kind, ENERGIES) == "scalar"
        about = settings(AutoencoderSettings, autoencoder or {}, "autoencoder")
        if not about.sphere:
            raise InputError("autoencoder: sphere: MPDR's codes are unit vectors; leave it out.")
        latents = [about.latent_dim] if manifolds is None else list(manifolds)
        if not latents or len(set(latents)) < len(latents):
            raise InputError(f"manifolds: {latents} must be different latent sizes, at least one.")
        self.models = nn.ModuleList(
            Autoencoder(self.inner, settings(AutoencoderSettings, {**vars(about), "latent_dim": d}, "manifolds"))
            for d in latents
        )
        self.energy = (
            Scalar(self.inner, about.network, about.hidden_dims) if scalar else Reconstruction(self.inner, about)
        )
        self.squares_of_background = scalar
        self.pretraining = settings(Schedule, pretraining, "pretraining")
        self.latent_chain = settings(Chain, latent_chain, "latent_chain")
        self.visible_chain = self.visible(visible_chain)
        self.recovery = settings(Recovery, recovery or {}, "recovery")
        if self.latent_chain.metropolis:
            raise InputError("latent_chain: it runs on the unit sphere, without 'metropolis'.")
        ManifoldProjectionDiffusion.check(self.training_schedule.batch, len(latents))
        if self.objective.events < len(latents):
            raise InputError(
                f"objective: events: {self.objective.events} cannot be divided among {len(latents)} manifolds."
            )

    def prepare(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, dict]:
        history, facts = [], {}
        for model in self.models:
            phase = "autoencoder" if len(self.models) == 1 else f"autoencoder, {model.latent_dim} latents"
            curve, error = fit_autoencoder(model, train, valid, self.pretraining, fitting, phase=phase)
            history += curve
            facts |= {f"r2_of_manifold_{model.latent_dim}": self._check_reconstruction(valid, error)}
            model.requires_grad_(False)
        if isinstance(self.energy, Reconstruction):
            own = self.energy.autoencoder
            same = [model for model in self.models if model.latent_dim == own.latent_dim]
            if same:
                own.load_state_dict(same[0].state_dict())
                error = in_blocks(own.error, valid).mean().item()
            else:
                curve, error = fit_autoencoder(own, train, valid, self.pretraining, fitting)
                history += curve
            self.energy.scale.fill_(error)
            facts |= {"autoencoder_r2": self._check_reconstruction(valid, error), "autoencoder_error": error}
        return history, facts

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        return ManifoldProjectionDiffusion(tuple(self.models), self.recovery, self.latent_chain, self.visible_chain)

    def manifolds(self) -> list[Autoencoder]:
        return list(self.models)

    def reconstruct(self, x: Tensor) -> Tensor:
        own = isinstance(self.energy, Reconstruction)
        model = self.energy.autoencoder if own else self.models[0]
        with torch.no_grad():
            return self.normalise.invert(model(self.normalise(x)))
