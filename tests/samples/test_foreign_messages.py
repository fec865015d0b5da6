"""Real and made files that hepad does not read as they are: what `hepad inspect` says of them."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from hepad.cli.main import main
from hepad.errors import InputError
from hepad.samples.sources import check_files, read

FOREIGN = Path(os.environ.get("HEPAD_DATA", "")) / "foreign"
SETTINGS = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}
PT = (499.590, 344.395)  # GeV, of the first jets of the made files

pytestmark = pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")


def told(capsys, *names: str) -> tuple[str, str]:
    """Standard output, and the message at the end."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *(str(FOREIGN / name) for name in names)])
    return capsys.readouterr().out, str(ended.value)


def test_a_git_lfs_pointer(capsys):
    out, message = told(capsys, "message_git_lfs_pointer.root")
    assert not out
    assert "message_git_lfs_pointer.root: this is a Git LFS pointer" in message
    assert "`git lfs pull`" in message
    assert "DarkMachines" not in message
    with pytest.raises(InputError, match="git lfs pull"):
        check_files({"files": str(FOREIGN / "message_git_lfs_pointer.root"), "reader": "Delphes"})


def test_histograms(capsys):
    out, message = told(capsys, "message_histograms.root")
    assert not out
    assert "a ROOT file without a TTree or RNTuple: 3 TH1F. It has one (TH1F), two (TH1F), three (TH1F)" in message
    assert "damaged" not in message


def test_a_plain_parquet_table(capsys):
    out, message = told(capsys, "message_plain.parquet")
    schema = pq.read_schema(FOREIGN / "message_plain.parquet")
    for field in schema:
        assert any(line.split() == [field.name, str(field.type)] for line in out.splitlines())
    table = pq.read_table(FOREIGN / "message_plain.parquet")
    first = np.asarray(table["Z_pt"])[:1000]
    assert f"value {np.median(first):.4g} GeV, {np.median(first) / 1000:.4g} GeV if it is in MeV" in out
    assert "a Parquet file with the columns MET, Z_pt, eta1" in message
    assert "damaged" not in message


def test_csv(capsys):
    out, message = told(capsys, "message_jets.csv")
    assert not out
    assert "message_jets.csv: this is a table in text (CSV, TSV), which is not read." in message
    assert "read_csv" in message
    assert "DarkMachines" not in message


def test_padding_that_is_nan(capsys):
    path = str(FOREIGN / "message_nan_padding.h5")
    out, _ = told(capsys, "message_nan_padding.h5")
    source = yaml.safe_load("source:" + out.split("source:", 1)[1])["source"]
    found = read(source, **SETTINGS)
    assert len(found) == 60
    np.testing.assert_allclose(found.jet[:2, 0], PT, atol=0.01)
    assert (found.constituents[..., 0] > 0).sum() == 1165
    with pytest.raises(InputError, match=r"nan_padding\.h5: 'pt' is not finite"):
        check_files({"files": path, "branches": {f"constituent_{x}": x for x in ("pt", "eta", "phi")}})


def test_nested_jets_are_drafted_with_the_hardest(capsys):
    out, _ = told(capsys, "nested_first_is_soft.root")
    source = yaml.safe_load("source:" + out.split("source:", 1)[1])["source"]
    assert read(source, **SETTINGS).jet[:4, 0].round() == pytest.approx([500, 502, 504, 506])


def test_all_of_them_at_once(capsys):
    names = ("message_git_lfs_pointer.root", "ok_nano_v9.root", "message_jets.csv", "message_histograms.root")
    out, message = told(capsys, *names)
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [str(FOREIGN / name) for name in names]
    assert "reader        NanoAOD" in out
    assert message.startswith("ERROR: 3 of 4 files cannot be read as they are: ")
