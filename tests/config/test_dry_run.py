"""A dry run refuses what the run would refuse of the user's files, so far as it is known without reading them whole."""

import copy
from collections import Counter

import h5py
import numpy as np
import pytest
import uproot
import yaml
from command_line import ROOT, snakemake
from dialects import DIALECTS, write_tree

from hepad.config import preflight
from hepad.errors import InputError
from hepad.samples.formats import root
from hepad.samples.root_output import write_root
from hepad.samples.sources import check_files

CSV = "jet_pt,jet_eta\n500,0.1\n400,0.2\n"


@pytest.fixture(scope="module")
def files(make_events, tmp_path_factory):
    """Name -> path of files, some of which cannot be used."""
    folder, events = tmp_path_factory.mktemp("files"), make_events(60, 3)
    nano = DIALECTS["nanoaod"]
    found = {"nano": nano.file(folder / "nano", nano.columns(events))}
    columns = {x: v for x, v in nano.columns(make_events(60, 4)).items() if x != "FatJet_mass"}
    write_tree(folder / "cut.root", columns, "Events")
    own = DIALECTS["own"].columns(events)
    write_tree(folder / "own.root", own)
    write_tree(folder / "mev.root", {x: v * (1000 if x.endswith(("_pt", "_mass")) else 1) for x, v in own.items()})
    write_tree(folder / "none.root", {x: v[:0] for x, v in own.items()})
    write_tree(folder / "jets.root", {x: v for x, v in own.items() if "constituent" not in x})
    write_tree(folder / "mine.root", {"j_pt": events.jet[:, 0], "part_pt": own["constituent_pt"]})
    with h5py.File(folder / "nan.h5", "w") as file:
        for i, x in enumerate(("pt", "eta", "phi")):
            file[x] = np.where(events.constituents[..., 0] > 0, events.constituents[..., i], np.nan)
    for name, text in {"page.root": "<html>", "lfs.root": "version https://git-lfs.github.com/spec/v1\n",
                       "jets.csv": CSV}.items():  # fmt: skip
        (folder / name).write_text(text)
    return found | {path.stem if path.suffix == ".root" else path.name: path for path in folder.iterdir()}


NAMES = {f"constituent_{x}": f"constituent_{x}" for x in ("pt", "eta", "phi")}
REFUSED = {
    "page": ("page", {}, "web page"),
    "pointer": ("lfs", {"reader": "NanoAOD"}, "git lfs pull"),
    "table": ("jets.csv", {}, "table in text"),
    "no reader": ("mine", {}, "which no reader takes"),
    "another reader": ("own", {"reader": "JetNet"}, "a ROOT file; the reader JetNet reads HDF5"),
    "branch of a mapping": ("own", {"branches": {**NAMES, "weight": "w"}}, "for 'weight': 'w': branch 'w' is missing"),
    "branch of a cut": ("own", {"branches": NAMES, "cuts": ["HLT_A"]}, "in 'cuts': 'HLT_A': branch 'HLT_A' is missing"),
    "shape of a cut": ("own", {"branches": NAMES, "cuts": ["constituent_pt > 1"]}, "not one truth value per entry"),
    "shape of a branch": ("own", {"branches": {**NAMES, "constituent_pt": "jet_pt"}}, "is not a list of numbers"),
    "length": ("own", {"branches": {**NAMES, "constituent_pt": "jets_pt"}}, "differ in length"),
    "tree": ("own", {"tree": "Jets", "branches": NAMES}, "no TTree or RNTuple 'Jets'; present: events"),
    "units": ("mev", {}, "This looks like MeV: set 'units: MeV'"),
    "padding": ("nan.h5", {"branches": {f"constituent_{x}": x for x in ("pt", "eta", "phi")}}, "'pt' is not finite"),
    "no entries": ("none", {}, "there are no entries"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_reading_would_refuse(name, files):
    file, options, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        check_files({"files": str(files[file]), **options})
    assert str(files[file]) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branches": NAMES | {"weight": 2}}, r"branches: weight: 2 is not text.*in quotes \('2'\)"),
        ({"branches": NAMES | {"weight": None}}, "branches: weight: None is not text.*leave 'weight' out"),
        ({"branches": {**NAMES, "weight": ["jet_pt"]}}, "branches: weight: .* is not text"),
        ({"branches": {**NAMES, 3: "jet_pt"}}, "branches: hepad name '3' is unknown"),
        ({"branches": ["jet_pt"]}, "branches: .* is no mapping"),
        ({"branches": NAMES, "cuts": [1]}, r"cuts: \[1\] is no list of texts"),
        ({"branches": NAMES, "cuts": "jet_pt > 600"}, r"cuts: 'jet_pt > 600' is no list of texts.*cuts: \['jet_pt > 6"),
        ({"branches": NAMES, "cuts": None}, "cuts: None is no list of texts"),
        ({"reader": "NanoAOD", "triggers": "HLT_A"}, r"triggers: 'HLT_A' is no list of texts"),
    ],
)
def test_what_is_not_text_is_named_by_its_key(options, message, files):
    with pytest.raises(InputError, match=message):
        check_files({"files": str(files["own"]), **options})


