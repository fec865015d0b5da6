"""Settings and results of a training: its schedule, the criterion of its state, its history."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hepad.errors import DivergenceError, InputError

History = list[dict]

# the candidates of a training: {step: {name of a tensor of the detector: its value}}
Candidates = dict[int, dict[str, Tensor]]


class Fit(NamedTuple):
    """Results of a training besides the detector: the logged curves, single facts, and its candidates."""

    history: History
    facts: dict
    candidates: Candidates = {}  # noqa: RUF012  never changed


class Criterion(NamedTuple):
    """The value of the records that chooses the state: the candidate where it is smallest, or ``largest``.

    of_manifolds: it needs autoencoders with codes on the sphere
    """

    value: str
    largest: bool = False
    of_manifolds: bool = False

    def best(self, history: History) -> int:
        """The step of the chosen record among the candidates whose value is finite; DivergenceError if none is."""
        sign = -1 if self.largest else 1
        candidates = [r for r in history if "diverged" not in r and math.isfinite(r.get(self.value, math.nan))]
        if not candidates:
            raise DivergenceError(f"criterion '{self.value}': it is not finite in any record. Lower 'learning_rate'.")
        return min(candidates, key=lambda r: sign * r[self.value])["step"]


LAST = Criterion("step", largest=True)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    steps: number of updates; batch: events per update; learning_rate: that of Adam at the start; cosine_decay: it goes
    to zero as a half cosine, otherwise it stays;
    ema_decay: decay per step of the running average of the weights that the training ends with, 0 for none;
    grad_clip: largest norm of the whole gradient, or None.
    """

    steps: int
    batch: int = 128
    learning_rate: float = 1e-3
    ema_decay: float = 0.0
    grad_clip: float | None = None
    cosine_decay: bool = True

    def __post_init__(self):
        fast, clipped = self.learning_rate > 0, self.grad_clip is None or self.grad_clip > 0
        if min(self.steps, self.batch) < 1 or not (fast and clipped and 0 <= self.ema_decay < 1):
            raise InputError(
                "schedule: steps, batch >= 1, learning_rate > 0, 0 <= ema_decay < 1 and grad_clip > 0 are needed; got "
                f"{self}."
            )
