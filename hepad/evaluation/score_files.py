"""Files of columns of scores and of thresholds, for others: ROOT, Parquet or HDF5, written block by block, atomically.

ROOT       trees 'scores' and 'thresholds', and 'meta', a TObjString of JSON
Parquet    the scores; 'thresholds' and 'meta' are JSON in the metadata of the schema
HDF5       a dataset for each column, a group 'thresholds', the attribute 'meta' of JSON
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hepad.errors import InputError
from hepad.storage.files import atomic_path
from hepad.storage.hdf5 import append_array, new_hdf5

Columns = dict[str, np.ndarray]


def kind_of(path: str | Path) -> Callable:
    """How a file is written, which its ending says; InputError for another ending."""
    ending = Path(path).suffix
    if ending not in KINDS:
        raise InputError(f"--to {path}: the ending '{ending}' stands for no format. Allowed: {', '.join(KINDS)}.")
    return KINDS[ending]


@contextmanager
def new_scores(path: str | Path, thresholds: Columns, meta: dict) -> Iterator[Callable[[Columns], None]]:
    """Write a file by a function that appends columns (n,) of one length; ``meta`` is what it is at the end.

    ``thresholds``: 'eps_b' and the columns of the scores, one value for each ε_B, NaN where it is not resolved.
    """
    with kind_of(path)(Path(path), thresholds, meta) as append:
        yield append


@contextmanager
def _root(path: Path, thresholds: Columns, meta: dict) -> Iterator[Callable[[Columns], None]]:
    import uproot  # only this kind of file needs it

    def append(columns: Columns) -> None:
        if "scores" not in file:
            file.mktree("scores", {name: values.dtype for name, values in columns.items()})
        file["scores"].extend(columns)

    with atomic_path(path) as partial, uproot.recreate(partial) as file:
        yield append
        file.mktree("thresholds", {name: values.dtype for name, values in thresholds.items()})
        file["thresholds"].extend(thresholds)
        file["meta"] = json.dumps(meta)


@contextmanager
def _parquet(path: Path, thresholds: Columns, meta: dict) -> Iterator[Callable[[Columns], None]]:
    import pyarrow as pa  # only this kind of file needs them
    import pyarrow.parquet as pq  # likewise

    writers = []

    def append(columns: Columns) -> None:
        table = pa.table(columns)
        if not writers:
            writers.append(pq.ParquetWriter(partial, table.schema))
        writers[0].write_table(table)

    with atomic_path(path) as partial:
        try:
            yield append
            for writer in writers:
                of_eps_b = {name: [None if x != x else x for x in v.tolist()] for name, v in thresholds.items()}
                writer.add_key_value_metadata({"thresholds": json.dumps(of_eps_b), "meta": json.dumps(meta)})
        finally:
            for writer in writers:
                writer.close()


@contextmanager
def _hdf5(path: Path, thresholds: Columns, meta: dict) -> Iterator[Callable[[Columns], None]]:
    def append(columns: Columns) -> None:
        for name, values in columns.items():
            append_array(file, name, values)

    with new_hdf5(path) as file:
        yield append
        for name, values in thresholds.items():
            file.create_dataset(f"thresholds/{name}", data=values)
        file["meta"] = json.dumps(meta)


KINDS = {".root": _root, ".parquet": _parquet, ".h5": _hdf5}
