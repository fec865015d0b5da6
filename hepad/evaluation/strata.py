r"""What a rate is compared with: the share of a reference that passes, with weights, at the same pile-up.

A rate follows the pile-up, which falls in the course of a fill; that is no fault. The reference is therefore divided at
quantiles of its pile-up into strata b, neighbours joined until 10 independent events of each pass, and each has its own
share p_b. It is known as well as a binomial experiment of K_b of N_b events, K_b = k_eff and N_b = n_eff of its weights
and clusters (:mod:`hepad.evaluation.score_distribution`), so that after it (H. Jeffreys)

    p_b ~ Beta(K_b + 1/2, N_b - K_b + 1/2)

Clusters that lie in several strata make their p_b err together. With the residuals R_cb = Σ_{i in c, b} w_i (y_i - p_b)
the sum over strata has the variance Σ_c (Σ_b R_cb)² in place of Σ_c Σ_b R_cb²; all K_b and N_b are divided by what the
former is larger. Events beyond 99 % of the reference's pile-up are compared with nothing.

Whether the rate follows the pile-up at all is Pearson's χ² of equal shares, Σ_b (K_b - N_b ε)² / (N_b ε (1 - ε)) with
ε = Σ K_b / Σ N_b.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from hepad.evaluation.drift import Reference
from hepad.evaluation.streaming import distribution

MOST = 20  # strata
BEYOND = 0.005  # of the reference on either side


class Weighted(NamedTuple):
    """N events: scores, weights of any sign, clusters of those that are not independent, and pile-up, (N,) each."""

    score: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray
    pileup: np.ndarray

    def take(self, rows: np.ndarray) -> "Weighted":
        """The events of a mask."""
        return Weighted(*(values[rows] for values in self))


class Strata(NamedTuple):
    """Of a reference.

    Attributes
    ----------
    edges: (B + 1,) rising, of pile-up: stratum b is edges[b] <= u < edges[b + 1], the last one with its upper edge
    reference: K_b and N_b, (B,) each
    weight: (B,) share of the reference's weight
    """

    edges: np.ndarray
    reference: Reference
    weight: np.ndarray

    def place(self, pileup: np.ndarray) -> np.ndarray:
        """(N,) stratum of each event; -1 of those beyond."""
        return _place(self.edges, pileup)

    @property
    def p_flat(self) -> float:
        """The p-value of χ² that the rate is the same at every pile-up; 1 of a single stratum."""
        k, n = self.reference
        if len(k) == 1:
            return 1.0
        share = k.sum() / n.sum()
        return float(chdtrc(len(k) - 1, ((k - n * share) ** 2 / (n * share * (1 - share))).sum()))


def strata(events: Weighted, threshold: float) -> Strata:
    """Divide a reference by its pile-up; by a ``pileup`` that is the same in all events it is not divided.

    Raises
    ------
    InputError: weights that sum to nothing or less, of all or in a stratum

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pileup = rng.uniform(20, 60, 20_000)
    >>> score = rng.uniform(size=20_000) + pileup / 1000
    >>> found = strata(Weighted(score, np.ones(20_000), np.arange(20_000), pileup), 1.02)
    >>> found.p_flat < 1e-9, bool((np.diff(found.reference.passed / found.reference.events) > 0).all())
    (True, True)
    """
    quantiles = np.quantile(events.pileup, np.linspace(BEYOND, 1 - BEYOND, MOST + 1))
    edges = np.unique(quantiles)
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    place = _place(edges, events.pileup)
    inside = place >= 0
    events, place = events.take(inside), place[inside]
    ends, first = [], 0
    for last in range(len(edges) - 1):
        here = distribution("reference", *events.take((first <= place) & (place <= last))[:3])
        if here.resolved(threshold):
            ends.append(last + 1)
            first = last + 1
    ends[-1:] = [len(edges) - 1]  # what is left belongs to the last one
    edges = edges[[0, *ends]]
    place = _place(edges, events.pileup)
    weight = np.bincount(place, events.weight)
    of = [distribution("reference", *events.take(place == b)[:3]).effective(threshold) for b in range(len(ends))]
    share, k, n = (np.array(values, float) for values in zip(*of, strict=True))
    factor = _together(events, place, events.weight * ((events.score > threshold) - share[place]))
    return Strata(edges, Reference(k / factor, n / factor), weight / weight.sum())


def _place(edges: np.ndarray, pileup: np.ndarray) -> np.ndarray:
    found = np.searchsorted(edges[1:-1], pileup, side="right")
    return np.where((pileup >= edges[0]) & (pileup <= edges[-1]), found, -1)


def _together(events: Weighted, place: np.ndarray, residual: np.ndarray) -> float:
    """How much larger the variance of the sum over strata is than the sum of their variances, at least 1."""
    _, cluster = np.unique(events.cluster, return_inverse=True)
    of_cluster = np.bincount(cluster, residual)
    _, pair = np.unique(cluster * (place.max() + 1) + place, return_inverse=True)
    of_pair = np.bincount(pair, residual)
    return float(max(1.0, (of_cluster @ of_cluster) / max(of_pair @ of_pair, np.finfo(float).tiny)))
