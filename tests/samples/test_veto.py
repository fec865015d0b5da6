"""Events given up early in their shower: bounds with known answers, and what is lost of a sample."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.samples.simulation import veto
from hepad.samples.simulation.settings import Generation

CARDS = Path(__file__).parents[2] / "config" / "cards"
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}


@pytest.mark.parametrize(
    ("partons", "bound"),
    [
        ([], 0),
        ([(100, 0, 0)], 100),
        ([(100, 0, 0), (50, 0.5, 0.5), (30, -0.6, -0.6)], 150),  # the third is 0.85 from the first
        ([(100, 1, math.pi - 0.1), (50, 1, 0.1 - math.pi)], 150),  # phi is an angle
        ([(100, 1, 0), (90, -1, math.pi)], 100),  # back to back
        ([(40, -0.7, 0), (40, 0, 0), (40, 0.7, 0)], 120),  # the cone is about the middle one
    ],
)
def test_the_hardest_cone_of_partons_bounds_the_jets(partons, bound):
    assert veto.may_reach(bound, partons, radius=0.8)
    assert not veto.may_reach(bound + 0.01, partons, radius=0.8)


def test_no_product_of_a_decay_has_more_transverse_momentum_than_the_bound():
    """Two-body decays of a particle of 173 GeV in all directions, one product of 0 to 80 GeV, boosted along x."""
    rng = np.random.default_rng(0)
    mass, pt = 173.0, rng.uniform(0, 500, 20_000)
    one = rng.uniform(0, 80, 20_000)
    energy = (mass**2 + one**2) / (2 * mass)
    momentum = np.sqrt(energy**2 - one**2)
    cosine, azimuth = rng.uniform(-1, 1, 20_000), rng.uniform(0, 2 * np.pi, 20_000)
    sine = np.sqrt(1 - cosine**2)
    along, across = momentum * sine * np.cos(azimuth), momentum * sine * np.sin(azimuth)
    boosted = (along * np.hypot(mass, pt) + energy * pt) / mass
    largest = np.hypot(boosted, across)
    bound = (pt + np.hypot(mass, pt)) / 2
    assert (largest <= bound * (1 + 1e-9)).all()
    assert largest[pt > 300].max() > 0.97 * bound[pt > 300].max()  # and it is not far from it


def particle(pt, mass, y, *, final=True):
    methods = {"pT": pt, "mT": math.hypot(mass, pt), "y": y, "phi": 0.5, "isFinal": final}
    return SimpleNamespace(**{name: (lambda value=value: value) for name, value in methods.items()})


def test_a_heavy_particle_at_rest_is_bounded_by_half_its_mass():
    event = [particle(0, 2000, 0.1), particle(3, 0, 1), particle(20, 0, 2), particle(90, 0, 3, final=False)]
    assert veto.bounds(event) == [(1000, 0.1, 0.5), (20, 2, 0.5)]


def test_resonances_without_recoil_are_kept(monkeypatch):
    """A Z' of 2 TeV that decays in the dark is all that there is when the hook is called: none is given up."""
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    samples = []
    for fraction in (veto.FRACTION, 0.0):
        monkeypatch.setattr(veto, "FRACTION", fraction)
        samples.append(generate(Generation(CARDS / "semivisible.cmnd", WINDOW, leading=2), 40, 3))
    np.testing.assert_array_equal(samples[0].jet, samples[1].jet)


def test_pile_up_and_whole_events_are_generated_to_their_end():
    """Pile-up makes jets harder, and the underlying event soft ones."""
    card = CARDS / "qcd.cmnd"
    assert veto.lower_edge(Generation(card, WINDOW)) == 550
    assert veto.lower_edge(Generation(card, "any")) == 0
    assert veto.lower_edge(Generation(card, {"pt": [60, 200]})) == 0
    pileup = {"card": str(CARDS / "minimum_bias.cmnd"), "mean": 20, "pool": 50}
    assert veto.lower_edge(Generation(card, WINDOW, pileup=pileup)) == 0


def test_without_pythia_it_is_said_what_to_install(monkeypatch):
    from hepad.samples.simulation.pythia import generate

    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(InputError, match=r"needs Pythia 8: pip install 'hepad\[simulate\]'"):
        generate(Generation(CARDS / "qcd.cmnd", WINDOW), 1, 1)


def test_cross_section_times_acceptance_is_that_of_all_events(monkeypatch):
    """Of σ only the share of the remaining events is left: that of the same events by their numbers."""
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    samples = []
    for fraction in (veto.FRACTION, 0.0):  # which gives up none
        monkeypatch.setattr(veto, "FRACTION", fraction)
        samples.append(generate(Generation(CARDS / "qcd.cmnd", WINDOW, leading=2), 90, 3).meta)
    some, every = samples
    assert every["n_given_up"] == 0
    share = some["n_tried"] / (some["n_tried"] + some["n_given_up"])
    assert 0.3 < share < 0.8
    error = np.hypot(some["cross_section_error_pb"] / some["cross_section_pb"],
                     every["cross_section_error_pb"] / every["cross_section_pb"])  # fmt: skip
    assert error < 0.1
    ratio = some["cross_section_pb"] / every["cross_section_pb"]
    assert ratio == pytest.approx(share, rel=3.5 * error)
    assert some["acceptance"] > 1.5 * every["acceptance"]


def test_events_with_weights_are_all_generated(tmp_path):
    """Pythia divides σ by numbers of events; those given up have larger weights than the others."""
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation.pythia import generate

    card = tmp_path / "biased.cmnd"
    card.write_text((CARDS / "qcd.cmnd").read_text() + "\nPhaseSpace:bias2Selection = on\n")
    assert generate(Generation(card, WINDOW, leading=2), 20, 3).meta["n_given_up"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("qcd", {}),
        ("top", {"matching": {"particle": 6, "radius": 0.8}}),
        ("qcd", {"response": True}),
    ],
    ids=["qcd", "top", "qcd with a response"],
)
def test_jets_that_the_veto_would_lose_are_few(name, settings, monkeypatch, tmp_path):
    """Of 300 jets at most two come from events that it gives up: one or two in 1,000 are expected. Cards from 330
    GeV, so that it has work; events one by one, since Pythia calls the hook again where an event fails later."""
    pytest.importorskip("pythia8mc")
    from hepad.samples.simulation import pythia

    given_up, of_event, jets = [], [], []
    may_reach, probe_jets = veto.may_reach, pythia._probe_jets

    def recorded(pt, partons, radius):
        given_up.append(not may_reach(pt, partons, radius))
        return True

    def of_one_event(batch, *args, **named):
        found = probe_jets(batch, *args, **named)
        of_event.append(given_up[-1])
        jets.append(len(found[0]))
        return found

    monkeypatch.setattr(veto, "may_reach", recorded)
    monkeypatch.setattr(pythia, "_probe_jets", of_one_event)
    monkeypatch.setattr(pythia, "BATCH", 1)
    card = tmp_path / "low.cmnd"
    card.write_text((CARDS / f"{name}.cmnd").read_text() + "\nPhaseSpace:pTHatMin = 330.\n")
    pythia.generate(Generation(card, WINDOW, leading=2, **settings), 300, 5)
    assert len(of_event) > 1000
    assert np.mean(of_event) > 0.05, "the veto has no work here"
    assert np.sum(jets, where=of_event) <= 2
