"""Sums of processes in a configuration: what they inherit, and what is refused before any job, by its key."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import yaml
from command_line import ROOT, planned
from test_validation import admit

from hepad.config import loading, preflight
from hepad.errors import InputError
from hepad.samples.root_output import write_root

SIGMA = {"cross_section_pb": 5.0}


@pytest.fixture
def config():
    """The small configuration, its background a sum of two slices."""
    config = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    source = config["samples"]["qcd"]["source"]
    slices = {f"qcd_{low}": {"settings": [f"PhaseSpace:pTHatMin = {low}"]} for low in (400, 600)}
    config["samples"]["qcd"]["source"] = {"processes": {
        name: {"card": source["card"], "jets": 900, "chunks": 2, **of} for name, of in slices.items()
    }, "leading": 2, "seed": 3}  # fmt: skip
    return config


@pytest.fixture
def files(config, make_events, tmp_path):
    """The same of two files that know nothing of their generation."""
    for number in (0, 1):
        events = replace(make_events(30, number), meta={"name": "f", "jet_radius": 0.8})
        write_root(events, tmp_path / f"{number}.root")
    processes = {f"p{n}": {"files": [str(tmp_path / f"{n}.root")]} | SIGMA for n in (0, 1)}
    config["samples"]["qcd"]["source"] = {"processes": processes, "tolerance": 0.5}
    config["tasks"]["qcd"] |= {"any_window": True, "detectors": ["mass"]}
    return config


def source(config):
    return config["samples"]["qcd"]["source"]


def message(config, **options):
    with pytest.raises(InputError) as caught:
        admit(config, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_keys_around_are_those_of_all_processes(config):
    source(config)["processes"]["qcd_600"] |= {"seed": 4, "response": False}
    admitted = source(admit(config))
    assert list(admitted) == ["processes"]
    low, high = admitted["processes"].values()
    assert (low["leading"], low["seed"], low["response"]) == (2, 3, True)
    assert (high["leading"], high["seed"], high["response"]) == (2, 4, False)
    assert loading.generated_jets(admitted) == 1800


def of(change, *words):
    return change, words


MISTAKES = {
    "key": of(lambda s: s["processes"]["qcd_400"].update(jetz=3), ".processes.qcd_400: key 'jetz'", "'jets'"),
    "key of all": of(lambda s: s.update(leeding=1), ".processes.qcd_", "key 'leeding'", "'leading'"),
    "card beside": of(lambda s: s.update(card="a"), "samples.qcd.source: exactly one", "'processes'"),
    "neither": of(lambda s: s["processes"]["qcd_600"].pop("card"), ".processes.qcd_600: exactly one", "'card'"),
    "empty": of(lambda s: s.update(processes={}), "samples.qcd.source.processes"),
    "no mapping": of(lambda s: s["processes"].update(qcd_600=3), "samples.qcd.source"),
    "name": of(lambda s: s["processes"].update({"a-b": s["processes"]["qcd_400"]}), ".processes", "underscores"),
    "negative": of(lambda s: s["processes"]["qcd_400"].update(cross_section_pb=-1), ".qcd_400.cross_section_pb", "-1"),
    "sum of a card": of(lambda s: s["processes"]["qcd_400"].update(sum_weights=1), ".qcd_400: key 'sum_weights'"),
    "whole number": of(lambda s: s["processes"]["qcd_400"].update(seed=2.0), ".qcd_400.seed: 2.0 is no whole number"),
    "chunks": of(lambda s: s["processes"]["qcd_400"].update(chunks=901), ".qcd_400: 901 chunks are more than 900 jets"),
    "too many chunks": of(lambda s: [p.update(chunks=600) for p in s["processes"].values()], "1200 chunks"),
    "card": of(lambda s: s["processes"]["qcd_600"].update(card="no.cmnd"), ".qcd_600: file 'no.cmnd' is neither"),
    "rows of two kinds": of(lambda s: s["processes"]["qcd_600"].update(leading=1), "they differ in 'leading'"),
    "crossings": of(
        lambda s: s.update(zero_bias={"mean": 2, "pool": 9}, level1=True, leading=1), ".qcd_400", "selection 'any'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_process_is_refused_by_its_key(config, name):
    change, words = MISTAKES[name]
    change(source(config))
    text = message(config)
    assert [word for word in words if word not in text] == [], text


def test_crossings_are_no_process(config):
    config["samples"]["qcd"]["selection"] = "any"
    source(config).update(zero_bias={"mean": 2, "pool": 9}, level1=True, leading=1)
    config["tasks"]["qcd"]["any_window"] = True
    assert "qcd_400.zero_bias: crossings have all processes in them" in message(config)


def test_the_rate_of_a_sum_has_no_cross_section_of_its_own(config):
    rate = {"kind": "cross_section", "luminosity": 2e34}
    config["samples"]["qcd"]["rate"] = rate | {"cross_section_pb": 3.0}
    assert "samples.qcd.rate.cross_section_pb: that of a sum is made of its processes" in message(config)
    config["samples"]["qcd"]["rate"] = {"kind": "zero_bias"}
    assert "kind 'zero_bias' does not fit" in message(config)
    config["samples"]["qcd"]["rate"] = {"luminosity": 2e34}
    admit(config)


def test_a_cross_section_is_of_one_of_several_processes(config):
    config["samples"]["top"]["source"] |= SIGMA
    assert "samples.top.source.cross_section_pb: this is of one of several 'processes'" in message(config)


def test_files_need_a_cross_section(files):
    admit(files)
    del source(files)["processes"]["p1"]["cross_section_pb"]
    assert "samples.qcd.source.processes.p1.cross_section_pb: missing" in message(files)


def test_a_file_is_of_one_process(files):
    source(files)["processes"]["p1"]["files"] = source(files)["processes"]["p0"]["files"]
    text = message(files)
    assert text.startswith("samples.qcd.source.processes.p1: ")
    assert "another process has it, too" in text


def test_beams_of_one_energy(files, make_events, tmp_path):
    for number, tev in enumerate((13.0, 14.0)):
        events = replace(make_events(30, number), meta={"name": "f", "jet_radius": 0.8, "sqrt_s_tev": tev})
        write_root(events, tmp_path / f"{number}.root")
    assert "samples.qcd.source.processes: their collisions have 13 and 14 TeV" in message(files)


def test_parts_of_a_sum_are_counted_together_when_it_is_admitted(files, make_events, tmp_path):
    events = replace(make_events(60, 5), meta={"name": "f", "jet_radius": 0.8})
    parts = [events[events.split == 2], events[events.split != 2]]
    for number, part in enumerate(parts):  # neither has all that the task needs
        write_root(part, tmp_path / f"{number}.root")
    preflight.admit_sample(admit(files), "qcd")
    write_root(parts[0][:1], tmp_path / "0.root")
    write_root(parts[0][1:], tmp_path / "1.root")
    with pytest.raises(InputError, match=r"samples\.qcd: there are no train events"):
        preflight.admit_sample(admit(files), "qcd")


def test_what_was_admitted_is_known_process_by_process(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = admit(files)
    entries = preflight.check_inputs(files, ROOT, {})
    paths = [str(tmp_path / f"{number}.root") for number in (0, 1)]
    assert entries["qcd"] == {"p0": {paths[0]: 30}, "p1": {paths[1]: 30}}
    preflight.admit(files, entries, {})
    assert preflight.known_entries(files)["qcd"] == entries["qcd"]
    other = copy.deepcopy(files)
    source(other)["processes"]["p0"]["cross_section_pb"] = 6.0
    assert "qcd" not in preflight.known_entries(other)


@pytest.mark.slow
def test_chunks_of_all_processes_are_those_of_the_sample(config, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    jobs = planned(tmp_path / "run", tmp_path / "config.yaml", "results/events/qcd.h5")
    made = {path for job in jobs if job.rule == "generate_chunk" for path in job.outputs}
    assert made == {f"results/samples/qcd/{chunk}.root" for chunk in range(4)}
    read = {job.outputs[0]: set(job.inputs) for job in jobs if job.rule == "read_events"}
    assert read == {  # processes are not mixed, chunks of one are
        "results/events/qcd/0.h5": {f"results/samples/qcd/{chunk}.root" for chunk in (0, 1)},
        "results/events/qcd/1.h5": {f"results/samples/qcd/{chunk}.root" for chunk in (2, 3)},
    }
    assert np.all([len(job.outputs) == 1 for job in jobs])
