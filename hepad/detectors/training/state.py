"""The state of an optimisation: what hepad.detectors.training.loop drives, and all that a checkpoint of it holds."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hepad.detectors.training import distributed
from hepad.detectors.training.checkpoint import Stateful
from hepad.detectors.training.optimiser import Adam
from hepad.detectors.training.settings import Candidates, History, Schedule
from hepad.errors import DivergenceError, InputError


class Loop:
    """The state of one optimisation: module, optimiser, running average, random numbers, history and candidates."""

    def __init__(
        self,
        module: nn.Module,
        train: Tensor,
        schedule: Schedule,
        generator: torch.Generator,
        carried: Mapping[str, Stateful],
    ):
        self.module, self.train, self.schedule, self.generator, self.carried = (
            module, train, schedule, generator, carried
        )  # fmt: skip
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = Adam(self.parameters)
        self.average = [p.detach().clone() for p in self.parameters] if schedule.ema_decay else None
        self.step, self.finished = 0, False
        self.order, self.start = None, len(train)
        self.history: History = []
        self.candidates: Candidates = {}
        self.sums: dict = {}
        self.stream: Tensor | None = None  # state of this process's random numbers, if there are several processes
        if distributed.size() > 1:
            self._divide()

    def _divide(self) -> None:
        batch, processes = min(self.schedule.batch, len(self.train)), distributed.size()
        if batch % processes:
            raise InputError(f"batch: {batch} events cannot be divided evenly among {processes} processes.")
        generator = torch.Generator(self.generator.device)  # the common one stays where it is
        generator.set_state(self.generator.get_state())
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        self.stream = generator.manual_seed(seed + distributed.rank()).get_state()

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Inside the block random numbers are this process's own, and a divergence is that of all processes."""
        if self.stream is None:
            yield
            return
        common = self.generator.get_state()
        self.generator.set_state(self.stream)
        try:
            with distributed.diverging_together(self.train.device):
                yield
        finally:
            self.stream = self.generator.get_state()
            self.generator.set_state(common)

    def update(self, loss: Callable, phase: str) -> float:
        """One step of Adam; its learning rate."""
        self.step += 1
        schedule, rate = self.schedule, self.schedule.learning_rate
        if schedule.cosine_decay:
            rate *= 0.5 * (1 + math.cos(math.pi * (self.step - 1) / schedule.steps))
        batch = self._batch()
        self.module.train()
        with self._apart():
            value, logged = loss(batch, self.step)
            if not torch.isfinite(value):
                raise DivergenceError(
                    f"{phase} phase: the loss is {value.item()} at step {self.step}. Lower 'learning_rate'."
                )
        self.optimiser.zero_grad()
        value.backward()
        if schedule.grad_clip:
            nn.utils.clip_grad_norm_(self.parameters, schedule.grad_clip)
        self.optimiser.step(rate)
        if self.average:
            with torch.no_grad():  # a young average forgets its untrained start faster
                weight = 1 - min(schedule.ema_decay, self.step / (self.step + 10))
                torch._foreach_lerp_(self.average, self.parameters, weight)
        for key, item in {"loss": value.detach(), **logged}.items():
            self.sums[key] = self.sums.get(key, 0) + item
        self.finished = self.step == schedule.steps
        return rate

    def _batch(self) -> Tensor:
        """The next batch; every event is seen once before any is seen twice."""
        size = min(self.schedule.batch, len(self.train))
        if self.start + size > len(self.train):
            options = {"generator": self.generator, "device": self.train.device}
            self.order, self.start = torch.randperm(len(self.train), **options), 0
        self.start += size
        return self.train[distributed.share(self.order[self.start - size : self.start])]

    def record(self, measure: Callable | None, count: int) -> dict[str, float]:
        """Keep a candidate; means of the logged values of the last ``count`` steps, and what is measured of it."""
        means = {key: float(item) / count for key, item in self.sums.items()}
        self.sums = {}
        means = distributed.mean(means, self.train.device)
        with self._apart(), _exchanged(self.parameters, self.average):
            self.module.eval()
            measured = measure() if measure else {}
            state = self.module.state_dict()
            self.candidates[self.step] = {name: tensor.detach().clone() for name, tensor in state.items()}
        return means | distributed.of_first(measured)

    def outcome(self) -> dict:
        """The part of the state that counts when the loop has ended."""
        return {
            "step": self.step,
            "finished": self.finished,
            "history": self.history,
            "candidates": self.candidates,
            "generator": self.generator.get_state(),
        }

    def state_dict(self) -> dict:
        """All that the rest of the loop depends on; of several processes, what each has of its own."""
        carried = {name: part.state_dict() for name, part in self.carried.items()}
        share = {"sums": self.sums, "stream": self.stream, "carried": carried}
        return self.outcome() | {
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "batches": [self.order, self.start],
            "each": distributed.of_all(share),
        }

    def load_state_dict(self, state: dict) -> None:
        """Put the loop where it was."""
        self.step, self.finished, self.history, self.candidates = (
            state[key] for key in ("step", "finished", "history", "candidates")
        )
        self.generator.set_state(state["generator"].cpu())
        if self.finished:
            return
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = state["average"]
        self.order, self.start = state["batches"]
        share = state["each"][distributed.rank()]
        self.sums, self.stream = share["sums"], share["stream"] if share["stream"] is None else share["stream"].cpu()
        for name, part in self.carried.items():
            part.load_state_dict(share["carried"][name])


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
