r"""Whether a trigger's rate drifts: luminosity sections at a frozen threshold, and an alarm of known false-alarm rate.

Section i has n_ib events in stratum b of the pile-up (:mod:`hepad.evaluation.strata`; there may be one), of which
k_ib pass; a steady trigger passes every event of a stratum with the same probability p_b, that of a reference of which
K_b of N_b passed. The alarm is the cumulative sum (E. Page, Biometrika 41 (1954) 100) of the log-likelihood ratio of a
rate that has risen, or fallen, by a factor r,

    S_i = max(0, S_(i-1) + Σ_b [k_ib log q_b/p_b + (n_ib - k_ib) log (1 - q_b)/(1 - p_b)])
    q_b = r p_b  and  q_b = p_b / r,    p_b = K_b/N_b

and rings at the first section in which one of the two is above h. h is drawn, not taken from a table: steady runs with
the events of this one, each with rates that the reference allows (H. Jeffreys' posterior, its half event shared by the
B strata, so that the whole is known as well as undivided; g is Gamma, of mean 1, what the strata err together),

    p'_b ~ g Beta(K_b + 1/2B, N_b - K_b + 1/2B),    k'_ib ~ Binomial(n_ib, p'_b),    P(max_i S'_i > h) = alpha

so that the share alpha of steady runs has an alarm, whatever the sections' sizes, also where the reference knows little
of the rate. K_b and N_b of a reference with weights are effective counts, no whole numbers. The change began after the
last section in which the sum that rang was zero (Page's estimate). What a change by the factor r takes is drawn in the
same way: the median number of sections until the alarm, of a rise or of a fall, whichever takes longer.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import kolmogorov

from hepad.errors import InputError
from hepad.evaluation.efficiency import ROUNDING, clopper_pearson

DRAWS = 4000
CELLS = 2_000_000  # numbers that are drawn at a time
ENOUGH = 100  # events of a sample whose distribution is compared


class Reference(NamedTuple):
    """``passed`` of ``events`` were above the threshold when it was chosen: two numbers, or (B,) of strata each.

    ``shared``: variance of a factor of mean 1 that all shares have in common
    """

    passed: np.ndarray | float
    events: np.ndarray | float
    shared: float = 0.0


class Drift(NamedTuple):
    """What became of a run of S sections.

    Attributes
    ----------
    share, low, high: (S,) of events that pass, with its 68.3 % interval
    expected: (S,) share that passes of the reference, at the pile-up of each section
    risen, fallen: (S,) the two sums
    level: h, above which they ring
    alarm: number of the section that rang, None if none did
    began: number of the first section after the change, by Page's estimate; None without an alarm
    direction: 'risen', 'fallen' or ''
    delay: median number of sections until an alarm if the rate rises, or falls, by the factor in the first section,
        whichever takes longer; inf if it is not found within this run
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    expected: np.ndarray
    risen: np.ndarray
    fallen: np.ndarray
    level: float
    alarm: int | None
    began: int | None
    direction: str
    delay: float


def follow(
    passed, events, reference: Reference, *, factor: float = 1.3, false_alarms: float = 0.01, seed: int = 0
) -> Drift:
    """Follow the rate through sections in the order of time.

    Parameters
    ----------
    passed, events: (S,) of each section, or (S, B) of its strata; sections without events stay as they are
    reference: what the rate is compared with; of strata, as many
    factor: the change that is to be found soonest, > 1
    false_alarms: the share of steady runs with an alarm, in (0, 0.5]
    seed: of the draws

    Raises
    ------
    InputError: numbers that are none, no section, a reference of which none or all passed

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> events = np.full(60, 2000)
    >>> steady, risen = rng.binomial(2000, 0.01, 30), rng.binomial(2000, 0.013, 30)
    >>> found = follow(np.append(steady, risen), events, Reference(1000, 100_000))
    >>> found.direction, 30 <= found.alarm < 50
    ('risen', True)
    """
    k, n = (np.asarray(x)[:, None] if np.ndim(x) == 1 else np.asarray(x) for x in (passed, events))
    known = Reference(*reference)
    reference = Reference(*(np.atleast_1d(np.asarray(x, float)) for x in known[:2]), known.shared)
    _check(k, n, reference, factor, false_alarms)
    p = reference.passed / reference.events
    risen, fallen = _sums(k[None], n, p, factor)[:, 0]
    level, delay = _tuned(n, reference, factor, false_alarms, seed)
    total = n.sum(axis=1)
    low, high = clopper_pearson(k.sum(axis=1), total)
    with np.errstate(invalid="ignore"):
        share, expected = k.sum(axis=1) / total, n @ p / total
    rang = np.flatnonzero(np.maximum(risen, fallen) > level)
    alarm = int(rang[0]) if len(rang) else None
    began, direction = None, ""
    if alarm is not None:
        direction = "risen" if risen[alarm] > level else "fallen"
        zero = np.flatnonzero((risen if direction == "risen" else fallen)[:alarm] == 0)
        began = int(zero[-1]) + 1 if len(zero) else 0
    return Drift(share, low, high, expected, risen, fallen, level, alarm, began, direction, delay)


