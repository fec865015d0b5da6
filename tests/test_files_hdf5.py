"""What the readers of HDF5 share: pandas tables in any form, and datasets that are not what their header says."""

import h5py
import numpy as np
import pandas as pd
import pytest

from hepad.errors import InputError
from hepad.files import hdf5
from hepad.files.pandas_hdf5 import column_names, open_table


def test_a_pandas_table_of_any_form(tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0], "b": np.array([3, 4]), "c": [5.0, 6.0]})
    for form in ("fixed", "table"):
        path = tmp_path / f"{form}.h5"
        table.to_hdf(path, key="x", mode="w", format=form)
        assert {key: set(names) for key, names in column_names(str(path)).items()} == {"x": {"a", "b", "c"}}
        with h5py.File(path) as file:
            found = open_table(str(path), file, "x")
            np.testing.assert_array_equal(found.read(["c", "a", "b"], slice(1, 2)), [[6, 2, 4]])
            np.testing.assert_array_equal(found.read(["a"], slice(0, 9)), [[1], [2]])
    table.iloc[:0].to_hdf(tmp_path / "empty.h5", key="x", mode="w")
    with h5py.File(tmp_path / "empty.h5") as file:
        assert open_table("empty", file, "x").rows == 0


@pytest.mark.parametrize(
    ("chunks", "message"), [((10,), "4 of 100000000000 chunks"), (None, "0 of 8000000000000 bytes")]
)
def test_a_dataset_that_was_never_filled_is_refused(tmp_path, chunks, message):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        long = file.create_dataset("x", (10**12,), "f8", chunks=chunks)
        if chunks:
            long[:40] = 1
    with h5py.File(path) as file, pytest.raises(InputError, match=f"'x' is incomplete: {message} are there"):
        hdf5.dataset(path, file, "x", (None,))


def test_datasets_are_read_in_step(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = np.arange(10), np.arange(20.0).reshape(10, 2)
    with h5py.File(path) as file:
        found = {name: hdf5.dataset(path, file, name, shape) for name, shape in {"x": (None,), "y": (10, 2)}.items()}
        blocks = list(hdf5.blocks(path, found, 4))
    assert [start for start, _ in blocks] == [0, 4, 8]
    for name, expected in {"x": np.arange(10), "y": np.arange(20.0).reshape(10, 2)}.items():
        np.testing.assert_array_equal(np.concatenate([arrays[name] for _, arrays in blocks]), expected)
