"""One contract for all detectors, on images and on vectors; the registry decides who is tested."""

import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, spearmanr
from sklearn.metrics import roc_auc_score

from hepad import detectors
from hepad.detectors import DETECTORS, NAE, Detector, Generating, Reconstructing
from hepad.detectors.base import LEAST_R2
from hepad.detectors.distances import chamfer, wasserstein
from hepad.detectors.energy_based.base import Guard
from hepad.detectors.energy_based.langevin import Support
from hepad.detectors.training.loop import in_blocks
from hepad.errors import CollapseError, DivergenceError, InputError
from hepad.representations import Space

IMAGE = Space((1, 12, 12), (), 144)
VECTOR = Space((6,), ("mass", "b", "c", "d", "e", "f"), 0)
BOTH = Space((150,), VECTOR.columns, 144)
PHOTO = Space((1, 12, 12), (), 144, unit_sum=False)
SMALL_IMAGE = Space((1, 8, 8), (), 64)  # for what goes through an image pixel by pixel, or in many layers
SMALL_PHOTO = Space((1, 8, 8), (), 64, unit_sum=False)
FEATURES = ("px", "py", "mass")
OBJECTS = Space((1, 14, 3), tuple(f"jet{i}_{f}" for i in range(1, 15) for f in FEATURES), objects=True)
PARTICLES = Space(
    (1, 14, 3), tuple(f"constituent{i}_{f}" for i in range(1, 15) for f in ("z", "deta", "dphi")), objects=True
)
SHORT = {"steps": 400, "batch": 64, "learning_rate": 3e-3}
LATENT_CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.03, "unit": True}
VISIBLE_CHAIN = {"n_steps": 4, "step_size": 1.0, "noise_std": 0.01}
SMALL = {"hidden_dims": [128], "latent_dim": 4}
ENERGY = {
    "autoencoder": SMALL,
    "pretraining": SHORT,
    "training": {"steps": 80, "batch": 64, "ema_decay": 0.9},
    "latent_chain": LATENT_CHAIN,
    "visible_chain": VISIBLE_CHAIN,
}
ALONG = {"n_steps": 4, "step_size": 0.05, "noise_std": 0.05, "components": 8}
METROPOLIS = VISIBLE_CHAIN | {"metropolis": True}
VECTOR_CHAIN = {"n_steps": 4, "step_size": 0.1, "noise_std": 0.01}
NO_LATENT = {key: value for key, value in ENERGY.items() if key != "latent_chain"}
SCALAR = {
    "kind": "scalar",
    "objective": {"gamma": 0.1},
    "recovery": {"sigma": [0.05, 2.0]},
    "training": {"steps": 300, "batch": 64, "learning_rate": 3e-3},
}
PLAIN_SCALAR = {
    "hidden_dims": [64, 64],
    "objective": {"gamma": 0.1},
    "training": {"steps": 300, "batch": 64, "learning_rate": 3e-3},
    "visible_chain": {"n_steps": 10, "step_size": 0.5, "noise_std": 0.1},
}
OF_SETS = PLAIN_SCALAR | {
    "network": "sets",
    "training": {"steps": 150, "batch": 64, "learning_rate": 3e-3},
    "visible_chain": {"n_steps": 5, "step_size": 0.01, "noise_std": 0.1},
}
FLOW = {"steps": 200, "batch": 64, "learning_rate": 3e-3}
FLAT = {"hidden_dims": [128], "latent_dim": 3, "sphere": False}
GAN = {"training": {"steps": 300, "batch": 64, "learning_rate": 3e-3, "ema_decay": 0.95}, "encoding": SHORT, "ratio": 2}
SMALL_VAE = {"network": "dense", "latent_dim": 3, "score": "elbo", "training": SHORT}
LATENTS = {"of": {"type": "AE", "autoencoder": FLAT}, "training": SHORT}
BLOB = {"name": "blob", "type": "AE", "arguments": {"autoencoder": SMALL, "training": SHORT}, "space": asdict(IMAGE)}
PLANE = {"name": "plane", "type": "Mixture", "arguments": {"n_gaussians": 2}, "space": asdict(VECTOR)}
WHOLE = {"name": "all", "type": "PCAReconstruction", "arguments": {"components": 4}}
CASES = [
    ("AE", IMAGE, {"autoencoder": SMALL, "training": SHORT}),
    ("AE", IMAGE, {"autoencoder": {"network": "heidelberg", "hidden_dims": [32], "latent_dim": 4}, "training": SHORT}),
    ("AE", VECTOR, {"autoencoder": {"hidden_dims": [128], "latent_dim": 3}, "training": SHORT, "noise": 0.1}),
    (
        "AE",
        VECTOR,
        {"autoencoder": {"hidden_dims": [128], "latent_dim": 3, "sphere": False}, "training": SHORT, "mmd": 0.1},
    ),
    ("AE", PHOTO, {"autoencoder": SMALL, "training": SHORT}),
    ("AE", BOTH, {"autoencoder": {"hidden_dims": [128], "latent_dim": 6}, "training": SHORT}),
    ("AE", BOTH, {"autoencoder": {"hidden_dims": [64], "latent_dim": 3}, "training": SHORT, "n_components": 4}),
    (
        "ConvVAE",
        IMAGE,
        {"hidden_dims": [32], "latent_dim": 4, "flow": {"type": "Planar", "layers": 2}, "training": SHORT},
    ),
    ("ConvVAE", VECTOR, SMALL_VAE),
    ("ConvVAE", VECTOR, SMALL_VAE | {"flow": {"type": "OrthogonalSylvester", "layers": 2, "columns": 3}}),
    ("ConvVAE", VECTOR, SMALL_VAE | {"flow": {"type": "HouseholderSylvester", "layers": 2, "reflections": 3}}),
    ("ConvVAE", VECTOR, SMALL_VAE | {"flow": {"type": "TriangularSylvester", "layers": 2}}),
    ("ConvVAE", VECTOR, SMALL_VAE | {"flow": {"type": "InverseAutoregressive", "layers": 2}}),
    ("ConvVAE", VECTOR, SMALL_VAE | {"flow": {"type": "Convolutional", "layers": 2}}),
    ("ConvVAE", VECTOR, SMALL_VAE | {"score": "importance", "samples": 8}),
    ("ConvVAE", OBJECTS, SMALL_VAE | {"network": "objects", "hidden_dims": [64], "likelihood": "chamfer", "beta": 0.1}),
    ("Contrastive", OBJECTS, {"network": "objects", "hidden_dims": [64], "embedding": 8, "training": FLOW}),
    ("AE", OBJECTS, {"autoencoder": {"network": "objects", "hidden_dims": [64], "latent_dim": 6}, "training": SHORT}),
    ("FlowDensity", VECTOR, {"kind": "MAF", "hidden_dims": [32, 32], "training": FLOW}),
    ("FlowDensity", VECTOR, {"kind": "RealNVP", "hidden_dims": [32, 32], "training": FLOW}),
    ("FlowDensity", VECTOR, {"transforms": 3, "hidden_dims": [32, 32], "training": FLOW}),
    ("FlowDensity", IMAGE, {"hidden_dims": [32, 32], "transforms": 2, "n_components": 4, "training": FLOW}),
    ("FlowDensity", BOTH, {"kind": "MAF", "hidden_dims": [32, 32], "n_components": 4, "training": FLOW}),
    ("LatentMixture", IMAGE, LATENTS | {"n_gaussians": [1, 4]}),
    ("LatentMixture", BOTH, LATENTS | {"of": LATENTS["of"] | {"n_components": 4}, "n_gaussians": 2}),
    ("Contrastive", IMAGE, {"hidden_dims": [64], "embedding": 8, "training": FLOW, "n_gaussians": [1, 2]}),
    ("Contrastive", VECTOR, {"hidden_dims": [64], "embedding": 8, "training": FLOW}),
    ("Contrastive", BOTH, {"hidden_dims": [64], "embedding": 8, "training": FLOW}),
    ("WGAN", IMAGE, {"autoencoder": SMALL, **GAN}),
    ("WGAN", VECTOR, {"autoencoder": FLAT, **GAN}),
    ("WGAN", BOTH, {"autoencoder": FLAT, "n_components": 4, **GAN}),
    ("DAGMM", VECTOR, {"hidden_dims": [64], "latent_dim": 2, "n_gaussians": 2, "training": SHORT}),
    ("DAGMM", IMAGE, {"hidden_dims": [64], "latent_dim": 3, "training": SHORT}),
    ("DAGMM", BOTH, {"hidden_dims": [64], "latent_dim": 3, "n_components": 4, "training": SHORT}),
    ("DeepSVDD", VECTOR, {"hidden_dims": [64, 32], "training": SHORT}),
    ("DeepSVDD", IMAGE, {"network": "strided", "hidden_dims": [], "training": SHORT}),
    ("DeepSVDD", BOTH, {"n_components": 4, "training": SHORT}),
    ("DeepSVDD", VECTOR, {"latent_dims": [3, 5], "centers": [1, 10], "training": SHORT | {"steps": 1000}}),
    ("DeepSVDD", OBJECTS, {"network": "objects", "hidden_dims": [32], "training": SHORT}),
    ("MaskedPrediction", VECTOR, {"hidden_dims": [128], "training": SHORT}),
    ("MaskedPrediction", IMAGE, {"hidden_dims": [128], "share": 0.75, "masks": 4, "patch": 3, "training": SHORT}),
    ("MaskedPrediction", BOTH, {"hidden_dims": [128], "n_components": 4, "training": SHORT}),
    ("MaskedPrediction", OBJECTS, {"hidden_dims": [128], "training": SHORT}),
    ("FlowMatching", VECTOR, {"training": SHORT | {"steps": 1500}}),
    ("FlowMatching", BOTH, {"n_components": 4, "training": SHORT | {"steps": 1500}}),
    ("Glow", SMALL_IMAGE, {"depth": 3, "width": 16, "training": FLOW}),
    ("Glow", SMALL_PHOTO, {"depth": 3, "width": 16, "training": FLOW}),
    ("PixelCNN", SMALL_IMAGE, {"width": 6, "scales": 2, "mixture": 3, "training": FLOW | {"learning_rate": 5e-3}}),
    ("PixelCNN", SMALL_PHOTO, {"width": 6, "scales": 2, "mixture": 3, "training": FLOW | {"learning_rate": 5e-3}}),
    ("NAE", IMAGE, ENERGY),
    ("NAE", IMAGE, ENERGY | {"visible_chain": ALONG}),
    ("NAE", VECTOR, ENERGY | {"visible_chain": VECTOR_CHAIN}),
    ("NAE", VECTOR, NO_LATENT | {"visible_chain": VECTOR_CHAIN, "start": "data"}),
    ("NAE", VECTOR, NO_LATENT | {"visible_chain": VECTOR_CHAIN, "start": "persistent"}),
    ("NAE", BOTH, ENERGY | {"autoencoder": {"hidden_dims": [128], "latent_dim": 6}}),
    ("WNAE", IMAGE, NO_LATENT | {"training": {"steps": 80, "batch": 64, "learning_rate": 1e-4}}),
    ("WNAE", VECTOR, NO_LATENT | {"visible_chain": {"n_steps": 4, "step_size": 0.5, "noise_std": 0.1}}),
    ("MPDR", IMAGE, ENERGY),
    ("MPDR", IMAGE, ENERGY | SCALAR | {"recovery": {"sigma": [0.05, 2.0], "geodesic": True}}),
    ("MPDR", PHOTO, ENERGY),
    ("MPDR", IMAGE, ENERGY | {"manifolds": [3, 4, 6], "objective": {"criterion": "manifold_auc"}}),
    ("MPDR", VECTOR, ENERGY | SCALAR | {"objective": {"gamma": 0.1, "criterion": "wasserstein"}}),
    ("MPDR", BOTH, ENERGY | {"n_components": 4, "visible_chain": VECTOR_CHAIN}),
    ("MPDR", VECTOR, ENERGY | {"kind": "masked", "visible_chain": VECTOR_CHAIN}),
    ("MPDR", IMAGE, ENERGY | {"kind": "masked", "masked": {"share": 0.75, "masks": 4, "patch": 3}}),
    ("IGEBM", VECTOR, PLAIN_SCALAR),
    ("IGEBM", VECTOR, PLAIN_SCALAR | {"start": "data"}),
    ("IGEBM", IMAGE, PLAIN_SCALAR),
    ("DRL", VECTOR, PLAIN_SCALAR | {"sigma": [0.6, 2.0]}),
    ("DRL", IMAGE, PLAIN_SCALAR | {"sigma": [0.6, 2.0]}),
    ("IGEBM", PARTICLES, OF_SETS | {"start": "data"}),
    ("DRL", PARTICLES, OF_SETS | {"sigma": [0.3, 1.0]}),
    ("DeepSVDD", PARTICLES, {"network": "sets", "hidden_dims": [32, 32], "training": SHORT}),
    ("Variable", VECTOR, {"variable": "mass", "sign": 1}),
    ("Mixture", VECTOR, {"n_gaussians": 2}),
    ("Mixture", IMAGE, {"n_gaussians": 2, "n_components": 4}),
    ("Mixture", BOTH, {"n_gaussians": 1, "n_components": 4}),
    ("NearestNeighbours", VECTOR, {"k": 3, "references": 300}),
    ("NearestNeighbours", BOTH, {"n_components": 4}),
    ("Outlier", VECTOR, {"sample": 300}),
    ("Outlier", BOTH, {"model": "EllipticEnvelope", "n_components": 4}),
    ("Outlier", VECTOR, {"model": "LocalOutlierFactor", "arguments": {"n_neighbors": 10}}),
    ("Outlier", VECTOR, {"model": "OneClassSVM", "arguments": {"nu": 0.1}}),
    ("PCAReconstruction", IMAGE, {"components": 4}),
    ("PixelNorm", IMAGE, {"sign": -1}),
    ("Combination", BOTH, {"members": [PLANE, BLOB]}),
    ("Combination", BOTH, {"members": [PLANE, WHOLE], "method": "min_p", "weights": [2.0, 1.0]}),
    ("Combination", VECTOR, {"members": [PLANE, WHOLE], "method": "cauchy"}),
    ("Combination", VECTOR, {"members": [PLANE], "given": ["mass"]}),
]


