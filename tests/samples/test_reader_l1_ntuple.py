"""CMS L1TNtuples: several trees of one event an entry, hardware units, bunch crossings, named bits, stored scores.

Types are those of the CMS software (L1Trigger/L1TNtuples/interface): vectors of short, of float for sumBx, of bool for
decisions; names of bits are aliases of their tree, which uproot does not write, so that their bytes are put in here.
"""

import contextlib
import math
import struct

import awkward as ak
import numpy as np
import pytest
import torch
import uproot
from dialects import write_trees
from uproot.writing import _cascadetree

import hepad
from hepad.detectors import build
from hepad.errors import InputError
from hepad.events import MEASURES
from hepad.events.identifiers import event_id
from hepad.representations.event_vector import VARIABLES
from hepad.samples.formats.contents import contents
from hepad.samples.readers import READERS
from hepad.samples.readers.l1_ntuple import L1Ntuple
from hepad.samples.sources import check_files, read

N = 20
EMULATED, SENT = "l1UpgradeEmuTree/L1UpgradeTree", "l1UpgradeTree/L1UpgradeTree"
DECISIONS, EVENT = "l1uGTEmuTree/L1uGTTree", "l1EventTree/L1EventTree"
CICADA, AXO = "l1CaloSummaryEmuTree/L1CaloSummaryTree", "l1AXOTree/L1AXOTree"
NAMED = {"L1_SingleMu22": 23, "L1_HTT360er": 402, "L1_AXO_Tight": 424}
FINAL = f"{DECISIONS}:m_algoDecisionFinal"


def aliases(names: dict[str, int]) -> bytes:
    """A TList of TNamed as ROOT streams it behind a pointer."""

    def counted(body: bytes, version: int) -> bytes:
        return struct.pack(">IH", (len(body) + 2) | 0x40000000, version) + body

    def pointed(name: bytes, body: bytes) -> bytes:
        return struct.pack(">II", (len(name) + 5 + len(body)) | 0x40000000, 0xFFFFFFFF) + name + b"\0" + body

    def text(string: str) -> bytes:
        return bytes([len(string)]) + string.encode()

    object_ = b"\x00\x01" + b"\x00" * 4 + b"\x03" + b"\x00" * 3
    items = b""
    for name, number in names.items():
        body = object_ + text(name) + text(f"L1uGT.m_algoDecisionInitial[{number}]")
        items += pointed(b"TNamed", counted(body, 1)) + b"\0"
    return pointed(b"TList", counted(object_ + b"\0" + struct.pack(">I", len(names)) + items, 5))


@pytest.fixture
def named(monkeypatch):
    """Trees of decisions are written with the aliases ``NAMED``."""
    build = _cascadetree.Tree._build_out

    def built(self):
        out = build(self)
        if self._title == "L1uGTTree" or self._name == "L1uGTTree":
            whole = b"".join(out)
            assert out[-1] == b"\0" * 28  # null fAliases, and what follows it
            out[-1] = aliases(NAMED) + b"\0" * 24
            length = struct.unpack(">I", whole[:4])[0] + len(out[-1]) - 28
            first = next(i for i, part in enumerate(out) if part)
            out[first] = struct.pack(">I", length) + out[first][4:]
        return out

    monkeypatch.setattr(_cascadetree.Tree, "_build_out", built)


def lists(values, kind=np.int16) -> ak.Array:
    return ak.values_astype(ak.Array([list(x) for x in values]), kind)


