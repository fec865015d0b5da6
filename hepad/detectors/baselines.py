r"""Trivial baselines: what every detector has to beat, in the same tables and curves.

    Variable            s = +- x_k                                          one physical variable, with its sign
    PixelNorm           s = +- |x|^2 / D                                    mean squared pixel
    PCAReconstruction   s = |x - mean - V V^T (x - mean)|^2 / D             V: the first K principal components
    Mixture             s = -log sum_k pi_k N(x; mu_k, Sigma_k)             Gaussian mixture density of the background

and the nearest neighbours of :mod:`hepad.detectors.neighbours`. Mixture first replaces the pixels of its input by their
leading principal components and standardises, so that one class is the density of the mass, of (mass, multiplicity), of
the substructure vector, of PCA components and of both together; with one component it is the Mahalanobis distance.
scikit-learn fits, the score is computed from stored numbers.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector, Reconstructing
from hepad.detectors.normalisation import Plane, draw_seed
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Fit
from hepad.errors import InputError, check_choice
from hepad.representations import Space
from hepad.representations.event_vector import with_units


class Variable(Detector):
    """One column of a vector. ``sign`` +1: anomalies are expected at large values, -1: at small ones."""

    group = "baseline"

    def __init__(self, space: Space, *, variable: str, sign: int = 1):
        super().__init__(space)
        if sign not in (-1, 1):
            raise InputError(f"Variable: sign must be 1 or -1, not {sign}.")
        check_choice("Variable: variable", variable, space.columns)
        self.index, self.sign = space.pixels + space.columns.index(variable), sign

    @classmethod
    def score_axis(cls, entry: dict) -> str:
        (label,) = with_units((entry["variable"],))
        return f"−{label}" if entry.get("sign", 1) < 0 else label

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        return Fit([], {})

    def anomaly(self, x: Tensor) -> Tensor:
        return self.sign * self.normalise.invert(x).flatten(1)[:, self.index]


class PixelNorm(Detector):
    """Mean squared pixel of an image. ``sign`` -1: anomalies are expected to be spread out."""

    group = "baseline"

    def __init__(self, space: Space, *, sign: int = -1):
        super().__init__(space)
        if not space.pixels or sign not in (-1, 1):
            raise InputError("PixelNorm: needs an image representation and sign 1 or -1.")
        self.sign = sign

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        return Fit([], {})

    def anomaly(self, x: Tensor) -> Tensor:
        return self.sign * x.flatten(1)[:, : self.space.pixels].square().mean(1)


class PCAReconstruction(Reconstructing):
    """Squared distance to the plane of the first ``components`` principal components."""

    group = "baseline"

    def __init__(self, space: Space, *, components: int = 10):
        super().__init__(space)
        dimension = math.prod(space.shape)
        if not 1 <= components < dimension:
            raise InputError(f"PCAReconstruction: components must lie between 1 and {dimension - 1}, not {components}.")
        self.plane = Plane(dimension, components)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        self.plane.fit(train.flatten(1), fitting.generator)
        return Fit([], {"r2": self._check_reconstruction(valid, self.anomaly(valid).mean().item())})

    def _project(self, x: Tensor) -> Tensor:
        return self.plane.point(self.plane.code(x.flatten(1))).view(x.shape)

    def anomaly(self, x: Tensor) -> Tensor:
        return (x - self._project(x)).square().flatten(1).mean(1)

    def terms(self, x: Tensor) -> Tensor | None:
        return (x - self._project(x)).square() / x.shape[1:].numel()

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.normalise.invert(self._project(self.normalise(x)))


def mixture_energy(y: Tensor, log_weight: Tensor, mu: Tensor, root: Tensor) -> Tensor:
    """-log sum_k pi_k N(y; mu_k, Sigma_k) (B,) of y (B, D).

    log_weight: (K,) log pi_k; mu: (K, D); root: (K, D, D) triangular L_k, Sigma_k^-1 = L_k L_k^T
    """
    # log|Sigma|^(-1/2) is the sum of the logs of the diagonal of L.
    # Not as an einsum: ONNX Runtime's divides by the number of events, which may be zero. r: (K, B, D)
    r = (y - mu.unsqueeze(1)) @ root
    log_det = root.diagonal(dim1=1, dim2=2).log().sum(1)
    log_normal = log_det.unsqueeze(1) - 0.5 * (r.square().sum(2) + y.shape[1] * math.log(2 * math.pi))
    return -torch.logsumexp(log_weight.unsqueeze(1) + log_normal, 0)


class Gaussians(nn.Module):
    """-log density of a mixture of Gaussians in standardised coordinates, all numbers in buffers.

    dimension: D of what it is the density of; n_gaussians: number of Gaussians, 1 is the Mahalanobis distance; of
    several numbers, that with the smallest Bayesian information criterion on the training events.
    """

    def __init__(self, dimension: int, n_gaussians: int | Sequence[int]):
        super().__init__()
        self.choices = [n_gaussians] if isinstance(n_gaussians, int) else sorted(n_gaussians)
        if dimension < 1 or not self.choices or self.choices[0] < 1:
            raise InputError(f"mixture: n_gaussians >= 1 of at least one number are needed, not {n_gaussians}.")
        largest = self.choices[-1]
        self.register_buffer("shift", torch.zeros(dimension))
        self.register_buffer("width", torch.ones(dimension))
        self.register_buffer("log_weight", torch.full((largest,), -math.inf))
        self.register_buffer("mu", torch.zeros(largest, dimension))
        self.register_buffer("precision_root", torch.eye(dimension).repeat(largest, 1, 1))

    def fit(self, y: Tensor, generator: torch.Generator) -> dict:
        """Fit to y (N, D) of background training events; the facts of the fit."""
        from sklearn.mixture import GaussianMixture

        if len(y) <= self.choices[-1]:
            raise InputError(f"mixture: {len(y)} training events are too few for its Gaussians; lower 'n_gaussians'.")
        self.shift.copy_(y.mean(0))
        self.width.copy_(y.std(0).clamp(min=1e-9))
        y = ((y - self.shift) / self.width).cpu().double().numpy()
        options = {"reg_covar": 1e-3, "max_iter": 200, "random_state": draw_seed(generator)}
        fits = [GaussianMixture(k, **options).fit(y) for k in self.choices]
        best = min(fits, key=lambda fit: fit.bic(y)) if len(fits) > 1 else fits[0]
        self.log_weight.fill_(-math.inf)  # weight 0 for the Gaussians that the best fit does not use
        k = best.n_components
        self.log_weight[:k] = torch.from_numpy(best.weights_).log()
        self.mu[:k] = torch.from_numpy(best.means_).to(self.mu)
        self.precision_root[:k] = torch.from_numpy(best.precisions_cholesky_).to(self.mu)
        return {"n_gaussians": k, "iterations": best.n_iter_}

    def forward(self, y: Tensor) -> Tensor:
        """-log density (B,) of y (B, D), up to the constant sum of the logs of the widths."""
        return mixture_energy((y - self.shift) / self.width, self.log_weight, self.mu, self.precision_root)


class Coordinates(Detector):
    """Base of detectors on few numbers of an event: principal components that stand for its pixels, and columns.

    Parameters
    ----------
    space: what the representation yields
    variables: columns to use; None for all of them
    n_components: number of principal components that stand for the pixels, if there are any
    """

    group = "baseline"

    def __init__(self, space: Space, *, variables: list[str] | None, n_components: int):
        super().__init__(space)
        name, chosen = type(self).__name__, space.columns if variables is None else variables
        columns = [
            space.pixels + space.columns.index(check_choice(f"{name}: variables", v, space.columns)) for v in chosen
        ]
        if len(set(columns)) < len(columns):
            raise InputError(f"{name}: variables: {list(chosen)}: one is there twice. Remove it.")
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.long))
        k = n_components if space.pixels else 0
        self.dimension = k + len(columns)
        if self.dimension < 1 or n_components < 0:
            raise InputError(f"{name}: n_components >= 0, and variables or n_components >= 1 are needed.")
        self.plane = Plane(space.pixels, k) if k else None

    def coordinates(self, x: Tensor) -> Tensor:
        """(B, dimension) of normalised events (B, *space.shape)."""
        flat = x.flatten(1)
        parts = [self.plane.code(flat[:, : self.space.pixels])] if self.plane else []
        return torch.cat([*parts, flat[:, self.columns]], 1)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        if self.plane:
            if len(train) <= len(self.plane.axes):
                raise InputError(
                    f"{type(self).__name__}: {len(train)} training events are too few to compress; lower "
                    "'n_components'."
                )
            self.plane.fit(train.flatten(1)[:, : self.space.pixels], fitting.generator)
        return Fit([], self._fit_coordinates(self.coordinates(train), fitting.generator))

    @abstractmethod
    def _fit_coordinates(self, y: Tensor, generator: torch.Generator) -> dict:
        """Fit to y (N, dimension) of training events; the facts of the fit."""


class Mixture(Coordinates):
    """-log density of a mixture of ``n_gaussians`` Gaussians.

    Parameters
    ----------
    space: what the representation yields
    variables: columns to use; None for all of them
    n_components: number of principal components that stand for the pixels, if there are any
    n_gaussians: number of Gaussians; 1 is the Mahalanobis distance
    """

    def __init__(
        self, space: Space, *, variables: list[str] | None = None, n_components: int = 10, n_gaussians: int = 20
    ):
        super().__init__(space, variables=variables, n_components=n_components)
        if n_gaussians < 1:
            raise InputError(f"Mixture: n_gaussians must be 1 or more, not {n_gaussians}.")
        self.gaussians = Gaussians(self.dimension, n_gaussians)

    def _fit_coordinates(self, y: Tensor, generator: torch.Generator) -> dict:
        return self.gaussians.fit(y, generator)

    def anomaly(self, x: Tensor) -> Tensor:
        return self.gaussians(self.coordinates(x))
