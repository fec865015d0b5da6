"""Substructure from reclustering: soft drop, Lund-plane multiplicity, N-subjettiness.

The jet is clustered with C/A and undone step by step, always following the branch of larger pT. Splitting k of
that branch, a -> b c, has

    Δ = ΔR(b, c) in (y, φ),   z = min(pT_b, pT_c) / (pT_b + pT_c),   kT = min(pT_b, pT_c) Δ,   m = mass of a

Soft drop (Larkoski, Marzani, Soyez, Thaler, arXiv:1402.2657) keeps the first a with z > z_cut (Δ / R0)^β.
The Lund multiplicity counts the splittings of the branch above a kT (Dreyer, Salam, Soyez, arXiv:1807.04758).

N-subjettiness (Thaler, Van Tilburg, arXiv:1011.2268, 1108.2701) with axes 1 ... N,

    τ_N = Σ_i pT_i min(ΔR_1i, ..., ΔR_Ni)^β / (Σ_i pT_i R0^β)

Jets are those of :class:`hepad.representations.substructure.Jets`, with at least one constituent each.
"""

from typing import NamedTuple

import awkward as ak
import fastjet
import numpy as np
from fastjet import _swig

from hepad.events.kinematics import delta_phi
from hepad.representations.substructure import Jets, rapidity

# FastJet (arXiv:1111.6097) would introduce itself in every job
_swig.ClusterSequence.set_fastjet_banner_stream(None)

# fastjet's largest radius: every row becomes one jet, whatever its size
RADIUS = fastjet.JetDefinition.max_allowable_R
CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, RADIUS)
KT_WINNER_TAKES_ALL = fastjet.JetDefinition(fastjet.kt_algorithm, RADIUS, fastjet.WTA_pt_scheme)
LEAF, PAST_END = -1, -2


class Tree(NamedTuple):
    """Clustering trees in post-order: a node stands behind its subtree, the root last.

    Attributes
    ----------
    nodes: (N, L, 4) float64; (pt, y, phi, mass)
    left: (N, L) int; position of the left child, or ``LEAF``, or ``PAST_END``; the right child is at the position - 1
    time: (N, L) int; order in which the nodes were made
    """

    nodes: np.ndarray
    left: np.ndarray
    time: np.ndarray

    @property
    def root(self) -> np.ndarray:
        """(N,) position of the root."""
        return (self.left > PAST_END).sum(axis=1) - 1


class Branch(NamedTuple):
    """Splittings of the primary branch, each (N, D) float64, first splitting first.

    Past the last splitting z = Δ = kT = 0 and ``mass`` is the mass of the constituent that the branch ends in.
    """

    mass: np.ndarray
    z: np.ndarray
    delta: np.ndarray
    kt: np.ndarray


class Groomed(NamedTuple):
    """Groomed mass [GeV], splitting angle R_g [rad] and momentum sharing z_g, each (N,) float64."""

    mass: np.ndarray
    angle: np.ndarray
    sharing: np.ndarray


def cluster(jets: Jets, definition: fastjet.JetDefinition) -> Tree:
    """Cluster the constituents of every jet into one and return its tree.

    fastjet's unique history order is the post-order. With h = (leaves - joins) up to a position, the left child of
    a node is the last earlier position of the same h.
    """
    sequence = fastjet.ClusterSequence(_jagged(jets), definition)
    made, history = sequence.jets(), sequence.unique_history_order()
    count = 2 * jets.count - 1
    present = np.arange(count.max()) < count[:, None]
    # a history ends in the jet's recombination with the beam, which makes no node
    time = np.zeros(present.shape, dtype=np.int64)
    time[present] = ak.to_numpy(ak.flatten(history[ak.local_index(history) < count]))
    order = ((np.cumsum(count) - count)[:, None] + time)[present]
    nodes = np.zeros((*present.shape, 4))
    nodes[present] = _of_nodes(*(ak.to_numpy(ak.flatten(made[name])) for name in ("px", "py", "pz", "E")))[order]
    leaf = time < (count[:, None] + 1) // 2
    height = np.where(present, np.cumsum(np.where(leaf, 1, -1), axis=1), present.shape[1])
    by_height = np.argsort(height.astype(np.int16), axis=1, kind="stable")
    left = np.full(present.shape, LEAF)
    np.put_along_axis(left, by_height[:, 1:], by_height[:, :-1], axis=1)
    return Tree(nodes, np.where(present, np.where(leaf, LEAF, left), PAST_END), time)