def events(space, n, anomalous, seed):
    """Background: one blob that moves about, six numbers on a plane, three to nine jets, constituents around an
    axis. Anomaly: two blobs, off the plane, twice the jets' momenta and as much mass, constituents around two axes."""
    rng = np.random.default_rng(seed)
    parts = []
    if space is PARTICLES:
        there = np.arange(14) < rng.integers(4, 10, (n, 1))
        z = rng.exponential(size=(n, 14)) * there
        axis = np.where(rng.random((n, 14)) < 0.5, 1, -1) * (0.4 if anomalous else 0.0)
        place = rng.normal(0, 0.15, (n, 14, 2)) + axis[..., None] * np.array([0.6, 0.8])
        x = np.concatenate([(z / z.sum(1, keepdims=True))[..., None], place * there[..., None]], 2)
        return torch.tensor(x, dtype=torch.float32).unsqueeze(1)
    if space.objects:
        pt = 300 * rng.lognormal(0, 0.3, (n, 1)) * 0.75 ** np.arange(14) * rng.normal(1, 0.05, (n, 14))
        pt *= np.arange(14) < rng.integers(3, 10, (n, 1))
        phi = rng.normal(0, 1, (n, 1)) + np.pi * (np.arange(14) % 2) + rng.normal(0, 0.1, (n, 14))
        jets = np.stack([pt * np.cos(phi), pt * np.sin(phi), (2 * pt if anomalous else 0.1 * pt)], -1)
        return torch.tensor((1 + anomalous) * jets, dtype=torch.float32).unsqueeze(1)
    if space.pixels:
        side = math.isqrt(space.pixels)
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        image = np.zeros((n, side, side))
        for _ in range(2):
            center = rng.normal(0, 0.45 if anomalous else 0.1, (n, 2, 1, 1))
            image += np.exp(-((x - center[:, 0]) ** 2 + (y - center[:, 1]) ** 2) / 0.08)
        image /= image.sum((1, 2), keepdims=True) if space.unit_sum else 2
        parts.append(image.reshape(n, -1))
    if space.columns:
        code = rng.normal(size=(n, 2))
        plane = np.random.default_rng(0).normal(size=(2, 6))
        vector = 100 + 20 * (code @ plane + 0.1 * rng.normal(size=(n, 6)))
        if anomalous:
            vector += 20 * rng.normal(0, 1, (n, 6)) + np.eye(6)[0] * 200
        parts.append(vector)
    return torch.tensor(np.concatenate(parts, 1), dtype=torch.float32).view(n, *space.shape)


