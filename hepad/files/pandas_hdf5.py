"""Tables that pandas wrote to HDF5, read with h5py alone. pandas has two ways to store a table ``key``:

fixed: ``key/block<i>_values`` (rows, columns) beside ``key/block<i>_items``, the column names, strings or integers;
    a block without rows is a dummy that carries the attribute ``value_type``;
table: ``key/table``, rows of ``index``, ``values_block_<i>`` and, for ``data_columns``, a field for each; the column
    names of a field in the attribute ``<field>_kind``. That attribute is a pickled list of strings or integers. It is
    never unpickled: its opcodes are listed, names are collected, and anything but a plain list of them is refused.
    Fields of text are passed over.

A key may have slashes: ``train/jets``.
"""

import pickletools
import re
from collections.abc import Iterable
from typing import NamedTuple

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.files.hdf5 import NUMBERS, check_whole, native, reading
from hepad.io import open_hdf5

NAMES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
NAMES |= {"INT", "BININT", "BININT1", "BININT2"}
LIST = {"MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PROTO", "FRAME"}


class Block(NamedTuple):
    """Columns that are stored together: ``names``, and the dataset (and its field, in a table) of the values."""

    names: list[str | int]
    dataset: h5py.Dataset
    field: str | None


class Table(NamedTuple):
    """A table in an open file: ``where`` has for every column its (block, column in the block)."""

    path: str
    key: str
    rows: int
    blocks: list[Block]
    where: dict[str | int, tuple[int, int]]

    def read(self, columns: list[str | int], rows: slice) -> np.ndarray:
        """(N, len(columns)) values of rows, float64 unless all that is read is float32."""
        place = np.array([self.where[name] for name in columns])
        values = self.read_blocks(columns, rows)
        if len(values) == 1:
            data, index = values[place[0, 0]], place[:, 1]
            if (index == np.arange(len(index))).all():
                return data[:, : len(index)]
            return data[:, index]
        return np.stack([values[block][:, i] for block, i in place], axis=-1)

    def read_blocks(self, columns: list[str | int], rows: slice) -> dict[int, np.ndarray]:
        """The blocks, (N, names) by number, that have some of the columns; what is stored together is read once."""
        wanted = {self.where[name][0]: None for name in columns}
        with reading(self.path):
            stored = {dataset: dataset[rows] for dataset in {self.blocks[i].dataset for i in wanted}}
        values = {}
        for i in wanted:
            names, dataset, field = self.blocks[i]
            data = stored[dataset] if field is None else stored[dataset][field]
            values[i] = native(data.reshape(len(data), len(names)))
        return values


def column_names(path) -> dict[str, list[str | int]]:
    """Names of the columns of every pandas table in a file, by key; InputError if they cannot be read."""
    with open_hdf5(path) as file:
        return {key: list(open_table(path, file, key).where) for key in _keys(path, file)}


def _keys(path, file: h5py.File) -> list[str]:
    found = []
    with reading(path):
        file.visititems(lambda key, item: found.append(key) if "pandas_type" in item.attrs else None)
        return [key for key in found if isinstance(file[key], h5py.Group)]


def find_table(path, file: h5py.File, key: str | None, needed: Iterable[str | int]) -> Table:
    """The table ``key``, or the only one with the ``needed`` columns; InputError lists the tables that there are."""
    if key is not None:
        return open_table(path, file, key)
    keys = _keys(path, file)
    tables = [open_table(path, file, key) for key in keys]
    fitting = [table for table in tables if set(needed) <= set(table.where)] or tables
    if len(fitting) != 1:
        listed = ", ".join(table.key for table in fitting) or "none"
        raise InputError(f"{path}: {len(fitting)} pandas tables ({listed}). Set 'key' to one of them.")
    return fitting[0]


def open_table(path, file: h5py.File, key: str) -> Table:
    """The table ``key``; InputError names what is missing, what is there and what to do."""
    with reading(path):
        if key not in file:
            listed = ", ".join(_keys(path, file) or file) or "nothing"
            raise InputError(f"{path}: there is no table '{key}'; present: {listed}. Set 'key'.")
        group = file[key]
        present = group if isinstance(group, h5py.Group) else {}
        if "table" in present:
            found = group["table"]
            fields = [name for name in found.dtype.names or () if found.dtype[name].base.kind in NUMBERS]
            fields = [name for name in fields if name != "index"]
            pickled = [bytes(found.attrs[f"{name}_kind"]) for name in fields]
            blocks = [Block(_names(path, kind), found, name) for kind, name in zip(pickled, fields, strict=True)]
        else:
            numbers = sorted(re.findall(r"block(\d+)_items", " ".join(present)), key=int)
            items = [group[f"block{i}_items"][()].tolist() for i in numbers]
            names = [[name.decode() if isinstance(name, bytes) else name for name in names] for names in items]
            blocks = [Block(n, group[f"block{i}_values"], None) for n, i in zip(names, numbers, strict=True)]
        rows = {_rows(path, block) for block in blocks}
    if len(rows) != 1:
        what = f"its blocks have {sorted(rows)} rows" if rows else "it has no columns that pandas wrote"
        raise InputError(f"{path}: table '{key}' cannot be read: {what}. Set 'key', or fetch the file again.")
    where = {name: (b, i) for b, block in enumerate(blocks) for i, name in enumerate(block.names)}
    return Table(str(path), key, rows.pop(), blocks, where)


def _rows(path, block: Block) -> int:
    """Number of rows of a block, whose values are checked to be numbers, one per name, all of them written."""
    data, name = block.dataset, block.dataset.name
    if block.field is None and "value_type" in data.attrs and data.dtype.kind != "O":  # objects are pickled, one by one
        return 0
    kind = data.dtype if block.field is None else data.dtype[block.field]
    shape = data.shape[1:] if block.field is None else kind.shape
    if kind.base.kind not in NUMBERS or int(np.prod(shape)) != len(block.names) or len(shape) > 1:
        raise InputError(
            f"{path}: '{name}' holds {kind.base} of shape {data.shape[:1] + shape}, not {len(block.names)} numbers per "
            "row. Write the table with columns of numbers."
        )
    check_whole(path, name, data)
    return len(data)


def _names(path, pickled: bytes) -> list[str | int]:
    """The strings or integers of a pickled list of them, from its opcodes; nothing is executed."""
    try:
        opcodes = [(opcode.name, value) for opcode, value, _ in pickletools.genops(pickled)]
    except ValueError as error:
        raise InputError(f"{path}: the column names cannot be read ({error}). Write it with format='fixed'.") from None
    unknown = {name for name, _ in opcodes} - NAMES - LIST - {"STOP"}
    if unknown:
        raise InputError(
            f"{path}: the column names are not a plain list of names (found {', '.join(sorted(unknown))}); hepad "
            "does not unpickle. Write the table with pandas' format='fixed'."
        )
    return [value for name, value in opcodes if name in NAMES]
