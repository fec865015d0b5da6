"""A draft for a file that no reader takes: its branches, and a mapping guessed from their names and values.

Of all families of names that may be jets or constituents, those are taken whose constituents sum to their jets; the
mapping is tried with the reader before it is shown.
"""

from collections.abc import Iterator
from typing import NamedTuple

import awkward as ak
import numpy as np
import yaml

from hepad.errors import InputError
from hepad.events.cuts import PT_RANGE
from hepad.events.expressions import evaluate
from hepad.events.kinematics import from_cartesian, to_cartesian
from hepad.samples.drafting.families import Family, computable, of_event
from hepad.samples.drafting.ntuple import ROWS, Table, names_of_tables, read_table
from hepad.samples.formats.contents import Contents, contents
from hepad.samples.readers.ntuple import Mapped

LISTED = 150
AGREEMENT = 0.25
FEW = 4  # fewer objects an entry are no constituents, unless their name says so
UNKNOWN = "FILL_IN"
NEEDED = ("constituent_pt", "constituent_eta", "constituent_phi")


class Pair(NamedTuple):
    """Jets and constituents that may belong together; ``off``: by what fraction half of the pT sums differ."""

    jets: Family | None
    constituents: Family | None
    off: float
    pt: float


def draft(path: str) -> list[str]:
    """Lines for people: the branches of a file with their types, medians of what may be pT, a mapping to paste.

    Empty if there are no branches. InputError if the file is damaged.
    """
    content = contents(path)
    tables = [table for name in names_of_tables(content) if (table := read_table(path, content, name))]
    if not tables:
        return []
    best = max(tables, key=lambda table: (sum(x.complete for x in table.families), table.entries, len(table.name)))
    return [*_listed(content, tables, best), *_candidates(best), *_skeleton(path, best)]


def _listed(content: Contents, tables: list[Table], best: Table) -> list[str]:
    noun = {"ROOT": "tree", "HDF5": "group"}.get(content.kind, "table")
    listed = ", ".join(f"{t.name or '/'} ({t.entries:,} entries, {len(t.kinds)} branches)" for t in tables)
    lines = [f"  {f'{noun}s':<14}{listed}", f"  branches      of {best.name or 'the file'}, by name and type:"]
    width = max(map(len, best.kinds), default=0)
    lines += [f"    {name:<{min(width, 50)}}  {kind}" for name, kind in list(best.kinds.items())[:LISTED]]
    rest = len(best.kinds) - LISTED
    return [*lines, f"    ... and {rest} more"] if rest > 0 else lines


def _candidates(table: Table) -> list[str]:
    """For every branch that may be a pT, the median of the hardest jets, were it theirs, in both units."""
    lines = []
    for family in table.families:
        branch, text = family.components.get("pt", (None, ""))
        depth = table.depth(family)
        if (
            branch is None
            or "{jet}" in text
            or depth < 0
            or family.kind in ("met", "electrons", "muons", "photons", "others")
        ):
            continue
        hardest = _hardest(table.compute(text))
        medians = {"hardest" if depth else "value": _median(hardest)}
        if depth and family.complete and not family.relative:
            medians["vector sum"] = _median(_hardest(table.sums(family, None)))
        pair = "; ".join(f"{name} {x:.4g} GeV, {x / 1000:.4g} GeV if it is in MeV" for name, x in medians.items() if x)
        lines += [f"    {branch:<24}  {pair}"] * bool(pair)
    return ["  may be pT     median over entries of the jet's pT, if the branch is in GeV:", *lines] if lines else []


def _hardest(pt: ak.Array) -> np.ndarray:
    """(N,) the largest number of each entry, of those that have any."""
    while pt.ndim > 1:
        pt = ak.max(pt, axis=-1)
    pt = ak.to_numpy(ak.fill_none(pt, 0)).astype(float)
    return pt[pt > 0]


def _median(x: np.ndarray) -> float:
    return float(np.median(x)) if len(x) else 0.0


def _pairs(table: Table) -> Iterator[Pair]:
    """All jets and constituents that fit into a mapping together."""
    usable = [f for f in table.families if f.complete and f.kind in ("jet", "constituent", "") and table.depth(f) >= 0]
    jets = [f for f in usable if f.kind != "constituent" and not f.relative and table.depth(f) < 2]
    for jet in (None, *jets):
        for inside in (None, *(f for f in usable if f is not jet and f.kind != "jet" and table.depth(f) > 0)):
            if (jet or inside) and (pair := _pair(table, jet, inside)):
                yield pair


def _pair(table: Table, jet: Family | None, inside: Family | None) -> Pair | None:
    pt = table.compute(jet.polar()["pt"]) if jet else None
    if not inside:
        return Pair(jet, None, np.inf, _median(_hardest(pt)))
    if inside.relative and jet is None:
        return None
    if inside.kind != "constituent" and table.multiplicity(inside) < FEW:
        return None
    nested, several = table.depth(inside) == 2, bool(jet) and table.depth(jet) == 1
    if jet and nested != several and not (several and not nested and not inside.relative):
        return None
    try:
        sums = table.sums(inside, jet)
    except InputError:
        return None
    if jet is None:
        return Pair(None, inside, 0.0, _median(_hardest(sums)))
    if several:  # the hardest, which the reader takes
        best = ak.argmax(pt, axis=1, keepdims=True)
        if nested and not ak.all(ak.num(sums, axis=1) == ak.num(pt, axis=1)):
            return None
        pt, sums = (ak.fill_none(ak.firsts(x[best] if x.ndim == 2 else x), 0) if x.ndim == 2 else x
                    for x in (pt, sums))  # fmt: skip
    pt, sums = (ak.to_numpy(x).astype(float) for x in (pt, sums))
    mask = pt > 0
    difference = float(np.median(np.abs(sums[mask] / pt[mask] - 1))) if mask.any() else np.inf
    return Pair(jet, inside, difference, _median(pt[mask]))


