"""CMS Level-1 trigger objects for anomaly detection (Zenodo 21787779, CC0), in the form of one Parquet row per event.

That is the form of the mirror CERN/anomaly_detection_cmsl1t at Hugging Face. Every quantity is an integer in hardware
units, whether its name has an ``I`` or not. Steps as in the tables of the converter that made the files
(github.com/bb511/adl1t_datamaker, docs/README.md, after the specification of the inputs of the global trigger); the
CMS software has the same ones (EventFilter/L1ScoutingRawToDigi/interface/scales.h):

    pt                  0.5 GeV;  of muons 0.5 GeV · (n - 1), n = 0 standing for no muon
    eta                 0.0870/2 (calorimeter), 0.0870/8 (muons)
    phi                 2π/144 (calorimeter, MET), 2π/576 (muons)

    jets_jet{IEt,IEta,IPhi}, egammas_eg{IEt,IEta,IPhi}                  lists, up to 12 per event
    muons_muon{IEt,IEtaAtVtx,IPhiAtVtx}                                 lists, up to 8, extrapolated to the vertex
    MET_Et, MET_phi                                                     lists of one
    run, lumi, event, nPV_True (pile-up), L1bit, split, order           one value

``L1bit`` is the OR of the unprescaled algorithms of the menu without those for anomalies; the decision of each is in
other files. ``order`` is -1 where the total energy is saturated (ET_Et = 4095), which the set's authors remove. The
trigger does not tell electrons from photons: ``electrons`` holds both. Jets are massless and have no constituents.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.events.identifiers import event_id
from hepad.events.kinematics import delta_phi
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples.formats import parquet
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import MASSES, Branches, matching
from hepad.samples.readers.jagged import flat, rows_of, unsound

PT_STEP = 0.5
CALORIMETER = (0.0870 / 2, 2 * np.pi / 144)  # steps of eta and phi
MUON = (0.0870 / 8, 2 * np.pi / 576)
# by collection: columns of pt, eta and phi, steps, and the hardware pt that stands for 0 GeV
OBJECTS = {
    "jets": (("jets_jetIEt", "jets_jetIEta", "jets_jetIPhi"), CALORIMETER, 0),
    "electrons": (("egammas_egIEt", "egammas_egIEta", "egammas_egIPhi"), CALORIMETER, 0),
    "muons": (("muons_muonIEt", "muons_muonIEtaAtVtx", "muons_muonIPhiAtVtx"), MUON, 1),
}
MET = ("MET_Et", "MET_phi")
BITS = ("L1bit",)
FACTS = {"run": "run", "luminosity_block": "lumi", "event": "event"}
SPLIT_OF = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
LISTS = [name for names, _, _ in OBJECTS.values() for name in names] + list(MET)
REMARK = "Electrons stand for electrons and photons; taus are left out; jets are massless and have no constituents."


@dataclass(frozen=True)
class L1Anomaly(Reader):
    """CMS Level-1 anomaly detection set.

    triggers: patterns of the columns, of bits or of numbers that are 0, 1 or -1, that are kept as trigger bits
    use_split: take the split from the column ``split`` if the file has it
    saturated: keep events with ``order`` -1
    """

    title = "CMS Level-1 anomaly detection set (Parquet): event vectors in hardware units"
    kind = "Parquet"
    landmarks = (*LISTS, *FACTS.values())
    triggers: tuple[str, ...] = BITS
    use_split: bool = True
    saturated: bool = False

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return contents.kind == "Parquet" and {*LISTS, *FACTS.values()} <= contents.tables.get("", frozenset())

    def look(self, path: str) -> Found:
        with parquet.open_parquet(path) as file:
            extra, bits = self._columns(path, file)
            present = {*OBJECTS, "met", "event_id"} | ({"pileup"} if "nPV_True" in extra else set())
            facts = FACTS.keys() | present & {"pileup"}
            split, rows = "split" in extra, file.metadata.num_rows
            return Found(
                rows, frozenset(present), bits, remarks=(REMARK,), official_split=split, facts=frozenset(facts)
            )

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with parquet.open_parquet(path) as file:
            extra, bits = self._columns(path, file)
            for start, arrays in parquet.blocks(path, file, [*LISTS, *FACTS.values(), *extra, *bits], rows):
                yield self._block(path, start, arrays, bits)

    def _columns(self, path: str, file) -> tuple[list[str], tuple[str, ...]]:
        """The optional columns that are read, and the trigger bits."""
        kinds = parquet.kinds(path, file)
        optional = {"nPV_True": "number", "order": "number", "split": "text"}
        if not self.use_split:
            del optional["split"]
        extra = [name for name in optional if name in kinds]
        named = {name for name in kinds if name.startswith(("L1", "HLT")) or name in self.triggers}
        bits = [x for x in kinds if kinds[x] == "bit" or (kinds[x] == "number" and x in named)]
        bits = matching(path, bits, self.triggers, usual=BITS)
        required = dict.fromkeys(LISTS, "numbers") | dict.fromkeys(FACTS.values(), "number")
        advice = "The layout is that of CERN/anomaly_detection_cmsl1t, one row per event; choose another 'reader'."
        parquet.require(path, file, required | {name: optional[name] for name in extra}, advice)
        return extra, bits

    def _block(self, path, start: int, arrays: dict, bits: tuple[str, ...]) -> Block:
        n = len(arrays["run"])
        values = Branches(path, n, arrays)
        columns, damaged, cut_off = {"constituents": np.zeros((n, 0, 4), np.float32)}, {}, np.zeros(n, int)
        for name, (names, steps, zero) in OBJECTS.items():
            arrays_of_object = values.collection(names)
            row, p = _objects(*arrays_of_object.values(), steps, zero, MASSES.get(name, 0.0))
            columns[name] = pad(row, p, n, WIDTHS[name])
            cut_off += beyond(row, n, WIDTHS[name])
            damaged |= {column: unsound(x, positive=column == names[0]) for column, x in arrays_of_object.items()}
        columns["jet"] = columns["jets"][:, 0]
        met, phi = (values.first(column) for column in MET)
        columns["met"] = np.stack([PT_STEP * met, delta_phi(CALORIMETER[1] * phi, 0)], axis=-1).astype(np.float32)
        damaged |= {MET[0]: ~(met >= 0), MET[1]: ~np.isfinite(phi)}
        numbers = {name: values.scalar(column) for name, column in FACTS.items()}
        damaged |= {column: unsound(numbers[name], positive=True) for name, column in FACTS.items()}
        facts = {name: np.nan_to_num(x).astype(np.int64) for name, x in numbers.items()}
        damaged |= {column: damaged[column] | (facts[name] < 0) for name, column in FACTS.items()}
        columns["event_id"] = event_id(*facts.values())
        if "nPV_True" in arrays:
            facts["pileup"] = values.count("nPV_True")
            damaged["nPV_True"] = unsound(values.scalar("nPV_True"))
        triggers = {name: values.bit(name) for name in bits}
        split = _split(path, arrays["split"]) if "split" in arrays else None
        block = Block(columns, start + np.arange(n), damaged, {}, facts, triggers, split=split, cut_off=cut_off)
        if "order" in arrays and not self.saturated and (cut := values.scalar("order") < 0).any():
            block = block.take(~cut, {"saturated": int(cut.sum())})
        return block


def _objects(pt, eta, phi, steps: tuple[float, float], zero: int, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """(M,) rows and (M, 4) (pt, eta, phi, mass) of the objects, from jagged hardware units."""
    row, p = rows_of(pt), np.stack([flat(x).astype(np.float64) for x in (pt, eta, phi)], axis=-1)
    present = p[:, 0] > zero
    row, (n, eta, phi) = row[present], p[present].T
    with np.errstate(invalid="ignore"):
        vectors = [PT_STEP * (n - zero), steps[0] * eta, delta_phi(steps[1] * phi, 0), np.full(len(n), mass)]
    return row, np.stack(vectors, axis=-1)


def _split(path, values: np.ndarray) -> np.ndarray:
    names, index = np.unique(values, return_inverse=True)
    if unknown := sorted(set(names) - set(SPLIT_OF)):
        raise InputError(f"{path}: 'split' is '{unknown[0]}', not train, valid or test. Set 'use_split: false'.")
    return np.array([SPLITS.index(SPLIT_OF[name]) for name in names], np.int8)[index]
