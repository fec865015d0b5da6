"""Menus: prescale tables, what prescales accept, overlaps with real trigger bits against a direct count."""

import os

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.evaluation.streaming import per_event, sample
from hepad.trigger import rates
from hepad.trigger.menu import Menu, acceptance, in_step, read_menu, unprescaled

TABLE = "Index,Name,Emergency,2p0E34,1p8E34\n0,L1_A,0,1,1\n1,L1_B,0,4,2.5\n\n2,L1_C,0,0,1\n9,L1_D,0,1000,1\n"


def test_menu_is_read_from_either_layout(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + TABLE.replace("Index,Name", "Bit, Algo name").encode())
    for name in ("a.csv", "b.csv"):
        assert read_menu(tmp_path / name, "2p0E34").prescales == {"L1_A": 1, "L1_B": 4, "L1_C": 0, "L1_D": 1000}
    assert read_menu(tmp_path / "a.csv", "1p8E34").prescales["L1_B"] == 2.5
    assert list(read_menu(tmp_path / "a.csv", "2p0E34").without(["L1_[AB]"]).prescales) == ["L1_C", "L1_D"]


@pytest.mark.parametrize(("change", "column", "message"), [
    (("", ""), "2p0E33", "column '2p0E33' is unknown. Did you mean '2p0E34'"),
    (("Name", "Title"), "2p0E34", "no column 'Name'"),
    (("L1_B", "L1_A"), "2p0E34", "line 3: seed 'L1_A' is there twice"),
    (("B,0,4,", "B,0,x,"), "2p0E34", "line 3: L1_B: prescale 'x'"),
    (("B,0,4,", "B,0,0.5,"), "2p0E34", "prescale '0.5'"),
    (("B,0,4,", "B,0,-1,"), "2p0E34", "prescale '-1'"),
    (("B,0,4,", "B,0,,"), "2p0E34", "prescale ''"),
    (("B,0,4,2.5", "B,0,4"), "2p0E34", "line 3: 4 cells under 5 columns"),
    (("1p8E34", "2p0E34"), "2p0E34", "is there 2 times"),
    ((TABLE, ""), "2p0E34", "no column 'Name'"),
])  # fmt: skip
def test_bad_menu_is_refused(tmp_path, change, column, message):
    (tmp_path / "menu.csv").write_text(TABLE.replace(*change) if change[0] else TABLE)
    with pytest.raises(InputError) as error:
        read_menu(tmp_path / "menu.csv", column)
    assert message in str(error.value)
    assert "menu.csv" in str(error.value)


def test_menu_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="not readable"):
        read_menu(tmp_path / "none.csv", "a")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not readable"):
        read_menu(tmp_path / "binary.csv", "a")


