"""ATLAS PHYSLITE: known events as TTree and RNTuple, in MeV, and a real file."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.samples.formats.root import names, open_root, tables
from hepad.samples.readers.base import Contents
from hepad.samples.readers.physlite import PHYSLITE

REAL = Path(os.environ.get("HEPAD_DATA", "")) / "hep"
needs_data = pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")
N = 50


def contents(path):
    with open_root(path) as file:
        return Contents(str(path), "ROOT", {name: names(file[name]) for name in tables(file)})


def read(path, rows=1000, **options):
    blocks = list(PHYSLITE(**options).blocks(str(path), rows))
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns}, blocks


@pytest.fixture(scope="module")
def branches():
    """50 events in MeV by branch; a third without a large-R jet."""
    rng, found = np.random.default_rng(2), {}
    counts = {"LargeRJets": np.arange(N) % 3, "Jets": 1 + np.arange(N) % 14, "Electrons": rng.integers(0, 3, N),
              "Muons": rng.integers(0, 7, N), "Photons": rng.integers(0, 2, N)}  # fmt: skip
    limits = {"pt": (1e4, 5e5), "eta": (-2.5, 2.5), "phi": (-3.1, 3.1), "m": (1e3, 9e4)}
    for name, count in counts.items():
        for x, (low, high) in limits.items():
            values = rng.uniform(low, high, count.sum()).astype(np.float32)
            found[f"Analysis{name}AuxDyn.{x}"] = ak.unflatten(values, count)
    del found["AnalysisMuonsAuxDyn.m"]
    for x in ("mpx", "mpy"):
        found[f"MET_Core_AnalysisMETAuxDyn.{x}"] = ak.Array(rng.normal(0, 2e4, (N, 2)).astype(np.float32).tolist())
    return found | {
        "MET_Core_AnalysisMETAuxDyn.name": ak.Array([["RefJet", "Final"], ["Final", "RefJet"]] * (N // 2)),
        "EventInfoAuxDyn.runNumber": np.full(N, 300000, np.uint32),
        "EventInfoAuxDyn.mcChannelNumber": np.full(N, 700322, np.uint32),
        "EventInfoAuxDyn.lumiBlock": np.arange(N, dtype=np.uint32) // 5,
        "EventInfoAuxDyn.eventNumber": 2**33 + np.arange(N, dtype=np.uint64),
        "EventInfoAuxDyn.averageInteractionsPerCrossing": rng.uniform(10, 80, N).astype(np.float32),
        "EventInfoAuxDyn.mcEventWeights": ak.Array(rng.normal(1e6, 1e5, (N, 3)).astype(np.float32).tolist()),
        "PrimaryVerticesAuxDyn.vertexType": ak.Array([[1] + [3] * (i % 5) + [0] for i in range(N)]),
    }  # fmt: skip


def write(path, branches, layout="RNTuple"):
    """A TTree cannot be written with strings in lists: without the names of the terms."""
    with uproot.recreate(path) as file:
        if layout == "RNTuple":
            file.mkrntuple("EventData", {name.replace(".", ":"): values for name, values in branches.items()})
            return path
        branches = {name: values for name, values in branches.items() if not name.endswith(".name")}
        kinds = {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in branches.items()}
        file.mktree("CollectionTree", kinds)
        file["CollectionTree"].extend(branches)
    return path


def test_a_static_store_is_a_record_of_an_rntuple(tmp_path, branches):
    """'EventInfoAux:.runNumber', beside 'EventInfoAuxDyn:mcEventWeights'."""
    members = ("runNumber", "lumiBlock", "eventNumber", "averageInteractionsPerCrossing")
    found = dict(branches)
    record = {x: found.pop(f"EventInfoAuxDyn.{x}") for x in members}
    with uproot.recreate(tmp_path / "static.root") as file:
        columns = {name.replace(".", ":"): values for name, values in found.items()}
        file.mkrntuple("EventData", columns | {"EventInfoAux:": ak.zip(record)})
    assert PHYSLITE.recognises(contents(tmp_path / "static.root"))
    _, (block,) = read(tmp_path / "static.root")
    for fact, member in zip(("run", "luminosity_block", "event", "pileup"), members, strict=True):
        np.testing.assert_array_equal(block.facts[fact], record[member])


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64])
def test_whole_numbers_of_every_length(tmp_path, branches, kind):
    found = branches | {
        "PrimaryVerticesAuxDyn.vertexType": ak.values_astype(branches["PrimaryVerticesAuxDyn.vertexType"], kind),
        "EventInfoAuxDyn.lumiBlock": np.arange(N).astype(kind),
        "EventInfoAuxDyn.eventNumber": 2**60 + 1 + np.arange(N, dtype=np.uint64),
    }
    _, (block,) = read(write(tmp_path / "whole.root", found))
    np.testing.assert_array_equal(block.facts["n_pv"], 1 + np.arange(N) % 5)
    np.testing.assert_array_equal(block.facts["luminosity_block"], np.arange(N))
    np.testing.assert_array_equal(block.facts["event"], 2**60 + 1 + np.arange(N))


def expected(branches, name, mass=None):
    """[(K, 4)] in GeV of each event, by falling pt."""
    p = [
        branches[f"Analysis{name}AuxDyn.{x}"]
        for x in ("pt", "eta", "phi", "m")
        if f"Analysis{name}AuxDyn.{x}" in branches
    ]
    found = []
    for i in range(N):
        one = np.stack([ak.to_numpy(x[i]) for x in p] + ([np.zeros(len(p[0][i]))] if len(p) == 3 else []), -1)
        one = one.astype(float) * [1e-3, 1, 1, 1e-3]
        one[:, 3] = one[:, 3] if mass is None else mass
        found.append(one[np.argsort(-one[:, 0])])
    return found


def static(branches, *stores):
    """The members of some stores as parts of their class, not of what was added to it."""
    stored = {f"{name}AuxDyn.": f"{name}Aux." for name in stores}
    return {
        stored.get(x[: x.index(".") + 1], x[: x.index(".") + 1]) + x[x.index(".") + 1 :]: v for x, v in branches.items()
    }


@pytest.mark.parametrize("layout", ["RNTuple", "TTree"])
@pytest.mark.parametrize("stores", [(), ("EventInfo",), ("EventInfo", "PrimaryVertices", "AnalysisJets",
                                    "AnalysisLargeRJets", "AnalysisMuons", "MET_Core_AnalysisMET")])  # fmt: skip
def test_objects_are_read_in_gev(tmp_path, branches, layout, stores):
    path = write(tmp_path / "physlite.root", static(branches, *stores), layout)
    assert PHYSLITE.recognises(contents(path))
    found = PHYSLITE().look(str(path))
    assert (found.entries, found.jet_radius) == (N, 1.0)
    assert ("met" in found.present) == (layout == "RNTuple")
    assert found.remarks[0] == "jet: AnalysisLargeRJets; there are also AnalysisJets."
    columns, (block,) = read(path)
    for name, kind, mass in (("jets", "Jets", None), ("electrons", "Electrons", 0.000510999),
                             ("muons", "Muons", 0.1056584), ("photons", "Photons", 0.0)):  # fmt: skip
        for i, p in enumerate(expected(branches, kind, mass)):
            width = min(len(p), columns[name].shape[1])
            np.testing.assert_allclose(columns[name][i, :width], p[:width], rtol=1e-6)
            assert not columns[name][i, width:].any()
    for i, p in enumerate(expected(branches, "LargeRJets")):
        np.testing.assert_allclose(columns["jet"][i], p[0] if len(p) else np.zeros(4), rtol=1e-6)
    assert columns["constituents"].shape == (N, 0, 4)
    np.testing.assert_array_equal(columns["weight"], branches["EventInfoAuxDyn.mcEventWeights"][:, 0])
    np.testing.assert_array_equal(block.facts["event"], 2**33 + np.arange(N))
    np.testing.assert_array_equal(block.facts["n_pv"], 1 + np.arange(N) % 5)
    np.testing.assert_array_equal(block.facts["pileup"], branches["EventInfoAuxDyn.averageInteractionsPerCrossing"])
    assert len(np.unique(columns["event_id"])) == N
    assert not any(bad.any() for bad in block.damaged.values())


def test_the_final_term_is_the_met(tmp_path, branches):
    columns, _ = read(write(tmp_path / "physlite.root", branches))
    x, y = (ak.to_numpy(branches[f"MET_Core_AnalysisMETAuxDyn.{c}"]) for c in ("mpx", "mpy"))
    final = 1 - np.arange(N) % 2  # its place is swapped from event to event
    x, y = x[np.arange(N), final], y[np.arange(N), final]
    np.testing.assert_allclose(columns["met"][:, 0], np.hypot(x, y) / 1000, rtol=1e-5)
    np.testing.assert_allclose(columns["met"][:, 1], np.arctan2(y, x), rtol=1e-4, atol=1e-6)


def test_the_approximate_met_balances_the_hard_objects(tmp_path, branches):
    """Minus jet and photon, plus the soft term; a jet of 15 GeV and a muon within a jet do not count."""
    n = 3
    table = {"AnalysisJets": ([[50e3, 15e3], [50e3], []], [[0, 1], [0], []], [[0, 1], [0], []], [[0, 0], [0], []]),
             "AnalysisMuons": ([[], [30e3], [30e3]], [[], [0.1], [0.1]], [[], [0.2], [0.2]]),
             "AnalysisPhotons": ([[], [20e3], []], [[], [0], []], [[], [np.pi / 2], []])}  # fmt: skip
    own = {name: values[:n] for name, values in branches.items() if name.startswith("EventInfo")}
    for name, columns in table.items():
        for x, values in zip(("pt", "eta", "phi", "m"), columns, strict=False):
            own[f"{name}AuxDyn.{x}"] = ak.values_astype(ak.Array(values), np.float32)
    own["MET_Core_AnalysisMETAuxDyn.name"] = ak.Array([["SoftClusCore", "PVSoftTrkCore"]] * n)
    own["MET_Core_AnalysisMETAuxDyn.mpx"] = ak.Array([[9e9, 5e3]] * n)
    own["MET_Core_AnalysisMETAuxDyn.mpy"] = ak.Array([[9e9, 0.0]] * n)
    path = write(tmp_path / "met.root", own)
    assert "met" not in PHYSLITE().look(str(path)).present
    columns, _ = read(path, met="approximate")
    x = [-45, -45, 5 - 30 * np.cos(0.2)]
    y = [0, -20, -30 * np.sin(0.2)]
    np.testing.assert_allclose(columns["met"][:, 0], np.hypot(x, y), rtol=1e-5)
    np.testing.assert_allclose(np.cos(columns["met"][:, 1] - np.arctan2(y, x)), 1, rtol=1e-6)


@pytest.mark.parametrize("rows", [7, 25])
def test_blocks_of_any_length_give_the_same(tmp_path, branches, rows):
    path = write(tmp_path / "physlite.root", branches)
    options = {"jet": "AnalysisJets", "leading": 2}
    (whole, _), (parts, blocks) = read(path, **options), read(path, rows, **options)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name], err_msg=name)
    several = 1 + np.arange(N) % 14 > 1
    np.testing.assert_array_equal(np.concatenate([b.entry for b in blocks]), np.repeat(np.arange(N), 1 + several))


def test_an_impossible_value_is_a_damaged_row(tmp_path, branches):
    pt = ak.to_list(branches["AnalysisJetsAuxDyn.pt"])
    pt[3][0], pt[8][1] = -1.0, np.nan
    weights = ak.to_list(branches["EventInfoAuxDyn.mcEventWeights"])
    weights[5] = []
    spoilt = branches | {"AnalysisJetsAuxDyn.pt": ak.values_astype(ak.Array(pt), np.float32)}
    spoilt["EventInfoAuxDyn.mcEventWeights"] = ak.values_astype(ak.Array(weights), np.float32)
    _, (block,) = read(write(tmp_path / "spoilt.root", spoilt))
    assert list(np.flatnonzero(block.damaged["AnalysisJetsAuxDyn:pt"])) == [3, 8]
    assert list(np.flatnonzero(block.damaged["EventInfoAuxDyn:mcEventWeights"])) == [5]


def test_an_empty_file_gives_no_row(tmp_path, branches):
    path = write(tmp_path / "empty.root", {name: values[:0] for name, values in branches.items()})
    assert PHYSLITE().look(str(path)).entries == 0
    assert not list(PHYSLITE().blocks(str(path), 10))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"AnalysisJetsAuxDyn.eta": lambda x: x[:, :1]}, {}, "differ in length"),
        ({"AnalysisJetsAuxDyn.pt": lambda x: ak.to_numpy(x[:, 0])}, {}, "'AnalysisJetsAuxDyn:pt' is of type 'float32'"),
        ({"EventInfoAuxDyn.eventNumber": lambda x: x.astype(float)}, {}, "whole number"),
        ({"EventInfoAuxDyn.eventNumber": None}, {}, "missing branches: EventInfoAuxDyn.eventNumber"),
        (
            {"MET_Core_AnalysisMETAuxDyn.name": lambda x: ak.concatenate([x[:1], x[1:, :1]])},
            {},
            "does not name the terms",
        ),
        ({}, {"met": "RefMuon"}, "RefMuon"),
        ({}, {"jet": "AnalysisLargeRJet"}, "Did you mean 'AnalysisLargeRJets'"),
        ({}, {"leading": True}, "leading"),
    ],
)
def test_bad_input_is_named(tmp_path, branches, change, options, message):
    bad = {name: (change[name](v) if change.get(name) else v) for name, v in branches.items()
           if not (name in change and change[name] is None)}  # fmt: skip
    path = write(tmp_path / "bad.root", bad)
    with pytest.raises(InputError, match=message):
        list(PHYSLITE(**options).blocks(str(path), 20))


@needs_data
def test_the_real_file():
    path = REAL / "PHYSLITE_example.root"
    assert PHYSLITE.recognises(contents(path))
    found = PHYSLITE().look(str(path))
    assert found.entries == 100
    assert "met" not in found.present
    assert "SoftClusCore, PVSoftTrkCore" in found.remarks[-1]
    columns, (block,) = read(path)
    large = columns["jet"][:, 0] > 0
    assert large.sum() == 52
    assert 100 < np.median(columns["jet"][large, 0]) < 500
    assert len(np.unique(columns["event_id"])) == 100
    assert 14 < block.facts["pileup"].min() < block.facts["pileup"].max() < 87
    assert not any(bad.any() for bad in block.damaged.values())
    approximate, _ = read(path, met="approximate")
    assert 5 < np.median(approximate["met"][:, 0]) < 50


@needs_data
def test_edm4hep_is_not_physlite():
    assert not PHYSLITE.recognises(contents(REAL / "test_FCC_Winter2023.root"))