@pytest.fixture
def columns() -> dict:
    """20 events of five crossings; the third has no objects in time, the fourth a saturated total energy."""
    rng = np.random.default_rng(8)
    found = {}

    def objects(tree, most, bx, limits):
        count = rng.integers(0, 5 * most, N)
        crossing = [np.sort(rng.integers(-2, 3, n)) for n in count]
        crossing[3] = np.where(crossing[3] == 0, 1, crossing[3])
        found[f"{tree}:{bx}"] = lists(crossing)
        for name, (low, high) in limits.items():
            found[f"{tree}:{name}"] = lists([rng.integers(low, high, n) for n in count])

    for tree in (EMULATED, SENT):
        objects(tree, 6, "jetBx", {"jetIEt": (1, 900), "jetIEta": (-115, 116), "jetIPhi": (0, 144)})
        objects(tree, 6, "egBx", {"egIEt": (1, 511), "egIEta": (-57, 58), "egIPhi": (0, 144)})
        muons = {"muonIEt": (1, 511), "muonIEtaAtVtx": (-225, 226), "muonIPhiAtVtx": (-30, 606)}
        objects(tree, 3, "muonBx", muons)
        kinds, crossings = np.meshgrid(np.arange(27), np.arange(-2, 3))
        energy = rng.integers(0, 600, (N, 135))
        energy[4, (kinds.ravel() == 0) & (crossings.ravel() == 0)] = 4095
        found[f"{tree}:sumType"], found[f"{tree}:sumBx"] = (
            lists([kinds.ravel()] * N),
            lists([crossings.ravel()] * N, np.float32),
        )
        found[f"{tree}:sumIEt"], found[f"{tree}:sumIPhi"] = lists(energy), lists(rng.integers(0, 144, (N, 135)))
    found[FINAL] = lists(rng.random((N, 512)) < 0.3, bool)
    found |= {
        f"{EVENT}:run": np.full(N, 396102, np.uint32), f"{EVENT}:lumi": np.full(N, 77, np.uint32),
        f"{EVENT}:event": 2**61 + np.arange(N, dtype=np.uint64), f"{EVENT}:nPV_True": np.full(N, 52, np.int32),
        f"{CICADA}:CICADAScore": (rng.integers(0, 2**16, N) / 256).astype(np.float32),
        f"{AXO}:axo_score": rng.uniform(0, 3000, N).astype(np.float32),
    }  # fmt: skip
    return found


def write(path, columns: dict) -> str:
    write_trees(path, columns)
    return str(path)


def joined(reader: L1Ntuple, path: str, rows: int = 1000) -> dict[str, np.ndarray]:
    groups = [b.columns | b.facts | b.triggers | {"entry": b.entry} for b in reader.blocks(path, rows)]
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def expected(columns: dict, tree: str, i: int, prefix: str, suffix: str, steps, zero: int) -> list[tuple]:
    """(pt, eta, cos phi, sin phi) of the objects of crossing 0 of one event, by falling pt, one by one."""
    get = {x: ak.to_list(columns[f"{tree}:{prefix}{x}"])[i] for x in ("Bx", "IEt", f"IEta{suffix}", f"IPhi{suffix}")}
    objects = []
    for bx, pt, eta, phi in zip(*get.values(), strict=True):
        if bx == 0 and pt > zero:
            angle = phi * 2 * math.pi / steps[1]
            objects.append((0.5 * (pt - zero), eta * steps[0], math.cos(angle), math.sin(angle)))
    return sorted(objects, key=lambda p: -p[0])


@pytest.mark.parametrize("emulated", [True, False])
def test_objects_of_the_crossing_in_gev_and_radians(tmp_path, columns, emulated):
    tree = EMULATED if emulated else SENT
    read = joined(L1Ntuple(emulated=emulated, saturated=True), write(tmp_path / "a.root", columns))
    kinds = {
        "jets": ("jet", "", (0.0435, 144), 0),
        "electrons": ("eg", "", (0.0435, 144), 0),
        "muons": ("muon", "AtVtx", (0.010875, 576), 1),
    }
    for name, (prefix, suffix, steps, zero) in kinds.items():
        for i in range(N):
            objects = expected(columns, tree, i, prefix, suffix, steps, zero)[: read[name].shape[1]]
            pt, eta, phi, _ = read[name][i].T.astype(float)
            stored = np.stack([pt, eta, np.cos(phi), np.sin(phi)], -1)[pt > 0]
            assert len(stored) == len(objects)
            assert stored[:, 0].tolist() == [p[0] for p in objects]
            if len(set(stored[:, 0])) == len(objects):  # of equal pt any order will do
                np.testing.assert_allclose(stored, np.reshape(objects, (-1, 4)), rtol=1e-6, atol=1e-6)
    assert not read["jets"][3].any()
    assert not read["muons"][3].any()
    for i, (kind, bx, energy, phi) in enumerate(
        zip(*(ak.to_list(columns[f"{tree}:sum{x}"]) for x in ("Type", "Bx", "IEt", "IPhi")), strict=True)
    ):
        (place,) = (j for j in range(135) if kind[j] == 2 and bx[j] == 0)
        assert read["met"][i, 0] == 0.5 * energy[place]
        assert math.isclose(math.cos(read["met"][i, 1]), math.cos(2 * math.pi * phi[place] / 144), abs_tol=1e-6)


