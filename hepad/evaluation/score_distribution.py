"""Efficiencies of one sample: how much of it passes a threshold, and how well that is known.

An event passes the threshold t if its score s > t. It counts with its weight w and a fraction y in [0, 1]: 1, or how
often a prescaled trigger leaves it. The efficiency, its variance (linearised ratio) and the binomial experiment that
has both (E. Korn and B. Graubard 1998) are

    ε(t) = Σ_{s_i > t} w_i y_i / Σ w
    var ε = [ Σ_{s_i > t} w_i² y_i² - 2 ε Σ_{s_i > t} w_i² y_i + ε² Σ w² ] / (Σ w)²
    n_eff = ε (1 - ε) / var ε,    k_eff = ε n_eff          (n and k for unit weights and y of 0 and 1)

n_eff knows the weights of the events that pass, which are not those of the bulk: k_eff tends to (Σw)²/Σw² of the tail.
Where nothing or everything passes, var ε = 0 says nothing, and n_eff = Σ w / max |w|, the least that fits the weights.
Few weights do not know their own spread. Σ w² of what passes is known to Σ w⁴ / (Σ w²)², squared and relative, which is
1 / n for n equal weights, and more by

    x = Σ w⁴ / (Σ w²)² - Σ w² / (Σ w)² >= 0

for others: n_eff and k_eff are divided by 1 + FEW x. Student's factor, of 2 / x degrees of freedom, would be 1 + x / 2;
that simulated experiments ask for more, since the heaviest weights are not among few events, has set FEW.
Weights of both signs need no other formula. Then the Clopper-Pearson interval at level 1 - α (C. Clopper, E. Pearson
1934), with k = k_eff and n = n_eff:

    low  = BetaQuantile(α/2;     k,     n - k + 1),  0 if k = 0
    high = BetaQuantile(1 - α/2; k + 1, n - k),      1 if k = n

Where rows are not independent, sums of squares are sums over clusters of them: :mod:`hepad.evaluation.clusters`.

Events may stand in groups of neighbouring scores, [l_g, h_g], which do not overlap (:mod:`hepad.evaluation.streaming`);
an event of its own is a group with l = h. A group counts if l_g > t, and half if l_g <= t < h_g. A threshold that is
found for a sample, h_g of a group or just below an l_g, is in no group of it: what passes there is exact.
"""

from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.clusters import Shared
from hepad.evaluation.efficiency import MIN_COUNT, ROUNDING, Efficiency, interval

EXTREME = 1e70  # largest weight: the sum of fourth powers of larger ones is infinite

FEW = 1.5  # in front of x above

MANY = 3  # times as many events as independent ones are worth a remark


