"""Rates of a sum of processes are the sums of their rates, by counts that are made here; its intervals cover."""

from dataclasses import replace

import numpy as np
import pytest
from test_seeds import crossings, scored

from hepad.evaluation.efficiency import LEVEL
from hepad.evaluation.streaming import sample
from hepad.trigger import rate_tables
from hepad.trigger.rates import scale_of
from hepad.trigger.seed_tables import ALL, seed_rows
from hepad.trigger.seeds import seed_bits
from hepad.trigger.stages import stages_of

# name: cross-section and acceptance, number of events in the sample, seed of the events
PROCESSES = {"soft": (9e6, 0.5, 2000, 1), "hard": (4e4, 0.25, 1500, 2), "top": (900.0, 0.5, 1000, 3)}
LUMINOSITY = {"kind": "cross_section", "luminosity": 2e34}
MENU = {"seeds": {"Jet100": "jet_pt > 100", "Met60": "met > 60"}, "after": {"seeds": {"Jet30": "jet_pt > 30"}}}


def process(name, number=0, of=None):
    """A process alone, its events of one weight; or as number so and so of a sum of those with the meta ``of``."""
    sigma, acceptance, n, seed = PROCESSES[name]
    events = crossings(seed, n)
    meta = (
        events.meta
        | {"rate": {"kind": "cross_section"}}
        | (of or {"cross_section_pb": sigma, "acceptance": acceptance})
    )
    truth = {"process": np.full(n, number, np.float32)} if of else {}
    ids, weight = events.event_id + 10**6 * number, np.full(n, sigma * acceptance / n if of else 1.0)
    return replace(events, meta=meta, truth=truth, event_id=ids, row_id=ids, weight=weight)


@pytest.fixture(scope="module")
def total():
    """Blocks of the events and scores of the sum, and its scale."""
    sigma = sum(sigma for sigma, *_ in PROCESSES.values())
    accepted = sum(sigma * acceptance for sigma, acceptance, *_ in PROCESSES.values())
    meta = {"cross_section_pb": sigma, "acceptance": accepted / sigma, "processes": {name: {} for name in PROCESSES}}
    events = [process(name, number, meta) for number, name in enumerate(PROCESSES)]
    return [block for of, name in zip(events, PROCESSES, strict=True) for block in scored(of, PROCESSES[name][3])], (
        scale_of("sum", LUMINOSITY, meta)
    )


def alone(name):
    events = process(name)
    return scored(events, PROCESSES[name][3]), scale_of(name, LUMINOSITY, events.meta)


def test_the_rate_of_a_sum_is_the_sum_of_the_rates(total):
    blocks, scale = total
    stages = stages_of(MENU, ())
    points = rate_tables.rates({"sum": blocks}, scale, [0.1, 3.0, 30.0], stages)[0]["points"]
    assert scale.hz == pytest.approx(sum(alone(name)[1].hz for name in PROCESSES))
    for point in points:
        parts, threshold = {}, point["threshold"]
        for name in PROCESSES:
            [(events, scores)], of_process = alone(name)
            jet, met, first = seed_bits(MENU["seeds"] | MENU["after"]["seeds"], events).T
            above = (scores["ae/1"] > threshold) & first
            assert above.any() or name == "soft"
            parts[name] = [of_process.hz * (above & x).mean() for x in (True, ~(jet | met), jet | met)]
        for kind, rates in zip(("total", "pure", "overlap"), zip(*parts.values(), strict=True), strict=True):
            assert point[kind]["value"] * scale.hz == pytest.approx(sum(rates), rel=1e-9)
        whole = sum(total for total, *_ in parts.values())
        assert point["processes"] == pytest.approx({name: total / whole for name, (total, *_) in parts.items()})
        assert point["pure"]["value"] * scale.hz <= 1000 * point["budget_khz"]
    (row, *_) = rate_tables.rows("hlt", [rate_tables.rates({"sum": blocks, "signal": blocks}, scale, [3.0])[0]])
    assert row["processes"].startswith("soft 0.")


