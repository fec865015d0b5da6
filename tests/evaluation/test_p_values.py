"""Conformal p-values: exact on background for any score and any number of events, by known laws and by counting."""

import numpy as np
import pytest
from scipy.stats import beta, binom

import hepad
from hepad.errors import InputError
from hepad.evaluation.p_values import of_scores, p_values, smallest
from hepad.evaluation.streaming import StreamingDistribution, distribution


def test_p_is_counted():
    background = [3.0, 1.0, 2.0, 2.0]
    expected = {0.5: 5 / 5, 1.0: 5 / 5, 1.5: 4 / 5, 2.0: 4 / 5, 2.5: 2 / 5, 3.0: 2 / 5, 3.1: 1 / 5, np.inf: 1 / 5}
    np.testing.assert_allclose(hepad.p_values(background, list(expected)), list(expected.values()))
    assert p_values(background, [-np.inf])[0] == 1
    assert np.isnan(p_values(background, [np.nan])[0])
    assert len(p_values(background, [])) == 0


@pytest.mark.parametrize("n", [1, 9, 24])
@pytest.mark.parametrize("ties", [False, True])
def test_background_is_super_uniform(n, ties):
    """One event for each of many calibrations: P(p <= a) = floor(a (n + 1)) / (n + 1), with ties less."""
    rng, toys = np.random.default_rng(n), 20_000
    scores = rng.integers(0, 4, (toys, n + 1)).astype(float) if ties else rng.standard_cauchy((toys, n + 1))
    p = np.array([p_values(row[1:], row[:1])[0] for row in scores[:4000]]) if ties else by_rank(scores)
    for rank in range(1, n + 2):
        exact, seen = rank / (n + 1), (p <= rank / (n + 1) + 1e-12).sum()
        low, high = binom.interval(0.9999, len(p), exact)
        assert seen <= high
        assert ties or seen >= low


def by_rank(scores):
    """p-values of the first column from the others, by another way than the package's: a few of its own beside."""
    p = (1 + (scores[:, 1:] >= scores[:, :1]).sum(1)) / scores.shape[1]
    np.testing.assert_allclose(p[:200], [p_values(row[1:], row[:1])[0] for row in scores[:200]])
    return p


def test_one_calibration_has_the_law_of_a_beta():
    rng, n, a = np.random.default_rng(1), 199, 0.05
    k = int(a * (n + 1))
    # of uniform scores the share of background with p <= a is one minus the k-th largest calibration score
    shares = np.sort(1 - rng.random((3000, n)), axis=1)[:, k - 1]
    one = rng.random(n)
    test = np.linspace(0, 1, 100_001)
    assert (p_values(one, test) <= a).mean() == pytest.approx(np.sort(1 - one)[k - 1], abs=2e-5)
    for quantile in (0.1, 0.5, 0.9):
        assert (shares <= beta(k, n + 1 - k).ppf(quantile)).mean() == pytest.approx(quantile, abs=0.03)


def test_weights_are_those_of_events():
    """An event of weight 3 is as three events, but that the event itself may have as much: conservative."""
    p = p_values([1.0, 2.0, 3.0], [2.5, 9.0], weights=[1.0, 1.0, 3.0])
    np.testing.assert_allclose(p, [6 / 8, 3 / 8])
    np.testing.assert_allclose(p_values([1.0, 2.0], [1.5], weights=[5.0, 5.0]), [2 / 3])


def test_jets_of_one_event_count_as_one_that_may_be_above_all():
    calibration = distribution("calibration", [1.0, 2.0, 3.0, 4.0], cluster=[0, 0, 1, 1])
    assert smallest(calibration) == pytest.approx(2 / 6)
    np.testing.assert_allclose(of_scores(calibration, [5.0, 3.5]), [2 / 6, 3 / 6])


def test_large_samples_in_groups_are_conservative():
    rng = np.random.default_rng(4)
    scores, some = rng.normal(size=40_000), np.linspace(-3, 6, 500)
    stream = StreamingDistribution("background", groups=2000)
    for block in np.split(scores, 40):
        stream.add(block)
    grouped, exact = of_scores(stream.sample().total, some), p_values(scores, some)
    assert (grouped >= exact - 1e-12).all()
    np.testing.assert_allclose(grouped, exact, rtol=0.03)
    np.testing.assert_array_equal(grouped[some > 3.5], exact[some > 3.5])


@pytest.mark.parametrize("weights", [None, np.full(50, 0.2)])
def test_a_p_that_is_not_resolved_is_refused_with_both_numbers(weights):
    background = np.arange(50.0)
    assert p_values(background, [99.0], weights=weights, least=1 / 51)[0] == pytest.approx(1 / 51)
    with pytest.raises(InputError) as caught:
        p_values(background, [99.0], weights=weights, least=1e-3)
    assert str(caught.value) == (
        "p-values: 50 calibration events give none below 0.0196, and 0.001 is asked for. Give 999 events of "
        "background, or ask for a larger one."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [1.0]), "background"),
        (([1.0, np.nan], [1.0]), "1 of 2 background scores are NaN"),
        (([1.0, 2.0], [[1.0]]), r"shape \(1, 1\)"),
    ],
)
def test_bad_scores_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        p_values(*arguments)


@pytest.mark.parametrize("least", [0.0, 2.0, -1.0, np.nan])
def test_what_is_no_p_is_refused(least):
    with pytest.raises(InputError, match="is no p-value"):
        p_values([1.0, 2.0], [1.0], least=least)
