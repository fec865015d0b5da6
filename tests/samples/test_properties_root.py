"""Random jagged events, read by hepad and, independently, by uproot, pyarrow, h5py or Python alone, object by object.

Events without objects, with one and with more than there is room for; files without events; baskets, clusters and row
groups of any length; blocks of any number of rows.
"""

from collections.abc import Iterable
from typing import NamedTuple

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepad.events.padding import WIDTHS
from hepad.samples.readers.adc2021 import ADC2021
from hepad.samples.readers.cms_l1 import L1Anomaly
from hepad.samples.readers.dark_machines import DarkMachines
from hepad.samples.readers.delphes import Delphes
from hepad.samples.readers.nanoaod import NanoAOD
from hepad.samples.readers.physlite import PHYSLITE

quick = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = ("jets", "electrons", "muons", "photons")
ELECTRON, MUON = np.float32(0.000510999), np.float32(0.1056584)
MASSES = {"electrons": ELECTRON, "muons": MUON, "photons": 0}


class Draw(NamedTuple):
    """counts: number of objects of each of the ``KINDS`` by event; rows: in a block; part: events in a basket."""

    counts: list[tuple[int, ...]]
    seed: int
    rows: int
    part: int


events = st.builds(
    Draw,
    st.lists(st.tuples(*(st.sampled_from([0, 1, 2, n - 1, n, n + 3]) for n in (20, 12, 8, 12))), max_size=9),
    st.integers(0, 2**32 - 1),
    st.integers(1, 10),
    st.integers(1, 10),
)


def momenta(rng, n: int) -> np.ndarray:
    """(n, 4) pt, eta, phi, mass, of which some agree."""
    p = np.stack([rng.integers(1, 4000, n) / 8, rng.uniform(-4, 4, n), rng.uniform(-3.1, 3.1, n), rng.uniform(0, 9, n)])
    return p.T.astype(np.float32)


def joined(reader, path, rows: int) -> dict:
    """Columns, facts, triggers and what was cut off of a whole file; None if there was no block."""
    blocks = list(reader.blocks(str(path), rows))
    if not blocks:
        return {}
    groups = [b.columns | b.facts | b.triggers | {"entry": b.entry} for b in blocks]
    if blocks[0].cut_off is not None:
        groups = [group | {"cut_off": b.cut_off} for group, b in zip(groups, blocks, strict=True)]
    assert not any(bad.any() for block in blocks for bad in block.damaged.values())
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def hardest(objects: Iterable, width: int) -> tuple[np.ndarray, int]:
    """(width, 4) of objects (pt, eta, phi, mass) by falling pt, the earlier of equal ones first; how many are lost."""
    found = sorted(objects, key=lambda p: -p[0])
    padded = np.zeros((width, 4), np.float32)
    for i, p in enumerate(found[:width]):
        padded[i] = p
    return padded, max(len(found) - width, 0)


def check(found: dict, row: int, objects: dict[str, list], rtol: float = 0) -> None:
    """One row against the objects of its event."""
    lost = 0
    for kind, of_kind in objects.items():
        expected, beyond = hardest(of_kind, WIDTHS[kind])
        np.testing.assert_allclose(found[kind][row], expected, rtol=rtol, err_msg=kind)
        lost += beyond
    assert found.get("cut_off", np.zeros(row + 1))[row] == lost


def write(path, name: str, columns: dict, draw: Draw, layout: str) -> None:
    """A TTree or RNTuple in parts of ``draw.part`` events."""
    with uproot.recreate(path) as file:
        kinds = {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in columns.items()}
        if layout == "TTree":
            file.mktree(name, kinds)
        else:
            file.mkrntuple(name, {x: v[:0] for x, v in columns.items()})
        for start in range(0, len(draw.counts), draw.part):
            file[name].extend({x: v[start : start + draw.part] for x, v in columns.items()})


def jagged(values, counts, kind=np.float32) -> ak.Array:
    return ak.unflatten(np.asarray(values, kind), np.asarray(counts, int))


def of_kinds(rng, draw: Draw) -> dict[str, dict[str, ak.Array]]:
    """{kind: {component: (N, *)}}."""
    found = {}
    for i, kind in enumerate(KINDS):
        counts = [event[i] for event in draw.counts]
        p = momenta(rng, sum(counts))
        found[kind] = {x: jagged(p[:, k], counts) for k, x in enumerate(("pt", "eta", "phi", "mass"))}
    return found


