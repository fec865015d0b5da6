"""Samples whose parts are read, represented and scored by jobs of their own: the same as if one job had done it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from dialects import DIALECTS
from test_stream import load, rich, same

from hepad.detectors import build
from hepad.errors import InputError
from hepad.evaluation.scores import read_scores, score, write_scores
from hepad.events import Events, concatenate, write_blocks
from hepad.representations import EventVector
from hepad.representations.features import Features, represent
from hepad.samples.gather import gather
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of
from hepad.storage import table
from hepad.storage.hdf5 import open_hdf5
from hepad.storage.table import write_index

SPLIT = (0.6, 0.1, 0.3)


def read_parts(folder, groups, selection="any", **options):
    """The index of a sample whose groups of files were read one by one."""
    paths = []
    for number, files in enumerate(groups):
        events = stream_of({"files": files} | options, name="s", selection=selection, split=SPLIT, part=len(groups) > 1)
        write_blocks(folder / f"s/{number}.h5", events)
        paths.append(folder / f"s/{number}.h5")
    gather(paths, folder / "s.h5", selection)
    return folder / "s.h5"


@pytest.fixture(scope="module")
def files(make_events, tmp_path_factory):
    """{dialect: four paths}; the last file has ten events of the first and five of the second again."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    whole = make_events(90, 31)
    pieces = [whole[:40], whole[40:60], whole[60:], whole[np.r_[3:13, 41:46]]]
    for name, dialect in DIALECTS.items():
        found[name] = [
            str(dialect.file(folder / f"{name}_{i}", dialect.columns(events))) for i, events in enumerate(pieces)
        ]
    return found


@pytest.mark.parametrize("name", DIALECTS)
def test_parts_are_the_sample_that_one_job_would_have_read(name, files, tmp_path):
    options, paths = DIALECTS[name].options, files[name]
    whole = load(paths, **options)
    index = read_parts(tmp_path, [paths[:1], paths[1:3], paths[3:]], **options)
    found = Events.read(index)
    same(found, whole)
    np.testing.assert_array_equal(found.row_id, whole.row_id)
    assert len(np.unique(found.row_id)) == len(found) == 90
    assert {path: Counter(counts) for path, counts in found.meta["counts"].items()} == {
        path: Counter(counts) for path, counts in whole.meta["counts"].items()
    }
    assert {key: value for key, value in found.meta.items() if key != "counts"} == {
        key: value for key, value in whole.meta.items() if key != "counts"
    }


def test_rows_and_chunks_of_an_index_are_those_of_the_whole(files, tmp_path):
    paths = files["own"]
    index = read_parts(tmp_path, [[path] for path in paths])
    whole = load(paths)
    same(concatenate(list(Events.blocks(index, 7))), whole)
    same(concatenate([e for part in range(4) for e in Events.blocks(index, chunk=part)]), whole)
    assert len(concatenate(list(Events.blocks(index, chunk=3)))) == 0, "all of the last part is there before"
    for rows in (slice(0, 1), slice(5), slice(38, 62), slice(59, 1000), slice(90, 95), slice(0, 0)):
        same(Events.read(index, rows), whole[rows])
    columns = Events.table(index)
    np.testing.assert_array_equal(columns["split"], whole.split)
    np.testing.assert_array_equal(columns["event_id"], whole.event_id)
    assert columns.meta["name"] == "s"


def test_parts_lend_each_other_the_columns_that_they_lack(make_events, tmp_path):
    first, second = rich(make_events(20, 1), 1, bits=3), rich(make_events(30, 2), 2, bits=3)
    second = replace(
        second, triggers=second.triggers[:, [2, 0]], meta=second.meta | {"triggers": ["L1_new", "L1_0"]},
        facts={"run": second.facts["run"]}, truth={},
    )  # fmt: skip
    for name, events in (("a", first), ("b", second)):
        write_root(events, tmp_path / f"{name}.root")
    paths = [str(tmp_path / "a.root"), str(tmp_path / "b.root")]
    found, whole = Events.read(read_parts(tmp_path, [[path] for path in paths])), load(paths)
    same(found, whole)
    assert found.meta["triggers"] == ["L1_0", "L1_1", "L1_2", "L1_new"]
    np.testing.assert_array_equal(found.triggers[20:], np.pad(second.triggers, ((0, 0), (0, 2)))[:, [1, 2, 3, 0]])
    assert np.all(found.facts["event"][20:] == -1)
    assert np.all(np.isnan(found.truth["hard_pt"][20:]))


