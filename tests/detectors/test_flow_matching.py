"""Flow matching: the velocity of Gaussian background is known, and the flow makes it out of noise."""

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.detectors.flow_matching import SIGMA
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

SPACE = Space((3,), tuple("abc"))
TRAINING = {"steps": 3000, "batch": 1024, "learning_rate": 2e-2}
MIXING = np.array([[1, 0.9, 0], [0, 0.5, 0.6], [0, 0, 0.9]])


def gaussian(count, seed):
    return torch.tensor(5 + np.random.default_rng(seed).normal(size=(count, 3)) @ MIXING, dtype=torch.float32)


def built(space=SPACE, **changed):
    arguments = {"hidden_dims": [32, 32], "training": TRAINING} | changed
    return detectors.build({"type": "FlowMatching", "arguments": arguments}, space, 1)


@pytest.fixture(scope="module")
def fitted():
    detector = built()
    detector.fit(gaussian(8000, 1), gaussian(500, 2), generator=torch.Generator().manual_seed(1))
    return detector


def analytic(detector, x, t):
    """v(x, t) of normalised events under the Gaussian of the training events: the regression of x_1 - x_0 on x_t."""
    events = detector.normalise(gaussian(8000, 1)).numpy().astype(np.float64)
    mean, covariance, k = events.mean(0), np.cov(events.T), 1 - (1 - SIGMA) * t
    with_x = t * covariance - (1 - SIGMA) * k * np.eye(3)
    return mean + (x.numpy() - t * mean) @ np.linalg.inv(k**2 * np.eye(3) + t**2 * covariance) @ with_x


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_velocity_of_gaussian_background(fitted, t):
    rng = np.random.default_rng(3)
    k = 1 - (1 - SIGMA) * t  # where the paths are at this time
    background = fitted.normalise(gaussian(4000, 4)).numpy()
    x = torch.tensor(k * rng.normal(size=(4000, 3)) + t * background, dtype=torch.float32)
    with torch.no_grad():
        found = fitted.velocity(x, torch.full((4000, 1), t)).numpy()
    expected = analytic(fitted, x, t)
    assert np.square(found - expected).mean() < 0.02 * np.square(expected).mean()


def test_the_score_is_the_mean_squared_velocity_at_the_event(fitted):
    x = gaussian(500, 5)
    normal = fitted.normalise(x)
    expected = np.mean([np.square(analytic(fitted, normal, t)).mean(1) for t in np.arange(1, 10) / 10], axis=0)
    found = fitted.score(x).numpy()
    assert np.corrcoef(found, expected)[0, 1] > 0.98
    assert found.mean() == pytest.approx(expected.mean(), rel=0.1)
    with torch.no_grad():
        by_hand = [fitted.velocity(normal, torch.full((500, 1), t)).square().mean(1) for t in np.arange(1, 10) / 10]
    np.testing.assert_allclose(found, torch.stack(by_hand).mean(0), rtol=1e-4)


def test_the_flow_makes_background_out_of_noise(fitted):
    drawn, background = fitted.generate(8000, torch.Generator().manual_seed(0)).numpy(), gaussian(8000, 6).numpy()
    np.testing.assert_allclose(drawn.mean(0), background.mean(0), atol=0.08)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(background.T), atol=0.12)


def test_the_loss_of_the_best_velocity_is_the_variance_that_the_path_leaves(fitted):
    """Of a field that is right: trace of the conditional covariance of x_1 - x_0 given x_t, over D."""
    x, t = fitted.normalise(gaussian(8000, 7)), 0.4
    noise = torch.randn(8000, 3, generator=torch.Generator().manual_seed(1))
    covariance, k = np.cov(x.numpy().T), 1 - (1 - SIGMA) * t
    cross = t * covariance - (1 - SIGMA) * k * np.eye(3)
    left = covariance + (1 - SIGMA) ** 2 * np.eye(3)
    left = left - cross @ np.linalg.inv(k**2 * np.eye(3) + t**2 * covariance) @ cross
    with torch.no_grad():
        found = fitted.matching(x, noise, torch.full((8000, 1), t)).mean().item()
    assert found == pytest.approx(np.trace(left) / 3, rel=0.05)


def test_a_velocity_that_has_learned_nothing_is_refused():
    detector = built(training={"steps": 1, "learning_rate": 1e-9})
    with pytest.raises(CollapseError, match="that of a constant velocity"):
        detector.fit(gaussian(300, 1), gaussian(100, 2), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (SPACE, {"times": []}, "times: "),
        (SPACE, {"times": [0.5, 1.5]}, "times: .*1.5"),
        (Space((1, 8, 8), (), 64), {}, "n_components"),
    ],
)
def test_arguments_that_make_no_sense(space, arguments, message):
    with pytest.raises(InputError, match=message):
        built(space, **arguments)
