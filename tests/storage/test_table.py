"""Tables: what was written is read, in chunks as in one file; what was damaged or changed is refused."""

import doctest
import json

import h5py
import numpy as np
import pytest

from hepad.errors import InputError
from hepad.storage import chunks
from hepad.storage.chunks import grouped, repeated
from hepad.storage.hdf5 import open_hdf5
from hepad.storage.table import Layout, Table, new_table, write_index

LAYOUT = Layout("toys", "file of toys of schema 3", ("event_id", "x"), ("more",), "facts", 3)
PARTS = ((7, ()), (0, ()), (5, (0, 1, 4)), (3, (0, 1, 2)), (6, (2,)))  # rows of each file, and those left out


def columns(n, first=0):
    rng = np.random.default_rng(first)
    x = rng.normal(0, 1, (n, 2)).astype(np.float32)
    return {"event_id": np.arange(first, first + n), "x": x, "more/a/b": rng.random(n), "more/c": rng.random(n) < 0.5}


def taken(of, rows):
    return {name: array[rows] for name, array in of.items()}


def same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype


@pytest.fixture
def tables(tmp_path):
    """[the table in one file, the same rows in chunks], and its columns; made in a folder with nothing else."""
    pieces = [columns(n, 100 * number) for number, (n, _) in enumerate(PARTS)]
    for number, piece in enumerate(pieces):
        with new_table(LAYOUT, tmp_path / f"parts/{number}.h5", {"of": number}) as append:
            for rows in (slice(0, 2), slice(2, None)):
                append(taken(piece, rows))
    kept = [taken(p, np.delete(np.arange(n), out).astype(int)) for p, (n, out) in zip(pieces, PARTS, strict=True)]
    whole = {name: np.concatenate([piece[name] for piece in kept]) for name in pieces[0]}
    with new_table(LAYOUT, tmp_path / "one.h5", {"of": "all"}) as append:
        append(whole)
    paths = [tmp_path / f"parts/{number}.h5" for number in range(len(PARTS))]
    write_index(paths, tmp_path / "index.h5", {"of": "all"}, [out for _, out in PARTS])
    return [Table.open(LAYOUT, tmp_path / name) for name in ("one.h5", "index.h5")], whole


def test_a_table_holds_what_was_written(tables, tmp_path):
    (one, _), whole = tables
    same(one.read(), whole)
    assert one.meta == {"of": "all"}
    assert one.names == ["event_id", "x", "more/a/b", "more/c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.h5", "one.h5", "parts"]
    with h5py.File(one.path) as file:
        assert all(file[name].fletcher32 for name in (*one.names, "facts"))
        assert (file.attrs["kind"], file.attrs["schema_version"]) == (b"toys", 3)


def test_every_way_of_reading_gives_of_chunks_what_it_gives_of_one_file(tables):
    both, whole = tables
    n = len(whole["x"])
    for table in both:
        assert sum(table.sizes) == n == 14
        for start in range(n + 2):
            for stop in range(n + 2):
                same(table.read(rows=slice(start, stop)), taken(whole, slice(start, stop)))
        for size in (1, 2, 3, 100, None):
            blocks = list(table.blocks(["event_id", "more/c"], slice(2, 12), size))
            assert all(len(block.columns["event_id"]) <= (size or n) for block in blocks)
            for name in ("event_id", "more/c"):
                np.testing.assert_array_equal(np.concatenate([b.columns[name] for b in blocks]), whole[name][2:12])
        chosen = whole["more/c"]
        same(table.read(rows=chosen), taken(whole, chosen))
        same(table.read(rows=np.zeros(n, bool)), taken(whole, slice(0)))
        same(dict(table), whole)
        assert next(set(b.columns) for b in table.blocks(without=("x",), size=None)) == set(whole) - {"x"}


def test_a_group_is_a_table_of_its_own(tables):
    both, whole = tables
    for table in both:
        of_group, beside = (Table.open(LAYOUT, table.path, group) for group in ("more", ""))
        same(dict(of_group), {"a/b": whole["more/a/b"], "c": whole["more/c"]})
        same(dict(beside), {name: whole[name] for name in ("event_id", "x")})
        same(of_group.read(["c", "/x"], slice(3, 9)), {"c": whole["more/c"][3:9], "/x": whole["x"][3:9]})
        assert "c" in of_group
        assert "x" not in of_group
        with pytest.raises(KeyError):
            of_group["x"]


