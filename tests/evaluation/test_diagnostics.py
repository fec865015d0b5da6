"""Diagnostics: known answers for scores that follow pile-up, mass or direction, and for those that do not."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import rankdata

from hepad.errors import InputError
from hepad.evaluation import checks
from hepad.evaluation.diagnostics import (
    against_pileup,
    copies,
    correlation,
    diagnose,
    invariance,
    jensen_shannon,
    mirrored,
    ranks,
    rotated,
    sculpting,
    turn_ons,
    variables,
)
from hepad.evaluation.roc import evaluate, threshold_at
from hepad.events import Events
from hepad.events.kinematics import to_cartesian


@pytest.fixture(scope="module")
def events():
    rng, n = np.random.default_rng(1), 3000

    def objects(*shape):
        p = np.stack([rng.exponential(50, shape), rng.normal(0, 1, shape), rng.uniform(-3.1, 3.1, shape)], axis=-1)
        return np.concatenate([p, rng.exponential(20, (*shape, 1))], axis=-1).astype(np.float32)

    jets = objects(n, 4)
    jets[::3, 2:] = 0
    met = np.stack([rng.exponential(30, n), rng.uniform(-3.1, 3.1, n)], axis=-1).astype(np.float32)
    return Events(
        np.arange(n), np.full(n, 2, np.int8), np.ones(n), jets[:, 0], np.zeros((n, 0, 4), np.float32), jets,
        np.zeros((n, 2, 4), np.float32), objects(n, 1), np.zeros((n, 2, 4), np.float32), met,
        facts={"pileup": rng.poisson(50, n).astype(np.float32)}, meta={"present": ["jets", "muons", "met", "pileup"]},
    )  # fmt: skip


def test_pileup_dependence_is_found_and_measured():
    rng, n = np.random.default_rng(2), 200_000
    pileup = rng.poisson(rng.uniform(20, 80, n))
    mean = pileup.mean()
    for slope in (0.0, 0.01):
        passes = rng.random(n) < 0.05 * (1 + slope * (pileup - mean))
        check = against_pileup(passes, pileup, 0.5)
        assert abs(check.slope - slope) < 4 * (check.high - check.low) / 2
        assert check.p_linear > 1e-3
        assert (check.p_constant < 1e-6) == (slope > 0)
        assert check.binned.total.sum() == n
    bent = rng.random(n) < 0.05 * (1 + ((pileup - mean) / 30) ** 2)
    assert against_pileup(bent, pileup, 0.5).p_linear < 1e-6


def test_intervals_of_the_slope_cover():
    rng, n, inside = np.random.default_rng(3), 4000, 0
    pileup = rng.poisson(50, n)
    for _ in range(300):
        check = against_pileup(rng.random(n) < 0.03, pileup, 0.5)
        inside += check.low <= 0 <= check.high
    assert inside / 300 == pytest.approx(0.683, abs=0.09)


def test_p_values_are_uniform():
    rng, n = np.random.default_rng(4), 4000
    pileup = rng.poisson(50, n)
    p = [against_pileup(rng.random(n) < 0.1, pileup, 0.5).p_constant for _ in range(300)]
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_a_sample_with_weights_has_the_slope_of_nature():
    """What passes is a hundred times as frequent as in nature, with weights: neither slope nor rate may know."""
    rng, n, inside = np.random.default_rng(6), 20_000, 0
    for _ in range(100):
        pileup = rng.poisson(rng.uniform(20, 80, n))
        hard = rng.random(n) < 0.3
        natural = 0.003 * (1 + 0.01 * (pileup - 50))
        weights = np.where(hard, natural / 0.3, (1 - natural) / 0.7)
        check = against_pileup(hard.astype(float), pileup, 0.5, weights=weights)
        inside += check.low <= 0.01 <= check.high
        assert check.binned.value == pytest.approx(0.003 * (1 + 0.01 * (check.binned.edges[:-1] - 50)), abs=0.0012)
    assert inside > 60


def test_a_correlation_of_weighted_events_is_that_of_as_many_copies():
    rng = np.random.default_rng(7)
    x = rng.normal(size=300)
    y, count = x + rng.normal(size=300), rng.integers(1, 6, 300)
    copies = correlation(np.repeat(x, count), np.repeat(y, count))
    assert correlation(x, y, count).rho == pytest.approx(copies.rho, abs=1e-12)
    assert correlation(x, y, np.full(300, 7.0)) == pytest.approx(correlation(x, y))


def test_without_variation_there_is_no_check():
    scores = np.arange(100.0)
    assert against_pileup(scores, np.full(100, 40), 50) is None
    assert against_pileup(scores, np.arange(100) % 60, 1000) is None


def test_rotation_and_mirror_keep_what_they_should(events):
    angle = np.random.default_rng(5).uniform(-np.pi, np.pi, len(events))
    for copy in (rotated(events, angle), mirrored(events)):
        before, after = to_cartesian(events.jets).sum(axis=1), to_cartesian(copy.jets).sum(axis=1)
        np.testing.assert_allclose(np.hypot(*after[:, :2].T), np.hypot(*before[:, :2].T), rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(np.abs(after[:, 2]), np.abs(before[:, 2]), rtol=1e-4, atol=1e-2)
        assert (copy.jets[::3, 2:] == 0).all()
    np.testing.assert_allclose(np.cos(rotated(events, angle).met[:, 1]), np.cos(events.met[:, 1] + angle), atol=1e-5)
    twice = mirrored(mirrored(events))
    np.testing.assert_array_equal(twice.jets, events.jets)
    assert events.jets is not twice.jets


def test_invariance_tells_direction_from_momentum(events):
    def invariant(e):
        return e.jet[:, 0].astype(float)

    def directed(e):
        return e.jet[:, 0] * np.cos(e.jet[:, 2].astype(float)) + 30 * e.jet[:, 1]

    same = copies(events, np.random.default_rng(6))
    found = invariance({name: invariant(e) for name, e in same.items()}, 100.0)
    assert all(x.median == x.high == x.flipped == 0 for x in found.values())
    found = invariance({name: directed(e) for name, e in same.items()}, 100.0)
    assert min(x.median for x in found.values()) > 0.3
    assert found["rotation"].flipped > 0.05
    with pytest.raises(InputError, match="no spread"):
        invariance({"original": np.ones(9)}, 100.0)


def test_jensen_shannon_of_known_histograms():
    assert jensen_shannon([1, 2, 3], [10, 20, 30]) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon([1, 0], [0, 5]) == pytest.approx(1)
    # by hand: m = (3/4, 1/4), H(m) = 0.811278; H(p) = 0, H(q) = 1
    assert jensen_shannon([1, 0], [1, 1]) == pytest.approx(0.8112781 - 0.5)


def test_sculpting_is_seen_and_its_absence_too():
    rng, n = np.random.default_rng(7), 20_000
    mass = rng.exponential(50, n)
    eps_b = (0.1, 0.01)
    inside = 0
    for _ in range(40):
        inside += sum(x.jsd <= x.null_high for x in sculpting(rng.random(n), mass, eps_b, rng))
    assert inside >= 70  # of 80, of which 2 are expected outside
    heavy = sculpting(mass + rng.normal(0, 5, n), mass, eps_b, rng)
    assert all(x.jsd > 0.3 > 5 * x.null_high for x in heavy)
    assert [x.passed for x in heavy] == [2000, 200]
    assert heavy[0].null_median < heavy[1].null_median  # fewer events, more noise


def test_equal_numbers_share_their_mean_rank():
    x = np.random.default_rng(3).integers(-4, 5, 200)
    np.testing.assert_array_equal(ranks(x), rankdata(x))
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1.0, 2.5]


def test_correlation_and_its_interval():
    rng, n = np.random.default_rng(8), 500
    x = rng.normal(size=n)
    assert correlation(x, np.exp(x)).rho == pytest.approx(1)
    rho, inside = 6 / np.pi * np.arcsin(0.6 / 2), 0  # Spearman's of a normal pair with correlation 0.6
    for _ in range(300):
        x = rng.normal(size=n)
        found = correlation(x, 0.6 * x + 0.8 * rng.normal(size=n))
        inside += found.low <= rho <= found.high
    assert inside / 300 == pytest.approx(0.683, abs=0.09)
    assert np.isnan(correlation(x, np.ones(n)).rho)


def test_turn_ons_share_bins(events):
    some = events[:2000]
    samples = {
        "one": (events.jet[:, 0].astype(float), variables(events), events.weight),
        "two": (some.met[:, 0].astype(float), variables(some), some.weight),
    }
    found = turn_ons(samples, 60.0)
    assert list(found) == ["jet $p_T$ [GeV]", "jet mass [GeV]", "$H_T$ [GeV]", "missing $p_T$ [GeV]"]
    step = found["jet $p_T$ [GeV]"]["one"]
    assert (step.value[(step.edges[1:] <= 60) & (step.total > 0)] == 0).all()
    assert (step.value[(step.edges[:-1] >= 60) & (step.total > 0)] == 1).all()
    for of in found.values():
        np.testing.assert_array_equal(of["one"].edges, of["two"].edges)


def test_all_checks_of_a_score(events):
    def score(e):
        return e.jet[:, 3].astype(float)

    of_copies = {name: score(e) for name, e in copies(events, np.random.default_rng(1)).items()}
    found = diagnose(score(events), variables(events), events.weight, of_copies, (0.1, 0.01), 0.1)
    record = {"task": "t", "detector": "mass", "seed": 1, **found}
    assert found["correlation"]["jet mass [GeV]"]["rho"] == pytest.approx(1)
    assert found["sculpting"][0]["jsd"] > found["sculpting"][0]["null_high"]
    assert sum(found["mass"]["passed"]) <= 300
    assert found["pileup"]["p_constant"] > 1e-4
    about = {"task": "t", "detector": "mass", "seed": 1}
    evaluation = evaluate(score(events), score(events) + 9)
    evaluations = [
        about | {"signal": "s", "evaluation": evaluation},
        about | {"task": "u", "signal": "b", "evaluation": evaluation},
    ]
    dirty = {
        "task": "t",
        "detector": "mass",
        "signal": "s",
        "trainings": [{"fraction": 0.001, "value": 0.7, "low": 0.6, "high": 0.8}],
    }
    (whole,) = checks.joined([record], evaluations, [dirty], {"t": "b", "u": "s"})
    table = checks.rows(whole)
    stability = {"pileup", "invariance", "sculpting", "correlation"}
    assert {row["check"] for row in table} == stability | {"AUC", "AUC, tasks swapped", "AUC, contaminated"}
    assert all(set(row) == set(checks.COLUMNS) for row in table)
    of = {row["check"]: row for row in table}
    assert (of["AUC"]["of"], of["AUC"]["value"]) == ("s", evaluation.auc.value)
    assert of["AUC, tasks swapped"]["of"] == "s"
    assert of["AUC, contaminated"]["of"] == "s: 0.1 % signal in training"
    # another training has no area, and no other task's contamination counts
    (other,) = checks.joined([record | {"seed": 2}], evaluations, [dirty | {"task": "u"}], {"t": "b", "u": "s"})
    assert {row["check"] for row in checks.rows(other)} == stability
    bare = dataclasses.replace(events, facts={})
    assert diagnose(score(bare), variables(bare), bare.weight, of_copies, (0.1,), 0.1)["pileup"] is None
    assert threshold_at(score(bare), 0.1) > 0
