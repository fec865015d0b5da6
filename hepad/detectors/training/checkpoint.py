"""Checkpoints: a training that is killed at any moment goes on from its last one and ends as if it had not been.

A fit is a row of phases, each one an optimisation loop (hepad.detectors.training.loop). A checkpoint holds the outcome
of the phases that are finished and all of the one in hand as it is between two updates: weights, optimisers, averages,
chains, random state, history and candidates. What lies between the phases is computed again from the seed. So the end
is the same, bit for bit, on the same machine.

The file is written whole or not at all, at intervals and when a signal asks the training to stop. It says what it
belongs to (spec, seed, data, device, versions and source of the code) and carries a digest of all its bytes: what is
damaged or belongs to something else is refused, and the training starts afresh.
"""

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepad.detectors.training import distributed
from hepad.errors import InputError
from hepad.progress import Progress
from hepad.storage.files import atomic_path, provenance

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # batch systems send them some time before the end
SHARE = 0.01  # share of a training's time that its checkpoints may take


class Stopped(InputError):
    """A signal has stopped a training, which goes on from its checkpoint when it is started again."""


class Stateful(Protocol):
    """An object that changes during a loop and can be put back."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class Checkpoint:
    """Keeps the state of one fit in the file ``path``; without a path it keeps nothing.

    ``belongs_to`` is JSON that tells this training from others, its spec and seed. ``every`` is the time between two
    checkpoints in seconds, longer where writing one takes more than a hundredth of it.
    """

    def __init__(self, path: str | Path | None = None, belongs_to: dict | None = None, every: float = 60.0):
        self.path, self.belongs_to, self.every = path and Path(path), belongs_to or {}, every
        self.running = self.looping = False
        self.received: int | None = None  # the signal that asked to stop
        self.finished: list[dict] = []  # the outcome of the phases so far
        self.saved: list[dict] = []  # the phases that the file had
        self.spent = 0.0  # seconds that the training had taken when the file was written
        self.due = float("inf")

    @contextmanager
    def of(self, data: Sequence[Tensor], progress: Progress) -> Iterator[None]:
        """For the time of a fit to ``data``: read the file, if there is one, and obey signals."""
        if self.path is None or self.running:  # a detector inside another is part of its fit
            yield
            return
        self.progress, self.device, self.start = progress, data[0].device, time.monotonic()
        machine = {"device": self.device.type, "processes": distributed.size()}
        self.belongs_to = json.loads(json.dumps(self.belongs_to | {"data": _digest_of(data)} | machine | _code()))
        distributed.of_all(None)  # the first process, which writes, has come here, too
        if len(set(distributed.of_all(self._read()))) > 1:
            self.saved, self.spent = [], 0.0
        self.due, self.running = time.monotonic() + self.every, True
        main = threading.current_thread() is threading.main_thread()  # others cannot receive signals
        before = {number: signal.signal(number, self._obey) for number in SIGNALS} if main else {}
        try:
            yield
        finally:
            self.running = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def enter(self, phase: str) -> dict | None:
        """The state of the next phase in the file, None if it is new."""
        self.looping = True
        if len(self.finished) >= len(self.saved):
            return None
        state = self.saved[len(self.finished)]
        self.progress.say(f"{phase}: goes on from step {state['step']} of {self.path}")
        return state

    def reach(self, loop: Stateful) -> None:
        """Between two updates: write the state of the loop if it is time to; Stopped if a signal has come."""
        if self.path is None:
            return
        flags = [float(self.received or 0), float(time.monotonic() >= self.due)]
        signalled, due = distributed.largest(flags, self.device)  # processes act together
        if signalled or due:
            self._write([*self.finished, loop.state_dict()])
        if signalled:
            self.received = int(signalled)
            self._stop()

    def leave(self, outcome: dict) -> None:
        """The phase has ended with this; Stopped if a signal has come."""
        self.looping = False
        if self.path is None:
            return
        self.finished.append(outcome)
        if self.received is not None:
            self._obey(self.received, None)

    def delete(self) -> None:
        """Remove the file, when the results of the training are written."""
        self.path.unlink(missing_ok=True)

    def _obey(self, number: int, _frame) -> None:
        self.received = number
        if not self.looping:  # a loop ends its update first
            if len(self.finished) > len(self.saved):  # the file does not have more than this
                self._write(self.finished)
            self._stop()

    def _stop(self) -> None:
        raise Stopped(
            f"stopped by {signal.Signals(self.received).name}. Start it again: it goes on from {self.path} or, "
            "if there is no such file, from the beginning."
        )

    def _write(self, phases: list[dict]) -> None:
        if distributed.rank() > 0:
            return
        start, tensors = time.monotonic(), {}
        content = {"phases": phases, "spent": self.spent + start - self.start}
        text = json.dumps({"belongs_to": self.belongs_to, "content": _pack(content, tensors)}, sort_keys=True)
        try:
            with atomic_path(self.path) as partial:
                save_file(tensors, partial, metadata={"checkpoint": text, "digest": digest(text, tensors)})
        except (OSError, SafetensorError) as error:
            self.progress.say(f"no checkpoint: {self.path} cannot be written ({error})")
        now = time.monotonic()
        self.due = now + max(self.every, (now - start) / SHARE)

    def _read(self) -> str | None:
        """The digest of the file, if it can be used."""
        for partial in self.path.parent.glob(f".{self.path.name}.*.partial"):  # a killed process left it
            partial.unlink(missing_ok=True)
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
            if metadata["digest"] != digest(metadata["checkpoint"], tensors):
                raise ValueError("its content does not have its digest")
            record = json.loads(metadata["checkpoint"])
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            self.progress.say(f"starts afresh: {self.path} is not a whole checkpoint ({error})")
            return None
        other = [key for key in self.belongs_to if record["belongs_to"].get(key) != self.belongs_to[key]]
        if other or len(record["belongs_to"]) > len(self.belongs_to):
            self.progress.say(f"starts afresh: {self.path} belongs to another {', '.join(other) or 'training'}")
            return None
        content = _unpack(record["content"], tensors, self.device)
        self.saved, self.spent = content["phases"], content["spent"]
        return metadata["digest"]


def _pack(value, tensors: dict[str, Tensor]):
    """JSON of nested dicts, lists, numbers and tensors; the tensors go to ``tensors``."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):  # JSON would make texts of the keys
        return {"items": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value, tensors: dict[str, Tensor], device: torch.device):
    if isinstance(value, list):
        return [_unpack(item, tensors, device) for item in value]
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]].to(device, copy=True)  # not a piece of the file, which may be out of line
    if isinstance(value, dict):
        return {key: _unpack(item, tensors, device) for key, item in value["items"]}
    return value


def digest(text: str, tensors: dict[str, Tensor]) -> str:
    """A text, and tensors with their names, types and shapes, as a number that damage changes."""
    hasher = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return hasher.hexdigest()


def _digest_of(data: Sequence[Tensor]) -> str:
    return digest("", {str(i): x.detach().cpu().contiguous() for i, x in enumerate(data)})


def _code() -> dict:
    """Versions of the packages, and a digest of hepad's source files in use, which may change without a version."""
    hasher = hashlib.blake2b(digest_size=16)
    files = {module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hepad"}
    for path in sorted(files):
        hasher.update(Path(path).read_bytes())
    return {"versions": provenance(), "source": hasher.hexdigest()}
