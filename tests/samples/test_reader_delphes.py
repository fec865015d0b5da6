"""Delphes: known jets and what they are made of, references that lead nowhere, and a real file."""

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
from hepad.samples.readers.delphes import Delphes
from hepad.samples.sources import read as read_sample

REAL = Path(os.environ.get("HEPAD_DATA", "")) / "hep"
needs_data = pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")
N = 40


def contents(path):
    with open_root(path) as file:
        return Contents(str(path), "ROOT", {name: names(file[name]) for name in tables(file)})


def read(path, rows=1000, **options):
    blocks = list(Delphes(**options).blocks(str(path), rows))
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns}, blocks


def jagged(values, kind=np.float32):
    return ak.values_astype(ak.Array([list(x) for x in values]), kind)


@pytest.fixture(scope="module")
def sample():
    """({collection: {column: [(K,)] per event}}, {collection: [references of each jet] per event}, (N, 2, 4) jets).

    Two fat jets in every event but each fourth, of 12 tracks and 6 photons each, out of 30 and 15.
    """
    rng = np.random.default_rng(3)
    tracks, photons, jets, references, four = [], [], [], [], np.zeros((N, 2, 4))
    for i in range(N):
        identifier = 1000 + rng.permutation(45)
        p = np.stack([rng.uniform(1, 40, 45), rng.uniform(-2, 2, 45), rng.uniform(-3.1, 3.1, 45)], -1)
        mass = np.where(np.arange(45) < 30, 0.1396, 0)
        p = np.concatenate([p, mass[:, None]], -1).astype(np.float32)
        tracks.append((identifier[:30], p[:30]))
        photons.append((identifier[30:], p[30:]))
        of_event = []
        for k in range(2 if i % 4 else 0):
            mine = np.r_[12 * k : 12 * k + 12, 30 + 6 * k : 36 + 6 * k]
            four[i, k] = sum_four_vectors(p[mine])
            of_event.append(rng.permutation(identifier[mine]))
        jets.append(four[i, : len(of_event)])
        references.append(of_event)
    displaced = [p[:, 1] + rng.normal(0, 0.3, 30) for _, p in tracks]  # what Eta of a position may be
    found = {
        "EFlowTrack": {"fUniqueID": [x for x, _ in tracks], "PT": [p[:, 0] for _, p in tracks], "Eta": displaced,
                       "Phi": [p[:, 2] for _, p in tracks], "Mass": [p[:, 3] for _, p in tracks],
                       "P": [p[:, 0] * np.cosh(p[:, 1]) for _, p in tracks],
                       "CtgTheta": [np.sinh(p[:, 1]) for _, p in tracks]},
        "EFlowPhoton": {"fUniqueID": [x for x, _ in photons]}
        | {x: [p[:, k] for _, p in photons] for k, x in enumerate(("ET", "Eta", "Phi"))},
        "FatJet": {x: [p[:, k] for p in jets] for k, x in enumerate(("PT", "Eta", "Phi", "Mass"))},
        "Jet": {x: [rng.uniform(20, 90, i % 13) for i in range(N)] for x in ("PT", "Mass")},
        "Muon": {x: [rng.uniform(0.1, 3, i % 3) for i in range(N)] for x in ("PT", "Eta", "Phi")},
        "MissingET": {x: rng.uniform(0, 3, (N, 1)) for x in ("MET", "Phi")},
        "Event": {"Number": np.arange(N)[:, None], "Weight": rng.normal(1, 2, (N, 1))},
    }  # fmt: skip
    found["Jet"] |= {x: [rng.uniform(-2, 2, i % 13) for i in range(N)] for x in ("Eta", "Phi")}
    found["Jet"]["BTag"] = [rng.integers(0, 4, i % 13) for i in range(N)]
    found["Track"] = {
        x: v for x, v in found["EFlowTrack"].items() if x not in ("P", "CtgTheta")
    }  # the same identifiers
    return found, {"FatJet": references}, four


