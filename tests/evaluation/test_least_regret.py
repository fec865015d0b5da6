"""The least regret: by the theory's own numbers, as a bound on scores that are tried, and by its symmetries."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import norm

import hepad
from hepad.errors import InputError
from hepad.evaluation.least_regret import _areas

N = 20_000


def normal(rho=0.0, seed=1, k=3):
    z = np.random.default_rng(seed).multivariate_normal(np.zeros(k), np.eye(k) * (1 - rho) + rho, N)
    return {f"d{i}": column for i, column in enumerate(z.T)}


@pytest.mark.parametrize("auc", [0.75, 0.95])
def test_two_independent_detectors_lose_what_an_integral_says(auc):
    """By symmetry the odds are even; P(T < t) of T = exp(mu x) + exp(mu y) is an integral over x."""
    mu = np.sqrt(2) * ndtri(auc)
    x = np.linspace(-9, 9, 4001)

    def cumulative(t, shift):
        rest = np.log(np.clip(t - np.exp(mu * x), 1e-300, None)) / mu
        return np.trapezoid(norm.pdf(x - shift) * norm.cdf(rest), x)

    t = np.exp(np.linspace(-8, 8 + mu**2, 1500))
    background, signal = (np.array([cumulative(value, shift) for value in t]) for shift in (0, mu))
    area = np.sum(np.diff(signal) * (background[1:] + background[:-1]) / 2)
    found = hepad.least_regret(normal(k=2), auc)
    assert found.value == pytest.approx(auc - area, abs=0.004)
    assert found.reached == pytest.approx(found.value, abs=0.002)
    assert list(found.odds.values()) == pytest.approx([0.5, 0.5], abs=0.05)


@pytest.mark.parametrize("auc", [0.7, 0.9])
def test_no_score_that_is_tried_has_less(auc):
    scores = normal(0.4)
    z, mu = np.stack(list(scores.values()), 1), np.sqrt(2) * ndtri(auc)
    least = hepad.least_regret(scores, auc).value
    normal_scores = ndtri((np.argsort(np.argsort(z, 0), 0) + 0.5) / N)
    g = np.exp(mu * normal_scores)
    g /= g.mean(0)
    own = np.diag(_areas(z, g))
    p = norm.sf(z)
    rng = np.random.default_rng(7)
    tried = [z.sum(1), z.max(1), -np.log(p).sum(1), (1 / p).sum(1), (z**2).sum(1), *(z @ rng.random((3, 20))).T]
    losses = (own - _areas(np.stack(tried, 1), g)).max(1)
    assert (losses >= least - 1e-9).all()
    assert losses.min() < least + 0.02  # some come near


def test_it_falls_with_dependence_and_rises_with_detectors():
    found = [hepad.least_regret(normal(rho), 0.9).value for rho in (0, 0.5, 0.9, 0.999)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.003
    assert hepad.least_regret(normal(k=7), 0.9).value > 1.4 * hepad.least_regret(normal(k=3), 0.9).value


def test_only_the_order_of_scores_matters_and_a_copy_changes_nothing():
    scores = normal(0.2, k=2)
    found = hepad.least_regret(scores, 0.85)
    other = hepad.least_regret({"a": np.exp(scores["d0"]), "b": scores["d1"] ** 3}, 0.85)
    assert other.value == pytest.approx(found.value)
    copied = hepad.least_regret(scores | {"again": scores["d1"]}, 0.85)
    assert copied.value == pytest.approx(found.value, abs=1e-3)


def test_one_detector_that_others_cover_gets_no_odds():
    z = normal(k=3)
    found = hepad.least_regret(z | {"like d0": z["d0"] + 0.05 * z["d1"] + 0.05 * z["d2"]}, 0.9)
    assert found.odds["d1"] == pytest.approx(found.odds["d2"], abs=0.05)
    assert found.odds["d0"] + found.odds["like d0"] == pytest.approx(found.odds["d1"], abs=0.08)


def test_scores_that_events_share_leave_a_bound():
    """A score of two values beside a normal one: the bound lies below what its own score has, as for any."""
    rng = np.random.default_rng(3)
    scores = {"normal": rng.normal(size=5000), "tag": rng.integers(2, size=5000).astype(float)}
    for auc in (0.7, 0.95, 0.99):
        found = hepad.least_regret(scores, auc)
        assert found.value <= found.reached + 1e-9
        assert found.reached == pytest.approx(found.value, abs=0.01)


@pytest.mark.parametrize(
    ("scores", "auc", "message"),
    [
        ({"a": np.zeros(2000)}, 0.9, "two detectors"),
        ({"a": np.zeros(2000), "b": np.zeros(1999)}, 0.9, "'b' have shape"),
        ({"a": np.arange(999.0), "b": np.arange(999.0)}, 0.9, "999 background events are too few"),
        ({"a": np.arange(2000.0), "b": np.full(2000, np.nan)}, 0.9, "'b' are not all finite"),
        ({"a": np.arange(2000.0), "b": np.arange(2000.0)}, 1.0, "auc = 1 must lie"),
        ({"a": np.arange(2000.0), "b": np.arange(2000.0)}, 0.5, "auc = 0.5 must lie"),
    ],
)
def test_what_cannot_be_answered_is_said(scores, auc, message):
    with pytest.raises(InputError, match=message):
        hepad.least_regret(scores, auc)
