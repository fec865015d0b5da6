"""Blind criteria: known answers, laws of Gaussian scores, what they do not depend on, bad input."""

import itertools

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm, wasserstein_distance

from hepad.errors import InputError
from hepad.evaluation.blind_criteria import argos, by_rank, capacity, score_distance, smoothed, threshold_drift

RNG = np.random.default_rng


def test_pairs_have_equal_ranks():
    first, second = by_rank([3.0, 1.0, 2.0], np.arange(101.0)[::-1])
    assert first.tolist() == [1, 2, 3]
    assert second.tolist() == [0, 50, 100]  # lowest, median and highest of the larger sample


def views(reliability, size=20_000, seed=0):
    """Two views of a score, of which the share ``reliability`` is common, each with variance one."""
    common, *own = RNG(seed).normal(size=(3, size))
    return [np.sqrt(reliability) * common + np.sqrt(1 - reliability) * noise for noise in own]


def test_capacity_is_the_overlap_of_two_gibbs_posteriors():
    """Term by term as it is defined: the energies of both divisions of every event, their partition functions."""
    s, other = RNG(1).normal(size=(2, 7))
    both = np.concatenate([s, other])
    u = expit((both - np.median(both)) / (both.std(ddof=1) / 4))
    low, high = u.mean() - 0.5 * u.std(ddof=1), u.mean() + 0.5 * u.std(ddof=1)
    energies = np.stack([u + np.maximum(0, u - low), 1 - u + np.maximum(0, high - u)])  # (division, event)
    for beta in (0.0, 0.7, 3.0):
        one, two = (np.exp(-beta * part) for part in np.split(energies, 2, axis=1))
        expected = np.mean(np.log((one * two).sum(0) / (one.sum(0) * two.sum(0))))
        assert capacity(s, other, betas=[beta]) == pytest.approx(expected, rel=1e-12)


def test_capacity_rises_with_what_two_views_share():
    values = [capacity(*views(reliability)) for reliability in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert all(low < high for low, high in itertools.pairwise(values))
    assert values[0] == pytest.approx(-np.log(2), abs=1e-3)  # nothing shared: no division says anything
    assert values[-1] > -0.05


def test_capacity_depends_on_no_scale_and_no_origin():
    first, second = views(0.7, 500)
    assert capacity(5 + 3 * first, 5 + 3 * second) == pytest.approx(capacity(first, second), rel=1e-9)
    assert capacity(second, first) == pytest.approx(capacity(first, second), rel=1e-12)
    assert capacity(-first, -second) == pytest.approx(capacity(first, second), rel=1e-9)  # nor on the sign: it is blind
    assert capacity(np.ones(9), np.ones(9)) == pytest.approx(-np.log(2))


def test_drift_of_known_counts():
    """Nine in ten of 100 scores lie below 90: of 40 others 8 are at 90 or above, where 0.1 are asked for."""
    calibration, others = np.arange(1.0, 101.0), np.repeat([10.0, 95.0], [32, 8])
    expected = np.log((0.2 + 0.0125) / (0.1 + 0.0125))
    assert threshold_drift(calibration, others, 0.1) == pytest.approx(expected, rel=1e-12)
    assert threshold_drift(np.exp(calibration), np.exp(others), 0.1) == pytest.approx(expected, rel=1e-12)
    none = threshold_drift(calibration, np.zeros(40), 0.1)  # finite where nothing passes
    assert none == pytest.approx(np.log((0.1 + 0.0125) / 0.0125), rel=1e-12)


def test_drift_of_a_shifted_normal_is_that_of_its_tail():
    x, y = RNG(2).normal(size=(2, 400_000))
    expected = np.log(norm.sf(norm.isf(0.01) - 0.3) / 0.01)
    assert threshold_drift(x, y + 0.3, 0.01) == pytest.approx(expected, abs=0.05)  # 3 sigma of the counts
    assert threshold_drift(x, y, 0.01) < 0.07


def test_distance_is_that_of_scipy_on_logarithms():
    x, y = RNG(3).exponential(size=(2, 300)) * [[1.0], [2.0]]
    assert score_distance(x, y) == pytest.approx(wasserstein_distance(np.log1p(x), np.log1p(y)), rel=1e-12)
    assert score_distance(x, x[::-1]) == 0
    assert score_distance([-3.0, -1.0, np.e - 1], [0.0, 0.0, 0.0]) == pytest.approx(1 / 3)  # below zero is zero
    large = RNG(4).exponential(size=30_000)
    assert score_distance(x, large) == pytest.approx(wasserstein_distance(np.log1p(x), np.log1p(large)), abs=0.01)


def test_argos_of_known_efficiencies():
    """At t = 90 a tenth of the template and half of the data pass: 0.5 / sqrt(0.1) - sqrt(0.1)."""
    template, data = np.arange(100.0), np.repeat([0.0, 95.0], 50)
    assert argos(template, data) == pytest.approx(0.5 / np.sqrt(0.1) - np.sqrt(0.1))
    assert argos(template, data, least=5) == pytest.approx(0.5 / np.sqrt(0.05) - np.sqrt(0.05))
    assert argos(template, template) == pytest.approx(0, abs=1e-12)
    assert argos(template, np.zeros(50)) == 0  # nothing exceeds the template anywhere
    assert argos(np.ones(50), np.ones(20)) == 0  # a constant score
    assert argos([1.0, 2.0], [3.0]) == 0  # too few events for any threshold


def test_argos_of_a_mixture_is_the_excess_of_its_signal():
    """Of data with a share f of signal it is f times that of the signal alone, whatever the score's scale."""
    background, signal = RNG(5).normal(size=200_000), RNG(6).normal(1.5, size=20_000)
    data = np.concatenate([background, signal])
    expected = len(signal) / len(data) * argos(background, signal, 2000)
    assert argos(background, data, 2000) == pytest.approx(expected, rel=1e-9)
    assert argos(np.exp(background), np.exp(data), 2000) == pytest.approx(expected, rel=1e-9)


def test_the_running_average_forgets_a_tenth_a_record():
    assert smoothed([1.0, 1.0, 1.0]).tolist() == [1, 1, 1]
    assert smoothed([0.0, 1.0, 1.0]) == pytest.approx([0, 0.1, 0.19])
    assert smoothed([2.0, 4.0], decay=0.5).tolist() == [2, 3]


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf], [[1.0, 2.0]]])
@pytest.mark.parametrize(
    "criterion", [by_rank, capacity, score_distance, argos, lambda x, y: threshold_drift(x, y, 0.1)]
)
def test_scores_that_are_none_are_refused(criterion, scores):
    with pytest.raises(InputError, match="must be a row of finite numbers"):
        criterion(scores, [1.0, 2.0])
    with pytest.raises(InputError, match="must be a row of finite numbers"):
        criterion([1.0, 2.0], scores)


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="3 and 2 scores are no pairs"):
        capacity([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(InputError, match="eps_b = 1 must lie"):
        threshold_drift([1.0], [1.0], 1.0)
