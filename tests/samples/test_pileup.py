"""Pile-up: Poisson counts, whole and symmetric overlays, what reuse does; first-level objects; determinism."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from hepad.errors import InputError
from hepad.evaluation.streaming import sample
from hepad.events import ARRAYS, split_of
from hepad.representations import EventVector, JetImage
from hepad.samples import sources
from hepad.samples.clustering import CHARGED_HADRON, MUON, PHOTON, Particles
from hepad.samples.root_output import write_root
from hepad.samples.simulation.level1 import (
    D_ETA,
    D_PHI,
    ETA,
    N_PHI,
    SPURIOUS,
    _muons,
    density,
    level1_objects,
    spurious,
    towers,
)
from hepad.samples.simulation.pileup import Pileup, Pool, Pools, draw, overlay
from hepad.samples.simulation.profile import Profile, weights
from hepad.samples.simulation.response import Response
from hepad.samples.simulation.settings import Generation

CARDS = Path(__file__).parents[2] / "config" / "cards"
MINIMUM_BIAS = CARDS / "minimum_bias.cmnd"
BOTH = {"mean": 5, "pool": 10}
RNG = np.random.default_rng


def particles(event, kind, pt, eta, phi, *, charged=False):
    columns = np.broadcast_arrays(np.asarray(event), *(np.asarray(x, float) for x in (pt, eta, phi)), 0.0)
    n = len(columns[0])
    return Particles(
        columns[0].copy(), np.full(n, kind, np.int32), np.full(n, charged), np.stack(columns[1:], axis=-1).astype(float)
    )


def crossings_of(mean, pool, n, rng):
    """Natural crossings of one pool."""
    return draw(Pileup("card", mean, 40), Pools(pool), (np.tile([0, 40], (n, 1)),), np.ones(n, bool), rng)


@pytest.fixture
def pool():
    """Forty events; event i has i + 1 particles of 2^(i/4) GeV at η = 1."""
    event = np.repeat(np.arange(40), np.arange(1, 41))
    return Pool.of(particles(event, CHARGED_HADRON, 2 ** (event / 4), 1.0, 0.0, charged=True), 40)


def test_the_number_of_collisions_is_poisson(pool):
    n = 4000
    number = crossings_of(30, pool, n, RNG(1)).number
    assert number.mean() == pytest.approx(30, abs=4 * np.sqrt(30 / n))
    assert number.var() == pytest.approx(30, rel=4 * np.sqrt(2 / n))
    number = crossings_of([20, 80], pool, n, RNG(1)).number
    assert number.var() == pytest.approx(50 + 60**2 / 12, rel=0.1)


def test_overlaid_events_are_whole_turned_and_mirrored(pool):
    found, number, hardest, weight, _ = crossings_of(1, pool, 3000, RNG(2))
    assert (weight == 1).all()
    assert (np.diff(found.event) >= 0).all()
    single = np.flatnonzero(number == 1)
    of_crossing = found.take(np.isin(found.event, single))
    count = np.bincount(of_crossing.event, minlength=3000)[single]
    # event i has i + 1 particles, all turned and mirrored together
    np.testing.assert_array_equal(count, hardest[single] + 1)
    first = np.cumsum(count) - count
    np.testing.assert_array_equal(of_crossing.p[:, 1:3], np.repeat(of_crossing.p[first, 1:3], count, axis=0))
    np.testing.assert_allclose(of_crossing.p[first, 0], 2 ** (hardest[single] / 4))
    side, phi = of_crossing.p[first, 1], of_crossing.p[first, 2]
    assert abs(side.mean()) < 4 / np.sqrt(len(side))
    assert abs(np.exp(1j * phi).mean()) < 4 / np.sqrt(len(phi))
    assert (hardest[number == 0] == -1).all()
    assert pool.particles.p[:, 2].max() == 0  # the pool itself is as it was


def test_the_hardest_collision_is_found(pool):
    found, number, hardest, *_ = crossings_of(5, pool, 200, RNG(3))
    largest = np.zeros(200)
    np.maximum.at(largest, found.event, found.p[:, 0])
    some = number > 0
    np.testing.assert_allclose(largest[some], 2 ** (hardest[some] / 4))


def test_overlay_groups_by_event():
    hard = particles([0, 1, 1], PHOTON, [1.0, 2.0, 3.0], 0, 0)
    soft = particles([0, 0, 2], PHOTON, [4.0, 5.0, 6.0], 0, 0)
    joined = overlay(hard, soft)
    assert joined.event.tolist() == [0, 0, 0, 1, 1, 2]
    assert joined.p[:, 0].tolist() == [1, 4, 5, 2, 3, 6]


def test_the_pool_is_divided_as_the_crossings_are(pool):
    settings = Pileup("card", 5, 40)
    places = settings.places((0.5, 0.0, 0.5), "sample")
    assert places.tolist() == [[0, 20], [20, 20], [20, 40]]
    part = np.arange(300) % 2 * 2
    _, number, hardest, *_ = draw(settings, Pools(pool), (places[part],), np.ones(300, bool), RNG(5))
    some = number > 0
    assert (hardest[some & (part == 0)] < 20).all()
    assert (hardest[some & (part == 2)] >= 20).all()
    with pytest.raises(InputError, match=r"pool of 40 cannot be divided.*Make it larger"):
        settings.places((0.995, 0.005, 0.0), "sample")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"card": "a", "mean": 50, "pol": 3}, "'pol'.*Did you mean 'pool'"),
        ({"card": "a", "mean": 50}, "pool missing"),
        ({"card": "a", "mean": [80, 20], "pool": 10}, "mean"),
        ({"card": "a", "mean": -1, "pool": 10}, "mean"),
        ({"card": "a", "mean": 5, "pool": 0}, "at least one"),
        ({"card": "a", "mean": [1, 2, 3], "pool": 4}, "mean"),
        ({"card": "a", "mean": 5, "pool": 4, "hard": -1}, "hard is -1"),
        ({"card": "a", "mean": 5, "pool": 4, "out_of_time": 1}, "share of the energy"),
    ],
)
def test_bad_settings(entry, message):
    with pytest.raises(InputError, match=message):
        Pileup.of(entry)


def test_density_of_an_even_flow_is_its_density_and_a_jet_does_not_raise_it():
    even = np.full((2, len(ETA), N_PHI), 0.3)
    even[1, 50:53, 10:13] += 100
    np.testing.assert_allclose(density(even), 0.3 / (D_ETA * D_PHI))


def test_objects_of_known_particles():
    n = 400
    event, rng = np.arange(n), RNG(4)
    phi = rng.uniform(-np.pi, np.pi, n)
    photons = particles(event, PHOTON, 60.0, 0.5, phi)
    muons = particles(event, MUON, 20.0, -1.0, phi, charged=True)
    found = level1_objects(overlay(photons, muons), Response(), np.ones(n, bool), rng)
    assert (found["photons"][:, 0, 0] > 0).mean() > 0.99
    assert np.median(found["photons"][:, 0, 0]) == pytest.approx(60, rel=0.03)
    assert np.abs(found["photons"][:, 0, 1] - 0.5).max() <= D_ETA
    assert (found["photons"][:, 1:] == 0).all()
    seen = found["muons"][:, 0, 0] > 0
    assert seen.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / n))
    assert np.std(20 / found["muons"][seen, 0, 0]) == pytest.approx(0.3, rel=0.15)
    # the photon is a jet, too, and its momentum is missing on the other side; the muon's is not
    np.testing.assert_array_equal(found["jet"], found["jets"][:, 0])
    assert np.median(found["jet"][:, 0]) == pytest.approx(60, rel=0.03)
    assert np.median(found["met"][:, 0]) == pytest.approx(60, rel=0.03)
    assert np.cos(found["met"][:, 1] - phi).max() < -0.99


def test_a_photon_in_hadrons_is_no_egamma():
    n, rng = 200, RNG(5)
    photons = particles(np.arange(n), PHOTON, 60.0, 0.5, 0.0)
    around = particles(np.repeat(np.arange(n), 8), CHARGED_HADRON, 15.0, 0.5, np.tile(np.linspace(-0.1, 0.1, 8), n))
    assert (level1_objects(overlay(photons, around), Response(), np.ones(n, bool), rng)["photons"] == 0).all()


def test_towers_keep_the_energy_and_lose_what_curls():
    n = 500
    settings = Response()
    hard = particles(np.arange(n), CHARGED_HADRON, 50.0, 0.3, 0.1, charged=True)
    ecal, hcal = towers(hard, n, settings, RNG(6))
    assert ecal.max() == 0
    assert hcal.sum(axis=(1, 2)).mean() == pytest.approx(50, rel=0.02)
    soft = particles(np.arange(n), CHARGED_HADRON, 0.6, 0.3, 0.1, charged=True)
    assert sum(grid.sum() for grid in towers(soft, n, settings, RNG(6))) == 0


def both_pools(hard_share=0.005):
    """Soft events of one particle of 1 GeV; hard ones of one of 20 to 320 GeV, with weights that fall like pT^-4."""
    soft = Pool.of(particles(np.arange(200), PHOTON, 1.0, 0.3, 0.0), 200)
    pt = 20 * 2 ** (np.arange(400) / 100)
    return Pools(soft, Pool.of(particles(np.arange(400), PHOTON, pt, -0.3, 0.0), 400, pt**-4.0), hard_share)


def drawn(pools, n, natural, rng, mean=30):
    places = tuple(np.tile([0, len(pool)], (n, 1)) for pool in pools[:2])
    return draw(Pileup("card", mean, 200, 400), pools, places, np.full(n, natural), rng)


@pytest.mark.parametrize("mean", [pytest.param(30, marks=pytest.mark.slow), [20, 80]])
def test_weighted_crossings_stand_for_natural_ones(mean):
    """Sums over weighted crossings against those of 400,000 natural ones, for what is frequent and what is rare."""
    pools, n = both_pools(), 40_000
    natural, often = drawn(pools, 10 * n, True, RNG(1), mean), drawn(pools, n, False, RNG(2), mean)
    assert (natural.weight == 1).all()
    assert often.weight.mean() == pytest.approx(1, abs=4 * often.weight.std() / np.sqrt(n))

    def hardest(crossings):
        found = np.zeros(len(crossings.number))
        np.maximum.at(found, crossings.particles.event, crossings.particles.p[:, 0])
        return found

    values, precise = hardest(natural), hardest(often)
    for threshold in (20, 25, 40, 80):
        expected = (values > threshold).mean()
        terms = often.weight * (precise > threshold)
        error = np.hypot(terms.std() / np.sqrt(n), np.sqrt(expected / (10 * n)))
        assert terms.mean() == pytest.approx(expected, abs=4 * error)
    # as well known as from almost three times as many natural ones
    rare = often.weight * (precise > 80)
    assert rare.std() < 0.6 * np.sqrt(rare.mean())
    assert np.average(often.number, weights=often.weight) == pytest.approx(natural.number.mean(), rel=0.02)


def test_the_hardest_of_two_pools_is_found_behind_the_soft_one():
    pools = both_pools()
    found = drawn(pools, 2000, False, RNG(3))
    largest = np.zeros(2000)
    np.maximum.at(largest, found.particles.event, found.particles.p[:, 0])
    hard = largest > 10
    assert hard.mean() == pytest.approx(1 - np.exp(-0.5), abs=0.05)
    np.testing.assert_allclose(largest[hard], 20 * 2 ** ((found.hardest[hard] - 200) / 100))
    assert (found.hardest[~hard] < 200).all()


def test_the_crossing_before_leaves_a_share_of_its_energy_and_no_muon():
    pool = Pool.of(
        overlay(particles(np.arange(40), PHOTON, 10.0, 0.3, 0.0), particles(np.arange(40), MUON, 8.0, 0.3, 0.0)), 40
    )
    late = draw(
        Pileup("card", 20, 40, 0, 0.25), Pools(pool), (np.tile([0, 40], (2000, 1)),), np.ones(2000, bool), RNG(4)
    )
    pt, kind = late.particles.p[:, 0], late.particles.kind
    assert set(pt[kind == PHOTON]) == {10.0, 2.5}
    assert set(pt[kind == MUON]) == {8.0}
    assert (pt == 10).sum() == (kind == MUON).sum() == late.number.sum()
    assert (pt == 2.5).sum() == pytest.approx(2000 * 20, rel=0.02)


def test_spurious_deposits_and_mismeasured_muons_stand_for_natural_ones():
    rng, n = RNG(5), 200_000
    deposits, weight = spurious(np.zeros(n, bool), rng)
    for threshold in (60, 150, 400):
        expected = SPURIOUS * (50**2 / threshold**2 - 0.05**2) / (1 - 0.05**2)
        terms = weight * (deposits > threshold)
        assert terms.mean() == pytest.approx(expected, abs=4 * terms.std() / np.sqrt(n))
    natural, ones = spurious(np.ones(n, bool), rng)
    assert (ones == 1).all()
    assert (natural > 0).mean() == pytest.approx(SPURIOUS, abs=4 * np.sqrt(SPURIOUS / n))
    # the curvature of a muon of 5 GeV: as if it had more than 20 GeV with the probability of the normal law
    muons = particles(np.arange(n), MUON, 5.0, 1.0, 0.0, charged=True)
    found, weight = _muons(muons, np.zeros(n, bool), rng)
    expected = 0.9 * (norm.cdf((0.25 - 1) / 0.3) - norm.cdf((-0.25 - 1) / 0.3))
    terms = weight * (found[:, 0, 0] > 20)
    assert terms.mean() == pytest.approx(expected, abs=4 * terms.std() / np.sqrt(n))
    assert terms.std() < 0.5 * np.sqrt(expected)


def test_decays_in_flight_are_as_often_as_the_lifetime_says():
    n = 400_000
    kaons = particles(np.arange(n), 321, 10.0, 0.0, 0.0, charged=True)
    found, _ = _muons(kaons, np.ones(n, bool), RNG(6))
    # P of 1.3 m at 10 GeV, of which muons above 5 GeV of uniform momentum are seen; smearing moves few across 3 GeV
    decays = 0.6356 * (1 - np.exp(-1.3 * 0.49368 / (10 * 3.711)))
    seen = decays * 0.9 * (1 - 0.5) / (1 - (0.10566 / 0.49368) ** 2)
    assert (found[:, 0, 0] > 0).mean() == pytest.approx(seen, rel=0.04)
    assert (_muons(particles([0], 2212, 10.0, 0.0, 0.0, charged=True), np.ones(1, bool), RNG(6))[0] == 0).all()


def test_missing_momentum_of_soft_pileup_is_mitigated():
    """A hard tower in an even flow: what is missing is the tower, without the noise of the flow."""
    rng, n = RNG(7), 60
    flow = 1200
    event = np.repeat(np.arange(n), flow)
    eta, phi = rng.uniform(-3, 3, n * flow), rng.uniform(-np.pi, np.pi, n * flow)
    soft = particles(event, PHOTON, 1.0, eta, phi)
    bare = np.hypot(np.bincount(event, np.cos(phi), minlength=n), np.bincount(event, np.sin(phi), minlength=n))
    found = level1_objects(
        overlay(soft, particles(np.arange(n), PHOTON, 100.0, 0.0, 0.0)), Response(), np.ones(n, bool), rng
    )
    assert np.median(found["met"][:, 0]) == pytest.approx(100, rel=0.1)
    assert np.std(found["met"][:, 0]) < 0.6 * np.std(bare)


def test_a_profile_is_a_number_a_range_or_a_file(tmp_path):
    rng = RNG(8)
    (tmp_path / "profile.txt").write_text("# mean share\n60 3\n30 1\n60 0\n")
    profile = Profile.of(tmp_path / "profile.txt", "pileup")
    assert (profile.mean.tolist(), profile.share.tolist()) == ([30, 60], [0.25, 0.75])
    assert profile.average == 52.5
    drawn = profile.draw(4000, rng)
    assert (drawn == 60).mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.19 / 4000))
    for one in (profile, Profile.of(50, "a"), Profile.of([20, 80], "a")):
        counts, mean = np.arange(200), one.draw(300_000, rng)
        law, found = one.law(counts), np.bincount(rng.poisson(mean), minlength=200)[:200] / 300_000
        assert law.sum() == pytest.approx(1)
        assert np.abs(np.cumsum(law) - np.cumsum(found)).max() < 2 / np.sqrt(300_000)


def test_the_table_of_brilcalc_is_read_as_it_is(tmp_path):
    (tmp_path / "run.csv").write_text(
        "#Data tag : 24v2 , Norm tag: None\n"
        "#run:fill,ls,time,beamstatus,E(GeV),delivered(/ub),recorded(/ub),avgpu,source\n"
        "381148:9666,1:1,05/24/24 12:38:03,SQUEEZE,6800,0,0,0.0,HFET\n"
        "381148:9666,2:2,05/24/24 12:38:27,STABLE BEAMS,6800,0.0006,0.0004,64.0,HFOC\n"
        "381148:9666,3:3,05/24/24 12:38:50,STABLE BEAMS,6800,0.0002,0.0002,60.0,HFOC\n"
        "#Summary:\n#nfill,nrun,nls,ncms,totdelivered(/fb),totrecorded(/fb)\n#1,1,3,3,0.0008,0.0006\n"
    )
    profile = Profile.of(tmp_path / "run.csv", "pileup")
    assert profile.mean.tolist() == [60, 64]
    assert profile.share == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(("text", "message"), [
    ("50 1\nx 2\n", "no pair of numbers"),
    ("50\n", "no pair of numbers"),
    ("50 0\n", "no share is above 0"),
    ("500 1\n", "no mean from 0 to 300"),
    ("50 -1\n", "no mean from 0 to 300"),
    ("#run,avgpu\n1,3\n", "without 'delivered'"),
    ("", "no share is above 0"),
])  # fmt: skip
def test_a_bad_profile_is_refused(tmp_path, text, message):
    (tmp_path / "profile.txt").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        Profile.of(tmp_path / "profile.txt", "pileup")
    assert "profile.txt" in str(error.value)
    with pytest.raises(InputError, match="not readable as a pile-up profile"):
        Profile.of(tmp_path / "none.txt", "pileup")


def test_weights_turn_one_profile_into_another():
    rng, n = RNG(9), 200_000
    of, to = Profile.of([20, 80], "a"), Profile.of(50, "a")
    number = rng.poisson(of.draw(n, rng))
    found = weights(number, of, to)
    assert found.mean() == pytest.approx(1, abs=4 * found.std() / np.sqrt(n))
    assert np.average(number, weights=found) == pytest.approx(50, abs=0.2)
    assert np.average((number - 50) ** 2, weights=found) == pytest.approx(50, rel=0.02)
    with pytest.raises(InputError, match=r"wanted pile-up.*next to nothing"):
        weights(number, of, Profile.of(120, "a"))


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """Minimum bias without diffraction, whose initialisation takes most of the time."""
    path = tmp_path_factory.mktemp("cards") / "minimum_bias.cmnd"
    path.write_text(MINIMUM_BIAS.read_text().replace("SoftQCD:inelastic", "SoftQCD:nonDiffractive"))
    return path


def zero_bias(card, seed):
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    settings = {"selection": "any", "response": True, "level1": True}
    return generate(Generation(card, zero_bias={"mean": [10, 90], "pool": 300}, **settings), 150, seed)


@pytest.fixture(scope="module")
def crossings(card):
    return zero_bias(card, 21)


def test_crossings(crossings):
    assert len(crossings) == len(set(crossings.event_id)) == 150
    assert crossings.meta["rate"] == {"kind": "zero_bias"}
    assert crossings.meta["acceptance"] == 1
    assert crossings.constituents.shape[1] == 0
    assert set(crossings.truth) == {"hardest_pileup"}
    pileup = crossings.facts["pileup"]
    assert 0 <= pileup.min() < 30 < 70 < pileup.max()
    # more collisions: more jets, and no more missing momentum than the mitigation leaves
    few, many = ((crossings.jets[chosen, :, 0] > 0).sum(axis=1).mean() for chosen in (pileup < 40, pileup > 60))
    assert many > 1.5 * few
    few, many = (np.median(crossings.met[chosen, 0]) for chosen in (pileup < 40, pileup > 60))
    assert many < 2 * few


def test_the_same_seed_gives_the_same_crossings(crossings, card):
    again, other = zero_bias(card, 21), zero_bias(card, 22)
    for name in ARRAYS:
        assert getattr(again, name).tobytes() == getattr(crossings, name).tobytes(), name
    np.testing.assert_array_equal(again.facts["pileup"], crossings.facts["pileup"])
    assert not np.array_equal(other.met, crossings.met)


def test_generated_crossings_are_weighted_to_another_profile(crossings, tmp_path):
    write_root(crossings, tmp_path / "crossings.root")
    source = {"files": [str(tmp_path / "crossings.root")], "reader": "Mapped"}
    how = {"name": "zero_bias", "selection": "any", "split": (0, 0, 1)}
    plain, weighted = sources.read(source, **how), sources.read(source | {"pileup_profile": [30, 60]}, **how)
    number = plain.facts["pileup"].astype(int)
    expected = Profile.of([30, 60], "a").law(number) / Profile.of([10, 90], "a").law(number)
    np.testing.assert_allclose(weighted.weight, plain.weight * expected)
    with pytest.raises(
        InputError, match=r"samples\.zero_bias\.source\.pileup_profile: .* of the wanted pile-up.* wider profile"
    ):
        sources.read(source | {"pileup_profile": 200}, **how)
    bare = replace(crossings, meta=crossings.meta | {"pileup": None})
    write_root(bare, tmp_path / "crossings.root")
    with pytest.raises(InputError, match=r"the events have no pile-up\. Leave it out"):
        sources.read(source | {"pileup_profile": 50}, **how)


def test_weighted_generation(card):
    """Training crossings are natural, test crossings have more hard collisions and weights of mean 1."""
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    entry = {"mean": 20, "pool": 150, "hard": 60}
    made = Generation(card, "any", response=True, level1=True, zero_bias=entry, settings=["Beams:eCM = 8000."])
    events = generate(made, 400, 5, split=(0.4, 0.1, 0.5))
    part = split_of(events.event_id, (0.4, 0.1, 0.5))
    test = events.weight[part == 2]
    assert (events.weight[part != 2] == 1).all()
    assert test.mean() == pytest.approx(1, abs=4 * test.std() / np.sqrt(len(test)))
    assert test.std() > 0.1
    hardest = events.truth["hardest_pileup"]
    assert (hardest[part == 2] >= 150).mean() > 2 * (hardest[part != 2] >= 150).mean()
    assert events.meta["sqrt_s_tev"] == 8
    # each part draws from its own places of the pools
    places = made.others.places((0.4, 0.1, 0.5), "a", 60)
    hard = hardest[(part == 2) & (hardest >= 150)] - 150
    assert ((hard >= places[2, 0]) & (hard < places[2, 1])).all()
    with pytest.raises(InputError, match="needs minimum bias"):
        generate(replace(made, card=str(CARDS / "qcd_low.cmnd"), settings=()), 10, 5)


def test_the_hard_pool_has_the_settings_of_the_soft_one(card):
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation import pythia

    started = []
    whole = pythia.start
    entry = {"mean": 5, "pool": 20, "hard": 20}
    made = Generation(card, "any", response=True, level1=True, zero_bias=entry, settings=["Beams:eCM = 2000."])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pythia, "start", lambda *args, **more: started.append(whole(*args, **more)) or started[-1])
        pythia.generate(made, 20, 5)
    assert [source.infoPython().eCM() for source in started] == [2000, 2000]


def test_a_muon_in_soft_collisions_makes_the_cluster():
    """Rare soft collisions that fire are few, however many crossings share them: interval and independent know it."""
    rng, inside, independent = RNG(12), 0, []
    for _ in range(60):
        n_soft, with_muon = 1500, rng.random(1500) < 0.004
        kinds = np.where(with_muon, MUON, PHOTON)
        soft = particles(np.arange(n_soft), PHOTON, np.where(with_muon, 6.0, 4.0), 0.3, 0.0)._replace(
            kind=kinds.astype(np.int32)
        )
        pools = both_pools()._replace(soft=Pool.of(soft, n_soft))
        found = drawn(pools, 4000, False, rng, mean=20)
        fires = np.bincount(found.particles.event, found.particles.kind == MUON, minlength=4000) > 0
        counted = sample("zero bias", fires.astype(float), found.weight, cluster=found.hardest)
        _, low, high = (float(x) for x in counted.total.intervals(0.5))
        inside += low <= 1 - np.exp(-20 * 0.995 * 0.004) <= high
        independent.append(float(counted.total.independent(0.5)))
    assert np.median(independent) < 12  # 6 collisions of the pool have a muon
    assert inside / 60 > 0.5


def test_pileup_of_hard_samples(card):
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    window = {"pt": [150, 300], "abs_eta": 2.0}
    pileup = {"card": card, "mean": 40, "pool": 100}
    events = generate(Generation(CARDS / "qcd_low.cmnd", selection=window, response=True, pileup=pileup), 40, 3)
    bare = generate(Generation(CARDS / "qcd_low.cmnd", selection=window, response=True), 40, 3)
    assert events.facts["pileup"].mean() == pytest.approx(40, abs=4 * np.sqrt(40 / 40))
    assert events.meta["rate"] == {"kind": "cross_section"}
    counts = [(sample.constituents[..., 0] > 0).sum(axis=1).mean() for sample in (bare, events)]
    assert counts[1] > 1.5 * counts[0]
    assert "pileup" not in bare.facts
    assert JetImage()(bare).shape[0] == len(bare)  # what was generated can be represented as it is
    assert EventVector(["pileup"])(events).flatten().tolist() == events.facts["pileup"].tolist()
    with pytest.raises(InputError, match="no pileup"):
        EventVector(["pileup"])(bare)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"zero_bias": BOTH, "pileup": BOTH | {"card": "x"}, "level1": True}, "leave out 'pileup'"),
        ({"zero_bias": BOTH}, "level1: true"),
        ({"level1": True, "selection": {"pt": [1, 2]}}, "takes every event"),
        ({"level1": True, "response": None}, "takes every event"),
        ({"level1": True, "leading": 2}, "takes every event"),
        ({"level1": True, "matching": {"particle": 6, "radius": 1}}, "takes every event"),
        ({"matching": {"particle": 6}}, "matching: .* is not of the form"),
        ({"leading": 3}, "leading '3' is unknown"),
        ({"selection": {"pt": [2, 1]}}, "is not .low, high. in GeV"),
        ({"pileup": {"card": "x", "mean": 5}}, "minimum_bias.cmnd: pileup: pool missing"),
        ({"zero_bias": {"mean": -5, "pool": 3}, "level1": True}, "minimum_bias.cmnd: zero_bias: mean -5"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_pythia_starts(entry, message):
    with pytest.raises(InputError, match=message):
        Generation(MINIMUM_BIAS, **{"selection": "any", "response": True} | entry)


def test_the_same_settings_are_equal_and_know_what_they_stand_for():
    window = {"pt": [550, 650], "abs_eta": 2.0}
    settings = Generation("top.cmnd", window, leading=2, response=True, matching={"particle": 6.0, "radius": 1})
    assert settings == replace(settings)
    assert settings.detector == Response()
    assert settings.matched == {"particle": 6, "radius": 1.0}
    assert settings.others is None
    assert Generation("top.cmnd", "any").detector is None
    crossing = Generation("mb.cmnd", "any", response=True, level1=True, zero_bias={"mean": [1, 3], "pool": 9})
    assert (crossing.others.card, crossing.others.mean, crossing.others.pool) == ("mb.cmnd", [1, 3], 9)
    with pytest.raises(FrozenInstanceError):
        settings.leading = 1
