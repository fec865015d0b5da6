"""The only optimisation loop.

Adam with cosine decay of the rate to zero, optionally with an exponential average of the weights. A detector with two
phases (first an autoencoder, then an energy) calls it twice. Nothing in here can see a signal event: it is given
background training data and a function that measures something on background validation data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hepad.errors import InputError
from hepad.progress import Progress
from hepad.sampling import DivergenceError

History = list[dict]


class Fit(NamedTuple):
    """What a training leaves behind besides the detector: the logged curves and single facts."""

    history: History
    facts: dict


class CollapseError(InputError):
    """A training ended in a detector that has learned nothing."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    steps: number of updates; batch: events per update; rate: initial learning rate of Adam, decays as a half cosine;
    average: decay per step of the running average of the weights that the training ends with, 0 for none;
    clip: largest norm of the whole gradient, or None.
    """

    steps: int
    batch: int = 128
    rate: float = 1e-3
    average: float = 0.0
    clip: float | None = None

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
    validate: Callable[[], float] | None = None,
    records: int = 25,
) -> History:
    """Minimise ``loss`` over batches of ``train``.

    Parameters
    ----------
    module: what is trained: its parameters with ``requires_grad``
    loss: (batch, step) -> (scalar to minimise, values to log)
    train: (N, ...) background training events
    validate: measures the module on background validation data; the state with the smallest value is kept.
        Without it the last state is kept or, with ``schedule.average``, the running average.
    records: how many times the logged values, averaged since the last record, are written to the history

    Returns
    -------
    one dict per record: phase, step, epoch, rate, loss, valid_loss and the values that ``loss`` logs

    Raises
    ------
    DivergenceError: the loss is not finite
    InputError: ``validate`` together with ``schedule.average``
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=schedule.rate, fused=True)
    average = [p.detach().clone() for p in parameters] if schedule.average else None
    if validate and average:
        raise InputError(f"{phase} phase: it keeps the state that is best on validation data; leave out 'average'.")
    every = max(1, schedule.steps // records)
    history, sums, best, best_state = [], {}, math.inf, None
    with progress.stage(phase, schedule.steps) as stage:
        for step, batch in enumerate(_batches(train, schedule, generator), start=1):
            rate = schedule.rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / schedule.steps))
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
                module.eval()
                valid = validate() if validate else None
                epoch = step * min(schedule.batch, len(train)) / len(train)
                record = {"phase": phase, "step": step, "epoch": epoch, "rate": rate, "valid_loss": valid, **means}
                history.append(record)
                stage.advance(0, epoch=epoch, valid=valid, **means)
                if valid is not None and valid < best:
                    best, best_state = valid, [p.detach().clone() for p in parameters]
            stage.advance(1)
    final = average if average else best_state
    if final:
        with torch.no_grad():
            for p, value in zip(parameters, final, strict=True):
                p.copy_(value)
    module.eval()
    return history


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
