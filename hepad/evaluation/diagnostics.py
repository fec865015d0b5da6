r"""Is a score stable, and does it measure what it should? Numbers of the background under one detector.

Pile-up: the efficiency at a fixed threshold in bins of the number of collisions n, fitted by least squares with

    ε(n) = a,    ε(n) = a + b (n - n̄),    σ_i² = ε̂_i (1 - ε̂_i) / N_i  of the fitted line

χ² and p-value of both say whether the rate is constant, or at least linear, in pile-up; b / ε̄ is its relative change
per collision.

Invariance: of an event and its copy turned by a random angle φ, or mirrored in η, |Δs| over the spread of the score,
half the distance of its 16 and 84 % quantiles; and the share of decisions that change. No physics depends on either.

Sculpting: p the distribution of the mass in equally populated bins, q that of the events that pass,

    JSD(p, q) = H((p + q) / 2) - H(p) / 2 - H(q) / 2   [bits],   0 (same) to 1 (nothing in common)

JSD > 0 for any finite sample: beside it stands what as many events give that are drawn at random.

Correlation: Spearman's ρ, interval by Fisher's z with variance (1 + ρ²/2) / (n - 3) (D. Bonett, T. Wright 2000).

Weights are used for thresholds only; rows count once.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, ndtri

from hepad.errors import InputError
from hepad.evaluation.binned_efficiency import BinnedEfficiency, efficiency_against
from hepad.evaluation.efficiency import LEVEL
from hepad.evaluation.roc import threshold_at
from hepad.evaluation.scored_sample import Rows, joined
from hepad.events import Events
from hepad.events.observables import OBSERVABLES, available, measure

COLLECTIONS = ("constituents", "jets", "electrons", "muons", "photons", "taus")
BINS, DRAWS = 20, 200
FOLLOWED = ("multiplicity", "n_jets", "jet_pt", "jet_mass", "ht", "met", "pileup", "n_pv")
MASS, PILEUP = OBSERVABLES["jet_mass"].label, tuple(OBSERVABLES[name].label for name in ("pileup", "n_pv"))


class PileupCheck(NamedTuple):
    """``slope`` b / ε̄ per collision with its interval; p-values of a constant and of a linear rate."""

    binned: BinnedEfficiency
    slope: float
    low: float
    high: float
    p_constant: float
    p_linear: float


class Invariance(NamedTuple):
    """|Δs| / spread: its median and 95 % quantile; ``flipped``: share of events on the other side of the threshold."""

    median: float
    high: float
    flipped: float
    events: int


class Sculpting(NamedTuple):
    """JSD at one ε_B, and the median and 97.5 % quantile of what no sculpting gives; ``passed`` events."""

    eps_b: float
    jsd: float
    null_median: float
    null_high: float
    passed: int


class Correlation(NamedTuple):
    """Spearman's ρ and its interval; NaN where the variable or the score is constant."""

    rho: float
    low: float
    high: float


class ScoredVariables(NamedTuple):
    """The :func:`variables` of N events, their weights (N,), and {'detector/seed': (N,) scores}."""

    variables: dict[str, np.ndarray]
    weight: np.ndarray
    scores: dict[str, np.ndarray]


def scored_variables(blocks: Iterable[Rows]) -> ScoredVariables:
    """The variables, weights and scores of events in blocks; the events themselves do not stay in memory."""
    parts = [(variables(events), events.weight, scores) for events, scores in blocks]
    columns, weight, scores = zip(*parts, strict=True)
    return ScoredVariables(joined(columns), np.concatenate(weight), joined(scores))


def variables(events: Events) -> dict[str, np.ndarray]:
    """{label: (N,)} of what a score may follow without meaning to; only what the events have."""
    names = available(events, FOLLOWED)
    hidden = "n_jets" if "multiplicity" in names else None, "n_pv" if "pileup" in names else None
    return measure(events, [name for name in names if name not in hidden])


