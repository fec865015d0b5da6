"""The parts of a sample, each read by a job of its own, to one sample: what the jobs could not see of each other."""

from bisect import bisect
from itertools import accumulate
from pathlib import Path

import numpy as np

from hepad.events import Events
from hepad.parts import Part, repeated, write_index
from hepad.rows import nothing_passes
from hepad.samples.meta import merge_parts


def gather(paths: list[str | Path], path: str | Path, selection: dict | str) -> dict:
    """Write the index of the event files ``paths`` of one sample; their order is that of its rows.

    A row that an earlier part has, too, is left out, and counted as a repetition in the file that it came from.

    Returns
    -------
    the ``meta`` of the whole

    Raises
    ------
    InputError: nothing passed in any part, or the parts do not belong together
    """
    metas, columns = zip(*(Events.outline(part, "row_id") for part in paths), strict=True)
    rows = [len(of_part["row_id"]) for of_part in columns]
    left_out = repeated([of_part["row_id"] for of_part in columns])
    for meta, numbers in zip(metas, left_out, strict=True):
        _count(meta["counts"], numbers)
    meta = merge_parts(list(metas))
    if not sum(rows):
        raise nothing_passes(meta["name"], meta["counts"], np.zeros(0), selection)
    parts = [Part(Path(p), n, tuple(out.tolist())) for p, n, out in zip(paths, rows, left_out, strict=True)]
    write_index(path, parts, meta)
    return meta


def _count(counts: dict[str, dict[str, int]], rows: np.ndarray) -> None:
    """Move rows of a part from 'kept' to 'refused' in the counts of the files that they came from."""
    files, ends = list(counts.values()), list(accumulate(of_file["kept"] for of_file in counts.values()))
    for row in rows.tolist():
        of_file = files[bisect(ends, row)]
        of_file["kept"] -= 1
        of_file["refused: repetition"] = of_file.get("refused: repetition", 0) + 1
