"""The common base of NAE and WNAE: the energy is the error of an autoencoder, which is trained as such first.

E(x) = e(x) / e0,     e(x) = |x - g(f(x))|^2 / D,     e0: the validation error that the first training ends with
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.autoencoder import fit_autoencoder
from hepad.detectors.base import Reconstructing
from hepad.detectors.energy_based.base import EnergyDetector
from hepad.detectors.energy_based.energies import Reconstruction
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import History, Schedule
from hepad.representations import Space


class ReconstructionDetector(EnergyDetector, Reconstructing):
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
        history, error = fit_autoencoder(self.energy.autoencoder, train, valid, self.settings.pretraining, fitting)
        self.energy.scale.fill_(error)
        return history, {"autoencoder_r2": self._check_reconstruction(valid, error), "autoencoder_error": error}

    def manifolds(self) -> list[Autoencoder]:
        return [self.energy.autoencoder] if self.energy.autoencoder.sphere else []

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.energy.autoencoder(self.normalise(x)))
