"""The only optimisation loop.

Adam, the rate decaying to zero as a half cosine or constant, optionally with an exponential average of the weights.
A detector with two phases (first an autoencoder, then an energy) calls it twice. Nothing here can see a signal event:
it is given background training data and a function that measures something on background validation data.

At every record the loop has a candidate: the running average of the weights, or the weights themselves. It ends with
the candidate that one measured value chooses, or with the last. A training that diverges is stopped there and goes back
to its candidates.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hepad.errors import InputError
from hepad.progress import Progress
from hepad.sampling import DivergenceError

History = list[dict]


# the candidates of a training: {step: {name of a tensor of the detector: its value}}
Trail = dict[int, dict[str, Tensor]]


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

    Returns
    -------
    history: one dict per record: phase, step, epoch, rate, loss and the values that ``loss`` and ``measure`` give; the
        record of a divergence has the reason under 'diverged'
    trail: {step: state of ``module``}

    Raises
    ------
    DivergenceError: before the first record, the loss was not finite or a chain or an energy ran away
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=schedule.rate, fused=True)
    average = [p.detach().clone() for p in parameters] if schedule.average else None
    every = max(1, schedule.steps // records)
    history, trail, sums = [], {}, {}
    with progress.stage(phase, schedule.steps) as stage:
        try:
            for step, batch in enumerate(_batches(train, schedule, generator), start=1):
                rate = schedule.rate
                if schedule.decay:
                    rate *= 0.5 * (1 + math.cos(math.pi * (step - 1) / schedule.steps))
                for group in optimiser.param_groups:
                    group["lr"] = rate
                module.train()
                value, logged = loss(batch, step)
                if not torch.isfinite(value):
                    raise DivergenceError(f"{phase} phase: the loss is {value.item()} at step {step}. Lower 'rate'.")
                optimiser.zero_grad(set_to_none=True)
                value.backward()
                if schedule.clip:
                    nn.utils.clip_grad_norm_(parameters, schedule.clip)
                optimiser.step()
                if average:
                    with torch.no_grad():  # a young average forgets its untrained start faster
                        torch._foreach_lerp_(average, parameters, 1 - min(schedule.average, step / (step + 10)))
                for key, item in {"loss": value.detach(), **logged}.items():
                    sums[key] = sums.get(key, 0) + item
                if step % every == 0 or step == schedule.steps:
                    count = (step - 1) % every + 1 if step % every else every
                    means = {key: float(item) / count for key, item in sums.items()}
                    sums = {}
                    with _exchanged(parameters, average):
                        module.eval()
                        measured = measure() if measure else {}
                        trail[step] = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
                    epoch = step * min(schedule.batch, len(train)) / len(train)
                    history.append({"phase": phase, "step": step, "epoch": epoch, "rate": rate, **means, **measured})
                    stage.advance(0, epoch=epoch, **means, **measured)
                stage.advance(1)
        except DivergenceError as error:
            if not trail:
                raise
            history.append({"phase": phase, "step": step, "diverged": str(error)})
            progress.say(f"stopped at step {step}, going back to the last good state: {error}")
    module.load_state_dict(trail[criterion.best(history)])
    module.eval()
    return history, trail


@contextmanager
def _exchanged(parameters: list[Tensor], average: list[Tensor] | None) -> Iterator[None]:
    """Inside the block the parameters have their averaged values, if there are any."""
    if average is None:
        yield
        return
    raw = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        torch._foreach_copy_(parameters, average)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, raw)


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 1024) -> Tensor:
    """``function`` of the events of ``x``, (N,), computed ``size`` at a time and without gradients."""
    with torch.no_grad():
        parts = [function(part) for part in x.split(size)]
    return torch.cat(parts) if parts else torch.empty(0)


def _batches(train: Tensor, schedule: Schedule, generator: torch.Generator):
    """``schedule.steps`` batches; every event is seen once before any is seen twice."""
    batch = min(schedule.batch, len(train))
    order, start = None, len(train)
    for _ in range(schedule.steps):
        if start + batch > len(train):
            order, start = torch.randperm(len(train), generator=generator, device=train.device), 0
        yield train[order[start : start + batch]]
        start += batch
