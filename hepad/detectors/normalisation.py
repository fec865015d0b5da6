"""Constants fitted on background training events and stored in the model: what a detector does to its input first."""

import torch
from torch import Tensor, nn

from hepad.detectors.energy_based.langevin import Support
from hepad.errors import InputError
from hepad.representations import Space, occupied

BLOCK = 4096  # events
ENOUGH = 5000  # events for a covariance


class Normaliser(nn.Module):
    """x -> (x - mean) / scale, fitted on background training events and stored in the model.

    Pixels of a jet image share mean 0 and one scale, their standard deviation over the whole sample, so that an image
    stays an image; pixels in [0, 1] stay as they are; every other entry has its own mean and standard deviation.
    Objects share those of each feature, over the objects that are there; the others stay zero. The share z of a
    constituent keeps its zero, so that it is a weight still.
    ``low`` and ``high`` are the extremes seen, in normalised units; constituents, which are there in any order, have
    them in common. ``space`` is where normalised events live.
    """

    def __init__(self, space: Space):
        super().__init__()
        self.space = space
        for name in ("mean", "scale", "low", "high"):
            self.register_buffer(name, torch.zeros(space.shape))

    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Learn the constants from x (N, *shape)."""
        mean, scale = self._constants(x)
        shape = self.mean.shape
        self.mean.copy_(mean.view(shape))
        self.scale.copy_(scale.view(shape))
        self.low.fill_(torch.inf)
        self.high.fill_(-torch.inf)
        for block in x.split(BLOCK):
            z = self(block)
            self.low.copy_(torch.minimum(self.low, z.amin(0)))
            self.high.copy_(torch.maximum(self.high, z.amax(0)))
        if "z" in self.space.features:
            self.low.copy_(self.low.amin(1, keepdim=True).clamp(max=0).expand_as(self.low))
            self.high.copy_(self.high.amax(1, keepdim=True).clamp(min=0).expand_as(self.high))

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale (D,) of x (N, *shape)."""
        flat, pixels = x.flatten(1), self.space.pixels
        mean, scale = flat.mean(0), flat.std(0)
        if self.space.objects:
            objects = x[self._there(x).expand_as(x)].view(-1, x.shape[-1])
            mean, scale = (c.expand(self.space.shape).flatten() for c in (objects.mean(0), objects.std(0)))
            mean, scale = mean.clone(), scale.clone()
            mean[self._weights] = 0
        if pixels:
            mean[:pixels] = 0
            scale[:pixels] = flat[:, :pixels].std() if self.space.unit_sum else 1
        scale[scale < 1e-9 * (1 + mean.abs())] = 1  # a constant column carries nothing and must not divide by zero
        return mean, scale

    @property
    def _weights(self) -> list[int]:
        """Places of the shares z in a flattened event."""
        features = self.space.features
        return [i for i in range(len(self.space.columns)) if features and features[i % len(features)] == "z"]

    def _there(self, x: Tensor) -> Tensor | float:
        """(N, 1, R, 1) true for the objects that are there; 1 if events are not made of objects."""
        return occupied(x) if self.space.objects else 1.0

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale * self._there(x)

    def of_sample(self, x: Tensor) -> Tensor:
        """Normalise a whole sample block by block: intermediate results would be as large as the sample."""
        z = torch.empty_like(x)
        for block, result in zip(x.split(BLOCK), z.split(BLOCK), strict=True):
            result.copy_(self(block))
        return z

    def invert(self, z: Tensor) -> Tensor:
        """From normalised to physical units."""
        return (z * self.scale + self.mean) * self._there(z)

    def outside(self, z: Tensor) -> Tensor:
        """Squared distance (B,) of normalised events to the box of the training events; pixels do not count."""
        beyond = (torch.relu(self.low - z) + torch.relu(z - self.high)).square().flatten(1)
        seen = torch.arange(beyond.shape[1], device=z.device) >= self.space.pixels
        return (beyond * seen).sum(1)

    def support(self, margin: float = 1.0) -> Support:
        """The possible events: images as the space says, columns within the range seen, widened by ``margin``."""
        pixels = self.space.pixels
        low, high = self.low.flatten() - margin, self.high.flatten() + margin
        if pixels and self.space.unit_sum:
            return Support(pixels, total=1 / self.scale.flatten()[0], low=low[pixels:], high=high[pixels:])
        low[:pixels], high[:pixels] = 0, 1
        low[self._weights] = 0
        return Support(low=low, high=high, objects=self.space.objects)


