"""A table in several folders of Parquet files, of which row i is the same in each, however the folders are cut into
files: rows of one file, and of the other folders the same rows."""

import glob
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import awkward as ak

from hepad.errors import InputError
from hepad.samples.formats import parquet

PIECE = re.compile(r"(.*?)\d+-of-\d+\.parquet")


class Folder(NamedTuple):
    """The files of a folder in their order, and the number of rows of each."""

    files: tuple[str, ...]
    rows: tuple[int, ...]


def folder(path: Path, like: Path) -> Folder | None:
    """The Parquet files in a folder; those of its split, where ``like`` is a piece, 'train-00000-of-00002.parquet'."""
    piece = PIECE.fullmatch(like.name)
    pattern = f"{glob.escape(piece[1])}*-of-*.parquet" if piece else "*.parquet"
    files = sorted(file for file in path.glob(pattern) if not file.name.startswith("."))
    return Folder(tuple(map(str, files)), tuple(map(_rows, files))) if files else None


def _rows(path: Path) -> int:
    found = path.stat()
    return _rows_of(str(path), found.st_size, found.st_mtime_ns)


@cache  # a set has thousands of files, and each is looked at for every other one
def _rows_of(path: str, size: int, time: int) -> int:
    with parquet.open_parquet(path) as file:
        return file.metadata.num_rows


def first_row(whole: Folder, path: str) -> int:
    """Number in the folder of the first row of one of its files."""
    place = [Path(file).name for file in whole.files].index(Path(path).name)
    return sum(whole.rows[:place])


def check_length(whole: Folder, other: Folder) -> None:
    """InputError unless both folders have as many rows."""
    if sum(whole.rows) != sum(other.rows):
        names = [str(Path(found.files[0]).parent) for found in (whole, other)]
        raise InputError(
            f"{names[1]}: {sum(other.rows)} rows in {len(other.files)} files, but {names[0]} has {sum(whole.rows)} in "
            f"{len(whole.files)}: row i is to be the same event in both. Fetch the files that are missing."
        )


class Beside:
    """Columns of a folder from a row on, as many rows at a time as are asked for.

    >>> jets = Beside(found, ["jetIEt"], 20_000, 1000)
    >>> jets.take(1000)["jetIEt"], jets.take(7)["jetIEt"]
    (<Array ... type='1000 * var * int16'>, <Array ... type='7 * var * int16'>)
    """

    def __init__(self, whole: Folder, columns: Iterable[str], first: int, rows: int):
        self.columns = list(columns)
        self.blocks, self.kept, self.held = self._read(whole, first, rows), [], 0

    def _read(self, whole: Folder, first: int, rows: int) -> Iterator[dict]:
        start = 0
        for path, number in zip(whole.files, whole.rows, strict=True):
            if start + number > first:
                with parquet.open_parquet(path) as file:
                    for place, arrays in parquet.blocks(path, file, self.columns, rows):
                        skipped = max(first - start - place, 0)
                        yield {name: values[skipped:] for name, values in arrays.items()}
            start += number

    def take(self, number: int) -> dict[str, ak.Array]:
        """The next rows; there have to be as many."""
        while self.held < number:
            self.kept.append(next(self.blocks))
            self.held += len(self.kept[-1][self.columns[0]])
        parts = self.kept
        whole = parts[0] if len(parts) == 1 else {x: ak.concatenate([part[x] for part in parts]) for x in self.columns}
        self.kept, self.held = [{x: values[number:] for x, values in whole.items()}], self.held - number
        return {x: values[:number] for x, values in whole.items()}


def file_at(whole: Folder, row: int) -> str:
    """The file of a folder that has this row."""
    for path, number in zip(whole.files, whole.rows, strict=True):
        if row < number:
            return path
        row -= number
    return whole.files[-1]
