"""Rows that are not independent: sums over clusters against a direct count, intervals against the bootstrap."""

import numpy as np
import pytest

from hepad.evaluation import roc
from hepad.evaluation.clusters import ends
from hepad.evaluation.streaming import StreamingDistribution, distribution, rows_and_events, sample
from hepad.trigger.rates import at_budget, zero_bias


def jets(rng, n, shift=0.0, correlation=0.5):
    """Scores, weights and events of jets of which two, three or four are of one event, in any order."""
    event = np.sort(rng.integers(0, n // 2, n))
    scores = np.sqrt(correlation) * rng.normal(size=n)[event] + np.sqrt(1 - correlation) * rng.normal(size=n) + shift
    order = rng.permutation(n)
    return np.round(scores[order], 1), rng.uniform(0.2, 2, n)[order], event[order]


def by_hand(scores, weights, y, event, threshold):
    """Σ A², Σ A W and Σ W² of the clusters, event by event."""
    sums = np.zeros(3)
    for number in np.unique(event):
        own = event == number
        a, w = np.sum((weights * y)[own & (scores > threshold)]), weights[own].sum()
        sums += a**2, a * w, w**2
    return sums


@pytest.mark.parametrize("groups", [np.inf, 40])
def test_sums_are_those_of_clusters_whatever_the_chunks(groups):
    rng = np.random.default_rng(1)
    scores, weights, event = jets(rng, 400)
    accepted = rng.random(400)
    top = StreamingDistribution("b", groups)
    for part in (event < 50, (event >= 50) & (event < 120), event >= 120):
        top.add(scores[part], weights[part], accepted[part], event[part])
    found = top.sample()
    for name, y in (("total", np.ones(400)), ("pure", 1 - accepted), ("overlap", accepted)):
        of = getattr(found, name)
        for threshold in of.scores[of.cuts[1:-1:3] - 1]:
            squares, cross, whole = by_hand(scores, weights, y, event, threshold)
            assert of.above(threshold, of.w2, of.cross) == pytest.approx([squares, cross])
            assert of.whole.w2 == pytest.approx(whole)
            assert of.independent(threshold) == pytest.approx(of.above(threshold, of.w)[0] ** 2 / squares)
    squares, cross, whole = by_hand(scores, weights, accepted, event, -np.inf)
    eps = np.sum(weights * accepted) / weights.sum()
    variance = (squares - 2 * eps * cross + eps**2 * whole) / weights.sum() ** 2
    assert (found.menu.high - found.menu.low) / 2 == pytest.approx(np.sqrt(variance), rel=0.1)


def test_copies_of_every_row_are_worth_nothing():
    """Each event twice, with the same score: the intervals are those of the events."""
    rng = np.random.default_rng(2)
    b, s = rng.normal(size=700), rng.normal(1, 1, 300)
    once = roc.evaluate(b, s, eps_b=(0.1, 0.05))
    twice = [distribution("sample", np.repeat(x, 2), cluster=np.repeat(np.arange(len(x)), 2)) for x in (b, s)]
    again = roc.evaluate(*twice, eps_b=(0.1, 0.05))
    assert again.auc == pytest.approx(once.auc, rel=1e-3)
    for one, two in zip(once.working_points, again.working_points, strict=True):
        assert two.eps_s.value == one.eps_s.value
        assert two.eps_s[1:3] == pytest.approx(one.eps_s[1:3], abs=0.006)
        assert two.resolved == one.resolved
    # as if independent: intervals are a third shorter
    plain = roc.auc(np.repeat(b, 2), np.repeat(s, 2))
    assert (plain.high - plain.low) * np.sqrt(2) == pytest.approx(once.auc.high - once.auc.low, rel=0.03)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_interval_of_an_area_is_that_of_the_bootstrap_of_events(correlation, weighted):
    rng = np.random.default_rng(3)
    (b, w_b, event_b), (s, w_s, event_s) = jets(rng, 600, 0, correlation), jets(rng, 400, 1.0, correlation)
    if not weighted:
        w_b, w_s = np.ones(600), np.ones(400)
    found = roc.auc(distribution("b", b, w_b, event_b), distribution("s", s, w_s, event_s))

    def again(scores, weights, event):
        drawn = rng.integers(event.max() + 1, size=event.max() + 1)
        rows = np.concatenate([np.flatnonzero(event == number) for number in drawn])
        return scores[rows], weights[rows]

    values = []
    for _ in range(400):
        (x, w_x), (y, w_y) = again(b, w_b, event_b), again(s, w_s, event_s)
        values.append(roc.auc(x, y, w_x, w_y).value)
    assert (found.high - found.low) / 2 == pytest.approx(np.std(values), rel=0.15)


def test_a_sample_that_is_merged_has_the_same_area_and_interval():
    rng = np.random.default_rng(4)
    scores, weights, event = jets(rng, 20_000, 0, 0.8)
    signal = distribution("s", rng.normal(1, 1, 5000))
    top = StreamingDistribution("b", 3000)
    for part in range(10):
        own = event % 10 == part
        top.add(scores[own], weights[own], cluster=event[own])
    merged, whole = roc.auc(top.sample().total, signal), roc.auc(distribution("b", scores, weights, event), signal)
    assert merged.value == pytest.approx(whole.value, abs=2e-3)
    assert merged.high - merged.low == pytest.approx(whole.high - whole.low, rel=0.03)


def test_crossings_that_share_a_collision_do_not_fix_a_threshold():
    """60 crossings pass, 20 each because of one of three collisions."""
    rng = np.random.default_rng(5)
    scores, cluster = rng.uniform(0, 1, 3000), np.arange(3000)
    scores[:60], cluster[:60] = rng.uniform(2, 3, 60), 10_000 + np.arange(60) // 20
    point = at_budget(sample("b", scores, cluster=cluster), zero_bias(), zero_bias().hz * 60 / 3000)
    assert point.total.passed == 60
    assert point.independent == pytest.approx(3)
    assert not point.resolved
    assert "effectively 3.0 independent events pass, fewer than 10" in point.remark
    alone = at_budget(sample("b", scores), zero_bias(), zero_bias().hz * 60 / 3000)
    assert alone.resolved
    assert point.total.high - point.total.low > 3 * (alone.total.high - alone.total.low)


def test_an_event_counts_once_by_its_highest_score():
    rng = np.random.default_rng(6)
    scores, weights, event = jets(rng, 300)
    rows, events = rows_and_events("b", [(scores, np.ones(300), event, event)])
    highest = {number: scores[event == number].max() for number in set(event.tolist())}
    assert rows.whole.n == 300
    assert events.whole.n == len(highest)
    for threshold in (-0.53, 0.21, 1.07):
        assert events.count(threshold) == sum(score > threshold for score in highest.values())
    # where every row is an event there is one count
    rows, events = rows_and_events("b", [(scores, weights, np.arange(300), np.arange(300))])
    assert rows is events


def test_a_table_is_cut_between_clusters():
    assert ends(np.array([5, 5, 2, 7, 7, 7])).tolist() == [2, 3, 6]
    assert ends(np.array([1, 2, 1, 3])).tolist() == [3, 4]
    assert ends(np.array([1, 2, 3, 1])).tolist() == [4]
    assert ends(np.zeros(0, int)).tolist() == []