def over_objects(space, x):
    """What the place of an object does not change: of objects the sums of their features' sizes, else the event."""
    return x.abs().sum(2) if space.objects else x


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
    rounding = {"rtol": 1e-4, "atol": 1e-5 * together.std().item()}  # a log-likelihood may pass through zero
    torch.testing.assert_close(together, alone, **rounding)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(detector.score(x[order]), together[order], **rounding)


def test_load_gives_the_same_scores(case, tmp_path):
    _, space, _, detector, _, spec = case
    detectors.save(detector, tmp_path / "model.safetensors", spec)
    loaded = detectors.load(tmp_path / "model.safetensors")
    x = events(space, 50, True, 7)
    assert torch.equal(loaded.score(x), detector.score(x))


def shortened(value):
    """The same arguments with a tenth of the steps."""
    if not isinstance(value, dict):
        return value
    return {key: max(of // 10, 10) if key == "steps" else shortened(of) for key, of in value.items()}


@pytest.mark.parametrize(
    ("name", "space", "arguments"), CASES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]
)
def test_same_seed_gives_the_same_bits(name, space, arguments):
    def outcome():
        try:
            return fitted(name, space, shortened(arguments))[0].score(events(space, 50, True, 7)).tolist()
        except CollapseError as error:  # so early; it says numbers, too
            return str(error)

    assert outcome() == outcome()


def test_reconstruction_is_in_the_units_of_the_input(case):
    _, space, _, detector, *_ = case
    if not isinstance(detector, Reconstructing):
        pytest.skip("does not reconstruct")
    x = events(space, 200, False, 8)
    made = detector.reconstruct(x)
    assert made.shape == x.shape
    if space.objects:  # their places may differ
        assert chamfer(x, made).mean() < 0.6 * chamfer(x, made.roll(1, 0)).mean()
    else:
        assert (made - x).square().mean() < 0.6 * (x - x.mean(0)).square().mean()


def test_generated_events_are_in_the_units_of_the_input(case):
    _, space, _, detector, *_ = case
    if not isinstance(detector, Generating):
        pytest.skip("does not generate")
    x = events(space, 500, False, 8)
    drawn, again = (detector.generate(500, torch.Generator().manual_seed(4)) for _ in range(2))
    assert drawn.shape == x.shape
    assert torch.isfinite(drawn).all()
    assert torch.equal(drawn, again)
    x, drawn = over_objects(space, x), over_objects(space, drawn)
    difference = (drawn.mean(0) - x.mean(0)).abs() / x.std(0).clamp(min=0.05 * x.std())
    assert difference.mean() < 0.5


def test_history_and_facts(case):
    _, _, arguments, detector, fit, _ = case
    assert fit.facts["n_train"] == 800
    if detector.group == "detector" and "members" not in arguments:
        first = arguments.get("pretraining", arguments["training"])
        assert [r["step"] for r in fit.history if r["phase"] == fit.history[0]["phase"]][-1] == first["steps"]
        assert all(np.isfinite(record["loss"]) for record in fit.history)
    if detector.group == "detector" and "spearman_with_start" in fit.facts:
        energy = [r for r in fit.history if r["phase"] == "energy"]
        assert all(np.isfinite([r["energy_positive"], r["energy_negative"]]).all() for r in energy)
        assert fit.facts["spearman_with_start"] < 0.999


def test_energy_phase_raises_the_energy_off_the_data():
    # a point that the autoencoder reconstructs well although background never lies there: energy training lifts it
    arguments = ENERGY | {"training": {"steps": 200, "batch": 64}}
    detector, _, _ = fitted("NAE", IMAGE, arguments)
    before, _, _ = fitted("AE", IMAGE, {"autoencoder": SMALL, "training": SHORT})
    z = torch.nn.functional.normalize(torch.randn(300, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    with torch.no_grad():
        x = before.normalise.invert(before.normalise.support().project(before.model.decode(z)))
    off, on = x, events(IMAGE, 300, False, 9)
    ratio = [(d.score(off).median() / d.score(on).median()).item() for d in (before, detector)]
    assert ratio[1] > 2 * ratio[0]


def test_recovery_ties_each_chain_to_its_own_point_only():
    # the authors' (B,) / (B, 1) broadcasts to (B, B): then every chain feels every other's sigma
    detector = detectors.build({"type": "MPDR", "arguments": ENERGY}, IMAGE, 0)
    model, raw = detector.models[0], detector.energy.raw
    x = torch.rand(5, *IMAGE.shape)
    target = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    sigma = torch.linspace(0.05, 0.3, 5)
    recovery = detector.settings.recovery
    tied = recovery.tie(raw, model, target, sigma, 0.5)(x)
    assert tied.shape == (5,)
    expected = 0.5 * (model.encode(x) - target).square().sum(1) / (2 * sigma**2)
    torch.testing.assert_close(tied - raw(x), expected)
    rows = [
        detector.settings.recovery.tie(raw, model, target[i : i + 1], sigma[i : i + 1], 0.5)(x[i : i + 1])
        for i in range(5)
    ]
    torch.testing.assert_close(tied, torch.cat(rows))


def test_error_is_per_dimension():
    detector = detectors.build({"type": "AE", "arguments": {"training": SHORT}}, IMAGE, 0)
    x = torch.rand(3, *IMAGE.shape)
    expected = (x - detector.model(x)).pow(2).sum((1, 2, 3)) / 144
    torch.testing.assert_close(detector.model.error(x), expected)


def test_mixture_is_a_normal_density():
    space = Space((2,), ("a", "b"), 0)
    x = torch.tensor(np.random.default_rng(0).multivariate_normal([1, 2], [[2, 0.5], [0.5, 1]], 4000)).float()
    detector = detectors.build({"type": "Mixture", "arguments": {"n_gaussians": 1}}, space, 0)
    detector.fit(x, x[:50], generator=torch.Generator().manual_seed(0))
    normal = multivariate_normal(x.mean(0).numpy(), np.cov(x.numpy().T) + 0)
    expected = -normal.logpdf(x[:100].numpy())
    got = detector.score(x[:100]).numpy()
    # the stored density is that of standardised variables: it differs by a constant (and a small ridge)
    np.testing.assert_allclose(got - got.mean(), expected - expected.mean(), atol=0.05)


def test_untrained_reconstruction_is_refused():
    with pytest.raises(CollapseError, match="no better than its mean event"):
        fitted("AE", IMAGE, {"autoencoder": SMALL, "training": {"steps": 1, "learning_rate": 1e-9}})


def test_a_training_that_ruins_the_reconstruction_goes_back_to_the_last_good_state():
    # from the 31st update on the loss pulls the energy of background up, which spoils the reconstruction and no number
    detector = detectors.build(
        {"type": "NAE", "arguments": ENERGY | {"training": {"steps": 80, "learning_rate": 3e-3}}}, VECTOR, 0
    )
    energy, calls = detector.loss, []

    def loss(positive, negative, x, sample):
        calls.append(1)
        return energy(positive, negative, x, sample) if len(calls) <= 30 else -positive.mean()

    detector.loss = loss
    train, valid = events(VECTOR, 300, False, 1), events(VECTOR, 100, False, 2)
    fit = detector.fit(train, valid, generator=torch.Generator().manual_seed(0))
    reason = fit.history[-1]["diverged"]
    assert "the energy phase has ruined the reconstruction" in reason
    assert "Lower 'training: learning_rate'" in reason
    assert 30 < fit.facts["diverged_at_step"] < 80
    assert 30 <= fit.facts["chosen_step"] == max(fit.candidates) < fit.facts["diverged_at_step"]
    x = detector.normalise(valid)
    error = (x - detector.normalise(detector.reconstruct(valid))).square().mean().item()
    assert fit.facts["r2"] == pytest.approx(1 - error / (x - x.mean(0)).square().mean().item(), rel=1e-3)
    assert fit.facts["r2"] > LEAST_R2
    assert fit.facts["visible_temperature"] == pytest.approx(0.01**2 / (2 * 1.0))
    assert fit.facts["latent_temperature"] is None  # its gradients have unit length


def test_ruin_is_an_error_as_large_as_that_of_the_mean_event():
    nae = detectors.build({"type": "NAE", "arguments": ENERGY}, VECTOR, 0)
    x = torch.randn(1000, *VECTOR.shape, generator=torch.Generator().manual_seed(0))  # of mean square one
    nae.energy.scale.fill_(0.25)
    nae.check_not_ruined(x, 2.0)
    with pytest.raises(DivergenceError, match=r"\(R\^2 = -0\.0"):
        nae.check_not_ruined(x, 4.2)


def test_the_distance_of_chains_that_do_not_move_is_that_of_two_sets_of_background():
    # contrastive divergence that started from the events it is compared with would have distance zero here
    still = {"n_steps": 0, "step_size": 1.0, "noise_std": 0.0}
    arguments = PLAIN_SCALAR | {"start": "data", "visible_chain": still, "objective": {"events": 80}}
    detector = detectors.build({"type": "IGEBM", "arguments": arguments}, VECTOR, 0)
    train, valid = events(VECTOR, 300, False, 1), events(VECTOR, 200, False, 2)
    fit = detector.fit(train, valid, generator=torch.Generator().manual_seed(0))
    expected = wasserstein(detector.normalise(valid[:80]), detector.normalise(train[:80])).item()
    assert fit.history[-1]["wasserstein"] == pytest.approx(expected, rel=1e-4)
    assert expected > 0.01


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("reconstruction", 2 - 3 + 0.1 * 9), ("masked", 2 - 3 + 0.1 * 9), ("scalar", 2 - 3 + 0.1 * (9 + 4))],
)
def test_gamma_acts_on_background_where_the_energy_is_a_scalar_alone(kind, expected):
    detector = detectors.build(
        {"type": "MPDR", "arguments": ENERGY | {"kind": kind, "objective": {"gamma": 0.1}}}, VECTOR, 0
    )
    two, three = torch.full((5,), 2.0), torch.full((5,), 3.0)
    assert detector.loss(two, three, None, None).item() == pytest.approx(expected)


def test_constant_score_is_refused():
    detector = detectors.build({"type": "Variable", "arguments": {"variable": "mass"}}, VECTOR, 0)
    x = events(VECTOR, 100, False, 1)
    x[:, 0] = 91.2
    with pytest.raises(CollapseError, match="same for all background events"):
        detector.fit(x, x, generator=torch.Generator())


def test_runaway_is_named_as_such():
    for level in (101.0, -101.0, float("nan")):
        with pytest.raises(DivergenceError, match=r"NAE: .* has run away .* at step 7 .* Lower it"):
            Guard("NAE", "Lower it").watch(level, 7)


def test_a_sudden_rise_is_a_runaway_and_a_steady_one_is_not():
    guard = Guard("NAE", "Lower it")
    for step in range(2000):
        guard.watch(1 + step / 1000, step)
    with pytest.raises(DivergenceError, match="at step 2000"):
        guard.watch(9.0, 2000)


def test_a_training_that_diverges_goes_back_to_its_last_good_state():
    # the rate is sane for the first records, then the energy of the negatives is made to run away
    detector = detectors.build({"type": "NAE", "arguments": ENERGY}, VECTOR, 0)
    energy, calls = detector.loss, []

    def loss(positive, negative, x, sample):
        calls.append(1)
        return energy(positive, negative, x, sample) * (1 if len(calls) <= 20 else float("nan"))

    detector.loss = loss
    fit = detector.fit(
        events(VECTOR, 300, False, 1), events(VECTOR, 100, False, 2), generator=torch.Generator().manual_seed(0)
    )
    assert fit.facts["diverged_at_step"] == 21
    assert fit.facts["chosen_step"] == max(fit.candidates) == 18
    assert "the loss is nan at step 21" in fit.history[-1]["diverged"]
    state = detector.state_dict()
    for name, tensor in fit.candidates[18].items():
        assert torch.equal(state[name], tensor), name


def test_divergence_before_the_first_record_is_refused():
    arguments = ENERGY | {"training": {"steps": 400, "batch": 64, "learning_rate": 30.0}, "objective": {"gamma": 0.0}}
    with pytest.raises(DivergenceError, match=r"run away|finite|loss is"):
        fitted("NAE", VECTOR, arguments)


def test_the_criterion_chooses_its_best_record():
    arguments = ENERGY | {"objective": {"criterion": "manifold_auc", "events": 100}}
    detector, fit, _ = fitted("MPDR", IMAGE, arguments)
    records = [r for r in fit.history if r["phase"] == "energy"]
    best = max(records, key=lambda r: r["manifold_auc"])["step"]
    assert fit.facts["chosen_step"] == best
    assert set(fit.candidates) == {r["step"] for r in records}
    for name, tensor in fit.candidates[best].items():
        assert torch.equal(detector.state_dict()[name], tensor)
    assert all(r["wasserstein"] > 0 for r in records)


def test_the_batch_is_divided_among_the_manifolds():
    detector = detectors.build({"type": "MPDR", "arguments": ENERGY | {"manifolds": [2, 3, 5]}}, IMAGE, 0)
    seen = []
    for model in detector.models:
        model.register_forward_pre_hook(lambda *_: None)
        encode = model.encode
        model.encode = lambda x, d=model.latent_dim, encode=encode: seen.append((d, len(x))) or encode(x)
    support, generator = detector.normalise.support(), torch.Generator().manual_seed(0)
    detector.normalise.fit(events(IMAGE, 50, False, 1), generator)
    x = detector.normalise(events(IMAGE, 10, False, 1))
    drawn = detector.sampler(support, generator).draw(detector.energy, x, detector.normalise.support(), generator)
    assert [stage.shape for stage in drawn] == [x.shape] * 3
    first = {}
    for d, n in seen:
        first.setdefault(d, n)
    assert first == {2: 4, 3: 3, 5: 3}


def test_negatives_that_stay_far_from_background_are_told():
    """With the chain that they left it by: noise of every pixel by itself is no blob, one along its components is."""
    noisy = VISIBLE_CHAIN | {"noise_std": 0.5}
    facts = [fitted("NAE", IMAGE, ENERGY | {"visible_chain": chain})[1].facts for chain in (noisy, ALONG)]
    assert facts[0]["negatives_distance"] > 3
    assert facts[0]["far"].startswith("visible_chain: the negative samples end far from background (E- = ")
    assert "components" in facts[0]["far"]
    assert facts[1]["negatives_distance"] < 1.5
    assert "far" not in facts[1]


def test_a_chain_along_components_goes_down_the_energy_in_units_of_background():
    """One step without noise is -step L L^T grad E, E = e / e0, and it stays in the plane of the components."""
    chain = ALONG | {"n_steps": 1, "noise_std": 0.0, "step_size": 1e-3}
    detector, _, _ = fitted("NAE", IMAGE, NO_LATENT | {"visible_chain": chain, "start": "data"})
    x, generator = detector.normalise(events(IMAGE, 20, False, 5)), torch.Generator()
    support = Support(directions=detector.support().directions)  # without bounds
    moved = detector.sampler(support, generator).draw(detector.energy, x, support, generator).x - x
    y = x.clone().requires_grad_(True)
    detector.energy(y).sum().backward()
    axes = detector.directions
    expected = -1e-3 * y.grad.flatten(1) @ axes @ axes.T
    torch.testing.assert_close(moved.flatten(1), expected, atol=2e-6, rtol=2e-2)
    assert detector.energy.scale < 0.5  # raw steps would be others


def unfitted(changed):
    """An NAE of images that knows their scale alone."""
    detector = detectors.build({"type": "NAE", "arguments": ENERGY | changed}, IMAGE, 3)
    detector.normalise.fit(events(IMAGE, 800, False, 1), torch.Generator())
    return detector.eval()


@pytest.mark.parametrize(("latent", "middle", "chain"), [
    (True, 9.0, "latent_chain"), (True, 1.0, "visible_chain"), (False, 9.0, "visible_chain"),
])  # fmt: skip
def test_the_chain_is_named_that_leaves_background(latent, middle, chain):
    """By the energy alone: the points are those of background, and the energy is put in their place."""
    detector = unfitted({"visible_chain": ALONG})
    x = detector.normalise(events(IMAGE, 300, False, 1))

    class Drawn:
        def draw(self, *_):
            return SimpleNamespace(middle=x[100:200], x=x[200:])

    sampler = Drawn()
    sampler.visible = detector.settings.visible_chain
    if latent:
        sampler.latent = detector.settings.latent_chain
    values = iter((1.0, middle, 9.0))
    energy = detector.energy
    energy.forward = lambda part: torch.full((len(part),), next(values))
    found = detector._look_at_negatives(x[100:], x[:100], sampler, None, None)
    assert found["far"].startswith(f"{chain}: the negative samples end far from background (E- = 9 ")
    assert "'components'" not in found["far"]  # which it has
    assert found["negatives_distance"] < 1.5


def test_chains_that_diverge_after_the_training_cost_a_word_and_not_the_model():
    class Lost:
        def draw(self, *_):
            raise DivergenceError("visible_chain: a Langevin chain left the finite numbers.")

    detector = unfitted({})
    x = detector.normalise(events(IMAGE, 50, False, 1))
    found = detector._look_at_negatives(x, x, Lost(), None, None)
    assert found == {"far": "visible_chain: a Langevin chain left the finite numbers."}


def test_the_directions_are_the_largest_of_the_covariance():
    detector, _, _ = fitted("NAE", IMAGE, ENERGY | {"visible_chain": ALONG})
    x = detector.normalise(events(IMAGE, 800, False, 1)).flatten(1)
    covariance = torch.cov(x.T)
    kept = detector.directions @ detector.directions.T
    eigenvalues = torch.linalg.eigvalsh(covariance).flip(0)
    torch.testing.assert_close(kept.trace(), eigenvalues[:8].sum(), rtol=1e-3, atol=0)  # the largest ones
    assert torch.linalg.matrix_norm(covariance - kept, 2) < 1.01 * eigenvalues[8]


def test_the_wasserstein_loss_reaches_the_energy_through_the_chain():
    detector = detectors.build({"type": "WNAE", "arguments": NO_LATENT}, VECTOR, 0)
    generator = torch.Generator().manual_seed(0)
    detector.normalise.fit(events(VECTOR, 50, False, 1), generator)
    x, support = detector.normalise(events(VECTOR, 16, False, 1)), detector.normalise.support()
    sample = detector.sampler(support, generator).draw(detector.energy, x, support, generator).x
    value = detector.loss(None, None, x, sample)
    value.backward()
    slope = detector.energy.autoencoder.encoder[1][0].weight.grad
    assert slope.abs().max() > 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "AEE"}, "Did you mean 'AE'"),
        ({"type": "AE", "arguments": {"autoencoder": {"latnt": 3}, "training": SHORT}}, "Did you mean 'latent_dim'"),
        ({"type": "AE", "arguments": {"training": {"step": 3}}}, "Did you mean 'steps'"),
        (
            {"type": "AE", "arguments": {"autoencoder": {"network": "resnet"}, "training": SHORT}},
            "Allowed: dense, heidelberg",
        ),
        ({"type": "AE", "arguments": {"autoencoder": {"latent_dim": 1}, "training": SHORT}}, "too small"),
        ({"type": "MPDR", "arguments": ENERGY | {"recovery": {"sigma": [0.3, 0.1]}}}, "sigma"),
        ({"type": "MPDR", "arguments": ENERGY | {"autoencoder": {"sphere": False}}}, "autoencoder: sphere"),
        ({"type": "MPDR", "arguments": ENERGY | {"manifolds": 4}}, "manifolds: 4 .* list of whole numbers"),
        (
            {"type": "MPDR", "arguments": ENERGY | {"objective": {"events": 2}, "manifolds": [2, 3, 4]}},
            "objective: events",
        ),
        (
            {"type": "MPDR", "arguments": ENERGY | {"visible_chain": METROPOLIS}},
            "'metropolis' accepts nothing on images",
        ),
        (
            {"type": "MPDR", "arguments": ENERGY | {"visible_chain": METROPOLIS | {"components": 3}}},
            "components >= 0 without 'metropolis'",
        ),
        (
            {"type": "NAE", "arguments": ENERGY | {"visible_chain": ALONG | {"components": 145}}},
            "visible_chain: components: an event has 144 numbers, not 145",
        ),
        *(
            (
                {"type": name, "arguments": arguments | {"visible_chain": ALONG}},
                "components: chains that start in noise",
            )
            for name, arguments in (
                ("NAE", NO_LATENT | {"start": "persistent"}),
                ("IGEBM", PLAIN_SCALAR),
                ("WNAE", NO_LATENT),
                ("DRL", PLAIN_SCALAR | {"weight": 1e-3}),
            )
        ),
        (
            {"type": "NAE", "arguments": ENERGY | {"latent_chain": LATENT_CHAIN | {"components": 3}}},
            "latent_chain: .* without 'metropolis' and 'components'",
        ),
        (
            {"type": "NAE", "arguments": NO_LATENT | {"start": "data", "replay": 0.5}},
            "replay, buffer: .* leave them out",
        ),
        (
            {"type": "IGEBM", "arguments": PLAIN_SCALAR | {"start": "data", "buffer": 10}},
            "replay, buffer: .* leave them",
        ),
        (
            {"type": "DRL", "arguments": PLAIN_SCALAR | {"visible_chain": VISIBLE_CHAIN | {"anneal": True}}},
            r"visible_chain: step_size: 1\.0 overshoots",
        ),
        ({"type": "DRL", "arguments": PLAIN_SCALAR}, r"visible_chain: step_size: 0\.5 .* 2 sigma\^2 / weight = 0\.005"),
        ({"type": "MPDR", "arguments": ENERGY | {"masked": {"share": 0.5}}}, "masked: the energy is 'reconstruction'"),
        ({"type": "MPDR", "arguments": ENERGY | {"kind": "vector"}}, "Allowed: masked, reconstruction, scalar"),
        ({"type": "ConvVAE", "arguments": {"training": SHORT, "flow": {"type": "planar"}}}, "Did you mean 'Planar'"),
        ({"type": "Variable", "arguments": {"variable": "mass"}}, "mass"),
    ],
)
def test_bad_settings_name_themselves(spec, message):
    with pytest.raises(InputError, match=message):
        detectors.build(spec, IMAGE, 0)