def write(path, sample, edit=lambda found, references: None):
    """TClonesArrays and TRefArrays cannot be written without ROOT: an RNTuple with the same names holds them."""
    found, references = {name: dict(table) for name, table in sample[0].items()}, dict(sample[1])
    edit(found, references)
    tree = {}
    for name, table in found.items():
        whole = ("fUniqueID", "BTag", "Number")
        columns = {x: jagged(v, np.int64 if x in whole else np.float32) for x, v in table.items()}
        if name in references:
            inner = [[list(jet) for jet in event] for event in references[name]]
            refs = ak.values_astype(ak.Array(inner), np.int32)
            columns["Constituents"] = ak.zip({"refs": refs}, depth_limit=2)
        tree[name] = ak.zip(columns, depth_limit=2)
    with uproot.recreate(path) as file:
        file.mkrntuple("Delphes", tree)
    return path


@pytest.mark.parametrize("rows", [N, 7])
def test_constituents_are_found_by_reference(tmp_path, sample, rows):
    path = write(tmp_path / "delphes.root", sample)
    assert Delphes.recognises(contents(path))
    found = Delphes().look(str(path))
    assert found.entries == N
    assert found.present == {"constituents", "jets", "muons", "met", "weight", "b_tag", "event_id"}
    assert "jet: FatJet; there are also Jet." in found.remarks
    assert "constituents of FatJet: from EFlowPhoton, EFlowTrack." in found.remarks
    columns, blocks = read(path, rows)
    there = np.flatnonzero(np.arange(N) % 4)
    four = sample[2][there]
    hardest = np.take_along_axis(four, np.argmax(four[..., 0], axis=1)[:, None, None], axis=1)[:, 0]
    np.testing.assert_allclose(columns["jet"], hardest, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"]), hardest, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal((columns["constituents"][..., 0] > 0).sum(axis=1), 18)
    np.testing.assert_array_equal(np.concatenate([block.entry for block in blocks]), there)
    np.testing.assert_array_equal(np.concatenate([block.facts["event"] for block in blocks]), there)
    assert sum(block.refused["no jet"] for block in blocks) == N // 4
    with uproot.open(path) as file:
        weights = file["Delphes"].arrays(filter_name="*Weight*")
    every = ak.sum(weights[weights.fields[0]]["Weight"])
    assert columns["weight"].sum() + sum(block.refused_weight for block in blocks) == pytest.approx(every)
    weight = jagged(sample[0]["Event"]["Weight"])[:, 0][there]
    np.testing.assert_array_equal(columns["weight"], weight)
    assert not any(bad.any() for block in blocks for bad in block.damaged.values())


def test_objects_and_tags_stay_in_step(tmp_path, sample):
    path = write(tmp_path / "delphes.root", sample)
    columns, (block,) = read(path, jet="Jet", b_tag_bit=1)
    assert len(columns["jet"]) == N  # without constituents, events without a jet have a row, too
    assert columns["constituents"].shape == (N, 0, 4)
    for i in range(N):
        pt = np.asarray(sample[0]["Jet"]["PT"][i], np.float32)
        order = np.argsort(-pt)
        np.testing.assert_array_equal(columns["jets"][i, : len(order), 0], pt[order])
        tags = sample[0]["Jet"]["BTag"][i][order] // 2
        np.testing.assert_array_equal(columns["b_tag"][i, : len(order)], tags)
        np.testing.assert_array_equal(columns["jet"][i], columns["jets"][i, 0])
        assert (columns["muons"][i, :, 0] > 0).sum() == i % 3
    np.testing.assert_allclose(columns["muons"][columns["muons"][..., 0] > 0][:, 3], 0.1056584)
    assert not block.refused


def test_jets_of_an_event_share_its_identifier(tmp_path, sample):
    columns, _ = read(write(tmp_path / "delphes.root", sample), leading=2)
    assert len(columns["jet"]) == 2 * (N - N // 4)
    np.testing.assert_array_equal(columns["event_id"][::2], columns["event_id"][1::2])
    assert len(np.unique(columns["event_id"])) == N - N // 4
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"])[:, 0], columns["jet"][:, 0], rtol=1e-5)


def test_tracks_alone_serve_where_no_flow_is_stored(tmp_path, sample):
    def drop(found, references):
        del found["EFlowTrack"], found["EFlowPhoton"]

    path = write(tmp_path / "tracks.root", sample, drop)
    assert any("from Track; 33.33% of them are not stored" in remark for remark in Delphes().look(str(path)).remarks)
    _, (block,) = read(path)
    assert block.damaged["FatJet.Constituents"].all()


def test_what_is_not_stored_leaves_event_vectors(tmp_path, sample):
    def drop(found, references):
        del found["EFlowTrack"], found["EFlowPhoton"], found["Track"]

    path = write(tmp_path / "vectors.root", sample, drop)
    found = Delphes().look(str(path))
    assert "constituents" not in found.present
    assert "the constituents of FatJet are not stored in the file." in found.remarks
    assert len(read(path)[0]["jet"]) == N


def test_a_broken_reference_and_an_impossible_value_are_damaged_rows(tmp_path, sample):
    def spoil(found, references):
        references["FatJet"] = [[jet.copy() for jet in event] for event in references["FatJet"]]
        references["FatJet"][1][0][3] = 77
        pt = [x.copy() for x in found["EFlowTrack"]["PT"]]
        pt[2][:] = np.nan
        found["EFlowTrack"] = found["EFlowTrack"] | {"PT": pt}

    _, (block,) = read(write(tmp_path / "spoilt.root", sample, spoil), leading=2)
    bad = {name: list(block.entry[rows]) for name, rows in block.damaged.items() if rows.any()}
    assert bad == {"FatJet.Constituents": [1], "EFlowTrack.PT": [2, 2]}


def test_particles_without_momentum_and_cot_theta_keep_their_eta(tmp_path, sample):
    """Delphes 3.4.2 fills P and CtgTheta of charged generator particles alone."""

    def unset(found, references):
        table, neutral = dict(found["EFlowTrack"]), np.arange(30) % 2 == 1
        true = [np.arcsinh(x) for x in table["CtgTheta"]]
        table["Eta"] = [np.where(neutral, x, eta) for x, eta in zip(true, table["Eta"], strict=True)]
        found["EFlowTrack"] = table | {x: [np.where(neutral, 0, v) for v in table[x]] for x in ("P", "CtgTheta")}

    columns, _ = read(write(tmp_path / "neutral.root", sample, unset), leading=2)
    four = sample[2][np.arange(N) % 4 > 0]
    four = np.take_along_axis(four, np.argsort(-four[..., :1], axis=1), axis=1).reshape(-1, 4)
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"]), four, rtol=2e-5, atol=2e-5)


def test_muons_among_the_constituents_have_their_mass(tmp_path, sample):
    def rename(found, references):
        photons = found.pop("EFlowPhoton")
        found["MuonLoose"] = {"PT": photons.pop("ET")} | photons

    columns, _ = read(write(tmp_path / "muons.root", sample, rename))
    p = columns["constituents"]
    assert ((p[..., 3] == np.float32(0.1056584)).sum(axis=1) == 6).all()


def test_what_is_not_stored_is_called_that(tmp_path, sample):
    def drop(found, references):
        del found["EFlowPhoton"]

    path = str(write(tmp_path / "tracks.root", sample, drop))
    wanted = r"'FatJet\.Constituents' refers to objects that are not stored in the file, in 30 of 40 entries.*'jet'"
    with pytest.raises(InputError, match=wanted):
        read_sample({"files": path}, name="s", selection="any", split=(0.6, 0.1, 0.3))

    def one(found, references):
        references["FatJet"] = [[jet.copy() for jet in event] for event in references["FatJet"]]
        references["FatJet"][1][0][3] = 77

    many = tuple({k: {x: [*v] * 4 for x, v in t.items()} for k, t in sample[0].items()} if i == 0 else
                 {k: v * 4 for k, v in sample[1].items()} if i == 1 else sample[2] for i in range(3))  # fmt: skip
    path = str(write(tmp_path / "one.root", many, one))
    found = read_sample({"files": path, "leading": 2}, name="s", selection="any", split=(0.6, 0.1, 0.3))
    assert found.meta["counts"][path]["refused: what 'FatJet.Constituents' refers to is not stored"] == 1


def test_numbers_of_any_length(tmp_path, sample):
    path = write(tmp_path / "whole.root", sample)
    with uproot.open(path) as file:
        arrays = file["Delphes"].arrays()
    tree = {name: arrays[name] for name in arrays.fields}
    number = 2**60 + 1 + np.arange(N)  # a float64 would round it
    tree["Event"] = ak.with_field(tree["Event"], ak.unflatten(number, 1), "Number")
    tree["Jet"] = ak.with_field(tree["Jet"], ak.values_astype(tree["Jet"]["BTag"], np.uint8), "BTag")
    with uproot.recreate(path) as file:
        file.mkrntuple("Delphes", tree)
    columns, (block,) = read(path, b_tag_bit=20)
    np.testing.assert_array_equal(block.facts["event"], number[np.arange(N) % 4 > 0])
    assert not columns["b_tag"].any()


def test_an_empty_file_gives_no_row(tmp_path, sample):
    path = write(tmp_path / "whole.root", sample)
    with uproot.open(path) as file:
        arrays = file["Delphes"].arrays()
    with uproot.recreate(tmp_path / "empty.root") as file:
        file.mkrntuple("Delphes", {name: arrays[name][:0] for name in arrays.fields})
    assert Delphes().look(str(tmp_path / "empty.root")).entries == 0
    assert not list(Delphes().blocks(str(tmp_path / "empty.root"), 10))


@pytest.mark.parametrize(
    ("edit", "options", "message"),
    [
        (lambda found, references: None, {"jet": "FatJets"}, "Did you mean 'FatJet'"),
        (lambda found, references: None, {"met": "PuppiMET"}, "PuppiMET"),
        (lambda found, references: None, {"b_tag_bit": 40}, "b_tag_bit"),
        (lambda found, references: None, {"leading": 0}, "leading"),
        (lambda found, references: [found.pop("FatJet"), found.pop("Jet")], {}, "no collection of jets"),
    ],
)
def test_bad_input_is_named(tmp_path, sample, edit, options, message):
    path = write(tmp_path / "bad.root", sample, edit)
    with pytest.raises(InputError, match=message):
        list(Delphes(**options).blocks(str(path), 20))


def test_references_of_another_type_are_named(tmp_path, sample):
    path = write(tmp_path / "whole.root", sample)
    with uproot.open(path) as file:
        arrays = file["Delphes"].arrays()
    tree = {name: arrays[name] for name in arrays.fields}
    tree["FatJet"] = ak.with_field(tree["FatJet"], tree["FatJet"]["PT"], "Constituents")
    with uproot.recreate(path) as file:
        file.mkrntuple("Delphes", tree)
    with pytest.raises(InputError, match=r"'FatJet\.Constituents' is of type 'var \* float"):
        list(Delphes().blocks(str(path), 20))


@needs_data
@pytest.mark.parametrize(("options", "rows"), [
    ({}, 10), ({"jet": "JetPUPPI", "leading": 3}, 29), ({"jet": "JetPUPPIAK15"}, 10), ({"jet": "GenJetAK8"}, 10),
])  # fmt: skip
def test_constituents_of_the_real_file_sum_to_their_jets(options, rows):
    path = REAL / "delphes_cms_higgs.root"
    assert Delphes.recognises(contents(path))
    columns, blocks = read(path, 4, **options)
    assert len(columns["jet"]) == rows
    np.testing.assert_allclose(sum_four_vectors(columns["constituents"]), columns["jet"], rtol=1e-5, atol=1e-5)
    assert not any(bad.any() for block in blocks for bad in block.damaged.values())


@needs_data
def test_the_real_file_is_described():
    found = Delphes().look(str(REAL / "delphes_cms_higgs.root"))
    assert found.entries == 10
    assert found.remarks[0].startswith("jet: JetPUPPIAK8; there are also JetAK8")
    _, blocks = read(REAL / "delphes_cms_higgs.root", jet="JetAK8")  # of candidates before PUPPI, which are not stored
    assert blocks[0].damaged["JetAK8.Constituents"].all()


@needs_data
def test_edm4hep_is_not_delphes():
    assert not Delphes.recognises(contents(REAL / "test_FCC_Winter2023.root"))
