"""ROOT files: names of branches and fields, what a table is, and how long it takes to list them."""

from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.events.expressions import evaluate
from hepad.samples.formats import root
from hepad.samples.readers.branches import branches_of
from hepad.samples.readers.ntuple import Mapped


class Tree(uproot.TTree):
    """Stands for a TTree of branches inside others, which only ROOT writes."""

    def __init__(self, paths):
        self.paths, self.asked = paths, 0

    def keys(self, **options):
        self.asked += 1
        return self.paths

    def arrays(self, names, **options):
        """As uproot: a whole path, or the first branch of a name."""
        ends = {name: [path for path in self.paths if path == name or path.endswith(f"/{name}")] for name in names}
        return ak.Array({name: [self.paths.index(name if name in self.paths else x[0])] for name, x in ends.items()})


PATHS = ["run", "a", "a/fP", "a/fP/fP.fX", "b", "b/fP", "b/fP/fP.fX", "c", "c/c.pt", "d", "d/x/run", "d/y/run"]


def test_a_name_of_several_branches_needs_its_path():
    tree = Tree(PATHS)
    names = root.names(tree)
    assert {"run", "c.pt", "a/fP.fX", "b/fP.fX", "a/fP/fP.fX", "a/fP", "d/x/run", "d/y/run"} <= names
    assert not {"fP.fX", "fP", "d/run", "c/c.pt"} & names
    assert root.namesakes("fP.fX", names) == ["a/fP.fX", "b/fP.fX"]
    assert root.namesakes("c.pt", names) == []
    with pytest.raises(InputError, match=r"'fP\.fX' is the name of 2 branches: a/fP\.fX, b/fP\.fX\. Write one of"):
        branches_of("2 * fP.fX", names)
    assert branches_of("a/fP.fX / b/fP/fP.fX + run", names) == {"a/fP.fX", "b/fP/fP.fX", "run"}
    values = {"a/fP.fX": np.array([6.0]), "b/fP/fP.fX": np.array([3.0]), "run": np.array([1.0])}
    assert evaluate("a/fP.fX / b/fP/fP.fX + run", values) == 3


def test_a_path_leads_to_its_own_branch():
    found = root.arrays(Tree(PATHS), ["b/fP.fX", "a/fP/fP.fX", "run"], 0, 1)
    assert {name: values[0] for name, values in found.items()} == {"b/fP.fX": 6, "a/fP/fP.fX": 3, "run": 0}


def test_a_branch_that_is_there_twice_is_one():
    """As 'Particle' in some files of Delphes."""
    assert root.names(Tree(["P", "P/P.pt", "P", "P/P.pt"])) == {"P", "P.pt"}


def test_names_are_listed_once():
    tree = Tree(PATHS)
    for _ in range(9):
        root.names(tree)
    assert tree.asked == 1


def test_an_ntuple_of_thousands_of_fields_is_listed_at_once(tmp_path, monkeypatch):
    """uproot looks at every field for every field; here each is looked at a few times."""
    columns = {f"Jet{i}": ak.zip({x: ak.Array([[1.0], []]) for x in ("pt", "eta")}) for i in range(100)}
    with uproot.recreate(tmp_path / "many.root") as file:
        file.mkrntuple("Events", columns)
    looked = []
    with uproot.open(tmp_path / "many.root") as file:
        expected = frozenset(file["Events"].keys())
        record = type(file["Events"].field_records[0])
    getattribute = record.__getattr__
    monkeypatch.setattr(record, "__getattr__", lambda self, name: looked.append(name) or getattribute(self, name))
    with root.open_root(tmp_path / "many.root") as file:
        tree = root.open_tree("many.root", file, "Events")
        assert root.names(tree) == expected
        root.arrays(tree, ["Jet7.pt", "Jet99.eta"], 0, 2)
    assert looked.count("parent_field_id") < 20 * 400


def test_fields_of_records_are_read_by_whatever_reader(tmp_path):
    jets = {x: ak.Array([[9.0, 7.0], [], [5.0]]) for x in ("pt", "eta", "phi")}
    with uproot.recreate(tmp_path / "nested.root") as file:
        file.mkrntuple("events", {"Jet": ak.zip(jets), "run": np.arange(3, dtype=np.uint8)})
    branches = {f"constituent_{x}": f"Jet.{x}" for x in jets} | {"n_pv": "run"}
    (block,) = Mapped(branches=branches).blocks(str(tmp_path / "nested.root"), 10)
    np.testing.assert_array_equal(block.columns["constituents"][:, :2, 0], [[9, 7], [0, 0], [5, 0]])


def _file(**classes):
    return SimpleNamespace(classnames=lambda: {f"{name};1": kind for name, kind in classes.items()})


def test_what_a_table_is():
    file = _file(a="TTree", b="TNtuple", c="TNtupleD", d="ROOT::RNTuple", e="ROOT::Experimental::RNTuple", f="TH1D")
    assert set(root.tables(file)) == {"a", "b", "c", "d"}
    with pytest.raises(InputError, match=r"x\.root: 'e' is an RNTuple of the time before version 1\.0 .* ROOT 6\.34"):
        root.open_tree("x.root", file, "e")
    with pytest.raises(InputError, match=r"no TTree or RNTuple 'f'; present: a, b, c, d"):
        root.open_tree("x.root", file, "f")
