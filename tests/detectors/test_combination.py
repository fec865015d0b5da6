"""Combinations: calibrated on background of any dependence, in order beyond the last event, one file."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import binom, cauchy, chi2, genpareto, mannwhitneyu, norm
from sklearn.base import clone

import hepad
from hepad import detectors
from hepad.detectors.combination import METHODS, fisher, min_p
from hepad.detectors.survival import LEAST_SHAPE, Survival, pareto
from hepad.errors import InputError
from hepad.representations import Space

PAIR = Space((2,), ("a", "b"))
ONE = [{"name": name, "type": "Variable", "arguments": {"variable": name}} for name in PAIR.columns]
MIX = {"name": "mix", "type": "Mixture", "arguments": {"n_gaussians": 1, "n_components": 1}}
WEIGHTS = torch.ones(2)


def correlated(n, rho, seed, heavy=False):
    """(n, 2) of one-sided anomalies, dependent in the bulk; ``heavy``: in the tail, too."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
    return torch.tensor(z / np.sqrt(rng.chisquare(3, (n, 1)) / 3) if heavy else z, dtype=torch.float32)


def combined(x, **arguments):
    detector = detectors.build({"type": "Combination", "arguments": {"members": ONE, **arguments}}, PAIR, 0)
    return detector, detector.fit(x, x, generator=torch.Generator().manual_seed(0))


# the law of one score


def test_below_the_tail_it_is_the_conformal_p_at_the_knots():
    scores = torch.tensor(np.random.default_rng(0).gamma(2, size=1000), dtype=torch.float32)
    survival = Survival()
    survival.fit(scores, 0.1)
    knots = survival.knots.unique()
    assert 50 < len(knots) <= 64
    p = torch.exp(-survival(knots)).numpy()
    np.testing.assert_allclose(p, hepad.p_values(scores, knots), rtol=1e-5)
    assert p[-1] == pytest.approx(12 / 1001)  # ten events are above it
    between = torch.tensor(np.random.default_rng(1).gamma(2, size=2000), dtype=torch.float32)
    np.testing.assert_allclose(torch.exp(-survival(between)), hepad.p_values(scores, between), atol=0.02)


@pytest.mark.parametrize("draw", [np.random.Generator.standard_cauchy, np.random.Generator.standard_normal])
def test_the_tail_is_continuous_and_orders_what_lies_beyond_all_events(draw):
    scores = torch.tensor(draw(np.random.default_rng(2), 800), dtype=torch.float32)
    survival = Survival()
    survival.fit(scores, 0.1)
    t = survival.knots[-1]
    near = survival(torch.stack([t * (1 - 1e-6), t, t * (1 + 1e-6)]))
    assert near.diff().abs().max() < 1e-4
    far = torch.linspace(t.item(), 50 * scores.max().item(), 2000)
    assert (survival(far).diff() > 0).all()
    assert (hepad.p_values(scores, far[-1000:]) == 1 / 801).all()  # what the tail is for
    rising = survival(torch.linspace(scores.min().item(), 2 * t.item(), 2000))
    assert (rising.diff() > 0).all()


@pytest.mark.parametrize("shape", [0.5, 0.2, 0.0])
def test_the_tail_finds_the_parameters_that_were_drawn(shape):
    found = [pareto(np.sort(genpareto.rvs(shape, scale=3.0, size=2000, random_state=k))) for k in range(5)]
    assert np.mean([xi for xi, _ in found]) == pytest.approx(shape, abs=LEAST_SHAPE)
    assert np.mean([sigma for _, sigma in found]) == pytest.approx(3.0, rel=0.07)


def test_a_background_of_finite_reach_gets_an_exponential_tail():
    excess = np.sort(np.random.default_rng(0).uniform(0, 2, 500))
    assert pareto(excess) == (0.0, pytest.approx(excess.mean()))


def test_scores_that_are_counts_are_calibrated():
    scores = torch.tensor(np.random.default_rng(0).poisson(3, 1000), dtype=torch.float32)
    survival = Survival()
    survival.fit(scores, 0.1)
    values = torch.arange(0, survival.knots[-1].item() + 1)
    np.testing.assert_allclose(torch.exp(-survival(values)), hepad.p_values(scores, values), rtol=1e-5)


# the statistics, for members that are independent


def drawn(n, k=3):
    p = np.random.default_rng(3).uniform(size=(n, k))
    return p, torch.tensor(-np.log(p))


def test_fisher_is_chi_squared_and_min_p_has_its_trials():
    p, u = drawn(1000)
    weights = torch.ones(3, dtype=torch.float64)
    np.testing.assert_allclose(chi2(6).sf(2 * fisher(u, weights)), chi2(6).sf(-2 * np.log(p).sum(1)))
    np.testing.assert_allclose(torch.exp(-min_p(u, weights)), p.min(1))


