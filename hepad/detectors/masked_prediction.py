r"""Masked prediction: what of an event cannot be told from the rest of it.

    x^m = f((1 - m) x, m),      s(x) = < (x_i - x^m_i)^2 >,   the mean over the masks m and the entries i that they hide

An event is made of parts: the columns of a vector, square patches of an image, the objects of a matrix. m hides some of
them, and the network f sees what is left, and which parts those are.

    one part at a time     IDNN, the interpolation of Suefusa et al. (arXiv:2005.09234), for every part in turn
    most of the parts      the masked autoencoder, MAE, of He et al. (arXiv:2111.06377), which hides 75 % of its patches

An autoencoder may learn to copy, and then decodes anomalies, too; a part that is hidden cannot be copied. The best f is
the conditional mean, so that s of an ordinary event is the mean conditional variance: of Gaussian events 1 / (C^-1)_ii
for column i, C their covariance, if one is hidden at a time.

In training masks are random, each of an event its own. For the score they are the same for all events: the parts in a
random order that the seed has drawn, on a circle, and windows on it that begin at equal distances. f is a dense network
here; in the place of the vision transformer of MAE.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import LEAST_R2, Detector
from hepad.detectors.networks import Head, dense
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, History, Schedule
from hepad.errors import CollapseError, InputError
from hepad.representations import Space


def parts_of(space: Space, patch: int) -> Tensor:
    """(D,) the number of the part that each entry of an event belongs to."""
    if space.objects:
        return torch.arange(space.shape[1]).repeat_interleave(space.shape[2])
    columns = torch.arange(math.prod(space.shape) - space.pixels)
    if not space.pixels:
        return columns
    side = math.isqrt(space.pixels) if len(space.shape) == 1 else space.shape[2]
    rows = space.pixels // side
    if patch < 1 or rows * side != space.pixels or rows % patch or side % patch:
        raise InputError(f"masked prediction: patch: {patch} does not divide an image of {rows} x {side} pixels.")
    row, column = torch.arange(rows) // patch, torch.arange(side) // patch
    patches = (row.unsqueeze(1) * (side // patch) + column).flatten()
    return torch.cat([patches, patches.max() + 1 + columns])


def windows(order: Tensor, hidden: int, count: int) -> Tensor:
    """(count, P) bool: ``hidden`` parts from ``count`` equally distant places of a circle of all P, in this order."""
    parts = len(order)
    masks = torch.zeros(count, parts, dtype=torch.bool)
    for mask, start in zip(masks, torch.arange(count) * parts // count, strict=True):
        mask[order[(start + torch.arange(hidden)) % parts]] = True
    return masks


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What is hidden, and the network that predicts it.

    hidden_dims: widths of the dense network; share: share of the parts that are hidden at once, 0 for one at a time;
    masks: number of masks that an event is scored with, 0 for as many as it has parts; patch: side of the square
    patches of an image, in pixels
    """

    hidden_dims: tuple[int, ...] = (128, 128)
    share: float = 0.0
    masks: int = 0
    patch: int = 4

    def __post_init__(self):
        if not 0 <= self.share < 1 or self.masks < 0:
            raise InputError("masked prediction: 0 <= share < 1 and masks >= 0 are needed.")


