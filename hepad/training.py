"""The only optimisation loop.

Adam, the rate decaying to zero as a half cosine or constant, optionally with an exponential average of the weights.
A detector with two phases (first an autoencoder, then an energy) calls it twice. Nothing here can see a signal event:
it is given background training data and a function that measures something on background validation data.

At every record the loop has a candidate: the running average of the weights, or the weights themselves. It ends with
the candidate that one measured value chooses, or with the last. A training that diverges is stopped there and goes back
to its candidates.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hepad import distributed
from hepad.checkpoint import Checkpoint, Stateful
from hepad.errors import InputError
from hepad.loop import History, Loop, Trail
from hepad.progress import Progress
from hepad.sampling import DivergenceError


class Fit(NamedTuple):
    """What a training leaves behind besides the detector: the logged curves, single facts, and its candidates."""

    history: History
    facts: dict
    trail: Trail = {}  # noqa: RUF012  never changed


class Criterion(NamedTuple):
    """Which value of the records chooses the state: the candidate where it is smallest, or ``largest``."""

    value: str
    largest: bool = False

    def best(self, history: History) -> int:
        """The step of the chosen record among the candidates whose value is finite; DivergenceError if none is."""
        sign = -1 if self.largest else 1
        found = [r for r in history if "diverged" not in r and math.isfinite(r.get(self.value, math.nan))]
        if not found:
            raise DivergenceError(f"criterion '{self.value}': it is not finite in any record. Lower 'rate'.")
        return min(found, key=lambda r: sign * r[self.value])["step"]


LAST = Criterion("step", largest=True)


class CollapseError(InputError):
    """A training ended in a detector that has learned nothing."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    steps: number of updates; batch: events per update; rate: initial learning rate of Adam; decay: it decays to zero as
    a half cosine, otherwise it stays;
    average: decay per step of the running average of the weights that the training ends with, 0 for none;
    clip: largest norm of the whole gradient, or None.
    """

    steps: int
    batch: int = 128
    rate: float = 1e-3
    average: float = 0.0
    clip: float | None = None
    decay: bool = True

    def __post_init__(self):
        clip = self.clip is None or self.clip > 0
        if self.steps < 1 or self.batch < 1 or self.rate <= 0 or not 0 <= self.average < 1 or not clip:
            raise InputError(
                f"schedule: steps, batch >= 1, rate > 0, 0 <= average < 1 and clip > 0 are needed; got {self}."
            )


def fit_loop(
    module: nn.Module,
    loss: Callable[[Tensor, int], tuple[Tensor, dict[str, float]]],
    train: Tensor,
    schedule: Schedule,
    *,
    phase: str,
    generator: torch.Generator,
    progress: Progress,
    measure: Callable[[], dict[str, float]] | None = None,
    criterion: Criterion = LAST,
    records: int = 25,
    checkpoint: Checkpoint | None = None,
    carried: Mapping[str, Stateful] | None = None,
) -> tuple[History, Trail]:
    """Minimise ``loss`` over batches of ``train``.

    Parameters
    ----------
    module: what is trained: its parameters with ``requires_grad``
    loss: (batch, step) -> (scalar to minimise, values to log)
    train: (N, ...) background training events
    measure: values of the candidate, in ``module``, on background validation data
    criterion: which of the values chooses the state that the training ends with
    records: how many times the logged values, averaged since the last record, and the measured ones are written to the
        history, and a candidate is kept
    checkpoint: where the loop is kept, and goes on from
    carried: what changes during the loop besides ``module`` and ``generator``: all that ``loss`` or ``measure`` keep

    Returns
    -------
    history: one dict per record: phase, step, epoch, rate, loss and the values that ``loss`` and ``measure`` give; the
        record of a divergence has the reason under 'diverged'
    trail: {step: state of ``module``}

    Raises
    ------
    DivergenceError: before the first record, the loss was not finite or a chain or an energy ran away
    Stopped: a signal has asked to stop
    """
    checkpoint = checkpoint or Checkpoint()
    loop = Loop(module, train, schedule, generator, carried or {})
    loss = distributed.wrapped(module, loss)
    found = checkpoint.enter(phase)
    if found:
        loop.load_state_dict(found)
    every = max(1, schedule.steps // records)
    with progress.stage(phase, schedule.steps) as stage:
        stage.go_on_from(loop.step)
        try:
            while not loop.finished:
                rate = loop.update(loss, phase)
                if loop.step % every == 0 or loop.step == schedule.steps:
                    count = (loop.step - 1) % every + 1 if loop.step % every else every
                    values = loop.record(measure, count)
                    epoch = loop.step * min(schedule.batch, len(train)) / len(train)
                    loop.history.append({"phase": phase, "step": loop.step, "epoch": epoch, "rate": rate, **values})
                    stage.advance(0, epoch=epoch, **values)
                stage.advance(1)
                checkpoint.reach(loop)
        except DivergenceError as error:
            if not loop.trail:
                raise
            loop.finished = True
            loop.history.append({"phase": phase, "step": loop.step, "diverged": str(error)})
            progress.say(f"stopped at step {loop.step}, going back to the last good state: {error}")
    checkpoint.leave(loop.outcome())
    module.load_state_dict(loop.trail[criterion.best(loop.history)])
    distributed.synchronise(module)
    module.eval()
    return loop.history, loop.trail


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 256) -> Tensor:
    """``function`` of the events of ``x``, (N,), computed ``size`` at a time and without gradients."""
    result = x.new_empty(len(x))  # made first: small results between large intermediates would pin their memory
    with torch.no_grad():
        for part, of_part in zip(x.split(size), result.split(size), strict=True):
            of_part.copy_(function(part))
    return result