def test_the_emulator_is_read_where_it_is_there(tmp_path, columns):
    path = write(tmp_path / "a.root", columns)
    both = L1Ntuple().look(path)
    assert both.remarks[1] == (
        "Objects and decisions are what the emulator gives; 'emulated: false' reads what the trigger sent."
    )
    np.testing.assert_array_equal(joined(L1Ntuple(), path)["jets"], joined(L1Ntuple(emulated=True), path)["jets"])
    left = {name: x for name, x in columns.items() if "Emu" not in name}
    path = write(tmp_path / "b.root", left)
    assert L1Ntuple().look(path).remarks[1:] == (
        "Objects and decisions are what the trigger sent.",
        "There are no decisions of the menu: the tree 'l1uGTTree/L1uGTTree' is missing.",
    )
    with pytest.raises(InputError, match=r"no tree 'l1UpgradeEmuTree/L1UpgradeTree'; present: .* Leave 'emulated' out"):
        L1Ntuple(emulated=True).look(path)


def test_final_decisions_by_name(tmp_path, columns, named):
    path = write(tmp_path / "a.root", columns)
    with uproot.open(path) as file:
        assert set(file[DECISIONS].aliases) == set(NAMED)
    assert L1Ntuple().look(path).triggers == tuple(sorted(NAMED))
    read = joined(L1Ntuple(saturated=True), path)
    bits = ak.to_numpy(columns[FINAL])
    for name, number in NAMED.items():
        np.testing.assert_array_equal(read[name], bits[:, number])
    assert L1Ntuple(triggers=("L1_AXO*",)).look(path).triggers == ("L1_AXO_Tight",)
    assert L1Ntuple(triggers=()).look(path).triggers == ()
    with pytest.raises(InputError, match=r"a\.root: triggers: no bit is called L1_23"):
        L1Ntuple(triggers=("L1_23",)).look(path)


def test_bits_without_names_have_numbers(tmp_path, columns):
    path = write(tmp_path / "a.root", columns)
    reader = L1Ntuple(triggers=("L1_23", "L1_51?"), saturated=True)
    found = reader.look(path)
    assert found.triggers == ("L1_23", "L1_510", "L1_511")
    assert "L1_23 is bit 23 of the run's menu" in found.remarks[-1]
    bits, read = ak.to_numpy(columns[FINAL]), joined(reader, path)
    for name in found.triggers:
        np.testing.assert_array_equal(read[name], bits[:, int(name[3:])])
    assert len(L1Ntuple().look(path).triggers) == 512


def test_numbers_pile_up_and_scores(tmp_path, columns):
    path = write(tmp_path / "a.root", columns)
    found = L1Ntuple().look(path)
    assert found.entries == N
    assert found.facts == {"run", "luminosity_block", "event", "pileup", "cicada", "axol1tl"}
    assert found.present == {"jets", "electrons", "muons", "met", "event_id", "pileup"}
    assert found.given == found.present | {"cicada", "axol1tl"}
    read = joined(L1Ntuple(saturated=True), path)
    np.testing.assert_array_equal(read["event"], 2**61 + np.arange(N))  # beyond what a float64 tells apart
    np.testing.assert_array_equal(read["event_id"], event_id(read["run"], read["luminosity_block"], read["event"]))
    np.testing.assert_array_equal(read["cicada"], columns[f"{CICADA}:CICADAScore"])
    np.testing.assert_array_equal(read["axol1tl"], columns[f"{AXO}:axo_score"])
    assert set(read["pileup"]) == {52}
    columns[f"{EVENT}:nPV_True"] = np.full(N, -1, np.int32)  # of data
    path = write(tmp_path / "b.root", {x: y for x, y in columns.items() if CICADA not in x and AXO not in x})
    assert L1Ntuple().look(path).facts & MEASURES.keys() == {"pileup"}
    assert np.isnan(joined(L1Ntuple(), path)["pileup"]).all()


def test_a_score_of_the_same_make_comes_first(tmp_path, columns):
    other = "l1CaloSummaryTree/L1CaloSummaryTree"
    columns[f"{other}:CICADAScore"] = columns[f"{CICADA}:CICADAScore"] + np.float32(1)
    path = write(tmp_path / "a.root", columns)
    both = [joined(L1Ntuple(emulated=make, saturated=True), path)["cicada"] for make in (True, False)]
    np.testing.assert_array_equal(both[1], both[0] + 1)


def test_events_of_saturated_energy_are_counted_and_refused(tmp_path, columns):
    path = write(tmp_path / "a.root", columns)
    (block,) = L1Ntuple().blocks(path, 100)
    assert block.refused == {"saturated": 1}
    assert 4 not in block.entry
    assert len(block.entry) == N - 1
    reader = L1Ntuple(triggers=("L1_7?",))
    whole = joined(reader, path)
    for name, values in joined(reader, path, 7).items():
        np.testing.assert_array_equal(values, whole[name])


