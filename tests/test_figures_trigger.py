"""Figures and records of triggers and diagnostics: what is drawn is what was counted, and says what is not resolved."""

import dataclasses

import numpy as np
import pytest
import torch

from hepad import figures, trigger
from hepad.contamination import auc_against_contamination, contaminated
from hepad.diagnostics import copies, diagnose
from hepad.errors import InputError
from hepad.evaluation import evaluate
from hepad.events import Events
from hepad.features import Features
from hepad.rate import zero_bias
from hepad.representations import Space
from hepad.rows import complete
from hepad.style import UNRESOLVED, style

CONFIG = {"sqrt_s_tev": 14}
SCALE = zero_bias()
N = 4000


@pytest.fixture(autouse=True)
def neutral():
    with style(CONFIG):
        yield


def sample(name, n, shift, seed):
    """Crossings with a score that is their jet's pT, a pool of ten hard collisions and one trigger bit."""
    rng = np.random.default_rng(seed)
    jet = np.stack(
        [rng.exponential(20, n) + shift, rng.normal(0, 1, n), rng.uniform(-3, 3, n), rng.exponential(9, n)], -1
    )
    jets = np.zeros((n, 10, 4))
    jets[:, 0] = jet
    present = ["jets", "met", "pileup"]
    columns = {"jet": jet, "jets": jets, "met": rng.exponential(20, (n, 2)), "event_id": np.arange(n)}
    return complete(
        columns, split=(0.0, 0.0, 1.0), triggers=(rng.random((n, 1)) < 0.1) | (jet[:, :1] > 120),
        truth={"hardest_pileup": rng.integers(10, size=n).astype(np.float32)},
        facts={"pileup": rng.poisson(50, n).astype(np.float32)},
        meta={"name": name, "rate": {"kind": "zero_bias"}, "triggers": ["L1_Jet"], "present": present},
    )  # fmt: skip


@pytest.fixture(scope="module")
def events():
    return {"zero_bias": sample("zero_bias", N, 0, 1), "top": sample("top", 500, 60, 2)}


@pytest.fixture(scope="module")
def scores(events):
    def of(e):
        about = {"event_id": e.event_id, "weight": e.weight}
        return {"ae/1": e.jet[:, 0].astype(float), "ae/2": e.jet[:, 0] + 0.1 * e.jet[:, 3].astype(float)}, about

    return {name: of(e) for name, e in events.items()}


@pytest.fixture(scope="module")
def records(scores, events):
    menu = trigger.menu_of({"bits": ["L1_*"]}, ["L1_Jet"])
    return trigger.rates(scores, events, SCALE, (10, 1000), menu)


def gids(ax):
    return [artist.get_gid() for artist in ax.get_children() if artist.get_gid()]


def test_rates_are_counts(records, scores, events):
    record, point = records[0], records[0]["points"][1]
    assert [(r["detector"], r["seed"], r["of"]) for r in records] == [("ae", 1, "pure"), ("ae", 2, "pure")]
    passes = scores["zero_bias"][0]["ae/1"] > point["threshold"]
    fired = events["zero_bias"].triggers[:, 0]
    hz = SCALE.hz / N
    assert point["total"]["hz"] == pytest.approx(hz * passes.sum())
    assert point["pure"]["hz"] == pytest.approx(hz * (passes & ~fired).sum())
    assert point["overlap"]["hz"] == pytest.approx(hz * (passes & fired).sum())
    assert point["pure"]["hz"] <= 1e6
    found = point["signals"]["top"]
    passes, fired = scores["top"][0]["ae/1"] > point["threshold"], events["top"].triggers[:, 0]
    assert found["eps_s"]["value"] == pytest.approx(passes.mean())
    assert found["gain"]["value"] == pytest.approx((passes & ~fired).mean())
    assert found["menu"]["value"] == pytest.approx(fired.mean())
    # ten collisions in the pool: not more than ten are independent
    assert 1 <= point["independent"] <= 10
    assert record["scale_khz"] == pytest.approx(28608.8, rel=1e-4)


