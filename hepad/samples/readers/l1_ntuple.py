"""CMS L1TNtuples: what the Level-1 trigger was sent and decided, in several TTrees of which entry i is one event.

As the CMS software writes them (L1Trigger/L1TNtuples, versions that store hardware units), each tree in a directory of
its own, in two makes: what the trigger sent (l1UpgradeTree), and what its emulator gives (l1UpgradeEmuTree):

    l1Upgrade[Emu]Tree/L1UpgradeTree            jetIEt, jetIEta, jetIPhi, jetBx, eg..., tau...: vectors of short
                                                muonIEt, muonIEtaAtVtx, muonIPhiAtVtx, muonBx
                                                sumType, sumIEt, sumIPhi: vectors of short, sumBx: of float
    l1uGT[Emu]Tree/L1uGTTree                    m_algoDecisionFinal: 512 bits, after prescales and masks
    l1EventTree/L1EventTree                     run, lumi: unsigned, event: unsigned 64 bits, nPV_True: int, -1 of data
    l1CaloSummary[Emu]Tree/L1CaloSummaryTree    CICADAScore: float
    l1AXO[Emu]Tree/L1AXOTree                    axo_score: float, of AXOL1TL, which the emulator gives in both

Objects of five bunch crossings are stored; those of crossing 0 are read, taus where all their branches are there. Sums
have a type, EtSum::EtSumType of DataFormats/L1Trigger: 0 is the total, 2 the missing transverse energy. The names of
the bits are aliases of the tree, 'L1_SingleMu22' -> 'L1uGT.m_algoDecisionInitial[23]'; where a program that skimmed the
file lost them, bit 23 is 'L1_23', and the menu of the run tells what that is. Units:
:mod:`hepad.samples.readers.level1`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.samples.formats.root import names as branch_names
from hepad.samples.formats.root import open_root, open_tree, reading, require, tables
from hepad.samples.readers import level1
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import Branches, matching, read
from hepad.samples.readers.jagged import parts

OBJECTS = {True: "l1UpgradeEmuTree/L1UpgradeTree", False: "l1UpgradeTree/L1UpgradeTree"}  # by whether it is emulated
DECISIONS = {True: "l1uGTEmuTree/L1uGTTree", False: "l1uGTTree/L1uGTTree"}
EVENT = "l1EventTree/L1EventTree"
SCORES = {
    "CICADAScore": {True: "l1CaloSummaryEmuTree/L1CaloSummaryTree", False: "l1CaloSummaryTree/L1CaloSummaryTree"},
    "axo_score": {True: "l1AXOEmuTree/L1AXOTree", False: "l1AXOTree/L1AXOTree"},
}
NAMES = level1.names("{1}")._replace(met=("sumIEt", "sumIPhi"), total="total")
# branches that are needed of a kind of object, and the branch that has the bunch crossing of each
CROSSINGS = {
    "jetBx": NAMES.objects["jets"],
    "egBx": NAMES.objects["electrons"],
    "muonBx": NAMES.objects["muons"],
    "sumBx": ("sumType", *NAMES.met),
}
TAUS = {"tauBx": NAMES.objects["taus"]}  # where they are all there
REMEDIES = dict.fromkeys(OBJECTS.values(), "Leave 'emulated' out, or name another reader.") | {
    EVENT: "It says which event an entry is: write the ntuple with it."
}
TOTAL, MISSING = 0, 2
FINAL, BITS, USUAL = "m_algoDecisionFinal", 512, ("L1_*",)
ALIAS = re.compile(r".*m_algoDecision\w+\[(\d+)\]")


class Plan(NamedTuple):
    """The trees that are read, with their branches; the number of each bit by its name; what to tell."""

    trees: dict[str, tuple]
    bits: dict[str, int]
    remarks: tuple[str, ...]

    @property
    def branches(self) -> set[str]:
        return {branch for _, branches in self.trees.values() for branch in branches}


@dataclass(frozen=True)
class L1Ntuple(Reader):
    """CMS L1TNtuples.

    emulated: read what the emulator gives, or what the trigger sent; by default the emulator's if the file has it
    triggers: patterns of the algorithms whose final decisions are kept as trigger bits
    saturated: keep events of a saturated total energy
    """

    title = "CMS L1TNtuples (ROOT): Level-1 objects in hardware units, decisions of the menu, scores"
    kind = "ROOT"
    landmarks = (*OBJECTS.values(), *DECISIONS.values(), EVENT)
    emulated: bool | None = None
    triggers: tuple[str, ...] = USUAL
    saturated: bool = False

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return contents.kind == cls.kind and not contents.tables.keys().isdisjoint(OBJECTS.values())

    def look(self, path: str) -> Found:
        with self._opened(path) as plan:
            present, facts = level1.present(NAMES, plan.branches)
            entries = int(plan.trees[EVENT][0].num_entries)
            return Found(entries, present, tuple(plan.bits), remarks=plan.remarks, facts=facts)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with self._opened(path) as plan:
            trees = [read(path, tree, branches, rows) for tree, branches in plan.trees.values()]
            for blocks in zip(*trees, strict=True):
                start, length = blocks[0][0], blocks[0][1].length
                values = Branches(path, length, {x: y for _, block in blocks for x, y in block.values.items()})
                bits = _decisions(values, plan.bits) if plan.bits else {}
                yield level1.block(_in_time(values), start, NAMES, bits, saturated=self.saturated)

    @contextmanager
    def _opened(self, path: str) -> Iterator[Plan]:
        with open_root(path) as file:
            yield self._plan(path, file)

    def _plan(self, path: str, file) -> Plan:
        with reading(path):
            there = tables(file)
        emulated = OBJECTS[True] in there if self.emulated is None else self.emulated
        wanted = {OBJECTS[emulated]: [x for found in CROSSINGS.items() for x in (found[0], *found[1])]}
        wanted |= {EVENT: list(level1.NUMBERS.values())}
        for name in wanted:
            if name not in there:
                listed = ", ".join(sorted(there)) or "none"
                raise InputError(f"{path}: there is no tree '{name}'; present: {listed}. {REMEDIES[name]}")
        if DECISIONS[emulated] in there:
            wanted[DECISIONS[emulated]] = [FINAL]
        for score, makes in SCORES.items():
            found = [makes[make] for make in (emulated, not emulated) if makes[make] in there]
            wanted |= {tree: [score] for tree in found[:1]}
        trees, optional = {}, {OBJECTS[emulated]: ("tauBx", *TAUS["tauBx"]), EVENT: (level1.PILEUP,)}
        for name, branches in wanted.items():
            tree = open_tree(path, file, name)
            require(path, tree, branches, f"That is what is read of '{name}': write the ntuple with it.")
            more = optional.get(name, ())
            trees[name] = (tree, [*branches, *(more if branch_names(tree) >= {*more} else ())])
        _check_entries(path, trees)
        numbers = _numbers(path, trees[DECISIONS[emulated]][0]) if DECISIONS[emulated] in trees else {}
        bits = {name: numbers[name] for name in matching(path, numbers, self.triggers, usual=USUAL)}
        if not bits:
            trees.pop(DECISIONS[emulated], None)
        return Plan(trees, bits, (level1.REMARK, *_remarks(there, emulated, numbers)))


def _check_entries(path: str, trees: dict[str, tuple]) -> None:
    """InputError unless all trees have as many entries."""
    entries = {name: int(tree.num_entries) for name, (tree, _) in trees.items()}
    if len(set(entries.values())) > 1:
        listed = ", ".join(f"{name}: {number}" for name, number in entries.items())
        raise InputError(f"{path}: its trees differ in their entries ({listed}). It is damaged: fetch it again.")


def _numbers(path: str, tree) -> dict[str, int]:
    """Number of each bit by the algorithm's name, or, where there are no names, by 'L1_' and the number."""
    with reading(path):
        found = {name: ALIAS.fullmatch(meaning) for name, meaning in tree.aliases.items()}
    named = {name: int(match[1]) for name, match in found.items() if match}
    return named or {f"L1_{number}": number for number in range(BITS)}


