"""The rate in time of a finished run: a change that was planted is found, and what cannot be followed is said."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.cli.main import main
from hepad.config import plan
from hepad.config.monitoring import monitor
from hepad.config.monitoring_page import report, write
from hepad.config.results import Results
from hepad.errors import InputError
from hepad.evaluation.scores import write_scores
from hepad.representations import EventVector
from hepad.representations.features import Features
from hepad.samples.root_output import write_root
from hepad.storage.files import write_json

SECTIONS, EACH, START = 24, 60, 12
DIMUON = Path(os.environ.get("HEPAD_DATA", "")) / "hep" / "nano_dimuon.root"
STYLE = {"experiment": None, "label": "Simulation"}


@pytest.fixture(scope="module")
def data(make_events, tmp_path_factory):
    """Two runs of twelve sections, the second file first; and the same with wider jets from section 12 on."""
    folder = tmp_path_factory.mktemp("data")
    events = make_events(SECTIONS * EACH, 11)
    section = np.repeat(np.arange(SECTIONS), EACH)
    facts = {"run": 100 + section // START, "luminosity_block": 1 + section % START, "event": np.arange(len(section))}
    events = replace(events, facts={name: values.astype(np.int64) for name, values in facts.items()})
    wide = events.constituents.copy()
    late = section >= START
    axis = events.jet[late, None, 1:3]
    wide[late, :, 1:3] = np.where(wide[late, :, :1] > 0, axis + 1.25 * (wide[late, :, 1:3] - axis), 0)
    for name, of in (("steady", events), ("drifting", replace(events, constituents=wide))):
        write_root(of[late], folder / f"{name}_a.root")  # names are not in the order of time
        write_root(of[~late], folder / f"{name}_b.root")
    return folder


def followed(finished, data, name, **options):
    options = {"detector": "wide", "eps_b": 0.1, **options}
    return monitor(Results(finished), "search", [str(data / f"{name}_*.root")], **options)


def test_a_steady_run_rings_no_alarm(finished, data):
    found = followed(finished, data, "steady")
    assert found.drift.alarm is None
    assert found.restored is None
    assert found.sections.tolist() == [[100 + i // START, 1 + i % START] for i in range(SECTIONS)]
    assert (found.events == EACH).all()
    assert any("No alarm" in line for line in report(found))
    said = [line for line in report(found) if "would be found with --factor" in line]
    assert [re.search(r"--factor (\S+):", line)[1] for line in said] == ["1.1", "1.05"]
    assert list(found.smaller) == [1.1, 1.05]
    assert found.drift.delay <= found.smaller[1.1] <= found.smaller[1.05]


def test_a_planted_change_is_found_where_it_began(finished, data, tmp_path):
    found = followed(finished, data, "drifting")
    assert found.drift.direction == "risen"
    assert abs(found.drift.began - START) <= 2
    assert START <= found.drift.alarm <= START + 8
    assert found.changed["score"][1] < 1e-3 < found.changed["jet_eta"][1]
    assert found.restored > found.threshold
    since = slice(found.drift.began, None)
    ratio = found.passed[since].sum() / (found.drift.expected * found.events)[since].sum()
    assert ratio > 1.3
    assert any(f"since then {ratio:.3g} [" in line for line in report(found))
    scored = followed(finished, data, "drifting", reference=[str(data / "steady_*.root")])
    assert scored.reference.whole.n == SECTIONS * EACH
    written = write(found, tmp_path / "out", STYLE)
    assert {path.name for path in written} == {"monitor.html", "monitor.csv", "monitor.pdf"}
    rows = list(csv.DictReader((tmp_path / "out/monitor.csv").open()))
    assert [int(row["passed"]) for row in rows] == found.passed.tolist()
    assert [int(row["alarm"]) for row in rows].index(1) == found.drift.alarm
    page = (tmp_path / "out/monitor.html").read_text()
    assert "ALARM in run 101, section" in page
    (moved,) = [text for text in report(found) if "distribution of the score" in text]
    distance, _, before, after = found.changed["score"]
    assert f"its mean is {after:.5g}, there {before:.5g}; it is off by {distance:.3f}" in moved
    assert after > before
    assert not re.search(r'(src|href)="https?:', page)


def test_a_change_in_the_last_section_is_an_alarm_all_the_same(finished, data, make_events, tmp_path):
    """Sixty events are enough to ring."""
    events = make_events(8 * EACH, 11)
    section = np.repeat(np.arange(8), EACH)
    facts = {"run": section * 0 + 1, "luminosity_block": section, "event": np.arange(len(section))}
    wide, late = events.constituents.copy(), section == 7
    axis = events.jet[late, None, 1:3]
    wide[late, :, 1:3] = np.where(wide[late, :, :1] > 0, axis + 2 * (wide[late, :, 1:3] - axis), 0)
    facts = {name: values.astype(np.int64) for name, values in facts.items()}
    write_root(replace(events, constituents=wide, facts=facts), tmp_path / "late.root")
    found = monitor(Results(finished), "search", [str(tmp_path / "late.root")], detector="wide", eps_b=0.05)
    assert found.drift.alarm == 7
    assert any("ALARM" in line for line in report(found))
    write(found, tmp_path / "out", STYLE)


def test_jets_outside_of_the_window_are_left_out(finished, data, make_events, tmp_path):
    events = make_events(400, 12)
    facts = {name: np.arange(400) // 100 for name in ("run", "luminosity_block", "event")}
    jet, constituents = events.jet.copy(), events.constituents.copy()
    jet[::2, 0] *= 2
    constituents[::2, :, 0] *= 2
    write_root(replace(events, jet=jet, constituents=constituents, facts=facts), tmp_path / "two.root")
    found = monitor(Results(finished), "search", [str(tmp_path / "two.root")], detector="wide", eps_b=0.1)
    assert found.events.sum() == 200
    assert found.outside.tolist() == [50, 50, 50, 50]
    said = " ".join(report(found))
    assert "200 of 400 events have no jet in the window of the training and are left out." in said


def test_jets_that_leave_the_window_are_a_warning_with_the_section(finished, data, make_events, tmp_path):
    events = make_events(SECTIONS * EACH, 13)
    section = np.repeat(np.arange(SECTIONS), EACH)
    facts = {"run": np.ones(len(section), int), "luminosity_block": section + 1, "event": np.arange(len(section))}
    jet, constituents = events.jet.copy(), events.constituents.copy()
    far = (section >= START) & (np.arange(len(section)) % 4 == 0)
    jet[far, 0] *= 2
    constituents[far, :, 0] *= 2
    write_root(replace(events, jet=jet, constituents=constituents, facts=facts), tmp_path / "moved.root")
    found = monitor(Results(finished), "search", [str(tmp_path / "moved.root")], detector="wide", eps_b=0.1)
    assert found.outside.tolist() == [0] * START + [EACH // 4] * (SECTIONS - START)
    (line,) = [text for text in report(found) if "no jet in the window" in text]
    assert line.startswith("WARNING")
    assert f"0 of all before run 1, section {START + 1}, 0.25 from there on" in line
    write(found, tmp_path / "out", STYLE)
    rows = list(csv.DictReader((tmp_path / "out/monitor.csv").open()))
    assert [int(row["outside"]) for row in rows] == found.outside.tolist()


def test_the_command_says_so_with_its_exit_status(finished, data, tmp_path, capsys):
    command = ["monitor", "--task", "search", "--detector", "wide", "--eps-b", "0.1", "--results", str(finished)]
    main([*command, "--to", str(tmp_path / "a"), str(data / "steady_*.root")])
    assert "No alarm" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--to", str(tmp_path / "b"), str(data / "drifting_*.root")])
    assert stopped.value.code == 3
    assert "ALARM" in capsys.readouterr().out
    assert (tmp_path / "b" / "monitor.png").stat().st_size > 5000


def test_what_cannot_be_followed_is_said(finished, data, make_events, tmp_path):
    write_root(make_events(50, 3), tmp_path / "plain.root")
    with pytest.raises(InputError, match=r"plain.root: events without run and luminosity section"):
        monitor(Results(finished), "search", [str(tmp_path / "plain.root")], detector="wide", eps_b=0.1)
    with pytest.raises(InputError, match="of 400 reference events pass"):
        followed(finished, data, "steady", eps_b=1e-3)
    with pytest.raises(InputError, match="detector of task 'search' 'high' is unknown"):
        followed(finished, data, "steady", detector="high")
    with pytest.raises(InputError, match=r"factor of 0\.5 is no change"):
        followed(finished, data, "steady", factor=0.5)


def in_sections(events, each, **facts):
    section = np.arange(len(events)) // each
    facts = {"run": section * 0 + 1, "luminosity_block": section, "event": np.arange(len(events))} | facts
    kinds = {"pileup": np.float32}
    return replace(events, facts={x: values.astype(kinds.get(x, np.int64)) for x, values in facts.items()})


def test_a_reference_with_weights_is_what_it_stands_for(finished, data, make_events, tmp_path):
    """Of narrow jets every third, with weight 3: nearly the threshold and the alarm of the whole, of fewer events."""
    events = make_events(3000, 21)
    girth = EventVector(("girth",))(events)[:, 0].numpy()
    narrow = girth < np.quantile(girth, 0.7)
    kept = ~narrow | (np.arange(3000) % 3 == 0)
    write_root(events, tmp_path / "whole.root")
    write_root(replace(events, weight=np.where(narrow, 3.0, 1.0))[kept], tmp_path / "thinned.root")
    files = [str(tmp_path / f"{name}.root") for name in ("whole", "thinned")]
    whole, thinned = (followed(finished, data, "drifting", reference=[file]) for file in files)
    assert thinned.threshold == pytest.approx(whole.threshold, rel=0.01)
    share, k, n = thinned.reference.effective(thinned.threshold)
    assert share == pytest.approx(0.1, abs=0.002)
    assert k == pytest.approx(share * n)
    variance = (
        300 - 2 * 0.1 * 300 + 0.1**2 * (900 + 3 * 2100)
    ) / 3000**2  # weights 1 of all that pass, 3 of most others
    assert k == pytest.approx(0.1 * 0.09 / variance, rel=0.03)
    assert thinned.drift.direction == "risen"
    assert abs(thinned.drift.alarm - whole.drift.alarm) <= 2
    assert thinned.changed["score"][0] == pytest.approx(whole.changed["score"][0], abs=0.03)
    assert any("by weight, as well known as by" in line for line in report(thinned))


def test_data_with_weights_are_refused(finished, make_events, tmp_path):
    events = in_sections(make_events(400, 3), 50)
    write_root(replace(events, weight=np.linspace(1, 2, 400)), tmp_path / "weighted.root")
    with pytest.raises(InputError, match=r"weighted.root: events have different weights, and data have none"):
        monitor(Results(finished), "search", [str(tmp_path / "weighted.root")], detector="wide", eps_b=0.1)
    files = [str(tmp_path / "weighted.root")]
    with pytest.raises(InputError, match=r"count for \S+ independent ones; to follow a rate with weights 100 are need"):
        monitor(Results(finished), "search", files, detector="wide", eps_b=0.1, reference=files)
    write_root(replace(events, weight=np.linspace(-2, 1, 400)), tmp_path / "negative.root")
    write_root(events, tmp_path / "data.root")
    with pytest.raises(InputError, match="reference weights sum to -"):
        monitor(Results(finished), "search", [str(tmp_path / "data.root")], detector="wide", eps_b=0.1,
                reference=[str(tmp_path / "negative.root")])  # fmt: skip


def test_a_rate_that_follows_the_pileup_is_no_fault(finished, make_events, tmp_path):
    """Jets widen with the pile-up, which falls. With it no section rings; without it, some do, and it is said."""

    def crossings(n, seed, pileup):
        events = make_events(n, seed)
        wide, axis = events.constituents.copy(), events.jet[:, None, 1:3]
        scale = (0.8 + pileup / 150)[:, None, None]
        wide[..., 1:3] = np.where(wide[..., :1] > 0, axis + scale * (wide[..., 1:3] - axis), 0)
        return in_sections(replace(events, constituents=wide), 100, pileup=pileup)

    rng = np.random.default_rng(3)
    write_root(crossings(4000, 31, rng.uniform(20, 70, 4000)), tmp_path / "reference.root")
    fill = crossings(3000, 32, np.repeat(np.linspace(65, 25, 30), 100) + rng.normal(0, 2, 3000))
    write_root(fill, tmp_path / "fill.root")
    write_root(replace(fill, facts={x: v for x, v in fill.facts.items() if x != "pileup"}), tmp_path / "unknown.root")
    options = {"detector": "wide", "eps_b": 0.1, "reference": [str(tmp_path / "reference.root")]}
    known, unknown = (
        monitor(Results(finished), "search", [str(tmp_path / f"{name}.root")], **options)
        for name in ("fill", "unknown")
    )
    assert known.drift.alarm is None
    assert unknown.drift.alarm is not None
    assert (known.pileup, unknown.pileup) == ("pileup", "")
    assert known.drift.expected[0] > 2 * known.drift.expected[-1]
    assert "The rate follows the pile-up: " in " ".join(report(known))
    assert "Pile-up is not known of all events" in " ".join(report(unknown))
    assert known.beyond == ((fill.facts["pileup"] < known.strata.edges[0])
                            | (fill.facts["pileup"] > known.strata.edges[-1])).sum()  # fmt: skip
    far = replace(fill, facts=fill.facts | {"pileup": np.full(3000, 150, np.float32)})
    write_root(far, tmp_path / "far.root")
    with pytest.raises(InputError, match="all events have a pile-up beyond"):
        monitor(Results(finished), "search", [str(tmp_path / "far.root")], **options)


@pytest.mark.skipif(not DIMUON.is_file(), reason="HEPAD_DATA has no nano_dimuon.root")
def test_forty_real_events_are_too_few_and_it_is_said(make_events, tmp_path):
    """Of 2018, with run and section as the file has them."""
    vector, spec = EventVector(("met", "n_jets")), {"type": "Variable", "arguments": {"variable": "met"}}
    events, folder = make_events(400, 1), tmp_path / "results"
    events = replace(events, met=np.random.default_rng(0).exponential(20, (400, 2)).astype(np.float32))
    features = Features.of(vector, events)
    detector = detectors.build(spec, vector.space, 0)
    detector.fit(features.x, features.x, generator=torch.Generator())
    detectors.save(detector, folder / "models/search/met/1.safetensors", spec)
    events.write(folder / "events/qcd.h5")
    write_scores(folder / "scores/search/qcd.h5", [({"met/1": detector.score(features.x).numpy()}, features)])
    config = {
        "samples": {"qcd": {"selection": "any"}},
        "representations": {"vector": {"type": "EventVector", "variables": ["met", "n_jets"]}},
        "detectors": {"met": {"type": "Variable", "representation": "vector"}},
        "tasks": {"search": {"background": "qcd", "signals": [], "detectors": ["met"], "seeds": [1]}},
        "style": {},
    }
    write_json(folder / plan.PATH.relative_to("results"), {"of": {}, "plan": {"config": config, "detectors": {}}})
    found = monitor(Results(folder), "search", [str(DIMUON)], eps_b=0.1)
    assert 30 < found.events.sum() <= 40
    assert (found.sections[:, 0] > 300_000).all()  # runs of 2018
    assert found.changed == {}
    assert "TOO FEW: a change by the factor 1.3 that is looked for would not be found" in " ".join(report(found))
    write(found, tmp_path / "out", STYLE)
    rows = list(csv.DictReader((tmp_path / "out/monitor.csv").open()))
    assert sum(int(row["events"]) for row in rows) == found.events.sum()
