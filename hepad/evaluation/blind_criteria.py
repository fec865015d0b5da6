r"""Blind criteria from scores: what can be asked of a state of a training without a signal, whatever the detector.

    capacity, CAP      C = max_b < log[ p_i q_i + (1 - p_i) (1 - q_i) ] >,     p_i = S(b D(u_i)),  q_i = S(b D(v_i))
                       u = S( 4 (s - median) / std ),    D(u) = 2 u - 1 + max(0, u - m + d) - max(0, m + d - u)
    threshold drift    | log[ (k/n + 1/2n) / (eps_B + 1/2n) ] |,   k of n pass the threshold that others were given
    score distance     W_1 = < | log(1 + s_(i)) - log(1 + s'_(i)) | >
    ARGOS              A = max_t  eps'(t) / sqrt(eps(t)) - sqrt(eps(t))

S(x) = 1 / (1 + exp(-x)); s and s' are scores of two samples, u and v their normalised values, with the mean m and the
standard deviation 2 d of both together, s_(i) are scores in their order.

CAP, drift and W_1 are those of ADatL1 (github.com/bb511/ADatL1), which trains detectors such as AXOL1TL for the Level-1
trigger, with the settings of its agnostic trainings on trigger data. CAP is the mutual information of two noisy
views on one division of the events in two, D the gap of its 'adaptive' energies. The two samples are zero bias and
simulated pile-up there, and two parts of one sample where it studies CIFAR-10. It looks for the maximum over b by
some hundred steps of Adam from b = 1, which can move it by a few units; here it is taken, over ``BETAS``. All three are
looked at as running averages over the records of a training, :func:`smoothed`.

ARGOS is from M. Hein et al., 'How to pick the best anomaly detector?', arXiv:2511.14832, of which the abstract and the
equation could be read, not the whole text. eps' is the efficiency of data in which there may be a signal, eps that of a
template of background: for a share f of signal A = f (eps_S / sqrt(eps_B) - sqrt(eps_B)), which rises with the
significance improvement. That at least MIN_COUNT events of the template are above t is a rule of this module.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, log_expit

from hepad.errors import InputError
from hepad.evaluation.efficiency import MIN_COUNT

BETAS = (0.0, *np.geomspace(0.1, 100, 31))


def by_rank(first, second) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of scores of equal rank, as ADatL1 pairs its two samples.

    first, second: (n,), (m,) scores of two samples. Both in their order, (k,) with k the smaller of n and m: of the
    larger sample every m/k-th.
    """
    ordered = np.sort(_scores("first", first)), np.sort(_scores("second", second))
    k = min(map(len, ordered))
    return tuple(x[np.rint(np.linspace(0, len(x) - 1, k)).astype(int)] for x in ordered)


def capacity(first, second, betas: Sequence[float] = BETAS) -> float:
    """CAP of pairs of scores, from -log 2 (they agree on nothing) to 0; the largest is best.

    Parameters
    ----------
    first, second: (n,) scores of a pair each: of two views of an event, or of :func:`by_rank`
    betas: inverse temperatures b >= 0 over which the maximum is taken

    Raises
    ------
    InputError: no events, scores that are not finite, or samples of different sizes

    Examples
    --------
    >>> s, noise = np.random.default_rng(0).normal(size=(2, 1000))
    >>> round(capacity(s, s), 2), round(capacity(s, s + noise), 2)
    (-0.0, -0.49)
    """
    first, second = _scores("first", first), _scores("second", second)
    if len(first) != len(second):
        raise InputError(f"capacity: {len(first)} and {len(second)} scores are no pairs. Pair them, as by_rank does.")
    both = np.concatenate([first, second])
    spread = both.std(ddof=1)
    u = expit(4 * (both - np.median(both)) / (spread or 1.0))
    mean, half = u.mean(), u.std(ddof=1) / 2
    gap = 2 * u - 1 + np.maximum(0, u - mean + half) - np.maximum(0, mean + half - u)
    one, two = np.split(gap, 2)
    return max(
        float(np.logaddexp(*(log_expit(b * y * one) + log_expit(b * y * two) for y in (1, -1))).mean()) for b in betas
    )


def threshold_drift(calibration, scores, eps_b: float) -> float:
    """How far a threshold is off on events that it was not made with; the smallest is best.

    calibration: (m,) scores of background, of which a share ``eps_b`` is at the threshold or above; scores: (n,) of the
    background on which that is looked at
    """
    calibration, scores = np.sort(_scores("calibration", calibration)), _scores("scores", scores)
    if not 0 < eps_b < 1:
        raise InputError(f"threshold_drift: eps_b = {eps_b:g} must lie between 0 and 1.")
    threshold = calibration[max(0, int(np.ceil((1 - eps_b) * len(calibration))) - 1)]
    half = 0.5 / len(scores)
    return float(abs(np.log((np.mean(scores >= threshold) + half) / (eps_b + half))))


def score_distance(first, second) -> float:
    """W_1 of the logarithms of two samples' scores (n,), (m,); the smallest is best.

    Scores below zero count as zero, as in ADatL1: it is meant for errors of reconstruction.
    """
    first, second = by_rank(first, second)
    return float(np.abs(np.log1p(np.maximum(first, 0)) - np.log1p(np.maximum(second, 0))).mean())


def argos(template, data, least: int = MIN_COUNT) -> float:
    """ARGOS, at its best threshold; the largest is best, 0 if data nowhere exceeds the template.

    template, data: (n,), (m,) scores of background and of events among which there may be something else; a threshold
    has at least ``least`` events of the template at it or above
    """
    template, data = np.sort(_scores("template", template)), np.sort(_scores("data", data))
    at = template[: max(0, len(template) - least + 1)]
    eps, eps_data = (1 - np.searchsorted(x, at) / len(x) for x in (template, data))
    return float(np.max(eps_data / np.sqrt(eps) - np.sqrt(eps), initial=0.0))


def smoothed(values: Sequence[float], decay: float = 0.9) -> np.ndarray:
    """The running average v_k = decay v_(k-1) + (1 - decay) x_k of a training's records (n,), v_1 = x_1."""
    result = np.array(values, float)
    for k in range(1, len(result)):
        result[k] = decay * result[k - 1] + (1 - decay) * result[k]
    return result


def _scores(name: str, scores) -> np.ndarray:
    scores = np.asarray(scores, float)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise InputError(f"blind criterion: the scores '{name}' must be a row of finite numbers. Check the detector.")
    return scores
