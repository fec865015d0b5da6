"""Features: one representation of one sample, with what evaluation needs beside it."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from hepad.events import SPLITS, Events
from hepad.representations.base import Representation, Space
from hepad.storage.hdf5 import reading
from hepad.storage.table import ROWS, Layout, Table, new_table

BESIDE = ("split", "weight", "event_id", "cluster", "jet")
LAYOUT = Layout("hepad features", "file of hepad features", ("x", *BESIDE), meta="space")


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

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Its arrays with their names in a file."""
        return {"x": self.x.numpy(), **{name: getattr(self, name) for name in BESIDE}}

    def write(self, path: str | Path) -> None:
        """Write to HDF5, atomically."""
        with new_table(LAYOUT, path, asdict(self.space)) as append:
            append(self.columns)

    @classmethod
    def read(cls, path: str | Path, rows: slice = slice(None)) -> "Features":
        """Read consecutive rows of a file written by :meth:`write`, or of several by their index."""
        table = Table.open(LAYOUT, path)
        return cls._of(table, table.read(rows=rows))

    @classmethod
    def read_split(cls, path: str | Path, name: str) -> "Features":
        """The rows of one split, without the others in memory."""
        table = Table.open(LAYOUT, path)
        return cls._of(table, table.read(rows=table["split"] == SPLITS.index(name)))

    @classmethod
    def blocks(cls, path: str | Path, size: int = ROWS) -> Iterator["Features"]:
        """The rows of a file, or of the chunks of an index, ``size`` at a time; at least one block, maybe empty."""
        table = Table.open(LAYOUT, path)
        return map(lambda block: cls._of(table, block.columns), table.blocks(size=size))

    @classmethod
    def _of(cls, table: Table, columns: dict[str, np.ndarray]) -> "Features":
        with reading(table.path, LAYOUT.what):
            return cls(torch.from_numpy(columns["x"]), Space.of(table.meta), *(columns[name] for name in BESIDE))


def represent(representation: Representation, blocks: Iterable[Events], paths: dict[str, tuple[str, ...]]) -> None:
    """Write the representation of events block by block, the splits {path: names of splits} to files of their own."""
    with ExitStack() as stack:
        space = asdict(representation.space)
        append = {path: stack.enter_context(new_table(LAYOUT, path, space)) for path in paths}
        for events in blocks:
            features = Features.of(representation, events)
            del events  # the next block is read without this one in memory
            for path, splits in paths.items():
                append[path](features.of_split(*splits).columns)
            del features
