"""CMS NanoAOD and PFNano: a TTree or RNTuple ``Events``, one entry per event, GeV and radians.

    run, luminosityBlock, event, genWeight, PV_npvs, Pileup_nTrueInt, L1_*, HLT_*      one number or bit each
    FatJet_pt[], _eta, _phi, _mass, _rawFactor;  Jet_*, Electron_*, Muon_*, Photon_*, Tau_*
    ScoutingPFJet_* ...                                                                of scouting
    MET_pt, _phi, or PuppiMET, PFMET, ScoutingMET

PFNano adds what jets are made of (:mod:`hepad.samples.readers.pfnano`), which sums to a jet at its raw pt, pt (1 -
rawFactor). CMSSW writes RNTuples with a field FatJet of records _0 with pt, eta, ...
(PhysicsTools/NanoAOD/plugins/rntuple); uproot calls them 'FatJet.pt', converters of TTrees 'FatJet_pt': both are read.
A row is a jet of one collection. Without candidates, its pt is the calibrated one, and an event without such a jet has
a row, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.events import FACTS
from hepad.events.identifiers import event_id
from hepad.samples.formats.root import names, reading, require
from hepad.samples.readers.base import Block, Contents, Found, Reader, weight_of
from hepad.samples.readers.branches import (
    MASSES,
    Branches,
    Collection,
    check_leading,
    chosen,
    matching,
    of_events,
    opened,
    probes,
    read,
)
from hepad.samples.readers.jagged import unsound
from hepad.samples.readers.pfnano import Links, choose_weight, constituents, find_links, probe_jets

NUMBERS = {"run": "run", "luminosity_block": "luminosityBlock", "event": "event"}
SCALARS = {"n_pv": "PV_npvs", "pileup": "Pileup_nTrueInt", "weight": "genWeight"}
PROBES = ("FatJet", "ScoutingFatJet", "ScoutingFatPFJetRecluster", "Jet", "ScoutingJet", "ScoutingPFJet")
KINDS = {
    "jets": ("Jet", "ScoutingPFJet", "ScoutingJet", "ScoutingPFJetRecluster"),
    "electrons": ("Electron", "ScoutingElectron"),
    "muons": ("Muon", "ScoutingMuonVtx", "ScoutingMuon"),
    "photons": ("Photon", "ScoutingPhoton"),
    "taus": ("Tau",),
}
METS = ("MET", "PuppiMET", "PFMET", "ScoutingMET")
BITS = ("L1_*", "HLT_*")
BIT = re.compile(r"bool|(std::)?u?int[0-9]+_t|(unsigned )?char")  # some skims have numbers for bits


class Plan(NamedTuple):
    """The branches to read; ``names`` maps names with underscores to the file's names of branches or fields."""

    names: dict[str, str]
    jet: Collection
    factor: str
    links: Links | None
    objects: dict[str, Collection]
    met: tuple[str, ...]
    b_tag: str
    triggers: dict[str, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class NanoAOD(Reader):
    """``jet``: collection of the probe jets, FatJet if it is there; ``leading``: how many of the hardest become rows;
    ``constituents``: False leaves them out; ``puppi``: whether candidates are weighted, by default what sums to the
    jets; ``met``; ``b_tag`` and ``working_point``: a discriminator, such as btagDeepFlavB, and the value from which on
    a jet has a b tag; ``triggers``: patterns."""

    jet: str = ""
    leading: int = 1
    constituents: bool = True
    puppi: bool | None = None
    met: str = ""
    b_tag: str = ""
    working_point: float | None = None
    triggers: tuple[str, ...] = BITS

    title = "CMS NanoAOD and PFNano: jets with their candidates, the objects of the event, trigger bits"
    kind = "ROOT"
    landmarks = ("Events", "run", "luminosityBlock", "event", "FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass")

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        names = _underscored(contents.tables.get("Events", ())) if contents.kind == cls.kind else {}
        return names.keys() >= set(NUMBERS.values()) and any(re.match(r"\w*(Jet|MET)_pt$", name) for name in names)

    def look(self, path: str) -> Found:
        with opened(path, "Events") as tree:
            plan = self._plan(path, tree)
            sources = {"constituents": plan.links, "met": plan.met, "b_tag": plan.b_tag, "event_id": True}
            sources |= {x: SCALARS[x] in plan.names for x in ("weight", "pileup")}
            present = {*plan.objects, *(name for name, source in sources.items() if source)}
            jet = plan.jet.pt
            radius = 1.5 if "AK15" in jet else 0.8 if "Fat" in jet or "AK8" in jet else 0.4
            facts = frozenset({*NUMBERS, *(x for x in FACTS if SCALARS.get(x) in plan.names)})
            entries = int(tree.num_entries)
            return Found(entries, frozenset(present), tuple(plan.triggers), radius, plan.remarks, facts=facts)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with opened(path, "Events") as tree:
            plan = self._plan(path, tree)
            names = [name for collection in (plan.jet, *plan.objects.values()) for name in collection.branches]
            names += [plan.names[name] for name in (*NUMBERS.values(), *SCALARS.values()) if name in plan.names]
            names += [*plan.met, *plan.triggers.values(), *filter(None, [plan.factor, plan.b_tag])]
            names += plan.links.branches if plan.links else ()
            for start, branches in read(path, tree, names, rows):
                yield self._block(branches, plan, start)

    def _block(self, branches: Branches, plan: Plan, start: int) -> Block:
        jets = branches.collection((*plan.jet.branches, *filter(None, [plan.factor])))
        rows = probes(jets[plan.jet.pt], self.leading, absent=not plan.links)
        columns, damaged, cut_off = of_events(branches, plan.objects)
        damaged |= {name: unsound(values, positive=name == plan.jet.pt) for name, values in jets.items()}
        facts = {fact: branches.whole(plan.names[name]) for fact, name in NUMBERS.items()}
        columns["event_id"] = event_id(*facts.values())
        damaged |= {plan.names[NUMBERS[x]]: unsound(values, positive=True) for x, values in facts.items()}
        scalars = {x: plan.names[name] for x, name in SCALARS.items() if name in plan.names}
        damaged |= {name: unsound(branches.scalar(name)) for name in scalars.values()}
        if name := scalars.pop("weight", ""):
            columns["weight"] = branches.scalar(name).astype(np.float64)
        facts |= {x: branches.count(name) for x, name in scalars.items()}
        if plan.met:
            columns["met"] = np.stack([branches.scalar(name) for name in plan.met], axis=-1).astype(np.float32)
            damaged |= {name: unsound(columns["met"][:, i], positive=i == 0) for i, name in enumerate(plan.met)}
        if plan.b_tag:
            tag = branches.collection((plan.objects["jets"].pt, plan.b_tag))[plan.b_tag]
            damaged[plan.b_tag] = unsound(tag)
            columns["b_tag"] = branches.marks(plan.objects["jets"], tag >= self.working_point)
        none = np.setdiff1d(np.arange(branches.length), rows.entry)
        lost_weight = weight_of(columns.get("weight"), none)
        columns = {name: values[rows.entry] for name, values in columns.items()}
        damaged = {name: values[rows.entry] for name, values in damaged.items()}
        columns["jet"] = probe_jets(rows, plan.jet, plan.factor if plan.links else "", jets)
        columns["constituents"], refused, lost = np.zeros((len(rows.entry), 0, 4), np.float32), {}, None
        if plan.links:
            columns["constituents"], bad, lost = constituents(branches, plan.links, plan.jet.pt, rows)
            damaged |= bad
            refused["no jet"] = len(none)
        facts = {fact: values[rows.entry] for fact, values in facts.items()}
        bits = {bit: branches.bit(name)[rows.entry] for bit, name in plan.triggers.items()}
        return Block(
            columns, start + rows.entry, damaged, refused, facts, bits, cut_off=cut_off[rows.entry],
            constituents_cut_off=lost, references=frozenset(plan.links[:2] if plan.links else ()),
            weight=plan.names.get(SCALARS["weight"], ""), refused_weight=lost_weight,
        )  # fmt: skip

    def _plan(self, path, tree) -> Plan:
        check_leading(self.leading)
        if bool(self.b_tag) != (self.working_point is not None):
            raise InputError("b_tag and working_point: one is nothing without the other. Set both, or none of them.")
        branches = _underscored(names(tree))
        missing = [name for name in NUMBERS.values() if name not in branches]
        require(path, tree, missing, "This is not NanoAOD: name another reader.")
        jets = [name[:-3] for name in sorted(branches) if re.match(r"\w*Jet\w*_pt$", name)]
        jets = [x for x in jets if not re.search("^n|^_|Gen|SubJet|T1MET|PFCand|SVs", x) and _vectors(x, branches)]
        jets.sort(key=lambda name: PROBES.index(name) if name in PROBES else len(PROBES))
        jet, remarks = chosen(path, "jet", self.jet, jets)
        objects = {"jets": _vectors(jet, branches)}
        for kind, collections in KINDS.items():
            options = [_vectors(name, branches, MASSES.get(kind)) for name in collections]
            if any(options):
                objects[kind] = next(filter(None, options))
        usual = [name for name in METS if {f"{name}_pt", f"{name}_phi"} <= branches.keys()]
        mets = [name[:-3] for name in sorted(branches) if re.fullmatch(r"(?!.*Jet|Gen|_)\w*MET\w*_pt", name)]
        mets = [*usual, *(name for name in mets if name not in usual and f"{name}_phi" in branches)]
        if self.met and not mets:
            raise InputError(f"{path}: there is no missing transverse momentum '{self.met}'. Leave 'met' out.")
        met, met_remark = chosen(path, "met", self.met, mets) if self.met or usual else ("", ())
        met = tuple(branches[f"{met}_{x}"] for x in ("pt", "phi")) if met else ()
        vectors, factor = _vectors(jet, branches), branches.get(f"{jet}_rawFactor", "")
        links, link_remark = find_links(branches, _vectors, jet) if self.constituents else None, "no constituents."
        if links:
            links, link_remark = choose_weight(path, tree, links, vectors, factor, self.puppi)
        b_tag = self._discriminator(path, objects["jets"], branches) if self.b_tag else ""
        remarks = (*remarks, *met_remark, link_remark)
        return Plan(branches, vectors, factor, links, objects, met, b_tag, self._bits(path, tree, branches), remarks)

    def _discriminator(self, path, jets: Collection, branches: dict[str, str]) -> str:
        """The branch of the b tag."""
        name = f"{jets.pt.removesuffix('pt').replace('.', '_')}{self.b_tag}"
        if name not in branches:
            listed = (
                ", ".join(sorted(x for x in branches if x.startswith(name.removesuffix(self.b_tag) + "btag"))) or "none"
            )
            raise InputError(f"{path}: b_tag: there is no '{name}'; discriminators: {listed}. Set one of them.")
        return branches[name]

    def _bits(self, path, tree, branches: dict[str, str]) -> dict[str, str]:
        """Branches of the trigger bits by name."""
        bits = [x for x in branches if any(fnmatchcase(x, pattern) for pattern in self.triggers)]
        with reading(path):
            bits = [x for x in bits if BIT.fullmatch(tree[branches[x]].typename)]
        return {x: branches[x] for x in matching(path, bits, self.triggers, usual=BITS)}


def _underscored(branches) -> dict[str, str]:
    """Names as in a TTree, FatJet_pt, of branches and fields by their names in the file, such as FatJet.pt."""
    nested = {name.replace("._0.", "_").replace(".", "_"): name for name in sorted(branches) if "." in name}
    return nested | {name: name for name in branches if "." not in name}


def _vectors(name: str, branches: dict[str, str], mass: float | None = None) -> Collection | None:
    """The branches of a collection, if they are there."""
    stored = next((x for x in (f"{name}_mass", f"{name}_m") if x in branches), None)
    names = [f"{name}_{x}" for x in ("pt", "eta", "phi")]
    if not branches.keys() >= set(names) or (mass is None and stored is None):
        return None
    return Collection(*(branches[x] for x in names), branches[stored] if mass is None else mass)
