"""Deep SVDD: a center that stays, a network that cannot be constant, and one that is refused if it is."""

import numpy as np
import pytest
import torch
from torch import nn

from hepad import detectors
from hepad.detectors import deep_svdd
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

SPACE = Space((4,), tuple("abcd"))
IMAGE = Space((1, 8, 8), (), 64)
SHORT = {"steps": 100, "batch": 64, "learning_rate": 3e-3}


def built(space=SPACE, **arguments):
    return detectors.build({"type": "DeepSVDD", "arguments": {"training": SHORT} | arguments}, space, 1)


def background(count, seed):
    return torch.tensor(np.random.default_rng(seed).normal(50, [1, 2, 3, 4], (count, 4)), dtype=torch.float32)


def fitted(detector):
    return detector, detector.fit(background(500, 1), background(200, 2), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("space", "network"), [(SPACE, "dense"), (IMAGE, "dense"), (IMAGE, "strided"),
                                                (IMAGE, "heidelberg")])  # fmt: skip
def test_the_network_is_homogeneous_and_so_cannot_be_constant(space, network):
    detector = built(space, network=network)
    assert [name for name, _ in detector.balls[0].network.named_parameters() if name.endswith("bias")] == []
    u = torch.rand(20, *space.shape)
    with torch.no_grad():
        for factor in (0.0, 0.5, 3.0):
            torch.testing.assert_close(detector.balls[0].network(factor * u), factor * detector.balls[0].network(u))


def test_the_center_is_the_mean_of_the_initial_features_and_stays():
    before = built()
    detector, _ = fitted(built())
    x = background(500, 1)
    low, width = x.amin(0), x.amax(0) - x.amin(0)
    with torch.no_grad():
        mean = before.balls[0].network((x - low) / width).mean(0)
    large = mean.abs() > 0.1
    torch.testing.assert_close(detector.balls[0].center[large], mean[large], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.balls[0].center[~large].abs(), torch.full_like(mean[~large], 0.1))
    assert (detector.balls[0].center * mean >= 0).all()


def test_columns_are_scaled_between_their_extremes():
    detector, _ = fitted(built())
    u = (detector.normalise(background(500, 1)) - detector.low) / detector.width
    torch.testing.assert_close(u.amin(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(u.amax(0), torch.ones(4), atol=1e-5, rtol=0)


def test_the_score_is_the_squared_distance_and_training_lowers_it():
    detector, fit = fitted(built())
    x = background(200, 2)
    with torch.no_grad():
        (ball,) = detector.balls
        phi = ball.network((detector.normalise(x) - detector.low) / detector.width)
        squares = (phi - ball.center).square().sum(1)
    np.testing.assert_allclose(detector.score(x), squares / squares.mean(), rtol=1e-4)
    assert fit.history[-1]["valid_loss"] < 0.5 * fit.history[0]["valid_loss"]
    expected = (squares.mean() / ball.center.square().sum()).sqrt()
    assert fit.facts["radius"] == pytest.approx(expected.item(), rel=1e-4)


def test_a_network_with_biases_collapses_and_is_refused(monkeypatch):
    """What the missing biases are for: with them the solution phi = c is found."""

    def constant(network):
        nn.init.zeros_(network[-1][-1].weight)
        network[-1][-1].weight.requires_grad_(False)
        return network

    monkeypatch.setattr(deep_svdd, "without_biases", constant)
    with pytest.raises(CollapseError, match=r"DeepSVDD: the (network has become constant|score is the same)"):
        fitted(built(training=SHORT | {"steps": 1500, "learning_rate": 1e-2}))


def test_an_ensemble_is_the_mean_of_its_networks_each_in_units_of_background():
    detector, fit = fitted(built(latent_dims=(3, 5), centers=(1.0, 10.0), training=SHORT | {"steps": 1000}))
    x = background(300, 3)
    assert [len(ball.center) for ball in detector.balls] == [3, 3, 5, 5]
    assert [ball.center.unique().tolist() for ball in detector.balls] == [[1.0], [10.0]] * 2
    u, valid = detector.scaled(detector.normalise(x)), detector.scaled(detector.normalise(background(200, 2)))
    with torch.no_grad():
        each = torch.stack([ball.distance(u) / ball.distance(valid).mean() for ball in detector.balls])
        # each has learned to be where its center is: the largest distance to it is a small part of its own length
        radii = [(ball.distance(u).mean() / ball.center.square().sum()).sqrt().item() for ball in detector.balls]
    np.testing.assert_allclose(detector.score(x), each.mean(0), rtol=1e-4)
    assert max(radii) < 0.2
    assert fit.facts["radius"] == pytest.approx(max(radii), rel=0.2)
    assert list(dict.fromkeys(record["phase"] for record in fit.history)) == [f"ball {k}" for k in (1, 2, 3, 4)]


def test_networks_of_an_ensemble_are_trained_each_on_its_own():
    """The first of two is what it would have been alone, up to the random numbers, which are those of the seed."""
    alone, both = (fitted(built(centers=centers))[0] for centers in ((2.0,), (2.0, 4.0)))
    one, other = alone.balls[0].state_dict(), both.balls[0].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_constant_columns_divide_by_nothing():
    detector = built()
    train, valid = background(300, 1), background(100, 2)
    train[:, 2] = valid[:, 2] = 7.0
    detector.fit(train, valid, generator=torch.Generator().manual_seed(1))
    assert torch.isfinite(detector.score(valid)).all()


def test_weight_decay_is_half_the_sum_of_squares():
    logged = []
    for decay in (0.0, 1.0):
        detector = built(weight_decay=decay, training=SHORT | {"steps": 1, "batch": 500, "learning_rate": 1e-12})
        squares = sum(p.square().sum().item() for p in detector.balls[0].network.parameters())
        _, fit = fitted(detector)
        logged.append(fit.history[0]["loss"])
    assert logged[1] - logged[0] == pytest.approx(0.5 * squares, rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"latent_dim": 0},
        {"latent_dims": (4, 0)},
        {"latent_dims": ()},
        {"latent_dims": (4, 4)},
        {"centers": (0.0, 1.0)},
        {"centers": ()},
        {"centers": (1.0, 1.0)},
        {"weight_decay": -1.0},
        {"network": "resnet"},
    ],
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(InputError):
        built(**arguments)