class Predictor(nn.Module):
    """The network f of normalised events in ``space``, and the masks of the score."""

    def __init__(self, space: Space, settings: MaskSettings):
        super().__init__()
        part = parts_of(space, settings.patch)
        parts = int(part.max()) + 1
        if parts < 2:
            raise InputError("masked prediction: the event is a single part, and nothing is left to predict it from.")
        self.hidden = min(max(1, round(settings.share * parts)), parts - 1)
        masks = windows(torch.randperm(parts), self.hidden, settings.masks or parts)
        if not masks.any(0).all():
            raise InputError(
                f"masked prediction: masks: {len(masks)} masks of {self.hidden} parts never hide some of the {parts}, "
                "which the score would not look at. Ask for more masks, or for 0, as many as there are parts."
            )
        self.register_buffer("part", part, persistent=False)
        self.register_buffer("masks", masks)
        self.network = dense([len(part) + parts, *settings.hidden_dims, len(part)])
        self.head = Head(space)

    def forward(self, x: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction (..., B, D) of the entries x (B, D) of events, and which of them are hidden.

        masks: (B, P) of each event, or (M, 1, P), each for all events
        """
        hidden = masks[..., self.part]
        seen = torch.where(hidden, torch.zeros_like(x), x)
        told = masks.to(x) + torch.zeros_like(seen[..., :1])  # (..., B, P)
        return self.head.entries(self.network(torch.cat([seen, told], -1))), hidden

    def squares(self, x: Tensor, masks: Tensor) -> Tensor:
        """Squared errors (..., B, D) of what is hidden, zero elsewhere."""
        made, hidden = self(x, masks)
        return torch.where(hidden, (x - made).square(), torch.zeros_like(x))

    @property
    def often(self) -> Tensor:
        """(D,) how many of the masks hide each entry."""
        return self.masks[:, self.part].sum(0)

    def error_terms(self, x: Tensor) -> Tensor:
        """What each entry adds to :meth:`error`, (B, *shape)."""
        squares = self.squares(x.flatten(1), self.masks.unsqueeze(1))  # all masks at once
        return (squares.sum(0) / self.often.sum()).view_as(x)

    def error(self, x: Tensor) -> Tensor:
        """Mean squared error (B,) over the masks and what they hide."""
        return self.error_terms(x).flatten(1).sum(1)

    def r2(self, x: Tensor, error: float) -> float:
        """1 - ``error`` of events x / that of their mean."""
        spread = (x - x.mean(0)).square().flatten(1).mean(0)
        return float(1 - error / ((spread * self.often).sum() / self.often.sum()))


def fit_predictor(
    model: Predictor, train: Tensor, valid: Tensor, schedule: Schedule, fitting: Fitting
) -> tuple[History, float, float]:
    """Minimise the mean error of what random masks hide; history, error of the validation events and their R^2.

    CollapseError: what is hidden is predicted no better than by its mean
    """
    model.head.fit(train)
    parts = model.masks.shape[1]

    def loss(x: Tensor, _step: int):
        order = torch.rand(len(x), parts, generator=fitting.generator, device=x.device).argsort(1)
        masks = order < model.hidden
        squares = model.squares(x.flatten(1), masks)
        return squares.sum() / masks[:, model.part].sum(), {}

    def measure() -> dict[str, float]:
        return {"valid_loss": in_blocks(model.error, valid).mean().item()}

    options = {"phase": "prediction", "measure": measure, "criterion": Criterion("valid_loss")}
    history, _ = fitting.minimise(model, loss, train, schedule, **options)
    error = measure()["valid_loss"]
    r2 = model.r2(valid, error)
    if not r2 > LEAST_R2:
        raise CollapseError(
            f"masked prediction: what is hidden of background is predicted no better than by its mean (R^2 = {r2:.3f})."
            " Train longer, hide less (share), or take parts that depend on each other."
        )
    return history, error, r2


class MaskedPrediction(Detector):
    """Mean squared error of the parts of an event that a network predicts from the others.

    Parameters
    ----------
    space: what the representation yields
    hidden_dims: widths of the dense network
    share: share of the parts that are hidden at once; 0 for one at a time
    masks: number of masks that an event is scored with; 0 for as many as it has parts
    patch: side of the square patches of an image, in pixels
    training: a Schedule
    n_components: as for Detector
    """

    score_name = "error of masked prediction"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings, MaskSettings):
        training: Schedule
        n_components: int = 0

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        self.predictor = Predictor(self.inner, self.settings)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        history, _, r2 = fit_predictor(self.predictor, train, valid, self.settings.training, fitting)
        return Fit(history, {"r2": r2})

    def anomaly(self, x: Tensor) -> Tensor:
        return self.predictor.error(x)

    def terms(self, x: Tensor) -> Tensor | None:
        return self.predictor.error_terms(x)
