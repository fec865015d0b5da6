r"""Contrastive self-supervised embedding: SimCLR (Chen et al., arXiv:2002.05709) with physics augmentations.

Every event i of a batch of B is augmented twice; z_i and z_j, unit vectors, are the projections of the two views:

    l(i, j) = -log  exp(z_i . z_j / tau) / sum_{k != i} exp(z_i . z_k / tau),     k over all 2 B views       (NT-Xent)

    z = g(h) / |g(h)|,     h = f(x),        s(x) = -log sum_m pi_m N(h; mu_m, Sigma_m)

The score is the density of the embedding h, as it is before the projection g, under a Gaussian mixture that is fitted
to background training events alone; with one component it is the Mahalanobis distance. A collapsed embedding has the
loss of chance, log(2 B - 1), and is refused.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.augmentations import Augmentations
from hepad.detectors.base import Detector
from hepad.detectors.baselines import Gaussians
from hepad.detectors.networks import NETWORKS, dense, encoder
from hepad.detectors.normalisation import draw_seed
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import CollapseError, InputError, check_choice
from hepad.representations import Space


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Mean NT-Xent loss of the projections a, b (B, d) of two views of the same B events."""
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    similarity = z @ z.T / temperature
    diagonal = torch.eye(len(z), dtype=torch.bool, device=z.device)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return torch.nn.functional.cross_entropy(similarity.masked_fill(diagonal, -math.inf), partner)


class Contrastive(Detector):
    """Density of background in a contrastive embedding.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.detectors.networks.NETWORKS; hidden_dims: widths of dense layers; embedding: dimension of h
    projection: dimension of z; temperature: tau
    augmentations: {name: strength}, see hepad.detectors.augmentations; None for all that the space allows
    n_gaussians: number of Gaussians, or several, of which the Bayesian information criterion chooses
    training: a Schedule
    """

    score_name = "−log density of the embedding"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        network: str = "dense"
        hidden_dims: tuple[int, ...] = (128,)
        embedding: int = 16
        projection: int = 16
        temperature: float = 0.5
        augmentations: dict[str, float] | None = None
        n_gaussians: int | tuple[int, ...] = 1
        training: Schedule

        def __post_init__(self):
            check_choice("network", self.network, NETWORKS)
            if min(self.embedding, self.projection) < 2 or self.temperature <= 0:
                raise InputError("Contrastive: embedding, projection >= 2 and temperature > 0 are needed.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        size = self.settings.embedding
        self.encoder = encoder(space, self.settings.network, size, self.settings.hidden_dims)
        self.projection = dense([size, size, self.settings.projection])
        self.gaussians = Gaussians(size, self.settings.n_gaussians)
        self.augment = Augmentations(space, self.settings.augmentations)

    def view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented events, of normalised events and normalised again."""
        physical = self.normalise.invert(x)
        return self.normalise(self.augment(physical, self.normalise.scale, generator))

    def _loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        a, b = (self.projection(self.encoder(self.view(x, generator))) for _ in range(2))
        return nt_xent(a, b, self.settings.temperature)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        seed = draw_seed(fitting.generator)
        size = min(self.settings.training.batch, len(valid))
        batches = [part for part in valid.split(size) if len(part) == size]

        def measure() -> dict[str, float]:
            again = torch.Generator(valid.device).manual_seed(seed)  # the same views for all candidates
            with torch.no_grad():
                return {"valid_loss": sum(self._loss(x, again).item() for x in batches) / len(batches)}

        def loss(x: Tensor, _step: int):
            return self._loss(x, fitting.generator), {}

        options = {"phase": "contrastive", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        value, chance = measure()["valid_loss"], math.log(2 * size - 1)
        if not value < 0.98 * chance:
            raise CollapseError(
                f"Contrastive: NT-Xent is {value:.3f}, by chance it is {chance:.3f}: views of one event are not told "
                "from those of others. Train longer, lower the learning rate, or weaken the augmentations."
            )
        with torch.no_grad():
            codes = torch.cat([self.encoder(part) for part in train.split(1024)])
        facts = {"nt_xent": value, "nt_xent_of_chance": chance}
        return Fit(history, facts | self.gaussians.fit(codes, fitting.generator))

    def embed(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def anomaly(self, x: Tensor) -> Tensor:
        return self.gaussians(self.encoder(x))
