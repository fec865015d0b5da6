"""CMS NanoAOD of every version with the types that its branches have, as TTree and as RNTuple.

Types and names are those of the documentation that CMS makes of each version: counters and indices are UInt_t and Int_t
up to v9, Int_t, Short_t and UChar_t from v12 on; v15 calls the PF missing momentum PFMET and stores candidates that are
weighted already. What PFNano adds has Int_t indices; other producers have Short_t.
"""

from typing import NamedTuple

import awkward as ak
import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.events.kinematics import sum_four_vectors
from hepad.samples.readers.nanoaod import NanoAOD
from hepad.samples.sources import read

N = 30
FIRST = 2**60 + 1  # a float64 would round it


class Version(NamedTuple):
    """``links``: table of the links, index in it and candidates; ``weighted``: whether these are weighted already."""

    npvs: type
    index: type
    jet_id: type
    met: str
    b_tag: str
    links: tuple[str, str, str]
    weighted: bool = False


VERSIONS = {
    "v9": Version(np.int32, np.int32, np.int32, "MET", "btagDeepFlavB", ("FatJetPFCands", "pFCandsIdx", "PFCands")),
    "v12": Version(np.uint8, np.int16, np.uint8, "MET", "btagPNetB", ("FatJetPFCands", "pFCandsIdx", "PFCands")),
    "v13": Version(np.uint8, np.int16, np.uint8, "MET", "btagRobustParTAK4B", ("FatJetPFCand", "pfCandIdx", "PFCand")),
    "v15": Version(
        np.uint8, np.int32, np.uint8, "PFMET", "btagUParTAK4B", ("FatJetPFCand", "pfCandIdx", "PFCand"), True
    ),
}  # fmt: skip


def lists(values, kind):
    return ak.values_astype(ak.Array([list(x) for x in values]), kind)


def content(version: Version):
    """{branch: values} of N events, every fifth without a fat jet, and the sum of the first fat jet's candidates."""
    rng = np.random.default_rng(12)
    table, index, candidates = version.links
    count = np.where(np.arange(N) % 5, 24, 4)
    p = [np.stack([rng.uniform(5, 60, n), rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.uniform(0, 0.2, n)], -1)
         for n in count]  # fmt: skip
    weight = [rng.uniform(0.2, 1, n) * (rng.random(n) < 0.9) for n in count]
    weighted = [x * np.stack([w, np.ones_like(w), np.ones_like(w), w], -1) for x, w in zip(p, weight, strict=True)]
    jets = [sum_four_vectors(x[None, :20]) if i % 5 else np.zeros((0, 4)) for i, x in enumerate(weighted)]
    found = {
        "run": np.full(N, 379000, np.uint32), "luminosityBlock": np.full(N, 4_000_000_000, np.uint32),
        "event": FIRST + np.arange(N, dtype=np.uint64), "bunchCrossing": np.full(N, 3, np.uint32),
        "genWeight": np.where(np.arange(N) % 3, 2, -2).astype(np.float32),
        "Pileup_nTrueInt": rng.uniform(10, 60, N).astype(np.float32),
        "PV_npvs": rng.integers(1, 99, N).astype(version.npvs),
        "L1_SingleJet180": rng.random(N) < 0.5, "HLT_PFJet500": rng.random(N) < 0.1,
        f"{version.met}_pt": rng.exponential(50, N).astype(np.float32),
        f"{version.met}_phi": rng.uniform(-3, 3, N).astype(np.float32),
    }  # fmt: skip
    for i, x in enumerate(("pt", "eta", "phi", "mass")):
        scale = 1.25 if x in ("pt", "mass") else 1.0
        found[f"FatJet_{x}"] = lists([scale * jet[:, i] for jet in jets], np.float32)
        found[f"{candidates}_{x}"] = lists([v[:, i] for v in (weighted if version.weighted else p)], np.float32)
        for name, low, high in (("Jet", 0, 17), ("Electron", 0, 3), ("Muon", 0, 3), ("Photon", 0, 7)):
            number = np.random.default_rng(5).integers(low, high, N)
            found[f"{name}_{x}"] = lists(
                [rng.uniform(*(10, 90) if i in (0, 3) else (-2, 2), n) for n in number], np.float32
            )
    found["FatJet_rawFactor"] = ak.full_like(found["FatJet_pt"], 0.2)
    found["FatJet_nConstituents"] = ak.full_like(found["FatJet_pt"], 20, dtype=np.uint8)
    found["Jet_jetId"] = ak.full_like(found["Jet_pt"], 6, dtype=version.jet_id)
    found[f"Jet_{version.b_tag}"] = ak.full_like(found["Jet_pt"], 0.7)
    if not version.weighted:
        found[f"{candidates}_puppiWeight"] = lists(weight, np.float32)
    found[f"{table}_jetIdx"] = lists([[0] * 20 if i % 5 else [] for i in range(N)], version.index)
    found[f"{table}_{index}"] = lists([range(20) if i % 5 else [] for i in range(N)], version.index)
    return found, np.concatenate(jets)


