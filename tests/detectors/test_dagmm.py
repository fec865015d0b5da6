"""DAGMM: its energy and its mixture beside an independent computation, and what keeps both finite."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from hepad import detectors
from hepad.detectors.baselines import mixture_energy
from hepad.detectors.dagmm import LEAST_VARIANCE, mixture_of
from hepad.errors import DivergenceError, InputError
from hepad.representations import Space

SPACE = Space((6,), tuple("abcdef"))
SHORT = {"steps": 60, "batch": 64, "learning_rate": 3e-3}
ARGUMENTS = {"hidden_dims": [16], "latent_dim": 2, "n_gaussians": 3, "training": SHORT}


def built(**changed):
    return detectors.build({"type": "DAGMM", "arguments": ARGUMENTS | changed}, SPACE, 1)


def background(count, seed):
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(0).normal(size=(2, 6))
    return torch.tensor(rng.normal(size=(count, 2)) @ plane + 0.1 * rng.normal(size=(count, 6)), dtype=torch.float32)


@pytest.fixture(scope="module")
def fitted():
    detector = built()
    detector.fit(background(600, 1), background(200, 2), generator=torch.Generator().manual_seed(1))
    return detector


def independent(z, gamma):
    """phi, mu, Sigma of the paper's equation 5, one Gaussian and one event at a time."""
    phi = gamma.mean(0)
    mu = np.array([np.average(z, axis=0, weights=gamma[:, k]) for k in range(gamma.shape[1])])
    sigma = np.array([
        sum(g * np.outer(row - mu[k], row - mu[k]) for g, row in zip(gamma[:, k], z, strict=True)) / gamma[:, k].sum()
        for k in range(gamma.shape[1])
    ])  # fmt: skip
    return phi, mu, sigma + LEAST_VARIANCE * np.eye(z.shape[1])


def energy_of(z, phi, mu, sigma):
    logs = [np.log(p) + multivariate_normal(m, s).logpdf(z) for p, m, s in zip(phi, mu, sigma, strict=True)]
    return -logsumexp(logs, axis=0)


def test_mixture_and_energy_of_equations_5_and_6():
    rng = np.random.default_rng(0)
    z, gamma = rng.normal(size=(80, 4)) @ rng.normal(size=(4, 4)), softmax(rng.normal(size=(80, 3)), axis=1)
    phi, mu, sigma = independent(z, gamma)
    log_weight, means, root, variances = mixture_of(torch.tensor(z), torch.tensor(gamma))
    np.testing.assert_allclose(log_weight.exp(), phi)
    np.testing.assert_allclose(means, mu)
    np.testing.assert_allclose(np.linalg.inv(root.numpy() @ root.numpy().transpose(0, 2, 1)), sigma, atol=1e-10)
    np.testing.assert_allclose(variances, np.diagonal(sigma, axis1=1, axis2=2))
    energy = mixture_energy(torch.tensor(z), log_weight, means, root)
    np.testing.assert_allclose(energy, energy_of(z, phi, mu, sigma))


def test_the_score_is_the_energy_under_the_mixture_of_all_training_events(fitted):
    with torch.no_grad():
        z = {n: fitted.compress(fitted.normalise(background(600 if n == 1 else 50, n)))[0].double() for n in (1, 4)}
        gamma = fitted.estimate(z[1].float()).double()
    expected = energy_of(z[4].numpy(), *independent(z[1].numpy(), gamma.numpy()))
    np.testing.assert_allclose(fitted.score(background(50, 4)), expected, rtol=1e-3, atol=1e-3)


def test_code_and_errors_of_an_event(fitted):
    x = fitted.normalise(background(20, 5))
    with torch.no_grad():
        z, error = fitted.compress(x)
        code, made = fitted.model.encode(x), fitted.model(x)
    assert z.shape == (20, 4)
    assert torch.equal(z[:, :2], code)
    relative = np.linalg.norm(x - made, axis=1) / np.linalg.norm(x, axis=1)
    cosine = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(x.numpy(), made.numpy(), strict=True)]
    np.testing.assert_allclose(z[:, 2], relative, rtol=1e-3)
    np.testing.assert_allclose(z[:, 3], cosine, atol=1e-3)
    np.testing.assert_allclose(error, np.square((x - made).numpy()).sum(1), rtol=1e-5)


def test_the_event_at_the_mean_has_a_finite_score(fitted):
    assert torch.isfinite(fitted.score(background(600, 1).mean(0, keepdim=True))).all()


def test_far_events_have_no_nan(fitted):
    far = background(2, 5)
    far[1, 0] = 1e20
    assert not torch.isnan(fitted.score(far)).any()
    assert fitted.score(far)[1] > fitted.score(far)[0]


def test_the_objective_is_the_sum_of_its_three_parts():
    detector = built(energy_weight=0.3, covariance_weight=0.02)
    x = background(100, 3)
    with torch.no_grad():
        value, parts = detector.objective(x)
        z = detector.compress(x)[0].double()
        sigma = independent(z.numpy(), detector.estimate(z.float()).double().numpy())[2]
    penalty = (1 / np.diagonal(sigma, axis1=1, axis2=2)).sum()
    expected = parts["reconstruction"] + 0.3 * parts["energy"] + 0.02 * penalty
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_dropout_keeps_the_mean_of_the_hidden_units():
    detector, z = built(dropout=0.4), torch.randn(1, 4).expand(200_000, 4)
    seen = []
    detector.shares.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    detector.estimate(z, torch.Generator().manual_seed(0))
    detector.estimate(z[:1])
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.4, abs=2e-3)
    torch.testing.assert_close(seen[0].mean(0), seen[1][0], rtol=0.02, atol=1e-3)


def test_a_singular_covariance_is_a_divergence_and_not_a_crash(monkeypatch):
    monkeypatch.setattr("hepad.detectors.dagmm.LEAST_VARIANCE", -1.0)
    _, _, root, _ = mixture_of(torch.ones(10, 3).double(), torch.full((10, 2), 0.5).double())
    assert root.isnan().any()
    with pytest.raises(DivergenceError):
        built().fit(background(100, 1), background(50, 2), generator=torch.Generator().manual_seed(1))


def test_a_score_of_one_gaussian_is_half_a_mahalanobis_distance():
    rng = np.random.default_rng(2)
    z = torch.tensor(rng.normal(size=(500, 3)))
    log_weight, mu, root, _ = mixture_of(z, torch.ones(500, 1).double())
    centred = z.numpy() - z.numpy().mean(0)
    covariance = centred.T @ centred / 500 + LEAST_VARIANCE * np.eye(3)
    distance = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    constant = 1.5 * math.log(2 * math.pi) + 0.5 * np.linalg.slogdet(covariance)[1]
    np.testing.assert_allclose(mixture_energy(z, log_weight, mu, root), distance / 2 + constant)


@pytest.mark.parametrize(
    "arguments", [{"n_gaussians": 0}, {"dropout": 1.0}, {"energy_weight": -1.0}, {"estimation": 0}]
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(InputError, match="DAGMM"):
        built(**arguments)
