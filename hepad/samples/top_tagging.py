"""HDF5 in the layout of the top-tagging reference set (Zenodo 2603256, arXiv:1902.09914).

A pandas table ``table``, one row per jet: E_0, PX_0, PY_0, PZ_0, ..., E_199, ... [GeV] by falling pt and padded with
zeros, ``is_signal_new`` (0 or 1) and ``ttv`` (0 train, 1 test, 2 validation).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.io import open_hdf5
from hepad.kinematics import from_cartesian
from hepad.samples.jagged import unsound
from hepad.samples.pandas_hdf5 import Table, open_table
from hepad.samples.reader import Block, Contents, Found, Reader
from hepad.samples.selection import WIDTHS, pad

COMPONENTS = ("PX", "PY", "PZ", "E")
# ttv of the reference set, as an index into SPLITS
SPLIT_OF_TTV = np.array([SPLITS.index(name) for name in ("train", "test", "valid")])
RADIUS = 0.8


@dataclass(frozen=True)
class TopTagging(Reader):
    """Jets of one class, or of both.

    Parameters
    ----------
    is_signal: 0 QCD or 1 top, the class that is read; None for both
    key: name of the table
    use_ttv: take the split from ``ttv`` if the file has it
    max_constituents: the hardest ones are kept
    """

    title = "HDF5 of the top-tagging reference set"
    kind = "HDF5"

    is_signal: int | None = None
    key: str = "table"
    use_ttv: bool = True
    max_constituents: int = WIDTHS["constituents"]

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return any({"E_0", "PX_0", "PY_0", "PZ_0"} <= columns for columns in contents.tables.values())

    def look(self, path: str) -> Found:
        with open_hdf5(path) as file:
            table, columns = self._open(path, file)
            remarks = () if self.is_signal is not None else ("Both classes are read; set 'is_signal' to 0 or 1.",)
            present, official = frozenset({"constituents"}), "ttv" in columns
            return Found(table.rows, present, jet_radius=RADIUS, remarks=remarks, official_split=official)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_hdf5(path) as file:
            table, columns = self._open(path, file)
            for start in range(0, table.rows, rows):
                yield self._block(path, columns, table.read(columns, slice(start, start + rows)), start)

    def _open(self, path: str, file) -> tuple[Table, list[str]]:
        """The table and the names of the columns that are read: momenta, then labels."""
        table = open_table(path, file, self.key)
        length = 0
        while f"E_{length}" in table.where:
            length += 1
        wanted = [f"{x}_{i}" for i in range(max(length, 1)) for x in COMPONENTS]
        wanted += [] if self.is_signal is None else ["is_signal_new"]
        if missing := [name for name in wanted if name not in table.where]:
            listed = ", ".join(map(str, list(table.where)[:12])) or "none"
            raise InputError(f"{path}: table '{self.key}' lacks the columns {', '.join(missing[:8])}; it has: {listed} ...")
        return table, wanted + ["ttv"] * (self.use_ttv and "ttv" in table.where)

    def _block(self, path: str, columns: list[str], values: np.ndarray, start: int) -> Block:
        entry, length = start + np.arange(len(values)), sum(name.startswith("E_") for name in columns)
        labels = {name: values[:, i] for i, name in enumerate(columns) if i >= 4 * length}
        refused = {}
        if self.is_signal is not None:
            wanted = labels["is_signal_new"] == self.is_signal
            refused["is_signal"] = int((~wanted).sum())
            values, entry, labels = values[wanted], entry[wanted], {k: v[wanted] for k, v in labels.items()}
        p = values[:, : 4 * length].reshape(len(values), length, 4)
        damaged = {}
        if unsound(p).any() or (p[..., 3] < 0).any():  # which column, only then
            flat = p.reshape(len(p), -1)
            damaged = {name: unsound(flat[:, i], positive=i % 4 == 3) for i, name in enumerate(columns[: 4 * length])}
        split = None
        if "ttv" in labels:
            if not np.isin(labels["ttv"], (0, 1, 2)).all():
                raise InputError(f"{path}: 'ttv' has values other than 0, 1, 2. Set 'use_ttv: false' to split by hash.")
            split = SPLIT_OF_TTV[labels["ttv"].astype(np.int64)]
        with np.errstate(all="ignore"):
            there = p[..., 3] > 0
            row, total = np.nonzero(there)[0], from_cartesian(p.sum(axis=1, dtype=np.float64)).astype(np.float32)
            constituents = pad(row, from_cartesian(p[there]), len(p), self.max_constituents)
        return Block({"jet": total, "constituents": constituents}, entry, damaged, refused, split=split)
