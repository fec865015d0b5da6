"""CMS NanoAOD and PFNano: known events in each dialect, as TTree and RNTuple, and real files."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.events.kinematics import sum_four_vectors
from hepad.samples.formats.root import names, open_root, tables
from hepad.samples.readers.base import Contents
from hepad.samples.readers.nanoaod import NanoAOD

DIALECTS = {
    "2018": ("FatJetPFCands", "pFCandsIdx", "PFCands"),
    "106X": ("JetPFCandsAK8", "candIdx", "JetPFCands"),
    "btvNano": ("FatJetPFCand", "pfCandIdx", "PFCand"),
}
REAL = Path(os.environ.get("HEPAD_DATA", "")) / "hep"
needs_data = pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")


def contents(path):
    with open_root(path) as file:
        return Contents(str(path), "ROOT", {name: names(file[name]) for name in tables(file)})


def read(path, rows=1000, **options):
    blocks = list(NanoAOD(**options).blocks(str(path), rows))
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns}, blocks


def jagged(rng, counts, low, high):
    return ak.unflatten(rng.uniform(low, high, counts.sum()).astype(np.float32), counts)


def vectors(rng, counts, **more):
    low = {"pt": (20, 500), "eta": (-2, 2), "phi": (-3.1, 3.1), "mass": (0, 50)}
    return {x: jagged(rng, counts, *limits) for x, limits in (low | more).items()}


@pytest.fixture
def events():
    """60 events: {collection: {column: (N, *)}}; every third without a fat jet; a jet of w-weighted candidates."""
    rng = np.random.default_rng(1)
    n = 60
    n_jets, n_links, n_spare = np.where(np.arange(n) % 3, 2, 0), 15, 4  # links of each jet, candidates of none
    cands = vectors(rng, 2 * n_links * (n_jets > 0) + n_spare, pt=(1, 60), mass=(0.1, 0.2), puppiWeight=(0.2, 1))
    jet_index, place = [], []
    for i in range(n):
        order = rng.permutation(len(cands["pt"][i]))[: n_links * n_jets[i]]
        place.append(order)
        jet_index.append(np.repeat(np.arange(n_jets[i]), n_links))
    jets = [
        sum_four_vectors(
            np.stack([cands["pt"][i] * cands["puppiWeight"][i], cands["eta"][i], cands["phi"][i],
                      cands["mass"][i] * cands["puppiWeight"][i]], -1)[place[i][jet_index[i] == k]]
        ) if k < n_jets[i] else np.zeros(4)
        for i in range(n) for k in range(2)
    ]  # fmt: skip
    raw = np.reshape(jets, (n, 2, 4))
    factor = jagged(rng, n_jets, 0.05, 0.1)
    fat = {x: ak.Array([list(raw[i, : n_jets[i], k]) for i in range(n)]) for k, x in enumerate(("pt", "eta", "phi"))}
    fat["mass"] = ak.Array([list(raw[i, : n_jets[i], 3]) for i in range(n)])
    fat = {x: v / (1 - factor) if x in ("pt", "mass") else v for x, v in fat.items()}
    fat = {x: ak.values_astype(v, np.float32) for x, v in fat.items()} | {"rawFactor": factor}
    links = {"jetIdx": ak.values_astype(ak.Array(jet_index), np.int32), "place": ak.Array(place)}
    links["place"] = ak.values_astype(links["place"], np.int32)
    flat = {
        "run": np.full(n, 7, np.uint32), "luminosityBlock": np.arange(n, dtype=np.uint32) // 10,
        "event": 2**40 + np.arange(n, dtype=np.uint64), "genWeight": rng.normal(1, 1, n).astype(np.float32),
        "PV_npvs": rng.integers(1, 80, n).astype(np.int32), "Pileup_nTrueInt": rng.uniform(0, 80, n).astype(np.float32),
        "MET_pt": rng.exponential(50, n).astype(np.float32), "MET_phi": rng.uniform(-3, 3, n).astype(np.float32),
        "L1_SingleJet180": rng.random(n) < 0.5, "HLT_PFJet500": rng.random(n) < 0.1, "Flag_good": rng.random(n) < 1,
    }  # fmt: skip
    count = rng.integers(0, 14, n)
    return flat, {
        "FatJet": fat, "links": links, "cands": cands, "Jet": vectors(rng, count, btagDeepFlavB=(0, 1)),
        "Muon": vectors(rng, rng.integers(0, 3, n)), "Electron": vectors(rng, rng.integers(0, 7, n)),
    }, raw  # fmt: skip


def collections(tables, dialect):
    table, index, cands = DIALECTS[dialect]
    found = {name: tables[name] for name in ("FatJet", "Jet", "Muon", "Electron")}
    found[table] = {"jetIdx": tables["links"]["jetIdx"], index: tables["links"]["place"]}
    return found | {cands: tables["cands"]}


def write(path, events, dialect="2018", layout="tree", edit=lambda flat, found: None):
    """layout: 'tree'; 'flat' names or 'nested' collections in an RNTuple."""
    flat, found = dict(events[0]), {name: dict(table) for name, table in collections(events[1], dialect).items()}
    edit(flat, found)
    separate = {f"{name}_{x}": values for name, table in found.items() for x, values in table.items()}
    with uproot.recreate(path) as file:
        if layout == "nested":
            bits = {name: flat.pop(name) for name in list(flat) if name.startswith("HLT_")}
            nested = {name: ak.zip(table) for name, table in found.items()}
            record = ak.zip({name.removeprefix("HLT_"): values for name, values in bits.items()})
            file.mkrntuple("Events", flat | nested | {"HLT": record})
        elif layout == "flat":
            file.mkrntuple("Events", flat | separate)
        else:
            file.mktree("Events", {name: values.type.content if isinstance(values, ak.Array) else values.dtype
                                   for name, values in (flat | separate).items()})  # fmt: skip
            file["Events"].extend(flat | separate)
    return path


@pytest.mark.parametrize(
    ("dialect", "layout"), [*((name, "tree") for name in DIALECTS), ("2018", "flat"), ("btvNano", "nested")]
)
def test_a_jet_is_the_weighted_sum_of_its_candidates(tmp_path, events, dialect, layout):
    path = write(tmp_path / "pfnano.root", events, dialect, layout)
    assert NanoAOD.recognises(contents(path))
    found = NanoAOD().look(str(path))
    assert (found.entries, found.jet_radius) == (60, 0.8)
    assert found.present >= {"constituents", "jets", "electrons", "muons", "met", "weight", "pileup", "event_id"}
    assert found.triggers == ("HLT_PFJet500", "L1_SingleJet180")
    assert any("weighted by" in remark for remark in found.remarks)
    columns, blocks = read(path)
    flat, raw = events[0], events[2]
    entry = np.flatnonzero(np.arange(60) % 3)
    hardest = np.take_along_axis(raw, np.argmax(events_pt(events), axis=1)[:, None, None], 1)[entry, 0]
    np.testing.assert_allclose(columns["jet"], hardest, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"]), hardest, rtol=1e-4, atol=1e-4)
    assert blocks[0].refused == {"no jet": 20}
    assert blocks[0].refused_weight == pytest.approx(float(flat["genWeight"][::3].astype(float).sum()))
    np.testing.assert_array_equal(blocks[0].entry, entry)
    np.testing.assert_array_equal(columns["weight"], flat["genWeight"][entry].astype(float))
    np.testing.assert_array_equal(columns["met"][:, 0], flat["MET_pt"][entry])
    np.testing.assert_array_equal(blocks[0].facts["event"], flat["event"][entry].astype(np.int64))
    np.testing.assert_array_equal(blocks[0].facts["pileup"], flat["Pileup_nTrueInt"][entry])
    for name in found.triggers:
        np.testing.assert_array_equal(blocks[0].triggers[name], flat[name][entry])
    assert not any(bad.any() for bad in blocks[0].damaged.values())


def events_pt(events):
    """(N, 2) calibrated pt of the fat jets, 0 where there is none."""
    return ak.to_numpy(ak.fill_none(ak.pad_none(events[1]["FatJet"]["pt"], 2), 0))


def test_objects_are_sorted_and_tagged_in_step(tmp_path, events):
    path = write(tmp_path / "nano.root", events)
    columns, _ = read(path, jet="Jet", b_tag="btagDeepFlavB", working_point=0.5)
    jets = events[1]["Jet"]
    assert len(columns["jet"]) == 60  # no candidates linked to Jet: events without one have a row, too
    for i in range(60):
        order = np.argsort(-ak.to_numpy(jets["pt"][i]))
        n = len(order)
        for k, x in enumerate(("pt", "eta", "phi", "mass")):
            np.testing.assert_array_equal(columns["jets"][i, :n, k], jets[x][i][order])
        np.testing.assert_array_equal(columns["b_tag"][i, :n], jets["btagDeepFlavB"][i][order] >= 0.5)
        assert not columns["jets"][i, n:].any()
        assert not columns["b_tag"][i, n:].any()
        np.testing.assert_array_equal(columns["jet"][i], columns["jets"][i, 0])
    assert columns["constituents"].shape == (60, 0, 4)


def test_both_jets_of_an_event_share_its_identifier(tmp_path, events):
    path = write(tmp_path / "pfnano.root", events)
    columns, blocks = read(path, leading=2)
    assert len(columns["jet"]) == 80
    np.testing.assert_array_equal(columns["event_id"][::2], columns["event_id"][1::2])
    assert len(np.unique(columns["event_id"])) == 40
    sums = sum_four_vectors(columns["constituents"])
    np.testing.assert_allclose(sums[:, 0], columns["jet"][:, 0], rtol=1e-5)
    np.testing.assert_array_equal(np.bincount(np.concatenate([block.entry for block in blocks]))[1::3], 2)


@pytest.mark.parametrize("rows", [11, 60])
def test_blocks_of_any_length_give_the_same(tmp_path, events, rows):
    path = write(tmp_path / "pfnano.root", events)
    whole, parts = read(path), read(path, rows)
    for name, values in whole[0].items():
        np.testing.assert_array_equal(values, parts[0][name], err_msg=name)
    assert sum(block.refused["no jet"] for block in parts[1]) == 20
    np.testing.assert_array_equal(np.concatenate([block.entry for block in parts[1]]), whole[1][0].entry)


def test_unweighted_sums_are_recognised(tmp_path, events):
    def chs(flat, found):
        for x in ("pt", "mass"):
            found["PFCands"][x] = found["PFCands"][x] * found["PFCands"]["puppiWeight"]

    path = write(tmp_path / "chs.root", events, edit=chs)
    assert any("without weights" in remark for remark in NanoAOD().look(str(path)).remarks)
    columns, _ = read(path)
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"])[:, 0], columns["jet"][:, 0], rtol=1e-5)
    forced, _ = read(path, puppi=True)
    assert np.median(sum_four_vectors(forced["constituents"])[:, 0] / forced["jet"][:, 0]) < 0.9


def test_an_impossible_value_is_a_damaged_row(tmp_path, events):
    place = {"candidate": int(events[1]["links"]["place"][1][0]), "jet": int(events[1]["links"]["jetIdx"][1][0])}

    def spoil(flat, found):
        flat["MET_pt"] = flat["MET_pt"].copy()
        flat["MET_pt"][2] = np.nan
        pt = [list(x) for x in found["PFCands"]["pt"]]
        pt[1][place["candidate"]] = np.inf
        found["PFCands"]["pt"] = ak.values_astype(ak.Array(pt), np.float32)
        jets = [list(x) for x in found["Jet"]["pt"]]
        full = next(i for i in (4, 5, 7, 8) if jets[i])
        jets[full][0] = -1
        found["Jet"]["pt"] = ak.values_astype(ak.Array(jets), np.float32)
        place["entry"] = full

    path = write(tmp_path / "spoilt.root", events, edit=spoil)
    _, blocks = read(path, leading=2)
    block = blocks[0]
    assert set(block.entry[block.damaged["MET_pt"]]) == {2}
    assert set(block.entry[block.damaged["Jet_pt"]]) == {place["entry"]}
    assert list(block.entry[block.damaged["PFCands_pt"]]) == [1]


def test_an_empty_file_gives_no_row(tmp_path, events):
    empty = ({name: values[:0] for name, values in events[0].items()},
             {name: {x: values[:0] for x, values in table.items()} for name, table in events[1].items()})  # fmt: skip
    path = write(tmp_path / "empty.root", empty)
    assert NanoAOD().look(str(path)).entries == 0
    assert not list(NanoAOD().blocks(str(path), 10))


def change(table, name, make):
    def edit(flat, found):
        target = found[table] if table else flat
        target[name] = make(target[name])

    return edit


@pytest.mark.parametrize(
    ("edit", "options", "message"),
    [
        (change("FatJetPFCands", "jetIdx", lambda x: x + 5), {}, "'FatJetPFCands_jetIdx' points beyond"),
        (change("FatJetPFCands", "pFCandsIdx", lambda x: x + 100), {}, "'FatJetPFCands_pFCandsIdx' points beyond"),
        (change("FatJetPFCands", "jetIdx", lambda x: ak.values_astype(x, np.float32)), {}, "whole numbers"),
        (change("FatJet", "pt", lambda x: ak.to_numpy(ak.sum(x, axis=1))), {}, "'FatJet_pt' is of type 'float"),
        (change("FatJet", "eta", lambda x: x[:, :1]), {}, "'FatJet_pt' and 'FatJet_eta' differ in length"),
        (change("", "event", lambda x: x.astype(float)), {}, "'event' is of type 'float64'"),
        (lambda flat, found: flat.pop("run"), {}, "missing branches: run"),
        (lambda flat, found: found["PFCands"].pop("puppiWeight"), {"puppi": True}, "puppiWeight"),
        (lambda flat, found: None, {"jet": "FatJets"}, "Did you mean 'FatJet'"),
        (lambda flat, found: None, {"met": "PuppiMET"}, "met 'PuppiMET' is unknown"),
        (lambda flat, found: None, {"b_tag": "btagDeepFlavB"}, "working_point"),
        (lambda flat, found: None, {"b_tag": "btagUParT", "working_point": 0.1}, "discriminators: Jet_btagDeepFlavB"),
        (lambda flat, found: None, {"triggers": ("HLT_Ele*",)}, "HLT_Ele"),
        (lambda flat, found: None, {"leading": 0}, "leading"),
    ],
)  # fmt: skip
def test_bad_input_is_named(tmp_path, events, edit, options, message):
    path = write(tmp_path / "bad.root", events, edit=edit)
    with pytest.raises(InputError, match=message):
        list(NanoAOD(**options).blocks(str(path), 25))


def test_a_truncated_file_is_refused(tmp_path, events):
    path = write(tmp_path / "whole.root", events)
    data = path.read_bytes()
    for fraction in (0.1, 0.5, 0.9):
        (tmp_path / "part.root").write_bytes(data[: int(len(data) * fraction)])
        with pytest.raises(InputError, match=r"part\.root"):
            list(NanoAOD().blocks(str(tmp_path / "part.root"), 25))


@needs_data
@pytest.mark.parametrize(("options", "rows", "limit"), [
    ({}, 10, 2e-3), ({"leading": 5}, 24, 3e-3), ({"jet": "Jet", "leading": 2}, 20, 2e-3),
])  # fmt: skip
def test_jets_of_pfnano_sum_to_their_raw_pt(options, rows, limit):
    columns, blocks = read(REAL / "pfnano.root", 4, triggers=(), **options)
    jet, sums = columns["jet"], sum_four_vectors(columns["constituents"])
    assert len(jet) == rows
    assert (np.abs(sums[:, 0] / jet[:, 0] - 1) < limit).all()
    np.testing.assert_allclose(sums[:, 1], jet[:, 1], atol=2e-3)
    assert not any(bad.any() for block in blocks for bad in block.damaged.values())


@needs_data
@pytest.mark.parametrize(("file", "entries", "bits"), [
    ("pfnano", 10, 1011), ("nano_dimuon", 40, 1188), ("nanoAOD_2015_CMS_Open_Data_ttbar", 200, 441),
])  # fmt: skip
def test_real_files_are_recognised_and_read(file, entries, bits):
    path = REAL / f"{file}.root"
    assert NanoAOD.recognises(contents(path))
    columns, _ = read(path, 128, jet="Jet", constituents=False, triggers=("HLT_PFJet*",))
    found = NanoAOD().look(str(path))
    assert (found.entries, len(found.triggers)) == (entries, bits)
    assert len(columns["jet"]) == len(np.unique(columns["event_id"])) == entries
    assert ("weight" in columns) == (file != "nano_dimuon")
    np.testing.assert_array_equal(columns["jet"], columns["jets"][:, 0])


@needs_data
def test_edm4hep_is_not_nanoaod():
    assert not NanoAOD.recognises(contents(REAL / "test_FCC_Winter2023.root"))
