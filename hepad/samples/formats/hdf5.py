"""HDF5 files: datasets checked for shape, type and completeness, and read in blocks; damage is an InputError."""

from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.storage.hdf5 import check_whole, reading

NUMBERS = "fiub"  # kinds of numpy


class Field:
    """The values of a field of a compound dataset, (rows, ...), as if they were a dataset; ``fields`` lead to it."""

    def __init__(self, dataset: h5py.Dataset, fields: tuple[str, ...]):
        self.dataset, self.fields, self.dtype = dataset, fields, dataset.dtype
        for field in fields:
            self.dtype = self.dtype.base[field]
        self.shape = dataset.shape + self.dtype.shape
        self.dtype = self.dtype.base

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, *others = self.fields
        values = self.dataset.fields(first)[rows]
        for field in others:
            values = values[field]
        return values


def columns(path, group: h5py.Group) -> dict[str, h5py.Dataset | Field]:
    """The datasets in a group and below, by path, and the fields of compound ones: 'jets/tracks.pt'."""
    datasets: dict[str, h5py.Dataset | Field] = {}

    def note(name: str, item) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            datasets.update({".".join((name, *x)): Field(item, x) if x else item for x in _leaves(item.dtype)})

    with reading(path):
        group.visititems(note)
        for name, item in group.items():  # links count here; visititems visits nothing twice
            note(name, item)
    return datasets


def _leaves(dtype: np.dtype) -> Iterator[tuple[str, ...]]:
    if dtype.base.names is None:
        yield ()
    for name in dtype.base.names or ():
        yield from ((name, *others) for others in _leaves(dtype.base[name]))


def dataset(path, file: h5py.Group, name: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """The numeric dataset of that name and shape, None standing for any length; InputError says what is wrong."""
    with reading(path):
        present, item = ", ".join(sorted(file)) or "nothing", file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"{path}: there is no dataset '{name}'; present: {present}. Check 'reader' and the file.")
    with reading(path):
        real = item.shape
    if len(real or ()) != len(shape) or any(b not in (None, a) for a, b in zip(real, shape, strict=True)):
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise InputError(f"{path}: '{name}' has shape {real}, expected ({expected}). Check 'reader' and the file.")
    check_numbers(path, name, item)
    return item


def check_numbers(path, name: str, item: h5py.Dataset | Field) -> None:
    """InputError unless these are numbers, all of them written."""
    with reading(path):
        kind = item.dtype
    if kind.kind not in NUMBERS:
        raise InputError(f"{path}: '{name}' holds {kind}, not numbers. Check 'reader' and the file.")
    check_whole(path, name, item.dataset if isinstance(item, Field) else item)


def blocks(
    path, datasets: Mapping[str, h5py.Dataset | Field], rows: int
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(first row, {name: values}) for ``rows`` rows at a time of datasets of one length, which is checked."""
    lengths = {name: len(values) for name, values in datasets.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
        raise InputError(f"{path}: the datasets differ in length: {listed}. Fetch the file again.")
    for start in range(0, min(lengths.values()), rows):
        with reading(path):
            arrays = {name: native(values[start : start + rows]) for name, values in datasets.items()}
        yield start, arrays


def native(values: np.ndarray) -> np.ndarray:
    """Numbers in this machine's byte order and of a length that awkward knows; others as they are."""
    kind = values.dtype.newbyteorder("=")
    if kind.kind == "f" and kind.itemsize not in (4, 8):
        kind = np.dtype(np.float32 if kind.itemsize < 4 else np.float64)
    return values.astype(kind, copy=False)
