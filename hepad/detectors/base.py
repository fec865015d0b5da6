"""The Detector: fitted on background alone, it gives every event one number; higher means more anomalous."""

import copy
import inspect
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from hepad.detectors.fitted_state import check_saved
from hepad.detectors.normalisation import Compression, Normaliser
from hepad.detectors.training.checkpoint import Checkpoint
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Fit
from hepad.errors import CollapseError, InputError
from hepad.progress import Progress
from hepad.registry import Registry
from hepad.representations import Space

if TYPE_CHECKING:
    from hepad.representations.features import Features

DETECTORS = Registry("detector")  # filled by hepad.detectors
PROBE = 256  # validation events on which a fitted detector is compared with what would be saved
LEAST_R2 = 0.02  # a reconstruction that explains no more of the background has learned nothing


class Detector(nn.Module, ABC):
    """Base of all detectors; subclasses implement ``_fit`` and ``anomaly`` in normalised units.

    ``space`` is where events live, ``inner`` where normalised events live: the same, unless ``n_components`` > 0
    replaces the pixels by so many principal components and the log of the squared distance to their plane.
    ``group`` says where a detector stands in tables: 'detector', or 'baseline' for the trivial opponents;
    ``score_name`` what its score is called in figures; ``no_graph`` why its score has no ONNX graph, if it has none.

    A detector of a few numbers names them in its constructor; one of many has a dataclass ``Settings`` of its
    arguments, mappings as dataclasses of their own, and a constructor that hands them on: ``(space, **arguments)``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        """The arguments of a detector, a field each."""

        n_components: ClassVar[int] = 0  # detectors that can replace pixels declare it as a field

    group = "detector"
    score_name = "anomaly score"
    no_graph = ""
    names: tuple[str, ...] = ()  # of the members of a combination

    def __init_subclass__(cls):
        super().__init_subclass__()
        if "Settings" in vars(cls):
            fields = [p.replace(kind=p.KEYWORD_ONLY) for p in inspect.signature(cls.Settings).parameters.values()]
            space = inspect.Parameter("space", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Space)
            cls.__signature__ = inspect.Signature([space, *fields])

    @classmethod
    def score_axis(cls, entry: dict) -> str:
        """What the score of a detector with these arguments is called in figures."""
        return cls.score_name

    def __init__(self, space: Space, **arguments):
        super().__init__()
        self.space, self.settings = space, self.Settings(**arguments)
        n_components = self.settings.n_components
        self.normalise = Compression(space, n_components) if n_components else Normaliser(space)
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
        InputError: too few events, events of another shape, or a fitted state that :func:`hepad.detectors.save` would
        lose (:mod:`hepad.detectors.fitted_state`)
        """
        fitting = Fitting(generator, progress or Progress(type(self).__name__), checkpoint or Checkpoint())
        for name, x in (("train", train), ("valid", valid)):
            if len(x) < 2 or tuple(x.shape[1:]) != self.space.shape:
                raise InputError(
                    f"{type(self).__name__}: the {name} events have shape {tuple(x.shape)}; "
                    f"at least 2 of shape {self.space.shape} are needed."
                )
        start, original = time.perf_counter(), copy.deepcopy(self)
        with fitting.checkpoint.of((train, valid, *self.adopted()), fitting.progress):
            self._fit_normaliser(train, generator)
            normal = self.normalise.of_sample(train), self.normalise.of_sample(valid)
            history, facts, candidates = self._fit(*normal, fitting)
        self.eval()
        score = self.score(valid)
        self._check_not_constant(score)
        check_saved(self, original, score[:PROBE], valid[:PROBE])
        seconds = fitting.checkpoint.spent + time.perf_counter() - start
        facts = {"seconds": seconds, "n_train": len(train), "n_valid": len(valid), **facts}
        for key, value in facts.items():
            fitting.progress.say(f"{key} = {value}")
        return Fit(history, facts, candidates)

    def _fit_normaliser(self, train: Tensor, generator: torch.Generator) -> None:
        self.normalise.fit(train, generator)

    def adopted(self) -> list[Tensor]:
        """What a training goes on from besides its events: the weights of another detector, if any."""
        return []

    def score(self, x: Tensor) -> Tensor:
        """Anomaly score (N,) of events (N, *space.shape); each depends on its own event alone."""
        self.eval()
        device = next(self.normalise.buffers()).device
        return in_blocks(lambda part: self.anomaly(self.normalise(part.to(device))).cpu(), x)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """p-values (N,) of events (N, *space.shape) by the names of its members; only a Combination has any."""
        return {}

    def embed(self, x: Tensor) -> Tensor | None:
        """What it encodes normalised events (B, *inner.shape) as, (B, D), on the way to their score; None if it has no
        encoder that other detectors could use."""
        return None

    def terms(self, x: Tensor) -> Tensor | None:
        """Of normalised events (B, *inner.shape) the terms of their score, one for each entry, where it is a sum over
        entries, as an error of reconstruction is; otherwise None."""
        return None

    @abstractmethod
    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        """Fit on normalised events (N, *inner.shape); what was logged, and candidates if it has any."""

    @abstractmethod
    def anomaly(self, x: Tensor) -> Tensor:
        """Score (B,) of normalised events (B, *inner.shape)."""

    def _check_reconstruction(self, valid: Tensor, error: float, baseline: float | None = None) -> float:
        """R^2 of the reconstruction of normalised background; CollapseError if it is no better than the mean event.

        error: of the reconstruction of ``valid``; baseline: the same measure for the mean event. Without a baseline the
        error is a mean squared one, and that of the mean event is computed.
        """
        mean = None if baseline is None else torch.tensor(baseline, dtype=torch.double)  # may be divided by if it is 0
        r2 = r_squared(valid, error) if mean is None else float(1 - error / mean)
        if not r2 > LEAST_R2:
            raise CollapseError(
                f"{type(self).__name__}: the reconstruction of background is no better than its mean event "
                f"(R^2 = {r2:.3f}); the autoencoder has collapsed. Smear sparse images (sigma >= 1), avoid a sigmoid "
                "output, train longer, or lower the learning rate."
            )
        return r2

    def _check_not_constant(self, score: Tensor) -> None:
        if not torch.isfinite(score).all():
            raise CollapseError(f"{type(self).__name__}: the score of background events is not finite.")
        if score.std() <= 1e-6 * score.abs().mean():
            raise CollapseError(
                f"{type(self).__name__}: the score is the same for all background events ({score[0]:.6g}); "
                "the detector has collapsed. Check its inputs, smear sparse images (sigma >= 1) or lower the learning "
                "rate."
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
    return float(1 - error / (x - x.mean(0)).square().mean())  # of events that are all the same no number


def build(spec: dict, space: Space, seed: int) -> Detector:
    """A new detector from ``{"type": "AE", "arguments": {...}}``, its weights drawn with ``seed``.

    Errors are those of :meth:`hepad.registry.Registry.make`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DETECTORS.make({"type": spec["type"], **(spec.get("arguments") or {})}, space)


def train(
    spec: dict, training: "Features", validation: "Features", seed: int, device: str = "cpu", before=None, **options
) -> tuple[Detector, Fit]:
    """Build a detector and fit it to training and validation events of background.

    ``before``: fitted detectors by their names, the members of a Combination or the AE that an energy starts from;
    ``options``: as for ``Detector.fit``
    """
    detector, generator = build(spec, training.space, seed), torch.Generator(device).manual_seed(seed)
    if before:
        detector.adopt(before)
    detector.to(device)
    return detector, detector.fit(training.x.to(device), validation.x.to(device), generator=generator, **options)
