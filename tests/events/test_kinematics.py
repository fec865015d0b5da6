"""Four-vectors: known values, inverses, invariances, limits."""

import numpy as np
import pytest

from hepad.events.kinematics import MAX_ABS_ETA, delta_phi, delta_r, from_cartesian, sum_four_vectors, to_cartesian


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return np.stack(
        [
            rng.exponential(100, 500),
            rng.uniform(-4, 4, 500),
            rng.uniform(-np.pi, np.pi, 500),
            rng.uniform(0.1, 50, 500),
        ],
        axis=-1,
    )


def test_known_values():
    p = to_cartesian(np.array([3.0, np.arcsinh(4 / 3), np.pi / 2, 12.0]))
    np.testing.assert_allclose(p, [0, 3, 4, 13], atol=1e-14)
    np.testing.assert_allclose(from_cartesian([0, 3, 4, 13]), [3, np.arcsinh(4 / 3), np.pi / 2, 12])


def test_inverse(vectors):
    np.testing.assert_allclose(from_cartesian(to_cartesian(vectors)), vectors, rtol=1e-6)


def test_two_back_to_back_massless_particles():
    pair = np.array([[50.0, 0.0, 0.3, 0.0], [50.0, 0.0, 0.3 - np.pi, 0.0]])
    total = sum_four_vectors(pair)
    assert total[0] == pytest.approx(0, abs=1e-12)
    assert total[3] == pytest.approx(100)


def test_sum_conserves_momentum_and_ignores_padding(vectors):
    padded = np.concatenate([vectors, np.zeros((7, 4))])
    np.testing.assert_allclose(to_cartesian(sum_four_vectors(padded)), to_cartesian(vectors).sum(0), rtol=1e-9)


def test_mass_of_a_sum_is_invariant_under_boost_along_the_beam_and_rotation(vectors):
    vectors = vectors * [1, 1, 1, 0]  # a boost shifts η only of massless particles
    moved = vectors + np.array([0, 0.7, 1.1, 0])
    assert sum_four_vectors(moved)[3] == pytest.approx(sum_four_vectors(vectors)[3], rel=1e-9)
    assert sum_four_vectors(moved)[1] != pytest.approx(sum_four_vectors(vectors)[1])


def test_absent_beam_and_spacelike_vectors_stay_finite():
    found = from_cartesian([[0, 0, 0, 0], [0, 0, -5, 5], [3, 4, 0, 4.999]])
    np.testing.assert_array_equal(found[0], 0)
    assert found[1, 1] == -MAX_ABS_ETA
    assert found[2, 3] == 0


def test_delta_phi_wraps():
    np.testing.assert_allclose(delta_phi(3.1, -3.1), 6.2 - 2 * np.pi)
    assert np.all(np.abs(delta_phi(np.linspace(-20, 20, 999), 0.5)) <= np.pi)
    assert delta_r(0.3, np.pi - 0.2, -0.1, -np.pi + 0.1) == pytest.approx(0.5)
