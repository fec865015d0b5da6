"""ATLAS DAOD_PHYSLITE: a TTree ``CollectionTree`` or an RNTuple ``EventData``, one entry per event; MeV and radians.

    AnalysisLargeRJetsAuxDyn.{pt,eta,phi,m}[], AnalysisJetsAuxDyn.{pt,eta,phi,m}[]
    AnalysisElectronsAuxDyn, AnalysisMuonsAuxDyn, AnalysisPhotonsAuxDyn .{pt,eta,phi}[]
    MET_Core_AnalysisMETAuxDyn.{name,mpx,mpy}[]                         one for each term
    EventInfoAuxDyn.{runNumber,mcChannelNumber,lumiBlock,eventNumber,averageInteractionsPerCrossing,mcEventWeights[]}
    PrimaryVerticesAuxDyn.vertexType[]                                  1: primary, 3: pile-up

An RNTuple has a colon for the dot: 'AnalysisJetsAuxDyn:pt'. No jet constituents are stored. PHYSLITE stores the core
terms of the missing transverse momentum, from which an analysis builds the final one (doi:10.1007/s41781-023-00110-z).
It is read where a file has a term 'Final'; ``met: approximate`` takes instead

    - Σ p_T (jets of 20 GeV and more) - Σ p_T (e, μ, γ without a jet within ΔR < 0.4) + PVSoftTrkCore,

without the calibration, vertex selection and overlap removal of an analysis. A row is an event with its hardest jet of
one collection, with or without one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events.identifiers import event_id
from hepad.events.kinematics import delta_r
from hepad.samples.formats.root import names, require
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import (
    MASSES,
    Branches,
    Collection,
    check_leading,
    chosen,
    of_events,
    opened,
    probes,
    read,
)
from hepad.samples.readers.jagged import unsound

TREES = ("CollectionTree", "EventData")
JETS = ("AnalysisLargeRJets", "AnalysisJets")
RADII = {"AnalysisLargeRJets": 1.0, "AnalysisJets": 0.4}
KINDS = {"electrons": "AnalysisElectrons", "muons": "AnalysisMuons", "photons": "AnalysisPhotons"}
NUMBERS = {"runNumber": "run", "mcChannelNumber": "", "lumiBlock": "luminosity_block", "eventNumber": "event"}
TERMS, SOFT, REBUILT = "MET_Core_AnalysisMETAuxDyn", "PVSoftTrkCore", "approximate"
MIN_PT, OVERLAP = 20.0, 0.4  # GeV, ΔR
GEV = np.array([1e-3, 1, 1, 1e-3], np.float32)


class Plan(NamedTuple):
    """The branches to read; ``names`` maps names with a dot to the file's names of branches or fields."""

    names: dict[str, str]
    jet: Collection
    radius: float | None
    objects: dict[str, Collection]
    term: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class PHYSLITE(Reader):
    """``jet``: collection of the probe jets, by default AnalysisLargeRJets if it is there; ``leading``: how many of the
    hardest become rows; ``met``: name of the term of the missing transverse momentum, or 'approximate'."""

    jet: str = ""
    leading: int = 1
    met: str = "Final"

    title = "ATLAS DAOD_PHYSLITE: jets and the objects of the event, without constituents"
    kind = "ROOT"
    landmarks = (
        "CollectionTree",
        *(f"AnalysisJetsAuxDyn.{x}" for x in ("pt", "eta", "phi", "m")),
        "EventInfoAuxDyn.runNumber",
    )

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        if contents.kind != cls.kind:
            return False
        return any(f"{jet}AuxDyn.pt" in _dotted(contents.tables.get(tree, ())) for tree in TREES for jet in JETS)

    def look(self, path: str) -> Found:
        with opened(path, *TREES) as tree:
            plan = self._plan(path, tree)
            sources = {"met": plan.term, "weight": _of_event("mcEventWeights") in plan.names, "event_id": True}
            sources["pileup"] = _of_event("averageInteractionsPerCrossing") in plan.names
            present = {*plan.objects, *(name for name, source in sources.items() if source)}
            facts = {fact for x, fact in NUMBERS.items() if fact and _of_event(x) in plan.names} | present & {"pileup"}
            facts |= {"n_pv"} if "PrimaryVerticesAuxDyn.vertexType" in plan.names else set()
            return Found(
                int(tree.num_entries), frozenset(present), (), plan.radius, plan.remarks, facts=frozenset(facts)
            )

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with opened(path, *TREES) as tree:
            plan = self._plan(path, tree)
            names = [name for collection in (plan.jet, *plan.objects.values()) for name in collection.branches]
            facts = (*NUMBERS, "averageInteractionsPerCrossing", "mcEventWeights")
            optional = [_of_event(name) for name in facts] + ["PrimaryVerticesAuxDyn.vertexType"]
            optional += [f"{TERMS}.{x}" for x in ("name", "mpx", "mpy")] if plan.term else []
            names += [plan.names[name] for name in optional if name in plan.names]
            for start, branches in read(path, tree, names, rows):
                yield self._block(branches, plan, start)

    def _block(self, branches: Branches, plan: Plan, start: int) -> Block:
        jets = branches.collection(plan.jet.branches)
        rows = probes(jets[plan.jet.pt], self.leading, absent=True)
        columns, damaged, cut_off = of_events(branches, plan.objects)
        columns = {name: p * GEV for name, p in columns.items()}
        damaged |= {name: unsound(values, positive=name == plan.jet.pt) for name, values in jets.items()}
        number = {x: branches.whole(plan.names[_of_event(x)]) for x in NUMBERS if _of_event(x) in plan.names}
        facts = {fact: number[x] for x, fact in NUMBERS.items() if x in number and fact}
        damaged |= {plan.names[_of_event(x)]: unsound(values, positive=True) for x, values in number.items()}
        run, channel, block = (number.get(x, 0 * number["eventNumber"]) for x in list(NUMBERS)[:3])
        # simulated samples share run numbers, their channels differ
        columns["event_id"] = event_id(run + (channel << 32), block, number["eventNumber"])
        if (name := plan.names.get(_of_event("averageInteractionsPerCrossing"))) is not None:
            facts["pileup"] = branches.count(name)
            damaged[name] = unsound(branches.scalar(name))
        if (name := plan.names.get("PrimaryVerticesAuxDyn.vertexType")) is not None:
            types = branches.jagged(name)
            facts["n_pv"] = ak.to_numpy(ak.sum((types == 1) | (types == 3), axis=1))
        if (name := plan.names.get(_of_event("mcEventWeights"))) is not None:
            columns["weight"] = branches.first(name)
            damaged[name] = unsound(columns["weight"])
        if plan.term:
            mpx, mpy = self._met(branches, plan, columns)
            columns["met"] = np.stack([np.hypot(mpx, mpy), np.arctan2(mpy, mpx)], axis=-1).astype(np.float32)
            damaged[f"{TERMS}.mpx"] = unsound(columns["met"])
        columns = {name: values[rows.entry] for name, values in columns.items()}
        jet = np.stack([rows.of(values) for values in jets.values()], axis=-1).astype(np.float32) * GEV
        jet[:, 3] = np.maximum(jet[:, 3], 0)
        columns |= {"jet": jet, "constituents": np.zeros((len(jet), 0, 4), np.float32)}
        damaged = {name: values[rows.entry] for name, values in damaged.items()}
        facts = {x: values[rows.entry] for x, values in facts.items()}
        weight = plan.names.get(_of_event("mcEventWeights"), "")
        return Block(columns, start + rows.entry, damaged, facts=facts, cut_off=cut_off[rows.entry], weight=weight)

    def _met(self, branches: Branches, plan: Plan, columns: dict) -> tuple[np.ndarray, np.ndarray]:
        """(N,) components [GeV] of the missing transverse momentum; NaN where an entry lacks the term."""
        name, mpx, mpy = (plan.names[f"{TERMS}.{x}"] for x in ("name", "mpx", "mpy"))
        terms = branches.collection([mpx, mpy])
        named = branches.values[name]
        if str(named.type.content) != "var * string" or not np.array_equal(ak.num(named), ak.num(terms[mpx])):
            raise InputError(
                f"{branches.path}: '{name}' does not name the terms of '{mpx}'. The file is damaged: fetch it."
            )
        term = named == plan.term
        unique = ak.to_numpy(ak.sum(term, axis=1)) == 1
        x, y = (np.where(unique, ak.to_numpy(ak.sum(terms[i][term], axis=1)), np.nan) * 1e-3 for i in (mpx, mpy))
        if self.met == REBUILT:
            jets = columns["jets"]
            for kind in ("jets", *KINDS):
                p = columns.get(kind, jets[:, :0])
                counted = p[..., 0] >= (MIN_PT if kind == "jets" else 0)
                if kind != "jets":
                    hard = jets[:, None, :, 0] >= MIN_PT
                    distance = delta_r(p[:, :, None, 1], p[:, :, None, 2], jets[:, None, :, 1], jets[:, None, :, 2])
                    counted &= ~((distance < OVERLAP) & hard).any(axis=2)
                x -= (p[..., 0] * np.cos(p[..., 2]) * counted).sum(axis=1)
                y -= (p[..., 0] * np.sin(p[..., 2]) * counted).sum(axis=1)
        return x, y

    def _plan(self, path, tree) -> Plan:
        check_leading(self.leading)
        branches = _dotted(names(tree))
        missing = [_of_event("eventNumber")] if _of_event("eventNumber") not in branches else []
        require(path, tree, missing, "This is not PHYSLITE: name another reader.")
        containers = sorted(
            {name.split("AuxDyn.")[0] for name in branches if re.match(r"(?!.*Tau)[A-Z]\w*JetsAuxDyn\.", name)}
        )
        jets = [name for name in (*JETS, *containers) if _vectors(name, branches)]
        jet, remarks = chosen(path, "jet", self.jet, list(dict.fromkeys(jets)))
        objects = {"jets": _vectors("AnalysisJets", branches) or _vectors(jet, branches)}
        objects |= {kind: _vectors(name, branches, MASSES[kind] * 1e3) for kind, name in KINDS.items()}
        objects = {kind: columns for kind, columns in objects.items() if columns}
        term, met_remark = self._term(path, tree, branches)
        return Plan(branches, _vectors(jet, branches), RADII.get(jet), objects, term, (*remarks, *met_remark))

    def _term(self, path, tree, names: dict[str, str]) -> tuple[str, tuple[str, ...]]:
        """Name of the term that is read, '' if the file has none, and a remark."""
        chosen = SOFT if self.met == REBUILT else self.met
        terms: list[str] = []
        if {f"{TERMS}.{x}" for x in ("name", "mpx", "mpy")} <= names.keys():
            for _, branches in read(path, tree, [names[f"{TERMS}.name"]], 1, 1):
                terms = [str(term) for term in branches.values[names[f"{TERMS}.name"]][0]]
        if chosen in terms:
            remark = f"met: jets, leptons, photons and {SOFT}, an approximation." if self.met == REBUILT else ""
            return chosen, (remark,) if remark else ()
        listed = ", ".join(terms) or "no terms"
        if self.met != "Final":
            raise InputError(
                f"{path}: met: there is no term '{chosen}'; {TERMS} has {listed}. Set 'met' to one of them."
            )
        return "", (f"no final met: {TERMS} has {listed}; 'met: {REBUILT}' approximates it.",)


def _of_event(name: str) -> str:
    return f"EventInfoAuxDyn.{name}"


def _dotted(branches) -> dict[str, str]:
    """Names as in a TTree, AnalysisJetsAuxDyn.pt, of branches and fields by their names in the file.

    A member may be part of the class of its store: 'EventInfoAux.runNumber', in an RNTuple 'EventInfoAux:.runNumber'.
    """
    dotted = {re.sub(r"[:.]+", ".", name): name for name in sorted(branches)}
    return {name.replace("Aux.", "AuxDyn."): x for name, x in dotted.items()} | dotted


def _vectors(name: str, branches: dict[str, str], mass: float | None = None) -> Collection | None:
    """The branches of a collection [MeV], if they are there."""
    names = [f"{name}AuxDyn.{x}" for x in (("pt", "eta", "phi", "m") if mass is None else ("pt", "eta", "phi"))]
    if not branches.keys() >= set(names):
        return None
    return Collection(*(branches[x] for x in names), *([] if mass is None else [mass]))
