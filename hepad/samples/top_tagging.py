"""HDF5 in the layout of the top-tagging reference set (Zenodo 2603256, arXiv:1902.09914), read with h5py alone.

A pandas table ``table``, one row per jet: E_0, PX_0, PY_0, PZ_0, ..., E_199, ... [GeV] by falling pt and padded with
zeros, ``is_signal_new`` (0 or 1) and ``ttv`` (0 train, 1 test, 2 validation). pandas has two ways to store it:

fixed: ``table/block<i>_values`` (N, columns) beside ``table/block<i>_items``, the column names;
table: ``table/table``, rows of ``index`` and ``values_block_<i>``, the column names in the attribute
    ``values_block_<i>_kind``. That attribute is a pickled list of strings. It is never unpickled: its opcodes are
    listed, strings are collected, and anything but a plain list of strings is refused.
"""

import pickletools
import re
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.events import SPLITS, Events, concatenate
from hepad.io import open_hdf5, read_array
from hepad.kinematics import from_cartesian, sum_four_vectors
from hepad.samples.selection import WIDTHS, check_values, complete, describe, nothing_passes, pad, select

COMPONENTS = ("PX", "PY", "PZ", "E")
# ttv of the reference set, as an index into SPLITS
SPLIT_OF_TTV = np.array([SPLITS.index(name) for name in ("train", "test", "valid")])
STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
LIST = {"MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PROTO", "FRAME"}


class Block(NamedTuple):
    """Columns that are stored together: ``names``, and the dataset (and its field, in a table) of the values."""

    names: list[str]
    dataset: h5py.Dataset
    field: str | None


def read_top_tagging(
    files: list[str],
    *,
    name: str,
    selection: dict | str,
    split: tuple[float, float, float],
    is_signal: int | None = None,
    key: str = "table",
    use_ttv: bool = True,
    max_constituents: int = WIDTHS["constituents"],
    chunk: int = 20_000,
) -> Events:
    """Read the jets of files in the top-tagging layout.

    Parameters
    ----------
    files: paths
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV, or 'any'
    split: fractions of train, valid and test, where ``ttv`` is absent or not used
    is_signal: 0 or 1, the class that is read; None for both
    key: name of the table
    use_ttv: take the split from ``ttv`` if the file has it
    max_constituents: the hardest ones are kept
    chunk: rows per block

    Returns
    -------
    Events with jets and constituents; the objects of the event, which this layout lacks, are zero. ``event_id`` is a
    hash of the constituents. ``meta['counts']`` has per file what was read, refused by each cut, and kept.

    Raises
    ------
    InputError: damaged file, missing table or column, NaN, negative energy, nothing passes
    """
    parts, counts, seen = [], {}, []
    for path in files:
        with open_hdf5(path) as file:
            blocks, n_constituents = _layout(path, file, key, is_signal)
            counts[str(path)] = total = {"refused: is_signal": 0}
            for start in range(0, len(blocks[0].dataset), chunk):
                rows = slice(start, start + chunk)
                columns, flags = _columns(path, blocks, rows, min(n_constituents, 10**6), max_constituents)
                mask, block = select(columns["jet"], (columns["constituents"][..., 0] > 0).sum(axis=1), selection)
                if is_signal is not None:
                    wanted = flags["is_signal_new"] == is_signal
                    mask, block = select(columns["jet"][wanted], _number(columns, wanted), selection)
                    block["read"] += int((~wanted).sum())
                    block["refused: is_signal"] = int((~wanted).sum())
                    columns = {key: array[wanted] for key, array in columns.items()}
                    flags = {key: array[wanted] for key, array in flags.items()}
                ttv = flags.get("ttv") if use_ttv else None
                split_rows = None if ttv is None else SPLIT_OF_TTV[ttv.astype(int)]
                part = complete(columns, split=split, split_rows=split_rows)[mask]
                parts += [part] if len(part) else []
                seen.append(columns["jet"][:, 0])
                for cut, number in block.items():
                    total[cut] = total.get(cut, 0) + number
    if not parts:
        raise nothing_passes(name, counts, np.concatenate([*seen, []]), selection)
    return describe(concatenate(parts), {}, name, selection, counts)
