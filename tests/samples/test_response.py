"""Detector response: efficiencies, resolutions, energy scale, towers, determinism."""

import numpy as np
import pytest

from hepad.samples.clustering import CHARGED_HADRON, ELECTRON, MUON, NEUTRAL_HADRON, PHOTON, Particles
from hepad.samples.simulation.response import Response, find_tracks, merge_cells, respond, smear_tracks

SETTINGS = Response()


def beam(n, kind, pt, eta, *, charged, n_events=None, mass=0.0):
    """n particles of one pt and η, at random φ, one event each unless ``n_events``."""
    event = np.arange(n) if n_events is None else np.sort(np.arange(n) % n_events)
    phi = np.random.default_rng(5).uniform(-np.pi, np.pi, n)
    p = np.stack([np.full(n, pt), np.full(n, eta), phi, np.full(n, mass)], axis=-1)
    return Particles(event, np.full(n, kind, np.int32), np.full(n, charged), p)


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "expected"),
    [
        (CHARGED_HADRON, 0.05, 0.0, 0.0),
        (CHARGED_HADRON, 0.5, 1.0, 0.70),
        (CHARGED_HADRON, 20.0, -1.0, 0.95),
        (CHARGED_HADRON, 0.5, 2.0, 0.60),
        (CHARGED_HADRON, 200.0, -2.2, 0.85),
        (CHARGED_HADRON, 20.0, 2.6, 0.0),
        (ELECTRON, 20.0, 2.0, 0.83),
        (ELECTRON, 200.0, 0.2, 0.99),
        (MUON, 0.5, -0.2, 0.75),
        (MUON, 20.0, -2.0, 0.98),
        (MUON, 20.0, 2.6, 0.0),
    ],
)
def test_track_efficiency(kind, pt, eta, expected):
    n = 40_000
    found = find_tracks(beam(n, kind, pt, eta, charged=True), SETTINGS, np.random.default_rng(1)).mean()
    assert found == pytest.approx(expected, abs=5 * np.sqrt(0.25 / n))


def test_neutrals_leave_no_track():
    assert not find_tracks(beam(100, PHOTON, 20, 0, charged=False), SETTINGS, np.random.default_rng(1)).any()


@pytest.mark.parametrize(
    ("pt", "eta", "a", "b"), [(5, 0.2, 0.01, 1.0e-4), (100, -1.0, 0.015, 1.5e-4), (50, 2.2, 0.025, 3.5e-4)]
)
def test_the_tracker_alone_measures_muons(pt, eta, a, b):
    width = np.hypot(a, b * pt)
    check_tracks(MUON, pt, eta, width)


@pytest.mark.parametrize(
    ("kind", "pt", "eta", "width"),
    [  # of tracker and of calorimeter, by hand
        (CHARGED_HADRON, 5, 0.2, (0.0604**-2 + 0.3889**-2) ** -0.5),  # soft: the tracker
        (CHARGED_HADRON, 300, 0.2, (0.3946**-2 + 0.0427**-2) ** -0.5),  # hard: the HCAL
        (CHARGED_HADRON, 50, 2.2, (0.2942**-2 + 0.0684**-2) ** -0.5),
        (ELECTRON, 5, -1.0, (0.0507**-2 + 0.0364**-2) ** -0.5),  # the ECAL
    ],
)
def test_tracker_and_calorimeter_are_weighed(kind, pt, eta, width):
    check_tracks(kind, pt, eta, width)


def check_tracks(kind, pt, eta, width):
    n = 100_000
    p = beam(n, kind, pt, eta, charged=True).p
    smeared = smear_tracks(p, np.full(n, kind), SETTINGS, np.random.default_rng(2))
    assert smeared[:, 0].std() / pt == pytest.approx(width, rel=0.03)
    assert smeared[:, 0].mean() / pt == pytest.approx(1, abs=5 * width / np.sqrt(n))
    np.testing.assert_array_equal(smeared[:, 1:], p[:, 1:])


