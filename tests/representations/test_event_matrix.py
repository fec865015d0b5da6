"""Event matrices: what stands where, symmetries, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.detectors.normalisation import Normaliser
from hepad.errors import InputError
from hepad.representations import EventMatrix, build
from hepad.representations.event_matrix import FEATURES

COLLECTIONS = ("jets", "electrons", "muons", "photons")
SETS = [["px", "py", "eta", "mass"], ["pt", "eta", "phi", "mass"], ["energy"], ["px", "py", "pz", "energy"], FEATURES]


@pytest.fixture(scope="module")
def events(make_events):
    made = make_events(80, 5)
    rng = np.random.default_rng(5)
    return replace(made, b_tag=((rng.random(made.jets.shape[:2]) < 0.3) & (made.jets[..., 0] > 0)).astype(np.float32))


@pytest.fixture
def event(make_events):
    """One event by hand: two jets, two b jets, a muon, no electron, no photon."""
    jets = np.zeros((1, 5, 4), np.float32)
    jets[0, :4] = [(200, 0.5, 0.0, 20), (150, -1.0, np.pi / 2, 15), (90, 0.0, np.pi, 10), (40, 2.0, -1.0, 5)]
    one = make_events(1, 0)
    none = np.zeros((1, 2, 4), np.float32)
    muons = np.array([[[30, 0.2, 1.0, 0.1057]]], np.float32)
    met = np.array([[120, np.pi / 2]], np.float32)
    b_tag = np.array([[0, 1, 0, 1, 0]], np.float32)
    return replace(one, jets=jets, b_tag=b_tag, muons=muons, electrons=none, photons=none, met=met)


def test_every_row_of_one_event(event):
    matrix = EventMatrix(jets=3, b_jets=2, muons=1, electrons=1, photons=1)
    assert matrix.space.shape == (1, 9, 4)
    assert matrix.space.objects
    assert matrix.space.pixels == 0
    expected = [
        [200, 0, 0.5, 20], [-90, 0, 0, 10], [0, 0, 0, 0],
        [0, 150, -1, 15], [40 * np.cos(1), -40 * np.sin(1), 2, 5],
        [30 * np.cos(1), 30 * np.sin(1), 0.2, 0.1057], [0, 0, 0, 0], [0, 0, 0, 0],
        [0, 120, 0, 0],
    ]  # fmt: skip
    np.testing.assert_allclose(matrix(event)[0, 0], expected, rtol=1e-6, atol=2e-5)
    columns = np.array(matrix.space.columns).reshape(9, 4)
    assert columns[:, 0].tolist() == [
        "jet1_px", "jet2_px", "jet3_px", "b_jet1_px", "b_jet2_px", "muon1_px", "electron1_px", "photon1_px", "met_px",
    ]  # fmt: skip
    assert columns[4].tolist() == ["b_jet2_px", "b_jet2_py", "b_jet2_eta", "b_jet2_mass"]


def test_features_agree_with_each_other(events):
    x = dict(zip(FEATURES, EventMatrix(features=FEATURES)(events).double()[:, 0].movedim(-1, 0), strict=True))
    torch.testing.assert_close(x["px"].square() + x["py"].square(), x["pt"].square(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x["pz"], x["pt"] * x["eta"].sinh(), rtol=1e-5, atol=1e-6)
    energy = (x["px"].square() + x["py"].square() + x["pz"].square() + x["mass"].square()).sqrt()
    torch.testing.assert_close(x["energy"], energy, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x["pt"] * x["phi"].cos(), x["px"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("features", SETS)
def test_rows_of_zeros_are_exactly_the_absent_objects(events, features):
    """Also after the constants of a detector; the number of rows that are there is the number of objects."""
    matrix = EventMatrix(features=features, jets=6, b_jets=6)
    x = matrix(events)
    there = (x != 0).any(-1)[:, 0]
    count = sum((getattr(events, name)[..., 0] > 0).sum(axis=1) for name in COLLECTIONS) + 1
    np.testing.assert_array_equal(there.sum(1), count)
    assert there[:, -1].all()
    normalise = Normaliser(matrix.space)
    normalise.fit(x, torch.Generator())
    assert torch.equal((normalise(x) != 0).any(-1)[:, 0], there)
    torch.testing.assert_close(normalise.invert(normalise(x)), x, rtol=1e-5, atol=1e-3)


def test_a_massless_central_object_and_a_vanishing_met_are_there(event):
    photons = np.array([[[25, 0, 0, 0]]], np.float32)
    still = replace(event, photons=photons, met=np.zeros((1, 2), np.float32))
    for features in SETS:
        x = EventMatrix(features=features)(still)[0, 0]
        assert (x[-4:-1] != 0).any(1).tolist() == [True, False, False]
        assert 0 < x[-1].abs().max() < 1e-5


@pytest.mark.parametrize("b_jets", [0, 3])
def test_order_of_objects_and_padding(events, b_jets):
    """Also with two jets of the same pt."""
    events = replace(events, jets=events.jets.copy())
    events.jets[:, 1, 0] = events.jets[:, 2, 0] = 77
    matrix, rng = EventMatrix(b_jets=b_jets), np.random.default_rng(6)
    changed = {}
    for name in COLLECTIONS:
        padded = np.pad(getattr(events, name), ((0, 0), (0, 7), (0, 0)))
        order = rng.permuted(np.arange(padded.shape[1])[None].repeat(len(events), 0), axis=1)
        changed[name] = np.take_along_axis(padded, order[..., None], axis=1)
        if name == "jets":
            changed["b_tag"] = np.take_along_axis(np.pad(events.b_tag, ((0, 0), (0, 7))), order, axis=1)
    assert torch.equal(matrix(replace(events, **changed)), matrix(events))


def test_without_a_block_of_b_jets_tags_are_not_looked_at(events):
    matrix = EventMatrix(b_jets=0, jets=6, features=["pt"])
    assert torch.equal(matrix(events), matrix(replace(events, b_tag=None)))
    pt = matrix(events)[:, 0, :6, 0].numpy()
    np.testing.assert_array_equal(pt, -np.sort(-events.jets[..., 0], axis=1))
    assert "b_tag" not in matrix.needs
    assert EventMatrix().needs == {"jets", "b_tag", "muons", "electrons", "photons", "met"}
    assert EventMatrix(muons=0, photons=0, b_jets=0).needs == {"jets", "electrons", "met"}


def test_the_hardest_are_kept(event):
    x = EventMatrix(jets=1, b_jets=1, muons=0, electrons=0, photons=0, features=["pt"])(event)
    assert x.flatten().tolist() == [200, 150, 120]


def test_a_crossing_without_objects_is_its_missing_momentum_alone(events):
    """It is an event like any other: every detector of this space gives it a finite score."""
    hollow = {name: getattr(events, name).copy() for name in COLLECTIONS}
    for objects in hollow.values():
        objects[[3, 8]] = 0
    hollow = replace(events, **hollow)
    for features in SETS:
        matrix = EventMatrix(features=features)
        x = matrix(hollow)
        there = (x != 0).any(-1)[:, 0]
        assert there[[3, 8], -1].all()
        assert not there[[3, 8], :-1].any()
        others = np.delete(np.arange(len(events)), [3, 8])
        assert torch.equal(x[others], matrix(events)[others])
    spec = {"type": "Mixture", "arguments": {"n_gaussians": 1}}
    ae = {
        "type": "AE",
        "arguments": {"training": {"steps": 400}, "autoencoder": {"hidden_dims": [32], "latent_dim": 8}},
    }
    for detector in (detectors.build(entry, matrix.space, 0) for entry in (spec, ae)):
        detector.fit(x, x, generator=torch.Generator().manual_seed(1))
        assert detector.score(x).isfinite().all()
    assert (EventMatrix(jets=0, b_jets=0, electrons=0, photons=0)(hollow)[[3, 8], :, :-1] == 0).all()


def test_files_without_the_objects_are_refused(events):
    present = [*COLLECTIONS, "met"]
    untagged = replace(events, meta={"name": "pythia", "present": present})
    with pytest.raises(InputError, match=r"'pythia' has no b tags.*'b_jets: 0'"):
        EventMatrix()(untagged)
    assert EventMatrix(b_jets=0)(untagged).shape == (80, 1, 22, 4)
    with pytest.raises(InputError, match="has no met, photons"):
        EventMatrix(b_jets=0)(replace(events, meta={"present": ["jets", "electrons", "muons"]}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jets": -1}, "jets = -1"),
        ({"muons": 2.0}, r"muons: 2\.0 is not what it takes: a whole number"),
        ({"photons": True}, "photons: True is not what it takes"),
        ({"jets": 0, "b_jets": 0, "muons": 0, "electrons": 0, "photons": 0}, "every number of rows is 0"),
        ({"features": ["px", "py", "mas"]}, "'mas' is unknown. Did you mean 'mass'"),
        ({"features": ["pt", "pt"]}, "'pt' is listed twice"),
        ({"features": []}, "at least one name"),
        ({"features": "pt"}, "features: 'pt' is not what it takes: a list of texts"),
        ({"features": ["eta", "phi", "mass"]}, "can look like an absent one"),
        ({"features": ["px", "eta", "pz"]}, "Add 'pt', 'energy' or both"),
        ({"taus": 3}, "argument of EventMatrix 'taus' is unknown"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        build({"type": "EventMatrix", **arguments})