def test_acceptance_is_one_less_the_product_of_what_the_prescales_refuse():
    menu = Menu({"L1_A": 1, "L1_B": 4, "L1_C": 0, "L1_D": 2.5, "L1_E": 7}, "menu")
    names = ("L1_D", "L1_C", "L1_A", "L1_B", "HLT_X")
    bits = np.array([[0, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [1, 0, 0, 1, 0]], bool)
    found = acceptance(menu, bits, names)
    assert found.probability == pytest.approx([0, 0, 1, 1 / 4, 1 - (3 / 4) * (1.5 / 2.5)])
    assert found.matched == ("L1_D", "L1_A", "L1_B")
    assert found.missing == ("L1_E",)
    assert found.unlisted == ("HLT_X",)
    assert "1 of 4 seeds" in found.remark
    assert "L1_E" in found.remark
    # against counters: every P-th of the events that fire
    rng, n = np.random.default_rng(1), 200_000
    kept = (rng.random(n) < 1 / 4) | (rng.random(n) < 1 / 2.5)
    assert found.probability[4] == pytest.approx(kept.mean(), abs=0.005)
    with pytest.raises(InputError, match="none of the 4 seeds"):
        acceptance(menu, bits[:, :1], ("HLT_X",))
    with pytest.raises(InputError, match="do not fit"):
        acceptance(menu, bits, names[:2])
    with pytest.raises(InputError, match="no trigger bit"):
        unprescaled(names, ["L9_*"])


def test_counters_of_seeds_that_fire_together_are_in_step():
    """Against counters that run: the share of the accepted events in a run of many."""
    rng, n = np.random.default_rng(2), 60_000
    hard, soft = rng.random((2, n)) < 0.3
    bits = np.stack([hard, hard, soft, soft, hard], axis=1)
    names = ("L1_A", "L1_B", "L1_C", "L1_D", "L1_E")
    for prescales in ((2, 2, 3, 3, 2), (2, 4, 6, 4, 8), (2, 3, 6, 10, 5), (4, 1, 2.5, 2.5, 7)):
        numbers, accepted = np.cumsum(bits, axis=0), np.zeros(n, bool)
        for i, prescale in enumerate(prescales):
            accepted |= bits[:, i] & (numbers[:, i] // prescale > (numbers[:, i] - 1) // prescale)
        found = acceptance(Menu(dict(zip(names, prescales, strict=True)), "menu"), bits, names).probability
        for of in (hard & ~soft, soft & ~hard, hard & soft):
            assert found[of].std() < 1e-9
            assert found[of][0] == pytest.approx(accepted[of].mean(), abs=0.012)
    # the same groups whatever the chunks, and none of what hardly fires
    groups = in_step([bits[:1000], bits[1000:]])
    assert groups[0] == groups[1] == groups[4] != groups[2] == groups[3]
    rare = np.zeros((n, 2), bool)
    rare[:9] = True
    assert len(set(in_step([rare]))) == 2
    # a signal event may fire some of a group
    some = acceptance(
        Menu({"L1_A": 2.0, "L1_B": 3.0}, "m"), np.array([[1, 0], [0, 1], [1, 1]]), names[:2], (), groups[:2]
    )
    assert some.probability == pytest.approx([1 / 2, 1 / 3, 2 / 3])


@pytest.mark.skipif(not os.environ.get("HEPAD_DATA"), reason="HEPAD_DATA is not set")
def test_overlap_with_real_l1_bits_is_that_of_a_direct_count(tmp_path):
    import uproot

    from hepad.samples import sources

    path = os.path.join(os.environ["HEPAD_DATA"], "hep", "nano_dimuon.root")
    source = {"files": [path], "triggers": ["L1_*"]}
    events = sources.read(source, name="d", selection="any", split=(0.6, 0.2, 0.2))
    first, scores = per_event(events.event_id, events.met[:, 0])
    with uproot.open(path) as file:
        tree = file["Events"]
        seeds = [name for name in tree.keys() if name.startswith("L1_")]  # noqa: SIM118  a TTree is no dict
        direct = {name: bits.astype(bool) for name, bits in tree.arrays(seeds, library="np").items()}
        ids = tree.arrays(["run", "luminosityBlock", "event"], library="np")
    assert len(seeds) == 524
    # the bits, seed by seed, of the same events
    where = {key: i for i, key in enumerate(zip(*(ids[x].tolist() for x in ids), strict=True))}
    facts = [events.facts[x][first].tolist() for x in ("run", "luminosity_block", "event")]
    rows = [where[key] for key in zip(*facts, strict=True)]
    assert len(rows) == 40
    column = "2p0E34"
    prescales = {name: (1, 0, 2, 5)[i % 4] for i, name in enumerate(seeds)}
    lines = [f"{i},{name},{value}" for i, (name, value) in enumerate(prescales.items())]
    (tmp_path / "menu.csv").write_text("\n".join([f"Index,Name,{column}", *lines, "600,L1_AXO_Medium,1"]))
    menu = read_menu(tmp_path / "menu.csv", column)
    found = acceptance(menu, events.triggers[first], events.meta["triggers"])
    assert set(found.missing) == {"L1_AXO_Medium"}
    assert len(found.matched) == sum(value > 0 for value in prescales.values())
    refused = np.ones(40)
    for name, value in prescales.items():
        if value:
            refused *= np.where(direct[name][rows], 1 - 1 / value, 1)
    assert found.probability == pytest.approx(1 - refused)
    # overlap and pure rate of a cut on the missing momentum, all L1 bits at once
    every = acceptance(
        unprescaled(events.meta["triggers"]), events.triggers[first], events.meta["triggers"]
    ).probability
    data = sample("d", scores, menu=every)
    point = rates.at_budget(data, rates.zero_bias(), rates.zero_bias().hz / 4)
    passes = scores > point.threshold
    accepted = np.any([direct[name][rows] for name in seeds], axis=0)
    assert 0 < accepted.sum() <= 40
    assert point.total.passed == passes.sum() == 10
    assert point.overlap.effective == np.sum(passes & accepted)
    assert point.pure.effective == np.sum(passes & ~accepted)
    assert data.menu.value == accepted.mean()
