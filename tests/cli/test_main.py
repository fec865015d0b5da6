"""``hepad inspect``: files of several dialects, unknown ones, and those that are known and not read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from dialects import DIALECTS, write_tree

from hepad.cli.main import main
from hepad.samples.readers import READERS

REAL = Path(os.environ.get("HEPAD_DATA", "")) / "hep"
WITHOUT = {"physlite", "adc2021", "l1", "l1_ntuple", "dark_machines"}  # constituents
FOUND = [name for name, dialect in DIALECTS.items() if not dialect.options]


@pytest.fixture(scope="module")
def paths(make_events, tmp_path_factory):
    """A file of each dialect that is recognised."""
    folder, events = tmp_path_factory.mktemp("inspect"), make_events(60, 4)
    return {name: str(DIALECTS[name].file(folder / name, DIALECTS[name].columns(events))) for name in FOUND}


def said(capsys, *arguments: str) -> str:
    main(["inspect", *arguments])
    return capsys.readouterr().out


def refused(capsys, *arguments: str, drafted: bool = False) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *arguments])
    message = str(ended.value)
    assert message.startswith("ERROR: ")
    assert len(message.splitlines()) == 1
    assert ("branches:" in capsys.readouterr().out) == drafted
    return message


@pytest.mark.parametrize("name", FOUND)
def test_what_a_file_is_and_can_feed(name, paths, capsys):
    reader, lines = DIALECTS[name].reader, said(capsys, paths[name]).splitlines()
    assert lines[0] == paths[name]
    of = {line[2:16].strip(): line[16:] for line in lines[1:9]}
    assert of["reader"] == f"{reader}: {READERS[reader].title}"
    assert of["entries"] == "60"
    assert ("constituents" in of["holds"]) == (name not in WITHOUT)
    low, high, middle = map(float, re.findall(r"[\d.]+", of["probe jets"])[:3])
    assert 500 < low < middle < high < 700  # GeV, whatever the file has
    (image,) = (line for line in lines if line.startswith("  JetImage"))
    assert image.endswith("lacks constituents" if name in WITHOUT else "can be made")
    assert sum(line.startswith(("  EventVector", "  EventMatrix")) for line in lines) == 3
    assert lines[-1].endswith(f"source: {{files: [{paths[name]}], reader: {reader}}}")


def test_at_most_one_reader_takes_a_file(paths):
    from hepad.samples.formats.contents import contents

    for name, path in paths.items():
        assert [cls.__name__ for cls in READERS.values() if cls.recognises(contents(path))] == [DIALECTS[name].reader]


def test_several_files_and_a_pattern(paths, capsys):
    folder = Path(paths["own"]).parent
    text = said(capsys, str(folder / "jetclass*"), paths["l1"])
    assert [line for line in text.splitlines() if line.startswith(str(folder))] == [
        str(folder / "jetclass.root"), str(folder / "jetclass2.parquet"), paths["l1"],
    ]  # fmt: skip
    assert "trigger bits  1: L1bit" in text


def test_all_files_are_looked_at_whatever_the_others_are(paths, tmp_path, capsys):
    (tmp_path / "page.root").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
    write_tree(tmp_path / "other.root", {"energy": np.ones(4), "charge": np.ones(4)}, "mytree")
    page, other, none = (str(tmp_path / name) for name in ("page.root", "other.root", "none.root"))
    with pytest.raises(SystemExit) as ended:
        main(["inspect", page, paths["own"], none, other, paths["jetnet"], page])
    assert str(ended.value) == f"ERROR: 3 of 5 files cannot be read as they are: {page}, {none}, {other}."
    blocks = {block.split("\n", 1)[0]: block for block in re.split(r"\n(?=/)", capsys.readouterr().out)}
    assert list(blocks) == [page, paths["own"], none, other, paths["jetnet"]]
    assert "ERROR         this is a web page (HTML)" in blocks[page]
    assert "ERROR         files: '" in blocks[none]
    assert "branches:" in blocks[other]
    assert "reader        Mapped" in blocks[paths["own"]]
    assert "reader        JetNet" in blocks[paths["jetnet"]]


def test_a_reader_that_is_named(paths, capsys):
    assert "reader        Mapped" in said(capsys, paths["own"], "--reader", "Mapped")
    assert "JetNett' is unknown. Did you mean 'JetNet'" in refused(capsys, paths["jetnet"], "--reader", "JetNett")
    assert "there is no dataset 'Particles'" in refused(capsys, paths["jetnet"], "--reader", "ADC2021")
    message = refused(capsys, paths["jetnet"], "--reader", "Delphes")
    assert "an HDF5 file; the reader Delphes reads ROOT. Set another 'reader', or leave it out" in message


def test_unknown_files_are_refused_with_what_is_supported_and_nearest(paths, tmp_path, capsys):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["particle_feature"], file["jet_features"] = np.ones((3, 30, 4)), np.ones((3, 4))
    message = refused(capsys, str(tmp_path / "mine.h5"), drafted=True)
    assert "an HDF5 file with jet_features, particle_feature, which no reader takes" in message
    assert "The nearest is JetNet, but it lacks 'particle_features' (there is 'particle_feature')" in message
    assert f"Supported: {', '.join(READERS)}" in message
    assert "'branches'" in message
    write_tree(tmp_path / "other.root", {"energy": np.ones(4), "charge": np.ones(4)}, "mytree")
    message = refused(capsys, str(tmp_path / "other.root"), drafted=True)
    assert "a ROOT file with mytree, which no reader takes. Supported: " in message
    (tmp_path / "notes.txt.root").write_text("Dear all,\nthe files are in /data.\n")
    message = refused(capsys, str(tmp_path / "notes.txt.root"))
    assert "a text file that begins with 'Dear all,', which no reader takes. Text is read of" in message
    assert "matches no file" in refused(capsys, str(tmp_path / "none.root"))


def test_edm4hep_is_known_and_not_read(tmp_path, capsys):
    names = ("energy", "momentum.x", "momentum.y", "momentum.z", "charge", "mass", "PDG")
    branches = {f"ReconstructedParticles.{name}": np.ones(6, np.float32) for name in names}
    write_tree(tmp_path / "edm4hep.root", branches | {"EventHeader.eventNumber": np.arange(6)})
    message = refused(capsys, str(tmp_path / "edm4hep.root"))
    assert "this is EDM4hep (podio; the nearest is Delphes" in message
    assert f"which no reader takes. Supported: {', '.join(READERS)}" in message


@pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")
def test_real_files(capsys):
    readers = {
        "JetClassII_example.parquet": "JetClass", "PHYSLITE_example.root": "PHYSLITE", "pfnano.root": "NanoAOD",
        "delphes_cms_higgs.root": "Delphes", "nanoAOD_2015_CMS_Open_Data_ttbar.root": "NanoAOD",
    }  # fmt: skip
    for file, reader in readers.items():
        assert f"reader        {reader}: " in said(capsys, str(REAL / file)), file
    assert "this is EDM4hep" in refused(capsys, str(REAL / "test_FCC_Winter2023.root"))


def test_as_a_command(paths, tmp_path):
    run = [sys.executable, "-m", "hepad.cli.main", "inspect"]
    done = subprocess.run([*run, paths["jetnet"]], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "reader        JetNet" in done.stdout
    done = subprocess.run([*run, str(tmp_path / "none.h5")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: ")
    assert "Traceback" not in done.stderr