def test_a_model_of_an_earlier_version_is_told_apart_from_a_damaged_one(tmp_path):
    arguments = {"autoencoder": SMALL, "training": SHORT}
    former = {"autoencoder": {"hidden": [128], "latent": 4}, "training": SHORT}
    path = tmp_path / "model.safetensors"
    detectors.save(
        detectors.build({"type": "AE", "arguments": arguments}, IMAGE, 0), path, {"type": "AE", "arguments": former}
    )
    with pytest.raises(InputError) as caught:
        detectors.load(path)
    reason = "'autoencoder: hidden' is called 'hidden_dims' now."
    assert str(caught.value) == f"{path}: a model of an earlier version of hepad: {reason} Train it again."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"training": {"steps": 3, "rate": 0.1}}, "'training: rate' is called 'learning_rate' now"),
        ({"training": SHORT, "compress": 4}, "'compress' is called 'n_components' now"),
    ],
)
def test_arguments_of_an_earlier_version_are_told_their_names_of_today(arguments, message):
    with pytest.raises(InputError, match=message):
        detectors.build({"type": "AE", "arguments": arguments}, IMAGE, 0)


def test_damaged_model_files_are_refused(tmp_path):
    detector, _, spec = fitted("PixelNorm", IMAGE, {})
    path = tmp_path / "model.safetensors"
    detectors.save(detector, path, spec)
    whole = path.read_bytes()
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a usable hepad model"):
            detectors.load(path)
    with pytest.raises(InputError, match="there is no such file"):
        detectors.load(tmp_path / "absent.safetensors")


