r"""Deep SVDD: background drawn together into a small ball (Ruff et al., ICML 2018, PMLR 80:4393).

    c = < phi(u; W_0) > over the training events, fixed;    |c_j| >= 0.1, with its sign
    or, for an ensemble over ``centers``, c_j = C

    minimise  < |phi(u; W) - c|^2 > + weight_decay / 2 sum |W|^2
    score     = < |phi(u; W) - c|^2 / r^2 >,    r^2: its mean over the validation events; mean over the ensemble

W_0 are the random weights that the training starts from. phi has no biases and no bounded activation: with either it
could become the constant c, whatever the event (propositions 2 and 3 there), and a c of zero would let all weights
vanish (proposition 1). Without biases, and with leaky ReLU, phi(a u) = a phi(u) for a > 0, in sets of constituents for
their weights and for their directions, each alone: it cannot be constant, and the origin u = 0 stays at the distance
|c| for ever. So background must not lie around the origin: columns are scaled to [0, 1] between the extremes of the
training events, as the authors do; images stay as the normalisation leaves them, non-negative, and matrices of objects,
too, with zeros for what is not there. A ball that is tiny beside |c| all the same is refused as collapsed.

Widths of 32, 16 and 8 and a weight decay of 1e-6 are the authors' for tables (Ruff et al., arXiv:1906.02694). They
start from the encoder of an autoencoder, this detector does not.

An ensemble has a network for every size of phi in ``latent_dims`` and every C in ``centers``. That is how Deep SVDD was
entered in the Dark Machines challenge (Hendriks, in arXiv:2105.14027, section 4.9, and Caron, Hendriks, Verheyen,
arXiv:2106.10164): sizes from 5 to 377 and C of 0, 1, 2, 3, 4, 10 and 25. Without biases C must not be 0.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector
from hepad.detectors.networks import NETWORKS, encoder
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, History, Schedule
from hepad.errors import CollapseError, InputError, check_choice
from hepad.representations import Space

LEAST_CENTER = 0.1  # of each number of the center, as in the authors' code
LEAST_RADIUS = 1e-3  # root mean square distance to the center, in units of its length


def without_biases(network: nn.Module) -> nn.Module:
    """The network with the biases of its layers taken out, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.bias = None
    return network


class Ball(nn.Module):
    """A network phi of scaled events, and the center that it draws them to."""

    def __init__(self, space: Space, settings: "DeepSVDD.Settings", latent_dim: int, center: float | None):
        super().__init__()
        self.network = without_biases(encoder(space, settings.network, latent_dim, settings.hidden_dims))
        self.register_buffer("center", torch.full((latent_dim,), center or 0.0))
        self.register_buffer("scale", torch.ones(()))
        self.given = center is not None

    def find_center(self, u: Tensor) -> None:
        """Where the first pass has put scaled events, if no center is given."""
        if not self.given:
            with torch.no_grad():
                center = torch.cat([self.network(part) for part in u.split(1024)]).mean(0)
            sign = torch.where(center < 0, -1.0, 1.0)
            self.center.copy_(sign * center.abs().clamp(min=LEAST_CENTER))

    def distance(self, u: Tensor) -> Tensor:
        """Squared distance (B,) of scaled events to the center."""
        return (self.network(u) - self.center).square().sum(1)


class DeepSVDD(Detector):
    """Squared distance to the center of a ball that the network draws background into, in units of background's.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.detectors.networks.NETWORKS; hidden_dims: widths of dense layers; latent_dim: size of phi
    latent_dims: of an ensemble, the sizes of phi in the place of ``latent_dim``
    centers: of an ensemble, the numbers C; without them the center is where the first pass has put background
    weight_decay: weight of the squared weights
    training: a Schedule, of each network
    n_components: as for Detector
    """

    score_name = "distance to the center"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        network: str = "dense"
        hidden_dims: tuple[int, ...] = (32, 16)
        latent_dim: int = 8
        latent_dims: tuple[int, ...] | None = None
        centers: tuple[float, ...] | None = None
        weight_decay: float = 1e-6
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            check_choice("network", self.network, NETWORKS)
            if min(self.sizes, default=0) < 1 or self.weight_decay < 0:
                raise InputError("DeepSVDD: latent_dim >= 1 and weight_decay >= 0 are needed.")
            if self.centers is not None and min(map(abs, self.centers), default=0) < LEAST_CENTER:
                raise InputError(
                    f"DeepSVDD: centers: {list(self.centers)}: none may be nearer to 0 than {LEAST_CENTER}, where all "
                    "weights would vanish."
                )
            for name, values in (("latent_dims", self.sizes), ("centers", self.centers or ())):
                if len(set(values)) < len(values):
                    raise InputError(f"DeepSVDD: {name}: {list(values)} must be different.")

        @property
        def sizes(self) -> tuple[int, ...]:
            """Sizes of phi."""
            return (self.latent_dim,) if self.latent_dims is None else self.latent_dims

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings, shape = self.settings, self.inner.shape
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("width", torch.ones(shape))
        pairs = itertools.product(settings.sizes, settings.centers or (None,))
        self.balls = nn.ModuleList(Ball(self.inner, settings, size, center) for size, center in pairs)

    def scaled(self, x: Tensor) -> Tensor:
        """What the networks see of normalised events."""
        return (x - self.low) / self.width

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        if not self.inner.objects:
            columns = train.flatten(1)[:, self.inner.pixels :]
            low, width = columns.amin(0), columns.amax(0) - columns.amin(0)
            self.low.view(-1)[self.inner.pixels :] = low
            self.width.view(-1)[self.inner.pixels :] = torch.where(width > 0, width, 1.0)
        train, valid = self.scaled(train), self.scaled(valid)
        history, radii = [], []
        for k, ball in enumerate(self.balls, 1):
            phase = "ball" if len(self.balls) == 1 else f"ball {k}"
            curve, radius = self._draw_together(ball, train, valid, fitting, phase)
            history += curve
            radii.append(radius)
        return Fit(history, {"radius": max(radii)})

    def _draw_together(
        self, ball: Ball, train: Tensor, valid: Tensor, fitting: Fitting, phase: str
    ) -> tuple[History, float]:
        """Train one network; its history, and the root mean square distance in units of |c|."""
        ball.find_center(train)

        def loss(u: Tensor, _step: int):
            distance = ball.distance(u).mean()
            decay = sum(weight.square().sum() for weight in ball.network.parameters())
            return distance + self.settings.weight_decay / 2 * decay, {"distance": distance.detach()}

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(ball.distance, valid).mean().item()}

        options = {"phase": phase, "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(ball, loss, train, self.settings.training, **options)
        distance = measure()["valid_loss"]
        radius = (distance / ball.center.square().sum().item()) ** 0.5
        if not radius > LEAST_RADIUS:
            raise CollapseError(
                f"DeepSVDD: the network has become constant: background lies at {radius:.1e} of the distance of the "
                "center from the origin. Train shorter, lower the learning rate, or take columns that are not constant."
            )
        ball.scale.fill_(distance)
        return history, radius

    def anomaly(self, x: Tensor) -> Tensor:
        u = self.scaled(x)
        return torch.stack([ball.distance(u) / ball.scale for ball in self.balls]).mean(0)
