"""What the CMS Level-1 global trigger is sent, in hardware units, to GeV and radians.

Steps as in the tables of the converter that made the public set (github.com/bb511/adl1t_datamaker, docs/README.md,
after the specification of the inputs of the global trigger); the CMS software has the same ones
(EventFilter/L1ScoutingRawToDigi/interface/scales.h):

    pt                  0.5 GeV · n;  of muons 0.5 GeV · (n - 1), n = 0 standing for no muon
    eta                 0.0870/2 (calorimeter), 0.0870/8 (muons)
    phi                 2π/144 (calorimeter, missing momentum), 2π/576 (muons)

The branches of a quantity have the names of the CMS software (L1Trigger/L1TNtuples) in every form of the data. The
trigger does not tell electrons from photons: ``electrons`` holds both. Jets and taus are massless and jets have no
constituents. Taus are all candidates, whatever their isolation; a set may lack them.
"""

from typing import NamedTuple

import numpy as np

from hepad.events.identifiers import event_id
from hepad.events.kinematics import delta_phi
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples.readers.base import Block
from hepad.samples.readers.branches import MASSES, Branches
from hepad.samples.readers.jagged import flat, rows_of, unsound

PT_STEP = 0.5
CALORIMETER = (0.0870 / 2, 2 * np.pi / 144)  # steps of eta and phi
MUON = (0.0870 / 8, 2 * np.pi / 576)
SATURATED = 4095  # of the 12 bits of an energy sum
# by collection: name of the objects in the set, branches of pt, eta, phi, steps, and the pt that stands for 0 GeV
OBJECTS = {
    "jets": ("jets", ("jetIEt", "jetIEta", "jetIPhi"), CALORIMETER, 0),
    "electrons": ("egammas", ("egIEt", "egIEta", "egIPhi"), CALORIMETER, 0),
    "muons": ("muons", ("muonIEt", "muonIEtaAtVtx", "muonIPhiAtVtx"), MUON, 1),
    "taus": ("taus", ("tauIEt", "tauIEta", "tauIPhi"), CALORIMETER, 0),
}
OPTIONAL = ("taus",)  # of which a set may have no columns
NUMBERS = {"run": "run", "luminosity_block": "lumi", "event": "event"}
PILEUP = "nPV_True"
SCORES = {"cicada": "CICADAScore", "axol1tl": "axo_score"}
REMARK = "Electrons stand for electrons and photons; jets and taus are massless, jets have no constituents."


class Names(NamedTuple):
    """Columns of a form of the data: (pt, eta, phi) by collection, (pt, phi) of the missing momentum, total energy."""

    objects: dict[str, tuple[str, ...]]
    met: tuple[str, str]
    total: str

    @property
    def lists(self) -> list[str]:
        """Those that every event has to have, a list of numbers each."""
        needed = [kind for kind in self.objects if kind not in OPTIONAL]
        return [name for kind in needed for name in self.objects[kind]] + list(self.met)

    @property
    def optional(self) -> list[str]:
        """Those of the objects that a set may lack, a list of numbers each."""
        return [name for kind in OPTIONAL for name in self.objects[kind]]

    def kinds(self, columns) -> list[str]:
        """The collections of which all of these columns are there."""
        return [kind for kind, names in self.objects.items() if all(name in columns for name in names)]


def names(form: str) -> Names:
    """Of objects {0} and branches {1}: 'jets_jetIEt' of '{0}_{1}'."""
    objects = {kind: tuple(form.format(name, x) for x in branches) for kind, (name, branches, *_) in OBJECTS.items()}
    return Names(objects, (form.format("MET", "Et"), form.format("MET", "phi")), form.format("ET", "Et"))


def present(of: Names, columns) -> tuple[frozenset[str], frozenset[str]]:
    """What events hold, and which facts they have, of which these columns are there, ``of`` one form."""
    scores = {fact for fact, column in SCORES.items() if column in columns}
    pileup = {"pileup"} if PILEUP in columns else set()
    return frozenset({*of.kinds(columns), "met", "event_id"} | pileup), frozenset(NUMBERS.keys() | pileup | scores)


def block(
    values: Branches, start: int, of: Names, bits: dict[str, np.ndarray], *, saturated: bool, split=None
) -> Block:
    """Events (R, ...) out of columns ``of`` one form, with the numbers of the event, and pile-up and scores if there.

    ``bits``: (R,) bool each; ``saturated``: whether events are kept that have ``order`` -1 or, where there is no
    ``order``, a saturated total energy; ``split``: (R,) or None.
    """
    n = values.length
    columns, damaged, cut_off = {"constituents": np.zeros((n, 0, 4), np.float32)}, {}, np.zeros(n, int)
    for kind in of.kinds(values.values):
        _, _, steps, zero = OBJECTS[kind]
        arrays = values.collection(of.objects[kind])
        row, p = _objects(*arrays.values(), steps, zero, MASSES.get(kind, 0.0))
        columns[kind] = pad(row, p, n, WIDTHS[kind])
        cut_off += beyond(row, n, WIDTHS[kind])
        damaged |= {name: unsound(x, positive=name == of.objects[kind][0]) for name, x in arrays.items()}
    columns["jet"] = columns["jets"][:, 0]
    met, phi = (values.first(name) for name in of.met)
    columns["met"] = np.stack([PT_STEP * met, delta_phi(CALORIMETER[1] * phi, 0)], axis=-1).astype(np.float32)
    damaged |= {of.met[0]: ~(met >= 0), of.met[1]: ~np.isfinite(phi)}
    numbers = {fact: values.scalar(column) for fact, column in NUMBERS.items()}
    damaged |= {column: unsound(numbers[fact], positive=True) for fact, column in NUMBERS.items()}
    facts = {fact: np.nan_to_num(x).astype(np.int64) for fact, x in numbers.items()}
    damaged |= {column: damaged[column] | (facts[fact] < 0) for fact, column in NUMBERS.items()}
    columns["event_id"] = event_id(*facts.values())
    if PILEUP in values.values:
        facts["pileup"] = values.count(PILEUP)
        damaged[PILEUP] = unsound(values.scalar(PILEUP))
    for fact, column in SCORES.items():
        if column in values.values:
            facts[fact] = values.scalar(column).astype(np.float32)
            damaged[column] = unsound(facts[fact], positive=True)
    made = Block(columns, start + np.arange(n), damaged, {}, facts, bits, split=split, cut_off=cut_off)
    cut = _saturated(values, of.total)
    return made if saturated or not cut.any() else made.take(~cut, {"saturated": int(cut.sum())})


def _saturated(values: Branches, total: str) -> np.ndarray:
    if "order" in values.values:
        return values.scalar("order") < 0
    return values.first(total) >= SATURATED if total in values.values else np.zeros(values.length, bool)


def _objects(pt, eta, phi, steps: tuple[float, float], zero: int, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """(M,) rows and (M, 4) (pt, eta, phi, mass) of the objects, from jagged hardware units."""
    row, p = rows_of(pt), np.stack([flat(x).astype(np.float64) for x in (pt, eta, phi)], axis=-1)
    there = p[:, 0] > zero
    row, (n, eta, phi) = row[there], p[there].T
    with np.errstate(invalid="ignore"):
        vectors = [PT_STEP * (n - zero), steps[0] * eta, delta_phi(steps[1] * phi, 0), np.full(len(n), mass)]
    return row, np.stack(vectors, axis=-1)
