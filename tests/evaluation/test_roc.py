"""Efficiencies, thresholds and AUC: known values, coverage, invariances, damaged input."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from hepad.errors import InputError
from hepad.evaluation import binned_efficiency
from hepad.evaluation import roc as ev
from hepad.evaluation.efficiency import LEVEL, MIN_COUNT
from hepad.evaluation.streaming import distribution
from hepad.storage.files import read_json, write_json


@pytest.fixture
def samples():
    rng = np.random.default_rng(5)
    return rng.normal(0, 1, 4000), rng.normal(1.2, 1.3, 3000)


def test_clopper_pearson_known_values():
    low, high = ev.clopper_pearson([0, 3, 10, 10], [10, 10, 10, 100], level=0.95)
    for i, (k, n) in enumerate([(0, 10), (3, 10), (10, 10), (10, 100)]):
        exact = binomtest(k, n).proportion_ci(0.95, method="exact")
        assert (low[i], high[i]) == pytest.approx((exact.low, exact.high), abs=1e-9)
    # closed forms where nothing or everything passes
    low, high = ev.clopper_pearson(0, 20)
    assert float(low) == 0
    assert float(high) == pytest.approx(1 - ((1 - LEVEL) / 2) ** (1 / 20))
    assert [float(x) for x in ev.clopper_pearson(0, 0)] == [0, 1]
    with pytest.raises(InputError, match="number passing"):
        ev.clopper_pearson(11, 10)


@pytest.mark.parametrize("p", [0.002, 0.03, 0.4, 0.97])
@pytest.mark.parametrize("n", [20, 700])
def test_clopper_pearson_covers(n, p):
    """Coverage is at least nominal for every true efficiency (20,000 simulated experiments: ±0.003)."""
    k = np.random.default_rng(n).binomial(n, p, 20_000)
    low, high = ev.clopper_pearson(k, n)
    assert np.mean((low <= p) & (p <= high)) > LEVEL - 0.008


def test_weighted_interval_covers():
    """With spread weights the interval from the effective count still covers at about the nominal level."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(2000):
        scores, weights = rng.random(400), rng.uniform(0.2, 2.0, 400)
        e = distribution("background", scores, weights).efficiency(0.8)
        hits += e.low <= 0.2 <= e.high
    assert LEVEL - 0.03 < hits / 2000 < LEVEL + 0.08


@pytest.mark.parametrize("eps_b", [1.0, 0.29, 0.1, 0.07, 0.01, 1e-4])
@pytest.mark.parametrize("kind", ["distinct", "ties", "equal"])
def test_threshold_passes_as_much_as_fits_into_the_budget(kind, eps_b):
    rng = np.random.default_rng(3)
    scores = {"distinct": rng.normal(size=100), "ties": rng.integers(0, 12, 100), "equal": np.full(100, 2.5)}[kind]
    threshold = ev.threshold_at(scores, eps_b)
    budget = round(eps_b * 100, 9)
    assert np.sum(scores > threshold) <= budget
    below, above = scores[scores <= threshold], scores[scores > threshold]
    assert eps_b == 1 or np.sum(scores >= below.max()) > budget
    if len(above) and len(below):  # in the middle, where no rounding reaches
        assert threshold == pytest.approx((below.max() + above.min()) / 2, abs=1e-6)
        assert threshold == np.float32(threshold)
    if kind == "distinct":
        assert np.sum(scores > threshold) == int(budget)


def test_threshold_ignores_row_order_and_scale_of_weights(samples):
    background = samples[0]
    weights = np.random.default_rng(1).uniform(0.1, 3, len(background))
    order = np.random.default_rng(2).permutation(len(background))
    threshold = ev.threshold_at(background, 0.02, weights)
    assert ev.threshold_at(background[order], 0.02, weights[order]) == threshold
    assert ev.threshold_at(background, 0.02, 7 * weights) == threshold
    assert weights[background > threshold].sum() / weights.sum() <= 0.02
    assert ev.threshold_at(background, 0.02) != threshold


