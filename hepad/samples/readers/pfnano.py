"""Constituents of jets in CMS PFNano: a link for each pair of a jet and a candidate, in three dialects.

    FatJetPFCands_{jetIdx,pFCandsIdx}, JetPFCands_{...}     to PFCands_{pt,eta,phi,mass,puppiWeight}
    JetPFCandsAK8_{jetIdx,candIdx}, JetPFCandsAK4_{...}     to JetPFCands_{...}      (CMSSW 10_6)
    FatJetPFCand_{jetIdx,pfCandIdx}, JetPFCand_{...}        to PFCand_{...}          (CMSSW 13 and later)

A PUPPI jet (AK8, and AK4 from Run 3 on) is the sum of its candidates p_i, each times its ``puppiWeight`` w_i; a CHS jet
(AK4 in Run 2) is the bare sum. The file does not say which. That of the two is taken which comes closer to the raw pt
of the first jets. A jet without any link, as those below the pt threshold of their links, has no constituents.
"""

from collections.abc import Callable
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events.kinematics import sum_four_vectors
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples.readers.branches import Branches, Collection, Probes, probes, read, row_damage
from hepad.samples.readers.jagged import flat, rows_of

# link of a jet, index of its candidate, candidates
DIALECTS = (("{}PFCands", "pFCandsIdx", "PFCands"), ("{}PFCand", "pfCandIdx", "PFCand"))
DIALECTS += (("JetPFCands{cone}", "candIdx", "JetPFCands"), ("JetPFCands{cone}", "pFCandsIdx", "PFCands"))
CONES = {"Jet": "AK4", "FatJet": "AK8", "FatJetAK15": "AK15"}
LOOK = 200  # entries from which it is learnt whether a jet is the sum of weighted candidates


class Links(NamedTuple):
    """Branches: indices of the jet and of the candidate of each link; candidates; their weight, '' for none."""

    jet: str
    candidate: str
    candidates: Collection
    weight: str

    @property
    def branches(self) -> tuple[str, ...]:
        return (self.jet, self.candidate, *self.candidates.branches, *filter(None, [self.weight]))


def find_links(branches: dict[str, str], vectors: Callable, jet: str) -> Links | None:
    """The links of a collection of jets; ``branches``: the file's, by name; ``vectors``: those of a collection."""
    for table, index, candidates in DIALECTS:
        if "cone" in table and jet not in CONES:
            continue
        table = table.format(jet, cone=CONES.get(jet))
        names, columns = (f"{table}_jetIdx", f"{table}_{index}"), vectors(candidates, branches)
        if columns and branches.keys() >= set(names):
            return Links(*(branches[name] for name in names), columns, branches.get(f"{candidates}_puppiWeight", ""))
    return None


def choose_weight(path, tree, links: Links, jet: Collection, factor: str, puppi: bool | None) -> tuple[Links, str]:
    """The links, weighted or not, and a remark; ``puppi`` None: as comes closer to the jets."""
    if puppi and not links.weight:
        raise InputError(f"{path}: there is no 'puppiWeight' of the candidates. Leave 'puppi' out.")
    bare = links._replace(weight="")
    gaps = {x: _mismatch(path, tree, x, jet, factor) for x in (links, bare)}
    if puppi is not None:
        links = links if puppi else bare
    elif gaps[bare] < gaps[links]:
        links = bare
    form = f"weighted by {links.weight}" if links.weight else "without weights"
    return (
        links,
        f"constituents: {links.candidates.pt} by {links.jet}, {form}; they sum to the jet within {gaps[links]:.2%}.",
    )


def probe_jets(rows: Probes, jet: Collection, factor: str, columns: dict[str, ak.Array]) -> np.ndarray:
    """(R, 4) float32 four-vectors of the probe jets: raw if the branch ``factor`` (rawFactor) is given."""
    p = np.stack([rows.of(columns[name]) for name in jet.branches], axis=-1).astype(np.float32)
    if factor:
        p[:, [0, 3]] *= 1 - rows.of(columns[factor])[:, None].astype(np.float32)
    p[:, 3] = np.maximum(p[:, 3], 0)
    return p


def constituents(branches: Branches, links: Links, jet: str, rows: Probes) -> tuple[np.ndarray, dict, np.ndarray]:
    """(R, P, 4) of the linked candidates, the rows (R,) with a value that cannot be, by branch, and the number (R,) of
    candidates that found no room."""
    index, place = branches.collection(links[:2], integers=links[:2]).values()
    columns = branches.collection(links.branches[2:])
    jets, candidates, n = branches.jagged(jet), columns[links.candidates.pt], len(rows.entry)
    entry, index, place = rows_of(index), _signed(flat(index)), _signed(flat(place))
    for name, values, table in ((links.jet, index, jets), (links.candidate, place, candidates)):
        if ((values < -1) | (values >= _counts(table)[entry])).any():
            raise InputError(
                f"{branches.path}: '{name}' points beyond its collection. The file is damaged: fetch it again."
            )
    row_of_jet = np.full(len(flat(jets)) + 1, -1)  # the last one for links to no jet
    row_of_jet[rows.number(jets)] = np.arange(n)
    row = row_of_jet[np.where(index >= 0, _begins(jets)[entry] + index, -1)]
    linked = row >= 0
    row, place, entry = row[linked], place[linked], entry[linked]
    damaged = {links.candidate: np.bincount(row[place < 0], minlength=n) > 0}
    row, place = row[place >= 0], (_begins(candidates)[entry] + place)[place >= 0]
    values = {name: flat(x)[place] for name, x in columns.items()}
    for name, x in values.items():
        damaged[name] = row_damage(x, row, n, positive=name in (links.candidates.pt, links.weight))
    p = np.stack([values[name] for name in links.candidates.branches], axis=-1)
    if links.weight:
        p[:, [0, 3]] *= values[links.weight][:, None]
    row, p = row[p[:, 0] > 0], p[p[:, 0] > 0]  # candidates of weight 0 are no part of the jet
    p[:, 3] = np.maximum(p[:, 3], 0)
    width = WIDTHS["constituents"]
    return pad(row, p, n, width), damaged, beyond(row, n, width)


def _signed(index: np.ndarray) -> np.ndarray:
    """int64 indices; the largest number of an unsigned kind stands for -1, no object."""
    none = index.dtype.kind == "u" and index == np.iinfo(index.dtype).max
    return np.where(none, -1, index.astype(np.int64))


def _counts(values) -> np.ndarray:
    return ak.to_numpy(ak.num(values, axis=1))


def _begins(values) -> np.ndarray:
    """(N,) place of the first object of each entry of (N, *) among all objects."""
    return np.cumsum(_counts(values)) - _counts(values)


def _mismatch(path, tree, links: Links, jet: Collection, factor: str) -> float:
    """Median relative difference of the raw pt of the first jets and the pt of the sum of their constituents."""
    names = (*jet.branches, *filter(None, [factor]))
    for _, branches in read(path, tree, (*names, *links.branches), LOOK, LOOK):
        columns = branches.collection(names)
        rows = probes(columns[jet.pt], 1, absent=False)
        pt = probe_jets(rows, jet, factor, columns)[:, 0]
        with np.errstate(all="ignore"):
            differences = np.abs(sum_four_vectors(constituents(branches, links, jet.pt, rows)[0])[:, 0] / pt - 1)
        return float(np.median(differences[np.isfinite(differences)])) if np.isfinite(differences).any() else 0.0
    return 0.0
