r"""Autoencoder: the reconstruction error as anomaly score (Heimel et al., SciPost Phys. 6, 030, arXiv:1808.08979).

    e(x) = |x - g(f(x))|^2 / D,        minimise  < e(x) >  over background,     score = e(x)

x is normalised (an image is divided by its standard deviation) and D is the number of entries. Decoded pixels pass a
softmax, so that a reconstruction is an image too: a sigmoid on sparse images of tiny pixels collapses to a constant.
"""

import torch
from torch import Tensor

from hepad.detectors.base import Reconstructing, settings
from hepad.networks import Autoencoder
from hepad.progress import Progress
from hepad.representations import Space
from hepad.training import History, Schedule, fit_loop, in_parts


def fit_autoencoder(
    model: Autoencoder,
    train: Tensor,
    valid: Tensor,
    schedule: Schedule,
    *,
    l2: float,
    generator: torch.Generator,
    progress: Progress,
) -> tuple[History, float]:
    """Minimise the mean error, keep the state that is best on validation data; return its history and that error."""

    def loss(x: Tensor, _step: int):
        value = model.error(x).mean()
        return (value + l2 * model.weight_norm() if l2 else value), {}

    def validate() -> float:
        return in_parts(model.error, valid).mean().item()

    model.head.fit(train)
    history = fit_loop(
        model, loss, train, schedule, phase="autoencoder", generator=generator, progress=progress, validate=validate
    )
    return history, validate()


class AE(Reconstructing):
    """Autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.networks.NETWORKS; hidden: widths of dense layers; latent: size of the code
    sphere: code on the unit sphere
    training: a Schedule (steps, batch, rate, ...)
    l2: strength of the L2 term on the weights
    """

    score_name = "reconstruction error"

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden: tuple[int, ...] = (256, 128),
        latent: int = 16,
        sphere: bool = True,
        training: dict,
        l2: float = 0.0,
    ):
        super().__init__(space)
        self.model = Autoencoder(space, network=network, hidden=list(hidden), latent=latent, sphere=sphere)
        self.schedule, self.l2 = settings(Schedule, training, "training"), l2

    def _fit(self, train: Tensor, valid: Tensor, generator: torch.Generator, progress: Progress):
        history, error = fit_autoencoder(
            self.model, train, valid, self.schedule, l2=self.l2, generator=generator, progress=progress
        )
        return history, {"r2": self._refuse_poor(valid, error)}

    def anomaly(self, x: Tensor) -> Tensor:
        return self.model.error(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.model(self.normalise(x)))
