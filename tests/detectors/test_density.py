"""Flow densities and latent mixtures: known densities, the Jacobian of the normalisation, discrete columns."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, poisson
from sklearn.mixture import GaussianMixture

from hepad import detectors
from hepad.detectors.baselines import Gaussians
from hepad.detectors.density import FLOW_KINDS, lattice, spread
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

PLANE = Space((2,), ("a", "b"))
COVARIANCE = np.array([[4.0, 1.8], [1.8, 1.0]])
MEAN = np.array([3.0, -1.0])
TRAINING = {"steps": 300, "batch": 128, "learning_rate": 3e-3, "ema_decay": 0.98}


def normal(n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n)).float()


def fitted(space: Space, train: torch.Tensor, valid: torch.Tensor, **arguments):
    spec = {
        "type": "FlowDensity",
        "arguments": {"hidden_dims": [32, 32], "transforms": 2, "training": TRAINING} | arguments,
    }
    detector = detectors.build(spec, space, 0)
    return detector, detector.fit(train, valid, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=FLOW_KINDS)
def flow(request):
    return fitted(PLANE, normal(6000, 1), normal(2000, 2), kind=request.param)[0]


def log_scale(detector) -> float:
    """sum_k log(scale_k): what turns the density of normalised events into that of events."""
    return detector.normalise.scale.log().sum().item()


def test_mean_score_of_a_normal_distribution_is_its_entropy(flow):
    x = normal(20_000, 3)
    exact = -multivariate_normal(MEAN, COVARIANCE).logpdf(x.numpy())
    entropy = 0.5 * math.log(np.linalg.det(2 * math.pi * math.e * COVARIANCE))
    score = flow.score(x).double().numpy() + log_scale(flow)
    excess = (score - exact).mean()  # the Kullback-Leibler divergence from the truth to the model
    assert excess > -4 * (score - exact).std() / math.sqrt(len(x))
    assert excess < 0.03
    assert score.mean() == pytest.approx(entropy, abs=0.03 + 4 * score.std() / math.sqrt(len(x)))


def test_density_integrates_to_one(flow):
    a, b = torch.linspace(-15, 21, 300), torch.linspace(-10, 8, 300)
    points = torch.cartesian_prod(a, b)
    cell = (a[1] - a[0]) * (b[1] - b[0])
    inside = torch.exp(-flow.score(points).double() - log_scale(flow)).sum().item() * cell.item()
    assert inside == pytest.approx(1, abs=0.01)


def test_generated_events_have_the_covariance(flow):
    x = flow.generate(20_000, torch.Generator().manual_seed(1)).numpy()
    assert x.shape == (20_000, 2)
    np.testing.assert_allclose(x.mean(0), MEAN, atol=0.15)
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, atol=0.45)
    again = flow.generate(20_000, torch.Generator().manual_seed(1)).numpy()
    np.testing.assert_array_equal(x, again)


def test_lattices_are_found_and_continuous_columns_are_not():
    rng = np.random.default_rng(0)
    columns = [
        rng.poisson(30, 2000),
        rng.choice([-1, 1], 2000),
        4 + 0.5 * rng.integers(0, 9, 2000),
        rng.normal(500, 80, 2000),
        np.where(rng.random(2000) < 0.7, 0, rng.exponential(1, 2000)),
        np.full(2000, 7.0),
    ]
    x = torch.from_numpy(np.stack(columns, 1)).float()
    scale = x.std(0).clamp(min=1)
    origin, unit = lattice((x - x.mean(0)) / scale)
    np.testing.assert_allclose((unit * scale).numpy(), [1, 2, 0.5, 0, 0, 0], rtol=1e-4)
    np.testing.assert_allclose((origin * scale + x.mean(0)).numpy()[:3], x.amin(0).numpy()[:3], atol=1e-3)
    width = spread((x - x.mean(0)) / scale, unit)
    assert torch.equal(width[:, 4] > 0, x[:, 4] == 0)  # the spike, not the tail beside it
    assert (width[:, 5] > 0).all()
    assert (width[:, 3] == 0).all()


def test_density_of_counts_is_their_probability():
    # n is Poisson and independent of t: p(n, t) = P(n) p(t) with cells of one unit
    rng = np.random.default_rng(0)
    space = Space((2,), ("n", "t"))

    def sample(n: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([rng.poisson(20, n), rng.normal(size=n)], 1)).float()

    train = sample(8000)
    detector, fit = fitted(space, train, sample(2000), kind="MAF")
    assert fit.facts["dequantised"] == ["n"]
    counts = torch.arange(12.0, 30.0)
    score = detector.score(torch.stack([counts, torch.zeros(len(counts))], 1)).double() + log_scale(detector)
    exact = -poisson(20).logpmf(counts.numpy()) + 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(score.numpy(), exact, atol=0.2)
    drawn = detector.generate(1000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn[:, 0], drawn[:, 0].round(), rtol=0, atol=1e-3)
    assert torch.equal(detector.score(train[:50]), detector.score(train[:50]))  # no noise in a score


def test_a_constant_column_does_not_run_away():
    x, valid = (torch.cat([normal(n, seed), torch.full((n, 1), 91.2)], 1) for n, seed in ((3000, 1), (500, 2)))
    space = Space((3,), ("a", "b", "c"))
    detector, fit = fitted(space, x, valid, kind="MAF")
    assert fit.facts["dequantised"] == ["c"]
    # two normal columns and a uniform one of width 0.1, log(0.1) = -2.3, in normalised units
    r = COVARIANCE[0, 1] / math.sqrt(COVARIANCE[0, 0] * COVARIANCE[1, 1])
    entropy = 1 + math.log(2 * math.pi) + 0.5 * math.log(1 - r**2) + math.log(0.1)
    assert fit.facts["negative_log_likelihood"] == pytest.approx(entropy, abs=0.35)
    shifted = valid.clone()
    shifted[:, 2] = 95
    assert detector.score(shifted).min() > detector.score(valid).quantile(0.99)


def test_objects_that_are_absent_are_generated_as_absent():
    rng = np.random.default_rng(0)
    space = Space((1, 2, 2), ("jet1_px", "jet1_py", "jet2_px", "jet2_py"), objects=True)
    x = torch.from_numpy(rng.normal(100, 20, (4000, 1, 2, 2))).float()
    x[:, :, 1] *= torch.from_numpy(rng.random(4000) < 0.5).view(-1, 1, 1)
    detector, _ = fitted(space, x[:3500], x[3500:])
    there = (detector.generate(2000, torch.Generator().manual_seed(0)) != 0).any(-1).float().mean(0)[0]
    assert there[0] > 0.95
    assert 0.4 < there[1] < 0.75


def test_untrained_flow_is_refused():
    with pytest.raises(CollapseError, match="learned nothing"):
        fitted(PLANE, normal(2000, 1), normal(500, 2), kind="MAF", training={"steps": 1, "learning_rate": 1e-9})


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (PLANE, {"kind": "Planar"}, "Allowed: MAF, NSF, RealNVP"),
        (Space((1, 8, 8), (), 64), {}, "set 'n_components'"),
        (Space((1,), ("a",)), {}, "2 or more"),
        (PLANE, {"transforms": 0}, "transforms >= 1"),
    ],
)
def test_bad_settings_name_themselves(space, arguments, message):
    with pytest.raises(InputError, match=message):
        detectors.build({"type": "FlowDensity", "arguments": arguments | {"training": TRAINING}}, space, 0)


def test_gaussians_agree_with_scikit_learn_and_choose_by_bic():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(center, 0.3, (700, 2)) for center in ((0, 0), (4, 0), (0, 4))])
    gaussians = Gaussians(2, [1, 2, 3, 6])
    facts = gaussians.fit(torch.from_numpy(y).float(), torch.Generator().manual_seed(0))
    assert facts["n_gaussians"] == 3
    standard = (y - y.mean(0)) / y.std(0, ddof=1)
    oracle = GaussianMixture(3, reg_covar=1e-3, random_state=1).fit(standard)
    got = gaussians(torch.from_numpy(y).float()).numpy()
    np.testing.assert_allclose(got, -oracle.score_samples(standard), atol=0.02)


def test_one_gaussian_is_the_mahalanobis_distance():
    y = normal(4000, 5)
    gaussians = Gaussians(2, 1)
    gaussians.fit(y, torch.Generator())
    d = (y - y.mean(0)).double().numpy()
    mahalanobis = np.einsum("bi,ij,bj->b", d, np.linalg.inv(np.cov(d.T)), d)
    got = gaussians(y).double().numpy()
    np.testing.assert_allclose(np.corrcoef(got, mahalanobis)[0, 1], 1, atol=1e-3)
    assert np.polyfit(mahalanobis, got, 1)[0] == pytest.approx(0.5, rel=0.02)


AUTOENCODER = {"hidden_dims": [16], "latent_dim": 2, "sphere": False}
CHAINS = {"pretraining": {"steps": 2}, "visible_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1}}
OF = [
    {"type": "AE", "autoencoder": AUTOENCODER},
    {"type": "ConvVAE", "network": "dense", "latent_dim": 2},
    {"type": "NAE", "autoencoder": AUTOENCODER, "start": "data", **CHAINS},
    {"type": "WNAE", "autoencoder": AUTOENCODER, **CHAINS},
    {"type": "MPDR", "autoencoder": {"latent_dim": 2}, "latent_chain": CHAINS["visible_chain"], **CHAINS},
]


@pytest.mark.parametrize("of", OF, ids=lambda of: of["type"])
def test_latents_of_every_kind(of):
    spec = {"type": "LatentMixture", "arguments": {"of": of, "training": {"steps": 2}, "n_gaussians": [1, 4]}}
    detector = detectors.build(spec, Space((3,), ("a", "b", "c")), 0)
    assert detector.gaussians.mu.shape == (4, 2)


def test_latent_mixture_is_the_density_of_the_codes():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2000, 2)) @ rng.normal(size=(2, 5)) * 30 + 100).float()
    spec = {
        "type": "LatentMixture",
        "arguments": {"of": OF[0], "training": {"steps": 300, "learning_rate": 3e-3}, "n_gaussians": 2},
    }
    detector = detectors.build(spec, Space((5,), tuple("abcde")), 0)
    fit = detector.fit(x[:1500], x[1500:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = detector.of.model.encode(detector.of.normalise(detector.normalise(x)))
    torch.testing.assert_close(detector.score(x), detector.gaussians(codes))
    # the inner normalisation finds nothing left to do
    torch.testing.assert_close(detector.of.normalise.mean, torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(detector.of.normalise.scale, torch.ones(5), atol=1e-4, rtol=0)
    assert fit.facts["r2"] > 0.9
    assert fit.facts["n_gaussians"] == 2
    assert (detector.reconstruct(x) - x).square().mean() < 0.1 * x.var(0).mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"of": {"type": "IGEBM"}}, "Allowed: AE, ConvVAE, MPDR, NAE, WNAE"),
        ({"of": {"autoencoder": AUTOENCODER}}, "type 'None' is unknown"),
        ({"of": OF[0] | {"training": {"steps": 2}}}, "belongs beside 'of'"),
        ({"of": OF[0], "n_gaussians": [0, 2]}, "n_gaussians >= 1"),
    ],
)
def test_bad_latent_mixtures_name_themselves(arguments, message):
    with pytest.raises(InputError, match=message):
        detectors.build(
            {"type": "LatentMixture", "arguments": arguments | {"training": {"steps": 2}}}, Space((3,), tuple("abc")), 0
        )