def against_pileup(scores, pileup, threshold: float, weights=None) -> PileupCheck | None:
    """Efficiency against pile-up (N,) in bins of about equal population; None if it hardly varies or too few pass.

    ``weights``: (N,); None for counts. Ten events pass in a bin on average, so that χ² is one, and there are three
    bins to eight.
    """
    scores, pileup = np.asarray(scores), np.asarray(pileup, float)
    passes, w = scores > threshold, np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    # what the weights of a passing event are worth: the same in all bins, since few of them do not know it
    spread = (w[passes] ** 2).sum() / w[passes].sum() if passes.any() else 1.0
    bins = min(8, int(w[passes].sum() / spread) // 10)
    edges = np.unique(np.round(np.quantile(pileup, np.linspace(0, 1, max(bins, 1) + 1))) - 0.5)
    if len(edges) < 4:
        return None
    edges[-1] += 1
    binned = efficiency_against(scores, threshold, pileup, edges, weights)
    population = np.histogram(pileup, edges)[0]
    n = np.histogram(pileup, edges, weights=pileup)[0]
    filled = binned.total > 0
    total = np.histogram(pileup, edges, weights=w)[0][filled] / spread
    n, value = n[filled] / population[filled], binned.value[filled]
    mean = (value * total).sum() / total.sum()
    if mean == 1 or len(n) < 3:
        return None
    x = n - np.average(n, weights=total)
    chi2 = {}
    for order in (0, 1):
        fitted = np.full(len(x), mean)
        for _ in range(3):  # the variance is that of the fit
            w = total / np.clip(fitted * (1 - fitted), mean / total.sum(), None)
            design = np.stack([np.ones_like(x), x][: order + 1], axis=1)
            covariance = np.linalg.inv(design.T @ (design * w[:, None]))
            parameters = covariance @ (design.T @ (w * value))
            fitted = np.clip(design @ parameters, 0, 1)
        chi2[order] = float(w @ (value - design @ parameters) ** 2)
    p = {order: float(gammaincc((len(x) - order - 1) / 2, chi2[order] / 2)) for order in chi2}
    slope, width = parameters[1] / mean, ndtri(0.5 + LEVEL / 2) * np.sqrt(covariance[1, 1]) / mean
    return PileupCheck(binned, float(slope), float(slope - width), float(slope + width), p[0], p[1])


def rotated(events: Events, angle: np.ndarray) -> Events:
    """Each event turned around the beam by its ``angle`` (N,) [rad]."""

    def turn(phi, pt):
        phase = angle.reshape(-1, *(1,) * (phi.ndim - 1))
        return np.where(pt > 0, (phi + phase + np.pi) % (2 * np.pi) - np.pi, phi).astype(phi.dtype)

    return _changed(events, 2, turn, met=True)


def mirrored(events: Events) -> Events:
    """η to -η of everything."""
    return _changed(events, 1, lambda eta, pt: np.where(pt > 0, -eta, eta), met=False)


def _changed(events: Events, column: int, change: Callable, met: bool) -> Events:
    new = {}
    for name in ("jet", *COLLECTIONS):
        new[name] = getattr(events, name).copy()
        new[name][..., column] = change(new[name][..., column], new[name][..., 0])
    if met:
        new["met"] = events.met.copy()
        new["met"][:, 1] = change(new["met"][:, 1], new["met"][:, 0])
    return replace(events, **new)


def copies(events: Events, rng: np.random.Generator) -> dict[str, Events]:
    """The events as they are ('original'), turned by random angles ('rotation') and mirrored ('mirror')."""
    angle = rng.uniform(-np.pi, np.pi, len(events))
    return {"original": events, "rotation": rotated(events, angle), "mirror": mirrored(events)}


def invariance(scores: dict[str, np.ndarray], threshold: float) -> dict[str, Invariance]:
    """How much a score changes, from its values (N,) on :func:`copies`, by the name of the copy."""
    original = scores["original"]
    low, high = np.quantile(original, [0.16, 0.84])
    if not high > low:
        raise InputError("diagnostics: the score has no spread on this background. Look at its histogram.")
    results = {}
    for name in ("rotation", "mirror"):
        median, upper = np.quantile(np.abs(scores[name] - original) / ((high - low) / 2), [0.5, 0.95])
        flipped = np.mean((scores[name] > threshold) != (original > threshold))
        results[name] = Invariance(float(median), float(upper), float(flipped), len(original))
    return results


def jensen_shannon(p, q) -> float:
    """Jensen-Shannon divergence of two histograms (B,) in bits."""
    p, q = (np.asarray(x, float) / np.sum(x) for x in (p, q))

    def entropy(x):
        return -np.sum(x * np.log2(np.where(x > 0, x, 1)))

    return float(max(entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2, 0.0))


def sculpting(scores, mass, eps_b, rng: np.random.Generator, weights=None) -> list[Sculpting]:
    """JSD of the mass (N,) before and after the cut, at each ε_B at which at least one event passes."""
    scores, mass = np.asarray(scores), np.asarray(mass, float)
    edges = np.unique(np.quantile(mass, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, mass, side="right") - 1, 0, max(len(edges) - 2, 0))
    whole = np.bincount(place, minlength=BINS)
    results = []
    for eps in eps_b:
        passed = scores > threshold_at(scores, eps, weights)
        count = int(passed.sum())
        if count:
            null = [
                jensen_shannon(whole, h)
                for h in rng.multivariate_hypergeometric(whole, count, DRAWS, method="marginals")
            ]
            middle, high = np.quantile(null, [0.5, 0.975])
            jsd = jensen_shannon(whole, np.bincount(place[passed], minlength=BINS))
            results.append(Sculpting(float(eps), jsd, float(middle), float(high), count))
    return results


def ranks(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Ranks (N,) of numbers, from 1 on; equal ones have their mean rank. (scipy.stats takes a second to import.)

    ``weights``: (N,), how many each of them stands for
    """
    _, place = np.unique(x, return_inverse=True)
    count = np.bincount(place, weights)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def correlation(scores, variable, weights=None) -> Correlation:
    """Spearman's ρ of score and variable, both (N,), N > 3; ``weights`` (N,) > 0, or None."""
    w = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    constant = np.ptp(scores) == 0 or np.ptp(variable) == 0
    covariance = np.cov(ranks(scores, w), ranks(variable, w), aweights=w)
    rho = np.nan if constant else float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    effective = w.sum() ** 2 / (w**2).sum()
    width = ndtri(0.5 + LEVEL / 2) * np.sqrt((1 + rho**2 / 2) / max(effective - 3, 1))
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    return Correlation(rho, float(np.tanh(z - width)), float(np.tanh(z + width)))


def turn_ons(samples: dict[str, tuple[np.ndarray, dict, np.ndarray]], threshold: float) -> dict:
    """Efficiency against pT, mass, HT and missing pT in twelve equally populated bins that all samples share.

    ``samples``: name -> (scores (N,), :func:`variables`, weights (N,)); returns variable -> sample -> BinnedEfficiency.
    """
    tables, results = {name: columns for name, (_, columns, _) in samples.items()}, {}
    for variable in next(iter(tables.values())):
        if "GeV" not in variable or not all(variable in columns for columns in tables.values()):
            continue
        values = np.concatenate([columns[variable] for columns in tables.values()])
        edges = np.unique(5 * np.round(np.quantile(values, np.linspace(0, 1, 13)) / 5))  # round edges [GeV]
        if len(edges) > 2:
            results[variable] = {
                name: efficiency_against(scores, threshold, tables[name][variable], edges, weights)
                for name, (scores, _, weights) in samples.items()
            }
    return results


def diagnose(scores, variables: dict, weights, copy_scores: dict, eps_b, working_point: float, seed: int = 0) -> dict:
    """All checks of one detector on background events.

    Parameters
    ----------
    scores: (N,) of the test part of the background
    variables, weights: of the same events, as in :class:`ScoredVariables`
    copy_scores: scores of :func:`copies` of some of them
    eps_b: background efficiencies of the sculpting
    working_point: background efficiency of the threshold for pile-up and for decisions

    Returns
    -------
    JSON: 'pileup' (or None), 'invariance', 'sculpting', 'correlation', 'mass' (densities before and after the cut)
    """
    rng, threshold = np.random.default_rng(seed), threshold_at(scores, working_point, weights)
    pileup, mass = next((variables[x] for x in PILEUP if x in variables), None), variables[MASS]
    check = None if pileup is None else against_pileup(scores, pileup, threshold, weights=weights)
    edges = np.linspace(*np.quantile(mass, [0.0, 0.995]), 31)
    passed, weights = scores > threshold, np.asarray(weights, float)
    positive = weights if (weights > 0).all() else None
    return {
        "pileup": check and check._asdict() | {"binned": {k: v.tolist() for k, v in check.binned._asdict().items()}},
        "invariance": {name: result._asdict() for name, result in invariance(copy_scores, threshold).items()},
        "sculpting": [result._asdict() for result in sculpting(scores, mass, eps_b, rng, weights)],
        "correlation": {name: correlation(scores, x, positive)._asdict() for name, x in variables.items()},
        "mass": {
            "edges": edges.tolist(),
            "all": np.histogram(mass, edges, weights=weights)[0].tolist(),
            "passed": np.histogram(mass[passed], edges, weights=weights[passed])[0].tolist(),
        },
        "working_point": float(working_point),
        "events": len(scores),
    }
