"""Explanations: known answers of known scores, sums that hold, and causes that are planted and found again."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import hepad
from hepad.detectors import DETECTORS, Detector
from hepad.detectors.estimator import ESTIMATORS, estimator
from hepad.detectors.training.settings import Fit
from hepad.errors import InputError
from hepad.evaluation.explanation import without
from hepad.events.kinematics import sum_four_vectors

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import planted_causes

VECTOR = hepad.EventVector(["mass", "multiplicity", "girth", "tau21", "met"])
IMAGE = hepad.JetImage(size=20)
BOTH = hepad.Joined([hepad.JetImage(size=8), VECTOR])
CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.1}
ENERGY = {"pretraining": {"steps": 200}, "training": {"steps": 10, "batch": 64}, "visible_chain": CHAIN}
SHORT = {"autoencoder": {"hidden_dims": [64], "latent_dim": 3}}


class Formula(Detector):
    """A score of the entries in physical units, by ``formula``."""

    formula = staticmethod(lambda x: x.sum(1))

    def __init__(self, space):
        super().__init__(space)

    def _fit(self, train, valid, fitting):
        return Fit([], {})

    def anomaly(self, x):
        return self.formula(self.normalise.invert(x).flatten(1))


@pytest.fixture
def of_formula(vectors, monkeypatch):
    """The fitted detector of a formula; it can be saved, but is no part of the registry afterwards."""

    def made(formula):
        monkeypatch.setattr(Formula, "formula", staticmethod(formula))
        return estimator(Formula)().fit(vectors)

    yield made
    DETECTORS.pop("Formula", None)
    ESTIMATORS.pop("Formula", None)


@pytest.fixture(scope="module")
def vectors():
    """Correlated numbers (600, 4)."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(600, 4)) @ rng.normal(size=(4, 4)) + [1.0, 2.0, 0.0, -1.0]


@pytest.fixture(scope="module")
def jets(make_events):
    return make_events(1500, 5)


@pytest.fixture(scope="module")
def image_ae(jets):
    training = {"steps": 800, "batch": 64, "learning_rate": 3e-3}
    design = {"hidden_dims": [128], "latent_dim": 6}
    return hepad.AE(representation=IMAGE, autoencoder=design, training=training).fit(jets[:1200])


# sums and known answers


@pytest.mark.parametrize("method", ["occlusion", "gradients"])
def test_of_a_linear_score_each_entry_adds_its_slope_times_its_distance(method, vectors, of_formula):
    slopes = torch.tensor([2.0, -1.0, 0.0, 0.5])
    found = hepad.explain(of_formula(lambda x: x @ slopes), vectors[:50] + 3, vectors, method=method)
    expected = slopes.numpy() * (vectors[:50] + 3 - vectors.mean(0))
    np.testing.assert_allclose(found.attribution, expected, atol=2e-5)
    np.testing.assert_allclose(found.reference, vectors.mean(0) @ slopes.numpy(), atol=1e-5)
    assert found.names == ("x1", "x2", "x3", "x4")
    np.testing.assert_array_equal(found.variables["x2"], found.attribution[:, 1])
    assert found.pixels.shape == (50, 0)


def test_a_product_is_shared_by_gradients_and_counted_twice_by_occlusion(vectors, of_formula):
    """Of s = u v with u and v beside a mean of zero: gradients give each half of it, occlusion each all of it."""
    mean = torch.from_numpy(vectors.mean(0)).float()
    detector = of_formula(lambda x: (x - mean)[:, 0] * (x - mean)[:, 1])
    product = np.prod((vectors[:40] - vectors.mean(0))[:, :2], 1)
    for method, share in (("gradients", 0.5), ("occlusion", 1.0)):
        found = hepad.explain(detector, vectors[:40], vectors, method=method).attribution
        expected = share * product[:, None] * [1, 1, 0, 0]
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(product).max())


