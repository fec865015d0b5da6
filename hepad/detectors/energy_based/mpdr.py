r"""Manifold projection-diffusion recovery (Yoon, Jin, Noh, Park, NeurIPS 2023, arXiv:2310.18677).

Frozen autoencoders (f, g) with codes on the unit sphere give the manifolds. For a background event x

    z~ = P( f(x) + sigma eps ),  sigma ~ U(smallest, largest)                         projection and diffusion
    H(x') = E(x') + c d(f(x'), z~) / (2 sigma^2)                                      recovery likelihood exp(-H/T)
    x-    : latent chain on H(g(z)) from z~, then visible chain on H(x') from g(z)    two-stage sampling
    L     = < E(x) > - < E(x-) > + regulariser

(hepad.detectors.energy_based.negative_sampling.ManifoldProjectionDiffusion). In H the energy of R and IDNN is the
error e itself, so that steps have the papers' size; T is what step_size and noise_std imply. Energies:

    reconstruction (R)   E = e(x) / e0, an autoencoder that starts as such;          regulariser gamma < E(x-)^2 >
    masked (IDNN)        E = e(x) / e0, a masked prediction that starts as such;     the same
    scalar (S)           E = a network with one output, of bounded slope;            regulariser gamma < E^2 + E(x-)^2 >
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector
from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Masked, Reconstruction, Scalar
from hepad.detectors.energy_based.langevin import Chain, Support
from hepad.detectors.energy_based.negative_sampling import ManifoldProjectionDiffusion, NegativeSampler, Recovery
from hepad.detectors.energy_based.reconstruction import Pretrained
from hepad.detectors.masked_prediction import MaskSettings, fit_predictor
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import History, Schedule
from hepad.errors import InputError, check_choice
from hepad.representations import Space

ENERGIES = ("reconstruction", "masked", "scalar")


class MPDR(Pretrained):
    """MPDR-R, MPDR-IDNN and MPDR-S on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    kind: 'reconstruction' (R), 'masked' (IDNN, or MAE) or 'scalar' (S)
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, l2) of the energy R and of the manifolds; the
        scalar energy is its encoder with one output
    masked: MaskSettings (hidden_dims, share, masks, patch) of the energy 'masked', where kind is that
    manifolds: latent sizes of the manifolds' autoencoders (manifold ensemble); None for the one of ``autoencoder``
    pretraining, training: Schedules of the autoencoder phases, and of the masked prediction's, and of the energy phase;
        in the place of the first an AE to start from, in Python a fitted one, in a configuration the name of one,
        without 'autoencoder'
    latent_chain, visible_chain: Chains (n_steps, step_size, noise_std, grad_clip, unit, anneal, metropolis, bfloat16,
        components)
    recovery: a Recovery (sigma, weight, visible_weight, geodesic)
    objective: an Objective (gamma, criterion, events)
    n_components: as for Detector
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(EnergyDetector.Settings):
        kind: str = "reconstruction"
        autoencoder: AutoencoderSettings = AutoencoderSettings()
        masked: MaskSettings | None = None
        manifolds: tuple[int, ...] | None = None
        pretraining: Schedule
        latent_chain: Chain
        recovery: Recovery = Recovery()

        def __post_init__(self):
            check_choice("kind", self.kind, ENERGIES)
            sizes = self.latent_dims
            if self.masked and self.kind != "masked":
                raise InputError(f"masked: the energy is '{self.kind}', which predicts nothing; leave it out.")
            if not self.autoencoder.sphere:
                raise InputError("autoencoder: sphere: MPDR's codes are unit vectors; leave it out.")
            if not sizes or len(set(sizes)) < len(sizes):
                raise InputError(f"manifolds: {sizes} must be different latent sizes, at least one.")
            if self.latent_chain.metropolis or self.latent_chain.components:
                raise InputError("latent_chain: it runs on the unit sphere, without 'metropolis' and 'components'.")
            ManifoldProjectionDiffusion.check(self.training.batch, len(sizes))
            if self.objective.events < len(sizes):
                raise InputError(
                    f"objective: events: {self.objective.events} cannot be divided among {len(sizes)} manifolds."
                )

        @property
        def latent_dims(self) -> list[int]:
            """Latent sizes of the manifolds."""
            return [self.autoencoder.latent_dim] if self.manifolds is None else list(self.manifolds)

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings, design = self.settings, self.settings.autoencoder
        self.models = nn.ModuleList(
            Autoencoder(self.inner, replace(design, latent_dim=size)) for size in settings.latent_dims
        )
        if settings.kind == "masked":
            self.energy = Masked(self.inner, settings.masked or MaskSettings())
        elif settings.kind == "scalar":
            self.energy = Scalar(self.inner, design.network, design.hidden_dims)
        else:
            self.energy = Reconstruction(self.inner, design)
        self.squares_of_background = settings.kind == "scalar"

    def adopt(self, fitted: Mapping[str, Detector]) -> None:
        super().adopt(fitted)
        sizes = [*self.settings.latent_dims]
        if self.settings.kind == "reconstruction":
            sizes.append(self.settings.autoencoder.latent_dim)
        if self.start.model.latent_dim not in sizes:
            raise InputError(
                f"pretraining: the AE has a code of {self.start.model.latent_dim}, and none of the manifolds has one."
            )

    def prepare(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, dict]:
        history, facts = [], {}
        for model in self.models:
            phase = "autoencoder" if len(self.models) == 1 else f"autoencoder, {model.latent_dim} latents"
            curve, error = self.pretrain(model, train, valid, fitting, phase)
            history += curve
            facts |= {f"r2_of_manifold_{model.latent_dim}": self._check_reconstruction(valid, error)}
            model.requires_grad_(False)
        if isinstance(self.energy, Reconstruction):
            autoencoder = self.energy.autoencoder
            twins = [model for model in self.models if model.latent_dim == autoencoder.latent_dim]
            if twins:
                autoencoder.load_state_dict(twins[0].state_dict())
                error = in_blocks(autoencoder.error, valid).mean().item()
            else:
                curve, error = self.pretrain(autoencoder, train, valid, fitting)
                history += curve
            self.energy.scale.fill_(error)
            facts |= {"autoencoder_r2": self._check_reconstruction(valid, error), "autoencoder_error": error}
        if isinstance(self.energy, Masked):
            schedule = self.settings.pretraining
            curve, error, r2 = fit_predictor(self.energy.predictor, train, valid, schedule, fitting)
            history += curve
            self.energy.scale.fill_(error)
            facts |= {"prediction_r2": r2, "prediction_error": error}
        return history, facts

    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        settings = self.settings
        chains = settings.latent_chain, settings.visible_chain
        return ManifoldProjectionDiffusion(tuple(self.models), settings.recovery, *chains)

    def manifolds(self) -> list[Autoencoder]:
        return list(self.models)

    def embed(self, x: Tensor) -> Tensor:
        return self.models[0].encode(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        has_autoencoder = isinstance(self.energy, Reconstruction)
        model = self.energy.autoencoder if has_autoencoder else self.models[0]
        with torch.no_grad():
            return self.normalise.invert(model(self.normalise(x)))
