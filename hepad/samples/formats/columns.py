"""Named columns of one entry each, whether in a TTree, an RNTuple, a Parquet file or the datasets of an HDF5 file."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import awkward as ak
import h5py

from hepad.errors import InputError
from hepad.samples.formats import hdf5, parquet, root
from hepad.samples.formats.contents import kind_of
from hepad.storage.hdf5 import open_hdf5, reading

TREE = "events"  # the tree of hepad's own files


class Columns(NamedTuple):
    """``blocks(names, rows)`` yields (first entry, {name: values}), values being numbers or lists of them."""

    names: frozenset[str]
    entries: int
    blocks: Callable[[Iterable[str], int], Iterator[tuple[int, dict[str, ak.Array]]]]
    meta: dict


@contextmanager
def open_columns(path: str, tree: str | None) -> Iterator[Columns]:
    """The columns of a file.

    Parameters
    ----------
    tree: of ROOT the TTree or RNTuple, of HDF5 the group; None: 'events', or the only one that there is

    Raises
    ------
    InputError: not such a file, no such tree
    """
    opener = {"ROOT": _root, "Parquet": _parquet, "HDF5": _hdf5}.get(kind_of(path))
    if opener is None:
        raise InputError(f"{path}: a text file has no branches. Set 'reader: DarkMachines' if it is of that challenge.")
    with opener(path, tree) as columns:
        yield columns


@contextmanager
def _root(path: str, tree: str | None) -> Iterator[Columns]:
    with root.open_root(path) as file:
        present = root.tables(file)
        chosen = tree or (next(iter(present)) if len(present) == 1 else TREE)
        table = root.open_tree(path, file, chosen)
        meta = {}
        if "meta" in file and file.classname_of("meta") == "TObjString":
            with root.reading(path):
                meta = json.loads(str(file["meta"]))
        names = root.names(table)
        yield Columns(names, table.num_entries, lambda branches, rows: root.blocks(path, table, branches, rows), meta)


@contextmanager
def _parquet(path: str, tree: str | None) -> Iterator[Columns]:
    if tree is not None:
        raise InputError(f"{path}: a Parquet file has no trees. Leave 'tree' out.")
    with parquet.open_parquet(path) as file:
        with parquet.reading(path):
            entries = file.metadata.num_rows

        def blocks(columns: Iterable[str], rows: int) -> Iterator[tuple[int, dict[str, ak.Array]]]:
            parquet.require_numbers(path, file, columns)
            yield from parquet.blocks(path, file, columns, rows)

        yield Columns(frozenset(parquet.kinds(path, file)), entries, blocks, {})


@contextmanager
def _hdf5(path: str, tree: str | None) -> Iterator[Columns]:
    with open_hdf5(path) as file:
        with reading(path):
            group = file.get(tree) if tree else file
            if not isinstance(group, h5py.Group):
                raise InputError(f"{path}: there is no group '{tree}'; present: {', '.join(file) or 'nothing'}.")
        columns = hdf5.columns(path, group)

        def blocks(names: Iterable[str], rows: int) -> Iterator[tuple[int, dict[str, ak.Array]]]:
            datasets = {name: columns[name] for name in names}
            for name, values in datasets.items():
                hdf5.check_numbers(path, name, values)
            for start, arrays in hdf5.blocks(path, datasets, rows):
                yield start, {x: ak.from_regular(ak.Array(v)) if v.ndim > 1 else ak.Array(v) for x, v in arrays.items()}

        yield Columns(frozenset(columns), max((x.shape[0] for x in columns.values()), default=0), blocks, {})
