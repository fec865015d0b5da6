"""The chunks of a sample, each read by a job of its own, to one sample: what the jobs could not see of each other."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from hepad.events import Events
from hepad.events.cuts import nothing_passes
from hepad.samples.metadata import merge_chunks
from hepad.samples.processes import Process, merge_processes
from hepad.storage.chunks import repeated
from hepad.storage.table import write_index


def gather(paths: list[str | Path], path: str | Path, selection: dict | str, processes: Sequence[Process] = ()) -> dict:
    """Write the index of the event files ``paths`` of one sample; the rows have their order.

    A row that an earlier chunk has, too, is left out, and counted as a repetition in the file that it came from. Of a
    sum of ``processes``, in the order of the chunks, weights become cross-sections (:mod:`hepad.samples.processes`).

    Returns
    -------
    the ``meta`` of the whole

    Raises
    ------
    InputError: nothing passed in any chunk, or the chunks do not belong together
    """
    tables = [Events.table(chunk) for chunk in paths]
    left_out = repeated([table["row_id"] for table in tables])
    for table, numbers in zip(tables, left_out, strict=True):
        _count(table.meta["counts"], numbers)
    if processes:
        meta, factors = merge_processes(tables, left_out, processes)
    else:
        meta, factors = merge_chunks([table.meta for table in tables]), ()
    if not any(size for table in tables for size in table.sizes):
        raise nothing_passes(meta["name"], meta["counts"], np.zeros(0), selection)
    write_index(paths, path, meta, left_out, factors)
    return meta


def _count(counts: dict[str, dict[str, int]], rows: np.ndarray) -> None:
    """Move rows of a part from 'kept' to 'refused' in the counts of the files that they came from."""
    files, ends = list(counts.values()), list(accumulate(file_counts["kept"] for file_counts in counts.values()))
    for row in rows.tolist():
        file_counts = files[bisect(ends, row)]
        file_counts["kept"] -= 1
        file_counts["refused: repetition"] = file_counts.get("refused: repetition", 0) + 1