def test_table_of_rates(records, tmp_path):
    trigger.write_rates(tmp_path / "rates.csv", {"level1": records})
    lines = (tmp_path / "rates.csv").read_text().splitlines()
    assert lines[0].split(",") == list(trigger.COLUMNS)
    assert len(lines) == 1 + 2 * 2
    row = trigger.rows("level1", records)[1]
    assert float(row["threshold"]) == records[0]["points"][1]["threshold"]
    assert row["total_khz"] == row["pure_khz"] + row["overlap_khz"]


def test_scores_of_other_events_are_refused(scores, events):
    with pytest.raises(InputError, match="scores and events of 'top' differ"):
        trigger.rates(scores, events | {"top": events["top"][::-1]}, SCALE, (10,))


def test_no_rate_without_a_declaration():
    assert trigger.declared_scale("qcd", {}, {}) is None
    assert trigger.declared_scale("qcd", {}, {"rate": {"kind": "cross_section"}, "cross_section_pb": 1.0}) is None
    assert trigger.declared_scale("zb", {}, {"rate": {"kind": "zero_bias"}}).kind == "zero_bias"
    meta = {"rate": {"kind": "cross_section"}, "cross_section_pb": 100.0, "acceptance": 0.5}
    assert trigger.declared_scale("qcd", {"rate": {"luminosity": 2e34}}, meta).hz == pytest.approx(1.0)


def test_median_and_range_of_trainings():
    rng = np.random.default_rng(5)
    background = rng.normal(0, 1, 5000)
    trainings = [evaluate(background, rng.normal(shift, 1, 5000)) for shift in (0.5, 1.0, 1.5, 2.0, 2.5)]
    band = trigger.band(trainings)
    assert band.trainings == 5
    middle = trainings[2].curve
    expected = np.interp(np.log(band.eps_b), np.log(middle.eps_b), middle.eps_s)
    np.testing.assert_allclose(band.eps_s, expected, atol=0.02)
    assert (band.low <= band.eps_s).all()
    assert (band.eps_s <= band.high).all()
    assert band.auc[0] == trainings[2].auc.value
    alone = trigger.band(trainings[:1])
    np.testing.assert_array_equal(alone.low, trainings[0].curve.low)
    with pytest.raises(InputError, match="no training"):
        trigger.band([])


def test_trigger_curves(scores):
    def of(shift):
        of_signal = scores["top"][0]["ae/1"] + shift
        return evaluate(scores["zero_bias"][0]["ae/1"], of_signal)

    bands = {
        "AE": trigger.band([of(0), of(5), of(9)]),
        "mass": trigger.band([of(-40)]),
        "trees": trigger.band([of(99)]),
    }
    groups = {"AE": "detector", "mass": "baseline", "trees": "ceiling"}
    figure = figures.trigger_curves(bands, groups, CONFIG, khz=28608.8, title="zero bias → top")
    assert len(figure.axes) == 4
    top, bottom = figure.axes[0], figure.axes[2]
    line = next(x for x in top.lines if x.get_gid() == "detector")
    below = next(x for x in bottom.lines if x.get_gid() == "detector")
    np.testing.assert_allclose(below.get_ydata(), line.get_ydata() / np.sqrt(line.get_xdata()))
    assert "AE × 3" in line.get_label()
    axis = bottom.child_axes[0]
    assert "kHz" in axis.get_xlabel()
    assert axis.get_xlim()[1] == pytest.approx(28608.8 * bottom.get_xlim()[1])
    without = figures.trigger_curves(bands, groups, CONFIG)
    assert not any(ax.child_axes for ax in without.axes)
    with pytest.raises(InputError, match="no curves"):
        figures.trigger_curves({}, groups, CONFIG)


