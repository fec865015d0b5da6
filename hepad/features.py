"""Features: one representation of one sample, with what evaluation needs beside it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from hepad.clusters import ends
from hepad.errors import InputError
from hepad.events import SPLITS, Events
from hepad.io import append_array, describe, described, new_hdf5, own_hdf5, provenance, read_array, rows_of
from hepad.parts import beginnings, read_index, within

if TYPE_CHECKING:  # importing them takes seconds and 200 MB, in every job that only reads scores
    import torch

    from hepad.detectors import Detector
    from hepad.representations import Representation, Space


@dataclass(frozen=True)
class Features:
    """N events in one representation.

    x: (N, *space.shape) float32; split, weight, event_id, cluster, jet: those of the events
    """

    x: "torch.Tensor"
    space: "Space"
    split: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    cluster: np.ndarray
    jet: np.ndarray

    @classmethod
    def of(cls, representation: "Representation", events: Events) -> "Features":
        """Represent ``events``."""
        x = representation(events)
        return cls(x, representation.space, *(getattr(events, name) for name in BESIDE))

    def of_split(self, *names: str) -> "Features":
        """The rows of the named splits."""
        rows = np.isin(self.split, [SPLITS.index(name) for name in names])
        x = self.x[rows]
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
        """Read consecutive rows of a file written by :meth:`write`, or of several by their index."""
        if (index := read_index(path)) is None:
            with _open(path) as file:
                return cls._of(file, rows)
        parts = within(rows, [part.rows for part in index.parts])
        return _joined([cls.read(index.parts[number].path, of_part) for number, of_part in parts])

    @classmethod
    def read_split(cls, path: str | Path, name: str) -> "Features":
        """The rows of one split, without the others in memory."""
        return _joined([chunk.of_split(name) for chunk in cls.chunks(path)])

    @classmethod
    def chunks(cls, path: str | Path, size: int = 10_000) -> Iterator["Features"]:
        """The rows of a file, or of the parts of an index, ``size`` at a time; at least one chunk, maybe empty."""
        if index := read_index(path):
            for part in index.parts:
                yield from cls.chunks(part.path, size)
            return
        with _open(path) as file:
            for start in range(0, max(len(file["event_id"]), 1), size):
                yield cls._of(file, slice(start, start + size))

    @classmethod
    def _of(cls, file: h5py.File, rows: slice) -> "Features":
        import torch

        from hepad.representations import Space

        about, arrays = described(file, "space"), {name: read_array(file, name, rows) for name in BESIDE}
        return cls(torch.from_numpy(read_array(file, "x", rows)), Space.of(json.loads(about)), **arrays)


BESIDE = ("split", "weight", "event_id", "cluster", "jet")
OF_SCORES = BESIDE[1:]


def _joined(parts: list[Features]) -> Features:
    import torch

    beside = {name: np.concatenate([getattr(part, name) for part in parts]) for name in BESIDE}
    x, space, first = torch.empty(len(beside["split"]), *parts[0].x.shape[1:]), parts[0].space, 0
    for number, part in enumerate(parts):
        x[first : first + len(part.x)] = part.x
        first, parts[number] = first + len(part.x), None  # two copies of a large sample are one too many
    return Features(x, space, **beside)


@contextmanager
def _writing(path: str | Path, space: "Space") -> Iterator[h5py.File]:
    with new_hdf5(path) as file:
        describe(file, kind="hepad features", space=json.dumps(asdict(space)), provenance=json.dumps(provenance()))
        yield file


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with own_hdf5(path, "file of features") as file:
        if described(file, "kind") != "hepad features" or {"x", *BESIDE} - set(file):
            raise InputError(f"{path}: not a whole file of hepad features. Delete it and run again.")
        yield file


def represent(representation: "Representation", chunks: Iterable[Events], paths: dict[str, tuple[str, ...]]) -> None:
    """Write the representation of events chunk by chunk, the splits {path: names of splits} to files of their own."""
    with ExitStack() as stack:
        files = {path: stack.enter_context(_writing(path, representation.space)) for path in paths}
        for events in chunks:
            features = Features.of(representation, events)
            del events  # the next chunk is read without this one in memory
            for path, splits in paths.items():
                features.of_split(*splits)._append(files[path])
            del features


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
    streams = {name: iter(chunks) for name, chunks in features.items()}
    while of := {name: chunk for name, stream in streams.items() if (chunk := next(stream, None)) is not None}:
        if len(of) < len(streams):
            raise ValueError(f"fewer chunks of {sorted(streams.keys() - of.keys())} than of {sorted(of)}")
        yield {key: detector.score(of[name].x).numpy() for key, (name, detector) in detectors.items()}, of.popitem()[1]
        del of, chunk  # the next ones are read without these in memory, which zip would keep


def write_scores(path: str | Path, chunks: Iterable[tuple[dict[str, np.ndarray], Features]]) -> None:
    """Scores of one sample under many detectors, {'detector/seed': (N,)}, with ``OF_SCORES`` beside them."""
    with new_hdf5(path) as file:
        describe(file, kind="hepad scores")
        group = file.create_group("scores")
        for scores, features in chunks:
            for name, values in scores.items():
                append_array(group, name, values)
            for name in OF_SCORES:
                append_array(file, name, getattr(features, name))
            del features


class Weighted(NamedTuple):
    """Scores (n,) and the columns of their rows, see :class:`hepad.events.Events`."""

    scores: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    cluster: np.ndarray


class Columns(Mapping):
    """Arrays of one file, or of the parts of an index, by name; each is read when it is asked for."""

    def __init__(self, paths: list[Path], group: str, names: Iterable[str]):
        self._paths, self._group, self._names = paths, group, tuple(names)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._joined(name, [slice(None)] * len(self._paths))

    def beginning(self, name: str, most: int) -> np.ndarray:
        """At most so many rows of an array, from the beginning of every file its share."""
        return self._joined(name, map(slice, beginnings(self.sizes(), most)))

    def sizes(self) -> list[int]:
        """Rows of every file."""
        sizes = []
        for path in self._paths:
            with own_hdf5(path, "file of scores") as file:
                sizes.append(rows_of(file, "event_id"))
        return sizes

    def of_part(self, part: int, rows: slice, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Rows of one of the files, of all arrays or of some."""
        with own_hdf5(self._paths[part], "file of scores") as file:
            found = {name: read_array(file[self._group], name, rows) for name in (names or self._names)}
            n = len(range(*rows.indices(rows_of(file, "event_id"))))
        if other := [name for name, values in found.items() if len(values) != n]:
            raise InputError(
                f"{self._paths[part]}: '{other[0]}' and 'event_id' have different numbers of rows. "
                "Delete it and run again."
            )
        return found

    def _joined(self, name: str, rows: Iterable[slice]) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return np.concatenate([self.of_part(n, of_part, [name])[name] for n, of_part in enumerate(rows)])

    def weighted(self, name: str, size: int = 2**14) -> Iterator[Weighted]:
        """An array with what counts its rows beside it, some ``size`` rows and whole clusters at a time.

        The beginnings of all files come first, so that what is seen first is like the whole.
        """
        if name not in self._names:
            raise KeyError(name)
        first, rest = -(-size // len(self._paths)), []
        for number, path in enumerate(self._paths):
            with own_hdf5(path, "file of scores") as file:
                cuts = np.append(0, ends(read_array(file, "cluster")))
            targets = np.append(first, np.arange(first + size, cuts[-1] + size, size))
            cuts = np.unique(cuts[np.minimum(np.searchsorted(cuts, targets), len(cuts) - 1)])
            rest += [(number, slice(*rows)) for rows in pairwise(cuts)]
            if cuts[0] > 0:
                yield self._weighted(number, name, slice(cuts[0]))
        yield from (self._weighted(number, name, rows) for number, rows in rest)

    def _weighted(self, part: int, name: str, rows: slice) -> Weighted:
        of = self.of_part(part, rows, [name])
        with own_hdf5(self._paths[part], "file of scores") as file:
            return Weighted(of[name], *(read_array(file, column, rows) for column in Weighted._fields[1:]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_scores(path: str | Path) -> tuple[Columns, Columns]:
    """({'detector/seed': (N,)}, {name of ``OF_SCORES``: (N, ...)}) of a file of :func:`write_scores`, or of several.

    Millions of events have many scores: an array is read when it is asked for.
    """
    index = read_index(path)
    paths = [part.path for part in index.parts] if index else [Path(path)]
    with own_hdf5(paths[0], "file of scores") as file:
        if described(file, "kind") != "hepad scores" or "scores" not in file:
            raise InputError(f"{path}: no scores of hepad. Delete it and run again.")
        names = [f"{detector}/{seed}" for detector in file["scores"] for seed in file["scores"][detector]]
    return Columns(paths, "scores", names), Columns(paths, "/", OF_SCORES)
