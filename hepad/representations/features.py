"""Features: one representation of one sample, with what evaluation needs beside it."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from hepad.errors import InputError
from hepad.events import SPLITS, Events
from hepad.representations.base import Representation, Space
from hepad.storage.chunks import read_index, within
from hepad.storage.files import provenance
from hepad.storage.hdf5 import append_array, describe, described, new_hdf5, own_hdf5, read_array


@dataclass(frozen=True)
class Features:
    """N events in one representation.

    x: (N, *space.shape) float32; split, weight, event_id, cluster, jet: those of the events
    """

    x: torch.Tensor
    space: Space
    split: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    cluster: np.ndarray
    jet: np.ndarray

    @classmethod
    def of(cls, representation: Representation, events: Events) -> "Features":
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
        chunks = within(rows, [chunk.rows for chunk in index.chunks])
        return _joined([cls.read(index.chunks[number].path, of_chunk) for number, of_chunk in chunks])

    @classmethod
    def read_split(cls, path: str | Path, name: str) -> "Features":
        """The rows of one split, without the others in memory."""
        return _joined([block.of_split(name) for block in cls.blocks(path)])

    @classmethod
    def blocks(cls, path: str | Path, size: int = 10_000) -> Iterator["Features"]:
        """The rows of a file, or of the chunks of an index, ``size`` at a time; at least one block, maybe empty."""
        if index := read_index(path):
            for chunk in index.chunks:
                yield from cls.blocks(chunk.path, size)
            return
        with _open(path) as file:
            for start in range(0, max(len(file["event_id"]), 1), size):
                yield cls._of(file, slice(start, start + size))

    @classmethod
    def _of(cls, file: h5py.File, rows: slice) -> "Features":
        about, arrays = described(file, "space"), {name: read_array(file, name, rows) for name in BESIDE}
        return cls(torch.from_numpy(read_array(file, "x", rows)), Space.of(json.loads(about)), **arrays)


BESIDE = ("split", "weight", "event_id", "cluster", "jet")


def _joined(blocks: list[Features]) -> Features:
    import torch

    beside = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in BESIDE}
    x, space, first = torch.empty(len(beside["split"]), *blocks[0].x.shape[1:]), blocks[0].space, 0
    for number, block in enumerate(blocks):
        x[first : first + len(block.x)] = block.x
        first, blocks[number] = first + len(block.x), None  # two copies of a large sample are one too many
    return Features(x, space, **beside)


@contextmanager
def _writing(path: str | Path, space: Space) -> Iterator[h5py.File]:
    with new_hdf5(path) as file:
        describe(file, kind="hepad features", space=json.dumps(asdict(space)), provenance=json.dumps(provenance()))
        yield file


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with own_hdf5(path, "file of features") as file:
        if described(file, "kind") != "hepad features" or {"x", *BESIDE} - set(file):
            raise InputError(f"{path}: not a whole file of hepad features. Delete it and run again.")
        yield file


def represent(representation: Representation, blocks: Iterable[Events], paths: dict[str, tuple[str, ...]]) -> None:
    """Write the representation of events block by block, the splits {path: names of splits} to files of their own."""
    with ExitStack() as stack:
        files = {path: stack.enter_context(_writing(path, representation.space)) for path in paths}
        for events in blocks:
            features = Features.of(representation, events)
            del events  # the next block is read without this one in memory
            for path, splits in paths.items():
                features.of_split(*splits)._append(files[path])
            del features
