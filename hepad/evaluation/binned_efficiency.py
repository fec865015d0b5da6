"""Efficiency of a threshold in bins of a variable: does a score just measure pT or mass?

In every bin the interval of Clopper and Pearson of its counts, at the threshold as it is; of weighted events of the
effective counts of :mod:`hepad.evaluation.score_distribution`.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.efficiency import clopper_pearson, interval
from hepad.evaluation.score_distribution import Whole, binomial
from hepad.events.observables import OBSERVABLES


class BinnedEfficiency(NamedTuple):
    """Efficiency in bins of a variable; ``edges`` (B+1,), all else (B,); value NaN in an empty bin.

    ``passed`` and ``total`` are counts, effective ones of weighted events.
    """

    edges: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    passed: np.ndarray
    total: np.ndarray


def efficiency_against(score, threshold: float, variable, bins, weights=None) -> BinnedEfficiency:
    """Efficiency of score > threshold in bins of ``variable``.

    Parameters
    ----------
    score, variable: (n,), finite
    threshold: from :func:`threshold_at`
    bins: (B+1,) rising edges; events outside are left out, the last bin includes its upper edge
    weights: (n,) of any sign; None, or equal ones, for counts
    """
    scores, variable, edges = np.asarray(score, float), np.asarray(variable, float), np.asarray(bins, float)
    if scores.shape != variable.shape or not (np.isfinite(scores).all() and np.isfinite(variable).all()):
        raise InputError("evaluation: score and variable must be finite and of one length. Check the score file.")
    if edges.ndim != 1 or len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise InputError(f"evaluation: bins {bins} must be two or more rising edges. Correct them in the config.")
    if weights is not None and np.ptp(weights) > 0:
        return _weighted(scores > threshold, variable, edges, np.asarray(weights, float))
    total = np.histogram(variable, edges)[0]
    passed = np.histogram(variable[scores > threshold], edges)[0]
    value = np.divide(passed, total, out=np.full(len(total), np.nan), where=total > 0)
    return BinnedEfficiency(edges, value, *clopper_pearson(passed, total), passed, total)


def _weighted(passes: np.ndarray, variable: np.ndarray, edges: np.ndarray, w: np.ndarray) -> BinnedEfficiency:
    def sums(values: np.ndarray, rows=slice(None)) -> np.ndarray:
        return np.histogram(variable[rows], edges, weights=values[rows])[0]

    n, w1, w2 = (sums(values) for values in (np.ones(len(w)), w, w**2))
    k, k1, k2 = (sums(values, passes) for values in (np.ones(len(w)), w, w**2))
    largest = [np.abs(w[(variable >= low) & (variable <= high)]).max(initial=1e-300) for low, high in pairwise(edges)]
    counts = np.full((3, len(n)), np.nan)
    for i in np.flatnonzero(w1 > 0):
        counts[:, i] = binomial(k[i], k1[i], k2[i], k2[i], Whole(n[i], w1[i], w2[i], largest[i]), plain=False)
    value, low, high = interval(*counts)
    return BinnedEfficiency(edges, value, low, high, *np.nan_to_num(counts[1:]))


def efficiency_against_jet(samples: dict[str, tuple], threshold: float) -> dict[str, dict[str, BinnedEfficiency]]:
    """Efficiency of score > threshold against jet pT and mass, in about ten bins that all samples share.

    Parameters
    ----------
    samples: name -> (scores (n,), jets (n, 4) as (pt, eta, phi, mass) [GeV, rad], weights (n,))

    Returns
    -------
    variable with its unit -> sample -> efficiencies; the bins hold at least 99 % of each variable
    """
    results = {}
    for variable, column in ((OBSERVABLES["jet_pt"].label, 0), (OBSERVABLES["jet_mass"].label, 3)):
        values = {name: np.asarray(jet, float)[:, column] for name, (_, jet, _) in samples.items()}
        low, high = np.quantile(np.concatenate(list(values.values())), [0.005, 0.995])
        step = max(10 * round((high - low) / 100), 5)  # round edges [GeV]
        edges = np.arange(step * np.floor(low / step), high + step, step)
        results[variable] = {
            name: efficiency_against(samples[name][0], threshold, value, edges, samples[name][2])
            for name, value in values.items()
        }
    return results
