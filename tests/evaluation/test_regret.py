"""The AUCs of a run together, and worst-case regret: covariances, known values, and what the interval holds."""

import csv

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from hepad.errors import InputError
from hepad.evaluation import regret
from hepad.evaluation.areas import areas
from hepad.evaluation.roc import auc, evaluate
from hepad.evaluation.scores import Weighted
from hepad.evaluation.seed_spread import factor
from hepad.evaluation.streaming import distribution
from hepad.storage.files import write_json

BACKGROUNDS = {"qcd": "qcd", "swap": "top"}
SIGNALS = {"qcd": ["top", "svj"], "swap": ["qcd"]}
GROUPS = {"ae": "detector", "nae": "detector", "mass": "baseline", "met": "baseline"}


class Stored:
    """Scores in memory, block by block like those of a file."""

    def __init__(self, columns: dict, weight=None, cluster=None, size=10**9):
        self.columns, n = columns, len(next(iter(columns.values())))
        self.weight = np.ones(n) if weight is None else weight
        self.cluster = np.arange(n) if cluster is None else cluster
        self.event_id, self.size = np.arange(n), size

    def together(self, names):
        for first in range(0, len(self.weight), self.size):
            rows = slice(first, first + self.size)
            beside = self.weight[rows], self.event_id[rows], self.cluster[rows]
            yield {name: Weighted(self.columns[name][rows], *beside) for name in names}


def events(rng, n, shifts, noise=1.0):
    """Scores (n,) of detectors that see a common number of each event; each has a shift and noise of its own."""
    common = rng.normal(size=n)
    return {f"{name}/{seed}": (common + shift + noise * rng.normal(size=n)) / np.hypot(1, noise)
            for (name, seed), shift in shifts.items()}  # fmt: skip


def record(task, signal, name, seed, value):
    group = GROUPS.get(name, "detector" if name.startswith("d") else "baseline")
    return {"task": task, "signal": signal, "detector": name, "seed": seed, "group": group, "evaluation": value}


def only_auc(*scores, **weights):
    return Only(auc(*scores, **weights))


def records_of(scores, value=only_auc):
    found = []
    for task, signals in SIGNALS.items():
        for signal in signals:
            b, s = scores[task, BACKGROUNDS[task]], scores[task, signal]
            for name in b.columns:
                detector, seed = name.split("/")
                of = value(b.columns[name], s.columns[name], background_weights=b.weight, signal_weights=s.weight)
                found.append(record(task, signal, detector, int(seed), of))
    return found


def run_of(seed=0, sizes=None, **beside):
    """Scores of two tasks that swap their samples, with a third as a signal of the first."""
    sizes = sizes or {"qcd": 900, "top": 500, "svj": 300}
    keys = [("ae", 1), ("ae", 2), ("ae", 3), ("nae", 1), ("mass", 1), ("met", 1)]
    shifts = {"qcd": dict.fromkeys(keys, 0.0)}
    shifts["top"] = dict(zip(keys, (1.0, 1.2, 0.9, 0.6, 1.4, 0.2), strict=True))
    shifts["svj"] = dict(zip(keys, (0.8, 0.7, 0.9, 1.3, 0.1, 1.2), strict=True))
    scores = {}
    for task, signals in SIGNALS.items():
        for sample in (BACKGROUNDS[task], *signals):
            sign = -1 if task == "swap" else 1
            drawn = events(np.random.default_rng([seed, list(sizes).index(sample)]), sizes[sample], shifts[sample])
            scores[task, sample] = Stored({k: sign * x for k, x in drawn.items()}, **beside.get(sample, {}))
    return scores


def test_variances_are_those_of_the_auc():
    weights = np.random.default_rng(8).choice([-0.5, 1, 2], 900, p=[0.1, 0.6, 0.3])
    clusters = np.repeat(np.arange(250), 2)
    scores = run_of(qcd={"weight": weights}, top={"cluster": clusters})
    found = areas(records_of(scores), scores, BACKGROUNDS)
    for j, (task, signal, name) in enumerate(found.keys):
        if name == "ae":
            continue
        b, s = (
            distribution("a sample", of.columns[f"{name}/1"], of.weight, of.cluster)
            for of in (scores[task, BACKGROUNDS[task]], scores[task, signal])
        )
        value, from_signal = s.mean(b.placements(s))
        _, from_background = b.mean(s.placements(b))
        assert found.values[j] == pytest.approx(value, abs=1e-12)
        assert found.covariance[j, j] == pytest.approx(from_signal + from_background, rel=1e-9)


