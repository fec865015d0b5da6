"""Several trainings of one detector: medians and ranges, what is not resolved, what one training cannot say."""

import csv

import numpy as np
import pytest

from hepad import bands
from hepad.evaluation import evaluate


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
    rows = {(r["detector"], r["quantity"], r["at"]): r for r in bands.rows(records)}
    assert {row["trainings"] for key, row in rows.items() if key[0] == "ae"} == {7}
    values = np.array([r["evaluation"].auc.value for r in records[:7]])
    found = rows["ae", "auc", None]
    assert found["median"] == pytest.approx(np.sort(values)[3])
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(values, [0.16, 0.84])))
    points = [r["evaluation"].working_points[0].eps_s.value for r in records[:7]]
    assert rows["ae", "eps_s", 0.1]["median"] == pytest.approx(np.median(points))
    # three background events pass at 0.001: not resolved; one training has no range
    assert rows["ae", "eps_s", 0.001]["median"] is rows["ae", "eps_s", 0.001]["low"] is None
    one = rows["mass", "auc", None]
    assert (one["trainings"], one["median"]) == (1, records[-1]["evaluation"].auc.value)
    assert one["low"] is one["high"] is None
    inverse = rows["mass", "1/eps_b", 0.3]["median"]
    assert inverse == records[-1]["evaluation"].rejections[1].inverse_eps_b > 1


def test_bands_by_label_and_their_table(records, tmp_path):
    found, groups = bands.bands(records)
    assert {name: band.trainings for name, band in found.items()} == {"AE": 7, "MASS": 1}
    assert groups == {"AE": "detector", "MASS": "detector"}
    inside = (found["AE"].low <= found["AE"].eps_s) & (found["AE"].eps_s <= found["AE"].high)
    assert inside.all()
    bands.write_bands(tmp_path / "bands.csv", reversed(records))
    with open(tmp_path / "bands.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == bands.COLUMNS
    assert len(rows) == 2 * (1 + 2 + 3)
    assert [row["detector"] for row in rows] == ["ae"] * 6 + ["mass"] * 6
