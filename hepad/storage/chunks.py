"""One table in several files: what the jobs of a sample made chunk by chunk is read as if it were one file.

Beside the chunks stands an index, a small HDF5 file: where they are, in their order, how many rows each has, which rows
of a chunk are left out since another chunk has them, too, and the ``meta`` of the whole.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.storage.hdf5 import append_array, describe, described, new_hdf5, own_hdf5, read_array

KIND = "hepad chunks"
SORTED_AT_ONCE, TURNS = 2**16, 64  # identifiers; how often they are gone through at most


class Chunk(NamedTuple):
    """One file of a table: its rows, and the numbers of those that are left out."""

    path: Path
    rows: int
    left_out: tuple[int, ...] = ()


class Index(NamedTuple):
    """The chunks of a table, and its ``meta``."""

    chunks: list[Chunk]
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


def write_index(path: str | Path, chunks: list[Chunk], meta: dict) -> None:
    """Write the index of ``chunks``, which lie in the folder of ``path`` or below it, atomically."""
    path = Path(path)
    listed = [{"file": str(p.path.relative_to(path.parent)), "rows": p.rows, "left_out": p.left_out} for p in chunks]
    with new_hdf5(path) as file:
        describe(file, kind=KIND)
        text = json.dumps({"chunks": listed, "meta": meta}, default=lambda number: number.item())
        append_array(file, "index", np.frombuffer(text.encode(), np.uint8))


def gather(paths: list[str | Path], path: str | Path) -> None:
    """Write the index of the files of features, or of scores, of the chunks of one sample."""
    rows = []
    for chunk in paths:
        with own_hdf5(chunk, "chunk") as file:
            rows.append(len(read_array(file, "event_id")))
    write_index(path, [Chunk(Path(p), n) for p, n in zip(paths, rows, strict=True)], {})


def read_index(path: str | Path) -> Index | None:
    """The index in a file; None if the file is something else."""
    with own_hdf5(path, "index of chunks") as file:
        if described(file, "kind") != KIND:
            return None
        found = json.loads(read_array(file, "index").tobytes())
        chunks = [
            Chunk(Path(path).parent / chunk["file"], int(chunk["rows"]), tuple(chunk["left_out"]))
            for chunk in found["chunks"]
        ]
        return Index(chunks, found["meta"])


def check_rows(path: str | Path, chunk: Chunk, rows: int) -> None:
    """InputError if a chunk does not have the rows that the index at ``path`` says."""
    if rows != chunk.rows:
        raise InputError(
            f"{path}: {chunk.path.name} has {rows} rows, not {chunk.rows}: it was changed since. Delete both, run "
            "again."
        )


def repeated(chunks: list[np.ndarray]) -> list[np.ndarray]:
    """Row numbers in each chunk whose identifier, (N,) int64 a chunk, is there before, in the order of chunks and rows.

    A share of the identifiers, chosen by their value, is sorted at a time: little memory beside their own 8 bytes.
    """
    turns = min(TURNS, max(1, math.ceil(sum(map(len, chunks)) / SORTED_AT_ONCE)))
    found = [[np.zeros(0, np.int64)] for _ in chunks]
    for turn in range(turns):
        rows = [np.flatnonzero(ids % turns == turn) for ids in chunks]
        chunk = np.repeat(np.arange(len(chunks)), [len(r) for r in rows])
        row, ids = np.concatenate(rows), np.concatenate([ids[r] for ids, r in zip(chunks, rows, strict=True)])
        order = np.argsort(ids, kind="stable")
        again = order[1:][ids[order][1:] == ids[order][:-1]]
        for number in np.unique(chunk[again]):
            found[number].append(row[again][chunk[again] == number])
    return [np.sort(np.concatenate(of_chunk)) for of_chunk in found]


def beginnings(sizes: list[int], most: int) -> list[int]:
    """How many rows of each chunk to take from its beginning for at most ``most`` of all, mixed as the whole is."""
    ends = [0, *accumulate(sizes)]
    most = min(most, ends[-1])
    return [most * end // ends[-1] - most * start // ends[-1] if end > start else 0 for start, end in pairwise(ends)]


def within(rows: slice, sizes: list[int]) -> Iterator[tuple[int, slice]]:
    """(number of the chunk, rows in it) of a slice of consecutive rows of the whole; at least one, maybe empty."""
    start, stop, _ = rows.indices(sum(sizes))
    first = 0
    for number, size in enumerate(sizes):
        low, high = max(start - first, 0), min(stop - first, size)
        if low < high or (stop <= start and number == 0):
            yield number, slice(low, max(low, high))
        first += size