def test_max_p_and_mean_p_have_the_laws_of_independent_members():
    p, u = drawn(100_000)
    weights = torch.ones(3, dtype=torch.float64)
    largest, mean = (torch.exp(-METHODS[name](u, weights)).numpy() for name in ("max_p", "mean_p"))
    np.testing.assert_allclose(largest, p.max(1))
    np.testing.assert_allclose(mean, p.mean(1))
    for a in (0.1, 0.3):  # Wilkinson: a^K; Edgington: (K a)^K / K! where K a < 1
        assert (largest <= a).mean() == pytest.approx(a**3, rel=0.15)
        assert (mean <= a).mean() == pytest.approx((3 * a) ** 3 / 6, rel=0.06)
    weights = torch.tensor([2.0, 0.5, 0.5]).double()
    np.testing.assert_allclose(torch.exp(-METHODS["max_p"](u, weights)), (p / weights.numpy()).max(1))
    np.testing.assert_allclose(torch.exp(-METHODS["mean_p"](u, weights)), (p / weights.numpy()).mean(1))


def test_cauchy_is_the_sum_of_cotangents_in_order():
    p, u = drawn(5000)
    p = np.minimum(p, 0.99)
    c = (np.array([2.0, 0.5, 0.5]) / np.tan(np.pi * p)).mean(1)
    found = METHODS["cauchy"](u, torch.tensor([2.0, 0.5, 0.5])).numpy()
    np.testing.assert_allclose(found, np.sign(c) * np.log1p(np.abs(c)), rtol=1e-5, atol=1e-6)
    assert cauchy.sf(c).min() == pytest.approx(np.exp(-found.max()) / math.pi, rel=0.05)


def test_e_values_are_the_mean_likelihood_ratio_over_powers():
    p = np.array([[1e-9, 0.7], [1e-3, 1e-3], [0.2, 0.9], [0.6, 0.61], [0.99, 0.9999]])
    ratios = np.array([[quad(lambda k, p=p: k * p ** (k - 1), 0, 1)[0] for p in row] for row in p])
    found = METHODS["e_values"](torch.tensor(-np.log(p)), torch.tensor([0.5, 1.5]).double())
    np.testing.assert_allclose(found, np.log((ratios * [0.5, 1.5]).mean(1)), rtol=1e-6)


def test_where_one_of_many_members_sees_the_signal_e_values_lose_least():
    """Of seven independent members one has p ~ p^(k-1), k in (0, 1): the mean ratio is the best score by theory."""
    rng, n = np.random.default_rng(5), 100_000
    background, signal = rng.exponential(size=(n, 7)), rng.exponential(size=(n, 7))  # -log p
    signal[np.arange(n), rng.integers(7, size=n)] = rng.exponential(size=n) / rng.uniform(size=n)
    areas = {}
    for name, method in METHODS.items():
        t = [method(torch.tensor(u), torch.ones(7)).numpy() for u in (background, signal)]
        areas[name] = mannwhitneyu(t[1], t[0]).statistic / n**2
    assert max(areas, key=areas.get) == "e_values"
    assert areas["e_values"] - max(areas["min_p"], areas["fisher"]) > 0.001


@pytest.mark.parametrize("method", METHODS)
def test_a_statistic_rises_with_every_member_however_small_its_p(method):
    rising, still = torch.linspace(1, 5000, 4000), torch.full((4000,), 0.3)
    both = method in ("max_p", "mean_p")  # one rare p alone is not what they ask for
    u = torch.stack([rising, rising if both else still], 1)
    assert (METHODS[method](u, WEIGHTS).diff() > 0).all()
    assert torch.isfinite(METHODS[method](u * 1000, WEIGHTS)).all()


# the law of the combination


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_p_is_calibrated_whatever_the_dependence(method, heavy):
    """Averaged over calibrations, P(p <= a) is a; the independent law would be off by 2 at 1e-2 (Fisher)."""
    test, seen = correlated(50_000, 0.5, 99, heavy), {0.1: [], 0.01: []}
    for seed in range(8):
        detector, _ = combined(correlated(1500, 0.5, seed, heavy), method=method)
        p = 10 ** -detector.score(test).double().numpy()
        for a, found in seen.items():
            found.append((p <= a).mean() / a)
    assert np.mean(seen[0.1]) == pytest.approx(1, abs=0.08)
    assert np.mean(seen[0.01]) == pytest.approx(1, abs=0.25)
    if method == "fisher":
        u = torch.stack([-torch.log(p) for p in detector.parts(test).values()], 1)
        assert (chi2(4).sf(2 * u.sum(1).numpy()) <= 0.01).mean() > 0.018


