"""Who is best, who loses, and how much larger a sample must be: against numbers that are known beforehand."""

import numpy as np
import pytest

from hepad.evaluation import standings
from hepad.evaluation.roc import evaluate


def record(detector, group, evaluation, seed=1, signal="top"):
    return {"task": "qcd", "detector": detector, "label": detector.upper(), "signal": signal, "seed": seed,
            "group": group, "evaluation": evaluation}  # fmt: skip


def scores(share, n=1000):
    """Of ``n`` signal events above all background the share; the others below all of it."""
    return np.where(np.arange(n) < share * n, 2.0, -1.0) + np.arange(n) * 1e-6


BACKGROUND = np.linspace(0, 1, 2000)
SHARES = {"a": (0.2, 0.5, 0.3), "b": (0.4,), "mass": (0.35,), "met": (0.1,), "trees": (0.9,)}
GROUPS = {"a": "detector", "b": "detector", "mass": "baseline", "met": "baseline", "trees": "supervised"}


@pytest.fixture(scope="module")
def records():
    return [
        record(name, GROUPS[name], evaluate(BACKGROUND, scores(share)), seed)
        for name, shares in SHARES.items()
        for seed, share in enumerate(shares, 1)
    ]


def test_the_median_of_the_trainings_decides(records):
    lines = standings.standings(records[::-1], 0.01)["qcd"]
    assert [line.label for line in lines] == ["B", "MASS", "A", "MET", "TREES"]
    assert [line.trainings for line in lines] == [1, 1, 3, 1, 1]
    medians = [line.values["top", "eps_s", 0.01][0] for line in lines]
    assert medians == pytest.approx([0.4, 0.35, 0.3, 0.1, 0.9])
    names = [standings.best(lines, group, "top", 0.01).detector for group in ("detector", "baseline", "supervised")]
    assert names == ["b", "mass", "trees"]
    assert standings.best(lines[2:], "supervised", "svj", 0.01) is None
    assert [line.detector for line in standings.losing(lines, "top", 0.01)] == ["a"]
    assert standings.losing([line for line in lines if line.group == "detector"], "top", 0.01) == []


def test_where_nothing_is_resolved_the_area_decides(records):
    lines = standings.standings(records, 1e-4)["qcd"]
    assert {line.values["top", "eps_s", 1e-4] for line in lines} == {None}
    assert standings.best(lines, "detector", "top", 1e-4).detector == "b"
    assert standings.losing(lines, "top", 1e-4) == []


def test_a_mean_over_signals_gives_the_order(records):
    other = [record("b", "detector", evaluate(BACKGROUND, scores(0.1)), signal="svj")]
    other += [record("a", "detector", evaluate(BACKGROUND, scores(0.5)), seed, "svj") for seed in (1, 2, 3)]
    lines = standings.standings([*records, *other], 0.01)["qcd"]
    assert [line.detector for line in lines[:4]] == ["a", "mass", "b", "met"]  # 0.4, 0.35, 0.25, 0.1


def test_how_much_larger_a_sample_must_be(records):
    found = standings.shortages(records)
    assert [(s.task, s.eps_b, s.n_background) for s in found] == [("qcd", 1e-3, 2000), ("qcd", 1e-4, 2000)]
    # 2 of 2000 jets pass where 10 have to, and 0.2
    assert [s.factor for s in found] == [5, 50]
    assert [s.passing for s in found] == [pytest.approx(2), 0]
    assert {(s.unresolved, s.trainings) for s in found} == {(6, 6)}
    for s in found:
        larger = np.linspace(0, 1, int(s.factor * s.n_background))
        (point,) = [p for p in evaluate(larger, scores(0.2)).working_points if p.eps_b == s.eps_b]
        assert point.resolved
    assert standings.shortages(r for r in records if r["group"] == "supervised") == []


def test_a_score_with_ties_needs_more(records):
    steps = np.repeat([0.0, 1.0, 2.0], [1900, 97, 3])  # of 20 jets that may pass at 1 %, 3 do
    found = standings.shortages([record("met", "baseline", evaluate(steps, scores(0.2)))])
    assert found[0][1:] == (0.01, 1, 1, pytest.approx(3), 2000, 3.4)


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [((0.2834, 0.2712, 0.2991), ("0.283", "0.016", "0.012")), ((0.3, 0.3, 0.3), ("0.3000", "0.0000", "0.0000"))],
)
def test_rounding(numbers, texts):
    assert standings.rounded(*numbers) == texts