@pytest.mark.parametrize("layout", ["TTree", "RNTuple"])
@quick
@given(draw=events, puppi=st.booleans())
def test_nanoaod(tmp_path, layout, draw, puppi):
    rng, n = np.random.default_rng(draw.seed), len(draw.counts)
    tables = dict(zip(("Jet", "Electron", "Muon", "Photon"), of_kinds(rng, draw).values(), strict=True))
    n_fat, n_cands = rng.integers(0, 4, n), rng.choice([0, 1, 7, 40], n)
    for name, number in (("FatJet", n_fat), ("PFCands", n_cands)):
        p = momenta(rng, number.sum())
        tables[name] = {x: jagged(p[:, k], number) for k, x in enumerate(("pt", "eta", "phi", "mass"))}
    weight = rng.choice(np.array([0, 0.25, 0.5, 1], np.float32), n_cands.sum())
    tables["PFCands"]["puppiWeight"] = jagged(weight, n_cands)
    owner = [rng.integers(-1, k, m) if k else np.full(m, -1) for k, m in zip(n_fat, n_cands, strict=True)]
    tables["FatJetPFCands"] = {
        "jetIdx": jagged(np.concatenate([*owner, []]), n_cands, np.int16),
        "pFCandsIdx": jagged(np.concatenate([*map(np.arange, n_cands), []]), n_cands, np.int16),
    }
    columns = {f"{name}_{x}": v for name, table in tables.items() for x, v in table.items()}
    columns |= {"run": np.full(n, 7, np.uint32), "luminosityBlock": np.arange(n, dtype=np.uint32)}
    columns |= {"event": 2**60 + np.arange(n, dtype=np.uint64), "PV_npvs": rng.integers(0, 99, n).astype(np.uint8)}
    columns |= {"HLT_A": rng.random(n) < 0.5, "PuppiMET_pt": momenta(rng, n)[:, 0], "PuppiMET_phi": np.zeros(n, "f4")}
    write(tmp_path / "nano.root", "Events", columns, draw, layout)
    found = joined(NanoAOD(puppi=puppi), tmp_path / "nano.root", draw.rows)
    with uproot.open(tmp_path / "nano.root") as file:
        a = file["Events"].arrays(list(columns), library="np") if layout == "TTree" else file["Events"].arrays()
    a = {x: a[x] for x in columns}
    entries = [i for i in range(n) if len(a["FatJet_pt"][i])]
    assert list(found.get("entry", [])) == entries
    masses = {"Electron": ELECTRON, "Muon": MUON, "Photon": 0}
    for row, i in enumerate(entries):
        objects = {}
        for kind, name in zip(KINDS, ("Jet", "Electron", "Muon", "Photon"), strict=True):
            p = list(zip(*(a[f"{name}_{x}"][i] for x in ("pt", "eta", "phi", "mass")), strict=True))
            objects[kind] = [(*x[:3], masses.get(name, x[3])) for x in p]
        check(found, row, objects)
        jet = int(np.argmax(a["FatJet_pt"][i]))
        np.testing.assert_array_equal(
            found["jet"][row], [a[f"FatJet_{x}"][i][jet] for x in ("pt", "eta", "phi", "mass")]
        )
        inside = []
        for k in range(len(a["FatJetPFCands_jetIdx"][i])):
            c = a["FatJetPFCands_pFCandsIdx"][i][k]
            pt, eta, phi, mass = (a[f"PFCands_{x}"][i][c] for x in ("pt", "eta", "phi", "mass"))
            w = a["PFCands_puppiWeight"][i][c] if puppi else np.float32(1)
            if a["FatJetPFCands_jetIdx"][i][k] == jet and w > 0:
                inside.append((pt * w, eta, phi, mass * w))
        np.testing.assert_array_equal(found["constituents"][row], hardest(inside, WIDTHS["constituents"])[0])
        assert found["event"][row] == int(a["event"][i])
        assert found["n_pv"][row] == a["PV_npvs"][i]
        assert found["HLT_A"][row] == a["HLT_A"][i]
        assert found["met"][row, 0] == a["PuppiMET_pt"][i]


