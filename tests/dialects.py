"""Small files of every dialect, made of Events by the tests that read them: columns by name, which a test may edit, and
the function that writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

from hepad.events import FOUR_VECTOR, Events
from hepad.events.kinematics import delta_phi, to_cartesian

CARTESIAN = ("px", "py", "pz", "energy")


class Dialect(NamedTuple):
    """``columns(events)`` by name, ``write(path, columns)``, ``options`` of the source that reads it; ``checked``:
    whether a checksum covers its values, as it is written here."""

    reader: str
    suffix: str
    columns: Callable[[Events], dict]
    write: Callable[[Path, dict], None]
    options: dict
    checked: bool = False

    def file(self, path: Path, columns: dict) -> Path:
        """Write ``columns`` to ``path`` with the suffix of the dialect."""
        path = path.with_name(path.name + self.suffix)
        self.write(path, columns)
        return path


def jagged(p: np.ndarray, names=FOUR_VECTOR, there=None) -> dict[str, ak.Array]:
    """Padded (N, K, 4) to lists of what is there."""
    there = p[..., 0] > 0 if there is None else there
    return {x: ak.unflatten(p[..., i][there], there.sum(axis=1)) for i, x in enumerate(names)}


def _named(prefix: str, columns: dict) -> dict:
    return {prefix + name: values for name, values in columns.items()}


def _own(events: Events) -> dict:
    found = {"event_id": events.event_id, "weight": events.weight}
    found |= {f"jet_{x}": events.jet[:, i] for i, x in enumerate(FOUR_VECTOR)}
    found |= {"met_pt": events.met[:, 0], "met_phi": events.met[:, 1]}
    return found | _named("constituent_", jagged(events.constituents)) | _named("jets_", jagged(events.jets))


def _padded(events: Events) -> dict:
    return {f"constituent_{x}": events.constituents[..., i] for i, x in enumerate(FOUR_VECTOR)} | {
        "weight": events.weight,
        "event_id": events.event_id,
    }


def _nanoaod(events: Events) -> dict:
    n, count = len(events), (events.constituents[..., 0] > 0).sum(axis=1)
    index = ak.values_astype(ak.local_index(ak.unflatten(np.zeros(count.sum()), count)), np.int32)
    found = {"run": np.full(n, 7, np.uint32), "luminosityBlock": np.full(n, 3, np.uint32)}
    found |= {"event": events.event_id.astype(np.uint64), "genWeight": events.weight.astype(np.float32)}
    found |= {"MET_pt": events.met[:, 0], "MET_phi": events.met[:, 1], "HLT_PFJet500": events.event_id % 2 == 0}
    found |= _named("FatJet_", jagged(events.jet[:, None])) | {"FatJet_rawFactor": ak.Array([[np.float32(0)]] * n)}
    found |= _named("PFCands_", jagged(events.constituents)) | {"FatJetPFCands_pFCandsIdx": index}
    found |= {"FatJetPFCands_jetIdx": ak.zeros_like(index)}
    for name in ("Jet", "Electron", "Muon"):
        found |= _named(f"{name}_", jagged(getattr(events, {"Jet": "jets"}.get(name, f"{name.lower()}s"))))
    return found


def _delphes(events: Events) -> dict:
    there, upper = events.constituents[..., 0] > 0, ("PT", "Eta", "Phi", "Mass")
    number = ak.unflatten(np.flatnonzero(there.reshape(-1)).astype(np.int64) + 1, there.sum(axis=1))
    found = _named("EFlowTrack.", {"fUniqueID": number} | jagged(events.constituents, upper))
    found |= _named("FatJet.", jagged(events.jet[:, None], upper) | {"Constituents": number[:, None]})
    found |= _named("Jet.", jagged(events.jets, upper)) | _named("Muon.", jagged(events.muons, upper))
    met = ak.from_regular(events.met[:, None])
    return found | {"MissingET.MET": met[..., 0], "MissingET.Phi": met[..., 1]}


def _physlite(events: Events) -> dict:
    mev, names = np.array([1e3, 1, 1, 1e3], np.float32), ("pt", "eta", "phi", "m")
    found = _named("AnalysisLargeRJetsAuxDyn:", jagged(events.jet[:, None] * mev, names))
    for name in ("Jets", "Electrons", "Muons", "Photons"):
        found |= _named(f"Analysis{name}AuxDyn:", jagged(getattr(events, name.lower()) * mev, names))
    n = len(events)
    return found | _named("EventInfoAuxDyn:", {
        "runNumber": np.full(n, 9, np.uint32), "lumiBlock": np.full(n, 4, np.uint32),
        "eventNumber": events.event_id.astype(np.uint64), "mcEventWeights": ak.Array([[1.0, 1.1]] * n),
    })  # fmt: skip


def _jetclass(events: Events) -> dict:
    p = to_cartesian(events.constituents).astype(np.float32)
    parts = jagged(p, CARTESIAN, events.constituents[..., 0] > 0)
    return _named("part_", parts) | {"jet_pt": events.jet[:, 0], "label_QCD": np.ones(len(events), bool)}


def _tagging(events: Events) -> dict:
    p = to_cartesian(events.constituents).astype(np.float32) * (events.constituents[..., :1] > 0)
    found = {f"{x}_{i}": p[:, i, j] for i in range(60) for j, x in enumerate(("PX", "PY", "PZ", "E"))}
    return found | {"ttv": np.arange(len(events)) % 3, "is_signal_new": np.zeros(len(events), int)}


def _olympics(events: Events) -> dict:
    table = np.zeros((len(events), 2101))
    table[:, :180] = events.constituents[..., :3].reshape(len(events), 180)
    return {i: table[:, i] for i in range(2101)}


def _jetnet(events: Events) -> dict:
    jet, p = events.jet.astype(float), events.constituents[:, :30].astype(float)
    there = p[..., 0] > 0
    relative = [p[..., 1] - jet[:, None, 1], delta_phi(p[..., 2], jet[:, None, 2]), p[..., 0] / jet[:, None, 0], there]
    features = np.stack([*jet[:, :2].T, jet[:, 3], there.sum(axis=1)], axis=-1)
    return {"particle_features": np.stack(relative, -1) * there[..., None], "jet_features": features}


def _adc2021(events: Events) -> dict:
    table = np.zeros((len(events), 19, 4))
    table[:, 0] = np.stack([events.met[:, 0], 0 * events.met[:, 0], events.met[:, 1], 1 + 0 * events.met[:, 1]], -1)
    for code, (first, objects) in {2: (1, events.electrons), 3: (5, events.muons), 4: (9, events.jets)}.items():
        rows = slice(first, first + objects.shape[1])
        table[:, rows, :3], table[:, rows, 3] = objects[..., :3], np.where(objects[..., 0] > 0, code, 0)
    return {"Particles": table, "Particles_Classes": np.array([b"MET_class_1", b"Four_Ele_class_2"])}


def _l1(events: Events) -> dict:
    n, found = len(events), {}
    groups = {
        "jets_jet{}IEt jets_jet{}IEta jets_jet{}IPhi": events.jets,
        "egammas_eg{}IEt egammas_eg{}IEta egammas_eg{}IPhi": events.electrons,
    }
    groups["muons_muon{}IEt muons_muon{}IEtaAtVtx muons_muon{}IPhiAtVtx"] = events.muons
    for names, p in groups.items():
        units = np.stack([p[..., 0] / 0.5 + 1, p[..., 1] / 0.0435, p[..., 2] % (2 * np.pi) * 144 / (2 * np.pi)], -1)
        found |= jagged(units.astype(np.int32), names.format("", "", "").split(), p[..., 0] > 0)
    found |= {"MET_Et": ak.from_regular((2 * events.met[:, :1]).astype(np.int32)), "MET_phi": ak.Array([[5]] * n)}
    found |= {
        "run": np.full(n, 3, np.uint32),
        "lumi": np.full(n, 8, np.uint32),
        "event": events.event_id.astype(np.uint64),
    }
    return found | {
        "split": np.array(["train", "valid", "test", "test"])[np.arange(n) % 4],
        "L1bit": np.arange(n) % 4 == 0,
    }


def _l1_ntuple(events: Events) -> dict:
    """'tree:branch'; the bunch crossing is 0 throughout."""
    n, rows, found = len(events), _l1(events), {}
    for name in [name for name in rows if "_" in name and "MET" not in name]:
        branch = name.partition("_")[2]
        found[branch] = ak.values_astype(rows[name], np.int16)
        found[branch.partition("I")[0] + "Bx"] = ak.zeros_like(found[branch])
    one = ak.values_astype(ak.Array([[1]] * n), np.int16)
    found |= {"sumType": 2 * one, "sumBx": 0 * one, "sumIEt": ak.values_astype(rows["MET_Et"], np.int16)}
    found = _named("l1UpgradeTree/L1UpgradeTree:", found | {"sumIPhi": 5 * one})
    found |= _named("l1EventTree/L1EventTree:", {x: rows[x] for x in ("run", "lumi", "event")})
    bits = ak.from_regular(np.arange(n)[:, None] % 4 == np.zeros(512, int))
    found |= {"l1uGTTree/L1uGTTree:m_algoDecisionFinal": bits}
    return found | {"l1CaloSummaryTree/L1CaloSummaryTree:CICADAScore": np.arange(n, dtype=np.float32)}


def _challenge(events: Events) -> dict:
    """Lines of text by number."""
    lines = {}
    for i in range(len(events)):
        fields = [f"{i};qcd;1;{1000 * events.met[i, 0]:.6g};{events.met[i, 1]:.6g}"]
        for symbol, objects in {"j": events.jets, "e-": events.electrons, "m+": events.muons}.items():
            for p in objects[i][objects[i][:, 0] > 0]:
                energy = to_cartesian(p.astype(float))[3]
                fields.append(f"{symbol},{1000 * energy:.7g},{1000 * p[0]:.7g},{p[1]:.7g},{p[2]:.7g}")
        lines[i] = ";".join(fields) + ";"
    return lines


def write_tree(path: Path, columns: dict, tree: str = "events") -> None:
    write_trees(path, _named(f"{tree}:", columns))


def write_trees(path: Path, columns: dict) -> None:
    """Several trees, of columns called 'tree:branch'."""
    trees: dict = {}
    for x, values in columns.items():
        tree, _, branch = x.partition(":")
        trees.setdefault(tree, {})[branch] = values
    with uproot.recreate(path) as file:
        for tree, found in trees.items():
            kinds = {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in found.items()}
            file.mktree(tree, kinds)
            file[tree].extend(found)


def write_ntuple(path: Path, columns: dict, name: str) -> None:
    """RNTuple; 'A.x' and 'A.y' become a collection A. TClonesArrays and TRefArrays cannot be written without ROOT."""
    groups: dict = {}
    for x, values in columns.items():
        group, _, field = x.partition(".")
        if field == "Constituents":
            values = ak.zip({"refs": ak.values_astype(values, np.int32)}, depth_limit=2)
        groups.setdefault(group, {})[field] = values
    with uproot.recreate(path) as file:
        file.mkrntuple(name, {x: v[""] if "" in v else ak.zip(v, depth_limit=2) for x, v in groups.items()})


def write_parquet(path: Path, columns: dict, **options) -> None:
    arrays = {
        x: ak.to_arrow(v, extensionarray=False) if isinstance(v, ak.Array) else pa.array(v) for x, v in columns.items()
    }
    pq.write_table(pa.table(arrays), path, write_page_checksum=True, **options)


def write_hdf5(path: Path, columns: dict) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            more = {"compression": "gzip", "fletcher32": True} if values.dtype.kind in "fiub" and values.size else {}
            file.create_dataset(name, data=values, **more)


def write_pandas(path: Path, columns: dict, key: str, form: str = "fixed") -> None:
    table = pd.DataFrame(columns, copy=False)
    table.to_hdf(path, key=key, mode="w", format=form, complib="blosc", complevel=5)


def write_lines(path: Path, columns: dict) -> None:
    path.write_text("".join(f"{line}\n" for line in columns.values()))


def _of(write: Callable, *args) -> Callable[[Path, dict], None]:
    return lambda path, columns: write(path, columns, *args)


PADDED = {x: x for x in ("weight", "event_id", *(f"constituent_{x}" for x in FOUR_VECTOR))}
DIALECTS = {
    "own": Dialect("Mapped", ".root", _own, write_tree, {}, True),
    "mapped_hdf5": Dialect("Mapped", ".h5", _padded, write_hdf5, {"branches": PADDED}, True),
    "mapped_parquet": Dialect("Mapped", ".parquet", lambda e: {x: v for x, v in _own(e).items() if x in PADDED},
                              write_parquet, {"branches": PADDED}, True),
    "nanoaod": Dialect("NanoAOD", ".root", _nanoaod, _of(write_tree, "Events"), {}, True),
    "delphes": Dialect("Delphes", ".root", _delphes, _of(write_ntuple, "Delphes"), {}),
    "physlite": Dialect("PHYSLITE", ".root", _physlite, _of(write_ntuple, "EventData"), {}),
    "jetclass": Dialect("JetClass", ".root", _jetclass, _of(write_tree, "tree"), {}, True),
    "jetclass2": Dialect("JetClass", ".parquet", lambda e: {x.replace("label_QCD", "jet_label"): v * 1 for x, v in
                         _jetclass(e).items()}, write_parquet, {}, True),
    "tagging": Dialect("TopTagging", ".h5", _tagging, _of(write_pandas, "table"), {}),
    "tagging_table": Dialect("TopTagging", ".h5", _tagging, _of(write_pandas, "table", "table"), {}),
    "olympics": Dialect("LHCOlympics", ".h5", _olympics, _of(write_pandas, "df"), {}),
    "jetnet": Dialect("JetNet", ".h5", _jetnet, write_hdf5, {}, True),
    "adc2021": Dialect("ADC2021", ".h5", _adc2021, write_hdf5, {}, True),
    "l1_ntuple": Dialect("L1Ntuple", ".root", _l1_ntuple, write_trees, {}, True),
    "l1": Dialect("L1Anomaly", ".parquet", _l1, write_parquet, {}, True),
    "dark_machines": Dialect("DarkMachines", ".csv", _challenge, write_lines, {}),
}  # fmt: skip
