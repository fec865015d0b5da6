"""Tables that pandas wrote to HDF5, read with h5py alone. pandas has two ways to store a table ``key``:

fixed: ``key/block<i>_values`` (rows, columns) beside ``key/block<i>_items``, the column names, strings or integers;
    a block without rows is a dummy that carries the attribute ``value_type``;
table: ``key/table``, rows of ``index``, ``values_block_<i>`` and, for ``data_columns``, a field for each; the column
    names of a field in the attribute ``<field>_kind``. That attribute is a pickled list of strings or integers. It is
    never unpickled: its opcodes are listed, names are collected, and anything but a plain list of them is refused.

Columns of text, objects, dates and categories, and those whose names have several levels, are passed over, and so are
what is no table: Series. A name of digits is the number. A key may have slashes: ``train/jets``.
"""

import pickletools
import re
from collections.abc import Iterable
from typing import NamedTuple

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.samples.formats.hdf5 import NUMBERS, native
from hepad.storage.hdf5 import check_whole, open_hdf5, reading

NAMES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
NAMES |= {"INT", "BININT", "BININT1", "BININT2"}
LIST = {"MARK", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PROTO", "FRAME"}

TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "GET", "BINGET", "LONG_BINGET"}
LEVELS = "names of several levels. Join them: table.columns = ['_'.join(map(str, x)) for x in table.columns]"

DATES = re.compile("datetime|timedelta")


class Block(NamedTuple):
    """Columns that are stored together: ``names``, and the dataset (and its field, in a table) of the values."""

    names: list[str | int]
    dataset: h5py.Dataset
    field: str | None


class Table(NamedTuple):
    """A table in an open file: ``where`` has for every column its (block, column in the block), ``passed`` for what is
    passed over, why."""

    path: str
    key: str
    rows: int
    blocks: list[Block]
    where: dict[str | int, tuple[int, int]]
    passed: dict[str, str]

    def unread(self) -> str:
        """The parts that are not read, and why, as the end of a message on missing columns; '' if all is read."""
        listed = "; ".join(f"'{part}': {reason}" for part, reason in self.passed.items())
        return f" Passed over: {listed}." if listed else ""

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
        numbers = {self.where[name][0]: None for name in columns}
        with reading(self.path):
            stored = {dataset: dataset[rows] for dataset in {self.blocks[i].dataset for i in numbers}}
        values = {}
        for i in numbers:
            names, dataset, field = self.blocks[i]
            data = stored[dataset] if field is None else stored[dataset][field]
            values[i] = native(data.reshape(len(data), len(names)))
        return values


def column_names(path) -> dict[str, list[str | int]]:
    """Names of the columns of every pandas table in a file, by key; InputError if they cannot be read.

    Tables without a column that can be read are left out, if there are others.
    """
    with open_hdf5(path) as file:
        return {table.key: list(table.where) for table in _tables(path, file)}


def passed_over(path) -> dict[str, str]:
    """Reasons why parts of the pandas tables in a file are not read, by 'key/part'."""
    with open_hdf5(path) as file:
        tables = [_table(path, file, key) for key in _keys(path, file)]
    return {f"{table.key}/{part}": reason for table in tables for part, reason in table.passed.items()}


def _keys(path, file: h5py.File) -> list[str]:
    keys = []
    with reading(path):
        file.visititems(lambda key, item: keys.append(key) if "frame" in str(item.attrs.get("pandas_type")) else None)
        return [key for key in keys if isinstance(file[key], h5py.Group)]


def _tables(path, file: h5py.File) -> list[Table]:
    """The tables with columns; InputError if there are tables, and none of them has."""
    keys = _keys(path, file)
    readable = [table for table in (_table(path, file, key) for key in keys) if table.where]
    return readable or [open_table(path, file, key) for key in keys]


def find_table(path, file: h5py.File, key: str | None, needed: Iterable[str | int]) -> Table:
    """The table ``key``, or the only one with the ``needed`` columns; InputError lists the tables that there are."""
    if key is not None:
        return open_table(path, file, key)
    if not (tables := _tables(path, file)):
        raise InputError(f"{path}: there is no pandas table; present: {', '.join(sorted(file)) or 'nothing'}.")
    fitting = [table for table in tables if set(needed) <= set(table.where)] or tables
    if len(fitting) != 1:
        listed = ", ".join(table.key for table in fitting)
        raise InputError(f"{path}: {len(fitting)} pandas tables ({listed}). Set 'key' to one of them.")
    return fitting[0]


