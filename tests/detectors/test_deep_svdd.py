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
    assert [name for name, _ in detector.network.named_parameters() if name.endswith("bias")] == []
    u = torch.rand(20, *space.shape)
    with torch.no_grad():
        for factor in (0.0, 0.5, 3.0):
            torch.testing.assert_close(detector.network(factor * u), factor * detector.network(u))


def test_the_center_is_the_mean_of_the_initial_features_and_stays():
    before = built()
    detector, _ = fitted(built())
    x = background(500, 1)
    low, width = x.amin(0), x.amax(0) - x.amin(0)
    with torch.no_grad():
        mean = before.network((x - low) / width).mean(0)
    large = mean.abs() > 0.1
    torch.testing.assert_close(detector.center[large], mean[large], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.center[~large].abs(), torch.full_like(mean[~large], 0.1))
    assert (detector.center * mean >= 0).all()


def test_columns_are_scaled_between_their_extremes():
    detector, _ = fitted(built())
    u = (detector.normalise(background(500, 1)) - detector.low) / detector.width
    torch.testing.assert_close(u.amin(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(u.amax(0), torch.ones(4), atol=1e-5, rtol=0)


def test_the_score_is_the_squared_distance_and_training_lowers_it():
    detector, fit = fitted(built())
    x = background(200, 2)
    with torch.no_grad():
        phi = detector.features(detector.normalise(x))
    np.testing.assert_allclose(detector.score(x), np.square((phi - detector.center).numpy()).sum(1), rtol=1e-5)
    assert fit.history[-1]["valid_loss"] < 0.5 * fit.history[0]["valid_loss"]
    expected = (detector.score(x).mean() / detector.center.square().sum()).sqrt()
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
        squares = sum(p.square().sum().item() for p in detector.network.parameters())
        _, fit = fitted(detector)
        logged.append(fit.history[0]["loss"])
    assert logged[1] - logged[0] == pytest.approx(0.5 * squares, rel=1e-4)


@pytest.mark.parametrize("arguments", [{"latent_dim": 0}, {"weight_decay": -1.0}, {"network": "resnet"}])
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(InputError):
        built(**arguments)