def test_chunks_are_read_alone_and_from_their_beginnings(tables):
    (one, index), whole = tables
    first = 0
    for number, n in enumerate(index.sizes):
        chunk = index.chunk(number)
        same(chunk.read(), taken(whole, slice(first, first + n)))
        assert chunk.meta is index.meta
        assert all(block.meta == {"of": number} for block in chunk.blocks())
        first += n
    assert index.sizes == [7, 0, 2, 0, 5]
    with pytest.raises(InputError, match=r"index\.h5: it has 5 chunks, no 5"):
        index.chunk(5)
    np.testing.assert_array_equal(index.beginning(7, ["x"])["x"], whole["x"][[0, 1, 2, 7, 9, 10, 11]])
    np.testing.assert_array_equal(one.beginning(7, ["x"])["x"], whole["x"][:7])
    same(index.beginning(100), whole)


def test_the_example_of_the_class_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(Table, "Table", globs={"np": np})
    assert doctest.DocTestRunner().run(example) == (0, 6)


def test_an_index_without_a_meta_has_that_of_the_first_chunk(tables, tmp_path):
    write_index([tmp_path / "parts/4.h5", tmp_path / "parts/0.h5"], tmp_path / "parts.h5")
    table = Table.open(LAYOUT, tmp_path / "parts.h5")
    assert (table.meta, table.sizes) == ({"of": 4}, [6, 7])


def test_a_meta_may_be_an_attribute_as_in_files_of_before(tables, tmp_path):
    with h5py.File(tmp_path / "one.h5", "a") as file:
        del file["facts"]
        file.attrs["facts"] = np.bytes_(json.dumps({"of": "before"}).encode())
    assert Table.open(LAYOUT, tmp_path / "one.h5").meta == {"of": "before"}


def test_what_fails_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="different lengths"), new_table(LAYOUT, tmp_path / "a.h5") as append:
        append({"event_id": np.arange(3), "x": np.arange(2)})
    assert list(tmp_path.iterdir()) == []


def changed(path, change):
    with h5py.File(path, "a") as file:
        change(file)


def longer(file):
    file["x"].resize(len(file["x"]) + 1, axis=0)


