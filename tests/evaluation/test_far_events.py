"""Far events: silent directions by known scores, and energies that nothing has taught to rise."""

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.errors import InputError
from hepad.evaluation.far_events import far_events
from hepad.representations import Space

NAMES = ("a", "b", "c")


def drawn(n, seed):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def test_directions_of_a_known_score():
    """Of the score a - b the events pass up in a, down in b, and nowhere in c; at three sigma by the normal law."""
    x = drawn(40_000, 0)
    found = {(d.column, d.sign): d for d in far_events(lambda x: x[:, 0] - x[:, 1], x, NAMES, events=20_000)}
    assert {key for key, d in found.items() if not d.silent} == {("a", 1), ("b", -1)}
    # a - b is normal of spread sqrt 2: the threshold is at 2.326 of it, and 3 moves by 3 / sqrt 2
    assert found["a", 1].fired[3.0] == pytest.approx(0.419, abs=0.02)
    assert found["a", 1].fired[10.0] == 1
    assert found["c", 1].fired[100.0] == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize("kind", ["MPDR", "IGEBM"])
def test_an_energy_of_one_output_fires_far_from_all_events_in_every_direction(kind):
    chain = {"n_steps": 3, "step_size": 0.1, "noise_std": 0.1}
    arguments = {"training": {"steps": 60, "batch": 64}, "visible_chain": chain}
    if kind == "MPDR":
        autoencoder = {"hidden_dims": [16], "latent_dim": 2}
        latent = {"n_steps": 1, "step_size": 0.1, "noise_std": 0.05, "unit": True}
        arguments |= {
            "kind": "scalar",
            "autoencoder": autoencoder,
            "pretraining": {"steps": 100},
            "latent_chain": latent,
        }
    x = drawn(3000, 1)
    x[:, 2] = x[:, 0] + 0.1 * x[:, 2]
    detector = detectors.build({"type": kind, "arguments": arguments}, Space((3,), NAMES), 0)
    train, test = torch.tensor(x[:2000]), x[2000:]
    detector.fit(train, train[:500], generator=torch.Generator().manual_seed(0))
    assert not any(d.silent for d in far_events(lambda x: detector.score(torch.tensor(x)).numpy(), test, NAMES))
    inside = torch.tensor(test[(np.abs(test) < 1).all(1)])
    with torch.no_grad():  # among training events the energy is what it was
        torch.testing.assert_close(detector.score(inside), detector.energy(detector.normalise(inside)))


def test_too_few_events_or_columns_are_refused():
    with pytest.raises(InputError, match="100 events or more with 3 columns"):
        far_events(lambda x: x[:, 0], drawn(99, 1), NAMES)
    with pytest.raises(InputError, match="with 4 columns"):
        far_events(lambda x: x[:, 0], drawn(200, 1), (*NAMES, "d"))


def test_a_column_that_never_varies_is_left_out_and_bad_arguments_are_named():
    x = drawn(500, 1)
    x[:, 1] = 2
    assert {d.column for d in far_events(lambda x: x[:, 0], x, NAMES)} == {"a", "c"}
    assert far_events(lambda x: x[:, 0], np.rint(10 * x).astype(int), NAMES)
    for arguments in ({"eps_b": 2.0}, {"distances": ()}, {"events": 0}):
        with pytest.raises(InputError, match="far_events: eps_b"):
            far_events(lambda x: x[:, 0], x, NAMES, **arguments)
