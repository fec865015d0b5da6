r"""Deep SVDD: background drawn together into a small ball (Ruff et al., ICML 2018, PMLR 80:4393).

    c = < phi(u; W_0) > over the training events, fixed;    |c_j| >= 0.1, with its sign

    minimise  < |phi(u; W) - c|^2 > + weight_decay / 2 sum |W|^2,        score = |phi(u; W) - c|^2

W_0 are the random weights that the training starts from. phi has no biases and no bounded activation: with either it
could become the constant c, whatever the event (propositions 2 and 3 there), and a c of zero would let all weights
vanish (proposition 1). Without biases, and with leaky ReLU, phi(a u) = a phi(u) for a > 0: it cannot be constant, and
the origin u = 0 stays at the distance |c| for ever. So background must not lie around the origin: columns are scaled to
[0, 1] between the extremes of the training events, as the authors do; images stay as the normalisation leaves them,
non-negative, and matrices of objects, too, with zeros for what is not there. A ball that is tiny beside |c| all the
same is refused as collapsed.

Widths of 32, 16 and 8 and a weight decay of 1e-6 are the authors' for tables (Ruff et al., arXiv:1906.02694). They
start from the encoder of an autoencoder, this detector does not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector
from hepad.detectors.networks import NETWORKS
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
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


class DeepSVDD(Detector):
    """Squared distance to the center of a ball that the network draws background into.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.detectors.networks.NETWORKS; hidden_dims: widths of dense layers; latent_dim: size of phi
    weight_decay: weight of the squared weights
    training: a Schedule
    n_components: as for Detector
    """

    score_name = "distance to the center"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        network: str = "dense"
        hidden_dims: tuple[int, ...] = (32, 16)
        latent_dim: int = 8
        weight_decay: float = 1e-6
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            check_choice("network", self.network, NETWORKS)
            if self.latent_dim < 1 or self.weight_decay < 0:
                raise InputError("DeepSVDD: latent_dim >= 1 and weight_decay >= 0 are needed.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings, shape = self.settings, self.inner.shape
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("width", torch.ones(shape))
        self.register_buffer("center", torch.zeros(settings.latent_dim))
        make_encoder, _ = NETWORKS[settings.network]
        self.network = without_biases(make_encoder(shape, settings.latent_dim, list(settings.hidden_dims)))

    def features(self, x: Tensor) -> Tensor:
        """phi (B, latent_dim) of normalised events."""
        return self.network((x - self.low) / self.width)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        if not self.inner.objects:
            columns = train.flatten(1)[:, self.inner.pixels :]
            low, width = columns.amin(0), columns.amax(0) - columns.amin(0)
            self.low.view(-1)[self.inner.pixels :] = low
            self.width.view(-1)[self.inner.pixels :] = torch.where(width > 0, width, 1.0)
        with torch.no_grad():
            center = torch.cat([self.features(part) for part in train.split(1024)]).mean(0)
        sign = torch.where(center < 0, -1.0, 1.0)
        self.center.copy_(sign * center.abs().clamp(min=LEAST_CENTER))

        def loss(x: Tensor, _step: int):
            distance = self.anomaly(x).mean()
            decay = sum(weight.square().sum() for weight in self.network.parameters())
            return distance + self.settings.weight_decay / 2 * decay, {"distance": distance.detach()}

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(self.anomaly, valid).mean().item()}

        options = {"phase": "ball", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        radius = (measure()["valid_loss"] / self.center.square().sum().item()) ** 0.5
        if not radius > LEAST_RADIUS:
            raise CollapseError(
                f"DeepSVDD: the network has become constant: background lies at {radius:.1e} of the distance of the "
                "center from the origin. Train shorter, lower the learning rate, or take columns that are not constant."
            )
        return Fit(history, {"radius": radius})

    def anomaly(self, x: Tensor) -> Tensor:
        return (self.features(x) - self.center).square().sum(1)
