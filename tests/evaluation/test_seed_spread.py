"""Several trainings of one detector: medians and ranges, what is not resolved, what one training cannot say."""

import csv

import numpy as np
import pytest
from scipy.stats import t

from hepad.evaluation import seed_spread
from hepad.evaluation.roc import evaluate


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(1)
    background, signal = rng.normal(0, 1, 3000), rng.normal(1, 1, 1000)
    shared = {"task": "qcd", "signal": "top", "group": "detector"}

    def of(detector, seed, scale):
        noise = np.random.default_rng(seed).normal(0, scale, 4000)
        evaluation = evaluate(background + noise[:3000], signal + noise[3000:], eps_b=(0.1, 0.001))
        return shared | {"detector": detector, "label": detector.upper(), "seed": seed, "evaluation": evaluation}

    return [of("ae", seed, 0.5) for seed in range(7)] + [of("mass", 1, 0.0)]


def test_medians_and_ranges_of_trainings(records):
    rows = {(r["detector"], r["quantity"], r["at"]): r for r in seed_spread.rows(records)}
    assert {row["trainings"] for key, row in rows.items() if key[0] == "ae"} == {7}
    evaluations = [r["evaluation"] for r in records[:7]]
    values = np.array([e.auc.value for e in evaluations])
    found = rows["ae", "auc", None]
    assert found["median"] == pytest.approx(np.sort(values)[3])
    # Student's factor of seven trainings, the further one's own scatter, and the counts that all share
    scatter = t.ppf(0.8415, 6) * values.std(ddof=1) * np.sqrt(8 / 7)
    counts = np.mean([[e.auc.value - e.auc.low, e.auc.high - e.auc.value] for e in evaluations], axis=0)
    ends = (found["median"] - found["low"], found["high"] - found["median"])
    assert ends == pytest.approx(np.hypot(scatter, counts))
    points = [r["evaluation"].working_points[0].eps_s.value for r in records[:7]]
    assert rows["ae", "eps_s", 0.1]["median"] == pytest.approx(np.median(points))
    # three background events pass at 0.001: not resolved; the range of one training is that of its counts
    assert rows["ae", "eps_s", 0.001]["median"] is rows["ae", "eps_s", 0.001]["low"] is None
    one = rows["mass", "auc", None]
    assert (one["trainings"], one["median"]) == (1, records[-1]["evaluation"].auc.value)
    assert (one["low"], one["high"]) == pytest.approx(records[-1]["evaluation"].auc[1:])
    inverse = rows["mass", "1/eps_b", 0.3]
    expected = records[-1]["evaluation"].rejections[1]
    assert inverse["median"] == pytest.approx(expected.inverse_eps_b)
    assert (inverse["low"], inverse["high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_further_training_is_in_the_band_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    for scatter, counts in ((1.0, 0.0), (1.0, 0.7), (0.1, 1.0)):
        truths = 20 + scatter * rng.normal(size=(n + 1, 20_000))
        values = truths[:n] + counts * rng.normal(size=20_000)  # the test events move all trainings together
        _, low, high = seed_spread.together(values, values - counts, values + counts, limit=np.inf)
        # where the counts rule, the scatter of few trainings is overestimated as often as not, and its square more
        assert 0.66 < np.mean((low <= truths[n]) & (truths[n] <= high)) < 0.75


def test_a_band_stays_within_what_an_efficiency_can_be():
    middle, low, high = seed_spread.together(
        [[0.99, 0.02], [0.9, 0.2]], [[0.98, 0], [0.89, 0.1]], [[1, 0.1], [0.91, 0.3]]
    )
    assert middle == pytest.approx([0.945, 0.11])
    assert low[1] == 0
    assert high[0] == 1


def test_bands_by_label_and_their_table(records, tmp_path):
    found, groups = seed_spread.spreads(records)
    assert {name: spread.trainings for name, spread in found.items()} == {"AE": 7, "MASS": 1}
    assert groups == {"AE": "detector", "MASS": "detector"}
    inside = (found["AE"].low <= found["AE"].eps_s) & (found["AE"].eps_s <= found["AE"].high)
    assert inside.all()
    seed_spread.write_seed_spread(tmp_path / "seed_spread.csv", reversed(records))
    with open(tmp_path / "seed_spread.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == seed_spread.COLUMNS
    assert len(rows) == 2 * (1 + 2 + 3)
    assert [row["detector"] for row in rows] == ["ae"] * 6 + ["mass"] * 6
