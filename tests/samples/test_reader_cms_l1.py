"""The CMS Level-1 anomaly detection set: hardware units, identifiers, trigger bits, splits, saturated events."""

from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.events.identifiers import event_id
from hepad.samples.formats.contents import contents
from hepad.samples.readers.cms_l1 import L1Anomaly
from hepad.samples.readers.jetclass import JetClass


@pytest.fixture
def columns() -> dict:
    """60 events in hardware units, in the types of the published files; the tenth has no jets."""
    rng = np.random.default_rng(4)

    def objects(prefix: str, most: int, names: tuple[str, str, str], eta: int, turn: int) -> dict:
        count = rng.integers(0, most + 1, 60)
        count[10] = 0
        ranges = ((3, 500), (-eta, eta + 1), (0, turn))
        flat = {name: rng.integers(*limits, count.sum()) for name, limits in zip(names, ranges, strict=True)}
        return {f"{prefix}_{name}": ak.unflatten(values.astype(np.int32), count) for name, values in flat.items()}

    sums = {
        f"MET_{x}": ak.unflatten(rng.integers(0, n, 60).astype(np.int32), 1) for x, n in (("Et", 300), ("phi", 144))
    }
    return (
        objects("jets", 12, ("jetIEt", "jetIEta", "jetIPhi"), 110, 144)
        | objects("egammas", 12, ("egIEt", "egIEta", "egIPhi"), 65, 144)
        | objects("muons", 8, ("muonIEt", "muonIEtaAtVtx", "muonIPhiAtVtx"), 225, 576)
        | sums
        | {
            "run": np.full(60, 396102, np.uint32),
            "lumi": np.repeat([5, 6], 30).astype(np.uint32),
            "event": (np.arange(60) + 2**40).astype(np.uint64),
            "bx": np.arange(60, dtype=np.uint32),
            "nPV_True": rng.uniform(20, 70, 60).astype(np.float32),
            "split": ["train", "valid", "test"] * 20,
            "order": np.where(np.arange(60) % 20 == 7, -1, np.arange(60)),
            "L1bit": np.arange(60) % 4 == 0,
            "L1_SingleMu22": np.arange(60) % 8 == 0,
        }
    )


def write(path: Path, columns: dict, **options) -> str:
    arrays = {
        name: ak.to_arrow(x, list_to32=False, extensionarray=False) if isinstance(x, ak.Array) else pa.array(x)
        for name, x in columns.items()
    }
    pq.write_table(pa.table(arrays), path, **options)
    return str(path)


def joined(reader: L1Anomaly, path: str, rows: int = 1000) -> dict[str, np.ndarray]:
    blocks = list(reader.blocks(path, rows))
    groups = [b.columns | b.facts | b.triggers | {"entry": b.entry, "split": b.split} for b in blocks]
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def test_hardware_units(tmp_path, columns):
    path = write(tmp_path / "train.parquet", columns)
    read = joined(L1Anomaly(saturated=True), path)
    steps = {
        "jets": ("jets_jet", "", 0, 0.0435, 144, 20),
        "electrons": ("egammas_eg", "", 0, 0.0435, 144, 12),
        "muons": ("muons_muon", "AtVtx", 1, 0.010875, 576, 8),
    }
    for name, (prefix, suffix, zero, eta, turn, width) in steps.items():
        pt = 0.5 * (columns[f"{prefix}IEt"] - zero)
        order = ak.argsort(pt, ascending=False, stable=True)
        for i, expected in enumerate((pt, eta * columns[f"{prefix}IEta{suffix}"])):
            sorted_ = ak.fill_none(ak.pad_none(expected[order], width, clip=True), 0)
            np.testing.assert_allclose(read[name][..., i], ak.to_numpy(sorted_), rtol=1e-6)
        turns = ak.fill_none(ak.pad_none((columns[f"{prefix}IPhi{suffix}"] / turn)[order], width, clip=True), 0)
        difference = (read[name][..., 2] / (2 * np.pi) - ak.to_numpy(turns) + 0.5) % 1 - 0.5
        np.testing.assert_allclose(difference, 0, atol=1e-6)
        assert np.abs(read[name][..., 2]).max() <= np.float32(np.pi)
    assert set(np.unique(read["muons"][..., 3])) == {0, np.float32(0.1056584)}
    np.testing.assert_array_equal(read["met"][:, 0], 0.5 * ak.flatten(columns["MET_Et"]))
    np.testing.assert_array_equal(read["jet"], read["jets"][:, 0])
    assert not read["jet"][10].any()
    assert read["constituents"].shape == (60, 0, 4)