CHANGES = {
    "another kind": (
        lambda f: f.attrs.update(kind=np.bytes_(b"tops")),
        "not a file of toys of schema 3 .found 'tops'",
    ),
    "another version": (lambda f: f.attrs.update(schema_version=2), "not a file of toys of schema 3 .found 'toys', 2"),
    "no column": (lambda f: f.pop("x"), "x missing in this file of toys"),
    "no group": (lambda f: f.pop("more"), "more missing in this file of toys"),
    "no meta": (lambda f: f.pop("facts"), "facts missing in this file of toys"),
    "longer": (longer, "'x' and 'event_id' have different numbers of rows"),
    "a link": (lambda f: f["more"].update(d=h5py.SoftLink("/x")), "'more/d' is no dataset of its own"),
    "a broken link": (lambda f: f["more"].update(d=h5py.SoftLink("/y")), "damaged file of toys"),
    "a scalar": (lambda f: (f.pop("x"), f.update(x=1.0)), "damaged file of toys"),
    "a meta that is no JSON": (
        lambda f: (f.pop("facts"), f.update(facts=np.arange(3, dtype=np.uint8))),
        "damaged file",
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_a_changed_file_is_refused_by_name_alone_and_as_a_chunk(case, tables, tmp_path):
    change, message = case
    for path, table in ((tmp_path / "one.h5", "one.h5"), (tmp_path / "parts/4.h5", "index.h5")):
        changed(path, change)
        with pytest.raises(InputError, match=message) as error:
            Table.open(LAYOUT, tmp_path / table).read()
        assert str(path) in str(error.value)


def test_a_chunk_that_was_written_again_or_is_gone_is_refused_on_every_way(tables, tmp_path):
    (_, index), _ = tables
    for number, n in ((1, 2), (4, 5), (4, 7)):  # an empty one, too
        whole = (tmp_path / f"parts/{number}.h5").read_bytes()
        with new_table(LAYOUT, tmp_path / f"parts/{number}.h5", {}) as append:
            append(columns(n))
        for read in (index.read, lambda: list(index.blocks(["x"])), lambda: index.beginning(14), lambda: index["x"]):
            with pytest.raises(InputError, match=rf"index\.h5: {number}\.h5 has {n} rows, not {PARTS[number][0]}.*run"):
                read()
        (tmp_path / f"parts/{number}.h5").write_bytes(whole)
    (tmp_path / "parts/4.h5").unlink()
    with pytest.raises(InputError, match=r"parts/4\.h5: there is no such file"):
        index.read()


def test_flipped_bytes_of_any_column_are_noticed(tables, tmp_path):
    path = tmp_path / "parts/0.h5"
    whole = path.read_bytes()
    for name in ("event_id", "x", "more/a/b", "more/c", "facts"):
        with open_hdf5(path) as file:
            chunk = file[name].id.get_chunk_info(0)
        broken = bytearray(whole)
        broken[chunk.byte_offset + chunk.size // 2] ^= 1
        path.write_bytes(bytes(broken))
        with pytest.raises(InputError, match=rf"0\.h5.*'{name}'"):
            Table.open(LAYOUT, tmp_path / "index.h5").read()
        path.write_bytes(whole)


def test_what_does_not_belong_together_is_no_table(tables, tmp_path):
    other = Layout("tops", "file of tops", ("event_id",))
    with new_table(other, tmp_path / "tops.h5") as append:
        append({"event_id": np.arange(3)})
    with pytest.raises(InputError, match=r"tops\.h5: it is 'tops', others are 'toys'"):
        write_index([tmp_path / "one.h5", tmp_path / "tops.h5"], tmp_path / "both.h5")
    write_index([tmp_path / "tops.h5"], tmp_path / "both.h5")
    with pytest.raises(InputError, match=r"tops\.h5: not a file of toys"):
        Table.open(LAYOUT, tmp_path / "both.h5")
    changes = (
        lambda of: of | {"x": of["x"][:, :1]},
        lambda of: of | {"x": of["x"].astype(float)},
        lambda of: of | {"more/d": of["more/c"]},
        lambda of: {name: array for name, array in of.items() if name != "more/c"},
    )
    for change in changes:
        with new_table(LAYOUT, tmp_path / "other.h5", {}) as append:
            append(change(columns(4)))
        write_index([tmp_path / "one.h5", tmp_path / "other.h5"], tmp_path / "parts.h5")
        with pytest.raises(InputError, match=r"parts\.h5: the columns of its chunks are not alike"):
            Table.open(LAYOUT, tmp_path / "parts.h5").read()


def test_blocks_of_a_long_file_are_what_is_in_memory(tmp_path, monkeypatch):
    with new_table(LAYOUT, tmp_path / "a.h5", {}) as append:
        for first in range(0, 50_000, 5000):
            append(columns(5000, first))
    table, most = Table.open(LAYOUT, tmp_path / "a.h5"), []
    read = h5py.Dataset.__getitem__

    def counted(dataset, rows):
        found = read(dataset, rows)
        most.append(len(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    assert sum(len(block.columns["x"]) for block in table.blocks()) == 50_000
    assert max(most) == 10_000
    assert len(table.read(["x"], np.arange(50_000) % 1000 == 0)["x"]) == 50
    assert max(most) == 10_000


@pytest.mark.parametrize("at_once", [7, 10**6])
def test_repetitions_are_found_whatever_is_sorted_at_once(at_once, monkeypatch):
    monkeypatch.setattr(chunks, "SORTED_AT_ONCE", at_once)
    rng = np.random.default_rng(4)
    of_parts = [rng.integers(-30, 60, size) for size in (20, 0, 35, 15)]
    seen, expected = set(), []
    for ids in of_parts:
        expected.append([row for row, number in enumerate(ids.tolist()) if number in seen or seen.add(number)])
    assert [found.tolist() for found in repeated(of_parts)] == expected
    assert sum(map(len, expected)) > 10


def test_files_are_grouped_in_their_order_up_to_the_limit():
    assert grouped({"a": 4, "b": 5, "c": 2, "d": 30, "e": 1, "f": 0}, 10) == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert grouped({"a": 4, "b": 4}, 1) == [["a"], ["b"]]
    assert grouped({}, 1) == []
