"""Strata of a reference: counts by hand, widths by repetition, and fills that follow their pile-up without an alarm."""

import numpy as np
import pytest
from scipy.stats import binom

from hepad.errors import InputError
from hepad.evaluation.drift import Reference as Of
from hepad.evaluation.drift import _sums, follow
from hepad.evaluation.strata import BEYOND, Weighted, strata

RNG = np.random.default_rng


def passing(pileup, scale=1.0):
    """A rate that is proportional to the pile-up: 1 % at 50."""
    return scale * pileup / 5000


def crossings(seed, n, low=20, high=80, weights=False):
    """n crossings of uniform pile-up; a score above 0 passes. With weights, ten times as many pass, of a tenth each."""
    rng = RNG(seed)
    pileup = rng.uniform(low, high, n)
    p = passing(pileup, 10 if weights else 1)
    up = rng.uniform(size=n) < p
    weight = np.where(up, 0.1, (1 - passing(pileup)) / (1 - p)) if weights else np.ones(n)
    return Weighted(np.where(up, 1.0, -1.0) * rng.uniform(1, 2, n), weight, np.arange(n), pileup)


def test_counts_are_counts_without_weights():
    events = crossings(0, 30_000)
    found = strata(events, 0.0)
    inside = 0
    for b, (low, high) in enumerate(zip(found.edges[:-1], found.edges[1:], strict=True)):
        last = b == len(found.weight) - 1
        here = (events.pileup >= low) & ((events.pileup <= high) if last else (events.pileup < high))
        assert found.reference.events[b] == here.sum()
        assert found.reference.passed[b] == (events.score[here] > 0).sum() >= 10
        inside += here.sum()
    assert inside == pytest.approx(30_000 * (1 - 2 * BEYOND), abs=3)
    assert found.weight.sum() == pytest.approx(1)
    assert found.place(np.array([0.0, 50.0, 100.0])).tolist()[::2] == [-1, -1]
    assert strata(crossings(1, 100_000), 0.0).p_flat < 1e-6
    flat = strata(events._replace(pileup=RNG(1).uniform(20, 80, 30_000)), 0.0)
    assert flat.p_flat > 0.01


def test_one_stratum_if_nothing_is_known_of_the_pileup():
    events = crossings(0, 5000)._replace(pileup=np.zeros(5000))
    found = strata(events, 0.0)
    assert found.reference == Of((events.score > 0).sum(), 5000)
    assert found.p_flat == 1


def test_weighted_counts_know_what_repetition_tells():
    """The spread of the share over 300 references is that of k of n, with weights and without."""
    for weights in (False, True):
        found = [strata(crossings(seed, 4000, 49, 51, weights), 0.0).reference for seed in range(300)]
        share = np.array([k.sum() / n.sum() for k, n, _ in found])
        said = np.mean([k.sum() ** -0.5 for k, _, _ in found])
        assert share.mean() == pytest.approx(0.01, rel=0.03)
        assert share.std() / share.mean() == pytest.approx(said, rel=0.15)
    assert said == pytest.approx((10 * 0.01 * 4000 * 0.99) ** -0.5, rel=0.15)  # of those that pass, with weights


def test_shared_collisions_count_once():
    """Every crossing twice, at another pile-up: the shares are the same, and the whole is known as by half as many."""
    once = crossings(3, 20_000)
    other = (once.pileup - 20 + 30) % 60 + 20
    twice = Weighted(*(np.append(x, x) for x in once[:3]), np.append(once.pileup, other))
    found, apart = (strata(x, 0.0).reference for x in (twice, twice._replace(cluster=np.arange(40_000))))
    np.testing.assert_array_equal(found.passed, apart.passed)
    assert apart.shared == 0
    assert 1 / found.passed.sum() + found.shared == pytest.approx(2 / found.passed.sum(), rel=0.1)


def test_weights_that_sum_to_nothing_are_refused():
    events = crossings(0, 2000)
    with pytest.raises(InputError, match="weights sum to"):
        strata(events._replace(weight=-events.weight), 0.0)


def test_the_sums_of_strata_are_those_of_a_loop():
    events, p = np.array([[100, 40], [0, 0], [250, 10]]), np.array([0.03, 0.1])
    passed = np.array([[9, 3], [0, 0], [14, 2]])
    found = follow(passed, events, Of(1000 * p, [1000, 1000]), factor=1.5)
    for name, factor in (("risen", 1.5), ("fallen", 1 / 1.5)):
        total, expected = 0.0, []
        for k, n in zip(passed, events, strict=True):
            ratio = binom.logpmf(k, n, factor * p) - binom.logpmf(k, n, p)
            total = max(0.0, total + ratio.sum())
            expected.append(total)
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-9)
    np.testing.assert_allclose(found.expected[[0, 2]], [(3 + 4) / 140, (7.5 + 1) / 260])
    assert _sums(passed[None], events, p, 1.5).shape == (2, 1, 3)


def fill(seed, weights, known):
    """The alarm of a fill that falls from a pile-up of 65 to 30."""
    reference = crossings(seed, 20_000, weights=weights)
    rng, mu = RNG(10_000 + seed), np.linspace(65, 30, 30)
    pileup = rng.poisson(mu[:, None], (30, 500)).clip(20, 80)
    divided = strata(reference if known else reference._replace(pileup=np.zeros(20_000)), 0.0)
    place = divided.place(pileup.astype(float) * known)
    section, b = np.nonzero(place >= 0)[0], len(divided.weight)
    cell = section * b + place[place >= 0]
    up = rng.uniform(size=pileup.shape) < passing(pileup)
    n, k = (np.bincount(x, minlength=30 * b).reshape(30, b) for x in (cell, cell[up[place >= 0]]))
    return follow(k, n, divided.reference, false_alarms=0.1, seed=seed).alarm


@pytest.mark.slow
@pytest.mark.parametrize("weights", [False, True])
def test_of_a_thousand_fills_whose_pileup_falls_no_more_ring_than_is_said(weights, monkeypatch):
    monkeypatch.setattr("hepad.evaluation.drift.DRAWS", 500)
    rang = sum(fill(seed, weights, True) is not None for seed in range(1000))
    low, high = binom.interval(0.998, 1000, 0.1)
    assert low * 0.85 < rang < high * 1.15  # the level itself is drawn, and of an estimated rate
    blind = sum(fill(seed, weights, False) is not None for seed in range(50))
    assert blind > 20  # where 5 may
