r"""p-values of any score: how often background looks as anomalous as an event does.

With the scores s_1 ... s_n of calibration events, background that the score has not seen, an event of score s has

    p = (1 + #{i : s_i >= s}) / (n + 1)                         V. Vovk, A. Gammerman, G. Shafer 2005

If it is background, too, P(p <= a) <= a for every a and any score, however few the events are: any rank among the n +
1 is as likely as any other. With scores that do not tie, P(p <= a) = floor(a (n + 1)) / (n + 1). That is an average
over calibrations; of one of them P(p <= a) is distributed as Beta(k, n + 1 - k), k = floor(a (n + 1)) (S. Bates et
al., arXiv:2104.08279), with a relative spread of about 1 / sqrt(a n). No p is below 1 / (n + 1).

Weighted background, Sum for the weights and W for the largest of an event (R. Tibshirani et al., arXiv:1904.06019):

    p = (W + Sum_{s_i >= s} w_i) / (W + Sum w)

which is conservative for an event of smaller weight, and for jets of one event, whose weights are added in W.
"""

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.streaming import distribution


def p_values(background, scores, *, weights=None, least: float | None = None) -> np.ndarray:
    """p-values of events, calibrated on background events that the score was not fitted on.

    Parameters
    ----------
    background: (n,) scores of calibration events, finite
    scores: (N,) scores of events; of NaN the p-value is NaN
    weights: (n,) of the calibration events; None for unit weights
    least: the smallest p-value that is asked for, which the calibration events have to resolve

    Returns
    -------
    (N,) in (0, 1], small for anomalous events

    Raises
    ------
    InputError: scores that are not numbers, or too few calibration events for ``least``

    Examples
    --------
    >>> scores = hepad.Mixture().fit(background[:300]).score(background)
    >>> p = hepad.p_values(scores[300:], scores[:300])
    >>> len(p), round(float(hepad.p_values(scores[300:], [1e9])[0] * 201), 6)
    (300, 1.0)
    """
    calibration = distribution("background", background, weights)
    if least is not None:
        check_resolved(calibration, least)
    return of_scores(calibration, scores)


def of_scores(calibration: ScoreDistribution, scores) -> np.ndarray:
    """p-values (N,) of scores (N,), NaN of NaN; calibration events that are in a group count whole."""
    scores = np.asarray(scores, float)
    if scores.ndim != 1:
        raise InputError(f"p-values: the scores have shape {scores.shape}, not (N,). Give one score for each event.")
    one, whole = calibration.whole.largest, calibration.whole.w
    above = calibration.w[np.searchsorted(calibration.scores, scores, side="left")]
    p = (one + np.maximum(above, 0)) / (one + whole)
    return np.where(np.isnan(scores), np.nan, np.minimum(p, 1.0))


def smallest(calibration: ScoreDistribution) -> float:
    """The smallest p-value that there can be."""
    return calibration.whole.largest / (calibration.whole.largest + calibration.whole.w)


def check_resolved(calibration: ScoreDistribution, least: float) -> None:
    """InputError unless the calibration events can give a p-value as small as ``least``."""
    if not 0 < least <= 1:
        raise InputError(f"p-values: {least:g} is no p-value. Give one between 0 and 1.")
    if (found := smallest(calibration)) > least * (1 + 1e-9):
        n = calibration.whole.n
        needed = np.ceil(n * (1 / least - 1) / (1 / found - 1))
        raise InputError(
            f"p-values: {n} calibration events give none below {found:.3g}, and {least:g} is asked for. Give "
            f"{needed:.0f} events of background, or ask for a larger one."
        )
