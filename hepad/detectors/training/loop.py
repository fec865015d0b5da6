"""The only optimisation loop.

Adam, the learning rate decaying to zero as a half cosine or constant, optionally with an exponential average of the
weights. A detector with two phases (first an autoencoder, then an energy) calls it twice. Nothing here can see a signal
event: it is given background training data and a function that measures something on background validation data.

At every record the loop has a candidate: the running average of the weights, or the weights themselves. It ends with
the candidate that one measured value chooses, or with the last. A training that diverges is stopped there and goes back
to its candidates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hepad.detectors.training import distributed
from hepad.detectors.training.checkpoint import Checkpoint, Stateful
from hepad.detectors.training.settings import LAST, Candidates, Criterion, History, Schedule
from hepad.detectors.training.state import Loop
from hepad.errors import DivergenceError
from hepad.progress import Progress


@dataclass(frozen=True)
class Fitting:
    """The tools of one fit, which all its parts share.

    generator: its only source of randomness, on the device of the events
    progress: where it is shown
    checkpoint: where it is kept, and goes on from; by default nowhere
    records: how many times, at least, a loop of more steps writes its values to the history and keeps a candidate
    """

    generator: torch.Generator
    progress: Progress
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    records: int = 25

    def minimise(
        self,
        module: nn.Module,
        loss: Callable[[Tensor, int], tuple[Tensor, dict[str, float]]],
        train: Tensor,
        schedule: Schedule,
        *,
        phase: str,
        measure: Callable[[], dict[str, float]] | None = None,
        criterion: Criterion = LAST,
        carried: Mapping[str, Stateful] | None = None,
    ) -> tuple[History, Candidates]:
        """Minimise ``loss`` over batches of ``train``.

        Parameters
        ----------
        module: what is trained: its parameters with ``requires_grad``
        loss: (batch, step) -> (scalar to minimise, values to log)
        train: (N, ...) background training events
        phase: name of this part of the fit, in histories and messages
        measure: values of the candidate, in ``module``, on background validation data
        criterion: which of the values chooses the state that the training ends with
        carried: what changes during the loop besides ``module`` and the generator: all that ``loss`` or ``measure``
            keep

        Returns
        -------
        history: one dict per record: phase, step, epoch, learning_rate, the means of the loss and of the values of
            ``loss`` since the last record, and the values of ``measure``; the record of a divergence has the reason
            under 'diverged'
        candidates: {step: state of ``module``}

        Raises
        ------
        DivergenceError: before the first record, the loss was not finite or a chain or an energy ran away
        Stopped: a signal has asked to stop
        """
        loop = Loop(module, train, schedule, self.generator, carried or {})
        loss = distributed.wrapped(module, loss)
        kept = self.checkpoint.enter(phase)
        if kept:
            loop.load_state_dict(kept)
        interval = max(1, schedule.steps // self.records)
        with self.progress.stage(phase, schedule.steps) as stage:
            stage.go_on_from(loop.step)
            try:
                while not loop.finished:
                    rate = loop.update(loss, phase)
                    if loop.step % interval == 0 or loop.step == schedule.steps:
                        count = (loop.step - 1) % interval + 1
                        values = loop.record(measure, count)
                        epoch = loop.step * min(schedule.batch, len(train)) / len(train)
                        loop.history.append(
                            {"phase": phase, "step": loop.step, "epoch": epoch, "learning_rate": rate, **values}
                        )
                        stage.advance(0, epoch=epoch, **values)
                    stage.advance(1)
                    self.checkpoint.reach(loop)
            except DivergenceError as error:
                if not loop.candidates:
                    raise
                loop.finished = True
                loop.history.append({"phase": phase, "step": loop.step, "diverged": str(error)})
                self.progress.say(f"stopped at step {loop.step}, going back to the last good state: {error}")
        self.checkpoint.leave(loop.outcome())
        module.load_state_dict(loop.candidates[criterion.best(loop.history)])
        distributed.synchronise(module)
        module.eval()
        return loop.history, loop.candidates


def in_blocks(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 256) -> Tensor:
    """``function`` of the events of ``x``, (N,), computed ``size`` at a time and without gradients."""
    result = x.new_empty(len(x))  # made first: small results between large intermediates would pin their memory
    with torch.no_grad():
        for block, part in zip(x.split(size), result.split(size), strict=True):
            part.copy_(function(block))
    return result