def test_covariances_are_those_of_repeated_experiments():
    sizes, tries = {"qcd": 150, "top": 100, "svj": 80}, 100
    runs = [run_of(seed, sizes) for seed in range(tries)]
    found = [areas(records_of(of), of, BACKGROUNDS) for of in runs]
    one = [j for j, key in enumerate(found[0].keys) if key[2] != "ae"]
    true = np.cov(np.array([of.values[one] for of in found]).T)
    said = np.mean([of.covariance[np.ix_(one, one)] for of in found], axis=0)
    sigma = np.sqrt(np.diag(true))
    np.testing.assert_allclose((said - true) / np.outer(sigma, sigma), 0, atol=4 / np.sqrt(tries))
    keys = [found[0].keys[j] for j in one]
    first, swapped = (keys.index((task, signal, "mass")) for task, signal in (("qcd", "top"), ("swap", "qcd")))
    assert said[first, swapped] / np.sqrt(said[first, first] * said[swapped, swapped]) > 0.9, "the same events"


class Only:
    """An evaluation of which only the AUC is known."""

    def __init__(self, value):
        self.auc, self.working_points, self.rejections = value, [], []


def test_trainings_add_their_scatter():
    scores = run_of()
    records = records_of(scores)
    found = areas(records, scores, BACKGROUNDS)
    values = {(r["task"], r["signal"], r["seed"]): r["evaluation"].auc.value for r in records if r["detector"] == "ae"}
    top, svj = (found.keys.index(("qcd", signal, "ae")) for signal in ("top", "svj"))
    x = np.array([[values["qcd", signal, seed] for seed in (1, 2, 3)] for signal in ("top", "svj")])
    assert found.values[top] == pytest.approx(np.median(x[0]))
    assert list(found.trainings[[top, svj]]) == [3, 3]
    # without the scatter: the mean of the three scores' placements moves with the events alone
    same = [r if r["detector"] != "ae" else r | {"evaluation": Only(first(records, r))} for r in records]
    frozen = areas(same, scores, BACKGROUNDS)
    expected = factor(3) * np.cov(x)
    got = (found.covariance - frozen.covariance)[np.ix_([top, svj], [top, svj])]
    np.testing.assert_allclose(got, expected, atol=2e-4)


def first(records, r):
    """The AUC of the first training of what a record is about."""
    return next(x for x in records if all(x[k] == r[k] for k in ("task", "signal", "detector")))["evaluation"].auc


def test_blocks_change_nothing_and_other_events_are_refused():
    scores, small = run_of(), run_of()
    for of in small.values():
        of.size = 70
    whole, blocks = (areas(records_of(of), of, BACKGROUNDS).covariance for of in (scores, small))
    np.testing.assert_allclose(blocks, whole, rtol=1e-9)
    scores["swap", "top"].event_id = scores["swap", "top"].event_id[::-1]
    with pytest.raises(InputError, match="scores of 'top' are of other events"):
        areas(records_of(scores), scores, BACKGROUNDS)