def test_impossible_values_are_those_in_time_alone(tmp_path, columns):
    energies, crossings = ak.to_list(columns[f"{EMULATED}:jetIEt"]), ak.to_list(columns[f"{EMULATED}:jetBx"])
    late = next(i for i in range(N) if 1 in crossings[i] and i != 4)
    early = next(i for i in range(late + 1, N) if 0 in crossings[i] and i != 4)
    energies[late][crossings[late].index(1)] = -5
    energies[early][crossings[early].index(0)] = -5
    columns[f"{EMULATED}:jetIEt"] = lists(energies)
    columns[f"{CICADA}:CICADAScore"][7] = np.nan
    kinds = ak.to_list(columns[f"{EMULATED}:sumType"])
    kinds[9] = [5 if kind == 2 else kind for kind in kinds[9]]
    columns[f"{EMULATED}:sumType"] = lists(kinds)
    (block,) = L1Ntuple(saturated=True).blocks(write(tmp_path / "a.root", columns), 100)
    bad = {name: np.flatnonzero(rows).tolist() for name, rows in block.damaged.items() if rows.any()}
    assert bad == {"jetIEt": [early], "CICADAScore": [7], "sumIEt": [9], "sumIPhi": [9]}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: {x: y for x, y in c.items() if EVENT not in x}, "no tree 'l1EventTree/L1EventTree'; present: l1"),
        (lambda c: {x: y for x, y in c.items() if x != f"{EMULATED}:egBx"},
         "missing branches: egBx; present: .* of 'l1UpgradeEmuTree/L1UpgradeTree'"),
        (lambda c: c | {f"{EMULATED}:muonIEt": c[f"{EMULATED}:jetIEt"]}, "'muonBx' and 'muonIEt' differ in length"),
        (lambda c: c | {f"{EMULATED}:jetIPhi": c[f"{EVENT}:run"]}, "'jetIPhi' is of type 'uint32' instead of a list"),
        (lambda c: c | {f"{CICADA}:CICADAScore": c[f"{CICADA}:CICADAScore"][:9]},
         "its trees differ in their entries .*L1CaloSummaryTree: 9"),
        (lambda c: c | {FINAL: c[FINAL][:, :300]}, "'m_algoDecisionFinal' has 300 bits in an entry, but 'L1_511' is"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, columns, edit, message):
    path = write(tmp_path / "a.root", edit(columns))
    with pytest.raises(InputError, match=message) as error:
        list(L1Ntuple().blocks(path, 100))
    assert path in str(error.value)


def test_recognised_and_checked_before_a_run(tmp_path, columns, named):
    path = write(tmp_path / "a.root", columns)
    assert [name for name, cls in READERS.items() if cls.recognises(contents(path))] == ["L1Ntuple"]
    assert check_files({"files": [path]})[path].entries == N
    events = read({"files": [path]}, name="zb", selection="any", split=(0.5, 0.2, 0.3))
    assert events.meta["readers"] == ["L1Ntuple"]
    assert len(events) == N - 1
    assert events.meta["triggers"] == sorted(NAMED)


def test_a_stored_score_is_a_rival(tmp_path, columns):
    """A Variable of a column of the file ranks events as the file does; no vector has that column unasked."""
    events = hepad.read(write(tmp_path / "a.root", columns), triggers=["L1_7?"])
    for name in ("cicada", "axol1tl"):
        assert name not in VARIABLES
        vector = hepad.EventVector([name])
        x = vector(events)
        np.testing.assert_array_equal(x[:, 0].numpy(), events.facts[name])
        rival = build({"type": "Variable", "arguments": {"variable": name}}, vector.space, 0)
        rival.fit(x, x, generator=torch.Generator())
        np.testing.assert_array_equal(np.argsort(rival.score(x).numpy()), np.argsort(events.facts[name]))
    path = write(tmp_path / "b.root", {name: x for name, x in columns.items() if CICADA not in name})
    without = hepad.read(path, triggers=["L1_7?"])
    with pytest.raises(InputError, match="has no cicada, which the representation needs"):
        hepad.EventVector(["cicada"])(without)


def test_a_truncated_file_is_named(tmp_path, columns):
    path = tmp_path / "a.root"
    whole = write(path, columns) and path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.root"):
        L1Ntuple().look(str(path))


@pytest.mark.parametrize("place", np.linspace(0.01, 0.98, 12))
def test_damaged_bytes_are_never_another_error(tmp_path, columns, place):
    path = tmp_path / "a.root"
    whole = write(path, columns) and path.read_bytes()
    start = int(place * len(whole))
    path.write_bytes(whole[:start] + bytes(255 - x for x in whole[start : start + 40]) + whole[start + 40 :])
    with contextlib.suppress(InputError):
        list(L1Ntuple().blocks(str(path), 100))