def _remarks(there, emulated: bool, numbers: dict[str, int]) -> tuple[str, ...]:
    made = {True: "what the emulator gives", False: "what the trigger sent"}
    remarks = [f"Objects and decisions are {made[emulated]}."]
    if OBJECTS[not emulated] in there:
        remarks = [f"{remarks[0][:-1]}; 'emulated: {str(not emulated).lower()}' reads {made[not emulated]}."]
    if not numbers:
        remarks.append(f"There are no decisions of the menu: the tree '{DECISIONS[emulated]}' is missing.")
    elif "L1_0" in numbers:
        remarks.append("The bits have no names in the file: L1_23 is bit 23 of the run's menu.")
    return tuple(remarks)


def _in_time(values: Branches) -> Branches:
    """The objects of bunch crossing 0, and of its sums the missing and the total transverse energy."""
    found = dict(values.values)
    read_in = {crossing: branches for crossing, branches in (CROSSINGS | TAUS).items() if crossing in found}
    for crossing, branches in read_in.items():
        arrays = values.collection((crossing, *branches))
        now = arrays[crossing] == 0
        found |= {name: arrays[name][now] for name in branches}
    kind = found["sumType"]
    found[NAMES.total] = found["sumIEt"][kind == TOTAL]
    return values._replace(values=found | {name: found[name][kind == MISSING] for name in NAMES.met})


def _decisions(values: Branches, bits: dict[str, int]) -> dict[str, np.ndarray]:
    """(N,) bool by name of the bits."""
    counts, decisions = parts(values.jagged(FINAL))
    last = max(bits, key=bits.get)
    if len(counts) and counts.min() <= bits[last]:
        raise InputError(
            f"{values.path}: '{FINAL}' has {counts.min()} bits in an entry, but '{last}' is to be bit {bits[last]}. "
            "The file is damaged: fetch it again."
        )
    first = np.cumsum(counts) - counts
    return {name: decisions[first + number].astype(bool) for name, number in bits.items()}