def test_a_number_in_quotes_is_an_expression(files):
    assert len(check_files({"files": str(files["own"]), "branches": NAMES | {"weight": "2"}})) == 1


def test_files_that_do_not_belong_together(files):
    with pytest.raises(InputError, match=r"sample 'top': its files differ in whether they have constituents"):
        check_files({"files": [str(files["own"]), str(files["jets"])]}, "top")
    with pytest.raises(InputError, match=r"sample 'top': its files differ in the radius of their jets"):
        check_files({"files": [str(files["nano"]), str(files["cut"])]}, "top")


def test_good_files_are_not_refused_for_single_values_or_empty_ones(files, make_events, tmp_path):
    columns = DIALECTS["own"].columns(make_events(300, 5))
    columns["jet_pt"] = np.where(np.arange(300) % 10 == 3, np.nan, columns["jet_pt"])
    write_tree(tmp_path / "some.root", columns)
    assert len(check_files({"files": [str(tmp_path / "some.root"), str(files["none"])]})) == 2


def test_a_representation_that_the_files_cannot_feed(files, make_events, tmp_path):
    config = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    config = copy.deepcopy(config) | {"evaluation": {"supervised": next(iter(config["representations"]))}}
    task = next(iter(config["tasks"].values()))
    config["samples"][task["signals"][0]]["source"] = {"files": [str(files["jets"])]}
    with pytest.raises(InputError, match=r"samples\.\w+: sample '\w+' has no constituents, which the representation"):
        preflight.check_inputs(config, ROOT, {})


def test_of_a_hundred_files_the_first_alone_is_read(make_events, tmp_path, monkeypatch):
    """The others are opened at most twice: to look, and to begin."""
    opened, read = Counter(), Counter()
    open_file, arrays = uproot.open, root.arrays

    def counted_open(path, **options):
        opened[str(path)] += 1
        return open_file(path, **options)

    def counted_read(tree, branches, start, stop):
        read[tree.file.file_path] += stop > start
        return arrays(tree, branches, start, stop)

    paths = [str(tmp_path / f"{i:02d}.root") for i in range(100)]
    for i, path in enumerate(paths):
        write_root(make_events(20, i), path)
    monkeypatch.setattr(uproot, "open", counted_open)
    monkeypatch.setattr(root, "arrays", counted_read)
    assert list(check_files({"files": str(tmp_path / "*.root"), "reader": "Mapped"})) == paths
    assert set(opened) == set(paths)
    assert max(opened.values()) <= 2
    assert {path for path, count in read.items() if count} == {paths[0]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["page", "branch of a cut", "units"])
def test_snakemake_in_a_dry_run(name, files, tmp_path):
    config = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    file, options, message = REFUSED[name]
    task = next(iter(config["tasks"].values()))
    config["samples"][task["signals"][0]]["source"] = {"files": [str(files[file])], **options}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "run").mkdir()
    done = snakemake(tmp_path / "run", tmp_path / "c.yaml", "--dry-run")
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "run" / "results").exists()


@pytest.mark.slow
def test_snakemake_takes_files_of_any_name(make_events, tmp_path):
    config = yaml.safe_load((ROOT / "config" / "test.yaml").read_text())
    names = [tmp_path / name for name in ("x[1].root", "with space.root", "µ→eγ.root", "all*.root", "why?.root")]
    for i, path in enumerate(names):
        write_root(make_events(40, i), path)
    task = next(iter(config["tasks"].values()))
    config["samples"][task["signals"][0]] |= {"source": {"files": [str(path) for path in names]}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "run").mkdir()
    done = snakemake(tmp_path / "run", tmp_path / "c.yaml", "--dry-run")
    assert done.returncode == 0, done.stdout[-3000:]
    for path in names:
        assert str(path) in done.stdout
    names[0].rename(tmp_path / "x{1}.root")
    config["samples"][task["signals"][0]]["source"]["files"][0] = str(tmp_path / "x{1}.root")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path / "run", tmp_path / "c.yaml", "--dry-run")
    assert "x{1}.root: to Snakemake braces are wildcards. Rename the file" in done.stdout
