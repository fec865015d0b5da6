"""One table in several files: what the jobs of a sample made part by part is read as if it were one file.

Beside the parts stands an index, a small HDF5 file: where they are, in their order, how many rows each has, which rows
of a part are left out since another part has them, too, and the ``meta`` of the whole.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.io import append_array, describe, described, new_hdf5, own_hdf5, read_array

KIND = "hepad parts"
SORTED_AT_ONCE, TURNS = 2**16, 64  # identifiers; how often they are gone through at most


class Part(NamedTuple):
    """One file of a table: its rows, and the numbers of those that are left out."""

    path: Path
    rows: int
    left_out: tuple[int, ...] = ()


class Index(NamedTuple):
    """The parts of a table, and its ``meta``."""

    parts: list[Part]
    meta: dict


def shares(total: int, jobs: int) -> list[int]:
    """How many of ``total`` each of ``jobs`` takes: as equal as they can be."""
    return [total * (job + 1) // jobs - total * job // jobs for job in range(jobs)]


def grouped(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """Files {path: rows} to consecutive groups of at most ``limit`` rows, or of one file: a file is not divided."""
    groups, held = [], math.inf
    for path, size in sizes.items():
        if held + size > limit:
            groups.append([])
            held = 0
        groups[-1].append(path)
        held += size
    return groups


def write_index(path: str | Path, parts: list[Part], meta: dict) -> None:
    """Write the index of ``parts``, which lie in the folder of ``path`` or below it, atomically."""
    path = Path(path)
    listed = [{"file": str(p.path.relative_to(path.parent)), "rows": p.rows, "left_out": p.left_out} for p in parts]
    with new_hdf5(path) as file:
        describe(file, kind=KIND)
        text = json.dumps({"parts": listed, "meta": meta}, default=lambda number: number.item())
        append_array(file, "index", np.frombuffer(text.encode(), np.uint8))


def gather(paths: list[str | Path], path: str | Path) -> None:
    """Write the index of the files of features, or of scores, of the parts of one sample."""
    rows = []
    for part in paths:
        with own_hdf5(part, "part") as file:
            rows.append(len(read_array(file, "event_id")))
    write_index(path, [Part(Path(p), n) for p, n in zip(paths, rows, strict=True)], {})


def read_index(path: str | Path) -> Index | None:
    """The index in a file; None if the file is something else."""
    with own_hdf5(path, "index of parts") as file:
        if described(file, "kind") != KIND:
            return None
        found = json.loads(read_array(file, "index").tobytes())
        parts = [
            Part(Path(path).parent / part["file"], int(part["rows"]), tuple(part["left_out"]))
            for part in found["parts"]
        ]
        return Index(parts, found["meta"])


def check_rows(path: str | Path, part: Part, rows: int) -> None:
    """InputError if a part does not have the rows that the index at ``path`` says."""
    if rows != part.rows:
        raise InputError(
            f"{path}: {part.path.name} has {rows} rows, not {part.rows}: it was changed since. Delete both, run again."
        )


def repeated(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Row numbers in each part whose identifier, (N,) int64 a part, is there before, in the order of parts and rows.

    A share of the identifiers, chosen by their value, is sorted at a time: little memory beside their own 8 bytes.
    """
    turns = min(TURNS, max(1, math.ceil(sum(map(len, parts)) / SORTED_AT_ONCE)))
    found = [[np.zeros(0, np.int64)] for _ in parts]
    for turn in range(turns):
        rows = [np.flatnonzero(ids % turns == turn) for ids in parts]
        part = np.repeat(np.arange(len(parts)), [len(r) for r in rows])
        row, ids = np.concatenate(rows), np.concatenate([ids[r] for ids, r in zip(parts, rows, strict=True)])
        order = np.argsort(ids, kind="stable")
        again = order[1:][ids[order][1:] == ids[order][:-1]]
        for number in np.unique(part[again]):
            found[number].append(row[again][part[again] == number])
    return [np.sort(np.concatenate(of_part)) for of_part in found]


def beginnings(sizes: list[int], most: int) -> list[int]:
    """How many rows of each part to take from its beginning for at most ``most`` of all, mixed as the whole is."""
    ends = [0, *accumulate(sizes)]
    most = min(most, ends[-1])
    return [most * end // ends[-1] - most * start // ends[-1] if end > start else 0 for start, end in pairwise(ends)]


def within(rows: slice, sizes: list[int]) -> Iterator[tuple[int, slice]]:
    """(number of the part, rows in it) of a slice of consecutive rows of the whole; at least one, maybe empty."""
    start, stop, _ = rows.indices(sum(sizes))
    first = 0
    for number, size in enumerate(sizes):
        low, high = max(start - first, 0), min(stop - first, size)
        if low < high or (stop <= start and number == 0):
            yield number, slice(low, max(low, high))
        first += size
