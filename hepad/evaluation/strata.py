r"""What a rate is compared with: the share of a reference that passes, with weights, at the same pile-up.

A rate follows the pile-up, which falls in the course of a fill; that is no fault. The reference is therefore divided at
quantiles of its pile-up into strata b, neighbours joined until 10 independent events of each pass, and each has its own
share p_b. It is known as well as a binomial experiment of K_b of N_b events, K_b = k_eff and N_b = n_eff of its weights
and clusters (:mod:`hepad.evaluation.score_distribution`).

Clusters that lie in several strata make their p_b err together. With S_b = Σ_{i in b} w_i y_i and the residuals
R_cb = Σ_{i in c, b} w_i (y_i - p_b) the sum over strata has the variance Σ_c (Σ_b R_cb)² in place of Σ_c Σ_b R_cb²: all
p_b have a factor in common, of mean 1 and of the variance

    v = [Σ_c (Σ_b R_cb)² - Σ_c Σ_b R_cb²] / [(Σ_b S_b)² - Σ_b S_b²],    0 if less

Events beyond 99 % of the reference's pile-up are compared with nothing.

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
    reference: K_b and N_b, (B,) each, and v
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
        k, n, _ = self.reference
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
    >>> share = found.reference.passed / found.reference.events
    >>> found.p_flat < 1e-9, bool(share[-1] > 4 * share[0])
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
    reference = Reference(k, n, _shared(events, place, share, events.score > threshold))
    return Strata(edges, reference, weight / weight.sum())


def _place(edges: np.ndarray, pileup: np.ndarray) -> np.ndarray:
    found = np.searchsorted(edges[1:-1], pileup, side="right")
    return np.where((pileup >= edges[0]) & (pileup <= edges[-1]), found, -1)


def _shared(events: Weighted, place: np.ndarray, share: np.ndarray, passes: np.ndarray) -> float:
    """v, of events in the strata ``place`` (N,)."""
    residual, passed = events.weight * (passes - share[place]), np.bincount(place, events.weight * passes)
    _, cluster = np.unique(events.cluster, return_inverse=True)
    of_cluster = np.bincount(cluster, residual)
    _, pair = np.unique(cluster * len(share) + place, return_inverse=True)
    of_pair = np.bincount(pair, residual)
    between = passed.sum() ** 2 - passed @ passed
    return float(max(0.0, (of_cluster @ of_cluster - of_pair @ of_pair) / between)) if between > 0 else 0.0
