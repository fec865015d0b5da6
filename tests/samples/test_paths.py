"""Names of files: literal ones before patterns, whatever characters they have; lists of files."""

import os

import pytest

from hepad.cli.main import main
from hepad.errors import InputError
from hepad.samples.formats.paths import find_files
from hepad.samples.root_output import write_root
from hepad.samples.sources import check_files, read

NAMES = ["x[1].root", "all*.root", "why?.root", "with space.root", "µ→eγ.root", "[a-z].root", "{1..3}.root", "-n.root",
         "#1.root", "x[1].d/y[2].root", "a;b.root", "x!.root", "100%.root", "$HOME.root", "it's.root"]  # fmt: skip
SETTINGS = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}


@pytest.fixture(scope="module")
def folder(make_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    (folder / "x[1].d").mkdir()
    for i, name in enumerate(NAMES):
        write_root(make_events(10, i), folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_found_by_its_name(name, folder, monkeypatch, capsys):
    assert find_files(str(folder / name)) == [str(folder / name)]
    monkeypatch.chdir(folder)
    assert find_files([name]) == [name]
    assert check_files({"files": [name]})[name].entries == 10
    assert len(read({"files": name, "reader": "Mapped"}, **SETTINGS)) == 10
    main(["inspect", "--", name])
    assert capsys.readouterr().out.startswith(f"{name}\n  reader        Mapped")


def test_patterns_in_directories_of_any_name(folder, monkeypatch):
    assert find_files(str(folder / "x[1].d" / "*.root")) == [str(folder / "x[1].d" / "y[2].root")]
    assert find_files(str(folder / "x[1].d" / "y[2]*")) == [str(folder / "x[1].d" / "y[2].root")]
    assert find_files(str(folder / "x[1]*.root")) == [str(folder / "x[1].root")]
    monkeypatch.chdir(folder)
    assert find_files("x[1].d/*") == ["x[1].d/y[2].root"]
    assert find_files("./w*.root") == ["./why?.root", "./with space.root"]


def test_literal_names_come_first(make_events, tmp_path):
    for i, name in enumerate(("x1.root", "x[1].root", "x2.root")):
        write_root(make_events(10, i), tmp_path / name)
    assert find_files(str(tmp_path / "x[1].root")) == [str(tmp_path / "x[1].root")]
    assert find_files(str(tmp_path / "x[12].root")) == [str(tmp_path / "x1.root"), str(tmp_path / "x2.root")]
    (tmp_path / "x[1].root").unlink()
    assert find_files(str(tmp_path / "x[1].root")) == [str(tmp_path / "x1.root")]


def test_everything_below_is_files(folder):
    found = find_files(str(folder / "**"))
    assert sorted(found) == sorted(str(folder / name) for name in NAMES)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_of_any_names(encoding, end, folder, tmp_path):
    listed = "".join(f"{folder / name}{end}" for name in NAMES)
    (tmp_path / "list.txt").write_bytes(f"# mine{end}{end}{listed}".encode(encoding))
    assert find_files(str(tmp_path / "list.txt")) == [str(folder / name) for name in NAMES]
    (tmp_path / "all [1].txt").write_text(f"{tmp_path}/list.txt\n")
    assert find_files(str(tmp_path / "all [1].txt")) == [str(folder / name) for name in NAMES]
    (tmp_path / "commas.txt").write_text(f"{folder}/a;b.root\n{folder}/x!.root\n")
    assert len(find_files(str(tmp_path / "commas.txt"))) == 2


def test_lists_that_cannot_be_followed(folder, tmp_path):
    mine, other = tmp_path / "mine.txt", tmp_path / "other.txt"
    mine.write_text(f"{folder}/none.root\n")
    with pytest.raises(InputError, match=r"mine\.txt: '.*none\.root' matches no file"):
        find_files(str(mine))
    mine.write_text(f"{other}\n")
    other.write_text(f"{mine}\n")
    with pytest.raises(InputError, match=r"mine\.txt: this list of files names itself"):
        find_files(str(mine))
    mine.write_bytes("/tmp/\xfc.root\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"mine\.txt: this list of files is not text in UTF-8"):
        find_files(str(mine))


def test_text_that_is_no_list_is_a_file(tmp_path):
    (tmp_path / "events.txt").write_text("0;qcd;1;100000;0.5;j,300000,250000,0.1,0.2;\n" * 3)
    assert find_files(str(tmp_path / "events.txt")) == [str(tmp_path / "events.txt")]
    assert check_files({"files": str(tmp_path / "events.txt")})[str(tmp_path / "events.txt")].entries == 3
    (tmp_path / "hepmc.txt").write_text("HepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\n")
    with pytest.raises(InputError, match="this is HepMC"):
        check_files({"files": str(tmp_path / "hepmc.txt")})


def test_nothing_that_matches(folder):
    for name in ("none.root", "none*.root", "none[1].root", "none/*.root", "none/none.root", "\0"):
        with pytest.raises(InputError, match="matches no file"):
            find_files(os.path.join(folder, name))
