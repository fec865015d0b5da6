"""HDF5 in the layout of the top-tagging reference set (Zenodo 2603256, arXiv:1902.09914).

A pandas table ``table``, one row per jet: E_0, PX_0, PY_0, PZ_0, ..., E_199, ... [GeV] by falling pt and padded with
zeros, ``is_signal_new`` (0 or 1) and ``ttv`` (0 train, 1 test, 2 validation).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.events.kinematics import from_cartesian
from hepad.events.padding import WIDTHS, pad
from hepad.samples.formats.pandas_hdf5 import Table, find_table
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.jagged import unsound
from hepad.storage.hdf5 import open_hdf5

COMPONENTS = ("E", "PX", "PY", "PZ")  # the order in the files: nothing is copied to get at them
# ttv of the reference set, as an index into SPLITS
SPLIT_OF_TTV = np.array([SPLITS.index(name) for name in ("train", "test", "valid")])
RADIUS = 0.8


@dataclass(frozen=True)
class TopTagging(Reader):
    """Jets of one class, or of both.

    Parameters
    ----------
    is_signal: 0 QCD or 1 top, the class that is read; None for both
    key: name of the table; None: the only one there is with such columns
    use_ttv: take the split from ``ttv`` if the file has it
    max_constituents: the hardest ones are kept
    """

    title = "HDF5 of the top-tagging reference set"
    kind = "HDF5"
    landmarks = (*(f"{x}_{i}" for i in range(2) for x in COMPONENTS), "is_signal_new")

    is_signal: int | None = None
    key: str | None = None
    use_ttv: bool = True
    max_constituents: int = WIDTHS["constituents"]

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return any({"E_0", "PX_0", "PY_0", "PZ_0"} <= columns for columns in contents.tables.values())

    def look(self, path: str) -> Found:
        with open_hdf5(path) as file:
            table, _, labels = self._open(path, file)
            remarks = () if self.is_signal is not None else ("Both classes are read; set 'is_signal' to 0 or 1.",)
            present, official = frozenset({"constituents"}), "ttv" in labels
            return Found(table.rows, present, jet_radius=RADIUS, remarks=remarks, official_split=official)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_hdf5(path) as file:
            table, momenta, labels = self._open(path, file)
            for start in range(0, table.rows, rows):
                read = _read(table, momenta, labels, slice(start, start + rows))
                yield self._block(path, momenta, *read, start)

    def _open(self, path: str, file) -> tuple[Table, list[str], list[str]]:
        """The table and the names of the columns that are read: momenta and labels."""
        table = find_table(path, file, self.key, [f"{x}_0" for x in COMPONENTS])
        length = 0
        while f"E_{length}" in table.where:
            length += 1
        momenta = [f"{x}_{i}" for i in range(max(length, 1)) for x in COMPONENTS]
        labels = [] if self.is_signal is None else ["is_signal_new"]
        if missing := [name for name in momenta + labels if name not in table.where]:
            listed = ", ".join(map(str, list(table.where)[:12])) or "none"
            raise InputError(
                f"{path}: table '{table.key}' lacks the columns {', '.join(missing[:8])}; it has: {listed} ... "
                f"Set 'key' or 'reader'.{table.unread()}"
            )
        return table, momenta, labels + ["ttv"] * (self.use_ttv and "ttv" in table.where)

    def _block(self, path: str, columns: list[str], values: np.ndarray, labels: dict, start: int) -> Block:
        entry, length = start + np.arange(len(values)), values.shape[1] // 4
        refused = {}
        if self.is_signal is not None:
            chosen = labels["is_signal_new"] == self.is_signal
            refused["is_signal"] = int((~chosen).sum())
            values, entry, labels = values[chosen], entry[chosen], {k: v[chosen] for k, v in labels.items()}
        energy = values[:, ::4]
        damaged = {}
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False)).all()
        if not finite or (energy < 0).any():  # which column, only then
            damaged = {name: unsound(values[:, i], positive=i % 4 == 0) for i, name in enumerate(columns)}
        split = None
        if "ttv" in labels:
            if not np.isin(labels["ttv"], (0, 1, 2)).all():
                raise InputError(f"{path}: 'ttv' has values other than 0, 1, 2. Set 'use_ttv: false' to split by hash.")
            split = SPLIT_OF_TTV[labels["ttv"].astype(np.int64)]
        with np.errstate(all="ignore"):
            row, place = np.nonzero(energy > 0)
            p = values.reshape(len(values), length, 4)[row, place][:, [1, 2, 3, 0]].astype(np.float64)
            total = np.stack([np.bincount(row, component, minlength=len(values)) for component in p.T], axis=-1)
            total = from_cartesian(total).astype(np.float32)
            constituents = pad(row, from_cartesian(p), len(values), self.max_constituents)
        return Block({"jet": total, "constituents": constituents}, entry, damaged, refused, split=split)


def _read(table: Table, momenta: list[str], labels: list[str], rows: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Momenta (N, 4 P) and labels, (N,) each; what is stored together is read once."""
    values = table.read_blocks([*momenta, *labels], rows)
    places = np.array([table.where[name] for name in momenta])
    block, column = places.T
    if (block == block[0]).all():
        first = values[block[0]]
        first = first[:, : len(column)] if (column == np.arange(len(column))).all() else first[:, column]
    else:
        first = np.stack([values[b][:, i] for b, i in places], axis=-1)
    return first, {name: values[table.where[name][0]][:, table.where[name][1]] for name in labels}