def binomial(n, w, w2, cross, whole: "Whole", plain: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ε, k_eff and n_eff of n rows that pass with Σ w y, Σ w² y² and Σ w² y, each of one shape; ``plain``: counted."""
    eps = np.minimum(w / whole.w, 1.0)
    eps = np.where(eps < -ROUNDING, np.nan, np.maximum(eps, 0.0))
    if plain:
        return eps, np.where(np.isnan(eps), np.nan, w), np.full(eps.shape, float(whole.n))
    spread = np.where((eps > ROUNDING) & (eps < 1 - ROUNDING), eps * (1 - eps), 0.0)
    # rows that were independent and of one weight could not have less; few clusters that are alike may seem to
    least = np.divide(spread**2 * whole.n, n * (whole.n - n), out=np.zeros(eps.shape), where=(n > 0) & (n < whole.n))
    variance = np.maximum((w2 - 2 * eps * cross + eps**2 * whole.w2) / whole.w**2, least)
    unknown = np.full(eps.shape, max(whole.w / whole.largest, 1.0))
    effective = np.divide(spread, variance, out=unknown, where=(spread > 0) & (variance > 0))
    return eps, eps * effective, effective


class Whole(NamedTuple):
    """A whole sample: the number of its rows, Σ w, Σ_c W_c² and max |W_c|."""

    n: int
    w: float
    w2: float
    largest: float


class ScoreDistribution(NamedTuple):
    """A sample ordered by score, event by event or in groups; made by :mod:`hepad.evaluation.streaming`.

    Attributes
    ----------
    lowest, scores: (m,), rising, the lowest and the highest score of each group; one array if all are single events
    n, w, w2, cross: (m+1,), events, Σ w y, Σ w² y² and Σ w² y, of clusters as above, from each index upwards; the last
        is 0; those that are equal are one array
    cuts, climb: (c,), indices at which a threshold can cut, which is not within ties, falling from m, and the largest
        Σ w y from there or from a higher cut upwards
    w4: (m+1,), Σ of the squares of what each event adds to w2, from each index upwards
    whole: the sample, whatever y is
    shared: rows that share a cluster with others, for what is more than a sum over rows; None if there are none
    """

    lowest: np.ndarray
    scores: np.ndarray
    n: np.ndarray
    w: np.ndarray
    w2: np.ndarray
    cross: np.ndarray
    cuts: np.ndarray
    climb: np.ndarray
    w4: np.ndarray
    whole: Whole
    shared: Shared | None = None

    @property
    def n_eff(self) -> float:
        """Effective number of events of the whole sample, (Σ w)² / Σ w²."""
        return self.whole.w**2 / self.whole.w2

    @property
    def plain(self) -> bool:
        """Whether the passing are counted: weights all one, y 0 or 1."""
        return self.whole.w == self.whole.w2 == self.whole.n and self.w[0] == self.w2[0] == self.cross[0]

    def above(self, threshold, *sums: np.ndarray) -> list[np.ndarray]:
        """The ``sums``, attributes of this distribution of shape (m+1,), over the events that pass each threshold."""
        whole, half = (np.searchsorted(ends, threshold, side="right") for ends in (self.lowest, self.scores))
        return [(values[whole] + values[half]) / 2 for values in sums]

    def count(self, threshold) -> np.ndarray:
        """Number of events that pass each threshold, unweighted."""
        return self.above(threshold, self.n)[0].astype(int)

    def effective(self, threshold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ε, k_eff and n_eff at each threshold; NaN where the weights of what passes sum to less than nothing."""
        n, w, w2, cross, w4 = self.above(threshold, self.n, self.w, self.w2, self.cross, self.w4)
        eps, k, effective = binomial(n, w, w2, cross, self.whole, self.plain)
        spread, equal = (np.divide(a, b**2, out=np.zeros(eps.shape), where=b > 0) for a, b in ((w4, w2), (w2, w)))
        factor = 1 + FEW * np.maximum(spread - equal, 0.0)
        return eps, k / factor, effective / factor

    def intervals(self, threshold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ε, low and high at each threshold; NaN where the passing weights sum to less than nothing."""
        return interval(*self.effective(threshold))

    def efficiency(self, threshold: float) -> Efficiency:
        """The efficiency at one threshold."""
        value, low, high = (float(x) for x in self.intervals(threshold))
        return Efficiency(value, low, high, int(self.count(threshold)), self.whole.n)

    def independent(self, threshold) -> np.ndarray:
        """Effective number of independent events that pass each, (Σ w)² / Σ w² of what is above; 0 if nothing is."""
        w, w2 = self.above(threshold, self.w, self.w2)
        return np.divide(w**2, w2, out=np.zeros(np.shape(w)), where=(w > 0) & (w2 > 0))

    def resolved(self, threshold: float) -> bool:
        """Whether at least MIN_COUNT independent events pass."""
        return bool(self.independent(threshold) >= MIN_COUNT * (1 - ROUNDING))

    def remark(self, threshold: float = -np.inf) -> str:
        """A warning if the passing events count for much fewer independent ones than they are; else ''."""
        passed, independent = int(self.count(threshold)), float(self.independent(threshold))
        if passed < MIN_COUNT or independent > passed / MANY:
            return ""
        reason = "few large weights, or few collisions that many crossings share, decide."
        return f"{passed} events count for {independent:.3g} independent ones: {reason}"

    def exceeding(self, eps) -> np.ndarray:
        """The largest score that with all above it makes more than ``eps`` > 0; below all if none does."""
        first = self._budget(eps)
        return np.where(first == 0, np.nextafter(self.lowest[0], -np.inf), self.scores[first - 1])

    def at_most(self, eps) -> np.ndarray:
        """The threshold, for each eps > 0, that passes as much as fits into ``eps``, and so do all above it.

        All thresholds of hepad are this: ``hepad.evaluation.roc.threshold_at`` of arrays, ``streaming.threshold_of`` of
        a file of scores, ``hepad.trigger.rates.at_budget`` of a budget in kHz.

        Any number from the highest score that fails to below the lowest that passes is one: it is the middle, which
        rounding does not reach, as a float32 if there is one in between. If nothing passes it is the highest score.
        """
        first, fails = self._budget(eps), self.exceeding(eps)
        passes = np.where(first == len(self.scores), fails, self.lowest[np.minimum(first, len(self.scores) - 1)])
        middle = np.where(first == 0, fails, fails + (passes - fails) / 2)
        with np.errstate(over="ignore"):
            short = middle.astype(np.float32).astype(float)
        middle = np.where((fails <= short) & (short < passes), short, middle)
        return np.where((first > 0) & (middle < passes), middle, fails)

    def nearest(self, eps, n: float) -> np.ndarray:
        """The thresholds of :meth:`at_most`, but below a tie where that comes nearer to ``eps``; n: :meth:`effective`.

        A tie is several events that count for more than one of ``n``.
        """
        above = self._cut(eps)
        below = np.minimum(above + 1, len(self.climb) - 1)
        (eps_above, eps_below), rows = (self.climb[i] / self.whole.w for i in (above, below)), self.n[self.cuts]
        tie = (rows[below] - rows[above] > 1) & ((eps_below - eps_above) * n > 1.5)
        return self.at_most(np.where(tie & (eps - eps_above > eps_below - eps), eps_below, eps))

    def _budget(self, eps) -> np.ndarray:
        """Index from which upwards the events fit the budget, and from any higher cut, too."""
        return self.cuts[self._cut(eps)]

    def _cut(self, eps) -> np.ndarray:
        return np.searchsorted(self.climb, np.asarray(eps) * self.whole.w * (1 + ROUNDING), side="right") - 1

    def reaching(self, eps) -> np.ndarray:
        """The largest score such that it and all above it make at least ``eps``, for each; the lowest if none does."""
        position = np.searchsorted(self.climb, np.asarray(eps) * self.whole.w * (1 - ROUNDING), side="left")
        first = self.cuts[np.minimum(position, len(self.cuts) - 1)]
        return np.where(first == len(self.scores), np.inf, self.lowest[np.minimum(first, len(self.scores) - 1)])

    def at_least(self, eps) -> np.ndarray:
        """The largest threshold that at least the fraction ``eps`` passes, for each eps in (0, 1]."""
        return np.nextafter(self.reaching(eps), -np.inf)

    def placements(self, other: "ScoreDistribution") -> np.ndarray:
        """Fraction of this sample below each group of another, ties counted half: the mean of that at its two ends."""
        from_here = [self.w[np.searchsorted(self.scores, end, side="left")] for end in (other.lowest, other.scores)]
        above = [self.w[np.searchsorted(self.lowest, end, side="right")] for end in (other.lowest, other.scores)]
        return 1 - (sum(from_here) / 2 + sum(above) / 2) / (2 * self.w[0])

    def mean(self, values) -> tuple[float, float]:
        """Weighted mean m of ``values`` v (m,), given in the order of ``scores``, and the variance of that mean.

        With p = w / Σw, var m = Σ_c (Σ_{i in c} p (v - m))² / (1 - 2 Σp³ / Σp² + Σp²), c the clusters; the denominator
        removes the bias that m comes from the same events, and is 1 - 1/n for n equal clusters, p there their sums.
        Weights of both signs need no other formula. In a group of n events Σ p³ is taken for Σp Σp² / n, which it is
        for equal ones.
        """
        p, p2 = -np.diff(self.w) / self.w[0], -np.diff(self.w2) / self.w[0] ** 2
        mean, squares, cubes = p @ values, self.w2[0] / self.w[0] ** 2, -np.sum(p * p2 / np.diff(self.n))
        variance = p2 @ (values - mean) ** 2
        if self.shared is not None:  # Σ A_c² takes one value for a cluster, that of its lowest row
            cluster, scores, weights, added, times = self.shared
            deviations = values[np.searchsorted(self.scores, scores)] - mean
            squares_of_clusters = np.bincount(cluster, weights * deviations) ** 2
            variance += times * (squares_of_clusters.sum() - added @ deviations**2) / self.w[0] ** 2
            cubes += times * (np.sum(np.bincount(cluster, weights) ** 3) - weights @ added) / self.w[0] ** 3
        return float(mean), float(max(variance, 0.0) / (1 - 2 * cubes / squares + squares))


def checked(name: str, scores, weights=None) -> tuple[np.ndarray, np.ndarray]:
    """Scores and weights as float64; InputError if they are not finite and of one length; none is fine."""
    scores = np.asarray(scores, float)
    if scores.ndim != 1:
        raise InputError(f"evaluation: the {name} sample has shape {scores.shape}, not (n,). Check the score file.")
    if bad := np.count_nonzero(~np.isfinite(scores)):
        raise InputError(
            f"evaluation: {bad} of {len(scores)} {name} scores are NaN or infinite. "
            "The detector has diverged or its input is damaged: train it with a smaller rate, or check the events."
        )
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    if weights.shape != scores.shape or not np.isfinite(weights).all():
        raise InputError(f"evaluation: {name} weights must be one finite number per event. Check the score file.")
    if len(weights) and (largest := np.abs(weights).max()) > 0 and not 1 / EXTREME < largest < EXTREME:
        raise InputError(f"evaluation: {name} weights of up to {largest:.3g} are beyond all units. Scale them.")
    return scores, weights


def grouped(lowest, scores, n, w, w2, cross, w4, whole: Whole, shared: Shared | None = None) -> ScoreDistribution:
    """A :class:`ScoreDistribution` of groups that rise and do not overlap; n, w, w2, cross, w4: (m,), of each."""
    totals: list[np.ndarray] = []
    sums = (n, w, w2, cross, w4)
    for x in sums:
        twins = [i for i, earlier in enumerate(sums[: len(totals)]) if np.array_equal(x, earlier)]
        totals.append(totals[twins[0]] if twins else np.append(np.cumsum(x[::-1])[::-1], 0.0))
    cuts = np.flatnonzero(np.concatenate([[True], lowest[1:] > scores[:-1], [True]]))[::-1]
    *totals, w4 = totals
    return ScoreDistribution(lowest, scores, *totals, cuts, np.maximum.accumulate(totals[1][cuts]), w4, whole, shared)