def test_signal_cannot_enter_a_fit():
    # the whole interface of fitting: background for training, background for validation, randomness, progress
    import inspect

    assert list(inspect.signature(Detector.fit).parameters) == [
        "self", "train", "valid", "generator", "progress", "checkpoint"
    ]  # fmt: skip
    overriding = [cls for cls in DETECTORS.values() if "fit" in vars(cls)]
    assert not overriding, "detectors implement _fit; fit itself is shared"


def test_energy_detector_differs_from_its_start():
    detector, _, _ = fitted("NAE", IMAGE, ENERGY | {"training": {"steps": 200, "batch": 64}})
    before, _, _ = fitted("AE", IMAGE, {"autoencoder": SMALL, "training": SHORT})
    x = events(IMAGE, 500, False, 4)
    assert isinstance(detector, NAE)
    assert spearmanr(before.score(x).numpy(), detector.score(x).numpy()).statistic < 0.99


def test_looking_at_the_validation_events_does_not_move_the_training(monkeypatch):
    # layers of spectral norm one take a power iteration at every call of a module that is being trained
    whole = fitted("IGEBM", VECTOR, PLAIN_SCALAR)[0].state_dict()
    monkeypatch.setattr("hepad.detectors.energy_based.base.in_blocks", lambda f, x: in_blocks(f, x, size=10))
    for name, tensor in fitted("IGEBM", VECTOR, PLAIN_SCALAR)[0].state_dict().items():
        assert torch.equal(tensor, whole[name]), name
