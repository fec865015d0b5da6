"""What the readers of HDF5 share: pandas tables in any form, and datasets that are not what their header says."""

import h5py
import numpy as np
import pandas as pd
import pytest

from hepad.errors import InputError
from hepad.samples.formats import hdf5
from hepad.samples.formats.contents import contents
from hepad.samples.formats.pandas_hdf5 import column_names, find_table, open_table
from hepad.samples.sources import read


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


def test_a_table_with_data_columns(tmp_path):
    """Each data column is a field of its own; text among them is passed over, its numbers are read as they are."""
    table = pd.DataFrame({"a": [1.5, 2.5], "b": np.array([3, 4], np.int32), "c": np.float32([5, 6]), "d": [7.0, 8.0]})
    path = tmp_path / "x.h5"
    table.assign(name=["qcd", "top"]).to_hdf(path, key="t", mode="w", format="table", data_columns=["b", "c", "name"])
    assert set(column_names(str(path))["t"]) == {"a", "b", "c", "d"}
    with h5py.File(path) as file:
        found = open_table(str(path), file, "t")
        np.testing.assert_array_equal(found.read(["c", "d", "a", "b"], slice(0, 9)), [[5, 7, 1.5, 3], [6, 8, 2.5, 4]])
        assert found.read(["c"], slice(0, 9)).dtype == np.float32


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_tables_in_groups_and_several_of_them(tmp_path, form):
    path = tmp_path / "x.h5"
    for key, names in {"train/jets": "ab", "test/deep/jets": "ac", "other": "d"}.items():
        frame = pd.DataFrame({name: [1.0, 2.0] for name in names} | {"n": [1, 2]})
        frame.to_hdf(path, key=key, mode="a", format=form)
    assert set(column_names(str(path))) == {"train/jets", "test/deep/jets", "other"}
    assert contents(str(path)).tables["train/jets"] == {"a", "b", "n"}
    with h5py.File(path) as file:
        assert find_table(str(path), file, None, ["c"]).key == "test/deep/jets"
        assert find_table(str(path), file, "/train/jets", ["c"]).rows == 2
        with pytest.raises(InputError, match=r"2 pandas tables \(test/deep/jets, train/jets\). Set 'key' to one"):
            find_table(str(path), file, None, ["a"])
        with pytest.raises(InputError, match=r"no table 'jets'; present: .*train/jets.* Set 'key'"):
            find_table(str(path), file, "jets", ["a"])


def test_columns_of_objects_are_pickles_and_passed_over(tmp_path):
    path = tmp_path / "x.h5"
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series([{"x": 1}, [2]], dtype=object)})
    with pytest.warns(pd.errors.PerformanceWarning):
        frame.to_hdf(path, key="t", mode="w", format="fixed")
    with pytest.warns(pd.errors.PerformanceWarning):
        frame[["b"]].to_hdf(path, key="u", mode="a", format="fixed")
    assert column_names(str(path)) == {"t": ["a"]}
    with h5py.File(path) as file:
        found = open_table(str(path), file, "t")
        np.testing.assert_array_equal(found.read(["a"], slice(0, 9)), [[1], [2]])
        assert "(b)" in found.unread()
        with pytest.raises(InputError, match=r"object, which is pickled \(b\). Write the table with columns of num"):
            open_table(str(path), file, "u")


FORMS = [("fixed", None), ("table", None), ("table", True)]


@pytest.mark.parametrize(("form", "columns"), FORMS)
def test_what_is_odd_in_a_table_does_not_spoil_it(tmp_path, form, columns):
    """Text, dates and categories (whose codes are no numbers of anything) are passed over, numbers are read."""
    path, numbers = tmp_path / "x.h5", pd.DataFrame({"a": [1.5, 2.5], "b": [3, 4], "c": [True, False]})
    odd = numbers.assign(text=["x", "y"], date=pd.to_datetime(["2020-01-01", "2021-01-01"]))
    odd = odd if form == "fixed" else odd.assign(of=pd.Categorical(["x", "y"]), number=pd.Categorical([8, 7]))
    odd.to_hdf(path, key="t", mode="w", format=form, data_columns=columns)
    with h5py.File(path) as file:
        found = find_table(str(path), file, None, ["a", "b"])
        np.testing.assert_array_equal(found.read(["a", "b"], slice(0, 9)), [[1.5, 3], [2.5, 4]])
        assert found.where.keys() == {"a", "b", "c"}
        assert found.rows == 2


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_what_is_odd_beside_a_table_does_not_spoil_it(tmp_path, form):
    path = tmp_path / "x.h5"
    pd.DataFrame({"a": [1.5, 2.5]}).to_hdf(path, key="t", mode="w", format=form)
    pd.Series([1, 2, 3], name="n").to_hdf(path, key="cutflow", mode="a", format=form)
    pd.DataFrame({"name": ["x", "y"]}).to_hdf(path, key="info", mode="a", format=form)
    levels = pd.DataFrame(np.ones((2, 2)), columns=pd.MultiIndex.from_tuples([("j", "pt"), ("j", "eta")]))
    levels.to_hdf(path, key="levels", mode="a", format=form)
    assert column_names(str(path)) == {"t": ["a"]}
    assert contents(str(path)).tables["t"] == {"a"}
    with h5py.File(path) as file:
        assert find_table(str(path), file, None, ["a"]).key == "t"
        with pytest.raises(
            InputError, match=r"'levels' cannot be read: .* names of several levels. Join them: table\.col"
        ):
            open_table(str(path), file, "levels")
        with pytest.raises(InputError, match=r"'info' cannot be read: it has no columns of numbers\..* Passed over"):
            open_table(str(path), file, "info")
    levels.columns = ["_".join(map(str, x)) for x in levels.columns]  # as it says
    levels.to_hdf(path, key="levels", mode="w", format=form)
    assert column_names(str(path)) == {"levels": ["j_pt", "j_eta"]}