@pytest.mark.parametrize(
    ("kind", "eta", "c", "s", "n"),
    [
        (PHOTON, 1.0, 0.0017, 0.101, 0.0),
        (PHOTON, -4.0, 0.035, 0.285, 0.0),
        (NEUTRAL_HADRON, 0.5, 0.0302, 0.5205, 1.59),
        (NEUTRAL_HADRON, 2.9, 0.05, 0.706, 0.0),
        (NEUTRAL_HADRON, -4.0, 0.0942, 1.0, 0.0),
    ],
)
def test_tower_resolution_and_scale(kind, eta, c, s, n):
    number, energy = 50_000, 100.0
    out = respond(beam(number, kind, energy / np.cosh(eta), eta, charged=False), SETTINGS, np.random.default_rng(3))
    seen = out.p[:, 0] * np.cosh(out.p[:, 1])
    width = np.sqrt((c * energy) ** 2 + s**2 * energy + n**2)
    assert len(seen) == number
    assert np.all(out.kind == kind)
    assert seen.std() == pytest.approx(width, rel=0.03)
    assert seen.mean() == pytest.approx(energy, abs=5 * width / np.sqrt(number))


@pytest.mark.parametrize(
    ("kind", "share"), [(NEUTRAL_HADRON, (0.001, 0.1)), (PHOTON, (0.3, 0.7))], ids=["HCAL", "ECAL"]
)
def test_thresholds(kind, share):
    """Towers of a true 0.5 GeV: the HCAL's lie below twice its noise, of the ECAL's half exceed the threshold."""
    number = 5000
    low = respond(beam(number, kind, 0.5, 0.0, charged=False), SETTINGS, np.random.default_rng(4))
    energy = low.p[:, 0] * np.cosh(low.p[:, 1])
    noise = 2 * np.sqrt((0.0302 * energy) ** 2 + 0.5205**2 * energy + 1.59**2) if kind == NEUTRAL_HADRON else 0.5
    assert np.all(energy > noise)
    assert share[0] < len(energy) / number < share[1]


def test_towers_conserve_energy_and_merge_only_within_an_event_and_a_cell():
    rng = np.random.default_rng(6)
    n = 20_000
    event = rng.integers(0, 40, n)
    eta, phi, energy = rng.uniform(-4.8, 4.8, n), rng.uniform(-np.pi, np.pi, n), rng.exponential(5, n)
    for regions in (SETTINGS.ecal, SETTINGS.hcal):
        tower_event, _, centre_eta, centre_phi, merged = merge_cells(event, eta, phi, energy, regions)
        np.testing.assert_allclose(
            np.bincount(tower_event, merged, minlength=40), np.bincount(event, energy, minlength=40)
        )
        assert len(merged) < n
        assert np.all(np.abs(centre_phi) <= np.pi)
        assert np.all(np.abs(centre_eta) < 5.1)


def test_same_direction_merges_in_one_event_and_never_across_events():
    one = np.ones(6)
    event = np.array([0, 0, 0, 1, 1, 2])
    found_event, *_, energy = merge_cells(event, 0.05 * one, 1.0 * one, 10 * one, SETTINGS.hcal)
    np.testing.assert_array_equal(found_event, [0, 1, 2])
    np.testing.assert_allclose(energy, [30, 20, 10])


def test_cells_on_both_sides_of_zero_and_around_the_circle_are_distinct():
    eta, phi = np.array([-0.05, 0.05, 0.05, 0.05]), np.array([0.1, 0.1, np.pi - 0.01, -np.pi + 0.01])
    assert len(merge_cells(np.zeros(4, int), eta, phi, np.ones(4), SETTINGS.hcal)[0]) == 4


def test_charged_hadron_without_track_is_seen_by_the_calorimeter_and_a_muon_is_lost():
    hadrons = respond(beam(20_000, CHARGED_HADRON, 50, 1.0, charged=True), SETTINGS, np.random.default_rng(7))
    assert np.mean(hadrons.kind == NEUTRAL_HADRON) == pytest.approx(0.05, abs=0.01)
    assert hadrons.p[:, 0].mean() == pytest.approx(50, rel=0.01)
    muons = respond(beam(20_000, MUON, 50, 1.0, charged=True), SETTINGS, np.random.default_rng(7))
    assert set(muons.kind) == {MUON}
    assert len(muons.kind) == pytest.approx(19_800, abs=100)


def test_output_is_grouped_by_event_and_reproducible():
    particles = beam(3000, CHARGED_HADRON, 10, 1.2, charged=True, n_events=30)
    a, b = (respond(particles, SETTINGS, np.random.default_rng(8)) for _ in range(2))
    for first, second in zip(a, b, strict=True):
        np.testing.assert_array_equal(first, second)
    assert np.all(np.diff(a.event) >= 0)
    assert not np.array_equal(a.p, respond(particles, SETTINGS, np.random.default_rng(9)).p)
