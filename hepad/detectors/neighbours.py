r"""Nearest neighbours: how far the k-th nearest background event is.

    y = (c(x) - shift) / width,      s(x) = |y - r_(k)|

c(x): principal components that stand for the pixels, and columns; shift and width: their means and standard deviations
on the training events; r_(k): the k-th nearest of the reference events, which are training events. In D dimensions
k / (N V_D s^D) estimates the density at x, V_D the volume of the unit ball (D. Loftsgaarden, C. Quesenberry 1965), so
that s ranks events as this estimate does. As a score of outliers: S. Ramaswamy, R. Rastogi, K. Shim, SIGMOD 2000; it is
the nearest neighbours of ADBench (arXiv:2206.09426), with k = 5. The mean of the k distances (F. Angiulli, C. Pizzuti,
PKDD 2002) estimates no density.

Nothing is learned but which events are kept. In exchange a score costs as many products as there are numbers in the
references: 10,000 of 16 numbers are 0.2 ms an event of one core, and 0.6 MB of a file. ONNX Runtime holds the
differences of a batch, 0.6 MB an event.
"""

import torch
from torch import Tensor

from hepad.detectors.baselines import Coordinates
from hepad.errors import InputError
from hepad.representations import Space


class NearestNeighbours(Coordinates):
    """Distance to the ``k``-th nearest training event, in standardised coordinates.

    Parameters
    ----------
    space: what the representation yields
    k: which neighbour, 1 is the nearest
    variables: columns to use; None for all of them
    n_components: number of principal components that stand for the pixels, if there are any
    references: most training events that are kept to be compared with, drawn at random if there are more; the cost of
        a score is proportional to it

    A training event is its own nearest neighbour: scores of the training sample are too small.
    """

    score_name = "distance to background"

    def __init__(
        self,
        space: Space,
        *,
        k: int = 5,
        variables: list[str] | None = None,
        n_components: int = 10,
        references: int = 10_000,
    ):
        super().__init__(space, variables=variables, n_components=n_components)
        if not 1 <= k <= references:
            raise InputError(f"NearestNeighbours: 1 <= k <= references is needed, not {k} and {references}.")
        self.k = k
        self.register_buffer("shift", torch.zeros(self.dimension))
        self.register_buffer("width", torch.ones(self.dimension))
        self.register_buffer("references", torch.zeros(references, self.dimension))

    def _fit_coordinates(self, y: Tensor, generator: torch.Generator) -> dict:
        if len(y) < self.k:
            raise InputError(f"NearestNeighbours: {len(y)} training events are fewer than k = {self.k}; lower 'k'.")
        self.shift.copy_(y.mean(0))
        self.width.copy_(y.std(0).clamp(min=1e-9))
        kept = torch.randperm(len(y), generator=generator, device=y.device)[: len(self.references)].sort().values
        self.references.fill_(torch.inf)  # what is left of the buffer is no event's neighbour
        self.references[: len(kept)] = (y[kept] - self.shift) / self.width
        return {"references": len(kept)}

    def anomaly(self, x: Tensor) -> Tensor:
        y = (self.coordinates(x) - self.shift) / self.width
        # differences, not |y|^2 - 2 y r + |r|^2: of their digits few are left, and the score would depend on the batch
        distances = torch.cdist(y, self.references, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.topk(self.k, dim=1, largest=False).values[:, self.k - 1]