def test_the_conformal_p_of_a_combination_is_exact():
    detector, _ = combined(correlated(500, 0.7, 1))
    background, test = (detector.score(correlated(n, 0.7, seed)).numpy() for n, seed in ((999, 2), (20_000, 3)))
    for a in (0.1, 0.01):  # of one calibration a Beta, binomial on top
        p = hepad.p_values(background, test)
        assert abs((p <= a).mean() / a - 1) < 4 / math.sqrt(1000 * a)


def test_dependence_is_reported():
    independent, same = (combined(correlated(3000, rho, 4), method="min_p")[1].facts for rho in (0.0, 0.999))
    assert independent["trials"] == pytest.approx(2, abs=0.15)
    assert same["trials"] == pytest.approx(1, abs=0.1)
    assert independent["brown_degrees"] == pytest.approx(4, rel=0.12)
    assert same["brown_degrees"] == pytest.approx(2, rel=0.15)  # one p-value, twice
    assert abs(independent["mean_correlation"]) < 0.06 < 0.98 < same["mean_correlation"]


def test_weights_choose():
    x = correlated(2000, 0, 5)
    detector, _ = combined(x, weights=[1.0, 1e-6])
    one = torch.stack([torch.tensor([0.0, 9.0]), torch.tensor([2.0, 0.0])])
    low, high = detector.score(one)
    assert low < high
    assert combined(x)[0].score(one)[0] > combined(x)[0].score(one)[1]
    torch.testing.assert_close(combined(x, weights=[1e308, 1e308])[0].score(one), combined(x)[0].score(one))


def test_parts_are_the_p_values_of_the_members():
    x = correlated(1000, 0.3, 6)
    detector, _ = combined(x)
    test = correlated(300, 0.3, 7)
    parts = detector.parts(test)
    assert list(parts) == ["a", "b"]
    for column, p in zip(test.T, parts.values(), strict=True):
        assert p.min() > 0
        np.testing.assert_allclose(p, norm.sf(column), atol=0.05)
    expected = detector.survival(sum(-torch.log(p) for p in parts.values())) / math.log(10)
    torch.testing.assert_close(detector.score(test), expected, rtol=1e-4, atol=1e-5)
    assert detectors.build({"type": "Variable", "arguments": {"variable": "a"}}, PAIR, 0).parts(test) == {}


# in Python


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(8)
    return rng.normal(size=(900, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(900, 4))


@pytest.fixture(scope="module")
def pair(numbers):
    return [hepad.Mixture(n_gaussians=1).fit(numbers[:500]), hepad.PCAReconstruction(components=2).fit(numbers[:500])]


def test_fitted_members_are_kept_and_all_events_calibrate(pair, numbers, tmp_path):
    combination = hepad.Combination(members=pair, method="min_p").fit(numbers[500:])
    assert combination.facts["n_calibration"] == 400
    for own, of in zip(pair, combination.module.members, strict=True):
        torch.testing.assert_close(own.module.state_dict(), of.detector.state_dict())
    parts = combination.parts(numbers)
    assert list(parts) == ["Mixture", "PCAReconstruction"]
    background = pair[0].score(numbers[500:])
    np.testing.assert_allclose(
        parts["Mixture"][:500], hepad.p_values(background, pair[0].score(numbers[:500])), atol=0.02
    )
    combination.save(tmp_path / "c.safetensors")
    again = hepad.load(tmp_path / "c.safetensors")
    assert isinstance(again, hepad.Combination)
    np.testing.assert_array_equal(again.score(numbers), combination.score(numbers))
    np.testing.assert_array_equal(again.parts(numbers)["Mixture"], parts["Mixture"])
    assert again.module.names == ("Mixture", "PCAReconstruction")


def test_events_go_to_members_of_different_representations(make_events):
    train, rest = make_events(300, 1), make_events(400, 2)
    image, vector = hepad.JetImage(size=12, sigma=1), hepad.EventVector(["mass", "girth"])
    one = hepad.PCAReconstruction(components=3, representation=image).fit(train)
    two = hepad.Mixture(n_gaussians=1, representation=vector).fit(train)
    combination = hepad.Combination(members={"images": one, "vectors": two}).fit(rest)
    assert combination.representation.space == hepad.Joined([image, vector]).space
    for name, member in (("images", one), ("vectors", two)):
        p = combination.parts(rest)[name]
        assert (np.argsort(p[p < 0.5]) == np.argsort(-member.score(rest)[p < 0.5])).mean() > 0.98
    exact = next(m for n, m in zip(combination.module.names, combination.module.members, strict=True) if n == "images")
    x = combination.representation(rest)
    np.testing.assert_array_equal(exact.detector.score(exact.part(x)), one.score(rest))


def fitted(numbers, **about):
    detector = hepad.Mixture(n_gaussians=1).fit(numbers)
    for name, value in about.items():
        setattr(detector, name, value)
    return detector


WINDOWS = [{"pt": [pt, pt + 100], "abs_eta": 2.0} for pt in (100, 200)]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (lambda x: [fitted(x), hepad.AE()], "member 'AE' is no fitted detector"),
        (lambda x: [fitted(x), 3], "member 'int' is no fitted detector"),
        (lambda x: "ae", "'ae' is no list"),
        (lambda x: [fitted(x)], "two or more of different names"),
        (lambda x: [fitted(x), fitted(x[:, :3])], r"different inputs, of shape \(4,\) and \(3,\)"),
        (lambda x: [fitted(x, background="qcd"), fitted(x, background="top")], "background of qcd, .* of top"),
        (lambda x: [fitted(x, window=w) for w in WINDOWS], r"the window .*100.*200"),
    ],
)
def test_members_that_do_not_match_are_named_before_the_fit(members, said, numbers):
    with pytest.raises(InputError, match=said):
        hepad.Combination(members=members(numbers)).fit(numbers)