class Unscaled(Normaliser):
    """Events as they are, for a detector whose parts normalise them: mean 0, scale 1, and the extremes seen."""

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zero = torch.zeros_like(x[0].flatten())
        return zero, zero + 1


def principal_components(x: Tensor, count: int, generator: torch.Generator):
    """The fitted PCA of scikit-learn with the first ``count`` principal components of x (N, D)."""
    from sklearn.decomposition import PCA  # importing scikit-learn takes longer than most fits

    pca = PCA(count, svd_solver="randomized", random_state=draw_seed(generator))
    return pca.fit(x.cpu().double().numpy())


class Plane(nn.Module):
    """The plane of the first ``components`` principal components of D numbers, by scikit-learn."""

    def __init__(self, dimension: int, components: int):
        super().__init__()
        self.register_buffer("center", torch.zeros(dimension))
        self.register_buffer("axes", torch.zeros(components, dimension))

    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Learn center and axes from x (N, D)."""
        pca = principal_components(x, len(self.axes), generator)
        self.center.copy_(torch.from_numpy(pca.mean_))
        self.axes.copy_(torch.from_numpy(pca.components_))

    def code(self, x: Tensor) -> Tensor:
        """Coordinates (N, components) of x (N, D) in the plane."""
        return (x - self.center) @ self.axes.T

    def point(self, code: Tensor) -> Tensor:
        """The point (N, D) of the plane with these coordinates."""
        return code @ self.axes + self.center


def directions(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(D, count) principal axes of normalised background x (N, ...), each as long as its standard deviation.

    L L^T is the covariance of x in their plane; by scikit-learn, from the first ``ENOUGH`` events. Of axes that so few
    events do not have the length is zero.
    """
    flat = x[:ENOUGH].flatten(1)
    found, axes = min(count, len(flat) - 1, flat.shape[1]), torch.zeros(flat.shape[1], count)
    pca = principal_components(flat, found, generator)
    axes[:, :found] = torch.from_numpy(pca.components_.T * pca.explained_variance_**0.5)
    return axes


class Compression(nn.Module):
    """Pixels -> principal components, log of the squared distance to their plane; all and the columns standardised.

    A detector on these few numbers sees the image as PCA does and the columns beside it, at a hundredth of the cost of
    the pixels. Inverted, an image lies in the plane of the components.
    """

    def __init__(self, space: Space, components: int):
        super().__init__()
        if not 1 <= components < space.pixels:
            raise InputError(
                f"n_components: {components} components need an image of more pixels; here: {space.pixels}."
            )
        self.outer = space
        names = [f"component_{k}" for k in range(1, components + 1)] + ["log_residual"]
        self.space = Space((len(names) + len(space.columns),), (*names, *space.columns))
        self.plane = Plane(space.pixels, components)
        self.register_buffer("floor", torch.ones(()))
        self.standardise = Normaliser(self.space)

    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Learn the plane and the constants from x (N, *shape)."""
        image = x.flatten(1)[:, : self.outer.pixels]
        self.plane.fit(image, generator)
        self.floor.fill_(1e-6 * image.square().sum(1).mean())
        self.standardise.fit(self._compress(x), generator)

    def _compress(self, x: Tensor) -> Tensor:
        flat, pixels = x.flatten(1), self.outer.pixels
        image = flat[:, :pixels]
        code = self.plane.code(image)
        # not |image - center|^2 - |code|^2: of their digits few are left, and the score would depend on the batch
        residual = (image - self.plane.point(code)).square().sum(1) + self.floor
        return torch.cat([code, residual.log().unsqueeze(1), flat[:, pixels:]], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.standardise(self._compress(x))

    def of_sample(self, x: Tensor) -> Tensor:
        """Normalise a whole sample at once: a matrix product of some of its rows may differ in the last digit."""
        return self(x)

    def invert(self, z: Tensor) -> Tensor:
        """From normalised to physical units."""
        y, components = self.standardise.invert(z), len(self.plane.axes)
        return torch.cat([self.plane.point(y[:, :components]), y[:, components + 1 :]], 1).view(-1, *self.outer.shape)

    def outside(self, z: Tensor) -> Tensor:
        """As of :class:`Normaliser`, of what pixels have become, too."""
        return self.standardise.outside(z)

    def support(self, margin: float = 1.0) -> Support:
        """Within the range seen, widened by ``margin``."""
        return self.standardise.support(margin)


def draw_seed(generator: torch.Generator) -> int:
    """A seed for a library that takes a number."""
    return int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
