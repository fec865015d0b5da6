"""A table in several folders of Parquet files, of which row i is the same in each, however the folders are cut into
files: rows of one file, and of the other folders the same rows."""

import glob
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import awkward as ak

from hepad.errors import InputError
from hepad.samples.formats import parquet

PIECE = re.compile(r"(.*?)\d+-of-\d+\.parquet")


class Folder(NamedTuple):
    """The files of a folder in their order; ``starts``: the first row of each, and behind them the number of all."""

    files: tuple[str, ...]
    starts: tuple[int, ...]

    def first_row(self, file: Path) -> int:
        """Number in the folder of the first row of one of its files."""
        return self.starts[self.files.index(str(file))]

    def place(self, row: int) -> int:
        """Which of the files has this row; the last one if none has."""
        return min(bisect_right(self.starts, row), len(self.files)) - 1


def folder(path: Path, like: Path) -> Folder | None:
    """The Parquet files in a folder, with the suffix of the file ``like``; where that is a piece of a split,
    'train-00000-of-00002.parquet', the pieces of this split."""
    piece = PIECE.fullmatch(like.name)
    pattern = f"{glob.escape(piece[1])}*-of-*.parquet" if piece else f"*{glob.escape(like.suffix)}"
    return _listed(path, pattern, path.stat().st_mtime_ns) if path.is_dir() else None


@lru_cache(maxsize=64)  # a set has thousands of files, and all of them are looked at for each
def _listed(path: Path, pattern: str, time: int) -> Folder | None:
    """``time`` of the last change of the folder."""
    files, rows = sorted(str(file) for file in path.glob(pattern) if file.is_file()), []
    for file in files:
        with parquet.open_parquet(file) as table:
            rows.append(table.metadata.num_rows)
    return Folder(tuple(files), tuple(accumulate(rows, initial=0))) if files else None


def check_length(whole: Folder, other: Folder) -> None:
    """InputError unless both folders have as many rows."""
    if whole.starts[-1] != other.starts[-1]:
        names = [str(Path(found.files[0]).parent) for found in (whole, other)]
        raise InputError(
            f"{names[1]}: {other.starts[-1]} rows in {len(other.files)} files, but {names[0]} has {whole.starts[-1]} "
            f"in {len(whole.files)}: row i is to be the same event in both. Fetch the files that are missing."
        )


class Beside:
    """Columns of a folder from row ``first`` on, as many rows at a time as are asked for.

    >>> jets = Beside(found, ["jetIEt"], 20_000, 1000)
    >>> jets.take(1000)["jetIEt"], jets.take(7)["jetIEt"]
    (<Array ... type='1000 * var * int16'>, <Array ... type='7 * var * int16'>)
    """

    def __init__(self, whole: Folder, columns: Iterable[str], first: int, rows: int):
        self.columns = list(columns)
        self.blocks, self.kept, self.held = self._read(whole, first, rows), [], 0

    def _read(self, whole: Folder, first: int, rows: int) -> Iterator[dict]:
        place = whole.place(first)
        for path, (start, end) in zip(whole.files[place:], pairwise(whole.starts[place:]), strict=True):
            with parquet.open_parquet(path) as file:
                if file.metadata.num_rows != end - start:
                    raise InputError(f"{path}: it has changed since its folder was looked at. Read the set again.")
                for number, arrays in parquet.blocks(path, file, self.columns, rows):
                    skipped = max(first - start - number, 0)
                    yield {name: values[skipped:] for name, values in arrays.items()}

    def take(self, number: int) -> dict[str, ak.Array]:
        """The next rows; there have to be as many."""
        while self.held < number:
            self.kept.append(next(self.blocks))
            self.held += len(self.kept[-1][self.columns[0]])
        found = self.kept
        whole = found[0] if len(found) == 1 else {x: ak.concatenate([part[x] for part in found]) for x in self.columns}
        self.kept, self.held = [{x: values[number:] for x, values in whole.items()}], self.held - number
        return {x: values[:number] for x, values in whole.items()}
