"""The chunks of a sample, each read by a job of its own, to one sample: what the jobs could not see of each other."""

from bisect import bisect
from itertools import accumulate
from pathlib import Path

import numpy as np

from hepad.events import Events
from hepad.events.cuts import nothing_passes
from hepad.samples.metadata import merge_chunks
from hepad.storage.chunks import Chunk, repeated, write_index


def gather(paths: list[str | Path], path: str | Path, selection: dict | str) -> dict:
    """Write the index of the event files ``paths`` of one sample; their order is that of its rows.

    A row that an earlier chunk has, too, is left out, and counted as a repetition in the file that it came from.

    Returns
    -------
    the ``meta`` of the whole

    Raises
    ------
    InputError: nothing passed in any chunk, or the chunks do not belong together
    """
    metas, columns = zip(*(Events.outline(chunk, "row_id") for chunk in paths), strict=True)
    rows = [len(of_chunk["row_id"]) for of_chunk in columns]
    left_out = repeated([of_chunk["row_id"] for of_chunk in columns])
    for meta, numbers in zip(metas, left_out, strict=True):
        _count(meta["counts"], numbers)
    meta = merge_chunks(list(metas))
    if not sum(rows):
        raise nothing_passes(meta["name"], meta["counts"], np.zeros(0), selection)
    chunks = [Chunk(Path(p), n, tuple(out.tolist())) for p, n, out in zip(paths, rows, left_out, strict=True)]
    write_index(path, chunks, meta)
    return meta


def _count(counts: dict[str, dict[str, int]], rows: np.ndarray) -> None:
    """Move rows of a part from 'kept' to 'refused' in the counts of the files that they came from."""
    files, ends = list(counts.values()), list(accumulate(of_file["kept"] for of_file in counts.values()))
    for row in rows.tolist():
        of_file = files[bisect(ends, row)]
        of_file["kept"] -= 1
        of_file["refused: repetition"] = of_file.get("refused: repetition", 0) + 1
