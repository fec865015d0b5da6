"""Seeds as conditions on objects, menus of them, two stages, and the table of a menu, each against a direct count."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.evaluation.efficiency import clopper_pearson
from hepad.events import Events
from hepad.trigger import rate_tables, rates
from hepad.trigger.menu import Menu, read_menu
from hepad.trigger.seed_tables import ALL, COLUMNS, seed_rows, write_seeds
from hepad.trigger.seeds import check_seed, seed_bits
from hepad.trigger.stages import stages_of

N = 3000


def crossings(seed=0, n=N, triggers=()):
    """Events with up to 4 jets and 3 muons in no order, of which the places without one have pT 0."""
    rng = np.random.default_rng(seed)

    def objects(most, scale):
        p = np.stack([rng.exponential(scale, (n, most)), *rng.uniform(-4, 4, (2, n, most)), np.zeros((n, most))], -1)
        return np.where(rng.random((n, most, 1)) < 0.6, p, 0).astype(np.float32)

    jets, muons, none = objects(4, 60), objects(3, 12), np.zeros((n, 0, 4), np.float32)
    hardest = np.take_along_axis(jets, jets[..., 0].argmax(axis=1)[:, None, None], axis=1)[:, 0]
    met = np.stack([rng.exponential(20, n), rng.uniform(-3, 3, n)], -1).astype(np.float32)
    names = [f"L1_{i}" for i in range(len(triggers))]
    bits = np.stack([rng.random(n) < p for p in triggers], axis=1) if triggers else None
    return Events(
        event_id=np.arange(n), split=np.full(n, 2, np.int8), weight=np.ones(n), jet=hardest, constituents=none,
        jets=jets, electrons=none, muons=muons, photons=none, met=met, triggers=bits,
        b_tag=(jets[..., 0] > 50).astype(np.float32), meta={"triggers": names, "present": ["jets", "muons", "met"]},
    )  # fmt: skip


def direct(text, events):
    """Bits from loops over the events, written without the package."""
    found = []
    for jets, muons, met in zip(events.jets, events.muons, events.met, strict=True):
        jets, muons = (sorted((tuple(map(float, p)) for p in x if p[0] > 0), reverse=True) for x in (jets, muons))
        found.append(bool(text(jets, muons, float(met[0]), float(met[1]))))
    return np.array(found)


@pytest.mark.parametrize(("text", "meaning"), [
    ("jet_pt > 100", lambda j, m, met, phi: bool(j) and j[0][0] > 100),
    ("ht > 120 & n_jets >= 2",
     lambda j, m, met, phi: sum(x[0] for x in j if x[0] > 30) > 120 and sum(x[0] > 30 for x in j) >= 2),
    ("ht > 120 && n_jets >= 2 || met > 60",
     lambda j, m, met, phi: (sum(x[0] for x in j if x[0] > 30) > 120 and sum(x[0] > 30 for x in j) >= 2) or met > 60),
    ("any(jets_pt > 60 & abs(jets_eta) < 2.5) and met > 20",
     lambda j, m, met, phi: any(x[0] > 60 and abs(x[1]) < 2.5 for x in j) and met > 20),
    ("sum(muons_pt > 15) >= 1 & sum(muons_pt > 7) >= 2",
     lambda j, m, met, phi: any(x[0] > 15 for x in m) and sum(x[0] > 7 for x in m) >= 2),
    ("muons_pt[0] > 15", lambda j, m, met, phi: bool(m) and m[0][0] > 15),
    ("~(met > 30)", lambda j, m, met, phi: not met > 30),
    ("! met > 30", lambda j, m, met, phi: not met > 30),
    ("met != met_phi & met_phi > 1", lambda j, m, met, phi: met != phi and phi > 1),
    ("sum(where(jets_pt > 30 & abs(jets_eta) < 2.5, jets_pt, 0)) > 100",
     lambda j, m, met, phi: sum(x[0] for x in j if x[0] > 30 and abs(x[1]) < 2.5) > 100),
    ("any(jets_b_tag > 0) & count(muons_pt) == 0", lambda j, m, met, phi: any(x[0] > 50 for x in j) and not m),
    ("max(jets_pt) - second_jet_pt > 80",
     lambda j, m, met, phi: bool(j) and j[0][0] - next((x[0] for x in j[1:] if x[0] > 30), 0) > 80),
])  # fmt: skip
def test_a_seed_fires_where_a_loop_over_the_objects_says_so(text, meaning):
    events = crossings()
    check_seed(text)
    bits, expected = seed_bits({"seed": text}, events)[:, 0], direct(meaning, events)
    np.testing.assert_array_equal(bits, expected)
    assert 0.01 < expected.mean() < 0.99


def test_a_seed_may_ask_for_bits_of_the_file_and_the_order_of_objects_does_not_matter():
    events = crossings(triggers=(0.3,))
    bits = seed_bits({"both": "L1_0 & met > 20"}, events)[:, 0]
    np.testing.assert_array_equal(bits, events.triggers[:, 0] & (events.met[:, 0] > 20))
    turned = replace(events, jets=events.jets[:, ::-1], muons=events.muons[:, ::-1], b_tag=events.b_tag[:, ::-1])
    seeds = {"a": "jets_pt[0] > 80 & jets_b_tag[0] > 0", "b": "muons_eta[0] > 1"}
    np.testing.assert_array_equal(seed_bits(seeds, events), seed_bits(seeds, turned))


@pytest.mark.parametrize(("text", "message"), [
    ("jetpt > 180", "quantity 'jetpt' is unknown. Did you mean 'jet_pt'"),
    ("jet_pt > ", "neither a name nor an expression"),
    ("open('x')", "is not allowed"),
    ("1 > 0", "depends on nothing of the event"),
    (180, "180 is no condition"),
    ("jets_pt > 30", "'jets_pt > 30' is a list for each event. Write any"),
    ("jet_pt", "'jet_pt' is a number, no condition"),
    ("20 < met < 30", "not allowed in an expression; allowed are numbers, names, + - * / ** %, comparisons of two"),
])  # fmt: skip
def test_what_is_no_seed_is_refused_before_any_event(text, message):
    with pytest.raises(InputError) as error:
        stages_of({"seeds": {"X": text}}, ())
    assert message in str(error.value)
    assert str(error.value).startswith("menu.seeds.X: ")


@pytest.mark.parametrize(("text", "message"), [
    ("pileup > 40", r"the events have no 'pileup'"),
    ("any(photons_pt > 10)", r"the events have no 'photons_pt'"),
    ("n_muons & met > 3", r"is neither true \(1\) nor false"),
])  # fmt: skip
def test_what_only_the_events_tell_is_said_then(text, message):
    check_seed(text)
    with pytest.raises(InputError, match=message):
        seed_bits({"X": text}, crossings())


def test_a_menu_may_have_bits_seeds_and_the_prescales_of_a_table(tmp_path):
    (tmp_path / "menu.csv").write_text("Index,Name,now\n0,L1_0,1\n1,Jet100,4\n2,L1_X,2\n")
    table = {"table": str(tmp_path / "menu.csv"), "column": "now"}
    assert stages_of({"bits": ["L1_*"], "seeds": {"Met": "met > 60"}}, ["L1_0"]).menu.prescales == {"L1_0": 1, "Met": 1}
    stages = stages_of(table | {"seeds": {"Jet100": "jet_pt > 100"}, "without": ["L1_0"]}, ["L1_0"])
    assert stages.menu.prescales == {"Jet100": 4, "L1_X": 2}
    assert stages.menu.seeds == {"Jet100": "jet_pt > 100"}
    for entry, message in (
        (table | {"seeds": {"Jet10": "jet_pt > 10"}}, "seed 'Jet10' is unknown. Did you mean 'Jet100'"),
        ({"seeds": {"L1_0": "met > 1"}}, "menu.seeds.L1_0: the files have a trigger bit of this name"),
        ({"after": {"seeds": {"A": "met > 1"}, "budget": "pure"}}, "menu.after: key 'budget' is unknown"),
        ({"after": {"seeds": {"A": "met > 1"}}, "budget": "pure"}, "a pure rate needs other seeds"),
        ({"after": {"seeds": {"A": "mett > 1"}}}, "quantity 'mett' is unknown"),
        ({"after": {}}, "menu.after: give a prescale table"),
    ):
        with pytest.raises(InputError) as error:
            stages_of(entry, ["L1_0"])
        assert message in str(error.value)


def test_a_seed_may_stand_in_two_lines_of_a_table_that_agree(tmp_path):
    (tmp_path / "menu.csv").write_text("Index,Name,now\n0,L1_0,0\n1,L1_0,0\n")
    assert read_menu(tmp_path / "menu.csv", "now") == Menu({"L1_0": 0}, f"{tmp_path / 'menu.csv'}, column now")
    (tmp_path / "menu.csv").write_text("Index,Name,now\n0,L1_0,0\n1,L1_0,3\n")
    with pytest.raises(InputError, match="line 3: seed 'L1_0' is there twice, with two prescales"):
        read_menu(tmp_path / "menu.csv", "now")


SEEDS = {"Jet100": "jet_pt > 100", "HT150": "ht > 150", "Met60": "met > 60", "Never": "met > 1e6"}


def scored(events, seed):
    return [(events, {"ae/1": np.random.default_rng(seed).normal(0, 1, len(events)) + events.met[:, 0] / 20})]


def test_rates_beside_a_menu_of_conditions_are_those_of_a_direct_count():
    background, signal = crossings(1), crossings(2, 1000)
    samples = {"zero_bias": scored(background, 3), "signal": scored(signal, 4)}
    scale = rates.zero_bias()
    stages = stages_of({"seeds": SEEDS}, ())
    (point,) = rate_tables.rates(samples, scale, [300.0], stages)[0]["points"]
    any_seed = seed_bits(SEEDS, background).any(axis=1)
    score, in_signal = samples["zero_bias"][0][1]["ae/1"], samples["signal"][0][1]["ae/1"]
    above = score > point["threshold"]
    assert point["total"]["value"] == pytest.approx(above.mean())
    assert point["pure"]["value"] == pytest.approx((above & ~any_seed).mean())
    assert point["overlap"]["value"] == pytest.approx((above & any_seed).mean())
    assert point["pure"]["value"] <= 300e3 / scale.hz < point["pure"]["value"] + 1.5 / N
    menu = seed_bits(SEEDS, signal).any(axis=1)
    gains = point["signals"]["signal"]
    assert gains["menu"]["value"] == pytest.approx(menu.mean())
    taken = (in_signal > point["threshold"]) | menu
    assert gains["gain"]["value"] == pytest.approx(taken.mean() - menu.mean())


def test_a_second_stage_counts_what_both_accept_in_shares_of_all_events():
    background, signal = crossings(5), crossings(6, 1000)
    samples = {"zero_bias": scored(background, 3), "signal": scored(signal, 4)}
    stages = stages_of({"seeds": {"Met60": "met > 60"}, "after": {"seeds": {"Jet60": "jet_pt > 60"}}}, ())
    (point,) = rate_tables.rates(samples, rates.zero_bias(), [300.0], stages)[0]["points"]
    first, other = seed_bits({"a": "jet_pt > 60", "b": "met > 60"}, background).T
    above = samples["zero_bias"][0][1]["ae/1"] > point["threshold"]
    for kind, passing in (("total", first), ("pure", first & ~other), ("overlap", first & other)):
        count = int((above & passing).sum())
        assert point[kind]["value"] == pytest.approx(count / N)
        assert (point[kind]["low"], point[kind]["high"]) == pytest.approx([float(x) for x in clopper_pearson(count, N)])
    first, other = seed_bits({"a": "jet_pt > 60", "b": "met > 60"}, signal).T
    above = samples["signal"][0][1]["ae/1"] > point["threshold"]
    gains = point["signals"]["signal"]
    assert gains["eps_s"]["value"] == pytest.approx((above & first).mean())
    assert gains["gain"]["value"] == pytest.approx((above & first & ~other).mean())
    assert gains["menu"]["value"] == pytest.approx((first & other).mean())


def test_a_prescaled_first_stage_takes_its_share_of_the_rate():
    background = crossings(7, triggers=(0.5,))
    samples = {"zero_bias": scored(background, 3)}
    halved = stages_of({"after": {"seeds": {"All": "met > 0"}}}, ["L1_0"])
    halved = halved._replace(after=halved.after._replace(prescales={"All": 2.0}))
    whole = rate_tables.rates(samples, rates.zero_bias(), [600.0])[0]["points"][0]
    behind = rate_tables.rates(samples, rates.zero_bias(), [300.0], halved)[0]["points"][0]
    assert behind["threshold"] == whole["threshold"]
    assert behind["total"]["value"] == pytest.approx(whole["total"]["value"] / 2)


def test_table_of_a_menu_is_a_direct_count(tmp_path):
    background, signal = crossings(8), crossings(9, 1000)
    samples = {"zero_bias": scored(background, 3), "signal": scored(signal, 4)}
    (tmp_path / "menu.csv").write_text("Index,Name,now\n0,Jet100,1\n1,HT150,1\n2,Met60,5\n3,Never,0\n")
    entry = {"table": str(tmp_path / "menu.csv"), "column": "now", "seeds": SEEDS}
    scale = rates.zero_bias()
    rows = seed_rows("level1", samples, stages_of(entry, ()), scale)
    write_seeds(tmp_path / "menu_of_task.csv", rows)
    with open(tmp_path / "menu_of_task.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(COLUMNS)
    assert [(row["sample"], row["seed"]) for row in read] == [
        (sample, seed) for sample in samples for seed in ("Jet100", "HT150", "Met60", ALL)
    ]
    for sample, events in (("zero_bias", background), ("signal", signal)):
        jet, ht, met, _ = seed_bits(SEEDS, events).T
        share = {"Jet100": jet, "HT150": ht, "Met60": met / 5}
        pure = {"Jet100": jet * ~ht * (1 - met / 5), "HT150": ht * ~jet * (1 - met / 5), "Met60": met * ~jet * ~ht / 5}
        share[ALL] = 1 - (1 - jet) * (1 - ht) * (1 - met / 5)
        of_sample = {row["seed"]: row for row in rows if row["sample"] == sample}
        for seed, values in share.items():
            assert of_sample[seed]["total"] == pytest.approx(values.mean())
            if seed in pure:
                assert of_sample[seed]["pure"] == pytest.approx(pure[seed].mean())
        low, high = (float(x) for x in clopper_pearson(jet.sum(), len(events)))
        assert (of_sample["Jet100"]["total_low"], of_sample["Jet100"]["total_high"]) == pytest.approx([low, high])
        assert of_sample["Met60"]["condition"] == "met > 60"
        assert of_sample["Met60"]["prescale"] == 5
        if sample == "zero_bias":
            assert of_sample["Jet100"]["total_khz"] == pytest.approx(jet.mean() * scale.hz / 1000)
        else:
            assert of_sample["Jet100"]["total_khz"] is None


def test_seeds_in_step_have_no_pure_rate_of_their_own():
    background = crossings(11)
    seeds = {"A": "met > 30", "B": "met > 30", "C": "jet_pt > 100"}
    stages = stages_of({"seeds": seeds}, ())
    for prescales in ({"A": 100.0, "B": 100.0}, {"A": 2.0, "B": 4.0}):
        menu = stages.menu._replace(prescales=stages.menu.prescales | prescales)
        rows = seed_rows("level1", {"data": scored(background, 1)}, stages._replace(menu=menu), None)
        of = {row["seed"]: row for row in rows}
        met, jet = seed_bits({"a": "met > 30", "b": "jet_pt > 100"}, background).T
        share = {seed: (met * ~jet).mean() for seed in ("A", "B")}
        # counters in step: an event that a prescale of 4 takes, one of 2 takes as well
        assert of["B"]["pure"] == pytest.approx(0)
        assert of["A"]["pure"] == pytest.approx(share["A"] * (1 / 2 - 1 / 4) if prescales["A"] == 2 else 0)


def test_a_file_may_not_have_a_bit_that_is_a_seed():
    stages = stages_of({"seeds": {"L1_0": "met > 60"}}, ())
    with pytest.raises(InputError, match=r"menu\.seeds\.L1_0: the files have a trigger bit of this name"):
        seed_rows("level1", {"data": scored(crossings(1, triggers=(0.3,)), 1)}, stages, None)
    shadowed = crossings(1, triggers=(0.3,))
    shadowed = replace(shadowed, meta=shadowed.meta | {"triggers": ["met"]})
    np.testing.assert_array_equal(seed_bits({"x": "met > 60"}, shadowed)[:, 0], shadowed.met[:, 0] > 60)


def test_a_menu_that_never_fires_is_not_resolved():
    stages = stages_of({"seeds": {"Never": "met > 1e6"}}, ())
    rows = seed_rows("level1", {"data": scored(crossings(1), 1)}, stages, None)
    assert [(row["seed"], row["passed"], row["resolved"]) for row in rows] == [("Never", 0, False), (ALL, 0, False)]


def test_table_of_two_stages():
    background = crossings(10)
    stages = stages_of({"seeds": {"Met60": "met > 60"}, "after": {"seeds": {"Jet60": "jet_pt > 60"}}}, ())
    rows = {(row["stage"], row["seed"]): row for row in seed_rows("hlt", {"data": scored(background, 1)}, stages, None)}
    first, other = seed_bits({"a": "jet_pt > 60", "b": "met > 60"}, background).T
    assert rows["first", "Jet60"]["total"] == pytest.approx(first.mean())
    assert rows["menu", "Met60"]["total"] == pytest.approx((first & other).mean())
    assert rows["menu", ALL]["total"] == pytest.approx((first & other).mean())
    assert rows["first", ALL]["passed"] == first.sum()
