"""Maps of anomalous events: planted kinds are found apart, whatever their size; indices have known answers."""

import sys

import numpy as np
import pytest
import torch

import hepad
from hepad.errors import InputError
from hepad.evaluation import anomaly_map
from hepad.evaluation.anomaly_map import AnomalyMap, clustered, features, jaccard

pytest.importorskip("umap")
KINDS, EACH = 3, 70


@pytest.fixture(scope="module")
def fitted():
    """Principal components of background (800, 8) that varies in three directions of eight."""
    rng = np.random.default_rng(1)
    directions = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    background = rng.normal(size=(800, 3)) @ directions[:3] + 0.05 * rng.normal(size=(800, 8))
    return hepad.PCAReconstruction(components=3).fit(background), directions


@pytest.fixture(scope="module")
def planted(fitted):
    """Events (210, 8) that leave the plane in one of three directions each, by different lengths, and their kind."""
    rng, (_, directions) = np.random.default_rng(2), fitted
    kind = rng.permutation(np.repeat(np.arange(KINDS), EACH))
    length = rng.uniform(2, 20, size=(len(kind), 1))
    x = rng.normal(size=(len(kind), 3)) @ directions[:3] + length * directions[3 + kind]
    return x + 0.05 * rng.normal(size=x.shape), kind


@pytest.fixture(scope="module")
def made(fitted, planted):
    return hepad.anomaly_map(fitted[0], planted[0], seeds=3)


def test_kinds_that_were_planted_are_clusters(made, planted):
    kind = planted[1]
    assert (made.clusters >= 0).mean() > 0.9
    for cluster in range(KINDS):
        counts = np.bincount(kind[made.clusters == cluster], minlength=KINDS)
        assert counts.max() / counts.sum() > 0.97
    assert made.clusters.max() == KINDS - 1
    assert made.agreement[0] > 0.9
    assert min(made.again(cluster) for cluster in range(KINDS)) > 0.9


def test_a_map_is_the_same_for_the_same_seed(made, fitted, planted):
    again = hepad.anomaly_map(fitted[0], planted[0], seeds=1)
    np.testing.assert_array_equal(again.places, made.places)
    np.testing.assert_array_equal(again.clusters, made.others[0])
    assert np.isnan(again.agreement).all()
    assert np.isnan(again.again(0))


def test_residuals_have_length_one_and_are_what_is_not_reconstructed(fitted, planted):
    detector, (x, _) = fitted[0], planted
    module, tensor = detector.seen(x)
    found = features(module, tensor).numpy()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    normal, rebuilt = (module.normalise(of).numpy() for of in (tensor, module.reconstruct(tensor)))
    cosine = (found * (normal - rebuilt)).sum(axis=1) / np.linalg.norm(normal - rebuilt, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-4)
    np.testing.assert_allclose(features(module, tensor, "inputs"), normal)


def test_indices_of_clusters_that_were_counted_by_hand():
    a = np.array([0, 0, 0, 1, 1, -1])
    b = np.array([0, 0, 1, 1, 1, -1])
    found = AnomalyMap(np.zeros((6, 2)), a, np.stack([a, b]), np.zeros((6, 1)))
    # pairs: together in both 1 + 1 = 2, in a 3 + 1 = 4, in b 1 + 3 = 4, of 15: E = 16 / 15
    assert found.agreement[0] == pytest.approx((2 - 16 / 15) / (4 - 16 / 15))
    assert found.again(0) == pytest.approx(2 / 3)
    assert found.again(1) == pytest.approx(2 / 3)
    assert jaccard(a == 0, b == 1) == pytest.approx(1 / 5)


def test_agreement_is_nought_on_average_by_chance():
    rng = np.random.default_rng(0)
    found = [
        AnomalyMap(np.zeros((60, 2)), of[0], of, np.zeros((60, 1))).agreement[0]
        for of in rng.integers(0, 4, size=(300, 2, 60))
    ]  # fmt: skip
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_clusters_are_numbered_by_their_sizes():
    rng = np.random.default_rng(3)
    sizes = [30, 90, 50]
    places = np.concatenate([rng.normal(10 * k, 0.3, size=(n, 2)) for k, n in enumerate(sizes)])
    found = clustered(np.concatenate([places, [[500, 500]]]))
    assert [np.bincount(part[part >= 0]).argmax() for part in np.split(found[:-1], np.cumsum(sizes)[:-1])] == [2, 0, 1]
    assert found[-1] == -1