@pytest.mark.parametrize(
    "detector",
    [
        hepad.Mixture(n_gaussians=4),
        hepad.FlowDensity(kind="MAF", transforms=2, training={"steps": 50}),
        hepad.IGEBM(training={"steps": 30, "batch": 64}, visible_chain=CHAIN),
        hepad.ConvVAE(network="dense", hidden_dims=[32], latent_dim=2, score="elbo", training={"steps": 200}),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_gradients_add_up_to_the_change_of_the_score_to_a_per_mille(detector, vectors):
    detector.fit(vectors[:500])
    far = vectors[500:] + 5 * vectors.std(0) * np.array([1, 0, 0, 1])
    found = hepad.explain(detector, far, vectors[:500], method="gradients")
    np.testing.assert_array_equal(found.score, detector.score(far))
    np.testing.assert_allclose(found.reference, detector.score(vectors[:500].mean(0, keepdims=True))[0], rtol=1e-5)
    change, sizes = found.score - found.reference, np.abs(found.attribution).sum(1)
    np.testing.assert_array_less(np.abs(found.attribution.sum(1) - change), 1.01e-3 * sizes)
    assert np.median(np.abs(found.attribution.sum(1) / change - 1)) < 1e-3


@pytest.mark.parametrize(
    "detector",
    [
        hepad.AE(**SHORT, training={"steps": 200}),
        hepad.PCAReconstruction(components=2),
        hepad.ConvVAE(network="dense", hidden_dims=[32], latent_dim=2, training={"steps": 300}),
        hepad.NAE(**SHORT, **ENERGY, start="data"),
        hepad.MPDR(**SHORT, **ENERGY, latent_chain=CHAIN),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_terms_add_up_to_the_score_and_are_those_of_the_reconstruction(detector, vectors):
    detector.fit(vectors[:500])
    found = hepad.explain(detector, vectors[500:], method="terms")
    np.testing.assert_allclose(found.attribution.sum(1, dtype=np.float64), detector.score(vectors[500:]), rtol=1e-5)
    module, x = detector.seen(vectors[500:])
    squares = ((x - module.reconstruct(x)) / module.normalise.scale).square().numpy() / 4
    e0 = module.energy.scale.item() if hasattr(module, "energy") else 1
    np.testing.assert_allclose(found.attribution, squares / e0, rtol=1e-3, atol=1e-6)
    assert (found.reference == 0).all()


def test_a_loaded_detector_says_the_same(vectors, tmp_path):
    detector = hepad.NearestNeighbours(k=3).fit(vectors)
    detector.save(tmp_path / "m.safetensors")
    loaded = hepad.load(tmp_path / "m.safetensors")
    both = [hepad.explain(d, vectors[:9] + 1, vectors, method="occlusion") for d in (detector, loaded)]
    np.testing.assert_array_equal(both[0].attribution, both[1].attribution)
    by_hand = np.tile(vectors[:9] + 1, (4, 1, 1))
    for k in range(4):
        by_hand[k, :, k] = vectors.mean(0)[k]
    expected = detector.score(vectors[:9] + 1) - np.stack([detector.score(x) for x in by_hand])
    np.testing.assert_allclose(both[0].attribution, expected.T, atol=1e-5)


def test_pixels_and_variables_of_what_is_joined(jets):
    detector = hepad.Mixture(representation=BOTH, n_gaussians=1, n_components=2).fit(jets[:300])
    found = hepad.explain(detector, jets[300:310], jets[:300])
    assert (found.attribution.shape, found.pixels.shape) == ((10, 64 + 5), (10, 64))
    assert tuple(found.variables) == VECTOR.variables
    np.testing.assert_array_equal(found.variables["met"], found.attribution[:, -1])


def test_an_object_that_is_not_there_adds_nothing(jets):
    matrix = hepad.EventMatrix(jets=4, b_jets=0, muons=2, electrons=2, photons=0)
    detector = hepad.AE(representation=matrix, **SHORT, training={"steps": 100}).fit(jets[:400])
    x = matrix(jets[400:440]).numpy()
    absent = np.broadcast_to((x == 0).all(-1, keepdims=True), x.shape)
    for method in ("occlusion", "gradients"):
        found = hepad.explain(detector, jets[400:440], jets[:400], method=method)
        assert 0 < absent.sum() < absent.size
        assert (found.attribution[absent] == 0).all()
        momentum = found.attribution[..., 0]  # px, which is never that of the mean, as an electron's mass is
        assert (momentum[~absent[..., 0]] != 0).all()
        assert found.variables["met_px"].shape == (40,)


# constituents


def variable(name, jets):
    return hepad.Variable(representation=hepad.EventVector([name, "girth"]), variable=name).fit(jets)


def test_each_constituent_adds_one_to_the_multiplicity(jets):
    found = hepad.explain(variable("multiplicity", jets), jets[:20], method="constituents")
    there = jets.constituents[:20, :, 0] > 0
    np.testing.assert_allclose(found.attribution[there], 1, atol=1e-4)
    assert np.isnan(found.attribution[~there]).all()
    assert found.names == ()


@pytest.mark.parametrize("name", ["mass", "ht", "met", "jet_pt"])
def test_the_event_without_a_constituent_is_one_event(name, jets):
    """The jet's mass, its pT, and H_T follow; the missing momentum stays. By a loop over constituents."""
    detector, few = variable(name, jets), jets[:4]
    found = hepad.explain(detector, few, method="constituents").attribution
    for i, k in np.argwhere(few.constituents[..., 0] > 0):
        rest = np.delete(few.constituents[i], k, 0)
        jet = sum_four_vectors(rest)
        others = few.jets[i, 1:, 0]
        after = {"mass": jet[3], "jet_pt": jet[0], "met": few.met[i, 0], "ht": jet[0] + others[others > 30].sum()}
        before = detector.score(few[i : i + 1])[0]
        assert found[i, k] == pytest.approx(before - after[name], abs=2e-3 * max(1.0, float(before) / 100))


def test_those_within_the_radius_go_together(jets):
    found = hepad.explain(variable("multiplicity", jets), jets[:10], method="constituents", radius=0.1).attribution
    for i, k in np.argwhere(jets.constituents[:10, :, 0] > 0):
        d = jets.constituents[i, :, 1:3] - jets.constituents[i, k, 1:3]
        d[:, 1] = (d[:, 1] + np.pi) % (2 * np.pi) - np.pi
        near = (np.hypot(*d.T) < 0.1) & (jets.constituents[i, :, 0] > 0)
        assert found[i, k] == pytest.approx(near.sum(), abs=1e-4)


def test_order_and_padding_do_not_matter(jets, image_ae):
    few = jets[:6]
    usual = hepad.explain(image_ae, few, method="constituents").attribution
    order = np.random.default_rng(1).permutation(few.constituents.shape[1])
    turned = replace(few, constituents=few.constituents[:, order])
    padded = replace(few, constituents=np.pad(few.constituents, ((0, 0), (0, 30), (0, 0))))
    scale = np.nanmax(np.abs(usual))
    for other, expected in (
        (turned, usual[:, order]),
        (padded, np.pad(usual, ((0, 0), (0, 30)), constant_values=np.nan)),
    ):
        found = hepad.explain(image_ae, other, method="constituents").attribution
        np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    rows = [4, 0, 2]
    for method in ("occlusion", "terms"):
        all_of, some = (hepad.explain(image_ae, x, jets[:300], method=method).attribution for x in (few, few[rows]))
        np.testing.assert_allclose(some, all_of[rows], atol=1e-5 * np.abs(all_of).max())


def test_a_jet_of_one_constituent_has_nothing_to_leave_out(jets, image_ae):
    one = replace(jets[:1], constituents=jets.constituents[:1, :1])
    assert np.isnan(hepad.explain(image_ae, one, method="constituents").attribution).all()
    left = without(jets[:3], np.arange(60) == 0 * np.ones((3, 1)))
    np.testing.assert_array_equal(left.constituents[:, :-1], jets.constituents[:3, 1:])


# causes


def share_found(detector, before, after, right):
    """Of the events whose score rises the share in which the cause is found; there must be a hundred of them."""
    raised = detector.score(after) > detector.score(before)
    assert raised.sum() >= 100
    return right[raised].mean()


def test_where_nothing_would_be_left_of_a_jet_there_is_no_number(jets):
    vae = hepad.ConvVAE(representation=VECTOR, network="dense", hidden_dims=[64], training={"steps": 600}).fit(jets)
    found = hepad.explain(vae, jets[:3], method="constituents", radius=10.0)
    assert np.isnan(found.attribution).all()


def test_a_planted_prong_is_found_among_constituents_and_less_often_among_pixels(jets, image_ae):
    """It moves the axis, too: the largest error may be anywhere along it. By chance 6 % would be near the prong."""
    before = jets[1200:1350]
    after, planted = planted_causes.with_prong(before, np.random.default_rng(2))
    image_ae.window = None
    found = hepad.explain(image_ae, after, method="constituents")
    assert share_found(image_ae, before, after, planted_causes.found(found, after, planted, IMAGE)) >= 0.95
    terms = hepad.explain(image_ae, after, method="terms")
    assert share_found(image_ae, before, after, planted_causes.found(terms, after, planted, IMAGE)) >= 0.5


def test_planted_missing_momentum_is_found(jets):
    before, background = jets[1200:1400], jets[:1200]
    after = planted_causes.with_met(before, 400)
    design = {"autoencoder": {"hidden_dims": [64, 64], "latent_dim": 3}, "training": {"steps": 800}}
    for detector, methods in (
        (hepad.AE(representation=VECTOR, **design), ("terms", "occlusion")),
        (hepad.Mixture(representation=VECTOR, n_gaussians=3), ("gradients", "occlusion")),
    ):
        detector.fit(background)
        for method in methods:
            found = hepad.explain(detector, after, background, method=method)
            right = planted_causes.found(found, after, None, None)
            assert share_found(detector, before, after, right) >= 0.95


def test_the_planted_prong_is_where_and_what_it_is_said_to_be(jets):
    after, planted = planted_causes.with_prong(jets[:50], np.random.default_rng(2), 3)
    assert (planted.sum(1) == 3).all()
    assert (np.diff(after.constituents[..., 0]) <= 0).all()
    share = (after.constituents[..., 0] * planted).sum(1) / jets.constituents[:50, :, 0].sum(1)
    assert (share > 0.0999).all()
    assert (share < 0.2001).all()
    np.testing.assert_allclose(after.constituents[..., 0].sum(1), jets.constituents[:50, :, 0].sum(1), rtol=1e-5)
    np.testing.assert_allclose(sum_four_vectors(after.constituents), after.jet, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(after.jets[:, 0], after.jet)


# what cannot be explained


def test_a_score_that_jumps_or_has_no_gradient_is_refused_by_gradients_alone(vectors, of_formula):
    for formula, said in (
        (lambda x: (x[:, 0] > 2).float() + x[:, 1], "jumps"),
        (lambda x: x.detach()[:, 0], "no gradient"),
    ):
        detector = of_formula(formula)
        with pytest.raises(InputError, match=rf"Formula.*{said}.*Use method='occlusion'"):
            hepad.explain(detector, vectors[:50] + 3, vectors, method="gradients")
        found = hepad.explain(detector, vectors[:50] + 3, vectors, method="occlusion")
        assert found.attribution[:, 3] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "compares with background"),
        ({"background": np.zeros((0, 4))}, "has no events"),
        ({"background": np.zeros((5, 3))}, "fitted on events of shape"),
        ({"method": "term"}, "Did you mean 'terms'"),
        ({"method": "terms"}, "Mixture is no sum over its entries"),
        ({"method": "constituents"}, "needs Events that have constituents"),
        ({"method": "constituents", "radius": -1.0}, "radius = -1"),
        ({"radius": 0.1}, "for method='constituents' alone"),
        ({"method": "constituents", "radius": "0.1"}, "radius = '0.1' must be a number"),
        ({"radius": None}, "radius = None must be a number"),
        ({"method": "constituents", "radius": np.nan}, "radius = nan must be a number"),
        ({"method": "constituents", "radius": np.inf}, "radius = inf must be a number"),
        ({"method": "constituents", "radius": True}, "radius = True must be a number"),
        ({"method": 5}, "method '5' is unknown"),
        ({"method": ""}, "method '' is unknown"),
    ],
)
def test_what_is_missing_is_named(arguments, said, vectors):
    detector = hepad.Mixture(n_gaussians=1).fit(vectors)
    with pytest.raises(InputError, match=said):
        hepad.explain(detector, vectors[:3], **arguments)


def test_of_no_events_nothing_is_explained_by_any_method(jets):
    detector = hepad.AE(representation=VECTOR, **SHORT, training={"steps": 200}).fit(jets[:400])
    for method in ("shapley", "occlusion", "gradients", "terms", "constituents"):
        found = hepad.explain(detector, jets[:0], jets[:400], method=method)
        width = jets.constituents.shape[1] if method == "constituents" else len(VECTOR.variables)
        assert (found.score.shape, found.attribution.shape) == ((0,), (0, width))


def test_what_is_no_fitted_detector_or_has_no_constituents_is_refused(vectors, jets):
    with pytest.raises(InputError, match="function is no detector"):
        hepad.explain(lambda x: x, vectors)
    with pytest.raises(InputError, match="not fitted yet"):
        hepad.explain(hepad.Mixture(), vectors)
    matrix = hepad.EventMatrix(b_jets=0)
    detector = hepad.Mixture(representation=matrix, n_gaussians=1).fit(jets[:300])
    bare = replace(jets[:3], constituents=np.zeros((3, 0, 4), np.float32))
    with pytest.raises(InputError, match="Read them from their file"):
        hepad.explain(detector, bare, method="constituents")


def test_terms_of_principal_components_are_not_those_of_pixels(jets):
    detector = hepad.AE(representation=IMAGE, n_components=6, **SHORT, training={"steps": 100}).fit(jets[:400])
    with pytest.raises(InputError, match="no sum over its entries"):
        hepad.explain(detector, jets[:3], method="terms")
    assert hepad.explain(detector, jets[:3], jets[:400]).attribution.shape == (3, 1, 20, 20)
