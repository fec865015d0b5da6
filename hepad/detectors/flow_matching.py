r"""Flow matching: how hard the flow that makes background out of noise pulls at an event.

    x_t = (1 - (1 - sigma) t) x_0 + t x_1,      x_0 ~ N(0, 1),   x_1: background,   t in [0, 1]

    minimise  < |v(x_t, t) - (x_1 - (1 - sigma) x_0)|^2 / D >,          s(x) = < |v(x, t)|^2 / D >  over the ``times``

The loss with straight paths is that of Lipman et al. (arXiv:2210.02747, eq. 23), sigma = 1e-4; dx/dt = v(x, t) takes
noise to background from t = 0 to 1. The score is that of Vaselli et al. (arXiv:2508.11594): no equation is solved, the
network is asked once for each time. What it says is known for Gaussian background of covariance C and mean zero:

    v(x, t) = (t C - (1 - sigma) k) (k^2 + t^2 C)^-1 x,    k = 1 - (1 - sigma) t

Along an axis of standard deviation s it is -x / (1 - t) where s is small, x / t where it is large, and zero in
between, at t s^2 = k: weights differ by as much as t and 1 - t do. At both ends, v = -x and v = x, the score is the
length of the event and knows nothing of background. The times 0.1, 0.2, ..., 0.9 lie between, all alike, and were not
chosen by any signal.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector, Generating
from hepad.detectors.gan import ABSENT
from hepad.detectors.networks import dense
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

SIGMA = 1e-4
STEPS = 50  # of the midpoint rule, from noise to events


class FlowMatching(Generating):
    """Mean squared velocity at an event; of an image through its principal components.

    Parameters
    ----------
    space: what the representation yields
    hidden_dims: widths of the dense network of the velocity
    times: where the velocity is looked at, each between 0 and 1
    training: a Schedule
    n_components: as for Detector; images need it
    """

    score_name = "squared velocity"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        hidden_dims: tuple[int, ...] = (128, 128)
        times: list[float] | tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            if not self.times or not all(0 <= t <= 1 for t in self.times):
                raise InputError(f"FlowMatching: times: {list(self.times)} must be numbers from 0 to 1, one or more.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        if self.inner.pixels:
            raise InputError("FlowMatching: pixels are too many for its network; set 'n_components', e.g. to 20.")
        self.dimension = math.prod(self.inner.shape)
        self.network = dense([self.dimension + 1, *self.settings.hidden_dims, self.dimension], nn.SiLU)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """v (B, D) at x (B, D) and t (B, 1)."""
        return self.network(torch.cat([x, t], 1))

    def matching(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Loss (B,) of normalised events x (B, D) on the paths from ``noise`` (B, D), at t (B, 1)."""
        on_path = (1 - (1 - SIGMA) * t) * noise + t * x
        return (self.velocity(on_path, t) - (x - (1 - SIGMA) * noise)).square().mean(1)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        def drawn(count: int) -> tuple[Tensor, Tensor]:
            """Noise (count, D) and times (count, 1)."""
            options = {"generator": fitting.generator, "device": train.device}
            return torch.randn(count, self.dimension, **options), torch.rand(count, 1, **options)

        held = torch.cat([valid.flatten(1), *drawn(len(valid))], 1)  # the same for all candidates
        sizes = [self.dimension, self.dimension, 1]

        def loss(x: Tensor, _step: int):
            return self.matching(x.flatten(1), *drawn(len(x))).mean(), {}

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(lambda part: self.matching(*part.split(sizes, 1)), held).mean().item()}

        options = {"phase": "flow_matching", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self.network, loss, train, self.settings.training, **options)
        value, (x, noise, _) = measure()["valid_loss"], held.split(sizes, 1)
        constant = (x - (1 - SIGMA) * noise).var(0, correction=0).mean().item()
        if not value < 0.98 * constant:
            raise CollapseError(
                f"FlowMatching: the loss is {value:.3f}, that of a constant velocity {constant:.3f}: nothing was "
                "learned. Train longer, or change the learning rate."
            )
        return Fit(history, {"matching_loss": value, "of_constant_velocity": constant})

    def anomaly(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        speeds = [self.velocity(flat, torch.full_like(flat[:, :1], t)).square().mean(1) for t in self.settings.times]
        return torch.stack(speeds).mean(0)

    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        """Events (count, *space.shape): noise, taken along the flow by the midpoint rule."""
        x = torch.randn(count, self.dimension, generator=generator, device=generator.device)
        step, column = 1 / STEPS, torch.ones_like(x[:, :1])
        with torch.no_grad():
            for t in torch.arange(STEPS) * step:
                middle = x + step / 2 * self.velocity(x, t * column)
                x = x + step * self.velocity(middle, (t + step / 2) * column)
            x = x.view(count, *self.inner.shape)
            if self.inner.objects:
                x = x * (x.norm(dim=-1, keepdim=True) > ABSENT)
            return self.normalise.invert(x)