def test_pixels_are_mapped_by_their_principal_components(make_events):
    background, others = make_events(400, 5), make_events(150, 6, prongs=2)
    detector = hepad.PCAReconstruction(representation=hepad.JetImage(size=8), components=4).fit(background)
    found = hepad.anomaly_map(detector, others, seeds=1)
    assert found.places.shape == (150, 2)
    turned = anomaly_map.reduced(features(*detector.seen(others)).numpy())
    assert turned.shape == (150, 8)
    np.testing.assert_allclose(turned.T @ turned - np.diag((turned**2).sum(0)), 0, atol=1e-4)  # uncorrelated


def test_codes_are_those_of_the_detector(make_events):
    background = make_events(300, 7)
    detector = hepad.AE(
        representation=hepad.EventVector(["mass", "girth", "tau21"]), training={"steps": 300},
        autoencoder={"hidden_dims": [32], "latent_dim": 2, "sphere": False},
    ).fit(background)  # fmt: skip
    module, x = detector.seen(background)
    found = features(module, x, "latents")
    np.testing.assert_array_equal(found, module.model.encode(module.normalise(x)).detach())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "latents"}, r"PCAReconstruction has no code that a map is made of\. Take by='inputs'"),
        ({"by": "energies"}, "energies"),
        ({"seeds": 0}, "seeds = 0 must be a whole number"),
        ({"events": 20}, "20 events are too few for a map; 50 are needed"),
    ],
)
def test_what_cannot_be_mapped_is_said(fitted, planted, change, message):
    arguments = {"events": len(planted[0])} | change
    with pytest.raises(InputError, match=message):
        hepad.anomaly_map(fitted[0], planted[0][: arguments.pop("events")], **arguments)


def test_a_detector_that_does_not_reconstruct_is_named(planted):
    detector = hepad.Mixture(n_gaussians=1).fit(planted[0])
    with pytest.raises(InputError, match="Mixture does not reconstruct events"):
        hepad.anomaly_map(detector, planted[0])
    with pytest.raises(InputError, match="list is no detector"):
        hepad.anomaly_map([], planted[0])


def test_umap_that_is_not_there_is_named(fitted, planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install 'hepad\[map\]'"):
        hepad.anomaly_map(fitted[0], planted[0], seeds=1)


def test_columns_stay_beside_the_code_of_pixels(make_events):
    both = hepad.Joined([hepad.JetImage(size=8), hepad.EventVector(["mass", "girth"])])
    background = make_events(300, 11)
    detector = hepad.Mixture(representation=both, n_gaussians=1).fit(background)
    module, x = detector.seen(background)
    what = features(module, x, "inputs").numpy()
    z = anomaly_map.coded(what, module, "inputs")
    assert z.shape == (300, 10)
    np.testing.assert_array_equal(z[:, 8:], what[:, 64:])
    assert z[:, 0].std() == pytest.approx(1, rel=1e-3)


def test_units_of_a_combination_do_not_matter():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(300, 2)) * [1, 1000]
    members = [hepad.Mixture(n_gaussians=1).fit(x), hepad.PCAReconstruction(components=1).fit(x)]
    detector = hepad.Combination(members=members).fit(x)
    module, tensor = detector.seen(x)
    z = anomaly_map.coded(features(module, tensor, "inputs").numpy(), module, "inputs")
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-3)


def test_events_that_are_not_finite_and_umap_that_is_broken_are_named(fitted, planted, monkeypatch):
    strange = np.tile(planted[0][:1], (60, 1))
    monkeypatch.setattr(anomaly_map, "features", lambda module, x, by: x * np.inf)
    with pytest.raises(InputError, match="60 of 60 events have inputs that are not finite"):
        hepad.anomaly_map(fitted[0], strange, by="inputs", seeds=1)

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "umap":
                raise ImportError("needs another numpy")

    monkeypatch.delitem(sys.modules, "umap", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(InputError, match="umap-learn cannot be imported: needs another numpy"):
        anomaly_map.umap_class()


def test_no_clusters_agree_with_nothing():
    none = np.full(60, -1)
    assert np.isnan(AnomalyMap(np.zeros((60, 2)), none, np.stack([none, none]), np.zeros((60, 1))).agreement).all()


def test_the_threads_of_torch_stay_as_they_were():
    class Greedy:
        """Sets the number of threads, as numba does when it starts."""

        def __init__(self, **_):
            pass

        def fit_transform(self, z):
            torch.set_num_threads(3)
            return z[:, :2]

    places = anomaly_map.placed(Greedy, np.eye(4), 1)
    np.testing.assert_array_equal(places, np.eye(4)[:, :2])
    assert torch.get_num_threads() == 1