def delay_of(events, reference: Reference, factor: float, false_alarms: float = 0.01, seed: int = 0) -> float:
    """Median number of sections until an alarm that looks for a change by ``factor`` finds one; inf if not in this run.

    Arguments are those of :func:`follow`.
    """
    n = np.asarray(events)[:, None] if np.ndim(events) == 1 else np.asarray(events)
    known = Reference(*(np.atleast_1d(np.asarray(x, float)) for x in reference[:2]), reference.shared)
    _check(np.zeros_like(n), n, known, factor, false_alarms)
    return _tuned(n, known, factor, false_alarms, seed)[1]


def distances(
    reference: Mapping[str, np.ndarray], events: Mapping[str, np.ndarray], weights=None, cluster=None
) -> dict[str, tuple[float, float]]:
    """Of every column the largest difference of the two cumulative distributions, and its p-value (A. Kolmogorov, N.
    Smirnov), times the number of columns: small where one of many columns has changed.

    Parameters
    ----------
    weights, cluster: (N,) of the reference's events; None: all count once, and are independent. The p-value is that of
        (Σ w)² / Σ_c W_c² events, W_c the sum of a cluster's weights

    Raises
    ------
    InputError: fewer than 100 events, the reference's counted so
    """
    found = {}
    for name in reference:
        a, b = reference[name], np.sort(events[name])
        w = np.ones(len(a)) if weights is None else np.asarray(weights, float)
        of_cluster = w if cluster is None else np.bincount(np.unique(cluster, return_inverse=True)[1], w)
        known = w.sum() ** 2 / (of_cluster @ of_cluster) if len(a) else 0
        if min(known * (1 + ROUNDING), len(b)) < ENOUGH:
            raise InputError(
                f"monitor: {min(known, len(b)):.3g} events are too few to compare '{name}'; {ENOUGH} are needed."
            )
        order = np.argsort(a)
        a, below = a[order], np.append(0, np.cumsum(w[order])) / w.sum()
        at = np.concatenate([a, b])
        d = np.abs(below[np.searchsorted(a, at, "right")] - np.searchsorted(b, at, "right") / len(b)).max()
        size = known * len(b) / (known + len(b))
        found[name] = (float(d), float(min(1.0, len(reference) * kolmogorov(d * np.sqrt(size)))))
    return found


def _tuned(n: np.ndarray, reference: Reference, factor: float, false_alarms: float, seed: int) -> tuple[float, float]:
    """h of an alarm that looks for a change by ``factor``, and how long it takes to find one."""
    rng = np.random.default_rng(seed)
    level = float(np.quantile(_drawn(rng, n, reference, 1.0, factor).max(1), 1 - false_alarms))
    return level, max(_delay(_drawn(rng, n, reference, change, factor), level) for change in (factor, 1 / factor))


def _sums(k: np.ndarray, n: np.ndarray, p: np.ndarray, factor: float) -> np.ndarray:
    """Both sums (2, R, S) of R runs with k (R, S, B) of n (S, B), against p (B,)."""
    found = np.zeros((2, *k.shape[:2]))
    for which, q in enumerate((np.minimum(factor * p, 1 - 1e-12), p / factor)):
        passes, fails = np.log(q / p), np.log((1 - q) / (1 - p))
        steps, total = k @ (passes - fails) + n @ fails, np.zeros(len(k))
        for i in range(k.shape[1]):
            total = np.maximum(0, total + steps[:, i])
            found[which, :, i] = total
    return found


def _drawn(rng: np.random.Generator, n: np.ndarray, reference: Reference, change: float, factor: float) -> np.ndarray:
    """The larger sum (R, S) of runs whose rates are ``change`` times those that the reference allows."""
    (k, size, shared), sums = reference, []
    prior = 0.5 / len(k)
    many = max(1, CELLS // n.size)
    for first in range(0, DRAWS, many):
        runs = min(many, DRAWS - first)
        true = rng.beta(k + prior, size - k + prior, (runs, len(k)))
        if shared:
            true *= rng.gamma(1 / shared, shared, (runs, 1))
        passed = rng.binomial(n, np.minimum(change * true, 1.0)[:, None], (runs, *n.shape))
        sums.append(_sums(passed, n, k / size, factor).max(axis=0))
    return np.concatenate(sums)


def _delay(sums: np.ndarray, level: float) -> float:
    """Median number of sections until one of the sums (R, S) is above the level; inf if most never are."""
    above = sums > level
    return float(np.median(np.where(above.any(1), above.argmax(1) + 1.0, np.inf)))


def _check(k: np.ndarray, n: np.ndarray, reference: Reference, factor: float, false_alarms: float) -> None:
    if k.ndim != 2 or k.shape != n.shape or not len(k) or k.shape[1] != len(reference.passed):
        raise InputError(
            f"monitor: numbers of shapes {k.shape} and {n.shape} are no sections of {len(reference.passed)} strata. "
            "Give one of each."
        )
    if (k < 0).any() or (k > n).any():
        at, b = np.argwhere((k < 0) | (k > n))[0]
        raise InputError(f"monitor: section {at}: {k[at, b]} of {n[at, b]} events pass. Correct the numbers.")
    for passed, of in zip(*reference[:2], strict=True):
        if not 0 < passed < of:
            raise InputError(
                f"monitor: {passed:g} of {of:g} events of the reference pass: no rate to follow. "
                "Choose another threshold, or give more reference events."
            )
    if not 1 < factor < np.inf:
        raise InputError(f"monitor: a factor of {factor:g} is no change. Give one above 1, as 1.3.")
    if not 0 < false_alarms <= 0.5:
        raise InputError(f"monitor: a false-alarm rate of {false_alarms:g} is not between 0 and 0.5.")
