"""The Detector: fitted on background alone, it gives every event one number; higher means more anomalous."""

import inspect
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hepad.detectors.normalise import Compression, Normaliser
from hepad.errors import InputError, choose
from hepad.io import atomic_path, provenance
from hepad.progress import Progress
from hepad.representations import Space
from hepad.training import CollapseError, Fit, in_parts


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

    def fit(self, train: Tensor, valid: Tensor, *, generator: torch.Generator, progress: Progress | None = None) -> Fit:
        """Fit on background events.

        Parameters
        ----------
        train, valid: (N, *space.shape) float32 background events; ``valid`` decides which state is kept
        generator: the only source of randomness after construction
        progress: where to show progress

        Raises
        ------
        CollapseError: nothing was learned (constant or non-finite score, reconstruction worse than the mean event)
        DivergenceError: the training left the finite numbers
        """
        progress = progress or Progress(type(self).__name__)
        for name, x in (("train", train), ("valid", valid)):
            if len(x) < 2 or tuple(x.shape[1:]) != self.space.shape:
                raise InputError(
                    f"{type(self).__name__}: the {name} events have shape {tuple(x.shape)}; "
                    f"at least 2 of shape {self.space.shape} are needed."
                )
        start = time.perf_counter()
        self.normalise.fit(train, generator)
        history, facts, trail = self._fit(self.normalise(train), self.normalise(valid), generator, progress)
        self.eval()
        self._refuse_constant(self.score(valid))
        facts = {"seconds": time.perf_counter() - start, "n_train": len(train), "n_valid": len(valid), **facts}
        for key, value in facts.items():
            progress.say(f"{key} = {value}")
        return Fit(history, facts, trail)

    def score(self, x: Tensor) -> Tensor:
        """Anomaly score (N,) of events (N, *space.shape); each depends on its own event alone."""
        self.eval()
        device = next(self.normalise.buffers()).device
        return in_parts(lambda part: self.anomaly(self.normalise(part.to(device))).cpu(), x)

    @abstractmethod
    def _fit(self, train: Tensor, valid: Tensor, generator: torch.Generator, progress: Progress) -> Fit:
        """Fit on normalised events."""

    @abstractmethod
    def anomaly(self, x: Tensor) -> Tensor:
        """Score (B,) of normalised events (B, *space.shape)."""

    def _refuse_poor(self, valid: Tensor, error: float, baseline: float | None = None) -> float:
        """R^2 of the reconstruction of normalised background against its mean event; refuse what is no better.

        ``error`` and ``baseline``, that of the mean event, are mean squared errors unless a baseline is given."""
        if baseline is None:
            baseline = (valid - valid.mean(0)).square().mean().item()
        r2 = 1 - error / baseline
        if not r2 > 0.02:
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


def build(spec: dict, space: Space, seed: int) -> Detector:
    """A new detector from ``{"type": "AE", "arguments": {...}}``, its weights drawn with ``seed``.

    Raises InputError for an unknown type or argument, naming those that are allowed.
    """
    from hepad.detectors import DETECTORS

    cls = DETECTORS[choose("type", spec["type"], DETECTORS)]
    arguments = spec.get("arguments") or {}
    for name in arguments:
        choose(f"argument of {spec['type']}", name, parameters_of(cls))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cls(space, **arguments)


def parameters_of(cls: type) -> list[str]:
    """Names of the arguments that a detector, schedule or chain takes from the configuration."""
    return [name for name in inspect.signature(cls).parameters if name != "space"]


def settings(cls: type, values: dict, where: str):
    """A Schedule or Chain from a mapping; InputError for an unknown or missing key."""
    for name in values:
        choose(where, name, parameters_of(cls))
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
        raise InputError(f"{path}: not a usable hepad model ({error}). Delete it and train again.") from None


# what reading a module raises on a file that is anything else
UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, RuntimeError)


def write_module(module: nn.Module, path: str | Path, about: dict) -> None:
    """The state of a module and what it is ``about``, JSON, in one safetensors file; atomic."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    metadata = {"hepad": json.dumps(about | {"provenance": provenance()}, sort_keys=True)}
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def read_module(path: str | Path, make: Callable[[dict], nn.Module]) -> nn.Module:
    """The module that ``make`` makes of what a file of :func:`write_module` is about, in its state; or UNREADABLE."""
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["hepad"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    module = make(about)
    module.load_state_dict(tensors)
    return module.eval()
