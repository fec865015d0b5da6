"""Nearest neighbours: distances that are known, what they do not depend on, and the events that are kept."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from hepad import detectors
from hepad.errors import InputError
from hepad.representations import Space


def fitted(x: np.ndarray, seed: int = 0, **arguments):
    """A detector fitted on vectors (N, D)."""
    space = Space((x.shape[1],), tuple("abcdefgh"[: x.shape[1]]))
    detector = detectors.build({"type": "NearestNeighbours", "arguments": arguments}, space, 0)
    events = torch.tensor(x, dtype=torch.float32)
    held = events[:200]
    noise = torch.rand(held.shape, generator=torch.Generator().manual_seed(0))
    fit = detector.fit(events, held + noise, generator=torch.Generator().manual_seed(seed))
    return detector, fit


def scores(detector, x: np.ndarray) -> np.ndarray:
    return detector.score(torch.tensor(x, dtype=torch.float32)).numpy()


def standardised(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (x - train.mean(0)) / train.std(0, ddof=1)


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(1)
    return rng.normal(size=(600, 5)) @ rng.normal(size=(5, 5)) + 100, rng.normal(100, 3, (90, 5))


@pytest.mark.parametrize(("k", "steps"), [(1, 0), (2, 1), (5, 1), (6, np.sqrt(2)), (9, np.sqrt(2)), (10, 2)])
def test_distances_on_a_grid(k, steps):
    # around a point inside of a square grid: itself, four at one step, four at the diagonal, then four at two steps
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1).reshape(-1, 2)
    detector, _ = fitted(grid, k=k)
    step = 1 / grid[:, 0].std(ddof=1)
    np.testing.assert_allclose(scores(detector, np.array([[4.0, 4.0]])), [steps * step], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_brute_force_of_another_library(cloud, k):
    train, x = cloud
    detector, _ = fitted(train, k=k)
    others = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(standardised(train, train))
    expected = others.kneighbors(standardised(train, x))[0][:, -1]
    np.testing.assert_allclose(scores(detector, x), expected, rtol=2e-5)


def test_components_of_an_image_are_standardised_beside_the_columns():
    rng = np.random.default_rng(2)
    weight, columns = rng.dirichlet([8, 4, 2, 1], 400), rng.normal(5, 2, (400, 2))
    pixels = weight @ rng.dirichlet(np.full(36, 0.1), 4)  # in a space of three dimensions
    space = Space((38,), ("a", "b"), 36)
    x = torch.tensor(np.hstack([pixels, columns]), dtype=torch.float32)
    arguments = {"k": 4, "n_components": 3}
    detector = detectors.build({"type": "NearestNeighbours", "arguments": arguments}, space, 0)
    detector.fit(x[:300], x[300:350], generator=torch.Generator().manual_seed(0))
    center = pixels[:300].mean(0)
    axes = np.linalg.svd(pixels[:300] - center)[2][:3]
    y = np.hstack([(pixels - center) @ axes.T, columns])
    y = standardised(y[:300], y)
    distances = np.sort(np.linalg.norm(y[350:, None] - y[None, :300], axis=2), axis=1)
    np.testing.assert_allclose(detector.score(x[350:]).numpy(), distances[:, 3], rtol=1e-3)


def test_units_order_and_shifts_of_the_inputs_do_not_matter(cloud):
    train, x = cloud
    expected = scores(fitted(train)[0], x)
    scale, shift, order = np.array([1e3, 0.2, 7, 1, 40]), np.array([1.0, -30, 0, 5e3, 2]), [3, 0, 4, 1, 2]
    moved = scores(fitted((train * scale + shift)[:, order])[0], (x * scale + shift)[:, order])
    np.testing.assert_allclose(moved, expected, rtol=1e-3)
    np.testing.assert_allclose(scores(fitted(train[::-1].copy())[0], x), expected, rtol=1e-5)


def test_the_same_bits_in_blocks_of_any_size(cloud):
    train, x = cloud
    detector, _ = fitted(train)
    events = detector.normalise(torch.tensor(x, dtype=torch.float32))
    whole = detector.anomaly(events)
    for size in (1, 7, 64):
        assert torch.equal(torch.cat([detector.anomaly(part) for part in events.split(size)]), whole)


def test_further_away_is_more_anomalous_and_linear_far_out(cloud):
    train, _ = cloud
    detector, _ = fitted(train)
    direction = np.ones(5) / np.sqrt(5)
    found = scores(detector, train.mean(0) + np.array([1e3, 1e4, 1e5])[:, None] * direction)
    slope = np.linalg.norm(direction / train.std(0, ddof=1))
    np.testing.assert_allclose(np.diff(found) / np.diff([1e3, 1e4, 1e5]), slope, rtol=1e-3)


def test_kept_events_are_training_events_drawn_by_the_seed(cloud):
    train, x = cloud
    some, fit = fitted(train, references=100)
    again, _ = fitted(train, references=100)
    other, _ = fitted(train, seed=1, references=100)
    assert fit.facts["references"] == 100
    assert torch.equal(some.references, again.references)
    assert not torch.equal(some.references, other.references)
    distances = cdist(some.references.numpy(), standardised(train, train))
    assert distances.min(1).max() < 1e-4
    assert len(np.unique(distances.argmin(1))) == 100
    assert (scores(some, x) >= scores(fitted(train)[0], x) * (1 - 1e-5)).all()  # fewer events are further away


def test_fewer_training_events_than_are_kept(cloud):
    train, x = cloud
    small, fit = fitted(train[:50], references=1000)
    assert fit.facts["references"] == 50
    np.testing.assert_array_equal(scores(small, x), scores(fitted(train[:50], references=50)[0], x))


def test_a_density_in_the_limit(cloud):
    # k / (N V s^D) is the density of many events: of a normal one, log s rises by r² / 2D
    rng = np.random.default_rng(3)
    detector, _ = fitted(rng.normal(size=(30_000, 2)), k=100, references=30_000)
    found = scores(detector, np.array([[0.0, 0], [1, 0], [0, 1.5]]))
    expected = np.sqrt(100 / (30_000 * np.pi) * 2 * np.pi * np.exp(np.array([0, 1, 2.25]) / 2))
    np.testing.assert_allclose(found, expected, rtol=0.12)


@pytest.mark.parametrize("arguments", [{"k": 0}, {"k": 6, "references": 5}, {"variables": []}, {"n_components": -1}])
def test_arguments_that_make_no_sense(cloud, arguments):
    with pytest.raises(InputError, match="NearestNeighbours"):
        fitted(cloud[0], **arguments)


def test_too_few_training_events(cloud):
    with pytest.raises(InputError, match="lower 'k'"):
        fitted(cloud[0][:20], k=30)
