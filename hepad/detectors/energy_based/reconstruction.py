"""Energies whose training begins with an autoencoder: their common base, and that of NAE and WNAE, whose energy is the
error of it.

E(x) = e(x) / e0,     e(x) = |x - g(f(x))|^2 / D,     e0: the validation error that the first training ends with
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.autoencoder import AE, fit_autoencoder
from hepad.detectors.base import Detector, Reconstructing
from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Reconstruction
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import History, Schedule
from hepad.errors import InputError
from hepad.representations import Space

SAME = 0.05  # relative difference of standard deviations that parts of one background may have


class Pretrained(EnergyDetector, Reconstructing):
    """An energy-based detector whose training begins with autoencoders: their own, or that of an AE."""

    start: AE | None = None

    def adopt(self, fitted: Mapping[str, Detector]) -> None:
        """Take a fitted AE, the only one in ``fitted``, in the place of the training of the same autoencoder.

        InputError: it is no AE
        """
        (found,) = fitted.values()
        if not isinstance(found, AE):
            raise InputError(f"pretraining: {type(found).__name__} is no AE. Start from an AE.")
        vars(self)["start"] = found  # no part of this module, whose state has a copy

    def _fit_normaliser(self, train: Tensor, generator: torch.Generator) -> None:
        """That of the AE, whose network knows no other, if it does to these events what an own one would."""
        super()._fit_normaliser(train, generator)
        if not self.start:
            return
        own = self.normalise.of_sample(train).std()
        try:
            self.normalise.load_state_dict(self.start.normalise.state_dict())
        except RuntimeError:
            raise InputError("pretraining: the AE sees other inputs. Give both the same 'n_components'.") from None
        if not abs(self.normalise.of_sample(train).std() / own - 1) < SAME:
            raise InputError("pretraining: the AE was fitted to other events. Fit both to the same background.")

    def adopted(self) -> list[Tensor]:
        return list(self.start.model.state_dict().values()) if self.start else []

    def pretrain(
        self, model: Autoencoder, train: Tensor, valid: Tensor, fitting: Fitting, phase: str = "autoencoder"
    ) -> tuple[History, float]:
        """Train ``model`` as an autoencoder, or let it be the one to start from if that has the same code; history, and
        error of the validation events."""
        start = self.start
        if not start or start.model.latent_dim != model.latent_dim:
            return fit_autoencoder(model, train, valid, self.settings.pretraining, fitting, phase=phase)
        try:
            model.load_state_dict(start.model.state_dict())
        except RuntimeError:
            raise InputError("pretraining: the AE has another network. Leave 'autoencoder' to it.") from None
        return [], in_blocks(model.error, valid).mean().item()


class ReconstructionDetector(Pretrained):
    """An energy-based detector whose energy is the error of an autoencoder, which is trained as such first."""

    energy: Reconstruction

    @dataclass(frozen=True, kw_only=True)
    class Settings(EnergyDetector.Settings):
        autoencoder: AutoencoderSettings = AutoencoderSettings()
        pretraining: Schedule

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        self.energy = Reconstruction(self.inner, self.settings.autoencoder)
        self.check_criterion()

    def prepare(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, dict]:
        history, error = self.pretrain(self.energy.autoencoder, train, valid, fitting)
        self.energy.scale.fill_(error)
        return history, {"autoencoder_r2": self._check_reconstruction(valid, error), "autoencoder_error": error}

    def manifolds(self) -> list[Autoencoder]:
        return [self.energy.autoencoder] if self.energy.autoencoder.sphere else []

    def embed(self, x: Tensor) -> Tensor:
        return self.energy.autoencoder.encode(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.energy.autoencoder(self.normalise(x)))
