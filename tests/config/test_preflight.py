"""The user's files are read before a run once, and again when they or the configuration have changed."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from hepad.config import preflight
from hepad.errors import InputError, lacking
from hepad.samples.root_output import write_root


@pytest.fixture
def config(make_events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_root(make_events(30, 1), tmp_path / "one.root")
    write_root(make_events(30, 2), tmp_path / "two.root")
    samples = {name: {"source": {"files": [f"{name}.root"]}} for name in ("one", "two")}
    return {"samples": samples, "tasks": {"jets": {"background": "one", "signals": ["two"]}}}


@pytest.fixture
def start(config, monkeypatch):
    """``start()``: what the workflow does at its start; the samples that are read."""
    read = []
    monkeypatch.setattr(preflight, "admit_sample", lambda _config, name: read.append(name))

    def start():
        read.clear()
        known = preflight.known_entries(config)
        preflight.admit(config, {name: {f"{name}.root": 30} for name in config["samples"]}, known)
        return list(read)

    return start


def test_what_was_admitted_is_known(config, start):
    assert start() == ["one", "two"]
    assert preflight.known_entries(config) == {"one": {"one.root": 30}, "two": {"two.root": 30}}
    assert start() == []


def test_a_file_that_has_changed_is_read_again(start):
    start()
    os.utime("two.root", (1, 1))
    assert start() == ["two"]


def test_a_menu_that_has_changed_is_looked_at_again(config, start, tmp_path):
    (tmp_path / "menu.csv").write_text("Index,Name,a\n0,L1_A,1\n")
    config["samples"]["one"]["menu"] = {"table": "menu.csv", "column": "a"}
    assert start() == ["one", "two"]
    assert start() == []
    (tmp_path / "menu.csv").write_text("Index,Name,a\n0,L1_AB,1\n")
    assert start() == ["one", "two"]


def test_another_configuration_is_another_admission(config, start):
    start()
    config["tasks"]["jets"]["signals"] = []
    assert start() == ["one", "two"]


def test_results_that_cannot_be_written_end_the_start_with_their_name(start, monkeypatch):
    def refused(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "results/.x.partial")

    monkeypatch.setattr(preflight.tempfile, "NamedTemporaryFile", refused)
    with pytest.raises(OSError, match="Read-only") as raised:
        start()
    assert lacking(raised.value).startswith("results (mounted at ")


def test_too_few_events_in_a_file_for_a_combination_are_named_before_any_training(config):
    config["tasks"]["jets"]["detectors"] = ["a", "b", "both"]
    config["detectors"] = {name: {"type": "Variable", "representation": "vector"} for name in ("a", "b")}
    config["detectors"]["both"] = {"type": "Combination", "representation": "vector", "members": ["a", "b"]}
    config["representations"] = {"vector": {"type": "EventVector", "variables": ["mass"]}}
    config["evaluation"] = {"supervised": "vector"}
    for entry in config["samples"].values():
        entry |= {"selection": "any", "split": [0.5, 0.3, 0.2]}
    with pytest.raises(InputError, match=r"tasks.jets.detectors: 'both': \d+ calibration events are too few"):
        preflight.admit_sample(config, "one")
    preflight.admit_sample(config, "two")  # of a signal nothing is calibrated
    config["detectors"]["both"]["members"] = []
    preflight.admit_sample(config, "one")


def test_parts_of_a_split_in_time_are_looked_for_to_the_end_of_the_files(config, make_events, tmp_path, monkeypatch):
    """Of random splits the first events show all parts; in time the last part may come last."""
    monkeypatch.setattr(preflight, "ADMITTED", 50)
    number = np.arange(300)
    facts = {"run": number * 0 + 7, "luminosity_block": number // 30, "event": number}
    events = replace(make_events(300, 5), facts={name: values.astype(np.int64) for name, values in facts.items()})
    write_root(events, tmp_path / "timed.root")
    entry = config["samples"]["one"]
    entry |= {"source": {"files": [str(tmp_path / "timed.root")], "rows": 20}, "selection": "any"}
    config["tasks"]["jets"]["detectors"] = []
    config["evaluation"] = {"supervised": "vector"}
    config["representations"] = {"vector": {"type": "EventVector", "variables": ["mass"]}}
    entry["split"] = {"train_until": [7, 4], "valid_until": [7, 8]}
    preflight.admit_sample(config, "one")
    late = {"train": ([6, 9], [7, 3]), "valid": ([7, 3], [7, 3]), "test": ([7, 3], [7, 9])}
    for part, until in late.items():
        entry["split"] = dict(zip(("train_until", "valid_until"), until, strict=True))
        with pytest.raises(InputError, match=f"samples.one: there are no {part} events. Change 'split'"):
            preflight.admit_sample(config, "one")