def test_regrets_are_the_largest_shortfalls(tmp_path):
    scores = run_of()
    supervised = record("qcd", "top", "supervised", 1, Only(None)) | {"group": "supervised"}
    records = [*records_of(scores, evaluate), supervised]
    rows = regret.regrets(records, areas(records, scores, BACKGROUNDS), 0.1)
    assert [row["regret"] for row in rows] == sorted(row["regret"] for row in rows)
    medians, eps = {}, {}
    for task, signals in SIGNALS.items():
        for signal in signals:
            for name in GROUPS:
                own = [
                    r["evaluation"] for r in records if (r["task"], r["signal"], r["detector"]) == (task, signal, name)
                ]
                medians[task, signal, name] = np.median([e.auc.value for e in own])
                eps[task, signal, name] = np.median([e.working_points[0].eps_s.value for e in own])
    assert {row["detector"] for row in rows} == set(GROUPS)
    for row in rows:
        lost, kept = {}, {}
        for task, signals in SIGNALS.items():
            for signal in signals:
                best = max(("mass", "met"), key=lambda name: medians[task, signal, name])
                lost[task, signal, best] = medians[task, signal, best] - medians[task, signal, row["detector"]]
                most = max(eps[task, signal, name] for name in ("mass", "met"))
                kept[task, signal] = eps[task, signal, row["detector"]] / most
        worst, least = max(lost, key=lost.get), min(kept, key=kept.get)
        assert row["regret"] == pytest.approx(lost[worst])
        assert (row["task"], row["signal"], row["opponent"]) == worst
        assert row["eps_s_ratio"] == pytest.approx(kept[least])
        assert (row["ratio_task"], row["ratio_signal"]) == least
        assert row["low"] <= row["regret"] <= row["high"]
        assert (row["n_signals"], row["remark"]) == (3, "")
        assert len(row["shortfalls"]) == 3
    regret.write_regret(tmp_path / "regret.csv", rows)
    with open(tmp_path / "regret.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == regret.COLUMNS
    assert [float(line["regret"]) for line in table] == pytest.approx([row["regret"] for row in rows], rel=1e-5)
    write_json(tmp_path / "regret.json", rows)
    assert regret.read_regrets(tmp_path / "regret.json")[0]["detector"] == rows[0]["detector"]
    write_json(tmp_path / "regret.json", [{"detector": "ae"}])
    with pytest.raises(InputError, match="not a list of regrets"):
        regret.read_regrets(tmp_path / "regret.json")


def test_an_opponent_has_no_negative_regret_and_a_detector_may():
    scores = run_of()
    for of in scores.values():
        of.columns = {"ae/1": of.columns["ae/1"], "mass/1": of.columns["met/1"]}
    for task, sample in (("qcd", "top"), ("qcd", "svj"), ("swap", "top")):
        sign = -1 if task == "swap" else 1
        scores[task, sample].columns["ae/1"] = scores[task, sample].columns["mass/1"] + 2.0 * sign
    records = records_of(scores)
    rows = {row["detector"]: row for row in regret.regrets(records, areas(records, scores, BACKGROUNDS), 0.1)}
    assert rows["ae"]["regret"] < rows["ae"]["high"] < 0
    assert rows["mass"]["regret"] == rows["mass"]["low"] == rows["mass"]["high"] == 0


def test_signals_that_are_missing_or_not_resolved_are_told():
    scores = run_of()
    some = [r for r in records_of(scores, evaluate) if (r["task"], r["detector"]) != ("swap", "nae")]
    rows = {row["detector"]: row for row in regret.regrets(some, areas(some, scores, BACKGROUNDS), 1e-3)}
    assert rows["nae"]["n_signals"] == 2
    assert rows["nae"]["remark"].startswith("2 of 3 signals: other tasks do not train it; ")
    assert rows["mass"]["remark"] == "the efficiency is resolved for 0 of 3 signals"
    assert rows["mass"]["eps_s_ratio"] is None
    blind = [r for r in some if r["group"] == "detector"]
    assert regret.regrets(blind, areas(blind, scores, BACKGROUNDS), 0.1) == []


# how far above all others the largest shortfall is: far, a little, not at all; then several opponents that are alike
TRUTHS = {
    "one": {"o1": (1.6, 0.3, 0.3)},
    "near": {"o1": (1.1, 0.95, 0.9)},
    "equal": {"o1": (1.0, 1.0, 1.0)},
    "opponents": {"o1": (1.0, 1.0, 0.5), "o2": (1.0, 1.0, 1.0), "o3": (1.0, 0.9, 1.0)},
}


@pytest.mark.parametrize("case", TRUTHS)
def test_the_interval_holds_the_true_regret(case):
    opponents, tries, held, naive = TRUTHS[case], 100, [], []
    own = (0.7, 0.7, 0.7)

    def area(shift):
        return ndtr(
            shift / np.sqrt(2) / np.sqrt(2)
        )  # the noise makes scores of two events differ by N(shift, 2 * 2) / √2

    true = max(area(o[i]) - area(own[i]) for o in opponents.values() for i in range(3))
    shifts = {"d": own} | opponents
    for seed in range(tries):
        rng = np.random.default_rng([seed, len(case)])
        places = {("t", "b"): Stored(events(rng, 300, {(name, 1): 0.0 for name in shifts}))}
        for i in range(3):
            places["t", f"s{i}"] = Stored(events(rng, 150, {(name, 1): of[i] for name, of in shifts.items()}))
        records = []
        for i in range(3):
            for name in shifts:
                b, s = (places["t", sample].columns[f"{name}/1"] for sample in ("b", f"s{i}"))
                records.append(record("t", f"s{i}", name, 1, Only(auc(b, s))))
        found = areas(records, places, {"t": "b"})
        (row,) = (row for row in regret.regrets(records, found, 0.1) if row["detector"] == "d")
        held.append((row["low"] <= true, true <= row["high"]))
        naive.append(row["regret"] - true)
    below, above = np.mean(held, axis=0)
    allowed = 3 * np.sqrt(0.84 * 0.16 / tries)
    # each end alone is right with 84 % or more; of one that is far above all others both are exact
    assert min(below, above) > 0.8415 - allowed
    if case == "one":
        assert max(below, above) < 0.8415 + allowed
        assert abs(np.mean(naive)) < 3 * np.std(naive) / np.sqrt(tries)
    elif case != "near":
        assert np.mean(naive) > 3 * np.std(naive) / np.sqrt(tries), "the largest of several is too large"
    assert np.mean(np.all(held, axis=1)) < 0.97


def test_the_largest_of_equal_values():
    # K equal values with independent noise: the lower end is as low as the largest of K normal numbers asks for
    noise = np.random.default_rng(4).normal(size=(50, 20_000)) * 0.01
    low, high = regret.interval_of_largest(np.zeros(50), noise)
    assert low == pytest.approx(-0.01 * norm.ppf(0.8415 ** (1 / 50)), rel=0.03)
    assert high == pytest.approx(0.01, rel=0.02)
    far = np.append(1.0, np.zeros(49))
    assert regret.interval_of_largest(far, noise) == pytest.approx((0.99, 1.01), abs=5e-4)
    assert regret.interval_of_largest(np.array([0.2, 0.1]), np.zeros((2, 10))) == (0.2, 0.2)
