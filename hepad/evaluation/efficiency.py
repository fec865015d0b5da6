"""Efficiencies and their intervals; the equations are in :mod:`hepad.evaluation.score_distribution`."""

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
    empty, full = k <= ROUNDING * n, k >= n * (1 - ROUNDING)
    # where a quantile is undefined its value is not used, and harmless arguments stand in
    low = betaincinv(np.where(empty, 1, k), np.where(full, 0, n - k) + 1, alpha / 2)
    high = betaincinv(np.where(empty, 0, k) + 1, np.where(full, 1, n - k), 1 - alpha / 2)
    return np.where(empty, 0.0, low), np.where(full, 1.0, high)


def interval(eps, k, n) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ε, low and high of what :func:`binomial` gives; NaN stays NaN."""
    lost = np.isnan(eps)
    low, high = clopper_pearson(np.where(lost, 0, k), np.where(lost, 1, n))
    return eps, np.where(lost, np.nan, low), np.where(lost, np.nan, high)
