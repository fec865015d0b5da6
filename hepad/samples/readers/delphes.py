"""ROOT files of Delphes (arXiv:1307.6346): a tree ``Delphes``, one entry per event, a TClonesArray per collection.

    FatJet.PT[], .Eta, .Phi, .Mass, .BTag, .Constituents[] (TRefArray)      jets; names differ from card to card
    EFlowTrack.PT, EFlowPhoton.ET, EFlowNeutralHadron.ET, ParticleFlowCandidate.PT, Track.PT, Tower.ET, ...
        each with .Eta, .Phi and .fUniqueID                                 what jets are made of
    Electron, Muon, Photon .PT, .Eta, .Phi;  MissingET.MET, .Phi;  Event.Number, .Weight

GeV and radians. ``Constituents`` refers to objects by their ``fUniqueID``, unique within an event, in whatever
collections the card has stored; what was not stored cannot be found again. A track has a mass, if the version of
Delphes stores it, a tower has none. ``Eta`` of a track may be that of its position: of ``Eta`` and arsinh ``CtgTheta``
the direction is the one that gives the stored momentum ``P``; only so do constituents sum to the mass of their jet.

A row is a jet of one collection. ``Event.Number`` counts from 0 in every file: an event is identified by a hash of its
objects.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events.identifiers import objects_id
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples.formats.root import names
from hepad.samples.readers.base import Block, Contents, Found, Reader, weight_of
from hepad.samples.readers.branches import (
    MASSES,
    Branches,
    Collection,
    Probes,
    check_leading,
    chosen,
    of_events,
    opened,
    probes,
    read,
    row_damage,
)
from hepad.samples.readers.jagged import flat, rows_of, unsound

LOOK = 200  # entries from which it is learnt where a jet's constituents are stored
LARGE = re.compile(r"Fat|Large|AK8|AK1|CA8|CA1|R08|R1")
KINDS = {"electrons": "Electron", "muons": "Muon", "photons": "Photon"}
# collections among which a jet's constituents are shared out, the likelier ones first; any other stands alone
FAMILIES = (r"ParticleFlowCandidate", r"EFlow.*", r"Track|Tower|Muon")


class Plan(NamedTuple):
    """The branches to read. candidates: the collections with the constituents; objects: by column of Events."""

    jet: Collection
    constituents: str
    candidates: dict[str, tuple[str, ...]]
    objects: dict[str, Collection]
    met: tuple[str, ...]
    b_tag: str
    weight: str
    number: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Delphes(Reader):
    """``jet``: collection of the probe jets, by default the first large jets whose constituents are stored;
    ``leading``: how many of the hardest become rows; ``constituents``: False leaves them out; ``jets``: those of the
    event, with bit ``b_tag_bit`` of ``BTag`` as their b tag; ``met``: collection of the missing transverse momentum."""

    jet: str = ""
    leading: int = 1
    constituents: bool = True
    jets: str = ""
    b_tag_bit: int = 0
    met: str = ""

    title = "Delphes: any jets, with constituents by reference, and the objects of the event"
    kind = "ROOT"
    landmarks = ("Delphes", "Jet.PT", "Jet.Eta", "Jet.Phi", "EFlowTrack.fUniqueID", "MissingET.MET")

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        branches = contents.tables.get("Delphes", ()) if contents.kind == cls.kind else ()
        return any(name.endswith(".fUniqueID") for name in branches)

    def look(self, path: str) -> Found:
        with opened(path, "Delphes") as tree:
            plan = self._plan(path, tree)
            branches = {"constituents": plan.candidates, "met": plan.met, "b_tag": plan.b_tag, "weight": plan.weight}
            present = {*plan.objects, "event_id", *(name for name, branch in branches.items() if branch)}
            facts = frozenset({"event"} if plan.number else ())
            return Found(int(tree.num_entries), frozenset(present), remarks=plan.remarks, facts=facts)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with opened(path, "Delphes") as tree:
            plan = self._plan(path, tree)
            names = [name for collection in (plan.jet, *plan.objects.values()) for name in collection.branches]
            names += [name for candidate in plan.candidates.values() for name in candidate]
            names += [plan.b_tag, plan.weight, plan.number, *plan.met, plan.constituents if plan.candidates else ""]
            for start, branches in read(path, tree, filter(None, names), rows):
                yield self._block(branches, plan, start)

    def _block(self, branches: Branches, plan: Plan, start: int) -> Block:
        jets = branches.collection(plan.jet.branches)
        rows = probes(jets[plan.jet.pt], self.leading, absent=not plan.candidates)
        columns, damaged, cut_off = of_events(branches, plan.objects)
        damaged |= {name: unsound(values, positive=name == plan.jet.pt) for name, values in jets.items()}
        numbers = {name: branches.first(name) for name in (plan.weight, *plan.met) if name}
        damaged |= {name: unsound(values) for name, values in numbers.items()}
        if plan.met:
            columns["met"] = np.stack([numbers[name] for name in plan.met], axis=-1).astype(np.float32)
        columns["event_id"] = objects_id(columns)
        if plan.weight:
            columns["weight"] = numbers[plan.weight]
        if plan.b_tag:
            bits = branches.collection([plan.b_tag, plan.objects["jets"].pt], integers=(plan.b_tag,))[plan.b_tag]
            bit = ak.values_astype(bits, np.int64) & (1 << self.b_tag_bit)
            columns["b_tag"] = branches.marks(plan.objects["jets"], bit > 0)
        none = np.setdiff1d(np.arange(branches.length), rows.entry)
        lost_weight = weight_of(columns.get("weight"), none)
        columns = {name: values[rows.entry] for name, values in columns.items()}
        damaged = {name: values[rows.entry] for name, values in damaged.items()}
        columns["jet"] = np.stack([rows.of(values) for values in jets.values()], axis=-1).astype(np.float32)
        columns["jet"][:, 3] = np.maximum(columns["jet"][:, 3], 0)
        columns["constituents"], refused, lost = np.zeros((len(rows.entry), 0, 4), np.float32), {}, None
        if plan.candidates:
            columns["constituents"], bad, lost = _constituents(branches, plan, rows)
            damaged |= bad
            refused["no jet"] = len(none)
        facts = {"event": branches.first_whole(plan.number)[rows.entry]} if plan.number else {}
        return Block(
            columns, start + rows.entry, damaged, refused, facts, cut_off=cut_off[rows.entry],
            constituents_cut_off=lost, references=frozenset([plan.constituents]), weight=plan.weight,
            refused_weight=lost_weight,
        )  # fmt: skip

    def _plan(self, path, tree) -> Plan:
        check_leading(self.leading)
        if self.b_tag_bit not in range(32):
            raise InputError(f"b_tag_bit: {self.b_tag_bit!r} is not the number of a bit, 0 to 31.")
        branches = names(tree)
        all_collections = sorted({name.rsplit(".", 1)[0] for name in branches if "." in name})
        jets = [c for c in all_collections if "Jet" in c and branches >= set(_columns(c, branches, mass=True).branches)]
        jets.sort(key=lambda c: ("Gen" in c, not LARGE.search(c), "15" in c, "PUPPI" not in c))
        jet, candidates, remarks = self._jet(path, tree, jets, all_collections)
        event = sorted(jets, key=lambda c: ("Gen" in c, bool(LARGE.search(c)), ("PUPPI" in c) != ("PUPPI" in jet)))
        event, jet_remark = chosen(path, "jets", self.jets, event)
        objects = {"jets": _columns(event, branches, mass=True)}
        for name, kind in KINDS.items():
            if branches >= {f"{kind}.{x}" for x in ("PT", "Eta", "Phi")}:
                objects[name] = Collection(f"{kind}.PT", f"{kind}.Eta", f"{kind}.Phi", MASSES[name])
        mets = [c for c in all_collections if branches >= {f"{c}.MET", f"{c}.Phi"}]
        mets.sort(key=lambda c: ("Gen" in c, ("Puppi" in c) != ("PUPPI" in jet)))
        if self.met and not mets:
            raise InputError(
                f"{path}: met: there is no collection '{self.met}', nor another with MET. Leave 'met' out."
            )
        met, met_remark = chosen(path, "met", self.met, mets) if mets else ("", ())
        b_tag, weight, number = (x if x in branches else "" for x in (f"{event}.BTag", "Event.Weight", "Event.Number"))
        components = {name: _components(name, branches) for name in candidates}
        return Plan(
            _columns(jet, branches, mass=True), f"{jet}.Constituents", components, objects,
            (f"{met}.MET", f"{met}.Phi") if met else (), b_tag, weight, number, (*remarks, *jet_remark, *met_remark),
        )  # fmt: skip

    def _jet(self, path, tree, jets: list[str], collections: list[str]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """The collection of the probe jets, the collections of their constituents, and remarks."""
        jet, _ = chosen(path, "jet", self.jet, jets)
        candidates, stored = (), 0.0
        if self.constituents:
            pools = {}
            for name in [jet] if self.jet else [name for name in jets if "Gen" not in name] or jets:
                pools[name] = _candidates(path, tree, name, collections)
                if pools[name][1] == 1:
                    break
            jet = max(pools, key=lambda name: pools[name][1])
            candidates, stored = pools[jet]
        _, remarks = chosen(path, "jet", jet, jets)
        if not candidates and self.constituents:
            remarks += (f"the constituents of {jet} are not stored in the file.",)
        elif candidates:
            lacking = f"; {1 - stored:.2%} of them are not stored" if stored < 1 else ""
            remarks += (f"constituents of {jet}: from {', '.join(candidates)}{lacking}.",)
        return jet, candidates, remarks


def _columns(collection: str, branches: frozenset[str], mass: bool = False) -> Collection:
    """The branches of a collection: energy is that of a massless particle where there is no mass."""
    pt = "ET" if f"{collection}.ET" in branches and f"{collection}.PT" not in branches else "PT"
    columns = Collection(*(f"{collection}.{x}" for x in (pt, "Eta", "Phi", "Mass")))
    return columns if mass or columns.mass in branches else columns._replace(mass=0.0)


def _components(collection: str, branches: frozenset[str]) -> tuple[str, ...]:
    """Branches of what jets are made of: identifier, pt, η, φ and, of tracks, mass, momentum and cot θ."""
    first = (f"{collection}.fUniqueID", *_columns(collection, branches)[:3])
    track = [f"{collection}.{x}" for x in ("Mass", "P", "CtgTheta")]
    return (*first, *track) if branches >= set(track) else (*first, track[0]) if track[0] in branches else first


def _candidates(path, tree, jet: str, collections: list[str]) -> tuple[tuple[str, ...], float]:
    """The collections in which the first constituents of the jets are found, and the share of them that is."""
    present, references = names(tree), f"{jet}.Constituents"
    if references not in present:
        return (), 0.0
    pool = [c for c in collections if present >= {f"{c}.fUniqueID", *_columns(c, present).branches} and "Jet" not in c]
    identifiers = [f"{c}.fUniqueID" for c in pool]
    keys, stored = np.zeros(0, np.int64), {c: np.zeros(0, np.int64) for c in pool}
    for _, branches in read(path, tree, [references, *identifiers], LOOK, LOOK):
        links = ak.flatten(branches.references(references), axis=2)
        keys = _keys(rows_of(links), flat(links))
        for c in pool:
            stored[c] = _keys(rows_of(branches.integers(f"{c}.fUniqueID")), flat(branches.values[f"{c}.fUniqueID"]))
    families = [[c for c in pool if re.fullmatch(family, c)] for family in FAMILIES]
    families += [[c] for c in pool if not any(c in family for family in families)]
    if not len(keys):  # nothing to learn from
        first = next((family for family in families[: len(FAMILIES)] if family), [])
        return tuple(first), float(bool(first))
    taken, missing = [], keys
    while len(missing) and families:
        masks = [np.isin(missing, np.concatenate([stored[c] for c in f] or [keys[:0]])) for f in families]
        best = int(np.argmax([mask.sum() for mask in masks]))
        if not masks[best].any():
            break
        taken += families.pop(best)
        missing = missing[~masks[best]]
    return tuple(taken), 1 - len(missing) / len(keys)


def _keys(entry: np.ndarray, identifier: np.ndarray) -> np.ndarray:
    """(M,) int64, one of each object of a block; negative for the objects that nothing refers to."""
    identifier = identifier.astype(np.int64) & 0xFFFFFFFF
    return np.where(identifier > 0, (entry << 32) | identifier, -1)


def _constituents(branches: Branches, plan: Plan, rows: Probes) -> tuple[np.ndarray, dict, np.ndarray]:
    """(R, P, 4) by reference, the rows (R,) that lack one, or have one that cannot be, by branch, and how many (R,)
    found no room."""
    references, n = branches.references(plan.constituents), len(rows.entry)
    if not np.array_equal(ak.num(references, axis=1), ak.num(branches.values[plan.jet.pt], axis=1)):
        raise InputError(
            f"{branches.path}: '{plan.constituents}' and '{plan.jet.pt}' differ in length. "
            "The file is damaged: fetch it again."
        )
    references = ak.flatten(references, axis=1)[rows.number(references)]
    row = rows_of(references)
    keys = _keys(rows.entry[row], flat(references))
    p, parts, missing, damaged = [], [], np.ones(len(keys), bool), {}
    for collection, names_of in plan.candidates.items():
        identifier, *components = branches.collection(names_of, integers=names_of[:1]).values()
        stored = _keys(rows_of(identifier), flat(identifier))
        order = np.argsort(stored, kind="stable")
        place = np.searchsorted(stored, keys, sorter=order)
        mask = missing & (place < len(stored)) & (keys > 0)
        mask[mask] = stored[order[place[mask]]] == keys[mask]
        missing &= ~mask
        components = [flat(x)[order[place[mask]]].astype(np.float64) for x in components]
        for name, x in zip(names_of[1:], components, strict=True):
            damaged[name] = row_damage(x, row[mask], n, positive=name == names_of[1])
        p.append(_four_vectors(*components, rest=_rest_mass(collection)))
        parts.append(row[mask])
    damaged[plan.constituents] = np.bincount(row[missing], minlength=n) > 0
    row, width = np.concatenate(parts), WIDTHS["constituents"]
    return pad(row, np.concatenate(p), n, width), damaged, beyond(row, n, width)


def _rest_mass(collection: str) -> float:
    """Mass [GeV] of the particles of a collection whose masses are not stored."""
    return next((MASSES[name] for name, kind in KINDS.items() if collection.startswith(kind)), 0.0)


def _four_vectors(pt, eta, phi, mass=None, momentum=None, cot_theta=None, *, rest: float) -> np.ndarray:
    """(M, 4): of mass ``rest`` without ``mass``; the direction is that of η and cot θ which gives the stored momentum.

    Where that is not filled, as of neutral generator particles, it cannot decide, and η stands.
    """
    mass = np.full_like(pt, rest) if mass is None else np.maximum(mass, 0)
    if momentum is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            is_track = np.abs(pt * np.hypot(1, cot_theta) - momentum) < np.abs(pt * np.cosh(eta) - momentum)
            eta = np.where(is_track & (momentum > 0), np.arcsinh(cot_theta), eta)
    return np.stack([pt, eta, phi, mass], axis=-1)
