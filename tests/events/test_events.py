"""Events: shapes, files, joining, and a split that depends on the event alone."""

import h5py
import numpy as np
import pytest

from hepad.errors import InputError
from hepad.events import ARRAYS, SPLITS, Events, concatenate, split_of


def same(a: Events, b: Events) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        assert getattr(a, name).dtype == getattr(b, name).dtype, name
    assert set(a.truth) == set(b.truth)
    for name, values in a.truth.items():
        np.testing.assert_array_equal(values, b.truth[name])


def test_file_holds_what_was_written(make_events, tmp_path):
    events = make_events(200, 1)
    events.write(tmp_path / "events.h5")
    read = Events.read(tmp_path / "events.h5")
    same(events, read)
    assert read.meta == events.meta
    same(events[50:80], Events.read(tmp_path / "events.h5", slice(50, 80)))
    assert [path.name for path in tmp_path.iterdir()] == ["events.h5"]


def test_rows_and_splits(make_events):
    events = make_events(500, 1)
    np.testing.assert_array_equal(events[events.jet[:, 1] > 0].jet, events.jet[events.jet[:, 1] > 0])
    assert sum(len(events.of_split(split)) for split in SPLITS) == 500
    assert np.all(events.of_split("valid").split == 1)


def test_wrong_shape_is_named(make_events):
    events = make_events(10, 1)
    arrays = {name: getattr(events, name) for name in ARRAYS}
    with pytest.raises(InputError, match="'met'"):
        Events(**arrays | {"met": events.met[:5]})
    with pytest.raises(InputError, match="truth/hard_pt"):
        Events(**arrays, truth={"hard_pt": np.zeros(3)})


def test_concatenate_pads_and_keeps_shared_truth(make_events):
    a, b = make_events(20, 1), make_events(30, 2)
    short = Events(**{name: getattr(b, name) for name in ARRAYS} | {"constituents": b.constituents[:, :40]})
    joined = concatenate([a, short])
    assert len(joined) == 50
    assert joined.truth == {}
    np.testing.assert_array_equal(joined.constituents[20:, :40], b.constituents[:, :40])
    assert not joined.constituents[20:, 40:].any()


def test_split_has_the_fractions_and_depends_on_the_id_alone():
    ids = np.arange(100_000)
    split = split_of(ids, (0.6, 0.1, 0.3))
    # five standard deviations of a binomial
    np.testing.assert_allclose(np.bincount(split) / len(ids), [0.6, 0.1, 0.3], atol=5 * np.sqrt(0.25 / len(ids)))
    order = np.random.default_rng(0).permutation(len(ids))
    np.testing.assert_array_equal(split_of(ids[order], (0.6, 0.1, 0.3)), split[order])
    neighbours = np.corrcoef(split[:-1], split[1:])[0, 1]
    assert abs(neighbours) < 0.02


def test_split_accepts_negative_ids_and_empty_fractions():
    assert np.all(split_of(np.array([-1, 2**62]), (0.0, 0.0, 1.0)) == 2)
    with pytest.raises(InputError, match="sum to 1"):
        split_of(np.arange(3), (0.5, 0.5, 0.5))


def test_foreign_and_damaged_files_are_refused(make_events, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    make_events(300, 1).write(tmp_path / "events.h5")
    content = (tmp_path / "events.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(content[: len(content) // 2])
    for name in ("other.h5", "short.h5", "absent.h5"):
        with pytest.raises(InputError, match=name):
            Events.read(tmp_path / name)


def test_flipped_bytes_are_noticed(make_events, tmp_path):
    path = tmp_path / "events.h5"
    make_events(300, 1).write(path)
    with h5py.File(path) as file:
        chunk = file["constituents"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="constituents"):
        Events.read(path)
