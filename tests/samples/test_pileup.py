"""Pile-up: Poisson counts, whole and symmetric overlays, what reuse does; first-level objects; determinism."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.events import ARRAYS
from hepad.samples.clustering import CHARGED_HADRON, MUON, PHOTON, Particles
from hepad.samples.simulation.level1 import D_ETA, D_PHI, ETA, N_PHI, density, level1_objects, towers
from hepad.samples.simulation.pileup import Pileup, Pool, draw, overlay
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


def everywhere(n):
    return np.tile([0, 40], (n, 1))


@pytest.fixture
def pool():
    """Forty events; event i has i + 1 particles of 2^(i/4) GeV at η = 1."""
    event = np.repeat(np.arange(40), np.arange(1, 41))
    return Pool.of(particles(event, CHARGED_HADRON, 2 ** (event / 4), 1.0, 0.0, charged=True), 40)


def test_the_number_of_collisions_is_poisson(pool):
    n = 4000
    _, number, _ = draw(Pileup("card", (30.0, 30.0), 40), pool, everywhere(n), n, RNG(1))
    assert number.mean() == pytest.approx(30, abs=4 * np.sqrt(30 / n))
    assert number.var() == pytest.approx(30, rel=4 * np.sqrt(2 / n))
    _, number, _ = draw(Pileup("card", (20.0, 80.0), 40), pool, everywhere(n), n, RNG(1))
    assert number.var() == pytest.approx(50 + 60**2 / 12, rel=0.1)


def test_overlaid_events_are_whole_turned_and_mirrored(pool):
    found, number, hardest = draw(Pileup("card", (1.0, 1.0), 40), pool, everywhere(3000), 3000, RNG(2))
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
    found, number, hardest = draw(Pileup("card", (5.0, 5.0), 40), pool, everywhere(200), 200, RNG(3))
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
    settings = Pileup("card", (5.0, 5.0), 40)
    places = settings.places((0.5, 0.0, 0.5), "sample")
    assert places.tolist() == [0, 20, 20, 40]
    part = np.arange(300) % 2 * 2
    _, number, hardest = draw(settings, pool, np.stack([places[:-1], places[1:]], axis=1)[part], 300, RNG(5))
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
    found = level1_objects(overlay(photons, muons), n, Response(), rng)
    assert (found["photons"][:, 0, 0] > 0).mean() > 0.99
    assert np.median(found["photons"][:, 0, 0]) == pytest.approx(60, rel=0.03)
    assert np.abs(found["photons"][:, 0, 1] - 0.5).max() <= D_ETA
    assert (found["photons"][:, 1:] == 0).all()
    seen = found["muons"][:, 0, 0] > 0
    assert seen.mean() == pytest.approx(0.95, abs=4 * np.sqrt(0.05 / n))
    assert np.std(found["muons"][seen, 0, 0]) == pytest.approx(4, rel=0.2)
    # the photon is a jet, too, and its momentum is missing on the other side; the muon's is not
    np.testing.assert_array_equal(found["jet"], found["jets"][:, 0])
    assert np.median(found["jet"][:, 0]) == pytest.approx(60, rel=0.03)
    assert np.median(found["met"][:, 0]) == pytest.approx(60, rel=0.03)
    assert np.cos(found["met"][:, 1] - phi).max() < -0.99


def test_a_photon_in_hadrons_is_no_egamma():
    n, rng = 200, RNG(5)
    photons = particles(np.arange(n), PHOTON, 60.0, 0.5, 0.0)
    around = particles(np.repeat(np.arange(n), 8), CHARGED_HADRON, 15.0, 0.5, np.tile(np.linspace(-0.3, 0.3, 8), n))
    assert (level1_objects(overlay(photons, around), n, Response(), rng)["photons"] == 0).all()


def test_towers_keep_the_energy_and_lose_what_curls():
    n = 500
    settings = Response()
    hard = particles(np.arange(n), CHARGED_HADRON, 50.0, 0.3, 0.1, charged=True)
    ecal, hcal = towers(hard, n, settings, RNG(6))
    assert ecal.max() == 0
    assert hcal.sum(axis=(1, 2)).mean() == pytest.approx(50, rel=0.02)
    soft = particles(np.arange(n), CHARGED_HADRON, 0.6, 0.3, 0.1, charged=True)
    assert sum(grid.sum() for grid in towers(soft, n, settings, RNG(6))) == 0


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
    # more collisions: more noise in the missing momentum
    few, many = (np.median(crossings.met[chosen, 0]) for chosen in (pileup < 40, pileup > 60))
    assert many > 1.2 * few


def test_the_same_seed_gives_the_same_crossings(crossings, card):
    again, other = zero_bias(card, 21), zero_bias(card, 22)
    for name in ARRAYS:
        assert getattr(again, name).tobytes() == getattr(crossings, name).tobytes(), name
    np.testing.assert_array_equal(again.facts["pileup"], crossings.facts["pileup"])
    assert not np.array_equal(other.met, crossings.met)


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
    assert (crossing.others.card, crossing.others.mean, crossing.others.pool) == ("mb.cmnd", (1.0, 3.0), 9)
    with pytest.raises(FrozenInstanceError):
        settings.leading = 1
