r"""Autoencoders: the reconstruction error as anomaly score (Heimel et al., SciPost Phys. 6, 030, arXiv:1808.08979).

    e(x) = |x - g(f(x))|^2 / D,        minimise  < |x - g(f(x + noise eps))|^2 / D > + mmd MMD^2,      score = e(x)

    MMD^2 = < k(z, z') > + < k(w, w') > - 2 < k(z, w) >,  z = f(x),  w: the prior,  k(z, w) = C / (C + |z - w|^2)

noise > 0 is the denoising autoencoder, DAE (Vincent et al., JMLR 11 (2010) 3371); mmd > 0 the Wasserstein autoencoder,
WAE (Tolstikhin et al., arXiv:1711.01558, with its kernel, C = 2 d s^2), its prior is uniform on the sphere (d s^2 = 1)
or, without ``sphere``, normal (s = 1). x is normalised (a jet image is divided by its standard deviation) and D is the
number of entries. Decoded jet images pass a softmax, so that a reconstruction is an image too: a sigmoid on sparse
images of tiny pixels collapses to a constant.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.base import Detector, Reconstructing
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, History, Schedule
from hepad.errors import InputError
from hepad.representations import Space


def mmd(z: Tensor, w: Tensor, c: float) -> Tensor:
    """Unbiased squared maximum mean discrepancy of z (B, d) and w (B, d) under the inverse multiquadratic kernel."""
    n = len(z)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return c / (c + torch.cdist(a, b).square())

    means = [(kernel(a, a).sum() - n) / (n * (n - 1)) for a in (z, w)]  # without the diagonal, where k = 1
    return means[0] + means[1] - 2 * kernel(z, w).mean()


def fit_autoencoder(
    model: Autoencoder,
    train: Tensor,
    valid: Tensor,
    schedule: Schedule,
    fitting: Fitting,
    *,
    noise: float = 0.0,
    mmd_weight: float = 0.0,
    phase: str = "autoencoder",
) -> tuple[History, float]:
    """Minimise the mean error, keep the state that is best on validation data; return its history and that error."""

    def normal(shape) -> Tensor:
        return torch.randn(shape, generator=fitting.generator, device=train.device)

    def loss(x: Tensor, _step: int):
        z = model.encode(x + noise * normal(x.shape) if noise else x)
        value = (x - model.decode(z)).square().mean() + model.penalty()
        if mmd_weight:
            prior = normal(z.shape)
            w = torch.nn.functional.normalize(prior, dim=1) if model.sphere else prior
            value = value + mmd_weight * mmd(z, w, 2.0 if model.sphere else 2.0 * model.latent_dim)
        return value, {}

    def measure() -> dict[str, float]:
        return {"valid_loss": in_blocks(model.error, valid).mean().item()}

    model.head.fit(train)
    history, _ = fitting.minimise(
        model, loss, train, schedule, phase=phase, measure=measure, criterion=Criterion("valid_loss")
    )
    return history, measure()["valid_loss"]


def started_from(arguments: Mapping, named: str, given: Collection[str]) -> dict:
    """Of the arguments of the AE that is called ``named`` those of an energy that starts from it.

    InputError: the energy is ``given`` one of them besides
    """
    own = {"autoencoder": "autoencoder", "n_components": "n_components", "training": "pretraining"}
    for key in ("autoencoder", "n_components"):
        if key in given:
            raise InputError(f"{key}: it is that of {named}, which training starts from. Leave it out here.")
    return {name: arguments[key] for key, name in own.items() if key in arguments}


class AE(Reconstructing):
    """Autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    autoencoder: AutoencoderSettings (network, hidden_dims, latent_dim, sphere, l2)
    training: a Schedule (steps, batch, learning_rate, ...)
    noise: standard deviation of the noise added to the input in training, in normalised units (> 0: DAE)
    mmd: weight of the distance of the codes from their prior (> 0: WAE)
    n_components: as for Detector
    """

    score_name = "reconstruction error"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        autoencoder: AutoencoderSettings = AutoencoderSettings()
        training: Schedule
        noise: float = 0.0
        mmd: float = 0.0
        n_components: int = 0

        def __post_init__(self):
            if min(self.noise, self.mmd) < 0:
                raise InputError("AE: noise and mmd must not be negative.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        self.model = Autoencoder(self.inner, self.settings.autoencoder)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        weights = {"noise": self.settings.noise, "mmd_weight": self.settings.mmd}
        history, error = fit_autoencoder(self.model, train, valid, self.settings.training, fitting, **weights)
        return Fit(history, {"r2": self._check_reconstruction(valid, error)})

    def embed(self, x: Tensor) -> Tensor:
        return self.model.encode(x)

    def anomaly(self, x: Tensor) -> Tensor:
        return self.model.error(x)

    def terms(self, x: Tensor) -> Tensor | None:
        return self.model.error_terms(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.model(self.normalise(x)))
