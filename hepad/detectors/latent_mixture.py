r"""Gaussian mixture on the latents of another detector: how rare the code of an event is, not how well it is decoded.

    z = f(x),      s(x) = -log sum_k pi_k N(z; mu_k, Sigma_k)

f is the encoder of a detector that is fitted first, on the same background; the mixture is then fitted to the latents
of background training events alone, by scikit-learn. f: the encoder of an AE; the mean mu(x) of a ConvVAE's posterior,
before its flow; the encoder of the autoencoder that is the energy of NAE and WNAE; that of MPDR's first manifold.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hepad.detectors.base import Reconstructing, build
from hepad.detectors.baselines import Gaussians
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Fit, Schedule
from hepad.errors import CollapseError, InputError, check_choice
from hepad.representations import Space

LATENTS = ("AE", "ConvVAE", "NAE", "WNAE", "MPDR")  # types that reconstruct an event from what they embed it as


class LatentMixture(Reconstructing):
    """Gaussian mixture on latents.

    Parameters
    ----------
    space: what the representation yields
    of: the detector whose latents, {type: AE, autoencoder: {latent_dim: 8}}, with its arguments but for ``training``. A
        code on a sphere, as the AE's is unless ``sphere`` is false, is a poor match for Gaussians
    training: the ``training`` of that detector
    n_gaussians: number of Gaussians, or several, of which the Bayesian information criterion chooses
    """

    score_name = "−log density of the latents"

    def __init__(
        self, space: Space, *, of: dict, training: Schedule, n_gaussians: int | Sequence[int] = (1, 2, 5, 10, 20)
    ):
        super().__init__(space)
        arguments = dict(of)
        kind = check_choice("LatentMixture: of: type", arguments.pop("type", None), LATENTS)
        if "training" in arguments:
            raise InputError("LatentMixture: 'training' belongs beside 'of', not into it.")
        # the seed is drawn from that of this detector, which is set while it is built
        seed = int(torch.randint(2**31 - 1, ()))
        self.of = build({"type": kind, "arguments": arguments | {"training": training}}, space, seed)
        with torch.no_grad():
            width = self._code(torch.zeros(1, *space.shape)).shape[1]
        self.gaussians = Gaussians(width, n_gaussians)

    def _code(self, x: Tensor) -> Tensor:
        """Latents (B, d) of normalised events."""
        return self.of.embed(self.of.normalise(x))

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        # normalised events have the constants 0 and 1: the detector's own normalisation leaves them as they are
        fit = self.of.fit(
            train, valid, generator=fitting.generator, progress=fitting.progress, checkpoint=fitting.checkpoint
        )
        with torch.no_grad():
            codes = torch.cat([self._code(part) for part in train.split(1024)])
        if not codes.std(0).max() > 1e-6 * (1 + codes.abs().max()):
            raise CollapseError("LatentMixture: all background events have the same latents; train longer.")
        facts = {key: value for key, value in fit.facts.items() if key != "seconds"}  # the whole time is measured
        return Fit(fit.history, facts | self.gaussians.fit(codes, fitting.generator))

    def anomaly(self, x: Tensor) -> Tensor:
        return self.gaussians(self._code(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.normalise.invert(self.of.reconstruct(self.normalise(x)))
