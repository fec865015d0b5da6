"""``hepad init``: configurations that the checks before a run admit, and skeletons that say what they lack."""

import numpy as np
import pytest
import yaml
from command_line import ROOT
from dialects import DIALECTS, write_tree
from schema import validate

from hepad.cli.main import main
from hepad.config import preflight
from hepad.samples.root_output import write_root


def made(folder, *arguments) -> dict:
    """The configuration that is written to ``folder``."""
    main(["init", *map(str, arguments), "--to", str(folder / "hepad.yaml")])
    return yaml.safe_load((folder / "hepad.yaml").read_text())


def admitted(config: dict) -> dict:
    """It passes all that a run begins with, the first events of every sample included."""
    validate(config)  # fills in defaults
    plan = preflight.make(config, ROOT)
    preflight.admit(plan["config"], plan["entries"], {})
    return plan["config"]


@pytest.fixture
def files(make_events, tmp_path, monkeypatch):
    """qcd_1.root, qcd_2.root and top.root in the present folder."""
    monkeypatch.chdir(tmp_path)
    write_root(make_events(300, 1), "qcd_1.root")
    write_root(make_events(300, 3), "qcd_2.root")
    write_root(make_events(200, 2, prongs=2), "top.root")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [("qcd_1.root", "qcd_2.root", "top.root"), ("--background", "qcd*.root", "--signal", "top*.root")],
    ids=["a shell's files", "patterns"],
)
def test_what_it_writes_is_admitted(arguments, files, capsys):
    config = made(files, *arguments)
    assert "next: look at it, then `hepad run --config" in capsys.readouterr().out
    assert config["tasks"]["search"]["background"] == "qcd"
    assert config["tasks"]["search"]["signals"] == ["top"]
    full = admitted(config)
    types = {full["detectors"][name]["type"] for name in full["tasks"]["search"]["detectors"]}
    assert {"AE", "NAE", "ConvVAE", "MPDR", "Mixture"} <= types
    low, high = config["samples"]["qcd"]["selection"]["pt"]
    assert 500 < low < 600 < high < 700  # the toy jets have 560 to 640 GeV
    assert config["samples"]["qcd"]["selection"] == config["samples"]["top"]["selection"]


def test_every_line_that_chooses_says_why(files, capsys):
    made(files, "qcd_1.root", "top.root")
    lines = (files / "hepad.yaml").read_text().splitlines()
    for key in ("selection:", "split:", "reader:", "seeds:", "working_point:", "supervised:"):
        assert all("#" in line for line in lines if key in line and "style" not in line and "score" not in line), key


def test_events_without_constituents_get_matrices(make_events, tmp_path, capsys):
    events = make_events(300, 4)
    dialect = DIALECTS["dark_machines"]
    paths = [dialect.file(tmp_path / name, dialect.columns(events)) for name in ("background", "signal")]
    config = made(tmp_path, *paths)
    assert {entry["representation"] for entry in config["detectors"].values()} == {"matrix"}
    admitted(config)


def test_different_phase_space_is_told(files, make_events, capsys):
    from dataclasses import replace

    events = make_events(100, 7)
    hard = {"jet": events.jet.copy(), "constituents": events.constituents.copy()}
    for momenta in hard.values():
        momenta[..., 0] *= 2.4
    hard["jet"][:, 3] *= 2.4
    write_root(replace(events, **hard), "hard.root")
    config = made(files, "qcd_1.root", "hard.root")
    assert {entry["selection"] for entry in config["samples"].values()} == {"any"}
    assert "differ by phase space alone; median pT in GeV: qcd " in (files / "hepad.yaml").read_text()


def test_unknown_files_get_a_skeleton(make_events, tmp_path, capsys):
    """A mapping that is guessed and tried is admitted; one that is not says what to fill in."""
    for name, seed, prongs in (("mine", 5, 1), ("other", 6, 2)):
        events = make_events(300, seed, prongs=prongs)
        there = events.constituents[..., 0] > 0
        import awkward as ak

        lists = {
            f"part_{x}": ak.unflatten(np.ascontiguousarray(events.constituents[..., i][there]), there.sum(axis=1))
            for i, x in enumerate(("pt", "eta", "phi"))
        }
        jets = {f"fj_{x}": events.jet[:, i] for i, x in enumerate(("pt", "eta", "phi", "mass"))}
        write_tree(tmp_path / f"{name}.root", lists | jets)
    config = made(tmp_path, tmp_path / "mine.root", tmp_path / "other.root")
    assert config["samples"]["mine"]["source"]["branches"]["constituent_pt"] == "part_pt"
    assert "to do" not in capsys.readouterr().out
    admitted(config)
    (tmp_path / "hepad.yaml").unlink()
    write_tree(tmp_path / "flat.root", {"lead_pt": np.full(5, 40.0), "x": np.ones(5)})
    config = made(tmp_path, "--background", tmp_path / "mine.root", "--signal", tmp_path / "flat.root")
    assert "to do: samples.flat.source.branches in the file" in capsys.readouterr().out
    assert "FILL_IN" in config["samples"]["flat"]["source"]["branches"].values()


def test_names_are_names(make_events, tmp_path, capsys):
    (tmp_path / "2024").mkdir()
    for name in ("13 TeV-QCD.v2.root", "supervised.root", "2024/1.root"):
        write_root(make_events(60, 1), tmp_path / name)
    names = list(made(tmp_path, *(tmp_path / name for name in ("13 TeV-QCD.v2.root", "supervised.root")))["samples"])
    assert names == ["sample_13_TeV_QCD", "supervised_sample"]
    (tmp_path / "hepad.yaml").unlink()
    same = made(tmp_path, "--background", tmp_path / "2024/1.root", "--signal", tmp_path / "2024/*.root")
    assert len(same["samples"]) == 2


def test_one_sample_alone_lacks_a_signal(files, capsys):
    config = made(files, "qcd_1.root")
    assert "to do: there is no signal: add a sample" in capsys.readouterr().out
    assert config["tasks"]["search"]["signals"] == ["FILL_IN"]


def test_wrong_input_gives_one_message(files, capsys):
    (files / "there.yaml").write_text("mine")
    (files / "bad.root").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    for arguments, words in (
        (("qcd_1.root", "--to", "there.yaml"), "there.yaml: it is there already"),
        ((), "give files, or those of --background and --signal"),
        (("qcd_1.root", "--background", "qcd_2.root"), "and not both"),
        (("--signal", "top.root"), "--background is missing"),
        (("none*.root",), "matches no file"),
        (("bad.root",), "this is a web page (HTML)"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["init", *arguments])
        assert words in str(ended.value)
        assert len(str(ended.value).splitlines()) == 1
    assert (files / "there.yaml").read_text() == "mine"
    assert not (files / "hepad.yaml").exists()
