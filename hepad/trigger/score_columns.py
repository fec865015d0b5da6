"""Columns of a file of scores, block by block: of ``hepad score``, of an emulator, of test vectors.

ROOT       the tree 'scores', or the only one
Parquet    the table
HDF5       datasets of one dimension
CSV        a line of names, and before it at most one line '# {JSON}', what the file says of itself
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hepad.errors import InputError, check_choice, said
from hepad.storage.hdf5 import check_whole, open_hdf5, reading

ROWS = 1 << 18  # of a block
ENDINGS = (".root", ".parquet", ".h5", ".csv")
Block = dict[str, np.ndarray]


@dataclass(frozen=True)
class ScoreFile:
    """A file whose columns are read when they are asked for.

    path: with one of ``ENDINGS``; names: of its columns; about: what the first line of a CSV says, {} of others

    Raises InputError for a file that is missing, damaged or of another format.
    """

    path: Path
    names: list[str] = field(init=False)
    about: dict = field(init=False)

    def __post_init__(self):
        if self.path.suffix not in ENDINGS:
            raise InputError(f"{self.path}: the ending stands for no file of scores. Allowed: {', '.join(ENDINGS)}.")
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no such file. Check the path.")
        object.__setattr__(self, "about", _about(self.path) if self.path.suffix == ".csv" else {})
        with _failures(self.path):
            object.__setattr__(self, "names", [*_open(self.path, None)])

    def blocks(self, names: list[str]) -> Iterator[Block]:
        """The columns ``names``, (n,) numbers each, ``ROWS`` or so rows at a time."""
        for name in names:
            check_choice(f"{self.path}: column", name, self.names)
        with _failures(self.path):
            for block in _open(self.path, list(names)):
                for name, values in block.items():
                    if values.ndim != 1 or values.dtype.kind not in "fiu":
                        raise InputError(f"{self.path}: column '{name}' is no column of numbers. Give another one.")
                yield block


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """What libraries raise on damaged bytes as an InputError; the consumer's own errors do not pass through here."""
    try:
        yield
    except (InputError, GeneratorExit, MemoryError):
        raise
    except Exception as error:  # uproot and pyarrow raise of all kinds
        raise InputError(f"{path}: it cannot be read ({said(error)}). Write it again.") from None


def _open(path: Path, names: list[str] | None) -> Iterator:
    """The names of all columns, or blocks of some."""
    readers = {".root": _root, ".parquet": _parquet, ".h5": _hdf5, ".csv": _csv}
    return readers[path.suffix](path, names)


def _root(path: Path, names: list[str] | None) -> Iterator:
    import uproot  # only this kind of file needs it

    with uproot.open(path) as file:
        trees = [key for key, kind in file.classnames(cycle=False).items() if kind in ("TTree", "ROOT::RNTuple")]
        if "scores" not in trees and len(trees) != 1:
            raise InputError(f"{path}: of its trees ({', '.join(trees) or 'none'}) none is 'scores'. Rename one.")
        tree = file["scores" if "scores" in trees else trees[0]]
        if names is None:
            yield from tree.keys()
        else:
            yield from tree.iterate(names, step_size=ROWS, library="np")


def _parquet(path: Path, names: list[str] | None) -> Iterator:
    import pyarrow.parquet as pq  # likewise

    with pq.ParquetFile(path) as file:
        if names is None:
            yield from file.schema_arrow.names
        else:
            for batch in file.iter_batches(ROWS, columns=names):
                yield {name: batch[name].to_numpy(zero_copy_only=False) for name in names}


def _hdf5(path: Path, names: list[str] | None) -> Iterator:
    with open_hdf5(path, "write it again") as file:
        if names is None:
            yield from file
            return
        columns = {name: file[name] for name in names}
        for name, column in columns.items():
            if getattr(column, "ndim", None) != 1:
                raise InputError(f"{path}: '{name}' is no column. Give another one.")
            check_whole(path, name, column)
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1:
            raise InputError(f"{path}: its columns {', '.join(names)} have different lengths. Write it again.")
        for start in range(0, lengths.pop(), ROWS):
            with reading(path):
                yield {name: column[start : start + ROWS] for name, column in columns.items()}


def _csv(path: Path, names: list[str] | None) -> Iterator:
    from pyarrow import csv  # likewise

    skip = csv.ReadOptions(skip_rows=int(_has_head(path)), block_size=1 << 24)
    with csv.open_csv(path, skip, convert_options=csv.ConvertOptions(include_columns=names or [])) as file:
        if names is None:
            yield from file.schema.names
        else:
            for batch in file:
                yield {name: batch[name].to_numpy(zero_copy_only=False) for name in names}


def _has_head(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(1) == b"#"


def _about(path: Path) -> dict:
    if not _has_head(path):
        return {}
    with open(path, encoding="utf-8", errors="replace") as file:
        try:
            about = json.loads(file.readline().removeprefix("#"))
        except (ValueError, RecursionError):
            about = None
    if not isinstance(about, dict):
        raise InputError(f"{path}: its first line begins with '#' and is no JSON. Delete the line.")
    return about
