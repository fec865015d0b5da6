"""How well one sample fixes a threshold, and what that means for the efficiency of another.

A budget asks for the background efficiency ε_B, and so for the threshold t* whose true efficiency it is; 1/ε_B at a
given ε_S is the same question with background and signal exchanged. Of the n background events, K ~ Binomial(n, ε_B)
lie above t*, whatever the distribution of the scores. With the scores in falling order b_(1) > b_(2) > ... and
b_(0) = ∞,

    K = j   <=>   b_(j+1) <= t* < b_(j)

so that t* is in [b_(h+1), b_(l)] at level 1 - α, l and h the quantiles α/2 and 1 - α/2 of K. Given K = j, t* is in the
gap between two scores (of a tie, that on the nearer side); m_j signal events lie above its middle. The interval of ε_S
at t* is that of Clopper and Pearson, whose equations are averaged over K:

    Σ_j P(K = j) I_low(m_j, n_S - m_j + 1) = α/2,       Σ_j P(K = j) [1 - I_high(m_j + 1, n_S - m_j)] = α/2

I the regularised incomplete beta function. For n -> ∞ it is their own interval, for n_S -> ∞ the ends are ε_S at the
ends of the threshold's. The sum is taken over ``STEPS`` quantiles of K, and the equations are solved to ``PRECISION``
of the interval that the ends of single K span.

With weights the background counts by n_eff (:mod:`hepad.evaluation.score_distribution`) at the threshold found for ε_B,
K is spread evenly over a unit, and k_eff and n_eff stand for the signal's counts.
"""

import numpy as np
from scipy.special import betainc, betaincc

from hepad.evaluation.efficiency import LEVEL, Efficiency, clopper_pearson
from hepad.evaluation.score_distribution import ScoreDistribution

STEPS = 60
PRECISION = 1e-4


def above_truth(reference: ScoreDistribution, eps: float, q) -> np.ndarray:
    """Quantiles ``q`` of K / n: the share of the sample above the threshold of true efficiency ``eps`` in (0, 1]."""
    q = np.asarray(q, float)
    if eps >= 1:
        return np.ones(q.shape)
    n = float(reference.effective(reference.at_most(eps))[2])
    mean, width = n * eps, 8 * np.sqrt(n * eps * (1 - eps)) + 12
    k = np.arange(max(np.floor(mean - width), 0), min(np.ceil(mean + width), np.ceil(n)) + 1)
    cdf = np.where(k < n, betaincc(k + 1, np.maximum(n - k, 1e-9), eps), 1.0)
    if reference.plain:
        return k[np.minimum(np.searchsorted(cdf, q), len(k) - 1)] / n
    return np.maximum(np.interp(q, np.append(0, cdf), np.append(k[0] - 1, k)) + 0.5, 0) / n


def at_truth(reference: ScoreDistribution, eps, counted: ScoreDistribution, threshold) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the efficiency of ``counted`` at the thresholds whose true efficiencies on ``reference`` are ``eps``.

    Parameters
    ----------
    reference: the sample that fixes the thresholds
    eps: (P,), each in (0, 1]
    counted: the sample whose efficiency is asked for
    threshold: (P,), the thresholds found; the efficiencies there are always inside

    Returns
    -------
    low, high: (P,), NaN where the passing weights sum to less than nothing
    """
    eps, threshold = np.atleast_1d(np.asarray(eps, float)), np.atleast_1d(np.asarray(threshold, float))
    share = np.stack([above_truth(reference, e, (np.arange(STEPS) + 0.5) / STEPS) for e in eps])
    size = reference.effective(reference.at_most(eps))[2][:, None]
    value, (_, k, n) = counted.effective(threshold)[0], counted.effective(reference.nearest(share, size))
    k, n = np.where(np.isnan(k), 0, k), np.where(np.isnan(n), 1, n)
    return np.minimum(_ends(k, n, False), value), np.maximum(_ends(k, n, True), value)


def efficiency_at_truth(
    reference: ScoreDistribution, eps: float, counted: ScoreDistribution, threshold: float
) -> Efficiency:
    """The efficiency of ``counted`` at ``threshold``, with the interval of :func:`at_truth`."""
    low, high = (float(x[0]) for x in at_truth(reference, [eps], counted, [threshold]))
    return counted.efficiency(threshold)._replace(low=low, high=high)


def _ends(k: np.ndarray, n: np.ndarray, upper: bool) -> np.ndarray:
    """(P,), lower or upper ends: solutions of Clopper and Pearson's equation, averaged over the pairs (k, n) (P, K)."""
    ends = clopper_pearson(k, n)[upper]
    first, last = ends.min(axis=1), ends.max(axis=1)
    rest = np.maximum(n - k, 1e-9)

    def excess(p: np.ndarray, rows: np.ndarray) -> np.ndarray:
        passed, total, others, p = k[rows], n[rows], rest[rows], p[:, None]
        if upper:
            tails = np.where(passed < total, betaincc(passed + 1, others, p), 1.0)
        else:
            tails = np.where(passed > 0, betainc(np.maximum(passed, 1e-9), total - passed + 1, p), 1.0)
        return tails.mean(axis=1) - (1 - LEVEL) / 2

    indices = np.arange(len(k))
    excess_first, excess_last = excess(first, indices), excess(last, indices)
    # if all of one sign, the share that has nothing (or all) of the sample above exceeds α/2, or all pairs have one end
    roots = np.where(np.abs(excess_first) <= np.abs(excess_last), first, last)
    rows = np.flatnonzero(excess_first * excess_last < 0)
    a, b, fa, fb = first[rows], last[rows], excess_first[rows], excess_last[rows]
    for _ in range(100):  # the Illinois form of the rule of false position; some ten times are enough
        if not len(rows):
            break
        c = (a * fb - b * fa) / (fb - fa)
        fc = excess(c, rows)
        kept = np.sign(fc) == np.sign(fb)
        a, fa = np.where(kept, a, b), np.where(kept, fa / 2, fb)
        b, fb = c, fc
        roots[rows] = c
        active = (np.abs(b - a) > PRECISION * (last - first)[rows]) & (np.abs(fc) > PRECISION / 10)
        rows, a, b, fa, fb = (x[active] for x in (rows, a, b, fa, fb))
    return roots
