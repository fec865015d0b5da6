"""Rows that are not independent: the jets of one event, the crossings of a trigger that share a hard collision.

What is independent are the clusters c of such rows (:attr:`hepad.events.Events.cluster`). Variances are sums over them
in place of the sums over rows of :mod:`hepad.evaluation.score_distribution`. With A_c = Σ_{i in c, s_i > t} w_i y_i
and W_c = Σ_{i in c} w_i

    Σ w² y² -> Σ_c A_c²,      Σ w² y -> Σ_c A_c W_c,      Σ w² -> Σ_c W_c²

They are sums over rows all the same: going down in score, row i adds (w y)_i² + 2 (w y)_i a_i to Σ A_c², a_i the sum of
w y of its cluster above it, and (w y)_i W_c to Σ A_c W_c. The number of independent rows above a threshold is
(Σ_c A_c)² / Σ_c A_c²: crossings of which m_c share a collision count for (Σ m)² / Σ m².
"""

from typing import NamedTuple

import numpy as np


class Shared(NamedTuple):
    """Rows of clusters of several: number of the cluster, score, weight, each (r,), and what each adds to Σ A_c².

    ``times``: how many rows there are of each that is kept, by Σ w².
    """

    cluster: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    squares: np.ndarray
    times: float = 1.0


class Clusters:
    """Clusters of rows that are not independent, and sums over clusters as sums over rows.

    Parameters
    ----------
    cluster: (n,) integers, or None
    scores: (n,)
    """

    def __init__(self, cluster, scores):
        self.rows = np.zeros(0, np.int64)  # rows that share a cluster, cluster by cluster, by falling score
        if cluster is not None and len(scores):
            _, number, count = np.unique(cluster, return_inverse=True, return_counts=True)
            several = np.flatnonzero(count[number] > 1)
            self.rows = several[np.lexsort((-np.asarray(scores)[several], number[several]))]
            _, self.number = np.unique(number[self.rows], return_inverse=True)
            self.first = np.searchsorted(self.number, self.number)  # where the cluster of each row begins

    def above(self, x) -> np.ndarray:
        """(n,), of each row Σ x of the rows of its cluster above it."""
        sums = np.zeros(len(x))
        if len(self.rows):
            before = np.cumsum(x[self.rows]) - x[self.rows]
            sums[self.rows] = before - before[self.first]
        return sums

    def total(self, x) -> np.ndarray:
        """(n,), of each row Σ x of its cluster."""
        sums = np.array(x, float)
        if len(self.rows):
            sums[self.rows] = np.bincount(self.number, x[self.rows])[self.number]
        return sums

    def products(self, x, y) -> np.ndarray:
        """(n,), what each row adds to Σ_c X_c Y_c, the sums of x and y (n,) of its cluster above a threshold."""
        if not len(self.rows):
            return x * y
        return x * y + x * self.above(y) + y * self.above(x)

    def shared(self, scores, weights) -> Shared | None:
        """The rows that share a cluster with others."""
        if not len(self.rows):
            return None
        added = self.products(weights, weights)
        return Shared(self.number, scores[self.rows], weights[self.rows], added[self.rows])


def ends(cluster: np.ndarray) -> np.ndarray:
    """Rising numbers of rows, the last of them all, after which a table can be cut without dividing a cluster (n,)."""
    _, number = np.unique(cluster, return_inverse=True)
    last = np.zeros(number.max(initial=-1) + 1, np.int64)
    last[number] = np.arange(len(number))
    return 1 + np.flatnonzero(np.maximum.accumulate(last[number]) == np.arange(len(number)))