def open_table(path, file: h5py.File, key: str) -> Table:
    """The table ``key``; InputError names what is missing, what is there and what to do."""
    table = _table(path, file, key)
    if not table.where:
        reason = (
            "it has no columns of numbers. Set another 'key'."
            if table.passed
            else "it has no columns that pandas wrote"
        )
        remedy = table.unread() or ". Set 'key', or fetch the file again."
        raise InputError(f"{path}: table '{key}' cannot be read: {reason}{remedy}")
    return table


def _table(path, file: h5py.File, key: str) -> Table:
    with reading(path):
        if key not in file:
            listed = ", ".join(_keys(path, file) or file) or "nothing"
            raise InputError(f"{path}: there is no table '{key}'; present: {listed}. Set 'key'.")
        group = file[key]
        present = group if isinstance(group, h5py.Group) else {}
        passed: dict[str, str] = {}
        blocks = _fields(group, passed) if "table" in present else _fixed(present, passed)
        rows = {_rows(path, block) for block in blocks}
    if len(rows) > 1:
        raise InputError(
            f"{path}: table '{key}' cannot be read: its blocks have {sorted(rows)} rows. Set 'key', or fetch the file "
            "again."
        )
    places = {name: (b, i) for b, block in enumerate(blocks) for i, name in enumerate(block.names)}
    return Table(str(path), key, rows.pop() if rows else 0, blocks, places, passed)


def _fields(group: h5py.Group, passed: dict[str, str]) -> list[Block]:
    """The blocks of the format 'table'; ``passed`` gets the reasons of parts that are not read."""
    table, blocks = group["table"], []
    for name in table.dtype.names or ():
        if table.dtype[name].base.kind not in NUMBERS:
            passed[name] = "text"
        elif f"meta/{name}" in group:
            passed[name] = "categories. Write it without (astype)"
        elif DATES.search(str(table.attrs.get(f"{name}_dtype"))):
            passed[name] = "dates"
        elif name != "index":
            _note(blocks, passed, name, _names(bytes(table.attrs[f"{name}_kind"])), table, name)
    return blocks


def _fixed(group, passed: dict[str, str]) -> list[Block]:
    """The blocks of the format 'fixed'; ``passed`` gets the reasons of parts that are not read."""
    blocks: list[Block] = []
    numbers = {match[1] for name in group if (match := re.match(r"block(\d+)_(items|values)", name))}
    for i in sorted(numbers, key=int):
        values = group[f"block{i}_values"]
        kind_of_values = str(values.attrs.get("value_type", ""))
        if f"block{i}_items_level0" in group:
            names = LEVELS
        elif (items := group[f"block{i}_items"]).dtype.kind == "O" and h5py.check_string_dtype(items.dtype) is None:
            names = "names of several types, which are pickled"
        else:
            names = [name.decode() if isinstance(name, bytes) else name for name in items[()].tolist()]
        if values.dtype.kind not in NUMBERS or DATES.search(kind_of_values):
            kind = "dates" if DATES.search(kind_of_values) else f"{values.dtype}, which is pickled"
            listed = "" if isinstance(names, str) else f" ({', '.join(map(str, names[:6]))})"
            names = f"{kind}{listed}. Write the table with columns of numbers"
        _note(blocks, passed, f"block{i}", names, values, None)
    return blocks


def _note(blocks: list[Block], passed: dict[str, str], part: str, names: list | str, dataset, field) -> None:
    """A block with ``names``, which are a reason if it is passed over."""
    if isinstance(names, str):
        passed[part] = names
    else:
        blocks.append(Block([_number(name) for name in names], dataset, field))


def _number(name: str | int) -> str | int:
    """'12', as who writes 12 as text, is 12."""
    return int(name) if isinstance(name, str) and name.isdecimal() and str(int(name)) == name else name


def _rows(path, block: Block) -> int:
    """Number of rows of a block, whose values are checked to be numbers, one per name, all of them written."""
    data, name = block.dataset, block.dataset.name
    if block.field is None and "value_type" in data.attrs:
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


def _names(pickled: bytes) -> list[str | int] | str:
    """The strings or integers of a pickled list of them, from its opcodes; nothing is executed. Otherwise why not."""
    try:
        opcodes = [(opcode.name, value) for opcode, value, _ in pickletools.genops(pickled)]
    except ValueError as error:
        return f"names cannot be read ({error}). Write it with format='fixed'"
    unknown = {name for name, _ in opcodes} - NAMES - LIST - {"STOP"}
    if unknown & {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"} and unknown <= TUPLES:
        return LEVELS
    if unknown:
        return (
            f"names that are not a plain list of names (found {', '.join(sorted(unknown))}); hepad does not "
            "unpickle. Write the table with pandas' format='fixed'"
        )
    return [value for name, value in opcodes if name in NAMES]