def primary_branch(tree: Tree) -> Branch:
    """Undo a C/A clustering along the branch of larger pT."""
    pt, y, phi, mass = np.moveaxis(tree.nodes, -1, 0)
    row, node = np.arange(len(pt)), tree.root
    steps = []
    while True:
        left = tree.left[row, node]
        splits = left > LEAF
        b, c = np.where(splits, left, node), np.where(splits, node - 1, node)
        pt_b, pt_c = pt[row, b], pt[row, c]
        delta = np.hypot(y[row, b] - y[row, c], delta_phi(phi[row, b], phi[row, c]))
        softer = np.minimum(pt_b, pt_c) * splits
        steps.append((mass[row, node], softer / (pt_b + pt_c), delta, softer * delta))
        if not splits.any():
            return Branch(*(np.stack(column, axis=1) for column in zip(*steps, strict=True)))
        node = np.where(pt_b > pt_c, b, c)


def soft_drop(branch: Branch, z_cut: float = 0.1, beta: float = 0.0, radius: float = 0.8) -> Groomed:
    """Soft drop; where no splitting passes, one constituent is left: its mass, R_g = 0 and z_g = 0."""
    passes = branch.z > z_cut * (branch.delta / radius) ** beta
    k = np.where(passes.any(axis=1), passes.argmax(axis=1), branch.z.shape[1] - 1)
    row = np.arange(len(k))
    return Groomed(branch.mass[row, k], branch.delta[row, k], branch.z[row, k])


def lund_multiplicity(branch: Branch, kt_min: float = 1.0) -> np.ndarray:
    """(N,) number of primary splittings with kT > ``kt_min`` [GeV]."""
    return (branch.kt > kt_min).sum(axis=1).astype(np.float64)


def n_subjettiness(jets: Jets, up_to: int = 3, beta: float = 1.0, radius: float = 0.8) -> np.ndarray:
    """τ_1 ... τ_N, (N = ``up_to``, jets) float64; τ_N = 0 for a jet of N constituents or fewer.

    The axes are those of exclusive kT with winner-take-all recombination, which recoil does not move; they are
    not minimised further.
    """
    tree = cluster(jets, KT_WINNER_TAKES_ALL)
    row = np.arange(len(jets))

    def distance(axis: np.ndarray) -> np.ndarray:
        _, y, phi, _ = tree.nodes[row, axis].T
        return (jets.y - jets.each(y)) ** 2 + delta_phi(jets.phi, jets.each(phi)) ** 2

    subjets = tree.root[:, None]
    nearest = distance(subjets[:, 0])
    tau = [jets.total(jets.z * nearest ** (beta / 2))]
    for _ in range(1, up_to):
        # the last join is undone; the winner's direction stays an axis, so only the loser's is new
        splits = tree.left[row[:, None], subjets] > LEAF
        place = np.where(splits, tree.time[row[:, None], subjets], -1).argmax(axis=1)
        last = subjets[row, place]
        left = np.where(splits[row, place], tree.left[row, last], last)
        right = np.where(splits[row, place], last - 1, last)
        subjets[row, place] = left
        subjets = np.column_stack([subjets, right])
        nearest = np.minimum(nearest, np.minimum(distance(left), distance(right)))
        tau.append(jets.total(jets.z * nearest ** (beta / 2)))
    exact = jets.count <= np.arange(1, up_to + 1)[:, None]
    return np.where(exact, 0.0, np.stack(tau) / radius**beta)


def _of_nodes(px: np.ndarray, py: np.ndarray, pz: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """(K, 4) of (pt, y, phi, mass); a space-like momentum, as rounding makes them of massless ones, has mass 0."""
    squared = px**2 + py**2
    mass_squared = np.maximum((energy - pz) * (energy + pz) - squared, 0)
    y = rapidity(pz, energy, np.sqrt(squared + mass_squared))
    return np.stack([np.sqrt(squared), y, np.arctan2(py, px), np.sqrt(mass_squared)], axis=-1)


def _jagged(jets: Jets) -> ak.Array:
    fields = [ak.contents.NumpyArray(np.ascontiguousarray(column)) for column in jets.cartesian.T]
    record = ak.contents.RecordArray(fields, ["px", "py", "pz", "E"], parameters={"__record__": "Momentum4D"})
    offsets = np.concatenate([[0], np.cumsum(jets.count)])
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))
