"""How well a background sample fixes a threshold, and what that means for the efficiency of a signal.

A budget asks for the background efficiency ε_B, and so for the threshold t* whose true efficiency it is. Of the n
background events, K ~ Binomial(n, ε_B) lie above t*, whatever the distribution of the scores. With the scores in
falling order b_(1) > b_(2) > ... and b_(0) = ∞,

    K = j   <=>   b_(j+1) <= t* < b_(j)

so that t* is in [b_(h+1), b_(l)] at level 1 - α, l and h the quantiles α/2 and 1 - α/2 of K. Of the n_S signal events
at least m_j = #(s > b_(j)) and at most M_j = #(s > b_(j+1)) then lie above t*. The interval of ε_S at t* is that of
Clopper and Pearson, whose equations are averaged over K:

    Σ_j P(K = j) I_low(m_j, n_S - m_j + 1) = α/2,       Σ_j P(K = j) [1 - I_high(M_j + 1, n_S - M_j)] = α/2

I the regularised incomplete beta function. For n -> ∞ it is their own interval, for n_S -> ∞ the ends are ε_S at the
ends of the threshold's. The sum is taken over ``STEPS`` quantiles of K.

With weights the background counts by n_eff (:mod:`hepad.efficiency`) at the threshold found for ε_B, K is spread evenly
over a unit, and k_eff and n_eff stand for the signal's counts.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, betaincc

from hepad.efficiency import LEVEL, Tail, clopper_pearson

STEPS = 100


def above_truth(background: Tail, eps_b: float, q) -> np.ndarray:
    """Quantiles ``q`` of K / n: the share of the sample above the threshold of true efficiency ``eps_b`` in (0, 1]."""
    q = np.asarray(q, float)
    if eps_b >= 1:
        return np.ones(q.shape)
    n = float(background.effective(background.at_most(eps_b))[2])
    mean, width = n * eps_b, 8 * np.sqrt(n * eps_b * (1 - eps_b)) + 12
    k = np.arange(max(np.floor(mean - width), 0), min(np.ceil(mean + width), np.ceil(n)) + 1)
    cdf = np.where(k < n, betaincc(k + 1, np.maximum(n - k, 1e-9), eps_b), 1.0)
    if background.plain:
        return k[np.minimum(np.searchsorted(cdf, q), len(k) - 1)] / n
    return np.maximum(np.interp(q, np.append(0, cdf), np.append(k[0] - 1, k)) + 0.5, 0) / n


def efficiency_at_truth(background: Tail, eps_b: float, signal: Tail) -> tuple[float, float]:
    """Interval of the signal's efficiency at the threshold whose true background efficiency is ``eps_b``."""
    share = above_truth(background, eps_b, (np.arange(STEPS) + 0.5) / STEPS)
    ends = []
    for upper, threshold in ((False, background.reaching(share)), (True, background.at_most(share))):
        _, k, n = signal.effective(threshold)
        lost = np.isnan(k)
        ends.append(_end(np.where(lost, 0, k), np.where(lost, 1, n), upper))
    return ends[0], ends[1]


def _end(k: np.ndarray, n: np.ndarray, upper: bool) -> float:
    """The lower or upper end that solves Clopper and Pearson's equation, averaged over the pairs (k, n)."""
    (k, n), times = np.unique(np.stack([k, n]), axis=1, return_counts=True)
    ends = clopper_pearson(k, n)[upper]
    first, last = float(ends.min()), float(ends.max())
    share = times / times.sum()

    def excess(p: float) -> float:
        if upper:
            tails = np.where(k < n, betaincc(k + 1, np.maximum(n - k, 1e-9), p), 1.0)
        else:
            tails = np.where(k > 0, betainc(np.maximum(k, 1e-9), n - k + 1, p), 1.0)
        return float(share @ tails) - (1 - LEVEL) / 2

    if excess(first) * excess(last) < 0:
        return float(brentq(excess, first, last, xtol=1e-12, rtol=1e-6))
    # the share that has nothing (or all) of the signal above exceeds α/2, or all pairs have one end
    return first if abs(excess(first)) <= abs(excess(last)) else last
