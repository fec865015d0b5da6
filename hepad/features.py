"""Features: one representation of one sample, with what evaluation needs beside it."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch

from hepad.errors import InputError
from hepad.events import SPLITS, Events
from hepad.io import ahead, append_array, atomic_path, open_hdf5, provenance, read_array
from hepad.representations import Representation, Space

if TYPE_CHECKING:  # importing all detectors takes half a second, in every job
    from hepad.detectors import Detector


@dataclass(frozen=True)
class Features:
    """N events in one representation.

    x: (N, *space.shape) float32; split: (N,) int8; weight: (N,); event_id: (N,); jet: (N, 4) pt, eta, phi, mass
    """

    x: torch.Tensor
    space: Space
    split: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    jet: np.ndarray

    @classmethod
    def of(cls, representation: Representation, events: Events) -> "Features":
        """Represent ``events``."""
        x = representation(events)
        return cls(x, representation.space, events.split, events.weight, events.event_id, events.jet)

    def of_split(self, *names: str) -> "Features":
        """The rows of the named splits."""
        rows = np.isin(self.split, [SPLITS.index(name) for name in names])
        x = self.x[torch.from_numpy(rows)]
        return Features(x, self.space, *(getattr(self, name)[rows] for name in BESIDE))

    def write(self, path: str | Path) -> None:
        """Write to HDF5, atomically."""
        with _writing(path, self.space) as file:
            self._append(file)

    def _append(self, file: h5py.File) -> None:
        append_array(file, "x", self.x.numpy())
        for name in BESIDE:
            append_array(file, name, getattr(self, name))

    @classmethod
    def read(cls, path: str | Path, rows: slice = slice(None)) -> "Features":
        """Read rows of a file written by :meth:`write`."""
        with _open(path) as file:
            return cls._of(file, rows)

    @classmethod
    def chunks(cls, path: str | Path, size: int = 10_000) -> Iterator["Features"]:
        """The rows of a file, ``size`` at a time; at least one chunk, which may be empty."""
        with _open(path) as file:
            for start in range(0, max(len(file["event_id"]), 1), size):
                yield cls._of(file, slice(start, start + size))

    @classmethod
    def _of(cls, file: h5py.File, rows: slice) -> "Features":
        arrays = {name: read_array(file, name, rows) for name in BESIDE}
        return cls(torch.from_numpy(read_array(file, "x", rows)), Space.of(json.loads(file.attrs["space"])), **arrays)


BESIDE = ("split", "weight", "event_id", "jet")


@contextmanager
def _writing(path: str | Path, space: Space) -> Iterator[h5py.File]:
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(kind="hepad features", space=json.dumps(asdict(space)), provenance=json.dumps(provenance()))
        yield file


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with open_hdf5(path) as file:
        if file.attrs.get("kind") != "hepad features" or {"x", *BESIDE} - set(file):
            raise InputError(f"{path}: not a whole file of hepad features. Delete it and run again.")
        yield file


def represent(representation: Representation, chunks: Iterable[Events], paths: dict[str, tuple[str, ...]]) -> None:
    """Write the representation of events chunk by chunk, the splits {path: names of splits} to files of their own."""
    with ExitStack() as stack:
        files = {path: stack.enter_context(_writing(path, representation.space)) for path in paths}
        for events in ahead(chunks):
            features = Features.of(representation, events)
            for path, splits in paths.items():
                features.of_split(*splits)._append(files[path])


def score(
    detectors: dict[str, tuple[str, "Detector"]], features: dict[str, Iterable[Features]]
) -> Iterator[tuple[dict[str, np.ndarray], Features]]:
    """Scores of the same events, chunk by chunk.

    Parameters
    ----------
    detectors: {'detector/seed': (name of its representation, detector)}
    features: {name of the representation: its chunks}

    Yields
    ------
    {'detector/seed': (N,)}, higher = more anomalous, and the features of one representation
    """
    for parts in ahead(zip(*features.values(), strict=True)):
        of = dict(zip(features, parts, strict=True))
        yield {key: detector.score(of[name].x).numpy() for key, (name, detector) in detectors.items()}, parts[0]


def write_scores(path: str | Path, chunks: Iterable[tuple[dict[str, np.ndarray], Features]]) -> None:
    """Scores of one sample under many detectors, {'detector/seed': (N,)}, with weight, event id and jet beside them."""
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["kind"] = "hepad scores"
        group = file.create_group("scores")
        for scores, features in chunks:
            for name, values in scores.items():
                append_array(group, name, values)
            for name in ("weight", "event_id", "jet"):
                append_array(file, name, getattr(features, name))


def read_scores(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """({'detector/seed': (N,)}, {'weight', 'event_id', 'jet'}) of a file written by :func:`write_scores`."""
    with open_hdf5(path) as file:
        names = [f"{detector}/{seed}" for detector in file["scores"] for seed in file["scores"][detector]]
        scores = {name: read_array(file["scores"], name) for name in names}
        return scores, {name: read_array(file, name) for name in ("weight", "event_id", "jet")}
