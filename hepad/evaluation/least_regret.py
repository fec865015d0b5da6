r"""The regret that no score avoids: what it costs not to know which of several detectors would see the signal.

Of K detectors with scores s_k let z_k be the normal score of an event among background, Phi(z_k) = 1 - p_k. Signal k is
background as it is, but that detector k sees it with a given AUC A, and nothing else does: background with the weights

    g_k = exp(mu z_k - mu^2 / 2),    mu = sqrt(2) Phi^-1(A)           (z_k of signal k is normal around mu)

For any score s of an event, whatever it looks at, and any odds pi_k of the signals

    max_k [ AUC_k(s_k) - AUC_k(s) ]  >=  sum_k pi_k [ AUC_k(s_k) - AUC_k(s) ]
                                     >=  sum_k pi_k [ AUC_k(s_k) - AUC_k(sum_j pi_j g_j) ]

since of background and the mixture of all signals sum_j pi_j g_j is the likelihood ratio, which no score beats (J.
Neyman and E. Pearson 1933), and the AUC is an average of efficiencies. The largest right side over the odds is the
least regret; by the minimax theorem (J. von Neumann 1928) the score of those odds has it for every signal that has odds
at all. The odds are found by multiplicative weights (Y. Freund and R. Schapire 1999): signals on which the score of the
odds so far loses more get more.

Only background enters, so that the number is known before any signal is. For real signals, which several detectors see
at once, a regret can be smaller; over all that one detector alone might see it can not.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from hepad.errors import InputError
from hepad.evaluation.diagnostics import ranks

ENOUGH = 1000  # events
AREAS = (0.55, 0.99)  # beyond, some hundred events decide
STEPS, RATE = 300, 5.0


class LeastRegret(NamedTuple):
    """value: no score has a smaller regret; reached: the regret of the score of these ``odds``, not smaller than it;
    odds: of the signals, by the names of the detectors."""

    value: float
    reached: float
    odds: dict[str, float]


def least_regret(scores: Mapping[str, np.ndarray], auc: float = 0.95) -> LeastRegret:
    """The least regret over signals of which one detector each sees one, with this AUC, and no other does more.

    Parameters
    ----------
    scores: of the same background events, {name of the detector: (N,)}, higher is more anomalous
    auc: of each detector for the signal that it sees, between 0.55 and 0.99; less where events share a score

    Raises
    ------
    InputError: scores that are no numbers, of different events or of fewer than 1,000, or an ``auc`` out of range

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found = hepad.least_regret({"mass": rng.normal(size=20_000), "met": rng.normal(size=20_000)}, auc=0.95)
    >>> round(found.value, 2), round(found.odds["mass"], 1)
    (0.03, 0.5)
    """
    z = _normal_scores(scores)
    if not AREAS[0] <= auc <= AREAS[1]:
        raise InputError(f"least_regret: auc = {auc:g} must lie between {AREAS[0]} and {AREAS[1]}.")
    mu = np.sqrt(2) * ndtri(auc)
    g = np.exp(mu * z - mu**2 / 2)
    g /= g.mean(0)  # ties, and that events are few, would make it no likelihood ratio
    own = np.diag(_areas(z, g))
    odds, value, reached = np.full(z.shape[1], 1 / z.shape[1]), -np.inf, np.inf
    for _ in range(STEPS):
        losses = own - _areas((g @ odds)[:, None], g)[0]
        if odds @ losses > value:
            value, best = odds @ losses, odds
        reached = min(reached, losses.max())
        odds = odds * np.exp(RATE * losses)
        odds /= odds.sum()
    return LeastRegret(float(value), float(reached), dict(zip(scores, best.tolist(), strict=True)))


def _normal_scores(scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, K) of all detectors; InputError if scores are not of the same events, too few, or no numbers."""
    arrays = {name: np.asarray(values, float) for name, values in scores.items()}
    if len(arrays) < 2:
        raise InputError("least_regret: scores of two detectors or more are needed.")
    n = len(next(iter(arrays.values())))
    for name, values in arrays.items():
        if values.shape != (n,):
            raise InputError(f"least_regret: scores of '{name}' have shape {values.shape}, others ({n},).")
        if not np.isfinite(values).all():
            raise InputError(f"least_regret: scores of '{name}' are not all finite. Leave these events out.")
    if n < ENOUGH:
        raise InputError(f"least_regret: {n} background events are too few; {ENOUGH} are needed.")
    return np.stack([ndtri((ranks(values) - 0.5) / n) for values in arrays.values()], 1)


def _areas(scores: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(S, K): AUC of each of the scores (N, S) for each of the signals, background with weights g (N, K) of mean 1."""
    below = np.stack([ranks(column) - 0.5 for column in scores.T]) / len(scores)
    return below @ g / len(g)
