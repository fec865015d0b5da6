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
from torch import Tensor

from hepad.detectors.base import LEAST_R2, Detector
from hepad.detectors.networks import Head, dense
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
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
        raise InputError(f"MaskedPrediction: patch: {patch} does not divide an image of {rows} x {side} pixels.")
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
    class Settings(Detector.Settings):
        hidden_dims: tuple[int, ...] = (128, 128)
        share: float = 0.0
        masks: int = 0
        patch: int = 4
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            if not 0 <= self.share < 1 or self.masks < 0:
                raise InputError("MaskedPrediction: 0 <= share < 1 and masks >= 0 are needed.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings, part = self.settings, parts_of(self.inner, self.settings.patch)
        parts = int(part.max()) + 1
        if parts < 2:
            raise InputError("MaskedPrediction: the event is a single part, which nothing is left to predict from.")
        self.hidden = min(max(1, round(settings.share * parts)), parts - 1)
        masks = windows(torch.randperm(parts), self.hidden, settings.masks or parts)
        if not masks.any(0).all():
            raise InputError(
                f"MaskedPrediction: masks: {len(masks)} masks of {self.hidden} parts never hide some of the {parts}, "
                "which the score would not look at. Ask for more masks, or for 0, as many as there are parts."
            )
        self.register_buffer("part", part, persistent=False)
        self.register_buffer("masks", masks)
        self.network = dense([len(part) + parts, *settings.hidden_dims, len(part)])
        self.head = Head(self.inner)

    def predict(self, x: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction (B, D) of the entries x (B, D) of normalised events, and which of them are hidden.

        masks: (B, P) of each event, or (P,) of all
        """
        hidden = masks[..., self.part]
        seen = torch.where(hidden, torch.zeros_like(x), x)
        told = masks.to(x) + torch.zeros_like(x[:, :1])  # (B, P)
        return self.head(self.network(torch.cat([seen, told], 1))).flatten(1), hidden

    def _error(self, x: Tensor, masks: Tensor) -> Tensor:
        """Squared errors (B, D) of what is hidden, zero elsewhere."""
        made, hidden = self.predict(x, masks)
        return torch.where(hidden, (x - made).square(), torch.zeros_like(x))

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        self.head.fit(train)
        parts = self.masks.shape[1]

        def loss(x: Tensor, _step: int):
            order = torch.rand(len(x), parts, generator=fitting.generator, device=x.device).argsort(1)
            masks = order < self.hidden
            error = self._error(x.flatten(1), masks)
            return error.sum() / masks[:, self.part].sum(), {}

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(self.anomaly, valid).mean().item()}

        options = {"phase": "prediction", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        often = self.masks[:, self.part].sum(0)
        spread = (valid - train.mean(0)).square().flatten(1).mean(0)
        r2 = float(1 - measure()["valid_loss"] / ((spread * often).sum() / often.sum()))
        if not r2 > LEAST_R2:
            raise CollapseError(
                f"MaskedPrediction: what is hidden of background is predicted no better than by its mean (R^2 = "
                f"{r2:.3f}). Train longer, hide less (share), or take parts that depend on each other."
            )
        return Fit(history, {"r2": r2})

    def anomaly(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        errors = [self._error(flat, mask).sum(1) for mask in self.masks]
        return torch.stack(errors).sum(0) / self.masks[:, self.part].sum()
