"""Samples in groups: exact while they are small, and else never beyond a budget, conserved, near the exact areas."""

import json

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.evaluation import roc
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import collected, distribution, threshold_of
from hepad.storage.hdf5 import append_array, describe, new_hdf5
from hepad.storage.table import write_index

GROUPS, N = 400, 20_000
WEIGHTS = {
    "none": lambda rng, n: np.ones(n),
    "equal": lambda rng, n: np.full(n, 0.1),
    "positive": lambda rng, n: rng.exponential(1, n),
    "signed": lambda rng, n: rng.choice([1.0, 1.0, 1.0, -1.0], n),
}
ORDERS = {"none": lambda scores: slice(None), "rising": np.argsort, "falling": lambda scores: np.argsort(-scores)}


def drawn(weights="none", ties=False, n=N, seed=1, shift=0.0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(shift, 1, n)
    return (np.round(scores, 1) if ties else scores), WEIGHTS[weights](rng, n)


def streamed(scores, weights, chunk=1000, groups=GROUPS, order="none"):
    index = ORDERS[order](scores)
    scores, weights = scores[index], weights[index]
    chunks = ((scores[i : i + chunk], weights[i : i + chunk]) for i in range(0, len(scores), chunk))
    return collected("background", chunks, groups).total


def share(of, scores, weights):
    """The largest share of a group, and all that there is, in Σ |w| / Σ w."""
    size = np.bincount(np.searchsorted(of.scores, scores), np.abs(weights))
    return size.max() / weights.sum(), size.sum() / weights.sum()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weights", ["none", "equal", "signed"])
def test_a_small_sample_in_chunks_is_exact(weights, ties):
    (b, w_b), (s, w_s) = drawn(weights, ties, 2 * GROUPS), drawn(weights, ties, 500, seed=2, shift=1.0)
    expected = json.dumps(roc.to_json(roc.evaluate(b, s, background_weights=w_b, signal_weights=w_s)))
    for chunk in (1, 77, 2000):
        found = roc.evaluate(streamed(b, w_b, chunk), streamed(s, w_s, chunk))
        assert json.dumps(roc.to_json(found)) == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_groups_have_all_events_and_know_what_passes(weights, ties, order):
    scores, w = drawn(weights, ties)
    whole, found = distribution("background", scores, w), streamed(scores, w, order=order)
    unit = w[0] if weights == "equal" else 1.0  # equal weights are counts
    assert len(found.scores) <= GROUPS
    assert found.n[0] == found.whole.n == N
    assert (found.w[0], found.w2[0]) == pytest.approx((w.sum() / unit, w @ w / unit**2), rel=1e-12)
    assert np.all(found.lowest[1:] >= found.scores[:-1])
    cuts = found.scores  # what passes between groups is exact
    np.testing.assert_array_equal(found.count(cuts), whole.count(cuts))
    np.testing.assert_allclose(found.intervals(cuts), whole.intervals(cuts), rtol=1e-9, atol=1e-12)
    eps = np.geomspace(1e-4, 1, 200)
    for asked, t, exact in zip(eps, found.at_most(eps), whole.at_most(eps), strict=True):
        passing = w[scores > t].sum() / w.sum()
        assert passing <= asked * (1 + 1e-9)
        assert t >= exact or weights == "signed"
    for asked, t in zip(eps, found.at_least(eps), strict=True):
        assert w[scores > t].sum() / w.sum() >= asked * (1 - 1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_groups_are_small_and_the_highest_scores_single(order):
    scores, w = drawn()
    found, h = streamed(scores, w, order=order), GROUPS // 2
    np.testing.assert_array_equal(found.scores[-h:], np.sort(scores)[-h:])
    np.testing.assert_array_equal(found.lowest[-h:], found.scores[-h:])
    most = 4 * np.log(N / h) / (GROUPS - h)  # twice that of new groups
    assert np.max(-np.diff(found.n) / found.n[:-1] * (found.scores > found.lowest)) < most
    few = distribution("background", scores).at_most(np.array([1e-4, 1e-3, 0.9 * h / N]))
    np.testing.assert_array_equal(found.at_most(np.array([1e-4, 1e-3, 0.9 * h / N])), few)
    eps = np.array([0.02, 0.1, 0.5])
    reached = found.effective(found.at_most(eps))[0]
    assert np.all(reached > eps * (1 - most))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_area_is_within_its_bound(weights, ties):
    (b, w_b), (s, w_s) = drawn(weights, ties), drawn(weights, ties, seed=2, shift=0.8)
    exact = roc.auc(b, s, w_b, w_s)
    for order_b, order_s, chunk in (("none", "none", 1000), ("rising", "falling", 300), ("none", "rising", N)):
        groups = streamed(b, w_b, chunk, order=order_b), streamed(s, w_s, chunk, order=order_s)
        (most_b, all_b), (most_s, all_s) = share(groups[0], b, w_b), share(groups[1], s, w_s)
        bound = (most_b * all_s + most_s * all_b) * (0.75 if weights == "signed" else 0.5)
        found = roc.auc(*groups)
        assert abs(found.value - exact.value) < bound
        assert abs(found.value - exact.value) < 0.15 * (exact.high - exact.low)
        assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.01)


def test_samples_that_come_one_after_the_other():
    """Most events lie where only few of the first were: steps are coarser, but nothing is wrong."""
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.exponential(1, N // 2), rng.uniform(0.001, 0.002, N // 2)])
    found = streamed(scores, np.ones(N))
    assert found.n[0] == N
    assert len(found.scores) <= GROUPS
    passing = [np.count_nonzero(scores > t) for t in found.scores]
    np.testing.assert_array_equal(found.count(found.scores), passing)


def test_a_score_within_a_group_counts_half_of_it():
    scores = np.arange(1000.0)
    found = streamed(scores, np.ones(1000), groups=10)
    group = np.flatnonzero(found.scores > found.lowest)[0]
    inside = (found.scores[group] + found.lowest[group]) / 2
    half = (found.n[group] + found.n[group + 1]) / 2
    assert found.effective(inside)[1] == half
    assert found.placements(distribution("signal", [inside])) == pytest.approx(1 - half / 1000)


def test_files_in_pieces_have_all_rows_and_their_weights(tmp_path):
    rng, rows, paths = np.random.default_rng(1), [70, 0, 1, 300], []
    for number, n in enumerate(rows):
        paths.append(tmp_path / f"{number}.h5")
        with new_hdf5(paths[-1]) as file:
            describe(file, kind="hepad scores")
            append_array(file.create_group("scores"), "ae/1", rng.normal(0, 1, n))
            append_array(file, "weight", rng.normal(0, 1, n))
            for name in ("event_id", "cluster"):  # three rows are of one event
                append_array(file, name, (1000 * number + np.arange(n)) // 3)
            append_array(file, "jet", np.ones((n, 4)))
    write_index(paths, tmp_path / "all.h5")
    for path in (tmp_path / "all.h5", paths[0]):
        scores, about = read_scores(path)
        for size in (1, 64, 10_000):
            pieces = list(scores.weighted("ae/1", size))
            assert max(len(piece.scores) for piece in pieces) <= size + 2
            assert len(np.unique(np.concatenate([np.unique(piece.cluster) for piece in pieces]))) == sum(
                len(np.unique(piece.cluster)) for piece in pieces
            )
            found = np.concatenate([np.stack(piece) for piece in pieces], axis=1)
            expected = np.stack([scores["ae/1"], *(about[name] for name in ("weight", "event_id", "cluster"))])
            np.testing.assert_array_equal(found[:, np.lexsort(found)], expected[:, np.lexsort(expected)])
    with new_hdf5(tmp_path / "short.h5") as file:
        describe(file, kind="hepad scores")
        append_array(file.create_group("scores"), "ae/1", np.arange(9.0))
        for name, n in (("weight", 8), ("event_id", 9), ("cluster", 9), ("jet", 9)):
            append_array(file, name, np.arange(n))
    with pytest.raises(InputError, match="'weight' and 'event_id' have different numbers of rows"):
        threshold_of(read_scores(tmp_path / "short.h5")[0].weighted("ae/1", 4), 0.1)
    with pytest.raises(KeyError):
        next(scores.weighted("ae/2"))
