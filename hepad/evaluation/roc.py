"""Signal efficiencies, rejections and AUC of a score, each with its uncertainty.

Working point of background efficiency ε_B: t(ε_B), in the middle between two scores of background events, is as low as
ε(t) <= ε_B on background allows; then ε_S = ε(t) on signal, ε that of :mod:`hepad.evaluation.score_distribution`. An
event passes t if its score is above t. What is quoted is ε_S at the threshold whose *true* background efficiency is
ε_B, and 1/ε_B at that whose true signal efficiency is ε_S: their intervals have the counts of both samples in them
(:mod:`hepad.evaluation.threshold_uncertainty`).

AUC from the placements of the signal events in the background, and the reverse (E. DeLong et al. 1988; X. Sun and
W. Xu 2014), where ties count half:

    V_i = [ #(b < s_i) + ½ #(b = s_i) ] / n_B,   V_j = [ #(s > b_j) + ½ #(s = b_j) ] / n_S
    AUC = mean V_i = mean V_j,                   σ² = var(V_i) / n_S + var(V_j) / n_B

The interval is Clopper and Pearson's of the binomial experiment of that value and variance, n_eff = AUC (1 - AUC) / σ²,
which bends away from 0 and 1 as it must; with perfect separation, σ = 0, n_eff is that of the smaller sample. Rows that
are not independent, as two jets of one event, count as clusters (:mod:`hepad.evaluation.clusters`).

Weights, of either sign, stand for counts: sums and means are weighted, as those of a generator at next-to-leading order
have to be. Where ε(t) is not monotonic for it, t(ε_B) is the lowest threshold that neither it nor a higher one exceeds
the budget at. All intervals are central, at the level ``LEVEL``.
"""

from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.efficiency import ROUNDING, Efficiency, clopper_pearson
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.streaming import distribution
from hepad.evaluation.threshold_uncertainty import at_truth, efficiency_at_truth

EPS_B = (1e-1, 1e-2, 1e-3, 1e-4)

EPS_S = (0.2, 0.3, 0.5)

INTERVALS = 40  # intervals of a curve


class WorkingPoint(NamedTuple):
    """Threshold for the requested ``eps_b``, what passes it, and ε_S where the true background efficiency is ``eps_b``.

    ``resolved``: at least MIN_COUNT ``independent`` background events pass (an effective number); otherwise the sample
    does not fix the threshold. Nor is a point resolved at which the weights of the passing signal sum to less than
    nothing: its ``eps_s`` is NaN. ``remark``: what is to be known of the weights, in words, or ''.
    """

    eps_b: float
    threshold: float
    n_background_passed: int
    independent: float
    background: Efficiency
    eps_s: Efficiency
    resolved: bool
    remark: str = ""


class Rejection(NamedTuple):
    """1/ε_B at the requested ``eps_s``; if not ``resolved``, only the lower bound ``low`` is known, the rest is NaN."""

    eps_s: float
    threshold: float
    n_background_passed: int
    independent: float
    inverse_eps_b: float
    low: float
    high: float
    resolved: bool
    remark: str = ""


class AUC(NamedTuple):
    """Area under the curve with its interval."""

    value: float
    low: float
    high: float


class Curve(NamedTuple):
    """ε_S with its interval [low, high] against the ε_B reached; arrays of one length, ε_B rising to 1.

    ``independent``: effective number of independent background events that pass.
    """

    eps_b: np.ndarray
    eps_s: np.ndarray
    low: np.ndarray
    high: np.ndarray
    independent: np.ndarray


class Evaluation(NamedTuple):
    """Everything that is measured of one detector on one signal.

    Rows are probe jets, but for ``events``: the curve as a trigger counts, an event by its highest score. ``remark`` is
    on the weights of the samples.
    """

    n_background: int
    n_signal: int
    auc: AUC
    working_points: list[WorkingPoint]
    rejections: list[Rejection]
    curve: Curve
    events: Curve
    remark: str = ""


def threshold_at(background_scores, eps_b: float, weights=None) -> float:
    """Threshold that as much of the background passes as fits into ``eps_b``: :meth:`ScoreDistribution.at_most`.

    It is a function of background alone, because a trigger threshold is set before any signal is known: a threshold
    that has seen a signal is not blind. Ties never exceed the budget: then fewer events pass.

    Parameters
    ----------
    background_scores: (n,), finite
    eps_b: in (0, 1]
    weights: (n,), of positive sum; None for unit weights
    """
    return float(distribution("background", background_scores, weights).at_most(_fractions("eps_b", [eps_b]))[0])


