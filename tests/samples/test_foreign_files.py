"""ROOT files that hepad once read wrongly or refused for the wrong reason: each gives the right value."""

import os
from pathlib import Path

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.events.kinematics import sum_four_vectors
from hepad.representations import EventVector
from hepad.samples.readers.ntuple import Mapped
from hepad.samples.sources import check_files, read

FOREIGN = Path(os.environ.get("HEPAD_DATA", "")) / "foreign"
pytestmark = pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="HEPAD_DATA is not set")


def load(name, **options):
    return read({"files": str(FOREIGN / name), **options}, name="s", selection="any", split=(0.6, 0.1, 0.3))


@pytest.mark.parametrize(("name", "n_pv", "negative"), [("nano_v12_uchar", 30, 12), ("ok_nano_v9", None, None)])
def test_nanoaod_of_any_version(name, n_pv, negative):
    events = load(f"{name}.root")
    assert len(events) == 60
    np.testing.assert_allclose(events.jet[:2, 0], [499.590, 344.395], atol=1e-3)
    assert (events.constituents[..., 0] > 0).sum() == 1165
    if n_pv:
        assert (events.facts["n_pv"] == n_pv).all()
        assert (events.weight < 0).sum() == negative


def test_generator_jets_of_particles_without_momentum():
    events = load("delphes_genjet_P_unset.root", jet="GenJet")
    assert len(events) == 60
    sums = sum_four_vectors(events.constituents)
    np.testing.assert_allclose(sums[:, 1], events.jet[:, 1], atol=1e-3)
    np.testing.assert_allclose(sums[:, 3] / events.jet[:, 3], 1, atol=5e-3)


def test_a_static_eventinfo():
    events = load("physlite_static_eventinfo.root")
    assert len(events) == 60
    np.testing.assert_allclose(events.jet[:2, 0], [499.59, 344.39], atol=0.01)
    assert (events.weight == 2).all()
    assert (events.facts["pileup"] == 33.5).all()


def test_events_of_many_objects():
    events = load("nano_many_objects.root")
    expected = np.genfromtxt(FOREIGN / "nano_many_objects.expected.csv", delimiter=",", names=True)
    found = EventVector(["n_jets", "ht", "n_photons"])(events).numpy()
    for i, name in enumerate(("n_jets", "ht", "n_photons")):
        np.testing.assert_allclose(found[:, i], expected[name], rtol=1e-5)
    (counts,) = events.meta["counts"].values()
    assert counts["softest objects cut off"] == 0


def test_a_leaf_name_of_21_branches():
    path = FOREIGN / "ambiguous_leaf_names.root"
    jets = {f"constituent_{x.lower()}": f"good_jets_p4.fCoordinates.f{x}" for x in ("Pt", "Eta", "Phi")}
    with pytest.raises(
        InputError, match=r"'fCoordinates\.fPt' is the name of 21 branches: b0/fCoordinates\.fPt, .*met_p4/"
    ):
        check_files({"files": str(path), "tree": "variable", "branches": jets | {"truth_x": "fCoordinates.fPt"}})
    for name in (
        "gen_jet0/fCoordinates.fPt",
        "gen_jet0/fCoordinates/fCoordinates.fPt",
        "0 + gen_jet0/fCoordinates.fPt",
    ):
        (block,) = Mapped(tree="variable", branches=jets | {"truth_x": name}).blocks(str(path), 100)
        assert not block.truth["x"][:3].any()
    (block,) = Mapped(tree="variable", branches=jets | {"truth_x": "met_p4/fCoordinates.fPt"}).blocks(str(path), 100)
    np.testing.assert_allclose(block.truth["x"][:3], [69.96958, 25.14991, 131.66693], rtol=1e-5)
