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
            blocks, columns = _layout(path, file, key, is_signal)
            counts[str(path)] = total = {}
            for start in range(0, len(blocks[0].dataset), chunk):
                table = _read(path, blocks, columns, slice(start, start + chunk))
                part, block, pt = _jets(path, table, is_signal, use_ttv, selection, split, max_constituents)
                seen.append(pt)
                parts += [part] if len(part) else []
                for cut, number in block.items():
                    total[cut] = total.get(cut, 0) + number
    if not parts:
        raise nothing_passes(name, counts, np.concatenate([*seen, []]), selection)
    return describe(concatenate(parts), {"present": []}, name, selection, counts)


def check_top_tagging(files: list[str], *, key: str = "table", is_signal: int | None = None, **_: object) -> None:
    """Open every file and look for the table and its columns; InputError names what is missing."""
    for path in files:
        with open_hdf5(path) as file:
            _layout(path, file, key, is_signal)


def _jets(path, table: dict, is_signal, use_ttv: bool, selection, split, width: int) -> tuple[Events, dict, np.ndarray]:
    """One block of rows to (Events that pass, counts, pt of all jets of the class)."""
    wanted = np.ones(len(table["p"]), bool) if is_signal is None else table["is_signal_new"] == is_signal
    p = from_cartesian(table["p"][wanted])
    row = np.repeat(np.arange(len(p)), p.shape[1])
    present = table["p"][wanted][..., 3].ravel() > 0
    constituents = pad(row[present], p.reshape(-1, 4)[present], len(p), width)
    jet = sum_four_vectors(constituents).astype(np.float32)
    mask, counts = select(jet, (constituents[..., 0] > 0).sum(axis=1), selection)
    counts |= {"read": len(wanted), "refused: is_signal": int((~wanted).sum())}
    split_rows = None
    if use_ttv and "ttv" in table:
        ttv = table["ttv"][wanted]
        if not np.isin(ttv, (0, 1, 2)).all():
            raise InputError(f"{path}: 'ttv' has values other than 0, 1, 2. Set 'use_ttv: false' to split by hash.")
        split_rows = SPLIT_OF_TTV[ttv.astype(np.int64)]
    events = complete({"jet": jet, "constituents": constituents}, split=split, split_rows=split_rows)
    return events[mask], counts, jet[:, 0]


def _read(path, blocks: list[Block], columns: dict[str, tuple[int, int]], rows: slice) -> dict[str, np.ndarray]:
    """``p`` (N, P, 4) of (px, py, pz, E), ``is_signal_new`` and ``ttv`` (N,), checked."""
    values = []
    for block in blocks:
        data = read_array(block.dataset.parent, block.dataset.name.split("/")[-1], rows)
        values.append(data if block.field is None else data[block.field].reshape(len(data), -1))
    table = {name: values[block][:, i] for name, (block, i) in columns.items()}
    for name, column in table.items():
        check_values(path, name, column, lambda i: i + rows.start, positive=name.startswith("E_"))
    length = sum(name.startswith("E_") for name in table)
    p = np.stack([np.stack([table[f"{x}_{i}"] for x in COMPONENTS], axis=-1) for i in range(length)], axis=1)
    return {"p": p} | {name: table[name] for name in ("is_signal_new", "ttv") if name in table}


def _layout(path, file: h5py.File, key: str, is_signal) -> tuple[list[Block], dict[str, tuple[int, int]]]:
    """The blocks of the table, and for every column that is read its (block, column in the block)."""
    if key not in file:
        raise InputError(f"{path}: there is no table '{key}'; present: {', '.join(file) or 'nothing'}. Set 'key'.")
    group = file[key]
    present = group if isinstance(group, h5py.Group) else {}
    if "table" in present:
        dataset = group["table"]
        fields = [field for field in dataset.dtype.names or () if field.startswith("values_block_")]
        blocks = [Block(_strings(path, dataset.attrs[f"{field}_kind"]), dataset, field) for field in fields]
    else:
        numbers = sorted(re.findall(r"block(\d+)_items", " ".join(present)), key=int)
        names = [[bytes(item).decode() for item in group[f"block{i}_items"][()]] for i in numbers]
        blocks = [Block(n, group[f"block{i}_values"], None) for n, i in zip(names, numbers, strict=True)]
    found = {name: (b, i) for b, block in enumerate(blocks) for i, name in enumerate(block.names)}
    length = 0
    while f"E_{length}" in found:
        length += 1
    wanted = [f"{x}_{i}" for i in range(max(length, 1)) for x in COMPONENTS]
    wanted += [] if is_signal is None else ["is_signal_new"]
    missing = [name for name in wanted if name not in found]
    if missing:
        listed = ", ".join(list(found)[:12]) or "none"
        raise InputError(f"{path}: table '{key}' lacks the columns {', '.join(missing[:8])}; it has: {listed} ...")
    wanted += [name for name in ("ttv",) if name in found]
    return blocks, {name: found[name] for name in wanted}


def _strings(path, pickled: bytes) -> list[str]:
    """The strings of a pickled list of strings, from its opcodes; nothing is executed."""
    try:
        opcodes = [(opcode.name, value) for opcode, value, _ in pickletools.genops(bytes(pickled))]
    except ValueError as error:
        raise InputError(f"{path}: the column names cannot be read ({error}). Write it with format='fixed'.") from None
    unknown = {name for name, _ in opcodes} - STRINGS - LIST - {"STOP"}
    if unknown:
        raise InputError(
            f"{path}: the column names are not a plain list of strings (found {', '.join(sorted(unknown))}); hepad "
            "does not unpickle. Write the table with pandas' format='fixed'."
        )
    return [value for name, value in opcodes if name in STRINGS]