def efficiencies(background, signal, eps_b=EPS_B, background_weights=None, signal_weights=None) -> list[WorkingPoint]:
    """ε_S at the thresholds that the background efficiencies ``eps_b`` ask for; arguments as in :func:`evaluate`."""
    b, s = _distribution("background", background, background_weights), _distribution("signal", signal, signal_weights)
    points = []
    for request, threshold in zip(eps_b, b.at_most(_fractions("eps_b", eps_b)).tolist(), strict=True):
        on_b, on_s = b.efficiency(threshold), efficiency_at_truth(b, request, s, threshold)
        resolved = b.resolved(threshold) and not np.isnan(on_s.value)
        remark = _remark(b, s, threshold)
        counts = (on_b.passed, float(b.independent(threshold)))
        points.append(WorkingPoint(float(request), threshold, *counts, on_b, on_s, resolved, remark))
    return points


def rejections(background, signal, eps_s=EPS_S, background_weights=None, signal_weights=None) -> list[Rejection]:
    """1/ε_B at the largest thresholds that keep the signal efficiencies ``eps_s``; arguments as in :func:`evaluate`.

    These thresholds know the signal: a figure of merit for comparing detectors, not a way to set a trigger.
    """
    b, s = _distribution("background", background, background_weights), _distribution("signal", signal, signal_weights)
    results = []
    for request, threshold in zip(eps_s, s.at_least(_fractions("eps_s", eps_s)).tolist(), strict=True):
        on_b = efficiency_at_truth(s, request, b, threshold)
        resolved = b.resolved(threshold) and on_b.low > 0
        inverse, upper = (1 / on_b.value, 1 / on_b.low) if resolved else (np.nan, np.nan)
        values = (inverse, 1 / on_b.high, upper, resolved, _remark(b, s, threshold))
        counts = (on_b.passed, float(b.independent(threshold)))
        results.append(Rejection(float(request), threshold, *counts, *values))
    return results


def roc(background, signal, points: int = 200, background_weights=None, signal_weights=None) -> Curve:
    """ε_S at up to ``points`` background efficiencies, equally spaced in log ε_B from 1/n_B to 1.

    The efficiencies given are those reached, which differ from those asked for where scores tie; each is listed once.
    Intervals are computed at ``INTERVALS`` of them; in between, their lengths are interpolated. With weights of both
    signs those thresholds are left out at which ε_B is below that of a higher one, or ε_S below 0.
    """
    b, s = _distribution("background", background, background_weights), _distribution("signal", signal, signal_weights)
    thresholds = np.unique(b.at_most(np.geomspace(1 / b.whole.n, 1, points)))[::-1]
    eps_b, eps_s = b.intervals(thresholds)[0], s.intervals(thresholds)[0]
    rising = np.nan_to_num(eps_b) > np.append(0, np.fmax.accumulate(np.nan_to_num(eps_b))[:-1])
    thresholds, eps_b, eps_s = (x[rising & ~np.isnan(eps_s)] for x in (thresholds, eps_b, eps_s))
    places = np.unique(np.linspace(0, len(thresholds) - 1, INTERVALS).round().astype(int))
    low, high = at_truth(b, eps_b[places], s, thresholds[places])
    x = np.log(eps_b)
    lower, upper = (np.interp(x, x[places], width) for width in (eps_s[places] - low, high - eps_s[places]))
    return Curve(eps_b, eps_s, np.maximum(eps_s - lower, 0), np.minimum(eps_s + upper, 1), b.independent(thresholds))


def auc(background, signal, background_weights=None, signal_weights=None) -> AUC:
    """Probability that a signal event scores above a background event, with its interval.

    O(n log n). Needs two events of each sample.
    """
    b, s = _distribution("background", background, background_weights), _distribution("signal", signal, signal_weights)
    for name, sample in (("background", b), ("signal", s)):
        if sample.n_eff < 1.001:
            raise InputError(
                f"evaluation: the {name} sample, {sample.whole.n} events, counts for no more than one event; an "
                "uncertainty needs two. Add events, or look whether few weights outweigh or cancel all others."
            )
    value, from_signal = s.mean(b.placements(s))
    _, from_background = b.mean(s.placements(b))
    variance, separated = from_signal + from_background, abs(value - 0.5) >= 0.5 - ROUNDING
    value = min(max(float(round(value)) if separated else value, 0.0), 1.0)  # weights of both signs may lead beyond
    if variance <= ROUNDING**2 and not separated:  # a constant score
        return AUC(value, value, value)
    n = min(b.n_eff, s.n_eff) if separated else value * (1 - value) / variance
    return AUC(value, *(float(x) for x in clopper_pearson(value * n, n)))