def test_identifiers_bits_and_pile_up(tmp_path, columns):
    path = write(tmp_path / "train.parquet", columns)
    found = L1Anomaly().look(path)
    assert found.triggers == ("L1bit",)
    assert found.official_split
    assert found.present == {"jets", "electrons", "muons", "met", "event_id", "pileup"}
    reader = L1Anomaly(triggers=("L1*",), saturated=True)
    read = joined(reader, path)
    np.testing.assert_array_equal(read["event"], np.arange(60) + 2**40)
    np.testing.assert_array_equal(read["event_id"], event_id(read["run"], read["luminosity_block"], read["event"]))
    assert len(np.unique(read["event_id"])) == 60
    np.testing.assert_array_equal(read["pileup"], columns["nPV_True"])
    for name in ("L1bit", "L1_SingleMu22"):
        np.testing.assert_array_equal(read[name], columns[name])
    assert [SPLITS[i] for i in read["split"]] == columns["split"]
    for rows in (7, 60):
        for name, values in joined(reader, path, rows).items():
            np.testing.assert_array_equal(values, read[name])
    del columns["split"]
    columns["nPV_True"] = np.full(60, 40, np.int32)  # as in simulation
    (block,) = L1Anomaly().blocks(write(tmp_path / "b.parquet", columns), 100)
    assert block.split is None
    assert (block.facts["pileup"] == 40).all()


def test_saturated_events(tmp_path, columns):
    path = write(tmp_path / "train.parquet", columns)
    blocks = list(L1Anomaly().blocks(path, 30))
    assert sum(block.refused["saturated"] for block in blocks) == 3
    assert {7, 27, 47}.isdisjoint(np.concatenate([block.entry for block in blocks]).tolist())
    assert len(joined(L1Anomaly(saturated=True), path)["entry"]) == 60


def test_a_dictionary_of_splits_and_an_unknown_one(tmp_path, columns):
    columns["split"] = pa.array(["validation"] * 60).dictionary_encode()
    path = write(tmp_path / "a.parquet", columns)
    assert set(joined(L1Anomaly(), path)["split"]) == {1}
    columns["split"] = ["dev"] * 60
    path = write(tmp_path / "b.parquet", columns)
    with pytest.raises(InputError, match="'split' is 'dev', not train"):
        list(L1Anomaly().blocks(path, 100))
    assert next(L1Anomaly(use_split=False).blocks(path, 100)).split is None


def test_recognised_by_its_columns(tmp_path, columns):
    found = contents(write(tmp_path / "a.parquet", columns))
    assert L1Anomaly.recognises(found)
    assert not JetClass.recognises(found)
    del columns["MET_Et"]
    assert not L1Anomaly.recognises(contents(write(tmp_path / "b.parquet", columns)))


