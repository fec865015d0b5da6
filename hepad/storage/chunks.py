"""Samples in chunks: how they are divided, which rows two chunks have, what is taken of each."""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise

import numpy as np

SORTED_AT_ONCE, TURNS = 2**16, 64  # identifiers; how often they are gone through at most


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


def repeated(chunks: list[np.ndarray]) -> list[np.ndarray]:
    """Row numbers in each chunk whose identifier, (N,) int64 a chunk, is there before, in the order of chunks and rows.

    A share of the identifiers, chosen by their value, is sorted at a time: little memory beside their own 8 bytes.
    """
    turns = min(TURNS, max(1, math.ceil(sum(map(len, chunks)) / SORTED_AT_ONCE)))
    repeats = [[np.zeros(0, np.int64)] for _ in chunks]
    for turn in range(turns):
        rows = [np.flatnonzero(ids % turns == turn) for ids in chunks]
        chunk = np.repeat(np.arange(len(chunks)), [len(r) for r in rows])
        row, ids = np.concatenate(rows), np.concatenate([ids[r] for ids, r in zip(chunks, rows, strict=True)])
        order = np.argsort(ids, kind="stable")
        again = order[1:][ids[order][1:] == ids[order][:-1]]
        for number in np.unique(chunk[again]):
            repeats[number].append(row[again][chunk[again] == number])
    return [np.sort(np.concatenate(rows_of_chunk)) for rows_of_chunk in repeats]


def beginnings(sizes: list[int], limit: int) -> list[int]:
    """How many rows of each chunk to take from its beginning for at most ``limit`` of all, mixed as the whole is."""
    ends = [0, *accumulate(sizes)]
    limit = min(limit, ends[-1])
    return [limit * end // ends[-1] - limit * start // ends[-1] if end > start else 0 for start, end in pairwise(ends)]
