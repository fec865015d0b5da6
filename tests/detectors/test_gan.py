"""WGAN-GP: the penalty of critics of known slope, the distance, the terms of the score, a generated normal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from hepad import detectors
from hepad.detectors.gan import gradient_penalty, sliced_wasserstein
from hepad.detectors.training.loop import Fitting
from hepad.errors import CollapseError, InputError
from hepad.progress import Progress
from hepad.representations import Space

PLANE = Space((2,), ("a", "b"))
COVARIANCE = np.array([[2.0, 0.8], [0.8, 1.0]])
MEAN = np.array([3.0, -1.0])
DENSE = {"hidden_dims": [64, 64], "latent_dim": 2, "sphere": False}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n)).float()


def wgan(space: Space, **arguments):
    given = {
        "autoencoder": DENSE,
        "training": {"steps": 400, "batch": 128, "learning_rate": 2e-3, "ema_decay": 0.97},
        "encoding": {"steps": 200, "learning_rate": 3e-3},
        "ratio": 3,
        "penalty": 1.0,
    }
    return detectors.build({"type": "WGAN", "arguments": given | arguments}, space, 0)


@pytest.fixture(scope="module")
def fitted():
    detector = wgan(PLANE)
    fit = detector.fit(normal(4000, 1), normal(1000, 2), generator=generator())
    return detector, fit


def test_penalty_of_a_critic_of_known_slope():
    slope = torch.tensor([0.6, -0.8, 2.0]).view(3, 1, 1).expand(3, 2, 2)  # of norm 2 (0.36 + 0.64 + 4)^(1/2)
    x, y = torch.rand(2, 5, 3, 2, 2, generator=generator())
    got = gradient_penalty(lambda e: (slope * e).sum((1, 2, 3)) + 7, x, y, torch.rand(5, generator=generator(1)))
    torch.testing.assert_close(got, torch.full((5,), (20**0.5 - 1) ** 2))


def test_penalty_is_taken_between_the_pairs():
    # grad |e|^2 / 2 = e: the penalty tells where each event's slope was taken
    x, y, t = torch.zeros(4, 2), torch.tensor([[3.0, 4.0]]).repeat(4, 1), torch.tensor([0.0, 0.5, 0.8, 1.0])
    got = gradient_penalty(lambda e: 0.5 * e.square().sum(1), x, y, t)
    torch.testing.assert_close(got, (5 * (1 - t) - 1).square())


def test_penalty_pulls_the_slope_to_one():
    slope = torch.tensor([3.0, 4.0], requires_grad=True)
    x, y = torch.rand(2, 6, 2, generator=generator())
    gradient_penalty(lambda e: e @ slope, x, y, torch.rand(6)).mean().backward()
    torch.testing.assert_close(slope.grad, 2 * (5 - 1) * torch.tensor([0.6, 0.8]))


def test_sliced_distance():
    x, y = normal(500, 3), normal(500, 4)
    directions = torch.nn.functional.normalize(torch.randn(10, 2, generator=generator()), dim=1)
    exact = [wasserstein_distance((x @ u).numpy(), (y @ u).numpy()) for u in directions]
    assert sliced_wasserstein(x, y, directions).item() == pytest.approx(np.mean(exact), rel=1e-4)
    assert sliced_wasserstein(x, x.flip(0), directions) == 0
    shift = torch.tensor([1.0, 2.0])
    expected = (directions @ shift).abs().mean()
    torch.testing.assert_close(sliced_wasserstein(x, x + shift, directions), expected)


def test_generated_events_have_mean_and_covariance(fitted):
    detector, _ = fitted
    x = detector.generate(20_000, generator(1))
    np.testing.assert_allclose(x.mean(0).numpy(), MEAN, atol=0.2)
    np.testing.assert_allclose(np.cov(x.T.numpy()), COVARIANCE, atol=0.4)
    assert torch.equal(detector.generate(20_000, generator(1)), x)


def test_history_has_both_phases_and_the_best_state_is_kept(fitted):
    _, fit = fitted
    phases = {phase: [r for r in fit.history if r["phase"] == phase] for phase in ("adversaries", "encoder")}
    assert phases["adversaries"][-1]["step"] == 400
    assert phases["encoder"][-1]["step"] == 200
    best = min(r["valid_loss"] for r in phases["adversaries"])
    assert fit.facts["sliced_wasserstein"] == pytest.approx(best, rel=1e-5)
    # a critic of slope one measures a distance: it falls as the generator learns
    distance = [r["distance"] for r in phases["adversaries"]]
    assert np.mean(distance[-5:]) < 0.5 * max(distance)
    assert phases["adversaries"][-1]["slope_penalty"] < 0.1


def test_both_terms_are_one_on_background(fitted):
    detector, _ = fitted
    x = detector.normalise(normal(4000, 1))
    with torch.no_grad():
        torch.testing.assert_close((detector.residuals(x) / detector.scale).mean(0), torch.ones(2))
        decoded = detector.model(x)
        image = (x - decoded).square().mean(1)
        feature = (detector.critic.features(x) - detector.critic.features(decoded)).square().mean(1)
        for weight in (0.0, 0.3, 1.0):
            detector.settings = replace(detector.settings, residual_weight=weight)
            expected = weight * image / image.mean() + (1 - weight) * feature / feature.mean()
            torch.testing.assert_close(detector.anomaly(x), expected, rtol=1e-4, atol=1e-6)
    detector.settings = replace(detector.settings, residual_weight=0.5)


def test_the_encoder_is_trained_with_the_others_fixed():
    detector = wgan(PLANE)
    train, valid = normal(500, 1), normal(100, 2)
    detector.normalise.fit(train, generator())
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    fitting = Fitting(generator(), Progress("WGAN"))
    detector._fit_encoder(detector.normalise(train), detector.normalise(valid), fitting)
    moved = {name for name, tensor in detector.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.startswith("model.encoder.")}
    assert all(p.requires_grad for p in detector.parameters())


def test_the_critic_is_kept_beside_its_generator(fitted):
    detector, _ = fitted
    with torch.no_grad():
        real = detector.critic(detector.normalise(normal(2000, 5))).mean()
        far = detector.critic(detector.normalise(normal(2000, 5) + 20)).mean()
    assert real > far + 1  # a critic that has learned: background is real, what lies far off is not


def test_objects_that_are_never_there_are_not_generated():
    rng = np.random.default_rng(0)
    space = Space((1, 2, 2), ("jet1_px", "jet1_py", "jet2_px", "jet2_py"), objects=True)
    x = torch.from_numpy(rng.normal(100, 20, (1200, 1, 2, 2))).float()
    x[:, :, 1] = 0
    detector = wgan(space)
    detector.fit(x[:1000], x[1000:], generator=generator())
    drawn = detector.generate(500, generator(1))
    assert (drawn[:, :, 1] == 0).all(-1).float().mean() > 0.9
    decoded = detector.reconstruct(x[1000:])
    assert (decoded[:, :, 1] == 0).all()
    assert (decoded[:, :, 0] != 0).all()


def test_a_generator_that_has_learned_nothing_is_refused():
    with pytest.raises(CollapseError, match="no better than its mean event"):
        wgan(PLANE, training={"steps": 1, "learning_rate": 1e-9}, encoding={"steps": 1, "learning_rate": 1e-9}).fit(
            normal(500, 1), normal(100, 2), generator=generator()
        )


@pytest.mark.parametrize("arguments", [{"residual_weight": 1.5}, {"ratio": 0}, {"penalty": 0.0}, {"features": 0}])
def test_bad_settings_name_themselves(arguments):
    with pytest.raises(InputError, match="WGAN: ratio, features"):
        wgan(PLANE, **arguments)