def test_auc_agrees_with_sklearn_also_with_ties_and_weights(samples):
    rng = np.random.default_rng(8)
    for b, s in (samples, [np.round(x) for x in samples], (rng.integers(0, 3, 50), rng.integers(1, 4, 70))):
        truth = np.r_[np.zeros(len(b)), np.ones(len(s))]
        assert ev.auc(b, s).value == pytest.approx(roc_auc_score(truth, np.r_[b, s]), abs=1e-12)
        w = rng.uniform(0.1, 2, len(truth))
        ours = ev.auc(b, s, w[: len(b)], w[len(b) :]).value
        assert ours == pytest.approx(roc_auc_score(truth, np.r_[b, s], sample_weight=w), abs=1e-12)


@pytest.mark.parametrize("rounding", [8, 0])
def test_auc_interval_matches_the_bootstrap_and_the_truth(rounding):
    rng = np.random.default_rng(11)
    b, s = np.round(rng.normal(0, 1, 500), rounding), np.round(rng.normal(1.2, 1.3, 300), rounding)
    again = [ev.auc(rng.choice(b, 500), rng.choice(s, 300)).value for _ in range(1500)]
    auc = ev.auc(b, s)
    assert (auc.high - auc.low) / 2 == pytest.approx(np.std(again), rel=0.1)
    if rounding:
        true = norm.cdf(1.2 / np.hypot(1, 1.3))
        pulls = [ev.auc(rng.normal(0, 1, 200), rng.normal(1.2, 1.3, 200)) for _ in range(1500)]
        assert np.mean([a.low <= true <= a.high for a in pulls]) == pytest.approx(LEVEL, abs=0.04)


def test_auc_limits():
    # no event out of order: as if two in two, the smaller sample, were right
    assert ev.auc([0, 1, 2], [3, 4]) == pytest.approx((1, ((1 - LEVEL) / 2) ** (1 / 2), 1))
    assert ev.auc([3, 4], [0, 1, 2]) == pytest.approx((0, 0, 1 - ((1 - LEVEL) / 2) ** (1 / 2)))
    assert ev.auc(np.ones(9), np.ones(5)) == (0.5, 0.5, 0.5)
    spread = ev.auc([0, 1, 2.5, 3], [2, 4, 5])
    assert 0 <= spread.low < spread.value < spread.high <= 1


def test_monotonic_transformation_changes_nothing(samples):
    # halves are exact in floating point, so that the map stays strictly monotonic
    b, s = (np.round(x * 64) / 64 for x in samples)
    first, second = ev.evaluate(b, s), ev.evaluate(b**3 + 4 * b, s**3 + 4 * s)
    assert second.auc == pytest.approx(first.auc, abs=1e-14)
    for one, two in zip(
        first.working_points + first.rejections, second.working_points + second.rejections, strict=True
    ):
        assert two._replace(threshold=0) == one._replace(threshold=0)
    np.testing.assert_array_equal(first.curve, second.curve)


def test_swapping_the_samples_mirrors_the_auc(samples):
    for b, s in (samples, [np.round(x) for x in samples]):
        one, two = ev.auc(b, s), ev.auc(s, b)
        assert two == pytest.approx((1 - one.value, 1 - one.high, 1 - one.low), abs=1e-12)


def test_unit_weights_equal_no_weights(samples):
    b, s = samples
    one, two = ev.evaluate(b, s), ev.evaluate(b, s, background_weights=np.ones(len(b)), signal_weights=np.ones(len(s)))
    assert ev.to_json(one) == ev.to_json(two)
    # a common factor may only change rounding
    scaled = ev.evaluate(b, s, background_weights=np.full(len(b), 0.1))
    assert scaled.auc == pytest.approx(one.auc)
    assert [p.resolved for p in scaled.working_points] == [p.resolved for p in one.working_points]


def test_working_points_against_the_analytic_curve():
    rng = np.random.default_rng(0)
    b, s = rng.normal(0, 1, 200_000), rng.normal(2, 1, 200_000)
    for point in ev.efficiencies(b, s, [0.1, 0.01, 1e-3]):
        assert point.eps_s.value == pytest.approx(norm.sf(norm.isf(point.eps_b) - 2), abs=0.012)
        assert point.eps_s.low < point.eps_s.value < point.eps_s.high
        assert point.background.value == pytest.approx(point.eps_b)
    for rejection in ev.rejections(b, s, [0.2, 0.5]):
        true = 1 / norm.sf(2 + norm.isf(rejection.eps_s))
        assert rejection.low < rejection.inverse_eps_b < rejection.high
        assert rejection.inverse_eps_b == pytest.approx(true, rel=0.1)


