"""Files are whole or absent, and damage is noticed."""

import os
import platform
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from hepad.detectors import build
from hepad.errors import InputError, check_choice, report_errors
from hepad.evaluation.scores import read_scores, score, write_scores
from hepad.events import Events, write_blocks
from hepad.representations import EventVector
from hepad.representations.features import Features, represent
from hepad.storage.files import atomic_path, read_json, write_json
from hepad.storage.hdf5 import append_array, open_hdf5, read_array


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def fail():
        with atomic_path(target) as partial:
            partial.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_may_not_be_written_to_is_said_of_the_file(tmp_path, monkeypatch):
    if os.geteuid() == 0:  # who may write everywhere
        monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    else:
        tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"Permission denied: '.*/a\.json'$"):
        write_json(tmp_path / "a.json", {})
    assert not any(tmp_path.iterdir())


def test_a_file_system_that_is_read_only_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    monkeypatch.setattr("os.statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(OSError, match=r"Read-only file system: '.*/a\.json'$"):
        write_json(tmp_path / "a.json", {})


def test_what_another_host_has_begun_is_left_to_it(tmp_path, monkeypatch):
    gone = 4194303  # above the largest number of a process
    monkeypatch.setattr(platform, "node", lambda: "far.away")
    with atomic_path(tmp_path / "a.json") as there:
        monkeypatch.setattr(platform, "node", lambda: "here")
        write_json(tmp_path / "a.json", {"from": "here"})
        assert there.name == f".a.json.far_away.{os.getpid()}.partial"
        there.write_text("{}")
        names = (f"here.{gone}", f"here.{os.getppid()}", f"far_away.{gone}", f"here.b.{gone}")
        left = [tmp_path / f".a.json.{name}.partial" for name in names]
        for path in left:
            path.write_text("{")
        write_json(tmp_path / "a.json", {"from": "here"})
        assert [path.exists() for path in left] == [False, True, True, True]
    assert read_json(tmp_path / "a.json") == {}


def test_flipped_bytes_are_noticed(tmp_path):
    path = tmp_path / "x.h5"
    x = np.random.default_rng(0).normal(size=(500, 40))
    with h5py.File(path, "w") as file:
        append_array(file, "x", x)
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(read_array(file, "x"), x)
        offset = file["x"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 1000] ^= 0xFF
    path.write_bytes(content)
    with open_hdf5(path) as file, pytest.raises(InputError, match="dataset 'x' cannot be read"):
        read_array(file, "x")


def test_truncated_and_missing_files_are_named(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        append_array(file, "x", np.arange(10_000.0))
    path.write_bytes(path.read_bytes()[:3000])
    for name in ("x.h5", "absent.h5"):
        with pytest.raises(InputError, match=name), open_hdf5(tmp_path / name):
            pass


def test_a_missing_dataset_is_named_with_those_present(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        append_array(file, "y", np.arange(3))
        with pytest.raises(InputError, match="dataset 'x' is missing; present: y"):
            read_array(file, "x")


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), np.float64(2.5), np.int64(3)]})
    assert read_json(tmp_path / "x.json") == {"a": [None, 2.5, 3]}
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_features_and_scores_survive_their_files(make_events, tmp_path):
    events = make_events(60, 4)
    features = Features.of(EventVector(variables=("mass", "multiplicity")), events)
    features.write(tmp_path / "f.h5")
    read = Features.read(tmp_path / "f.h5")
    assert torch.equal(read.x, features.x)
    assert read.space == features.space
    parts = [read.of_split(name) for name in ("train", "valid", "test")]
    halves = Features.blocks(tmp_path / "f.h5", 30)
    assert sum(len(part.x) for part in parts) == 60
    assert not set(parts[0].event_id) & set(parts[2].event_id)
    scores = [
        ({"ae/1": np.arange(60.0)[i : i + 30], "ae/2": np.ones(30)}, part)
        for i, part in zip((0, 30), halves, strict=True)
    ]
    write_scores(tmp_path / "s.h5", scores)
    scores, about = read_scores(tmp_path / "s.h5")
    assert list(scores) == ["ae/1", "ae/2"]
    np.testing.assert_array_equal(scores["ae/1"], np.arange(60))
    np.testing.assert_array_equal(about["jet"], events.jet)


def test_chunked_work_gives_what_whole_work_gives(make_events, tmp_path):
    """Events to features to scores, in chunks of 7 and at once."""
    events, representation = make_events(60, 5), EventVector(variables=("mass", "girth"))
    write_blocks(tmp_path / "e.h5", [events[:25], events[25:25], events[25:]])
    found = Events.read(tmp_path / "e.h5")
    for name, array in events.arrays():
        np.testing.assert_array_equal(dict(found.arrays())[name], array)
    paths = {str(tmp_path / "train.h5"): ("train", "valid"), str(tmp_path / "test.h5"): ("test",)}
    represent(representation, Events.blocks(tmp_path / "e.h5", 7), paths)
    whole = Features.of(representation, events)
    for path, splits in paths.items():
        assert torch.equal(Features.read(path).x, whole.of_split(*splits).x)
    detector = build({"type": "Variable", "arguments": {"variable": "mass"}}, representation.space, 0)
    detector.fit(whole.x, whole.x, generator=torch.Generator())
    chunks = {"vector": Features.blocks(tmp_path / "test.h5", 5)}
    write_scores(tmp_path / "s.h5", score({"mass/1": ("vector", detector)}, chunks))
    scores, about = read_scores(tmp_path / "s.h5")
    np.testing.assert_array_equal(scores["mass/1"], detector.score(whole.of_split("test").x))
    np.testing.assert_array_equal(about["event_id"], whole.of_split("test").event_id)


def test_the_user_sees_the_message_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, report_errors(tmp_path / "log"):
        raise InputError("x.root: is broken. Fetch it again.")
    assert str(stop.value) == "ERROR: x.root: is broken. Fetch it again."
    assert "ERROR: x.root: is broken" in (tmp_path / "log").read_text()


def test_choose_suggests():
    with pytest.raises(InputError, match=r"detector 'NEA' is unknown\. Did you mean 'NAE'\? Allowed: AE, MPDR, NAE\."):
        check_choice("detector", "NEA", ["NAE", "AE", "MPDR"])
