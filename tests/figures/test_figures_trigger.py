"""Figures and records of triggers and diagnostics: what is drawn is what was counted, and says what is not resolved."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from crossings import SCALE, N, scores_of

from hepad.errors import InputError
from hepad.evaluation import checks, seed_spread
from hepad.evaluation.contamination import auc_against_contamination, contaminated
from hepad.evaluation.diagnostics import copies, diagnose, scored_variables
from hepad.evaluation.roc import evaluate
from hepad.figures.diagnostics import diagnostics_page
from hepad.figures.rates import rate_curves
from hepad.figures.style import UNRESOLVED, style
from hepad.figures.trigger import trigger_curves
from hepad.representations import Space
from hepad.representations.features import Features
from hepad.trigger import rate_tables
from hepad.trigger.stages import stages_of

CONFIG = {"sqrt_s_tev": 14}


@pytest.fixture(autouse=True)
def neutral():
    with style(CONFIG):
        yield


def gids(ax):
    return [artist.get_gid() for artist in ax.get_children() if artist.get_gid()]


def test_rates_are_counts(records, events):
    record, point = records[0], records[0]["points"][1]
    assert [(r["detector"], r["seed"], r["of"]) for r in records] == [("ae", 1, "pure"), ("ae", 2, "pure")]
    passes = scores_of(events["zero_bias"])["ae/1"] > point["threshold"]
    fired = events["zero_bias"].triggers[:, 0]
    assert point["total"]["value"] == pytest.approx(passes.mean())
    assert point["pure"]["value"] == pytest.approx((passes & ~fired).mean())
    assert point["overlap"]["value"] == pytest.approx((passes & fired).mean())
    assert point["pure"]["value"] * record["scale_khz"] <= 1000 < point["total"]["value"] * record["scale_khz"]
    assert [r["model_sha256"] for r in records] == ["5eed", None]
    found = point["signals"]["top"]
    passes, fired = scores_of(events["top"])["ae/1"] > point["threshold"], events["top"].triggers[:, 0]
    assert found["eps_s"]["value"] == pytest.approx(passes.mean())
    assert found["gain"]["value"] == pytest.approx((passes & ~fired).mean())
    assert found["menu"]["value"] == pytest.approx(fired.mean())
    # ten collisions in each of two pools: not more than twenty are independent
    assert 10 < point["independent"] <= 20
    assert record["scale_khz"] == pytest.approx(28608.8, rel=1e-4)


def test_budgets_count_the_total_or_the_pure_rate(samples):
    stages = stages_of({"bits": ["L1_*"], "budget": "total"}, ["L1_Jet"])
    record = rate_tables.rates(samples, SCALE, (1000,), stages)[0]
    (point,) = record["points"]
    assert record["of"] == "total"
    assert point["pure"]["value"] < point["total"]["value"] <= 1000 / record["scale_khz"]
    # the next event would be too many
    assert point["total"]["value"] + 1.5 / N > 1000 / record["scale_khz"]


@pytest.mark.parametrize(("entry", "message"), [
    ({"bits": ["L1_*"], "budget": "overlap"}, "menu.budget 'overlap' is unknown"),
    ({"bits": ["L1_*"], "table": "menu.csv", "column": "a"}, "give a prescale table"),
    ({"table": "menu.csv"}, "give a prescale table"),
    ({"budget": "pure"}, "give a prescale table"),
    ({"bit": ["L1_*"]}, "menu: key 'bit' is unknown. Did you mean 'bits'"),
])  # fmt: skip
def test_a_menu_that_says_too_little_or_too_much_is_refused(entry, message):
    with pytest.raises(InputError) as error:
        stages_of(entry, ["L1_Jet"])
    assert message in str(error.value)
    assert stages_of(None, ["L1_Jet"]) == (None, None, "total")


def test_table_of_rates(records, tmp_path):
    rate_tables.write_rates(tmp_path / "rates.csv", {"level1": records})
    lines = (tmp_path / "rates.csv").read_text().splitlines()
    assert lines[0].split(",") == list(rate_tables.COLUMNS)
    assert len(lines) == 1 + 2 * 2
    row = rate_tables.rows("level1", records)[1]
    assert float(row["threshold"]) == records[0]["points"][1]["threshold"]
    assert row["total"] == pytest.approx(row["pure"] + row["overlap"])
    assert row["total_khz_high"] == pytest.approx(row["total_high"] * SCALE.hz / 1000)
    assert row["of"] == "pure"
    assert "160 events count for 16.8 independent ones" in row["remark"]


def test_without_a_declared_rate_budgets_are_fractions(samples):
    record = rate_tables.rates(samples, None, (0.1, 1e-4))[0]
    point = record["points"][0]
    assert (record["scale_khz"], point["budget_khz"], point["eps_b"]) == (None, None, 0.1)
    assert point["total"]["value"] == pytest.approx(0.1)
    row, other = rate_tables.rows("qcd", [record])
    assert row["total"] == point["total"]["value"]
    assert row["total_khz"] is row["total_khz_low"] is row["pure"] is row["gain"] is None
    assert "known to be below" in other["remark"]
    assert "of the sample" in other["remark"]
    assert "Hz" not in other["remark"]
    left, right = rate_curves(record, {"top": "top pairs"}, CONFIG).axes
    assert "background efficiency" in left.get_ylabel()
    assert "background efficiency" in right.get_xlabel()
    assert "Hz" not in left.get_ylabel() + right.get_xlabel()
    with pytest.raises(InputError, match=r"efficiency of 3 is not in \(0, 1\]"):
        rate_tables.rates(samples, None, (3,))


def test_seeds_without_a_bit_are_said_in_the_table_and_in_the_figure(samples, events, tmp_path):
    (tmp_path / "menu.csv").write_text("Index,Name,now\n0,L1_Jet,1\n1,L1_Mu,1\n")
    stages = stages_of({"table": str(tmp_path / "menu.csv"), "column": "now"}, ["L1_Jet"])
    record = rate_tables.rates(samples, SCALE, (1000,), stages)[0]
    (row,) = rate_tables.rows("level1", [record])
    assert row["remark"].count("1 of 2 seeds of the menu have no bit in the events (L1_Mu)") == 1
    assert "L1_Mu" in rate_curves(record, {"top": "top pairs"}, CONFIG).get_supxlabel()
    blind = dataclasses.replace(events["top"], triggers=None, meta=events["top"].meta | {"triggers": []})
    with pytest.raises(InputError, match=r"samples\.top: .*none of the 2 seeds"):
        rate_tables.rates(samples | {"top": [(blind, scores_of(blind))]}, SCALE, (1000,), stages)


def test_digests_are_of_the_files(tmp_path):
    for name in ("ae/1", "ae/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.safetensors").write_text(name)
    found = rate_tables.digests(sorted(tmp_path.glob("*/*.safetensors")))
    assert found == {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ae/1", "ae/2")}


def test_no_rate_without_a_declaration():
    assert rate_tables.declared_scale("qcd", {}, {}) is None
    assert rate_tables.declared_scale("qcd", {}, {"rate": {"kind": "cross_section"}, "cross_section_pb": 1.0}) is None
    assert rate_tables.declared_scale("zb", {}, {"rate": {"kind": "zero_bias"}}).kind == "zero_bias"
    meta = {"rate": {"kind": "cross_section"}, "cross_section_pb": 100.0, "acceptance": 0.5}
    assert rate_tables.declared_scale("qcd", {"rate": {"luminosity": 2e34}}, meta).hz == pytest.approx(1.0)


def test_median_and_range_of_trainings():
    rng = np.random.default_rng(5)
    background = rng.normal(0, 1, 5000)
    trainings = [evaluate(background, rng.normal(shift, 1, 5000)) for shift in (0.5, 1.0, 1.5, 2.0, 2.5)]
    spread = seed_spread.spread(trainings)
    assert spread.trainings == 5
    middle = trainings[2].curve
    expected = np.interp(np.log(spread.eps_b), np.log(middle.eps_b), middle.eps_s)
    np.testing.assert_allclose(spread.eps_s, expected, atol=0.02)
    assert (spread.low <= spread.eps_s).all()
    assert (spread.eps_s <= spread.high).all()
    assert spread.auc[0] == trainings[2].auc.value
    alone = seed_spread.spread(trainings[:1])
    np.testing.assert_array_equal(alone.low, trainings[0].curve.low)
    with pytest.raises(InputError, match="there is none to draw"):
        seed_spread.spread([])


def test_trigger_curves(events):
    def of(shift):
        of_signal = scores_of(events["top"])["ae/1"] + shift
        return evaluate(scores_of(events["zero_bias"])["ae/1"], of_signal)

    bands_of = {
        "AE": seed_spread.spread([of(0), of(5), of(9)]),
        "mass": seed_spread.spread([of(-40)]),
        "trees": seed_spread.spread([of(99)]),
    }
    groups = {"AE": "detector", "mass": "baseline", "trees": "supervised"}
    figure = trigger_curves(bands_of, groups, CONFIG, khz=28608.8, title="zero bias → top")
    assert len(figure.axes) == 4
    top, bottom = figure.axes[0], figure.axes[2]
    line = next(x for x in top.lines if x.get_gid() == "detector")
    below = next(x for x in bottom.lines if x.get_gid() == "detector")
    np.testing.assert_allclose(below.get_ydata(), line.get_ydata() / np.sqrt(line.get_xdata()))
    assert line.get_label().startswith(f"AE × 3 ({bands_of['AE'].auc[0]:.3f} [")
    axis = bottom.child_axes[0]
    assert "kHz" in axis.get_xlabel()
    assert axis.get_xlim()[1] == pytest.approx(28608.8 * bottom.get_xlim()[1])
    without = trigger_curves(bands_of, groups, CONFIG)
    assert not any(ax.child_axes for ax in without.axes)
    with pytest.raises(InputError, match="no curves"):
        trigger_curves({}, groups, CONFIG)


def test_rate_curves_say_what_is_not_resolved(records):
    left, right = rate_curves(records[0], {"top": "top pairs"}, CONFIG, title="AE").axes
    assert {"total", "pure", "overlap", "unresolved"} <= set(gids(left))
    total = next(line for line in left.lines if line.get_gid() == "total")
    assert (np.diff(total.get_ydata()) <= 0).all()
    faces = [line.get_color() for line in right.lines if line.get_gid() == "menu"]
    assert faces[0] == UNRESOLVED != faces[1]


def test_the_page_of_diagnostics(events):
    zero_bias_events = events["zero_bias"]
    of_copies = {
        name: e.jet[:, 0].astype(float) for name, e in copies(zero_bias_events[:300], np.random.default_rng(1)).items()
    }
    of, weight, scores = scored_variables([(zero_bias_events, scores_of(zero_bias_events))])
    record = diagnose(scores["ae/1"], of, weight, of_copies, (0.1, 0.03), 0.1)
    area = {"auc": {"top": (0.9, 0.89, 0.91)}, "swapped": {"top": (0.3, 0.29, 0.31)}, "contamination": None}
    dirty = {"signal": "top", "trainings": [{"fraction": 0.01, "value": 0.8, "low": 0.79, "high": 0.81}]}
    records = {"AE": record | area | {"contamination": dirty}, "HT": record | area}
    figure = diagnostics_page(records, {"AE": "detector", "HT": "baseline"}, CONFIG, title="zero bias")
    labels = " ".join(ax.get_xlabel() for ax in figure.axes)
    for text in ("pile-up", "JSD", "jet mass", "per collision", "Spearman", "AUC"):
        assert text in labels
    assert "spread" not in labels, "no turn changes these scores: a column of zeros"
    moved = record | {"invariance": {kind: x | {"high": 0.5} for kind, x in record["invariance"].items()}}
    page = diagnostics_page({"AE": moved | area}, {"AE": "detector"}, CONFIG)
    assert any("spread" in ax.get_xlabel() for ax in page.axes)
    bare = {"AE": record | area | {"pileup": None}}
    fewer = diagnostics_page(bare, {"AE": "detector"}, CONFIG)
    assert "per collision" not in " ".join(ax.get_xlabel() for ax in fewer.axes)
    with pytest.raises(InputError, match="no diagnostics"):
        diagnostics_page({}, {}, CONFIG)


def test_areas_of_swapped_tasks():
    evaluation = evaluate(np.arange(10.0), np.arange(5.0, 15.0))
    shared = {"detector": "ae", "seed": 1, "evaluation": evaluation}
    records = [shared | {"task": task, "signal": s} for task, s in (("qcd", "top"), ("qcd", "dark"), ("top", "qcd"))]
    found = checks.areas(records, "qcd", {"qcd": "qcd", "top": "top"})["ae", 1]
    assert set(found["auc"]) == {"top", "dark"}
    assert set(found["swapped"]) == {"top"}


def features(n, shift, seed):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + shift
    split = np.repeat([0, 1], [n - n // 5, n // 5]).astype(np.int8)
    return Features(x, Space((2,), ("a", "b")), split, np.ones(n), *[np.arange(n)] * 2, np.zeros((n, 4), np.float32))


def test_contamination_replaces_what_it_says_and_costs():
    background, signal = features(3000, 0.0, 1), features(900, 3.0, 2)
    mixed = contaminated(background, signal, 0.1, 1)
    changed = (mixed.x != background.x).any(dim=1)
    assert changed.float().mean() == pytest.approx(0.1, abs=4 * 0.3 / np.sqrt(3000))
    assert torch.isin(mixed.x[changed], signal.x).all()
    spec = {"type": "Mixture", "arguments": {"n_gaussians": 4}}
    found = auc_against_contamination(
        spec, background, signal, (features(900, 0.0, 3), features(900, 3.0, 4)), (0, 0.2), 1
    )
    assert found[0]["value"] > found[1]["value"] + 0.01
    with pytest.raises(InputError, match="there are 900"):
        contaminated(background, signal, 0.9, 1)