@quick
@given(draw=events)
def test_delphes(tmp_path, draw):
    rng, n = np.random.default_rng(draw.seed), len(draw.counts)
    names, upper = ("Jet", "Electron", "Muon", "Photon"), {"pt": "PT", "eta": "Eta", "phi": "Phi", "mass": "Mass"}
    tables = {
        name: {upper[x]: v for x, v in table.items()}
        for name, table in zip(names, of_kinds(rng, draw).values(), strict=True)
    }
    tables["Jet"]["BTag"] = ak.values_astype(tables["Jet"]["PT"] > 200, np.uint32)
    number = {"EFlowTrack": rng.integers(0, 30, n), "EFlowPhoton": rng.integers(0, 9, n)}
    for name, first in (("EFlowTrack", 1), ("EFlowPhoton", 1001)):
        p = momenta(rng, number[name].sum())
        table = {x: jagged(p[:, k], number[name]) for k, x in enumerate(("PT", "Eta", "Phi", "Mass"))}
        identifier = [first + rng.permutation(m) for m in number[name]]
        tables[name] = {"fUniqueID": jagged(np.concatenate([*identifier, []]), number[name], np.uint32)} | table
    tables["EFlowPhoton"]["ET"] = tables["EFlowPhoton"].pop("PT")
    del tables["EFlowPhoton"]["Mass"]
    inside = []
    for i in range(n):
        there = [int(x) for name in number for x in tables[name]["fUniqueID"][i]]
        owner = rng.integers(0, max(draw.counts[i][0], 1), len(there))
        inside.append([[x for x, o in zip(there, owner, strict=True) if o == k] for k in range(draw.counts[i][0])])
    flat = [jet for event in inside for jet in event]
    refs = jagged(np.concatenate([*flat, []]), [len(jet) for jet in flat], np.int32)
    tables["Jet"]["Constituents"] = ak.zip(
        {"refs": ak.unflatten(refs, np.array([len(event) for event in inside], int))}, depth_limit=2
    )
    tables["Event"] = {"Number": jagged(2**60 + np.arange(n), np.ones(n), np.int64)}
    columns = {name: ak.zip(table, depth_limit=2) for name, table in tables.items()}
    write(tmp_path / "delphes.root", "Delphes", columns, draw, "RNTuple")
    found = joined(Delphes(), tmp_path / "delphes.root", draw.rows)
    with uproot.open(tmp_path / "delphes.root") as file:
        a = file["Delphes"].arrays().to_list()
    if not any(jet["Constituents"]["refs"] for event in a for jet in event["Jet"]):
        return  # no constituents, and nothing to learn from where they lie
    entries = [i for i, event in enumerate(a) if event["Jet"]]
    assert list(found["entry"]) == entries
    for row, i in enumerate(entries):
        objects = {}
        for kind, name in zip(KINDS, names, strict=True):
            objects[kind] = [
                (x["PT"], x["Eta"], x["Phi"], MASSES[kind] if kind in MASSES else x["Mass"]) for x in a[i][name]
            ]
        check(found, row, objects)
        jet = max(a[i]["Jet"], key=lambda x: x["PT"])
        np.testing.assert_array_equal(found["jet"][row], np.float32([jet[x] for x in upper.values()]))
        known = {x["fUniqueID"]: (x["PT"], x["Eta"], x["Phi"], x["Mass"]) for x in a[i]["EFlowTrack"]}
        known |= {x["fUniqueID"]: (x["ET"], x["Eta"], x["Phi"], 0) for x in a[i]["EFlowPhoton"]}
        of_jet = sorted(
            map(tuple, hardest([known[x] for x in jet["Constituents"]["refs"]], 200)[0]), key=lambda p: -p[0]
        )
        assert sorted(map(tuple, found["constituents"][row])) == sorted(of_jet)  # equal pt in any order
        assert (np.diff(found["constituents"][row][:, 0]) <= 0).all()
        tags = sorted(((x["PT"], x["BTag"]) for x in a[i]["Jet"]), key=lambda x: -x[0])[: WIDTHS["jets"]]
        np.testing.assert_array_equal(found["b_tag"][row][: len(tags)], [tag for _, tag in tags])
        assert found["event"][row] == a[i]["Event"][0]["Number"]


