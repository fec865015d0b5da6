"""Tables: columns of one length by name, in one HDF5 file or in chunks that are read as if they were one.

A file of a table has a dataset for every column, with a checksum of its bytes, some of them in groups ('scores/ae/1'),
and says in the attribute ``kind`` what it is a table of. What the jobs of a sample made chunk by chunk has an index
beside it, a small HDF5 file: where the chunks are, in their order, how many rows each has, which rows of a chunk are
left out since another chunk has them, too, by what its weights are multiplied, and the ``meta`` of the whole.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from posixpath import join
from typing import NamedTuple

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.storage import hdf5
from hepad.storage.chunks import beginnings
from hepad.storage.files import provenance

INDEX = "hepad chunks"
ROW_ID = "event_id"  # a column of every table, whose length is its number of rows
WEIGHT = "weight"  # a column that an index can scale, chunk by chunk
ROWS = 10_000  # rows of a block


class Layout(NamedTuple):
    """Properties of all files of one kind of table.

    kind: what they say that they are, as 'hepad scores'; what: the same in words; columns: of all, ``event_id`` among
    them; groups: of columns that differ from table to table; meta: the dataset of the ``meta``, '' if they have none;
    version: of the schema, None if there is but one
    """

    kind: str
    what: str
    columns: tuple[str, ...]
    groups: tuple[str, ...] = ()
    meta: str = ""
    version: int | None = None


class Chunk(NamedTuple):
    """One file of a table: its rows, the numbers of those that are left out, and what its weights are multiplied by."""

    path: Path
    rows: int
    left_out: np.ndarray  # rising
    factor: float = 1.0

    def stored(self, low: int, high: int) -> slice:
        """Slice of the file with the kept rows ``low`` to ``high`` of this chunk; left out ones may be among them."""
        before = self.left_out - np.arange(len(self.left_out))  # kept rows before each
        start, stop = (row + int(np.searchsorted(before, row, side="right")) for row in (low, high))
        return slice(start if low else 0, stop)

    def kept(self, file: h5py.File, name: str, rows: slice) -> np.ndarray:
        """Rows of a column without those that are left out."""
        array, gaps = hdf5.read_array(file, name, rows), self.left_out
        if name == WEIGHT and self.factor != 1:
            array = array * self.factor
        gaps = gaps[(rows.start <= gaps) & (gaps < rows.stop)] - rows.start
        return np.delete(array, gaps, axis=0) if len(gaps) else array


class Block(NamedTuple):
    """Consecutive rows of one file, {name: (n, ...)}, the ``meta`` of that file, and where it is."""

    columns: dict[str, np.ndarray]
    meta: dict
    path: Path


@dataclass(frozen=True, eq=False)
class Table(Mapping):
    """A table on the disk: {name: (N, ...)}, of which in memory is what is asked for.

    Attributes
    ----------
    layout: of its files
    path: the file, or the index of the chunks
    chunks: its files, in the order of its rows
    meta: facts of the whole
    group: None: all columns; 'g': those of the group g alone, named without 'g/'; '': those that are in no group. A
        name with '/' before it is read from outside of the group, as '/event_id'

    All methods raise an InputError if a file is missing, damaged, of another kind, or was changed since it was indexed.

    Examples
    --------
    >>> from hepad.storage.table import Layout, Table, write_index, new_table
    >>> layout = Layout("toys", "file of toys", ("event_id", "x"))
    >>> for number in (0, 1):
    ...     with new_table(layout, f"toys/{number}.h5") as append:
    ...         append({"event_id": np.arange(3) + 10 * number, "x": np.ones((3, 2))})
    >>> write_index(["toys/0.h5", "toys/1.h5"], "toys.h5")
    >>> table = Table.open(layout, "toys.h5")
    >>> table["x"].shape, table.read(["event_id"], slice(1, 4))["event_id"].tolist()
    ((6, 2), [1, 2, 10])
    """

    layout: Layout
    path: Path
    chunks: tuple[Chunk, ...]
    meta: dict
    group: str | None = None

    @classmethod
    def open(cls, layout: Layout, path: str | Path, group: str | None = None) -> "Table":
        """The table of a file, or of the chunks of an index."""
        path = Path(path)
        with _opened(layout, path) as file:
            if hdf5.described(file, "kind") != INDEX:
                chunk = Chunk(path, hdf5.rows_of(file, ROW_ID), np.zeros(0, np.int64))
                return cls(layout, path, (chunk,), _meta(layout, file), group)
            index = json.loads(hdf5.read_array(file, "index").tobytes())
            chunks = tuple(
                Chunk(path.parent / c["file"], int(c["rows"]), np.array(c["left_out"], int), c.get("factor", 1.0))
                for c in index["chunks"]
            )
            with _opened(layout, chunks[0].path) as first:
                return cls(layout, path, chunks, index["meta"] or _meta(layout, first), group)

    @property
    def sizes(self) -> list[int]:
        """How many rows each chunk has."""
        return [chunk.rows - len(chunk.left_out) for chunk in self.chunks]

    @cached_property
    def names(self) -> list[str]:
        """The columns, in the first chunk."""
        with _opened(self.layout, self.chunks[0].path) as file:
            return self._names(file)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return self.read([name])[name]

    def __contains__(self, name) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def chunk(self, number: int) -> "Table":
        """The table of one chunk alone, with the ``meta`` of the whole."""
        if number >= len(self.chunks):
            raise InputError(f"{self.path}: it has {len(self.chunks)} chunks, no {number}. Delete it and run again.")
        return replace(self, chunks=(self.chunks[number],))

    def blocks(self, names=None, rows: slice = slice(None), size: int | None = ROWS, without=()) -> Iterator[Block]:
        """Consecutive rows, chunk by chunk and block by block; at least one block, maybe empty.

        Parameters
        ----------
        names: of the columns; None: all that a file has, but for those of ``without``
        rows: of the table
        size: rows of a file that are in memory together; None: all of it
        """
        start, stop, _ = rows.indices(sum(self.sizes))
        chosen, first = [], 0
        for chunk, n in zip(self.chunks, self.sizes, strict=True):
            low, high = max(start - first, 0), min(stop - first, n)
            if low < high or low == high == n == 0:
                chosen.append((chunk, low, high))
            first += n
        for chunk, low, high in chosen or [(self.chunks[0], 0, 0)]:
            with _opened(self.layout, chunk.path) as file:
                columns = [name for name in (self._names(file) if names is None else names) if name not in without]
                datasets = {name: join(self.group or "", name).removeprefix("/") for name in columns}
                self._check_rows(chunk, file, datasets.values())
                meta = self.meta if chunk.path == self.path else _meta(self.layout, file)
                stored = chunk.stored(low, high)
                for begin in range(stored.start, max(stored.stop, stored.start + 1), size or chunk.rows + 1):
                    block = slice(begin, min(begin + (size or chunk.rows), stored.stop))
                    yield Block(
                        {name: chunk.kept(file, path, block) for name, path in datasets.items()}, meta, chunk.path
                    )

    def read(self, names=None, rows: slice | np.ndarray = slice(None)) -> dict[str, np.ndarray]:
        """{name: (n, ...)} of consecutive rows, or of those of a mask (N,) of all; ``names`` as of :meth:`blocks`."""
        if isinstance(rows, slice):
            n = len(range(*rows.indices(sum(self.sizes))))
            return self._joined(map(attrgetter("columns"), self.blocks(names, rows, None)), n)
        return self._joined(self._masked(names, rows), np.count_nonzero(rows))

    def beginning(self, limit: int, names=None) -> dict[str, np.ndarray]:
        """At most so many rows, of every chunk its share from its beginning: they have the mixture of the whole."""
        shares = beginnings(self.sizes, limit)
        return self._joined((self.chunk(i).read(names, slice(share)) for i, share in enumerate(shares)), sum(shares))

    def _masked(self, names: Iterable[str] | None, mask: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        first = 0
        for columns, *_ in self.blocks(names):
            last = first + len(next(iter(columns.values())))
            yield {name: array[mask[first:last]] for name, array in columns.items()}
            first = last

    def _joined(self, pieces: Iterable[dict[str, np.ndarray]], n: int) -> dict[str, np.ndarray]:
        """``n`` rows in one array for each column; beside them one piece is in memory."""
        columns: dict[str, np.ndarray] = {}
        first = 0
        for piece in pieces:
            last = first + len(next(iter(piece.values())))
            if last - first == n:
                return piece
            if last == first:
                continue
            columns = columns or {name: np.empty((n, *array.shape[1:]), array.dtype) for name, array in piece.items()}
            expected, layout = ({k: (v.shape[1:], v.dtype) for k, v in x.items()} for x in (columns, piece))
            if expected != layout:
                raise InputError(f"{self.path}: the columns of its chunks are not alike. Delete them and run again.")
            for name, values in piece.items():
                columns[name][first:last] = values
            first = last
            del piece, values  # the next one is read without this one in memory
        return columns

    def _names(self, file: h5py.File) -> list[str]:
        if self.group:
            return hdf5.dataset_names(file[self.group])
        groups = self.layout.groups if self.group is None else ()
        in_groups = (join(group, name) for group in groups for name in hdf5.dataset_names(file[group]))
        return [*self.layout.columns, *in_groups]

    def _check_rows(self, chunk: Chunk, file: h5py.File, names: Iterable[str]) -> None:
        rows = hdf5.rows_of(file, ROW_ID)
        if rows != chunk.rows:
            problem = f"{self.path}: {chunk.path.name} has {rows} rows, not {chunk.rows}: it was changed since."
            raise InputError(f"{problem} Delete both, run again.")
        if other := [name for name in names if hdf5.rows_of(file, name) != rows]:
            problem = f"{chunk.path}: '{other[0]}' and '{ROW_ID}' have different numbers of rows."
            raise InputError(f"{problem} Delete it and run again.")


@contextmanager
def new_table(layout: Layout, path: str | Path, meta: dict | None = None) -> Iterator[Callable[[dict], None]]:
    """Write a file, atomically, by a function that appends rows {name: (n, ...)}; ``meta`` is what it is at the end."""

    def append(columns: dict[str, np.ndarray]) -> None:
        if len({len(array) for array in columns.values()}) > 1:
            raise ValueError(f"columns of different lengths: {', '.join(columns)}")
        for name, array in columns.items():
            hdf5.append_array(file, name, array)

    with hdf5.new_hdf5(path) as file:
        for group in layout.groups:
            file.create_group(group)
        yield append
        version = {} if layout.version is None else {"schema_version": layout.version}
        hdf5.describe(file, kind=layout.kind, **version, units="GeV, rad", provenance=json.dumps(provenance()))
        if layout.meta:  # not an attribute: those have no checksum where they are long
            hdf5.append_array(file, layout.meta, np.frombuffer(json.dumps(meta).encode(), np.uint8))


def write_index(
    paths: Iterable[str | Path], path: str | Path, meta: dict | None = None, left_out=(), factors=()
) -> None:
    """Write the index of the files ``paths`` of one table, atomically; the rows have their order.

    Parameters
    ----------
    meta: of the whole table; None: the ``meta`` of the first file
    left_out: of every file the numbers of the rows that the table does not have; () if it has all
    factors: of every file what its column ``WEIGHT`` is multiplied by when it is read; () if it stays as it is

    InputError if a file is missing, damaged, or a table of another kind than the first.
    """
    chunks, kinds = [], []
    for number, chunk in enumerate(map(Path, paths)):
        with hdf5.own_hdf5(chunk, "chunk") as file:
            gaps = [int(row) for row in left_out[number]] if len(left_out) else []
            relative = os.path.relpath(chunk, Path(path).parent)
            chunks.append({"file": relative, "rows": len(hdf5.read_array(file, ROW_ID)), "left_out": gaps})
            if len(factors):
                chunks[-1]["factor"] = float(factors[number])
            kinds.append(hdf5.described(file, "kind"))
        if kinds[-1] != kinds[0]:
            raise InputError(f"{chunk}: it is '{kinds[-1]}', others are '{kinds[0]}'. Delete them and run again.")
    text = json.dumps({"chunks": chunks, "meta": meta or {}}, default=lambda number: number.item())
    with hdf5.new_hdf5(path) as file:
        hdf5.describe(file, kind=INDEX)
        hdf5.append_array(file, "index", np.frombuffer(text.encode(), np.uint8))


@contextmanager
def _opened(layout: Layout, path: Path) -> Iterator[h5py.File]:
    """A file of a table, or an index."""
    with hdf5.own_hdf5(path, layout.what) as file:
        kind, version = hdf5.described(file, "kind"), hdf5.described(file, "schema_version")
        if (kind, version) not in ((layout.kind, layout.version), (INDEX, None)):
            raise InputError(f"{path}: not a {layout.what} (found {kind!r}, {version!r}). Delete it and run again.")
        needed = ("index",) if kind == INDEX else (*layout.columns, *layout.groups, *filter(None, [layout.meta]))
        if missing := ", ".join(sorted(set(needed) - {*file, *file.attrs})):
            raise InputError(f"{path}: {missing} missing in this {layout.what}. Delete it and run again.")
        yield file


def _meta(layout: Layout, file: h5py.File) -> dict:
    if not layout.meta:
        return {}
    stored = layout.meta in file  # files of features of before have it as an attribute
    return json.loads(hdf5.read_array(file, layout.meta).tobytes() if stored else hdf5.described(file, layout.meta))
