"""Generated samples: windows, matching, invisible fractions, seeds, errors of cards."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import snakemake

from hepad.errors import InputError
from hepad.events import ARRAYS, concatenate
from hepad.events.kinematics import from_cartesian, sum_four_vectors

pytest.importorskip("pythia8mc")

from hepad.samples.metadata import merge_meta
from hepad.samples.root_output import write_root
from hepad.samples.simulation import truth, veto
from hepad.samples.simulation.pythia import generate, start
from hepad.samples.simulation.settings import Generation
from hepad.samples.sources import read

CARDS = Path(__file__).parents[2] / "config" / "cards"
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}
LOW = {"pt": [150, 300], "abs_eta": 2.0}


@pytest.fixture(scope="module")
def particle_level():
    return generate(Generation(CARDS / "qcd_low.cmnd", selection=LOW, leading=2), 150, 11)


@pytest.fixture(scope="module")
def smeared():
    return generate(Generation(CARDS / "qcd_low.cmnd", selection=LOW, leading=2, response=True), 150, 11)


@pytest.fixture(scope="module")
def tops():
    matching = {"particle": 6, "radius": 0.8}
    return generate(
        Generation(CARDS / "top.cmnd", selection=WINDOW, leading=2, response=True, matching=matching), 100, 12
    )


def test_window_and_order(particle_level, smeared):
    for events in (particle_level, smeared):
        assert len(events) in (150, 151)
        assert np.all((events.jet[:, 0] > 150) & (events.jet[:, 0] < 300) & (np.abs(events.jet[:, 1]) < 2))
        for name in ("constituents", "jets", "electrons", "muons", "photons"):
            assert np.all(np.diff(getattr(events, name)[..., 0], axis=1) <= 0), name
        assert np.all(events.truth["hard_pt"] >= 90)
        assert np.isfinite(events.constituents).all()


def test_jet_is_the_sum_of_its_constituents_and_one_of_the_events_jets(particle_level, smeared):
    for events in (particle_level, smeared):
        total = sum_four_vectors(events.constituents)
        np.testing.assert_allclose(total[:, 0], events.jet[:, 0], rtol=1e-4)
        np.testing.assert_allclose(total[:, 1:3], events.jet[:, 1:3], atol=1e-4)
        np.testing.assert_allclose(total[:, 3], events.jet[:, 3], rtol=1e-3, atol=1e-2)
        assert np.all((events.jets[:, :2] == events.jet[:, None]).all(axis=2).any(axis=1))


def test_response_keeps_the_scale_and_adds_missing_momentum(monkeypatch):
    # the same generator seed and none given up: the same events, of which both keep those in the window
    monkeypatch.setattr(veto, "FRACTION", 0.0)
    particle_level, smeared = (
        generate(Generation(CARDS / "qcd_low.cmnd", selection=LOW, leading=2, response=response), 120, 11)
        for response in (None, True)
    )
    shared, a, b = np.intersect1d(particle_level.event_id, smeared.event_id, return_indices=True)
    assert len(shared) > 30
    ratio = smeared.jet[b, 0] / particle_level.jet[a, 0]
    assert np.median(ratio) == pytest.approx(1, abs=0.08)
    assert np.median(smeared.met[:, 0]) > np.median(particle_level.met[:, 0])


def test_two_leading_jets_share_their_event(particle_level):
    ids, count = np.unique(particle_level.event_id, return_counts=True)
    assert count.max() == 2
    pair = particle_level[np.isin(particle_level.event_id, ids[count == 2])]
    assert np.all(pair.event_id[::2] == pair.event_id[1::2])
    assert np.all(pair.jet[::2, 0] >= pair.jet[1::2, 0])
    np.testing.assert_array_equal(pair.jets[::2], pair.jets[1::2])
    one = generate(Generation(CARDS / "qcd_low.cmnd", selection=LOW, leading=1), 40, 11)
    assert len(np.unique(one.event_id)) == len(one) == 40
    np.testing.assert_array_equal(one.jet, one.jets[:, 0])


def test_same_seed_is_bit_identical():
    again, same, other = (
        generate(Generation(CARDS / "qcd_low.cmnd", selection=LOW, leading=2, response=True), 40, seed)
        for seed in (11, 11, 12)
    )
    for name in ARRAYS:
        assert getattr(again, name).tobytes() == getattr(same, name).tobytes(), name
    assert again.meta == same.meta
    assert not np.array_equal(other.jet[:20], again.jet[:20])


def test_meta(smeared):
    meta = smeared.meta
    assert meta["sqrt_s_tev"] == 14.0
    assert meta["mpi"] is False
    assert meta["window"] == LOW
    assert meta["acceptance"] == meta["n_events_accepted"] / meta["n_tried"]
    # events with a jet of 150 to 300 GeV at 14 TeV, as 1,500 jets of this card gave it (a regression check); 8 % of 150
    assert meta["cross_section_pb"] * meta["acceptance"] == pytest.approx(3.2e5, rel=0.25)


def test_matched_tops_have_the_top_mass(tops):
    assert np.all(tops.truth["matched_dr_max"] < 0.8)
    assert np.all(tops.truth["matched_pt"] > 300)
    assert np.median(tops.jet[:, 3]) == pytest.approx(173, abs=8)
    assert np.median(tops.truth["matched_pt"] / tops.jet[:, 0]) == pytest.approx(1, abs=0.06)


def test_decay_partons_add_up_to_their_top():
    record = truth.flatten(start(CARDS / "top.cmnd", 3).nextBatch(20))
    rows = truth.decays(record, 6)
    assert len(rows) == 40
    identity = np.abs(record.id[rows])
    assert np.all(identity[:, 0] == 6)
    assert np.all((identity[:, 1:] == 5).sum(axis=1) >= 2)
    top = rows[:, 0]
    np.testing.assert_allclose(
        record.p[record.daughter1[top]] + record.p[record.daughter2[top]], record.p[top], rtol=1e-6, atol=1e-4
    )
    boson = np.where(rows[:, 1] != rows[:, 2], record.daughter1[top], record.daughter2[top])
    quarks = np.where((rows[:, 1] != rows[:, 2])[:, None], rows[:, 1:3], rows[:, 3:5])
    assert np.all(np.abs(record.id[boson]) == 24)
    assert np.all(np.abs(record.id[quarks]) < 6)
    decaying = record.p[truth.last_copy(record, boson)]
    np.testing.assert_allclose(record.p[quarks].sum(axis=1), decaying, rtol=1e-6, atol=1e-4)
    assert np.median(from_cartesian(decaying)[:, 3]) == pytest.approx(80.4, abs=1.5)


@pytest.mark.parametrize(("card", "r_inv"), [("semivisible", 0.3), ("aachen_like", 0.75)])
def test_invisible_fraction_of_dark_mesons(card, r_inv):
    n = 200
    record = truth.flatten(start(CARDS / f"{card}.cmnd", 4).nextBatch(n))
    number, fraction = truth.dark_mesons(record, n)
    total = number.sum()
    assert total > 2000
    found = (number * fraction).sum() / total
    assert found == pytest.approx(r_inv, abs=4 * np.sqrt(r_inv * (1 - r_inv) / total))
    stable = (record.status > 0) & (np.abs(record.id) > 4900000)
    assert not stable.any()


@pytest.mark.parametrize("card", sorted(CARDS.glob("*.cmnd")), ids=lambda card: card.stem)
def test_cards_start_without_a_warning(card, tmp_path, capfd):
    loud = tmp_path / card.name
    loud.write_text(card.read_text().replace("Print:quiet = on", "Print:quiet = off\nInit:showProcesses = off"))
    start(loud, 1)
    lines = capfd.readouterr().out.splitlines()
    # Pythia corrects its estimate of the interaction rate while it starts, and says so
    said = [x for x in lines if "MultipartonInteractions::init: maximum increased" not in x]
    assert not [x for x in said if "Warning" in x or "Error" in x]


def test_chunks_have_unique_events_and_read_back_as_one_sample(tmp_path):
    settings = Generation(CARDS / "qcd_low.cmnd", LOW, leading=2, response=True)
    chunks = [generate(settings, 30, i + 1, first_event_id=5000 * i, max_events=5000) for i in range(2)]
    for i, chunk in enumerate(chunks):
        write_root(chunk, tmp_path / f"{i}.root")
    assert not set(chunks[0].event_id) & set(chunks[1].event_id)
    files = [str(tmp_path / f"{i}.root") for i in range(2)]
    events = read({"files": files}, name="low", selection=LOW, split=(0.6, 0.1, 0.3))
    expected = concatenate(chunks)
    for name in set(ARRAYS) - {"split", "row_id"}:
        np.testing.assert_array_equal(getattr(events, name), getattr(expected, name), err_msg=name)
    assert events.meta["seeds"] == [1, 2]
    assert events.meta["cross_section_pb"] == merge_meta([c.meta for c in chunks])["cross_section_pb"]
    assert events.meta["n_tried"] == sum(c.meta["n_tried"] for c in chunks)
    for i in np.unique(events.event_id):
        assert len(set(events.split[events.event_id == i])) == 1


@pytest.mark.slow
def test_a_chunk_of_the_workflow_has_the_events_of_its_seed_and_a_log_that_counts_them(tmp_path):
    card, vector = CARDS / "qcd_low.cmnd", {"type": "EventVector", "variables": ["mass", "multiplicity"]}
    source = {"card": str(card), "jets": 60, "chunks": 2, "seed": 7, "leading": 2}
    config = {
        "device": "cpu",
        "samples": {"low": {"source": source, "selection": LOW}, "other": {"source": source, "selection": LOW}},
        "representations": {"vector": vector},
        "detectors": {"mass": {"type": "Variable", "representation": "vector", "variable": "mass"}},
        "tasks": {"jets": {"background": "low", "signals": ["other"], "detectors": ["mass"]}},
        "evaluation": {"supervised": "vector"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path / "run", tmp_path / "config.yaml", "results/samples/low/1.root")
    assert result.returncode == 0, result.stdout
    files = [str(tmp_path / "run/results/samples/low/1.root")]
    made = read({"files": files}, name="low", selection=LOW, split=(1.0, 0.0, 0.0))
    expected = generate(Generation(card, selection=LOW, leading=2, response=True), 30, 7001, first_event_id=10**10)
    for name in ("event_id", "jet", "constituents"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name), err_msg=name)
    assert "low 1: generate 30/30 " in (tmp_path / "run/results/logs/generate/low/1.log").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HardQCD:al = on\n", "line 1: Pythia refuses 'HardQCD:al = on'"),
        ("! fine\nHardQCD:all = on\nBeams:eCM = -4\n", "line 3"),
        ("Print:quiet = on\n", "does not start"),
    ],
)
def test_bad_cards(tmp_path, text, message):
    (tmp_path / "bad.cmnd").write_text(text)
    with pytest.raises(InputError, match=rf"bad\.cmnd.*{message}"):
        generate(Generation(tmp_path / "bad.cmnd", selection=WINDOW), 10, 1)


def test_other_bad_input():
    card = CARDS / "qcd_low.cmnd"
    with pytest.raises(InputError, match=r"none\.cmnd: there is no such card"):
        generate(Generation(CARDS / "none.cmnd", selection=WINDOW), 10, 1)
    with pytest.raises(InputError, match="seed 0 is outside"):
        generate(Generation(card, selection=WINDOW), 10, 0)
    with pytest.raises(InputError, match="leading"):
        generate(Generation(card, selection=WINDOW, leading=3), 10, 1)
    with pytest.raises(InputError, match="matching"):
        generate(Generation(card, selection=WINDOW, matching={"particle": 6}), 10, 1)
    with pytest.raises(InputError, match=r"0 of 10 jets after 150 events .*3000, 4000"):
        generate(Generation(card, selection={"pt": [3000, 4000]}), 10, 1, max_events=100)