@pytest.mark.parametrize("layout", ["TTree", "RNTuple"])
@quick
@given(draw=events, static=st.booleans())
def test_physlite(tmp_path, layout, draw, static):
    rng, n = np.random.default_rng(draw.seed), len(draw.counts)
    store = "EventInfoAux." if static else "EventInfoAuxDyn."
    names = ("AnalysisJets", "AnalysisElectrons", "AnalysisMuons", "AnalysisPhotons")
    columns = {}
    for name, table in zip(names, of_kinds(rng, draw).values(), strict=True):
        columns |= {f"{name}AuxDyn.{'m' if x == 'mass' else x}": v for x, v in table.items()}
    columns |= {f"{store}runNumber": np.full(n, 3, np.uint32), f"{store}eventNumber": 2**60 + np.arange(n, dtype="u8")}
    columns[f"{store}averageInteractionsPerCrossing"] = rng.uniform(0, 80, n).astype(np.float32)
    columns["EventInfoAuxDyn.mcEventWeights"] = jagged(rng.normal(size=2 * n), np.full(n, 2))
    spelt = {x: x.replace(".", ":") if layout == "RNTuple" else x for x in columns}
    tree = "EventData" if layout == "RNTuple" else "CollectionTree"
    write(tmp_path / "physlite.root", tree, {spelt[x]: v for x, v in columns.items()}, draw, layout)
    found = joined(PHYSLITE(), tmp_path / "physlite.root", draw.rows)
    with uproot.open(tmp_path / "physlite.root") as file:
        arrays = file[tree].arrays()
    a = {x: arrays[spelt[x]] for x in columns}
    assert list(found.get("entry", [])) == list(range(n))
    for i in range(n):
        objects = {}
        for kind, name in zip(KINDS, names, strict=True):
            p = zip(*(a[f"{name}AuxDyn.{x}"][i] for x in ("pt", "eta", "phi", "m")), strict=True)
            objects[kind] = [(pt / 1000, eta, phi, MASSES.get(kind, m / 1000)) for pt, eta, phi, m in p]
        check(found, i, objects, rtol=1e-6)
        np.testing.assert_array_equal(found["jet"][i], found["jets"][i, 0])
        assert found["event"][i] == int(a[f"{store}eventNumber"][i])
        assert found["pileup"][i] == a[f"{store}averageInteractionsPerCrossing"][i]
        assert found["weight"][i] == a["EventInfoAuxDyn.mcEventWeights"][i][0]


@quick
@given(draw=events, kind=st.sampled_from([np.int16, np.int32, np.int64]))
def test_l1_anomaly(tmp_path, draw, kind):
    rng, n = np.random.default_rng(draw.seed), len(draw.counts)
    prefixes = {
        "jets": ("jets_jetIEt", "jets_jetIEta", "jets_jetIPhi"),
        "electrons": ("egammas_egIEt", "egammas_egIEta", "egammas_egIPhi"),
        "muons": ("muons_muonIEt", "muons_muonIEtaAtVtx", "muons_muonIPhiAtVtx"),
    }
    columns = {}
    for i, names in enumerate(prefixes.values()):
        counts = [event[i] for event in draw.counts]
        for name, (low, high) in zip(names, ((0, 500), (-60, 60), (0, 144)), strict=True):
            columns[name] = jagged(rng.integers(low, high, sum(counts)), counts, kind)
    columns |= {x: jagged(rng.integers(0, 140, n), np.ones(n), kind) for x in ("MET_Et", "MET_phi")}
    columns |= {"run": np.full(n, 3, np.uint32), "lumi": np.full(n, 4, np.uint16)}
    columns |= {"event": 2**60 + np.arange(n, dtype=np.uint64), "L1bit": rng.random(n) < 0.5}
    arrays = {
        x: ak.to_arrow(v, list_to32=False, extensionarray=False) if isinstance(v, ak.Array) else pa.array(v)
        for x, v in columns.items()
    }
    pq.write_table(pa.table(arrays), tmp_path / "l1.parquet", row_group_size=draw.part)
    found = joined(L1Anomaly(), tmp_path / "l1.parquet", draw.rows)
    for i, event in enumerate(pq.read_table(tmp_path / "l1.parquet").to_pylist()):
        objects = {}
        for group, names in prefixes.items():
            muon = group == "muons"
            steps = 0.087 / (8 if muon else 2), 2 * np.pi / (576 if muon else 144)
            objects[group] = [
                (
                    0.5 * (pt - muon),
                    steps[0] * eta,
                    (steps[1] * phi + np.pi) % (2 * np.pi) - np.pi,
                    MASSES.get(group, 0),
                )
                for pt, eta, phi in zip(*(event[name] for name in names), strict=True)
                if pt > muon
            ]
        check(found, i, objects, rtol=1e-6)
        assert (found["event"][i], found["L1bit"][i]) == (event["event"], event["L1bit"])
        assert found["met"][i, 0] == 0.5 * event["MET_Et"][0]