def _likeliness(table: Table, pair: Pair) -> tuple:
    jets, inside = pair.jets, pair.constituents
    complete = bool(jets and inside)
    per_event = bool(jets) and not inside and table.depth(jets) == 1 and jets.kind == "jet"
    return (
        complete and pair.off < AGREEMENT and not jets.truth,
        complete and pair.off < AGREEMENT,
        per_event and not jets.truth,
        bool(inside) and not jets and not inside.truth,
        bool(inside) and inside.kind == "constituent",
        bool(jets) and jets.kind == "jet",
        bool(jets) and not jets.truth,
        bool(jets) and bool({"mass", "energy"} & set(jets.components)),
        -pair.off,
        pair.pt,
    )


def _skeleton(path: str, table: Table) -> list[str]:
    """A source to paste, tried with the reader; what the user has to fill in is marked."""
    pairs = [pair for pair in _pairs(table) if not (pair.jets and pair.constituents) or pair.off < AGREEMENT]
    pair = max(pairs, key=lambda pair: _likeliness(table, pair), default=None)
    needed, optional = _mapping(table, pair) if pair else ({}, {})
    source = {"files": [str(path)]} | ({"tree": table.name} if table.name else {})
    low, high = PT_RANGE
    if pair and pair.pt > high and low <= pair.pt / 1000 <= high:
        source["units"] = "MeV"
    outcome, works, branches = "to be completed, for its names tell of no jets and constituents", False, {}
    for branches in ({**needed, **optional}, needed) if pair else ():
        outcome, works = _tried(path, source | {"branches": branches})
        if works:
            break
    if not works:
        branches = {**needed, **optional}
    if not pair or not (pair.constituents or (works and pair.jets.kind == "jet")):
        branches = dict.fromkeys(NEEDED, UNKNOWN) | branches
    text = yaml.safe_dump(source | {"branches": branches}, sort_keys=False, allow_unicode=True, width=1000)
    marks = {f"{x}: {UNKNOWN}": "  # the branch with these, a list of numbers per entry" for x in NEEDED}
    lines = [line + marks.get(line.strip(), "") for line in text.splitlines()]
    return [f"  a mapping     {outcome}", "    source:", *(f"      {line}" for line in lines)]


def _mapping(table: Table, pair: Pair) -> tuple[dict[str, str], dict[str, str]]:
    """The entries of 'branches' that describe the probe jet, and the optional ones."""
    needed: dict[str, str] = {}
    jets, inside, optional = pair.jets, pair.constituents, {}
    if jets:
        polar = jets.polar()
        if inside and len(polar) == 4:
            needed |= _named(table, "jet", polar)
        if table.depth(jets) == 1:
            (optional if inside else needed).update(_named(table, "jets", polar))
        elif not inside:
            needed |= _named(table, "jet", polar)
    if inside:
        needed |= _named(table, "constituent", inside.expressions(jets))
    for family in table.families:
        depth = table.depth(family)
        if family.truth:
            continue
        if family.kind in ("electrons", "muons", "photons") and family.complete and depth == 1:
            for name, text in _named(table, family.kind, family.polar()).items():
                optional.setdefault(name, text)
        elif family.kind == "jet" and family.complete and depth == 1 and family is not jets and "jets_pt" not in needed:
            for name, text in _named(table, "jets", family.polar()).items():
                optional.setdefault(name, text)
        elif family.kind == "met" and depth == 0 and "met_pt" not in optional:
            parts = {x: text for x, (_, text) in family.components.items()}
            if {"px", "py"} <= set(parts):
                parts |= {"pt": f"hypot({parts['px']}, {parts['py']})", "phi": f"arctan2({parts['py']}, {parts['px']})"}
            if {"pt", "phi"} <= set(parts):
                optional |= {"met_pt": parts["pt"], "met_phi": parts["phi"]}
    return needed, optional | {x: name for x, name in of_event(table.values).items() if table.values[name].ndim == 1}


def _named(table: Table, group: str, expressions: dict[str, str]) -> dict[str, str]:
    """'group_pt' ... of expressions; padding that is not a number, or negative, is made zero."""
    pt = expressions.get("pt")
    if pt is not None and computable(pt):
        raw = {x: evaluate(text, table.values) for x, text in expressions.items()}
        padded = any(ak.any(~np.isfinite(values)) for values in raw.values()) or ak.any(raw["pt"] < 0)
        if padded and raw["pt"].ndim > 1:
            expressions = {x: f"where({pt} > 0, {text}, 0)" for x, text in expressions.items()}
    return {f"{group}_{x}": text for x, text in expressions.items()}


def _tried(path: str, source: dict) -> tuple[str, bool]:
    """Try the reader on the first entries: a sentence about the result, and whether it could read them."""
    options = {key: value for key, value in source.items() if key != "files"}
    try:
        reader = Mapped(**options)
        reader.look(path)
        columns = next(reader.blocks(path, ROWS)).columns
    except (InputError, StopIteration) as error:
        reason = str(error).removeprefix(f"{path}: ") or "there are no entries"
        return f"to be completed, for so far {reason.split('. ')[0][:200]}", False
    jet = columns["jet"] if "jet" in columns else from_cartesian(to_cartesian(columns["constituents"]).sum(axis=1))
    return (
        f"guessed; so read, the hardest jets of the first {len(jet):,} entries have a median pT of "
        f"{_median(np.asarray(jet[:, 0])):.4g} GeV. Check it:"
    ), True
