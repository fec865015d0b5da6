"""The alarm: its false-alarm rate by counting, changes found as soon as predicted, sums by an independent loop."""

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from hepad.errors import InputError
from hepad.evaluation.drift import Reference, _sums, delay_of, distances, follow

RNG = np.random.default_rng


def run(seed, events, p, reference=(1000, 100_000), **options):
    """A run at the probabilities p (S,), with a reference drawn at its own share."""
    rng, (k, n) = RNG(seed), reference
    return follow(rng.binomial(events, p), events, Reference(int(rng.binomial(n, k / n)), n), **options)


@pytest.mark.slow
@pytest.mark.parametrize("reference", [(1000, 100_000), (20, 2000)])  # the rate known to 3 %, and to 22 %
def test_of_a_thousand_steady_runs_as_many_ring_as_is_said(reference, monkeypatch):
    monkeypatch.setattr("hepad.evaluation.drift.DRAWS", 1000)
    events = RNG(5).integers(200, 3000, 40)
    rang = sum(run(seed, events, 0.01, reference, false_alarms=0.1).alarm is not None for seed in range(1000))
    low, high = binom.interval(0.998, 1000, 0.1)
    assert low * 0.85 < rang < high * 1.15  # the level itself is drawn, and of an estimated rate


@pytest.mark.parametrize("reference", [(1000, 100_000), (20, 2000)])
def test_at_one_percent_few_steady_runs_ring(reference):
    """20,000 runs, with the level of each of the references that are drawn."""
    (k, n), events, rng = reference, np.full(40, 1600), RNG(8)
    drawn = rng.binomial(n, k / n, 20_000).clip(1, n - 1)
    passed, rang = rng.binomial(events, k / n, (20_000, 40)), 0
    step = max(1, k // 20)  # the level hardly changes with the reference
    for at in np.unique(drawn // step):
        here = np.flatnonzero(drawn // step == at)
        level = follow(passed[0], events, Reference(int(np.median(drawn[here])), n)).level
        for k_of in np.unique(drawn[here]):
            of = passed[here[drawn[here] == k_of], :, None]
            rang += (_sums(of, events[:, None], np.array([k_of / n]), 1.3).max(axis=(0, 2)) > level).sum()
    assert 0.004 < rang / 20_000 < 0.016


def test_a_change_is_found_as_soon_as_is_predicted():
    events = np.full(80, 2000)
    p = np.where(np.arange(80) < 20, 0.01, 0.013)
    found = [run(seed, events, p, false_alarms=0.01) for seed in range(60)]
    late = [f.alarm - 19 for f in found if f.alarm is not None and f.alarm >= 20]
    assert len(late) > 50
    predicted = np.median([f.delay for f in found])
    assert np.median(late) == pytest.approx(predicted, rel=0.35)
    assert all(f.direction == "risen" for f in found if f.alarm is not None and f.alarm >= 20)
    began = np.array([f.began for f in found if f.alarm is not None and f.alarm >= 20])
    assert np.abs(np.median(began) - 20) <= 4


def test_what_another_factor_takes_is_what_following_with_it_says():
    events, reference = np.full(100, 3000), Reference(4000, 40_000)
    for factor in (1.3, 1.1):
        found = follow(np.full(100, 300), events, reference, factor=factor)
        assert delay_of(events, reference, factor) == found.delay
    assert np.isinf(delay_of(events[:3], reference, 1.05))
    with pytest.raises(InputError, match="no change"):
        delay_of(events, reference, 1.0)


def test_a_rate_that_falls_is_found_too():
    found = run(1, np.full(60, 5000), np.where(np.arange(60) < 30, 0.01, 0.006))
    assert found.direction == "fallen"
    assert 30 <= found.alarm < 45


def test_the_sums_are_those_of_a_loop():
    events, reference = np.array([100, 0, 250, 80]), Reference(30, 1000)
    passed = np.array([9, 0, 14, 0])
    found, p = follow(passed, events, reference, factor=1.5), 0.03
    for name, q in (("risen", 1.5 * p), ("fallen", p / 1.5)):
        total, expected = 0.0, []
        for k, n in zip(passed, events, strict=True):
            ratio = binom.logpmf(k, n, q) - binom.logpmf(k, n, p)
            total = max(0.0, total + ratio)
            expected.append(total)
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-9)
    assert np.isnan(found.share[1])
    assert (found.low[0], found.high[0]) == pytest.approx((0.0623, 0.1274), abs=3e-3)


def test_it_is_reproducible_and_larger_changes_take_less():
    events = np.full(100, 1000)
    one, two = (run(3, events, 0.01) for _ in range(2))
    assert (one.level, one.delay) == (two.level, two.delay)
    delays = [run(3, events, 0.01, factor=factor).delay for factor in (1.2, 1.5, 3.0)]
    assert delays == sorted(delays, reverse=True)
    assert run(3, np.full(3, 10), 0.01, factor=1.05).delay == np.inf


def test_distances_are_those_of_scipy():
    rng = RNG(0)
    a = {"met": rng.normal(size=3000), "pt": rng.normal(size=3000)}
    b = {"met": rng.normal(0.1, size=2000), "pt": rng.normal(size=2000)}
    for name, (d, p) in distances(a, b).items():
        known = ks_2samp(a[name], b[name], method="asymp")
        assert d == pytest.approx(known.statistic)
        assert p == pytest.approx(min(1, 2 * known.pvalue), rel=0.05, abs=1e-3)
    assert distances(a, b)["met"][1] < 0.01 < distances(a, b)["pt"][1]


@pytest.mark.parametrize(
    ("passed", "events", "reference", "options", "message"),
    [
        ([1, 2], [10], Reference(1, 10), {}, "no sections"),
        ([], [], Reference(1, 10), {}, "no sections"),
        ([1, 12], [10, 10], Reference(1, 10), {}, "section 1: 12 of 10"),
        ([1], [10], Reference(0, 10), {}, "0 of 10 events of the reference pass"),
        ([1], [10], Reference(10, 10), {}, "10 of 10 events of the reference pass"),
        ([1], [10], Reference(1, 10), {"factor": 1.0}, "factor of 1 is no change"),
        ([1], [10], Reference(1, 10), {"false_alarms": 0.0}, "false-alarm rate of 0"),
    ],
)
def test_what_cannot_be_followed_is_said(passed, events, reference, options, message):
    with pytest.raises(InputError, match=message):
        follow(np.array(passed, int), np.array(events, int), reference, **options)


def test_few_events_are_not_compared():
    with pytest.raises(InputError, match="99 events are too few to compare 'met'"):
        distances({"met": np.zeros(99)}, {"met": np.zeros(500)})
