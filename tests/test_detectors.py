"""One contract for all detectors, on images and on vectors; the registry decides who is tested."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

from hepad import detectors
from hepad.detectors import DETECTORS, NAE, Detector, Reconstructing
from hepad.errors import InputError
from hepad.evaluation import spearman
from hepad.representations import Space
from hepad.sampling import DivergenceError
from hepad.training import CollapseError

IMAGE = Space((1, 12, 12), (), 144)
VECTOR = Space((6,), ("mass", "b", "c", "d", "e", "f"), 0)
BOTH = Space((150,), VECTOR.columns, 144)
SHORT = {"steps": 400, "batch": 64, "rate": 3e-3}
LATENT_CHAIN = {"steps": 2, "step": 0.1, "noise": 0.03, "unit": True}
VISIBLE_CHAIN = {"steps": 4, "step": 1.0, "noise": 0.01}
ENERGY = {
    "hidden": [128],
    "latent": 4,
    "pretraining": SHORT,
    "training": {"steps": 80, "batch": 64, "average": 0.9},
    "latent_chain": LATENT_CHAIN,
    "visible_chain": VISIBLE_CHAIN,
}
SCALAR = {"kind": "scalar", "gamma": 0.1, "sigma": [0.05, 2.0], "training": {"steps": 300, "batch": 64, "rate": 3e-3}}
CASES = [
    ("AE", IMAGE, {"hidden": [128], "latent": 4, "training": SHORT}),
    ("AE", IMAGE, {"network": "heidelberg", "hidden": [32], "latent": 4, "training": SHORT}),
    ("AE", VECTOR, {"hidden": [128], "latent": 3, "training": SHORT}),
    ("AE", BOTH, {"hidden": [128], "latent": 6, "training": SHORT}),
    ("ConvVAE", IMAGE, {"hidden": [32], "latent": 4, "flow": {"type": "Planar", "layers": 2}, "training": SHORT}),
    ("ConvVAE", VECTOR, {"network": "dense", "latent": 3, "score": "elbo", "training": SHORT}),
    ("NAE", IMAGE, ENERGY),
    ("NAE", VECTOR, ENERGY | {"visible_chain": {"steps": 4, "step": 0.1, "noise": 0.01}}),
    ("NAE", BOTH, ENERGY | {"latent": 6}),
    ("MPDR", IMAGE, ENERGY),
    ("MPDR", IMAGE, ENERGY | SCALAR | {"geodesic": True}),
    ("MPDR", VECTOR, ENERGY | SCALAR),
    ("Variable", VECTOR, {"variable": "mass", "sign": 1}),
    ("Mixture", VECTOR, {"components": 2}),
    ("Mixture", IMAGE, {"components": 2, "compress": 4}),
    ("Mixture", BOTH, {"components": 1, "compress": 4}),
    ("PCAReconstruction", IMAGE, {"components": 4}),
    ("PixelNorm", IMAGE, {"sign": -1}),
]


def events(space, n, anomalous, seed):
    """Background: one blob that moves about, and six numbers on a plane. Anomaly: two blobs, and off the plane."""
    rng = np.random.default_rng(seed)
    parts = []
    if space.pixels:
        y, x = np.mgrid[-1:1:12j, -1:1:12j]
        image = np.zeros((n, 12, 12))
        for _ in range(2):
            center = rng.normal(0, 0.45 if anomalous else 0.1, (n, 2, 1, 1))
            image += np.exp(-((x - center[:, 0]) ** 2 + (y - center[:, 1]) ** 2) / 0.08)
        parts.append((image / image.sum((1, 2), keepdims=True)).reshape(n, -1))
    if space.columns:
        code = rng.normal(size=(n, 2))
        plane = np.random.default_rng(0).normal(size=(2, 6))
        vector = 100 + 20 * (code @ plane + 0.1 * rng.normal(size=(n, 6)))
        if anomalous:
            vector += 20 * rng.normal(0, 1, (n, 6)) + np.eye(6)[0] * 200
        parts.append(vector)
    return torch.tensor(np.concatenate(parts, 1), dtype=torch.float32).view(n, *space.shape)


def fitted(name, space, arguments, seed=3):
    spec = {"type": name, "arguments": arguments}
    detector = detectors.build(spec, space, seed)
    train, valid = events(space, 800, False, 1), events(space, 200, False, 2)
    fit = detector.fit(train, valid, generator=torch.Generator().manual_seed(seed))
    return detector, fit, spec


@pytest.fixture(scope="module", params=range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def case(request):
    name, space, arguments = CASES[request.param]
    return (name, space, arguments, *fitted(name, space, arguments))


def test_every_detector_is_in_the_contract():
    assert {name for name, *_ in CASES} == set(DETECTORS)


def test_separates_a_planted_anomaly(case):
    _, space, _, detector, *_ = case
    scores = [detector.score(events(space, 500, anomalous, 5)).numpy() for anomalous in (False, True)]
    assert scores[0].shape == (500,)
    assert roc_auc_score(np.repeat([0, 1], 500), np.concatenate(scores)) > 0.9


def test_score_of_an_event_does_not_depend_on_its_batch(case):
    _, space, _, detector, *_ = case
    x = events(space, 40, False, 6)
    together = detector.score(x)
    alone = torch.cat([detector.score(row) for row in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(detector.score(x[order]), together[order], rtol=1e-4, atol=1e-6)


def test_load_gives_the_same_scores(case, tmp_path):
    _, space, _, detector, _, spec = case
    detectors.save(detector, tmp_path / "model.safetensors", spec)
    loaded = detectors.load(tmp_path / "model.safetensors")
    x = events(space, 50, True, 7)
    assert torch.equal(loaded.score(x), detector.score(x))


def test_same_seed_gives_the_same_bits(case):
    name, space, arguments, detector, *_ = case
    x = events(space, 50, True, 7)
    assert torch.equal(fitted(name, space, arguments)[0].score(x), detector.score(x))


def test_reconstruction_is_in_the_units_of_the_input(case):
    _, space, _, detector, *_ = case
    if not isinstance(detector, Reconstructing):
        pytest.skip("does not reconstruct")
    x = events(space, 200, False, 8)
    residual = (detector.reconstruct(x) - x).square().mean()
    assert residual < 0.6 * (x - x.mean(0)).square().mean()


def test_history_and_facts(case):
    *_, detector, fit, _ = case
    assert fit.facts["n_train"] == 800
    if detector.group == "detector":
        assert [r["step"] for r in fit.history if r["phase"] == fit.history[0]["phase"]][-1] == 400
        assert all(np.isfinite(record["loss"]) for record in fit.history)
    if detector.group == "detector" and "spearman_with_autoencoder" in fit.facts:
        energy = [r for r in fit.history if r["phase"] == "energy"]
        assert all(np.isfinite([r["energy_positive"], r["energy_negative"]]).all() for r in energy)
        assert fit.facts["spearman_with_autoencoder"] < 0.999


def test_energy_phase_raises_the_energy_off_the_data():
    # a point that the autoencoder reconstructs well although background never lies there: energy training lifts it
    arguments = ENERGY | {"training": {"steps": 200, "batch": 64}}
    detector, _, _ = fitted("NAE", IMAGE, arguments)
    before, _, _ = fitted("AE", IMAGE, {"hidden": [128], "latent": 4, "training": SHORT})
    z = torch.nn.functional.normalize(torch.randn(300, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    with torch.no_grad():
        x = before.normalise.invert(before.normalise.support().project(before.model.decode(z)))
    off, on = x, events(IMAGE, 300, False, 9)
    ratio = [(d.score(off).median() / d.score(on).median()).item() for d in (before, detector)]
    assert ratio[1] > 2 * ratio[0]


def test_recovery_ties_each_chain_to_its_own_point_only():
    detector = detectors.build({"type": "MPDR", "arguments": ENERGY}, IMAGE, 0)
    detector.begin(torch.Generator())
    x = torch.rand(5, *IMAGE.shape)
    target = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    sigma = torch.linspace(0.05, 0.3, 5).view(5, 1)
    together = detector._recovery(x, target, sigma, 0.5)
    alone = torch.cat([detector._recovery(x[i : i + 1], target[i : i + 1], sigma[i : i + 1], 0.5) for i in range(5)])
    torch.testing.assert_close(together, alone)
    expected = 0.5 * (detector.autoencoder.encode(x) - target).square().sum(1) / (2 * sigma[:, 0] ** 2)
    torch.testing.assert_close(together - detector.net.error(x), expected)


def test_error_is_per_dimension():
    detector = detectors.build({"type": "AE", "arguments": {"training": SHORT}}, IMAGE, 0)
    x = torch.rand(3, *IMAGE.shape)
    expected = (x - detector.model(x)).pow(2).sum((1, 2, 3)) / 144
    torch.testing.assert_close(detector.model.error(x), expected)


def test_mixture_is_a_normal_density():
    space = Space((2,), ("a", "b"), 0)
    x = torch.tensor(np.random.default_rng(0).multivariate_normal([1, 2], [[2, 0.5], [0.5, 1]], 4000)).float()
    detector = detectors.build({"type": "Mixture", "arguments": {"components": 1}}, space, 0)
    detector.fit(x, x[:50], generator=torch.Generator().manual_seed(0))
    normal = multivariate_normal(x.mean(0).numpy(), np.cov(x.numpy().T) + 0)
    expected = -normal.logpdf(x[:100].numpy())
    got = detector.score(x[:100]).numpy()
    # the stored density is that of standardised variables: it differs by a constant (and a small ridge)
    np.testing.assert_allclose(got - got.mean(), expected - expected.mean(), atol=0.05)


def test_plain_vae_is_the_flow_of_zero_layers():
    plain = detectors.build({"type": "ConvVAE", "arguments": {"training": SHORT}}, IMAGE, 0)
    zero = detectors.build({"type": "ConvVAE", "arguments": {"training": SHORT, "flow": None}}, IMAGE, 0)
    x, noise = torch.rand(4, *IMAGE.shape), torch.randn(4, 8)
    for a, b in zip(plain.terms(x, noise), zero.terms(x, noise), strict=True):
        assert torch.equal(a, b)


def test_vae_kl_is_that_of_gaussians_on_average():
    vae = detectors.build({"type": "ConvVAE", "arguments": {"training": SHORT, "latent": 3}}, IMAGE, 0)
    x = torch.rand(1, *IMAGE.shape)
    with torch.no_grad():
        mu, log_sigma = vae.posterior(vae.encoder(x)).chunk(2, 1)
        exact = 0.5 * (mu**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum()
        sampled = vae.terms(x.expand(40_000, -1, -1, -1), torch.randn(40_000, 3))[2]
    assert sampled.mean().item() == pytest.approx(exact.item(), abs=4 * sampled.std().item() / 200)


def test_untrained_reconstruction_is_refused():
    with pytest.raises(CollapseError, match="no better than its mean event"):
        fitted("AE", IMAGE, {"hidden": [128], "training": {"steps": 1, "rate": 1e-9}})


def test_constant_score_is_refused():
    detector = detectors.build({"type": "Variable", "arguments": {"variable": "mass"}}, VECTOR, 0)
    x = events(VECTOR, 100, False, 1)
    x[:, 0] = 91.2
    with pytest.raises(CollapseError, match="same for all background events"):
        detector.fit(x, x, generator=torch.Generator())


def test_runaway_is_named_as_such():
    detector = detectors.build({"type": "NAE", "arguments": ENERGY}, VECTOR, 0)
    detector._refuse_runaway(torch.full((5,), 99.0), 7)
    for level in (101.0, -101.0, float("nan")):
        with pytest.raises(DivergenceError, match=r"has run away .* at step 7"):
            detector._refuse_runaway(torch.full((5,), level), 7)


def test_runaway_negative_energy_is_refused():
    arguments = ENERGY | {"training": {"steps": 400, "batch": 64, "rate": 1.0}, "gamma": 0.0}
    with pytest.raises(DivergenceError, match=r"run away|finite|loss is"):
        fitted("NAE", VECTOR, arguments)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "AEE"}, "Did you mean 'AE'"),
        ({"type": "AE", "arguments": {"latnt": 3}}, "Did you mean 'latent'"),
        ({"type": "AE", "arguments": {"training": {"step": 3}}}, "Did you mean 'steps'"),
        ({"type": "AE", "arguments": {"network": "resnet", "training": SHORT}}, "Allowed: dense, heidelberg"),
        ({"type": "AE", "arguments": {"latent": 1, "training": SHORT}}, "too small"),
        ({"type": "MPDR", "arguments": ENERGY | {"sigma": [0.3, 0.1]}}, "sigma"),
        ({"type": "MPDR", "arguments": ENERGY | {"kind": "vector"}}, "Allowed: reconstruction, scalar"),
        ({"type": "ConvVAE", "arguments": {"training": SHORT, "flow": {"type": "planar"}}}, "Did you mean 'Planar'"),
        ({"type": "Variable", "arguments": {"variable": "mass"}}, "mass"),
    ],
)
def test_bad_settings_name_themselves(spec, message):
    with pytest.raises(InputError, match=message):
        detectors.build(spec, IMAGE, 0)


def test_damaged_model_files_are_refused(tmp_path):
    detector, _, spec = fitted("PixelNorm", IMAGE, {})
    path = tmp_path / "model.safetensors"
    detectors.save(detector, path, spec)
    whole = path.read_bytes()
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a usable hepad model"):
            detectors.load(path)
    with pytest.raises(InputError, match="not a usable hepad model"):
        detectors.load(tmp_path / "absent.safetensors")


def test_signal_cannot_enter_a_fit():
    # the whole interface of fitting: background for training, background for validation, randomness, progress
    import inspect

    assert list(inspect.signature(Detector.fit).parameters) == ["self", "train", "valid", "generator", "progress"]
    overriding = [cls for cls in DETECTORS.values() if "fit" in vars(cls)]
    assert not overriding, "detectors implement _fit; fit itself is shared"


def test_energy_detector_differs_from_its_start():
    detector, _, _ = fitted("NAE", IMAGE, ENERGY | {"training": {"steps": 200, "batch": 64}})
    before, _, _ = fitted("AE", IMAGE, {"hidden": [128], "latent": 4, "training": SHORT})
    x = events(IMAGE, 500, False, 4)
    assert isinstance(detector, NAE)
    assert spearman(before.score(x).numpy(), detector.score(x).numpy()) < 0.99


def test_an_average_and_a_choice_by_validation_exclude_each_other():
    with pytest.raises(InputError, match="leave out 'average'"):
        fitted("AE", IMAGE, {"hidden": [16], "training": {"steps": 5, "average": 0.9}})