def test_a_representation_without_a_member_s_is_refused(make_events):
    events = make_events(200, 3)
    mass, girth = hepad.EventVector(["mass"]), hepad.EventVector(["girth"])
    pair = [hepad.Mixture(n_gaussians=1, representation=r).fit(events) for r in (mass, girth)]
    with pytest.raises(InputError, match=r"member 'Mixture 2' sees EventVector.*girth.* no part of EventVector.*mass"):
        hepad.Combination(members=pair, representation=mass).fit(events)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"members": ONE[:1]}, "two or more of different names"),
        ({"members": [ONE[0], ONE[0]]}, "two or more of different names"),
        ({"method": "fischer"}, "Did you mean 'fisher'"),
        ({"weights": [1.0]}, "2 numbers above zero"),
        ({"weights": [1.0, -1.0]}, "2 numbers above zero"),
        ({"weights": [1e-300, 1e300]}, "none more than 1e[+]06 times another"),
        ({"tail": 0.7}, "between 0 and 0.5"),
        (
            {"members": [ONE[0], {"name": "c", "type": "Combination", "arguments": {}}]},
            "'c': a combination is no member",
        ),
        ({"members": [ONE[0], {"name": "c", "type": "AEE"}]}, "member 'c': .*Did you mean 'AE'"),
        ({"members": [ONE[0], MIX | {"space": {"shape": [1], "columns": ["z"]}}]}, "it sees 'z', which the"),
        ({"members": [ONE[0], MIX | {"space": {"shape": [1, 2, 2], "pixels": 4}}]}, "image has 4 pixels"),
        ({"members": [ONE[0], MIX | {"space": {"shape": [3], "columns": ["b"]}}]}, "not 0 pixels and 1 columns"),
    ],
)
def test_bad_arguments_name_themselves(arguments, said):
    with pytest.raises(InputError, match=said):
        detectors.build({"type": "Combination", "arguments": {"members": ONE} | arguments}, PAIR, 0)


def test_too_few_events_are_named_with_the_number_that_is_needed():
    with pytest.raises(InputError, match=r"Combination: 99 calibration events are too few .* 100 are needed"):
        combined(correlated(99, 0, 1))
    combined(correlated(100, 0, 1))


def test_a_member_that_is_the_same_for_all_is_named():
    x = correlated(300, 0, 1)
    x[5:, 1] = 0
    x[:5, 1] = 1
    with pytest.raises(InputError, match=r"member 'b': 295 of 300 calibration events share the lowest score"):
        combined(x)


def test_a_missing_member_and_another_detector_are_named():
    detector = detectors.build({"type": "Combination", "arguments": {"members": ONE}}, PAIR, 0)
    mixture = detectors.build({"type": "Mixture", "arguments": {}}, PAIR, 0)
    with pytest.raises(InputError, match="member 'b' is missing"):
        detector.adopt({"a": detector.members[0].detector})
    with pytest.raises(InputError, match="member 'a': its model is another detector"):
        detector.adopt({"a": mixture, "b": mixture})


def test_a_clone_says_that_its_members_are_not_fitted(pair):
    with pytest.raises(InputError, match="no fitted detector"):
        clone(hepad.Combination(members=pair))


def test_small_background_rates_lie_in_the_interval_of_the_calibration():
    """P(p <= 1e-3), extrapolated from 1,500 events, is right to a factor of 2."""
    test, found = correlated(100_000, 0.5, 98, heavy=True), []
    for seed in range(10):
        detector, _ = combined(correlated(1500, 0.5, seed, heavy=True))
        found.append((10 ** -detector.score(test).double().numpy() <= 1e-3).mean())
    low, high = binom.interval(0.9999, 100_000, 1e-3)
    assert low / 2 / 100_000 < np.median(found) < 2 * high / 100_000
