"""Columns of Parquet files of whatever type, in a mapping: values as pyarrow has them, names of records, nulls."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepad.errors import InputError
from hepad.samples.formats import parquet
from hepad.samples.sources import read

LISTS = [[1.5, 2.0], [], [4.25]]
FLOAT = pa.float32()
# every way to store the same lists
LIST_TYPES = {
    "list": pa.list_(FLOAT),
    "large_list": pa.large_list(FLOAT),
    "list_view": pa.list_view(FLOAT),
    "large_list_view": pa.large_list_view(FLOAT),
    "float64": pa.list_(pa.float64()),
    "float16": pa.list_(pa.float16()),
    "decimal": pa.list_(pa.decimal128(9, 3)),
}


class Named(pa.ExtensionType):
    """A type that wraps another one, as those of awkward 2.0 to 2.4 do."""

    def __init__(self, storage):
        super().__init__(storage, "test.named")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, _serialized):
        return cls(storage)


@pytest.fixture
def named():
    pa.register_extension_type(Named(pa.float32()))
    yield lambda array: pa.ExtensionArray.from_storage(Named(array.type), array)
    pa.unregister_extension_type("test.named")


def values(tmp_path, rows: int = 2, **columns) -> dict:
    """What is read of columns, by name, as lists of Python."""
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table(columns), path, row_group_size=2)
    with parquet.open_parquet(path) as file:
        blocks = [arrays for _, arrays in parquet.blocks(path, file, parquet.kinds(path, file), rows)]
    return {name: [x for block in blocks for x in block[name].to_list()] for name in blocks[0]}


@pytest.mark.parametrize("kind", LIST_TYPES)
def test_lists_of_every_type(tmp_path, kind):
    column = pa.array(
        [[np.float16(x) for x in row] for row in LISTS] if kind == "float16" else LISTS, LIST_TYPES["list"]
    )
    if kind == "float16":
        column = pa.ListArray.from_arrays(column.offsets, pa.array(column.values.to_numpy().astype(np.float16)))
    elif kind == "decimal":
        flat = column.values.cast(pa.float64()).cast(pa.decimal128(9, 3))
        column = pa.ListArray.from_arrays(column.offsets, flat)
    elif "view" in kind:
        column = pa.array(LISTS, LIST_TYPES[kind])
    else:
        column = column.cast(LIST_TYPES[kind])
    assert values(tmp_path, x=column)["x"] == LISTS


def test_numbers_of_every_type(tmp_path, named):
    columns = {
        "int8": pa.array([1, -2, 3], pa.int8()),
        "uint64": pa.array([1, 2**63, 3], pa.uint64()),
        "half": pa.array(np.array([1, 2.5, 3], np.float16)),
        "decimal": pa.array([1, 2, 3]).cast(pa.decimal128(30, 2)),
        "dictionary": pa.array([1.5, 2.5, 1.5]).dictionary_encode(),
        "bool": pa.array([True, None, False]),
        "extension": named(pa.array([1.0, 2.0, 3.0])),
        "twice": named(named(pa.array([1.0, 2.0, 3.0]))),
        "of lists": named(pa.ListArray.from_arrays([0, 2, 2, 3], named(pa.array([1.0, 2.0, 3.0])))),
        "fixed": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
        "fixed of fixed": pa.array([[[1, 2]], [[3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.int32(), 2), 1)),
    }
    found = values(tmp_path, **columns)
    assert found == {
        "int8": [1, -2, 3], "uint64": [1, 2**63, 3], "half": [1, 2.5, 3], "decimal": [1, 2, 3],
        "dictionary": [1.5, 2.5, 1.5], "bool": [True, False, False], "extension": [1, 2, 3], "twice": [1, 2, 3],
        "of lists": [[1, 2], [], [3]], "fixed": [[1, 2], [3, 4], [5, 6]],
        "fixed of fixed": [[[1, 2]], [[3, 4]], [[5, 6]]],
    }  # fmt: skip


def test_records_have_dots_in_their_names(tmp_path):
    jets = [[{"pt": 1.0, "parts": [{"pt": 0.25}, {"pt": 0.75}]}], [], [{"pt": 2.0, "parts": []}, None]]
    found = values(
        tmp_path, met=pa.array([{"pt": 5.0, "phi": 1}, {"pt": 6.0, "phi": None}, None]), jets=pa.array(jets),
        **{"a.b": pa.array([1, 2, 3])},
    )  # fmt: skip
    assert found.pop("met.phi")[0] == 1
    assert np.isnan(found["met.pt"].pop())
    last = found["jets.pt"].pop()
    assert last[0] == 2
    assert np.isnan(last[1])
    assert found == {
        "met.pt": [5, 6],
        "jets.pt": [[1], []],
        "jets.parts.pt": [[[0.25, 0.75]], [], [[], []]],
        "a.b": [1, 2, 3],
    }


def test_only_the_fields_that_are_asked_for_are_read(tmp_path):
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"jets": pa.array([[{"pt": 1.0, "eta": 2.0}]])}), path)
    with parquet.open_parquet(path) as file:
        asked = []
        iterate = file.iter_batches
        file.iter_batches = lambda **options: asked.extend(options["columns"]) or iterate(**options)
        ((_, arrays),) = parquet.blocks(path, file, ["jets.pt"], 10)
    assert asked == ["jets.list.element.pt"]
    assert arrays["jets.pt"].to_list() == [[1]]


def jets_of(tmp_path, n: int = 300, **columns) -> str:
    """A file of n jets of two particles, [pt, eta, phi]."""
    rng = np.random.default_rng(4)
    pt = rng.uniform(20, 200, (n, 2))
    lists = {"pt": pt, "eta": rng.normal(0, 0.5, (n, 2)), "phi": rng.uniform(-1, 1, (n, 2))}
    path = str(tmp_path / "jets.parquet")
    pq.write_table(pa.table({x: v.tolist() for x, v in lists.items()} | columns), path)
    return path


MAPPING = {f"constituent_{x}": x for x in ("pt", "eta", "phi")}


def load(path, branches, **source):
    return read(
        {"files": path, "branches": MAPPING | branches} | source, name="s", selection="any", split=(0.6, 0.1, 0.3)
    )


def test_nulls_are_refused_rows_or_a_message(tmp_path):
    numbers = np.arange(300.0)
    few, many = (pa.array(numbers, mask=np.arange(300) < n) for n in (2, 9))
    events = load(jets_of(tmp_path, w=few), {"weight": "w"})
    assert next(iter(events.meta["counts"].values()))["refused: bad value in 'w'"] == 2
    np.testing.assert_array_equal(events.weight, numbers[2:])
    with pytest.raises(InputError, match=r"jets\.parquet: 'w' is not finite.* in 9 of 300 entries, first in entry 0"):
        load(jets_of(tmp_path, w=many), {"weight": "w"})
    large = pa.array([None, *range(2**60, 2**60 + 299)], pa.int64())
    with pytest.raises(InputError, match=r"jets\.parquet: 'id' has nulls among whole numbers beyond"):
        load(jets_of(tmp_path, id=large), {"event_id": "id"})


def test_shapes_that_are_lost_are_not_read(tmp_path):
    storage = pa.array([[1.0, 2, 3, 4]] * 300, pa.list_(FLOAT, 4))
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(FLOAT, [2, 2]), storage)
    for other, what in ((tensor, "fixed_shape_tensor"), (pa.array(range(300), pa.timestamp("us")), "timestamp.us.")):
        with pytest.raises(InputError, match=rf"jets\.parquet: 'x' holds .*{what}.*, not numbers. Map another column"):
            load(jets_of(tmp_path, x=other), {"weight": "x"})
    cube = pa.array([[[1.0, 2, 3]] * 2] * 300, pa.list_(pa.list_(FLOAT, 3)))
    with pytest.raises(InputError, match=r"'x', read as 'constituent_mass', has three axes.*'x\[:, :, 0\]'"):
        load(jets_of(tmp_path, x=cube), {"constituent_mass": "x"})
    np.testing.assert_allclose(
        load(jets_of(tmp_path, x=cube), {"constituent_mass": "x[:, :, 1]"}).constituents[:, :2, 3], 2
    )