def test_what_the_sample_cannot_resolve_is_flagged(samples):
    b, s = samples
    points = {p.eps_b: p for p in ev.efficiencies(b, s, [MIN_COUNT / len(b), 9.9 / len(b), 1e-4])}
    assert [p.resolved for p in points.values()] == [True, False, False]
    assert points[1e-4].n_background_passed == 0
    far = ev.rejections(b, s + 10, [0.5])[0]
    assert not far.resolved
    assert np.isnan([far.inverse_eps_b, far.high]).all()
    # 0 of n: the bound is 1 / (1 - (α/2)^(1/n))
    assert far.low == pytest.approx(1 / (1 - ((1 - LEVEL) / 2) ** (1 / len(b))))
    # ties: the budget allows 100 events, but none can pass
    constant = ev.efficiencies(np.ones(1000), np.ones(1000), [0.1])[0]
    assert (constant.n_background_passed, constant.resolved) == (0, False)


def test_rejection_keeps_at_least_the_signal_asked_for():
    s = np.array([1, 2, 2, 2, 3, 4, 5, 6, 7, 8])
    b = np.repeat(np.arange(10), 10)
    for asked, kept in ((0.5, 5), (0.61, 9), (0.9, 9), (1.0, 10)):
        rejection = ev.rejections(b, s, [asked])[0]
        assert np.sum(s > rejection.threshold) == kept
        assert rejection.n_background_passed == np.sum(b > rejection.threshold)


def test_curve_is_monotonic_and_its_area_is_the_auc(samples):
    b, s = samples
    curve = ev.roc(b, s, points=4000)
    assert np.all(np.diff(curve.eps_b) > 0)
    assert np.all(np.diff(curve.eps_s) >= 0)
    assert np.all((curve.low <= curve.eps_s) & (curve.eps_s <= curve.high))
    assert (curve.eps_b[-1], curve.eps_s[-1], curve.independent[0]) == (1, 1, 1)
    area = np.trapezoid(np.r_[0, curve.eps_s], np.r_[0, curve.eps_b])
    assert area == pytest.approx(ev.auc(b, s).value, abs=2e-3)


