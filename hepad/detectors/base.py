"""The Detector: fitted on background alone, it gives every event one number; higher means more anomalous."""

import inspect
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hepad.annotations import refuse_misfits
from hepad.bounded import Bounded, TooLargeError
from hepad.checkpoint import Checkpoint, digest
from hepad.detectors.normalise import Compression, Normaliser
from hepad.errors import InputError, choose
from hepad.io import atomic_path, provenance
from hepad.progress import Progress
from hepad.representations import Space
from hepad.training import CollapseError, Fit, in_parts

if TYPE_CHECKING:
    from hepad.features import Features

LEAST_R2 = 0.02  # a reconstruction that explains no more of the background has learned nothing


class Detector(nn.Module, ABC):
    """Base of all detectors; subclasses are final and implement ``_fit`` and ``anomaly`` in normalised units.

    ``space`` is where events live, ``inner`` where normalised events live: the same, unless ``compress`` > 0 replaces
    the pixels by so many principal components and the log of the squared distance to their plane.
    ``group`` says where a detector stands in tables: 'detector', or 'baseline' for the trivial opponents;
    ``score_name`` what its score is called in figures.
    """

    group = "detector"
    score_name = "anomaly score"

    def __init__(self, space: Space, compress: int = 0):
        super().__init__()
        self.space = space
        self.normalise = Compression(space, compress) if compress else Normaliser(space)
        self.inner = self.normalise.space

    def fit(
        self,
        train: Tensor,
        valid: Tensor,
        *,
        generator: torch.Generator,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fit:
        """Fit on background events.

        Parameters
        ----------
        train, valid: (N, *space.shape) float32 background events; ``valid`` decides which state is kept
        generator: the only source of randomness after construction
        progress: where to show progress
        checkpoint: where to keep a training that may be stopped, and to go on from

        Raises
        ------
        Stopped: a signal has asked to stop
        CollapseError: nothing was learned (constant or non-finite score, reconstruction worse than the mean event)
        DivergenceError: the training left the finite numbers
        """
        progress, checkpoint = progress or Progress(type(self).__name__), checkpoint or Checkpoint()
        for name, x in (("train", train), ("valid", valid)):
            if len(x) < 2 or tuple(x.shape[1:]) != self.space.shape:
                raise InputError(
                    f"{type(self).__name__}: the {name} events have shape {tuple(x.shape)}; "
                    f"at least 2 of shape {self.space.shape} are needed."
                )
        start = time.perf_counter()
        with checkpoint.of((train, valid), progress):
            self.normalise.fit(train, generator)
            normal = self.normalise.of_sample(train), self.normalise.of_sample(valid)
            history, facts, trail = self._fit(*normal, generator, progress, checkpoint)
        self.eval()
        self._refuse_constant(self.score(valid))
        seconds = checkpoint.spent + time.perf_counter() - start
        facts = {"seconds": seconds, "n_train": len(train), "n_valid": len(valid), **facts}
        for key, value in facts.items():
            progress.say(f"{key} = {value}")
        return Fit(history, facts, trail)

    def score(self, x: Tensor) -> Tensor:
        """Anomaly score (N,) of events (N, *space.shape); each depends on its own event alone."""
        self.eval()
        device = next(self.normalise.buffers()).device
        return in_parts(lambda part: self.anomaly(self.normalise(part.to(device))).cpu(), x)

    @abstractmethod
    def _fit(
        self, train: Tensor, valid: Tensor, generator: torch.Generator, progress: Progress, checkpoint: Checkpoint
    ) -> Fit:
        """Fit on normalised events."""

    @abstractmethod
    def anomaly(self, x: Tensor) -> Tensor:
        """Score (B,) of normalised events (B, *space.shape)."""

    def _refuse_poor(self, valid: Tensor, error: float, baseline: float | None = None) -> float:
        """R^2 of the reconstruction of normalised background against its mean event; refuse what is no better.

        ``error`` and ``baseline``, that of the mean event, are mean squared errors unless a baseline is given."""
        r2 = r_squared(valid, error) if baseline is None else 1 - error / baseline
        if not r2 > LEAST_R2:
            raise CollapseError(
                f"{type(self).__name__}: the reconstruction of background is no better than its mean event "
                f"(R^2 = {r2:.3f}); the autoencoder has collapsed. Smear sparse images (sigma >= 1), avoid a sigmoid "
                "output, train longer, or lower the rate."
            )
        return r2

    def _refuse_constant(self, score: Tensor) -> None:
        if not torch.isfinite(score).all():
            raise CollapseError(f"{type(self).__name__}: the score of background events is not finite.")
        if score.std() <= 1e-6 * score.abs().mean():
            raise CollapseError(
                f"{type(self).__name__}: the score is the same for all background events ({score[0]:.6g}); "
                "the detector has collapsed. Check its inputs, smear sparse images (sigma >= 1) or lower the rate."
            )


class Reconstructing(Detector):
    """A detector that can show what it makes of an event."""

    @abstractmethod
    def reconstruct(self, x: Tensor) -> Tensor:
        """Reconstruction, in the units of x (N, *space.shape)."""


class Generating(Detector):
    """A detector that can draw events from its model."""

    @abstractmethod
    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        """Events (count, *space.shape) drawn from the model, in the units of x; ``generator`` on the model's device."""


def r_squared(x: Tensor, error: float) -> float:
    """1 - ``error`` / that of the mean event, for a mean squared error of the reconstruction of normalised events."""
    return 1 - error / (x - x.mean(0)).square().mean().item()


def build(spec: dict, space: Space, seed: int) -> Detector:
    """A new detector from ``{"type": "AE", "arguments": {...}}``, its weights drawn with ``seed``.

    Raises InputError for an unknown type or argument, naming those that are allowed, and for a value of another kind.
    """
    from hepad.detectors import DETECTORS

    cls = DETECTORS[choose("type", spec["type"], DETECTORS)]
    arguments = spec.get("arguments") or {}
    for name in arguments:
        choose(f"argument of {spec['type']}", name, parameters_of(cls))
    refuse_misfits(cls, arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(space, **arguments)


def train(
    spec: dict, training: "Features", validation: "Features", seed: int, device: str = "cpu", **how
) -> tuple[Detector, Fit]:
    """Build a detector, fit it to the background's training and validation events; ``how`` as for ``Detector.fit``."""
    detector, generator = build(spec, training.space, seed).to(device), torch.Generator(device).manual_seed(seed)
    return detector, detector.fit(training.x.to(device), validation.x.to(device), generator=generator, **how)


def parameters_of(cls: type) -> list[str]:
    """Names of the arguments that a detector, schedule or chain takes from the configuration."""
    return [name for name in inspect.signature(cls).parameters if name != "space"]


def settings(cls: type, values: dict, where: str):
    """A Schedule or Chain from a mapping; InputError for an unknown or missing key or a value of another kind."""
    for name in values:
        choose(where, name, parameters_of(cls))
    refuse_misfits(cls, values, where)
    try:
        return cls(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}. It takes: {', '.join(parameters_of(cls))}.") from None


def save(detector: Detector, path: str | Path, spec: dict) -> None:
    """The whole fitted state in one safetensors file, with the spec as metadata; atomic."""
    write_module(detector, path, {"spec": spec, "space": asdict(detector.space)})


def load(path: str | Path) -> Detector:
    """A fitted detector from a file written by :func:`save`; InputError if the file is anything else."""
    try:
        return read_module(path, lambda about: build(about["spec"], Space.of(about["space"]), seed=0))
    except UNREADABLE as error:
        raise InputError(f"{path}: not a usable hepad model ({said(error)}). Delete it and train again.") from None


# what reading a module raises on a file that is anything else
UNREADABLE = (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)
UNREADABLE += (ArithmeticError, AssertionError, InputError, TooLargeError)


def said(error: Exception) -> str:
    """An exception in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def write_module(module: nn.Module, path: str | Path, about: dict) -> None:
    """The state of a module and what it is ``about``, JSON, in one safetensors file; atomic."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    about = about | {"provenance": provenance()}
    about["digest"] = digest(json.dumps(about, sort_keys=True), tensors)
    with atomic_path(path) as partial:  # one entry: safetensors writes several in any order
        save_file(tensors, partial, metadata={"hepad": json.dumps(about, sort_keys=True)})


def _moderate(text: str) -> int:
    """A whole number of a description: a loop over more would not end soon."""
    if len(text) > 9 or abs(int(text)) > 10_000_000:
        raise ValueError(f"{text[:20]} in its description is larger than any setting of hepad")
    return int(text)


def read_module(path: str | Path, make: Callable[[dict], nn.Module]) -> nn.Module:
    """The module that ``make`` makes of what a file of :func:`write_module` is about, in its state; or UNREADABLE.

    The file is not trusted: nothing in it is executed, ``make`` may not build more than the file can fill, and every
    tensor must be the module's own in shape and type, without NaN.
    """
    if not Path(path).is_file():
        raise FileNotFoundError("there is no such file")
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["hepad"], parse_int=_moderate)
        expected = about.pop("digest", None)  # files of early versions have none
        held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  not a dict
        with Bounded(sum(math.prod(part.get_shape()) for part in held.values())):
            module = make(about)
        wanted = {name: (list(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items()}
        if foreign := sorted(set(held) ^ set(wanted)):
            raise ValueError(f"tensors that are missing or too many: {', '.join(foreign[:5])}")
        tensors = {}
        for name, (shape, kind) in wanted.items():
            if held[name].get_shape() != shape:
                raise ValueError(f"'{name}' has shape {held[name].get_shape()}, not {shape}")
            tensors[name] = file.get_tensor(name)
            if tensors[name].dtype != kind:
                raise ValueError(f"'{name}' holds {tensors[name].dtype}, not {kind}")
            if tensors[name].isnan().any():
                raise ValueError(f"'{name}' holds NaN")
        if expected not in (None, digest(json.dumps(about, sort_keys=True), tensors)):
            raise ValueError("its content does not have its digest: it is damaged")
    module.load_state_dict(tensors)
    return module.eval()