def test_the_table_of_a_menu_has_the_parts_of_every_seed(total):
    blocks, scale = total
    rows = seed_rows("hlt", {"sum": blocks}, stages_of(MENU, ()), scale)
    of = {(row["stage"], row["seed"], row["process"]): row for row in rows}
    assert len(of) == len(rows) == (2 + 3) * (1 + len(PROCESSES))
    for stage, seed in (("first", "Jet30"), ("first", ALL), ("menu", "Jet100"), ("menu", "Met60"), ("menu", ALL)):
        for unit in ("", "_khz"):
            kinds = ("total",) if seed == ALL else ("total", "pure")
            for kind in kinds:
                parts = sum(of[stage, seed, name][f"{kind}{unit}"] for name in PROCESSES)
                assert of[stage, seed, ""][f"{kind}{unit}"] == pytest.approx(parts, rel=1e-9)
        assert of[stage, seed, ""]["passed"] == sum(of[stage, seed, name]["passed"] for name in PROCESSES)
    for name in PROCESSES:
        [(_, of_process)] = [alone(name)]
        plain = seed_rows("hlt", {name: alone(name)[0]}, stages_of(MENU, ()), of_process)
        for row in plain:
            for column in ("total_khz", "total_khz_low", "total_khz_high", "pure_khz", "passed"):
                found = of[row["stage"], row["seed"], name][column]
                assert found == (row[column] and pytest.approx(row[column], rel=1e-9)), column


def test_one_process_has_the_table_of_the_plain_sample():
    sigma, acceptance, *_ = PROCESSES["hard"]
    meta = {"cross_section_pb": sigma, "acceptance": acceptance, "processes": {"hard": {}}}
    one, (plain, scale) = scored(process("hard", 0, meta), 2), alone("hard")
    found, expected = (
        rate_tables.rates({"s": blocks}, scale, [0.01, 1.0], stages_of(MENU, ()))[0] for blocks in (one, plain)
    )
    for a, b in zip(found["points"], expected["points"], strict=True):
        assert a["processes"] in ({"hard": 1.0}, {"hard": 0.0})
        for key in ("threshold", "threshold_low", "threshold_high", "eps_b", "independent", "resolved"):
            assert a[key] == pytest.approx(b[key], rel=1e-9), key
        for kind in ("total", "pure", "overlap"):
            assert a[kind] == pytest.approx(b[kind], rel=1e-9)


def test_a_process_that_no_event_speaks_for_is_named(total):
    blocks, scale = total
    for point in rate_tables.rates({"sum": blocks}, scale, [0.01, 30.0])[0]["points"]:
        passed = [(scores["ae/1"] > point["threshold"]).any() for _, scores in blocks]
        one = scale.hz * 4.5e6 / 2000 / sum(sigma * acceptance for sigma, acceptance, *_ in PROCESSES.values())
        said = f"none of 'soft' passes, of which one event is {one:.3g} Hz" in point["remark"]
        assert said == (not passed[0])


@pytest.mark.parametrize(("heavy", "light", "ratio"), [
    ((1000, 0.02), (20000, 0.3), 1000.0), ((2500, 0.01), (4000, 0.1), 30.0), ((1500, 0.5), (4000, 0.02), 0.01),
])  # fmt: skip
def test_the_interval_of_a_sum_covers(heavy, light, ratio):
    """Two processes whose events differ in weight, each with passing ones; half of either is in the test part."""
    rng, covered, toys = np.random.default_rng(8), 0, 600
    (n, p), (m, q) = heavy, light
    truth = (n * p * ratio + m * q) / (n * ratio + m)
    for _ in range(toys):
        numbers = rng.binomial([n, m], 0.5)
        passes = np.concatenate([rng.random(k) < eps for k, eps in zip(numbers, (p, q), strict=True)])
        weights = np.repeat([ratio, 1.0], numbers)
        _, low, high = sample("sum", passes.astype(float), weights).total.intervals(0.5)
        covered += low <= truth <= high
    assert covered / toys > LEVEL - 2 * np.sqrt(LEVEL * (1 - LEVEL) / toys)
    assert covered / toys < 0.82
