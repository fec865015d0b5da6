"""Efficiencies of one sample: how much of it passes a threshold, and how well that is known.

An event passes the threshold t if its score s > t. With weights w, the efficiency and its effective sample size are

    ε(t) = Σ_{s_i > t} w_i / Σ w_i,     n_eff = (Σ w_i)² / Σ w_i²   (= n for unit weights)

and its Clopper-Pearson interval at level 1 - α, from k = ε n_eff passing of n = n_eff (C. Clopper, E. Pearson 1934):

    low  = BetaQuantile(α/2;     k,     n - k + 1),  0 if k = 0
    high = BetaQuantile(1 - α/2; k + 1, n - k),      1 if k = n
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv  # not scipy.stats.beta: importing that takes a second in every job

from hepad.errors import InputError

LEVEL = 0.683
MIN_COUNT = 10  # fewer background events above a threshold do not fix it
ROUNDING = 1e-12  # so that an efficiency of 0.29 on 100 events means 29 events


class Efficiency(NamedTuple):
    """``value`` with its interval [low, high]; ``passed`` of ``total`` events, unweighted counts."""

    value: float
    low: float
    high: float
    passed: int
    total: int


def clopper_pearson(k, n, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Central confidence interval of a binomial probability.

    Parameters
    ----------
    k, n: passing and all events, 0 <= k <= n, any shape; real numbers stand for effective counts of weighted events
    level: confidence level in (0, 1)

    Returns
    -------
    low, high, of the broadcast shape of k and n, within [0, 1]; (0, 1) where n = 0
    """
    k, n = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float))
    if not np.all((k >= -1e-9) & (k <= n * (1 + 1e-9))):
        raise InputError("interval: the number passing must lie between 0 and the number of events. Check the counts.")
    if not 0 < level < 1:
        raise InputError(f"interval: the level {level} must lie between 0 and 1.")
    alpha = 1 - level
    none, every = k <= ROUNDING * n, k >= n * (1 - ROUNDING)
    # where a quantile is undefined its value is not used, and harmless arguments stand in
    low = betaincinv(np.where(none, 1, k), np.where(every, 0, n - k) + 1, alpha / 2)
    high = betaincinv(np.where(none, 0, k) + 1, np.where(every, 1, n - k), 1 - alpha / 2)
    return np.where(none, 0.0, low), np.where(every, 1.0, high)


class Tail(NamedTuple):
    """A sample ordered by score; made by :func:`tail`.

    Attributes
    ----------
    scores: (n,), rising
    w, w2: (n+1,), Σ w and Σ w² of the events from each index upwards; the last is 0
    """

    scores: np.ndarray
    w: np.ndarray
    w2: np.ndarray

    @property
    def n_eff(self) -> float:
        """Effective number of events."""
        return float(self.w[0] ** 2 / self.w2[0])

    def count(self, threshold) -> np.ndarray:
        """Number of events that pass each threshold."""
        return len(self.scores) - np.searchsorted(self.scores, threshold, side="right")

    def intervals(self, threshold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ε, low and high at each threshold."""
        eps = self.w[np.searchsorted(self.scores, threshold, side="right")] / self.w[0]
        return eps, *clopper_pearson(eps * self.n_eff, self.n_eff)

    def efficiency(self, threshold: float) -> Efficiency:
        """The efficiency at one threshold."""
        value, low, high = (float(x) for x in self.intervals(threshold))
        return Efficiency(value, low, high, int(self.count(threshold)), len(self.scores))

    def resolved(self, threshold: float) -> bool:
        """Whether at least MIN_COUNT events pass; weighted events count by their effective number."""
        index = np.searchsorted(self.scores, threshold, side="right")
        return bool(self.w[index] > 0 and self.w[index] ** 2 >= MIN_COUNT * self.w2[index] * (1 - ROUNDING))

    def at_most(self, eps) -> np.ndarray:
        """The smallest threshold that at most the fraction ``eps`` passes, for each eps in (0, 1]."""
        # the events from index ``first`` upwards fit the budget; the score just below them is the smallest threshold
        first = len(self.w) - np.searchsorted(self.w[::-1], eps * self.w[0] * (1 + ROUNDING), side="right")
        return np.where(first == 0, np.nextafter(self.scores[0], -np.inf), self.scores[first - 1])

    def at_least(self, eps) -> np.ndarray:
        """The largest threshold that at least the fraction ``eps`` passes, for each eps in (0, 1]."""
        last = len(self.scores) - np.searchsorted(self.w[::-1], eps * self.w[0] * (1 - ROUNDING), side="left")
        return np.nextafter(self.scores[last], -np.inf)

    def placements(self, scores) -> np.ndarray:
        """Fraction of this sample below each of ``scores``, ties counted half."""
        from_here = self.w[np.searchsorted(self.scores, scores, side="left")]
        above = self.w[np.searchsorted(self.scores, scores, side="right")]
        return 1 - (from_here + above) / (2 * self.w[0])

    def mean(self, values) -> tuple[float, float]:
        """Weighted mean of ``values`` (n,), given in the order of ``scores``, and the variance of that mean."""
        share = -np.diff(self.w) / self.w[0]
        mean = share @ values
        return float(mean), float(share**2 @ (values - mean) ** 2 / (1 - 1 / self.n_eff))


def tail(name: str, scores, weights=None) -> Tail:
    """Order a sample by score.

    Parameters
    ----------
    name: 'background' or 'signal', for the message of the InputError that bad input raises
    scores: (n,), n > 0, finite
    weights: (n,), finite and not negative; None for unit weights
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 1 or scores.size == 0:
        what = "is empty" if scores.size == 0 else f"has shape {scores.shape}, not (n,)"
        raise InputError(f"evaluation: the {name} sample {what}. Check its selection and its split.")
    if bad := np.count_nonzero(~np.isfinite(scores)):
        raise InputError(
            f"evaluation: {bad} of {len(scores)} {name} scores are NaN or infinite. "
            "The detector has diverged or its input is damaged: train it with a smaller rate, or check the events."
        )
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    if weights.shape != scores.shape or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise InputError(
            f"evaluation: {name} weights must be one finite number >= 0 per event, not all zero. "
            "Negative generator weights have no binomial efficiency: evaluate without weights."
        )
    w = weights[np.argsort(scores, kind="stable")]
    return Tail(np.sort(scores), *(np.append(np.cumsum(x[::-1])[::-1], 0.0) for x in (w, w**2)))
