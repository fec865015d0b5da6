"""The rate in time of a finished run: a change that was planted is found, and what cannot be followed is said."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

from hepad.cli.main import main
from hepad.config.monitoring import monitor, report, write
from hepad.config.results import Results
from hepad.errors import InputError
from hepad.samples.root_output import write_root

SECTIONS, EACH, START = 24, 60, 12
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


def test_a_planted_change_is_found_where_it_began(finished, data, tmp_path):
    found = followed(finished, data, "drifting")
    assert found.drift.direction == "risen"
    assert abs(found.drift.began - START) <= 2
    assert START <= found.drift.alarm <= START + 8
    assert found.changed["score"][1] < 1e-3 < found.changed["jet_eta"][1]
    assert found.restored > found.threshold
    scored = followed(finished, data, "drifting", reference=[str(data / "steady_*.root")])
    assert scored.reference.whole.n == SECTIONS * EACH
    written = write(found, tmp_path / "out", STYLE)
    assert {path.name for path in written} == {"monitor.html", "monitor.csv", "monitor.pdf"}
    rows = list(csv.DictReader((tmp_path / "out/monitor.csv").open()))
    assert [int(row["passed"]) for row in rows] == found.passed.tolist()
    assert [int(row["alarm"]) for row in rows].index(1) == found.drift.alarm
    page = (tmp_path / "out/monitor.html").read_text()
    assert "ALARM in run 101, section" in page
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
