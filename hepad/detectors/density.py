r"""Density of vectors by normalizing flows: RealNVP, MAF and neural splines (zuko).

    u = T(x),    u ~ N(0, 1),    -log p(x) = |u|^2 / 2 + D/2 log(2 pi) - log|det dT/dx|        score = -log p(x)

RealNVP: affine coupling (Dinh et al., arXiv:1605.08803); MAF: affine autoregressive (Papamakarios et al.,
arXiv:1705.07057); NSF: monotone rational-quadratic splines, autoregressive (Durkan et al., arXiv:1906.04032). x is
normalised, x = (y - mean) / scale: in the units of the event y, -log p(y) = -log p(x) + sum_k log(scale_k), the same
constant for every event.

Where the background takes a value again and again its density is infinite and a flow would spend itself on it. So in
training, and in the validation that chooses the state, entries are spread uniformly around their value (dequantisation,
Theis et al., arXiv:1511.01844), over

    one unit      if the values of the column lie on a lattice of at most as many levels as events (counts, charges)
    0.1           normalised units if more than a thousandth of the events has this very value (a missing object)
    0             otherwise

A score has no noise in it: an event is scored at its value, the centre of the cell. There p(n) is close to P(n) / unit
wherever the density varies little over one unit.
"""

import math
from dataclasses import dataclass

import torch
import zuko
from torch import Tensor

from hepad.detectors.base import Detector, Generating
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import CollapseError, InputError, check_choice
from hepad.representations import Space

FLOW_KINDS = {"RealNVP": zuko.flows.RealNVP, "MAF": zuko.flows.MAF, "NSF": zuko.flows.NSF}
ATOM_WIDTH = 0.1
ATOM_SHARE = 1e-3
LATTICE_TOLERANCE = 0.05  # in units of the lattice; single precision leaves much less


def lattice(x: Tensor) -> tuple[Tensor, Tensor]:
    """Origin and unit (D,) of the columns of x (N, D) that lie on a lattice; unit 0 for all others.

    A lattice with more levels than events, such as that of all numbers in single precision, is none.
    """
    origin, unit = torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for k, column in enumerate(x.unbind(1)):
        values = column.unique()
        if len(values) < 2:
            continue
        extent, gap = values[-1] - values[0], values.diff().min()
        levels = (extent / gap).round()
        level = (values - values[0]) * levels / extent
        if levels <= len(x) and (level - level.round()).abs().max() < LATTICE_TOLERANCE:
            origin[k], unit[k] = values[0], extent / levels
    return origin, unit


def spread(x: Tensor, unit: Tensor) -> Tensor:
    """Widths (N, D) of the uniform noise for the entries of x (N, D), given the units of its lattices."""
    width = unit.repeat(len(x), 1)
    for k in (unit == 0).nonzero().flatten().tolist():
        _, index, counts = x[:, k].unique(return_inverse=True, return_counts=True)
        # two or three equal values among many happen by chance in single precision
        width[counts[index] > max(3, ATOM_SHARE * len(x)), k] = ATOM_WIDTH
    return width


class FlowDensity(Generating):
    """-log p of a vector under a normalizing flow; of an image through its principal components.

    Parameters
    ----------
    space: what the representation yields
    kind: 'RealNVP', 'MAF' or 'NSF'
    transforms: number of transformations; hidden_dims: widths of the dense layers that give each its parameters
    training: a Schedule (steps, batch, learning_rate, ...)
    n_components: as for Detector; images need it

    Generated events have their counts rounded to the lattice of the training events.
    """

    score_name = "−log density"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        kind: str = "NSF"
        transforms: int = 4
        hidden_dims: tuple[int, ...] = (64, 64)
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            check_choice("FlowDensity: kind", self.kind, FLOW_KINDS)

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        transforms = self.settings.transforms
        if self.inner.pixels:
            raise InputError(
                "FlowDensity: pixels have no density that a flow can learn; set 'n_components', e.g. to 20."
            )
        dimension = math.prod(self.inner.shape)
        if transforms < 1 or dimension < 2:
            raise InputError(
                f"FlowDensity: transforms >= 1 and 2 or more numbers are needed, not {transforms} and {dimension}."
            )
        make, widths = FLOW_KINDS[self.settings.kind], tuple(self.settings.hidden_dims)
        self.flow = make(dimension, transforms=transforms, hidden_features=widths)
        self.register_buffer("origin", torch.zeros(dimension))
        self.register_buffer("unit", torch.zeros(dimension))

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        x, held = train.flatten(1), valid.flatten(1)
        for buffer, value in zip((self.origin, self.unit), lattice(x), strict=True):
            buffer.copy_(value)
        width = spread(x, self.unit)

        def jitter(x: Tensor, width: Tensor) -> Tensor:
            return x + width * (torch.rand(x.shape, generator=fitting.generator, device=x.device) - 0.5)

        def loss(batch: Tensor, _step: int):
            return self.anomaly(jitter(*batch.chunk(2, 1))).mean(), {}

        held = jitter(held, spread(held, self.unit))  # once: the same for all candidates

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(self.anomaly, held).mean().item()}

        options = {"phase": "density", "measure": measure, "criterion": Criterion("valid_loss")}
        pairs, start = torch.cat([x, width], 1), measure()["valid_loss"]
        history, _ = fitting.minimise(self.flow, loss, pairs, self.settings.training, **options)
        nll = measure()["valid_loss"]
        if not nll < start - 0.01:
            raise CollapseError(
                f"FlowDensity: -log p of background is {nll:.3f}, before the training it was {start:.3f}: the flow has "
                "learned nothing. Train longer, change the learning rate, or take fewer columns or components."
            )
        spread_out = [name for name, w in zip(self._names(), width.amax(0) > 0, strict=True) if w]
        return Fit(history, {"negative_log_likelihood": nll, "dequantised": spread_out})

    def _names(self) -> tuple[str, ...]:
        return self.inner.columns or tuple(f"entry_{k}" for k in range(len(self.unit)))

    def anomaly(self, x: Tensor) -> Tensor:
        return -self.flow().log_prob(x.flatten(1))

    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            u = torch.randn(count, len(self.unit), generator=generator, device=self.unit.device)
            x = self.flow().transform.inv(u)
            level = ((x - self.origin) / self.unit.clamp(min=1e-9)).round()
            x = torch.where(self.unit > 0, self.origin + level * self.unit, x).view(count, *self.inner.shape)
            if self.inner.objects:  # an object within the spread of an absent one is absent
                x = x * (x.abs() > 0.5 * ATOM_WIDTH).any(-1, keepdim=True)
            return self.normalise.invert(x)
