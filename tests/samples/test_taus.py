"""Taus: from hardware units by hand, of crossing 0, out of files that have them; all others are read as before."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot
from dialects import DIALECTS, write_trees

import hepad
from hepad.errors import InputError
from hepad.evaluation.diagnostics import rotated
from hepad.events import Events
from hepad.events.completion import complete
from hepad.events.identifiers import IDENTIFIERS
from hepad.events.observables import available
from hepad.samples.data_quality import check_comparable, shared_quantities
from hepad.samples.readers.cms_l1 import L1Anomaly
from hepad.samples.readers.l1_ntuple import L1Ntuple
from hepad.samples.root_output import write_root
from hepad.samples.sources import read
from hepad.trigger.seeds import seed_bits

TREE, EVENT = "l1UpgradeTree/L1UpgradeTree", "l1EventTree/L1EventTree"
SETTINGS = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}
SEED = "sum(taus_pt > 34 & abs(taus_eta) < 2.1) >= 2"
# tauIEt, tauIEta, tauIPhi of three events: pt 34.5, 40 and 34 GeV; none; the same twice, one of them at |η| 2.1315
HARDWARE = {
    "tauIEt": [[69, 80, 68], [], [69, 69]], "tauIEta": [[48, -10, 0], [], [-48, -49]],
    "tauIPhi": [[0, 36, 108], [], [72, 143]],
}  # fmt: skip
PT = [[40, 34.5, 34], [], [34.5, 34.5]]
ETA = [[-0.435, 2.088, 0], [], [-2.088, -2.1315]]
PHI = [[np.pi / 2, 0, -np.pi / 2], [], [-np.pi, -2 * np.pi / 144]]


def ntuple(path, **edits) -> str:
    """Three events of an L1TNtuple; every tau is in crossing 1 again, harder. What an edit calls None is left out."""
    one = {"IEt": [[100]] * 3, "IEta": [[7]] * 3, "IPhi": [[9]] * 3, "Bx": [[0]] * 3}
    found = {f"{x}{y}": v for x in ("jet", "eg") for y, v in one.items()}
    found |= {f"muon{y}AtVtx" if y in ("IEta", "IPhi") else f"muon{y}": v for y, v in one.items()}
    found |= {name: [x + [99] * len(x) for x in values] for name, values in HARDWARE.items()}
    found["tauBx"] = [[0] * len(x) + [1] * len(x) for x in HARDWARE["tauIEt"]]
    found |= {"sumType": [[2]] * 3, "sumIEt": [[60]] * 3, "sumIPhi": [[5]] * 3, "sumBx": [[0]] * 3} | edits
    columns = {f"{TREE}:{x}": ak.values_astype(ak.Array(v), np.int16) for x, v in found.items() if v is not None}
    columns |= {f"{EVENT}:{x}": np.array([1, 2, 3], np.uint64) for x in ("run", "lumi", "event")}
    write_trees(path, columns)
    return str(path)


def in_rows(path, **edits) -> str:
    """The same taus in a set in rows."""
    found = {"jets_jetIEt": [[100]] * 3, "jets_jetIEta": [[7]] * 3, "jets_jetIPhi": [[9]] * 3}
    found |= {x.replace("jets_jet", "egammas_eg"): v for x, v in found.items()}
    found |= {f"muons_muon{x}": [[100]] * 3 for x in ("IEt", "IEtaAtVtx", "IPhiAtVtx")}
    found |= {"MET_Et": [[60]] * 3, "MET_phi": [[5]] * 3, "run": [1, 2, 3], "lumi": [1, 2, 3], "event": [1, 2, 3]}
    found |= {f"taus_{x}": v for x, v in HARDWARE.items()} | edits
    ak.to_parquet(
        ak.Array({x: ak.values_astype(ak.Array(v), np.int32) for x, v in found.items() if v is not None}), path
    )
    return str(path)


@pytest.mark.parametrize(("reader", "file"), [(L1Ntuple, ntuple), (L1Anomaly, in_rows)])
class TestLevel1:
    def test_by_hand(self, tmp_path, reader, file):
        path = file(tmp_path / "file")
        assert "taus" in reader().look(path).present
        (block,) = reader().blocks(path, 10)
        assert block.columns["taus"].shape == (3, 12, 4)
        for i, values in enumerate((PT, ETA, PHI)):
            expected = np.zeros((3, 12))
            for event, x in enumerate(values):
                expected[event, : len(x)] = x
            np.testing.assert_allclose(block.columns["taus"][..., i], expected, atol=1e-6)
        assert not block.columns["taus"][..., 3].any()

    def test_a_seed_of_two_taus(self, tmp_path, reader, file):
        events = read({"files": file(tmp_path / "file")}, **SETTINGS)
        assert seed_bits({"DoubleTau": SEED}, events)[:, 0].tolist() == [True, False, False]
        assert seed_bits({"DoubleTau": SEED.replace("34", "33.5")}, events)[:, 0].tolist() == [True, False, False]
        assert hepad.EventVector(["n_taus"])(events)[:, 0].tolist() == [3, 0, 2]
        labels, values = shared_quantities({"s": events})
        assert values["s"][:, labels.index(r"hadronic $\tau$")].tolist() == [3, 0, 2]

    def test_a_tau_that_cannot_be_refuses_its_event(self, tmp_path, reader, file):
        name = "tauIEt" if file is ntuple else "taus_tauIEt"
        values = [[*x[:-1], -1] if x else x for x in HARDWARE["tauIEt"]]
        more = [x + [99] * len(x) for x in values] if file is ntuple else values
        (block,) = reader().blocks(file(tmp_path / "file", **{name: more}), 10)
        assert block.damaged[name].tolist() == [True, False, True]

    @pytest.mark.parametrize("left_out", [("IEt", "IEta", "IPhi", "Bx"), ("IPhi",)])
    def test_sets_without_taus_are_read_as_before(self, tmp_path, reader, file, left_out):
        names = [f"tau{x}" if file is ntuple else f"taus_tau{x}" for x in left_out if file is ntuple or x != "Bx"]
        path = file(tmp_path / "without", **dict.fromkeys(names))
        found = reader().look(path)
        assert found.present == {"jets", "electrons", "muons", "met", "event_id"}
        (block,), (full,) = reader().blocks(path, 10), reader().blocks(file(tmp_path / "with"), 10)
        assert block.columns.keys() == full.columns.keys() - {"taus"}
        for name, values in block.columns.items():
            np.testing.assert_array_equal(values, full.columns[name])
        events = read({"files": path}, **SETTINGS)
        assert available(events, ["n_jets", "n_taus"]) == ["n_jets"]
        with pytest.raises(InputError, match="the events have no 'taus_pt'"):
            seed_bits({"X": SEED}, events)
        with pytest.raises(InputError, match="has no taus, which the representation needs"):
            hepad.EventVector(["n_taus"])(events)


def test_taus_without_their_crossing_are_not_read(tmp_path):
    assert "taus" not in L1Ntuple().look(ntuple(tmp_path / "a.root", tauBx=None)).present


def test_files_with_and_without_taus_make_one_sample(tmp_path):
    """As of every collection: it is there if all files have it."""
    paths = [in_rows(tmp_path / "a.parquet"), in_rows(tmp_path / "b.parquet", event=[4, 5, 6], taus_tauIEt=None)]
    events = read({"files": paths}, **SETTINGS)
    assert len(events) == 6
    assert "taus" not in events.meta["present"]
    events.write(tmp_path / "events.h5")
    assert Events.read(tmp_path / "events.h5").taus.shape == (6, 12, 4)


def quiet(n: int, taus=None) -> dict[str, np.ndarray]:
    """Events alike: a jet, a muon, missing momentum, and ``taus``."""
    columns = {"jet": np.tile([40, 1, 2, 0.0], (n, 1)), "met": np.tile([9, 1.0], (n, 1))}
    columns |= {"jets": np.zeros((n, 20, 4)), "muons": np.zeros((n, 8, 4))}
    columns["jets"][:, 0], columns["muons"][:, 0] = columns["jet"], [5, -1, 0.5, 0.1]
    return columns | ({} if taus is None else {"taus": taus})


def test_identifiers_without_taus_are_those_of_before():
    """Σ a_i x_i mod 2^64 over 4 electrons, 10 jets, 4 muons, 4 photons and MET, in this order, and nothing else."""
    assert IDENTIFIERS == ("electrons", "jets", "muons", "photons", "met", "taus")
    words = np.zeros((23, 4), np.float32)
    words[4], words[14], words[22, :2] = [40, 1, 2, 0], [5, -1, 0.5, 0.1], [9, 1]
    factors = np.random.default_rng(20220614).integers(2**64, size=92, dtype=np.uint64)
    total = sum((int(a) | 1) * int(x) for a, x in zip(factors, words.view(np.uint32).ravel(), strict=True))
    for taus in (None, np.zeros((1, 0, 4)), np.zeros((1, 12, 4))):
        found = complete(quiet(1, taus), split=(1, 0, 0)).event_id
        assert found.tolist() == [total % 2**64 >> 1]


def test_quiet_events_that_differ_in_taus_alone_are_no_repetitions(tmp_path):
    """Events without numbers, read from a mapping: the second and the third differ, the last is the second again."""
    pt = [[], [35.0], [36.0], [35.0, 20.0], [35.0]]
    columns = {"jets_pt": ak.Array([[40.0]] * 5), "taus_pt": ak.Array(pt)}
    with uproot.recreate(tmp_path / "a.root") as file:
        file["t"] = columns
    mapping = {"jets_pt": "jets_pt", "jets_eta": "jets_pt * 0 + 1", "jets_phi": "jets_pt * 0"}
    taus = {"taus_pt": "taus_pt", "taus_eta": "taus_pt * 0 + 1", "taus_phi": "taus_pt * 0 + 2"}
    source = {"files": str(tmp_path / "a.root"), "tree": "t", "reader": "Mapped"}
    events = read(source | {"branches": mapping | taus}, **SETTINGS)
    assert events.taus[:, :2, 0].tolist() == [[0, 0], [35, 0], [36, 0], [35, 20]]
    assert events.taus[1, 0].tolist() == [35, 1, 2, 0]
    assert len(np.unique(events.event_id)) == 4
    assert len(read(source | {"branches": mapping}, **SETTINGS)) == 1


def test_hepads_files_keep_taus_and_have_none_unasked(make_events, tmp_path):
    events = make_events(30, 5)
    rng = np.random.default_rng(5)
    taus = np.stack(
        [-np.sort(-rng.uniform(20, 90, (30, 3))), *rng.uniform(-2, 2, (2, 30, 3)), np.full((30, 3), 1.7)], -1
    )
    taus = (taus * (np.arange(3)[None, :, None] < rng.integers(0, 4, 30)[:, None, None])).astype(np.float32)
    rich = replace(events, taus=taus, meta=events.meta | {"present": ["jets", "taus"]})
    rich.write(tmp_path / "events.h5")
    np.testing.assert_array_equal(Events.read(tmp_path / "events.h5").taus, taus)
    for one, name in ((rich, "rich"), (replace(rich, meta=events.meta | {"present": ["jets"]}), "absent")):
        write_root(one, tmp_path / f"{name}.root")
        found = read({"files": str(tmp_path / f"{name}.root")}, **SETTINGS)
        kept = taus if name == "rich" else 0 * taus
        np.testing.assert_array_equal(found.taus[:, :3], kept)
        assert not found.taus[:, 3:].any()
        assert ("taus" in found.meta["present"]) == (name == "rich")
        with uproot.open(tmp_path / f"{name}.root") as file:
            assert ("taus_pt" in file["events"].keys()) == (name == "rich")  # noqa: SIM118, a tree has no 'in'
    turned = rotated(rich, np.full(30, 0.25))
    there = taus[..., 0] > 0
    np.testing.assert_allclose(
        np.exp(1j * turned.taus[there][:, 2]), np.exp(1j * (taus[there][:, 2] + 0.25)), rtol=1e-5
    )
    np.testing.assert_array_equal(turned.taus[~there], 0)


def test_events_with_taus_alone_are_shared_or_not(make_events):
    """Two samples of crossings in which a tau is the only object."""
    events = make_events(20, 6)
    nothing = {x: 0 * getattr(events, x) for x in ("jet", "jets", "electrons", "muons", "photons")}
    taus = np.random.default_rng(6).uniform(20, 90, (40, 1, 4)).astype(np.float32)
    hollow = replace(events, constituents=events.constituents[:, :0], **nothing)
    background, signal = (replace(hollow, taus=x) for x in np.split(taus, 2))
    check_comparable({"zero_bias": background, "signal": signal})
    with pytest.raises(InputError, match=r"100\.0% of the events of signal 'copy'"):
        check_comparable({"zero_bias": background, "copy": background[:9]})


def test_nanoaod(make_events, tmp_path):
    dialect, events = DIALECTS["nanoaod"], make_events(3, 7)
    columns = dialect.columns(events)
    without = read({"files": str(dialect.file(tmp_path / "without", columns))}, **SETTINGS)
    assert "taus" not in without.meta["present"]
    columns |= {"Tau_pt": ak.Array([[21.0, 55.0], [], [30.0]]), "Tau_eta": ak.Array([[0.5, -1.0], [], [2.0]])}
    columns |= {"Tau_phi": ak.Array([[3.0, -3.0], [], [1.0]]), "Tau_mass": ak.Array([[0.5, 1.25], [], [0.75]])}
    found = read({"files": str(dialect.file(tmp_path / "with", columns))}, **SETTINGS)
    assert set(found.meta["present"]) == {*without.meta["present"], "taus"}
    assert found.taus[:, :2].tolist() == [
        [[55, -1, -3, 1.25], [21, 0.5, 3, 0.5]], [[0] * 4] * 2, [[30, 2, 1, 0.75], [0] * 4]
    ]  # fmt: skip
    np.testing.assert_array_equal(found.row_id, without.row_id)