def evaluate(
    background, signal, eps_b=EPS_B, eps_s=EPS_S, background_weights=None, signal_weights=None, events=None
) -> Evaluation:
    """Measure one score on one background and one signal sample.

    Parameters
    ----------
    background, signal: (n,) scores, higher = more anomalous; an empty sample, NaN or infinity is an InputError. Or a
        :class:`hepad.evaluation.score_distribution.ScoreDistribution` of a sample that need not be in memory, which has
        its weights
    eps_b, eps_s: requested background and signal efficiencies in (0, 1]
    background_weights, signal_weights: (n,), of positive sum, also with negative ones; None for unit weights
    events: background and signal again, each event once with its highest score; None if every row is an event

    Returns
    -------
    Evaluation: ``auc``, ``working_points`` (ε_S at the ε_B), ``rejections`` (1/ε_B at the ε_S) and ``curve``, each with
    its interval

    Examples
    --------
    >>> found = hepad.evaluate(np.arange(100.0), np.arange(50.0, 150.0), eps_b=[0.2])
    >>> round(found.auc.value, 3), found.working_points[0].n_background_passed
    (0.875, 20)
    """
    b, s = _distribution("background", background, background_weights), _distribution("signal", signal, signal_weights)
    curve = roc(b, s)
    return Evaluation(
        n_background=b.whole.n,
        n_signal=s.whole.n,
        auc=auc(b, s),
        working_points=efficiencies(b, s, eps_b),
        rejections=rejections(b, s, eps_s),
        curve=curve,
        events=curve if events is None or (events[0] is b and events[1] is s) else roc(*events),
        remark=_remark(b, s),
    )


def to_json(evaluation: Evaluation) -> dict:
    """Plain numbers, for :func:`hepad.storage.files.write_json`."""
    nested = ("background", "eps_s")
    points = [p._asdict() | {name: getattr(p, name)._asdict() for name in nested} for p in evaluation.working_points]
    return evaluation._asdict() | {
        "auc": evaluation.auc._asdict(),
        "working_points": points,
        "rejections": [rejection._asdict() for rejection in evaluation.rejections],
        **{x: {k: v.tolist() for k, v in getattr(evaluation, x)._asdict().items()} for x in ("curve", "events")},
    }


def from_json(value: dict) -> Evaluation:
    """The inverse of :func:`to_json`; null is NaN. InputError if ``value`` is anything else."""
    try:
        points = [
            WorkingPoint(**p | {name: Efficiency(**_with_nan(p[name])) for name in ("background", "eps_s")})
            for p in value["working_points"]
        ]
        parts = {
            "auc": AUC(**value["auc"]),
            "working_points": points,
            "rejections": [Rejection(**_with_nan(entry)) for entry in value["rejections"]],
            **{kind: Curve(**{k: np.asarray(v) for k, v in value[kind].items()}) for kind in ("curve", "events")},
        }
        return Evaluation(**value | parts)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"evaluation: not the JSON of an evaluation ({error}). Delete the file, run again.") from None


def _with_nan(values: dict) -> dict:
    return {key: np.nan if x is None else x for key, x in values.items()}


def _fractions(name: str, values) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 1 or not np.all((values > 0) & (values <= 1)):
        raise InputError(f"evaluation.{name}: {values.tolist()} must be efficiencies in (0, 1]. Correct the config.")
    return values


def _remark(background: ScoreDistribution, signal: ScoreDistribution, threshold: float = -np.inf) -> str:
    remarks = {"background": background.remark(threshold), "signal": signal.remark(threshold)}
    return " ".join(f"{name}: {text}" for name, text in remarks.items() if text)


def _distribution(name: str, sample, weights) -> ScoreDistribution:
    return sample if isinstance(sample, ScoreDistribution) else distribution(name, sample, weights)