def test_muons_that_are_none_and_bad_values(tmp_path, columns):
    lists = ak.to_list(columns["muons_muonIEt"])
    first = next(i for i, muons in enumerate(lists) if len(muons) > 1)
    lists[first][:2] = [0, 1]  # both stand for 0 GeV
    columns["muons_muonIEt"] = ak.Array(lists)
    energies = ak.to_list(columns["jets_jetIEt"])
    second = next(i for i, jets in enumerate(energies) if jets)
    energies[second][0] = -2
    columns["jets_jetIEt"] = ak.Array(energies)
    met = ak.to_list(columns["MET_Et"])
    met[11] = []
    columns["MET_Et"] = ak.Array(met)
    columns["nPV_True"][13] = np.nan
    columns["lumi"] = pa.array([None, *columns["lumi"].tolist()[1:]], pa.uint32())
    (block,) = L1Anomaly(saturated=True).blocks(write(tmp_path / "a.parquet", columns), 100)
    bad = {name: np.flatnonzero(rows).tolist() for name, rows in block.damaged.items() if rows.any()}
    assert bad == {"jets_jetIEt": [second], "MET_Et": [11], "nPV_True": [13], "lumi": [0]}
    assert (block.columns["muons"][first, :, 0] > 0).sum() == min(len(lists[first]) - 2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"egammas_egIEta": None}, "missing columns: egammas_egIEta; present: L1_SingleMu22"),
        ({"jets_jetIEt": "run"}, "'jets_jetIEt' holds number per row, expected numbers"),
        ({"event": "split"}, "'event' holds text per row, expected number"),
        ({"order": "split"}, "'order' holds text per row, expected number"),
        ({"jets_jetIEta": "muons_muonIEt"}, "'jets_jetIEt' and 'jets_jetIEta'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, columns, change, message):
    changed = columns | {name: columns.get(other) for name, other in change.items()}
    path = write(tmp_path / "a.parquet", {name: values for name, values in changed.items() if values is not None})
    with pytest.raises(InputError, match=message) as error:
        list(L1Anomaly().blocks(path, 100))
    assert path in str(error.value)


def test_a_file_without_events(tmp_path, columns):
    path = write(tmp_path / "a.parquet", {name: values[:0] for name, values in columns.items()} | {
        "split": pa.array([], pa.string())
    })  # fmt: skip
    assert L1Anomaly().look(path).entries == 0
    assert list(L1Anomaly().blocks(path, 10)) == []


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.float32])
def test_bits_of_other_types(tmp_path, columns, kind):
    bits = columns["L1bit"]
    path = write(tmp_path / "a.parquet", columns | {"L1bit": bits.astype(kind)})
    assert L1Anomaly().look(path).triggers == ("L1bit",)
    np.testing.assert_array_equal(joined(L1Anomaly(saturated=True), path)["L1bit"], bits)
    path = write(tmp_path / "b.parquet", columns | {"L1bit": pa.array([None, 1] * 30, pa.int8())})
    np.testing.assert_array_equal(joined(L1Anomaly(saturated=True), path)["L1bit"], np.arange(60) % 2)
    path = write(tmp_path / "c.parquet", columns | {"L1bit": 2 * bits.astype(np.uint8)})
    with pytest.raises(InputError, match=r"c\.parquet: 'L1bit' is no trigger bit: 2 is neither true"):
        joined(L1Anomaly(), path)


def test_a_pattern_of_no_bit_is_refused(tmp_path, columns):
    path = write(tmp_path / "a.parquet", columns)
    with pytest.raises(InputError, match=r"a\.parquet: triggers: no bit is called nope\*"):
        L1Anomaly(triggers=("nope*",)).look(path)
    del columns["L1bit"]
    assert L1Anomaly().look(write(tmp_path / "b.parquet", columns)).triggers == ()


def test_an_unknown_number_of_collisions(tmp_path, columns):
    columns["nPV_True"] = np.where(np.arange(60) < 5, -1, 40).astype(np.int32)
    (block,) = L1Anomaly(saturated=True).blocks(write(tmp_path / "a.parquet", columns), 100)
    np.testing.assert_array_equal(block.facts["pileup"], np.where(np.arange(60) < 5, np.nan, 40))
    assert not block.damaged["nPV_True"].any()