def write(path, found, layout):
    """A TTree; or an RNTuple of collections FatJet {pt, eta, ...}, as CMSSW writes them."""
    with uproot.recreate(path) as file:
        if layout == "TTree":
            file.mktree("Events", {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in found.items()})
            file["Events"].extend(found)
            return str(path)
        jagged = {name: values for name, values in found.items() if isinstance(values, ak.Array)}
        tables: dict = {}
        for name, values in jagged.items():
            table, _, column = name.partition("_")
            tables.setdefault(table, {})[column] = values
        numbers = {name: values for name, values in found.items() if name not in jagged}
        file.mkrntuple("Events", numbers | {name: ak.zip(columns) for name, columns in tables.items()})
    return str(path)


@pytest.mark.parametrize("layout", ["TTree", "RNTuple"])
@pytest.mark.parametrize("name", VERSIONS)
def test_every_version_is_read(tmp_path, name, layout):
    version = VERSIONS[name]
    found, sums = content(version)
    path = write(tmp_path / "nano.root", found, layout)
    options = {"b_tag": version.b_tag, "working_point": 0.5}
    events = read({"files": path, **options}, name="s", selection="any", split=(0.6, 0.1, 0.3))
    entry = np.flatnonzero(np.arange(N) % 5)
    assert len(events) == len(entry)
    np.testing.assert_array_equal(events.facts["event"], FIRST + entry)
    assert (events.facts["run"] == 379000).all()
    assert (events.facts["luminosity_block"] == 4_000_000_000).all()
    np.testing.assert_array_equal(events.facts["n_pv"], found["PV_npvs"][entry])
    np.testing.assert_array_equal(events.facts["pileup"], found["Pileup_nTrueInt"][entry])
    assert all(events.facts[x].dtype == np.int64 for x in ("run", "luminosity_block", "event"))
    np.testing.assert_array_equal(events.weight, found["genWeight"][entry])
    np.testing.assert_array_equal(events.met[:, 0], found[f"{version.met}_pt"][entry])
    np.testing.assert_allclose(sum_four_vectors(events.constituents), sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(events.jet, sums, rtol=1e-5, atol=1e-5)
    for group, table in (("jets", "Jet"), ("electrons", "Electron"), ("muons", "Muon"), ("photons", "Photon")):
        number = ak.to_numpy(ak.num(found[f"{table}_pt"]))[entry]
        np.testing.assert_array_equal((getattr(events, group)[..., 0] > 0).sum(axis=1), number)
        expected = ak.to_numpy(ak.sum(found[f"{table}_pt"], axis=1))[entry]
        np.testing.assert_allclose(getattr(events, group)[..., 0].sum(axis=1), expected, rtol=1e-5)
    np.testing.assert_array_equal(events.b_tag > 0, events.jets[..., 0] > 0)
    assert events.meta["triggers"] == ["HLT_PFJet500", "L1_SingleJet180"]
    for i, bit in enumerate(events.meta["triggers"]):
        np.testing.assert_array_equal(events.triggers[:, i], found[bit][entry])
    assert not any(number for why, number in events.meta["counts"][path].items() if why.startswith("refused: bad"))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64])