def test_rate_curves_say_what_is_not_resolved(records):
    left, right = figures.rate_curves(records[0], {"top": "top pairs"}, CONFIG, title="AE").axes
    assert {"total", "pure", "overlap", "unresolved"} <= set(gids(left))
    total = next(line for line in left.lines if line.get_gid() == "total")
    assert (np.diff(total.get_ydata()) <= 0).all()
    faces = [line.get_color() for line in right.lines if line.get_gid() == "menu"]
    assert faces[0] == UNRESOLVED != faces[1]


def test_the_page_of_diagnostics(events, scores):
    zero_bias_events = events["zero_bias"]
    of_copies = {
        name: e.jet[:, 0].astype(float) for name, e in copies(zero_bias_events[:300], np.random.default_rng(1)).items()
    }
    record = diagnose(scores["zero_bias"][0]["ae/1"], zero_bias_events, of_copies, (0.1, 0.03), 0.1)
    area = {"auc": {"top": (0.9, 0.89, 0.91)}, "swapped": {"top": (0.3, 0.29, 0.31)}}
    dirty = {"contamination": [{"fraction": 0.01, "value": 0.8, "low": 0.79, "high": 0.81}]}
    records = {"AE": record | area | dirty, "HT": record | area}
    figure = figures.diagnostics_page(records, {"AE": "detector", "HT": "baseline"}, CONFIG, title="zero bias")
    labels = " ".join(ax.get_xlabel() for ax in figure.axes)
    for text in ("pile-up", "JSD", "jet mass", "per collision", "spread", "Spearman", "AUC"):
        assert text in labels
    bare = {"AE": record | {"pileup": None}}
    fewer = figures.diagnostics_page(bare, {"AE": "detector"}, CONFIG)
    assert "per collision" not in " ".join(ax.get_xlabel() for ax in fewer.axes)
    with pytest.raises(InputError, match="no diagnostics"):
        figures.diagnostics_page({}, {}, CONFIG)


def test_areas_of_swapped_tasks():
    evaluation = evaluate(np.arange(10.0), np.arange(5.0, 15.0))
    shared = {"detector": "ae", "seed": 1, "evaluation": evaluation}
    records = [shared | {"task": task, "signal": s} for task, s in (("qcd", "top"), ("qcd", "dark"), ("top", "qcd"))]
    found = trigger.areas(records, "qcd", {"qcd": "qcd", "top": "top"})["ae"]
    assert set(found["auc"]) == {"top", "dark"}
    assert set(found["swapped"]) == {"top"}


def features(n, shift, seed):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + shift
    split = np.repeat([0, 1], [n - n // 5, n // 5]).astype(np.int8)
    return Features(x, Space((2,), ("a", "b")), split, np.ones(n), np.arange(n), np.zeros((n, 4), np.float32))


def test_contamination_replaces_what_it_says_and_costs():
    background, signal = features(3000, 0.0, 1), features(900, 3.0, 2)
    mixed = contaminated(background, signal, 0.1, 1)
    changed = (mixed.x != background.x).any(dim=1)
    assert changed.float().mean() == pytest.approx(0.1, abs=4 * 0.3 / np.sqrt(3000))
    assert torch.isin(mixed.x[changed], signal.x).all()
    spec = {"type": "Mixture", "arguments": {"components": 4}}
    found = auc_against_contamination(
        spec, background, signal, (features(900, 0.0, 3), features(900, 3.0, 4)), (0, 0.2), 1
    )
    assert found[0]["value"] > found[1]["value"] + 0.01
    with pytest.raises(InputError, match="there are 900"):
        contaminated(background, signal, 0.9, 1)


def test_tested_events_are_those_of_the_test_part(events, tmp_path):
    whole = dataclasses.replace(events["zero_bias"], split=(np.arange(N) % 3).astype(np.int8))
    whole.write(tmp_path / "e.h5")
    found = trigger.tested(tmp_path / "e.h5")
    np.testing.assert_array_equal(found.event_id, whole.event_id[2::3])
    np.testing.assert_array_equal(found.jet, whole.jet[2::3])
    assert isinstance(found, Events)