@pytest.mark.parametrize("form", ["fixed", "table"])
def test_a_name_of_digits_is_the_number(tmp_path, form):
    path = str(tmp_path / "x.h5")
    pd.DataFrame(np.eye(3), columns=["0", "1", "02"]).to_hdf(path, key="t", mode="w", format=form)
    assert column_names(path) == {"t": [0, 1, "02"]}


KINDS = [">f4", ">f8", "<f2", ">f2", ">i2", ">i8", ">u4", "|u1", "<i8", "?"]


@pytest.fixture
def jets(tmp_path):
    """``jets(columns)``: the path of an HDF5 file with 40 jets of two particles in it, and other columns."""
    rng = np.random.default_rng(1)
    particles = np.zeros((40, 2), [("pt", ">f4"), ("eta", "<f8"), ("at", [("phi", ">f2")])])
    particles["pt"], particles["eta"] = rng.uniform(20, 200, (40, 2)), rng.normal(0, 0.5, (40, 2))
    particles["at"]["phi"] = rng.uniform(-1, 1, (40, 2))

    def jets(**columns) -> str:
        with h5py.File(tmp_path / "jets.h5", "w") as file:
            file["set/particles"] = particles
            for name, values in columns.items():
                file[f"set/{name}"] = values
        return str(tmp_path / "jets.h5")

    jets.particles = particles
    return jets


def load(path, branches=None, **source):
    names = {"pt": "pt", "eta": "eta", "phi": "at.phi"}
    mapping = {f"constituent_{x}": f"set/particles.{field}" for x, field in names.items()} | (branches or {})
    return read({"files": path, "branches": mapping} | source, name="s", selection="any", split=(0.6, 0.1, 0.3))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_any_byte_order_and_length(jets, kind):
    values = (np.arange(40) % 2 if kind == "?" else np.arange(40)).astype(kind)
    found = load(jets(w=values), {"weight": "set/w", "pileup": "set/w * 2 + 1"})
    np.testing.assert_array_equal(found.weight, values.astype(float))
    np.testing.assert_array_equal(found.facts["pileup"], 2 * values.astype(float) + 1)


def test_fields_of_compound_datasets(jets):
    found, p = load(jets()), jets.particles
    assert len(found) == 40
    order = np.argsort(-p["pt"], axis=1)
    for i, values in enumerate((p["pt"], p["eta"], p["at"]["phi"])):
        np.testing.assert_array_equal(found.constituents[:, :2, i], np.take_along_axis(values, order, 1).astype("f4"))
    table = np.zeros(40, [("w", ">f8"), ("two", "f4", (2,)), ("name", "S3")])
    table["w"], table["two"] = np.arange(40), np.arange(80).reshape(40, 2)
    found = load(jets(events=table), {"weight": "set/events.w", "pileup": "set/events.two[:, 1] + set/events.w"})
    np.testing.assert_array_equal(found.weight, np.arange(40))
    np.testing.assert_array_equal(found.facts["pileup"], 2 * np.arange(40) + 1 + np.arange(40))
    inside = {f"constituent_{x}": f"particles.{f}" for x, f in (("pt", "pt"), ("eta", "eta"), ("phi", "at.phi"))}
    np.testing.assert_array_equal(load(jets(), inside, tree="set").jet, load(jets()).jet)
    with pytest.raises(InputError, match=r"jets\.h5: 'set/events\.name' holds \|S3, not numbers"):
        load(jets(events=table), {"weight": "set/events.name"})
    with pytest.raises(
        InputError, match=r"present: set/events.name, set/events.two, set/events.w, set/particles.at.phi"
    ):
        load(jets(events=table), {"weight": "w"})