def test_whole_numbers_of_every_length(tmp_path, kind):
    """Numbers of vertices, indices, identifiers and trigger bits; an index of no object is -1, or all bits set."""
    found, sums = content(VERSIONS["v12"])
    links = {x: found[f"FatJetPFCands_{x}"] for x in ("jetIdx", "pFCandsIdx")}
    none = -1 if np.dtype(kind).kind == "i" else np.iinfo(kind).max
    # a link to no jet is no link: one more in every event
    extra = {"jetIdx": none, "pFCandsIdx": 0}
    for x, values in links.items():
        one = ak.unflatten(np.full(N, extra[x], kind), 1)
        found[f"FatJetPFCands_{x}"] = ak.concatenate([ak.values_astype(values, kind), one], axis=1)
    bit = found["HLT_PFJet500"].astype(kind)
    bit[1] = np.array(-1 if np.dtype(kind).kind == "i" else 0).astype(kind)  # -1: not in this run's menu
    found |= {"PV_npvs": found["PV_npvs"].astype(kind), "HLT_PFJet500": bit}
    found |= {x: (np.arange(N) + 1).astype(kind) for x in ("run", "luminosityBlock", "event")}
    path = write(tmp_path / "nano.root", found, "TTree")
    events = read({"files": path}, name="s", selection="any", split=(0.6, 0.1, 0.3))
    entry = np.flatnonzero(np.arange(N) % 5)
    np.testing.assert_array_equal(events.facts["n_pv"], found["PV_npvs"][entry])
    for x in ("run", "luminosity_block", "event"):
        np.testing.assert_array_equal(events.facts[x], entry + 1)
    np.testing.assert_allclose(sum_four_vectors(events.constituents), sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(events.triggers[:, events.meta["triggers"].index("HLT_PFJet500")], bit[entry] == 1)


def test_files_of_two_versions_are_one_sample(tmp_path):
    """Facts have one kind, whatever kinds the files have, and are unknown where one lacks them."""
    (first, _), (second, _) = (content(VERSIONS[name]) for name in ("v9", "v12"))
    second |= {"event": second["event"] + np.uint64(N), "run": second["run"] + np.uint32(1)}
    second = {x: v * np.float32(1.01) if x in ("FatJet_pt", "PFCands_pt") else v for x, v in second.items()}
    del second["PV_npvs"]
    paths = [write(tmp_path / f"{i}.root", found, "TTree") for i, found in enumerate((first, second))]
    events = read({"files": paths}, name="s", selection="any", split=(0.6, 0.1, 0.3))
    entry = np.flatnonzero(np.arange(N) % 5)
    assert len(events) == 2 * len(entry)
    np.testing.assert_array_equal(events.facts["n_pv"][: len(entry)], first["PV_npvs"][entry])
    assert np.isnan(events.facts["n_pv"][len(entry) :]).all()
    np.testing.assert_array_equal(events.facts["event"][len(entry) :], FIRST + N + entry)


def test_unknown_numbers(tmp_path):
    """Negative pile-up and vertices stand for unknown; an event number beyond 63 bits is damage."""
    found, _ = content(VERSIONS["v9"])
    found["PV_npvs"][1], found["Pileup_nTrueInt"][2] = -1, -1
    found["event"][3] = 2**63 + 1
    path = write(tmp_path / "nano.root", found, "TTree")
    (block,) = NanoAOD().blocks(path, 1000)
    assert list(block.entry[np.isnan(block.facts["n_pv"])]) == [1]
    assert list(block.entry[np.isnan(block.facts["pileup"])]) == [2]
    assert {name: list(block.entry[bad]) for name, bad in block.damaged.items() if bad.any()} == {"event": [3]}


def test_any_missing_momentum_can_be_named(tmp_path):
    found, _ = content(VERSIONS["v15"])
    for i, name in enumerate(("DeepMETResolutionTune", "RawPuppiMET", "GenMET")):
        found |= {f"{name}_pt": np.full(N, 7 + i, np.float32), f"{name}_phi": np.zeros(N, np.float32)}
    path = write(tmp_path / "nano.root", found, "TTree")
    assert any(x.startswith("met: PFMET; there are also Deep") for x in NanoAOD().look(path).remarks)
    (block,) = NanoAOD(met="RawPuppiMET").blocks(path, 1000)
    assert (block.columns["met"][:, 0] == 8).all()


def test_a_trigger_is_a_truth_value(tmp_path):
    """As in a mapping: 1 is set, 0 and -1 are not, and what else is there is no bit."""
    found, _ = content(VERSIONS["v12"])
    found["HLT_PFJet500"] = np.full(N, 2, np.int32)
    path = write(tmp_path / "nano.root", found, "TTree")
    with pytest.raises(InputError, match=r"nano\.root: 'HLT_PFJet500' is no trigger bit: 2 is neither true.*leave it"):
        list(NanoAOD().blocks(path, 1000))
    (block,) = NanoAOD(triggers=("L1_*",)).blocks(path, 1000)
    assert set(block.triggers) == {"L1_SingleJet180"}