def test_json_round_trip(samples, tmp_path):
    b, s = samples
    before = ev.evaluate(b, s + 3)
    assert not before.rejections[0].resolved
    write_json(tmp_path / "e.json", ev.to_json(before))
    after = ev.from_json(read_json(tmp_path / "e.json"))
    for name in ("n_background", "n_signal", "auc", "working_points"):
        assert getattr(after, name) == getattr(before, name)
    for one, two in zip(before.rejections, after.rejections, strict=True):
        np.testing.assert_array_equal(np.array(one[:-1], float), np.array(two[:-1], float))
        assert one.remark == two.remark
    for one, two in zip(before.curve, after.curve, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("damaged", [{}, {"auc": 1}, [], None, {"working_points": [{"eps_b": 1}]}])
def test_foreign_json_is_refused(damaged):
    with pytest.raises(InputError, match="not the JSON"):
        ev.from_json(damaged)


def nlo(rng, n, mean, size=0.3):
    """(scores, weights) of n events, a share ``size`` of weight -1 and broader: what is left of both is not normal.

    Density: [ (1 - size) N(mean, 1) - size N(mean, 0.5) ] / (1 - 2 size).
    """
    negative = rng.random(n) < size
    return np.where(negative, rng.normal(mean, 0.5, n), rng.normal(mean, 1, n)), np.where(negative, -1.0, 1.0)


def true_efficiency(t, mean, size=0.3):
    return ((1 - size) * norm.sf(t - mean) - size * norm.sf((t - mean) / 0.5)) / (1 - 2 * size)


def test_negative_weights_take_away_what_positive_ones_add(samples):
    """Events that come twice, with both signs, leave every value as it was, and widen its interval."""
    b, s = (x[:4000] for x in samples)
    rng = np.random.default_rng(11)
    extra_b, extra_s = rng.normal(1, 1, 600), rng.normal(0, 1, 500)

    def doubled(scores, extra):
        return np.r_[scores, extra, extra], np.r_[np.ones(len(scores) + len(extra)), -np.ones(len(extra))]

    (more_b, w_b), (more_s, w_s) = doubled(b, extra_b), doubled(s, extra_s)
    one, two = ev.evaluate(b, s), ev.evaluate(more_b, more_s, background_weights=w_b, signal_weights=w_s)
    assert two.auc.value == pytest.approx(one.auc.value, abs=1e-12)
    assert two.auc.high - two.auc.low > one.auc.high - one.auc.low
    for at_one, at_two in zip(one.working_points, two.working_points, strict=True):
        if at_one.threshold == at_two.threshold:
            assert at_two.eps_s.value == pytest.approx(at_one.eps_s.value, abs=1e-12)
            assert at_two.background.value == pytest.approx(at_one.background.value, abs=1e-12)
            assert at_two.eps_s.high - at_two.eps_s.low > at_one.eps_s.high - at_one.eps_s.low
    curve = two.curve
    assert np.all(np.diff(curve.eps_b) > 0)
    assert curve.eps_b[-1] == 1
    assert not np.isnan(curve.eps_s).any()
    # the budget holds at the threshold and above it
    for point in two.working_points:
        above = [w_b[more_b > t].sum() for t in np.unique(more_b[more_b >= point.threshold])]
        assert max(above) <= point.eps_b * w_b.sum() * (1 + 1e-9)


def test_a_point_where_the_signal_sums_to_less_than_nothing_is_not_resolved(tmp_path):
    b = np.arange(100.0)
    s, w = np.r_[np.full(10, 200.0), np.full(30, 10.0)], np.r_[np.full(10, -1.0), np.ones(30)]
    (point,) = ev.efficiencies(b, s, [0.1], signal_weights=w)
    assert np.isnan(point.eps_s.value)
    assert point.background.passed == 10
    assert not point.resolved
    write_json(tmp_path / "e.json", ev.to_json(ev.evaluate(b, s, [0.1], [0.2], signal_weights=w)))
    again = ev.from_json(read_json(tmp_path / "e.json"))
    assert np.isnan(again.working_points[0].eps_s.value)


def test_intervals_with_signed_weights_cover():
    """AUC and ε_S of samples with three negative weights in ten: at the nominal level, within what 600 trials tell."""
    rng = np.random.default_rng(12)
    grid = np.linspace(-6, 8, 20_001)
    density_of_background = -np.gradient(true_efficiency(grid, 0.0), grid)
    area = np.trapezoid(true_efficiency(grid, 1.0) * density_of_background, grid)
    in_area = in_efficiency = 0
    for _ in range(600):
        (b, w_b), (s, w_s) = nlo(rng, 2500, 0.0), nlo(rng, 2500, 1.0)
        found = ev.auc(b, s, w_b, w_s)
        in_area += found.low <= area <= found.high
        eps = distribution("signal", s, w_s).efficiency(1.5)
        in_efficiency += eps.low <= true_efficiency(1.5, 1.0) <= eps.high
    assert in_area / 600 == pytest.approx(0.683, abs=0.055)
    assert in_efficiency / 600 == pytest.approx(0.70, abs=0.06)


@pytest.mark.parametrize("n", [3, 7, 241, 999])
def test_area_of_perfect_separation_lies_in_its_interval(n):
    """Also where the sum of n shares of 1/n is not one."""
    weights = np.random.default_rng(n).uniform(0.1, 3, n)
    for w in (None, weights):
        found = ev.auc(np.arange(float(n)), np.arange(float(n)) + n, w, w)
        assert found.low <= found.value <= found.high <= 1
        assert found.value == pytest.approx(1)


def test_variance_of_a_weighted_mean_is_not_biased():
    """Few events of unequal weights: the mean of the estimates is the variance of the means."""
    rng = np.random.default_rng(13)
    for weights in (np.ones(6), np.array([1.0, 1, 1, 1, 4, 4]), np.array([2.0, 1, 1, 1, 1, -1])):
        trials = [distribution("signal", np.arange(6.0), weights).mean(rng.normal(0, 1, 6)) for _ in range(4000)]
        values, variances = np.array(trials).T
        assert variances.mean() == pytest.approx(values.var(), rel=0.1)


def test_bad_scores_are_refused_by_name():
    good = np.arange(5.0)
    for bad, word in (([], "is empty"), ([1, np.nan, 2], "1 of 3"), ([1, np.inf], "infinite"), ([[1.0]], "shape")):
        with pytest.raises(InputError, match=f"background.*{word}|{word}.*background"):
            ev.evaluate(np.array(bad, float), good)
        with pytest.raises(InputError, match=f"signal.*{word}|{word}.*signal"):
            ev.evaluate(good, np.array(bad, float))
    with pytest.raises(InputError, match="one event"):
        ev.auc(good, [1.0])
    for weights in ([1, 1], [1, 1, 1, -1, -2], np.zeros(5), [1, 1, 1, 1, np.nan]):
        with pytest.raises(InputError, match="background weights"):
            ev.evaluate(good, good, background_weights=weights)
    for eps in (0, 1.1, -0.1, np.nan):
        with pytest.raises(InputError, match="eps_b"):
            ev.threshold_at(good, eps)


def test_efficiency_in_bins():
    rng = np.random.default_rng(6)
    score, pt = rng.random(5000), rng.uniform(500, 700, 5000)
    found = binned_efficiency.efficiency_against(score, 0.9, pt, [550, 600, 650, 800, 900])
    assert found.total.sum() == np.sum(pt >= 550)
    inside = (pt >= 600) & (pt < 650)
    assert found.passed[1] == np.sum(inside & (score > 0.9))
    low, high = ev.clopper_pearson(found.passed[1], found.total[1])
    assert (found.low[1], found.high[1]) == (low, high)
    assert found.value[1] == pytest.approx(0.1, abs=0.04)
    assert np.isnan(found.value[3])
    assert (found.low[3], found.high[3]) == (0, 1)
    with pytest.raises(InputError, match="rising edges"):
        binned_efficiency.efficiency_against(score, 0.9, pt, [600, 550])
    with pytest.raises(InputError, match="finite"):
        binned_efficiency.efficiency_against(score, 0.9, np.full(5000, np.nan), [0, 1])


def test_intervals_of_weighted_bins_cover():
    rng, n, inside = np.random.default_rng(10), 4000, np.zeros(2)
    for _ in range(200):
        x, common = rng.uniform(0, 2, n), rng.random(n) < 0.5
        weights = np.where(common, 1.9, 0.1)
        passes = rng.random(n) < np.where(common, 0.02, 0.3) * (1 + (x > 1))
        expected = np.array([1, 2]) * (0.5 * 1.9 * 0.02 + 0.5 * 0.1 * 0.3)
        found = binned_efficiency.efficiency_against(passes, 0.5, x, [0, 1, 2], weights)
        inside += (found.low <= expected) & (expected <= found.high)
    assert inside / 200 == pytest.approx(0.70, abs=0.1)
    same = binned_efficiency.efficiency_against(passes, 0.5, x, [0, 1, 2], np.full(n, 3.0))
    assert same.total.sum() == n


def test_efficiency_against_jet_shares_bins():
    rng = np.random.default_rng(9)
    jets = {n: np.column_stack([rng.uniform(550, 650, 900), *rng.normal(0, 1, (2, 900)), rng.exponential(scale, 900)])
            for n, scale in (("QCD", 40), ("top", 80))}  # fmt: skip
    score = {name: jet[:, 3] for name, jet in jets.items()}
    result = binned_efficiency.efficiency_against_jet(
        {name: (score[name], jets[name], np.ones(900)) for name in jets}, 60.0
    )
    for of_samples in result.values():
        assert np.all(of_samples["QCD"].edges == of_samples["top"].edges)
        assert all(binned.total.sum() > 0.97 * 900 for binned in of_samples.values())
    (pt, mass) = (of_samples["top"] for of_samples in result.values())
    assert (pt.edges[0], pt.edges[-1]) == (550, 650)
    # the score is the mass: all or nothing passes, except in the bin of the threshold
    assert set(mass.value[np.abs(mass.edges[:-1] - 60) > np.diff(mass.edges)]) == {0, 1}