@quick
@given(draw=events)
def test_dark_machines(tmp_path, draw):
    rng = np.random.default_rng(draw.seed)
    symbols, lines = {"jets": "jb", "electrons": ("e-", "e+"), "muons": ("m-", "m+"), "photons": "g"}, []
    for counts in draw.counts:
        objects = []
        for kind, count in zip(KINDS, counts, strict=True):
            for pt, eta, phi, _ in momenta(rng, count):
                energy = 1000 * pt * np.cosh(eta) * 1.001
                objects.append(f"{rng.choice(list(symbols[kind]))},{energy:.9g},{1000 * pt:.9g},{eta:.9g},{phi:.9g};")
        rng.shuffle(objects)
        lines.append(f"1;2;{rng.uniform(0, 2):.9g};{rng.integers(1, 900) * 1000};0.5;{''.join(objects)}")
    (tmp_path / "dark.csv").write_text("".join(f"{line}\n" for line in lines))
    found = joined(DarkMachines(), tmp_path / "dark.csv", draw.rows) if lines else {}
    split = [line.strip(";").split(";") for line in lines]
    kept = [fields for fields in split if len(fields) > 5]
    assert len(found.get("weight", [])) == len(kept)
    for row, fields in enumerate(kept):
        objects = {kind: [] for kind in KINDS}
        for symbol, energy, pt, eta, phi in (field.split(",") for field in fields[5:]):
            kind = next(kind for kind, known in symbols.items() if symbol in known)
            e, p = float(energy), float(pt) * np.cosh(float(eta))
            mass = MASSES.get(kind, np.sqrt(max((e - p) * (e + p), 0)) / 1000)
            objects[kind].append((float(pt) / 1000, float(eta), float(phi), mass))
        check(found, row, objects, rtol=1e-5)
        np.testing.assert_allclose(
            [found["weight"][row], found["met"][row, 0]], [float(fields[2]), float(fields[3]) / 1000]
        )


@quick
@given(draw=events)
def test_adc2021(tmp_path, draw):
    rng, n = np.random.default_rng(draw.seed), len(draw.counts)
    table = np.zeros((n, 19, 4))
    table[:, 0] = np.stack([rng.uniform(0, 99, n), np.zeros(n), rng.uniform(-3, 3, n), np.ones(n)], -1)
    for code, first, most, which in ((2, 1, 4, 1), (3, 5, 4, 2), (4, 9, 10, 0)):
        for i, counts in enumerate(draw.counts):
            number = min(counts[which], most)
            table[i, first : first + number] = momenta(rng, number)
            table[i, first : first + number, 3] = code
    with h5py.File(tmp_path / "adc.h5", "w") as file:
        file.create_dataset(
            "Particles", data=table, chunks=(draw.part, 19, 4) if n else None, maxshape=(None, 19, 4) if n else None
        )
        file["Particles_Classes"] = [b"MET_class_1"]
        file["EvtId"] = 2**60 + np.arange(n)
    found = joined(ADC2021(), tmp_path / "adc.h5", draw.rows)
    with h5py.File(tmp_path / "adc.h5") as file:
        stored, number = file["Particles"][:], file["EvtId"][:]
    for i, event in enumerate(stored):
        objects = {"electrons": event[1:5], "muons": event[5:9], "jets": event[9:]}
        there = {
            kind: [(*p[:3], MASSES.get(kind, 0)) for p in of_kind if p[3] > 0] for kind, of_kind in objects.items()
        }
        check(found, i, there)
        assert found["event"][i] == number[i]
