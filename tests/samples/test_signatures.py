"""What a file is told to be, from its first bytes: every kind that is known, damaged files and random bytes."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import torch
import uproot
from dialects import DIALECTS, write_ntuple, write_tree
from safetensors.numpy import save

from hepad.cli.inspect import inspect
from hepad.errors import InputError
from hepad.samples.drafting.draft import draft
from hepad.samples.formats.contents import contents, kind_of
from hepad.samples.readers import READERS
from hepad.samples.sources import check_files

HEPMC2 = b"\nHepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\nE 0 -1 -1.0 -1.0 -1.0 0 -1 1 1 2 0 1 1.0\n"
HEPMC3 = b"HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\nE 0 1 3\nU GEV MM\n"
LHE = b'<LesHouchesEvents version="3.0">\n<header>\n<MG5ProcCard>\n'
HTML = b"\n<!DOCTYPE html>\n<html lang='en'><head><title>CERN Single Sign-On</title>"
CSV = b"jet_pt,jet_eta,jet_phi\n499.6,0.5,2.9\n344.4,-0.9,-0.6\n"
TABLE = pa.table({"pt": [1.0, 2.0]})


def buffer(write) -> bytes:
    target = io.BytesIO()
    write(target)
    return target.getvalue()


def zipped(name: str) -> bytes:
    def write(target):
        with zipfile.ZipFile(target, "w") as file:
            file.writestr(name, b"x")

    return buffer(write)


def tarred(target):
    with tarfile.open(fileobj=target, mode="w") as file:
        file.addfile(tarfile.TarInfo("jets.root"))


def streamed(target):
    with pa.ipc.new_stream(target, TABLE.schema) as writer:
        writer.write_table(TABLE)


KINDS = {
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s12--ab.root\n", "git annex get"),
    "HTML": (HTML, "web page .*Log in"),
    "XHTML": (b'<?xml version="1.0"?>\n<!-- x -->\n<html>', "web page"),
    "head": (b"<HTML>\n<TITLE>404</TITLE>", "web page"),
    "server": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
    "HepMC2": (HEPMC2, "HepMC, generator-level.*Delphes"),
    "HepMC3": (HEPMC3, "HepMC, generator-level.*Delphes"),
    "LHE": (LHE, r"Les Houches event file \(LHE\).*Delphes"),
    "LHE with header": (b'<?xml version="1.0"?>\n' + LHE, "Les Houches"),
    "HepMC gz": (gzip.compress(HEPMC3 * 50), "gzip; in it is HepMC.*gunzip.*Delphes"),
    "LHE gz": (gzip.compress(LHE * 500), "gzip; in it is a Les Houches.*gunzip"),
    "tar gz": (gzip.compress(buffer(tarred)), "gzip; in it is a tar archive.*gunzip"),
    "CSV gz": (gzip.compress(CSV), "gzip; in it is a table in text"),
    "text gz": (gzip.compress(b"0;qcd;1;100;0.5;j,300,250,0.1,0.2;\n"), "gzip; in it is text.*gunzip"),
    "bytes gz": (gzip.compress(bytes(range(256))), "compressed with gzip.*gunzip"),
    "STDHEP": (struct.pack(">iii4s", 1, 200, 4, b"2.00") + bytes(50), "STDHEP.*Delphes"),
    "LCIO": (struct.pack(">II", 64, 0xABADCAFE) + bytes(20), "LCIO"),
    "CSV": (CSV, r"table in text \(CSV, TSV\), which is not read.*read_csv"),
    "CSV, no names": (b"1,2,3\n4,5,6\n", "table in text"),
    "CSV, Windows": (CSV.replace(b"\n", b"\r\n"), "table in text"),
    "CSV, BOM": (b"\xef\xbb\xbf" + CSV, "table in text"),
    "TSV": (CSV.replace(b",", b"\t"), r"table in text .*read_csv\('[^']*', sep='\\t'\)"),
    "SSV": (CSV.replace(b",", b";"), r"table in text .*read_csv\('[^']*', sep=';'\)"),
    "SSV, decimal commas": (CSV.replace(b",", b";").replace(b".", b","), "sep=';'"),
    "semicolons": (b"pt;eta;phi\n1,5;2;3\n1,5;2;3\n", "table in text"),
    "CSV, long": (CSV * 500, "table in text"),
    "JSON": (json.dumps([{"pt": 1}]).encode(), "JSON"),
    "JSON object": (json.dumps({"jets": {"pt": [1]}}, indent=1).encode(), "JSON"),
    "JSON lines": (b'{"pt": 1}\n{"pt": 2}\n', "JSON"),
    "npy": (buffer(lambda f: np.save(f, np.ones(3))), "array of NumPy, without names"),
    "npz": (buffer(lambda f: np.savez(f, pt=np.ones(3))), "arrays of NumPy in a ZIP archive"),
    "pickle": (pickle.dumps({"pt": 1}), "pickle, which could run any program and is never loaded.*to_parquet"),
    "pickle 0": (pickle.dumps({"pt": 1}, protocol=0), "pickle"),
    "pickle 2": (pickle.dumps(np.ones(3), protocol=2), "pickle"),
    "torch": (buffer(lambda f: torch.save({"pt": torch.ones(2)}, f)), "pickle in a ZIP archive.*never loaded"),
    "zip": (zipped("jets.root"), "ZIP archive.*Unpack it first .unzip"),
    "tar": (buffer(tarred), "tar archive.*tar -xf"),
    "bz2": (bz2.compress(CSV), "bzip2"),
    "xz": (lzma.compress(CSV), "xz"),
    "zstd": (b"(\xb5/\xfd\x04X\0", "Zstandard"),
    "HDF4": (b"\x0e\x03\x13\x01" + bytes(40), "HDF4.*h4toh5"),
    "NetCDF": (b"CDF\x01" + bytes(40), "NetCDF"),
    "feather": (buffer(lambda f: pa.feather.write_feather(TABLE, f)), "Arrow file .*write_table"),
    "feather 1": (b"FEA1" + bytes(60), "Arrow file"),
    "stream": (buffer(streamed), "Arrow stream"),
    "ORC": (buffer(lambda f: pa.orc.write_table(TABLE, f)), "ORC"),
    "FITS": (b"SIMPLE  =                    T / file does conform to FITS standard", "FITS"),
    "safetensors": (save({"w": np.ones(3, np.float32)}), "model .safetensors."),
    "PDF": (b"%PDF-1.5\n", "PDF"),
    "UTF-16": ("pt,eta\n1,2\n".encode("utf-16"), "UTF-16"),
    "random": (bytes(np.random.default_rng(1).integers(128, 256, 400, dtype=np.uint8)), "neither ROOT, HDF5, Parquet"),
    "zeros": (bytes(1000), "neither ROOT, HDF5, Parquet nor text"),
    "prose": (b"Dear all,\nthe files are elsewhere.\n", "a text file that begins with 'Dear all,'"),
    "ROOT's address": (b"root://eospublic.cern.ch//eos/x.root\n", "a text file that begins with 'root://"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_named_with_what_to_do(name, tmp_path):
    content, message = KINDS[name]
    path = tmp_path / "given.root"
    path.write_bytes(content)
    for look in (inspect, lambda p: check_files({"files": p})):
        with pytest.raises(InputError, match=rf"(?s)given\.root: .*{message}") as caught:
            look(str(path))
        assert len(str(caught.value).splitlines()) == 1
        assert str(caught.value).endswith(".")
    if name not in ("prose", "ROOT's address"):  # text that may be meant
        for reader in READERS:
            with pytest.raises(InputError, match=rf"(?s)given\.root: .*{message}"):
                inspect(str(path), reader=reader)


def test_a_csv_is_told_from_the_challenge(make_events, tmp_path):
    dialect = DIALECTS["dark_machines"]
    path = dialect.file(tmp_path / "events", dialect.columns(make_events(60, 1)))
    assert kind_of(str(path)) == "text"
    assert type(inspect(str(path)).reader).__name__ == "DarkMachines"
    for lines in ("0;qcd;1;100;0.5;\n" * 5, "0;qcd;1;100;0.5;j,300000,250000,0.1,0.2;\n" * 5):
        (tmp_path / "few.csv").write_text(lines)
        assert kind_of(str(tmp_path / "few.csv")) == "text"


def test_hdf5_behind_a_block_of_the_users_own(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
        file["pt"] = np.ones(3)
    assert kind_of(str(tmp_path / "a.h5")) == "HDF5"


# files that are there and cannot be opened ----------------------------------------------------------------------------


def test_directories_and_links(tmp_path):
    pq.write_to_dataset(TABLE, tmp_path / "table.parquet")
    (tmp_path / "link.root").symlink_to(tmp_path / "gone.root")
    for name, message in {
        "table.parquet": r"this is a directory, .* Give the files in it: '.*table\.parquet/\*\.parquet'",
        "link.root": r"this is a link to '.*gone\.root', which is not there\.",
    }.items():
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            inspect(str(tmp_path / name))
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            check_files({"files": str(tmp_path / name), "reader": "Delphes"})


def test_a_file_without_permission(tmp_path, monkeypatch):
    (tmp_path / "mine.root").write_bytes(b"root")
    if os.geteuid() == 0:  # who may read everything

        def refused(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refused)
    else:
        (tmp_path / "mine.root").chmod(0)
    with pytest.raises(InputError, match=r"mine\.root: it may not be read by you\. .*chmod u\+r"):
        inspect(str(tmp_path / "mine.root"))


# ROOT -----------------------------------------------------------------------------------------------------------------


def test_histograms_alone_are_listed_with_their_classes(tmp_path):
    with uproot.recreate(tmp_path / "h.root") as file:
        file["cutflow"] = np.histogram(np.ones(5))
        file["control/pt"] = np.histogram(np.ones(5))
        file["note"] = "x"
    with pytest.raises(InputError, match=r"h\.root: a ROOT file without a TTree or RNTuple: ") as caught:
        inspect(str(tmp_path / "h.root"))
    for text in ("cutflow (TH1D)", "control/pt (TH1D)", "note (TObjString)", "2 TH1D", "give the file of events"):
        assert text in str(caught.value)


def test_a_root_file_that_was_not_closed(tmp_path):
    uproot.recreate(tmp_path / "e.root").close()
    with pytest.raises(InputError, match=r"e\.root: a ROOT file with nothing in it .it was not closed.*Write it again"):
        inspect(str(tmp_path / "e.root"))
    # as ROOT leaves it: a header without the places of the keys and of what describes the classes
    head = struct.pack(">4siiiiiiibiii", b"root", 62400, 100, 100, 0, 0, 0, 50, 4, 101, 0, 0) + bytes(300)
    (tmp_path / "open.root").write_bytes(head)
    with pytest.raises(InputError, match=r"open\.root: .*not closed"):
        inspect(str(tmp_path / "open.root"))


def test_an_rntuple_before_version_1(tmp_path, monkeypatch):
    add = uproot.writing._cascade.Directory.add_object
    early = {"ROOT::RNTuple": "ROOT::Experimental::RNTuple"}
    monkeypatch.setattr(
        uproot.writing._cascade.Directory, "add_object",
        lambda where, sink, name, *args, **more: add(where, sink, early.get(name, name), *args, **more),
    )  # fmt: skip
    write_ntuple(tmp_path / "early.root", {"pt": np.ones(5)}, "Events")
    with pytest.raises(InputError, match=r"early\.root: .*RNTuple.* before version 1\.0.* ROOT 6\.34 or later"):
        check_files({"files": str(tmp_path / "early.root")})


def test_an_empty_tree_is_said_to_be_empty(make_events, tmp_path):
    dialect = DIALECTS["nanoaod"]
    path = dialect.file(tmp_path / "none", dialect.columns(make_events(5, 1)))
    columns = {name: values[:0] for name, values in dialect.columns(make_events(5, 1)).items()}
    write_tree(path, columns, "Events")
    assert "  note          there are no entries in it." in inspect(str(path)).lines()


# damage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(make_events, tmp_path_factory):
    """Bytes of a file of each dialect, and of some others."""
    folder, events = tmp_path_factory.mktemp("whole"), make_events(20, 4)
    found = {name: d.file(folder / name, d.columns(events)).read_bytes() for name, d in DIALECTS.items()}
    write_tree(folder / "mine.root", {"jet_pt": np.ones(5), "x": np.ones(5)}, "mine")
    return found | {"mine": (folder / "mine.root").read_bytes()}


def told(path) -> None:
    """Whatever it is, it is described, or refused in one line that names it."""
    for look in (inspect, draft):
        said = ""
        try:
            look(str(path))
        except InputError as error:
            said = str(error)
        assert not said or said.startswith(str(path))
        assert len(said.splitlines()) < 2
        assert len(said) < 1500


@pytest.mark.parametrize("name", [*DIALECTS, "mine"])
def test_cut_and_altered_copies_are_told_of(name, whole, tmp_path):
    content, path, rng = whole[name], tmp_path / "copy", np.random.default_rng(7)
    for length in (1, 4, 8, 64, 100, 512, len(content) // 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        told(path)
    for _ in range(12):
        altered = bytearray(content)
        for place in rng.integers(0, min(len(content), 3000), 8):
            altered[place] = rng.integers(256)
        path.write_bytes(altered)
        told(path)


def test_a_damaged_file_spoils_none_that_is_read_after_it(tmp_path):
    """What it says of the classes of ROOT stays with it: a tree of a branch class that it has changed can be read."""
    write_tree(tmp_path / "good.root", {"jet_pt": np.ones(5)}, "mine")
    model = uproot.classes["TBranch"]
    spoilt = type("Model_TBranch_v13", (), {})
    for version in list(model.known_versions):
        model.known_versions[version] = spoilt
    assert contents(str(tmp_path / "good.root")).tables == {"mine": {"jet_pt"}}


def test_random_bytes_are_told_of(tmp_path):
    rng, path = np.random.default_rng(11), tmp_path / "random"
    heads = [b"", b"root\0\0\xf2\xfa", b"\x89HDF\r\n\x1a\n", b"PAR1", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x80\x04", b"<"]
    for head in heads:
        for size in (3, 60, 5000):
            path.write_bytes(head + rng.bytes(size))
            told(path)
            path.write_bytes(head + bytes(rng.integers(32, 127, size, dtype=np.uint8)))
            told(path)


@pytest.mark.parametrize("name", KINDS)
def test_the_first_bytes_of_every_kind_alone(name, tmp_path):
    path = tmp_path / "head"
    for length in (1, 8, 64):
        path.write_bytes(KINDS[name][0][:length])
        told(path)


def test_no_pickle_is_loaded(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "PWNED"),))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "p.pkl").write_bytes(pickle.dumps(Attack(), protocol))
        done = subprocess.run(
            [sys.executable, "-m", "hepad.cli.main", "inspect", str(tmp_path / "p.pkl")], capture_output=True, text=True
        )
        assert re.match(r"ERROR: .*p\.pkl: this is a Python pickle", done.stderr)
        assert done.returncode == 1
    assert not (tmp_path / "PWNED").exists()


def test_contents_lists_objects_beside_tables(tmp_path):
    with uproot.recreate(tmp_path / "both.root") as file:
        file.mktree("dir/tree", {"x": np.float64})
        file["dir/tree"].extend({"x": np.ones(2)})
        file["hist"] = np.histogram(np.ones(5))
    found = contents(str(tmp_path / "both.root"))
    assert found.tables == {"dir/tree": {"x"}}
    assert found.objects == {"hist": "TH1D", "dir": "TDirectory"}