def test_a_part_may_be_empty_but_not_all(files, tmp_path, make_events):
    for seed in (5, 6):
        outside = make_events(10, seed)
        write_root(replace(outside, jet=outside.jet * np.float32([0.1, 1, 1, 1])), tmp_path / f"soft_{seed}.root")
    soft, softer = ([str(tmp_path / f"soft_{seed}.root")] for seed in (5, 6))
    window = {"pt": [550, 650], "abs_eta": 2.0}
    some = read_parts(tmp_path, [soft, files["own"][:1]], selection=window, tolerance=100)
    assert len(Events.read(some)) == len(load(files["own"][:1], selection=window))
    assert [len(events) for events in Events.blocks(some, chunk=0)] == [0]
    with pytest.raises(InputError, match=r"sample 's': nothing passes .*refused: pt 20"):
        read_parts(tmp_path / "none", [soft, softer], selection=window, tolerance=100)


def test_features_and_scores_of_parts_are_those_of_the_whole(files, tmp_path):
    vector = EventVector(("mass", "multiplicity"))
    index = read_parts(tmp_path, [[path] for path in files["own"]])
    whole = Features.of(vector, Events.read(index))
    detector = build({"type": "Variable", "arguments": {"variable": "mass"}}, vector.space, seed=0)
    detector.fit(whole.of_split("train").x, whole.of_split("valid").x, generator=None, progress=None)
    of_features, of_scores = [], []
    for part in range(4):
        path = tmp_path / f"features/{part}.test.h5"
        represent(vector, Events.blocks(index, 11, chunk=part), {path: ("test",)})
        write_scores(tmp_path / f"scores/{part}.h5", score({"mass/1": ("v", detector)}, {"v": Features.blocks(path)}))
        of_features.append(path)
        of_scores.append(tmp_path / f"scores/{part}.h5")
    write_index(of_features, tmp_path / "features.test.h5")
    write_index(of_scores, tmp_path / "scores.h5")
    expected = whole.of_split("test")
    n = len(expected.event_id)
    for rows in (slice(None), slice(3), slice(n - 4, None), slice(n, n)):
        found = Features.read(tmp_path / "features.test.h5", rows)
        assert torch.equal(found.x, expected.x[rows])
        np.testing.assert_array_equal(found.event_id, expected.event_id[rows])
    assert torch.equal(torch.cat([f.x for f in Features.blocks(tmp_path / "features.test.h5", 4)]), expected.x)
    path = tmp_path / "all.h5"
    represent(vector, Events.blocks(index, 11), {path: ("train", "valid", "test")})
    for split in ("train", "valid", "test"):
        found, of_split = Features.read_split(path, split), whole.of_split(split)
        assert torch.equal(found.x, of_split.x)
        for name in ("split", "weight", "event_id", "jet"):
            np.testing.assert_array_equal(getattr(found, name), getattr(of_split, name))
    scores, about = read_scores(tmp_path / "scores.h5")
    np.testing.assert_array_equal(scores["mass/1"], detector.score(expected.x).numpy())
    np.testing.assert_array_equal(about["event_id"], expected.event_id)


def test_a_part_that_was_changed_or_is_gone_is_not_read(files, tmp_path):
    index = read_parts(tmp_path, [[path] for path in files["own"]])
    whole = Events.read(tmp_path / "s/1.h5")
    for events in (whole[:-1], concatenate([whole, whole])):
        events.write(tmp_path / "s/1.h5")
        with pytest.raises(InputError, match=rf"s\.h5: 1\.h5 has {len(events)} rows, not 20.*run again"):
            Events.read(index)
    (tmp_path / "s/1.h5").unlink()
    with pytest.raises(InputError, match=r"s/1\.h5: there is no such file"):
        Events.read(index)


def test_an_index_of_an_earlier_version_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "INDEX", "hepad parts")
    index = read_parts(tmp_path, [[path] for path in files["own"]])
    monkeypatch.undo()
    readers = (Events.read, Features.read, read_scores)
    for read, what in zip(
        readers, ("event file of schema .* \\(found 'hepad parts'", "features", "scores"), strict=True
    ):
        with pytest.raises(InputError, match=rf"s\.h5: no.* {what}.*run again"):
            read(index)


def test_a_damaged_index_is_refused_wherever_a_bit_flips(files, tmp_path):
    index = read_parts(tmp_path, [[path] for path in files["own"]])
    whole, data = Events.read(index), index.read_bytes()
    with open_hdf5(index) as file:
        chunk = file["index"].id.get_chunk_info(0)
    rng, refused = np.random.default_rng(6), 0
    for place in rng.integers(0, chunk.size, 40):
        broken = bytearray(data)
        broken[chunk.byte_offset + place] ^= 1 << int(rng.integers(8))
        index.write_bytes(bytes(broken))
        with pytest.raises(InputError, match=r"s\.h5"):
            Events.read(index)
        refused += 1
    index.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="truncated"):
        Events.read(index)
    index.write_bytes(data)
    same(Events.read(index), whole)
    assert refused == 40
