"""The price of blind choices: of states whose AUC is known, over trainings, and the events of known corruption."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hepad.representations import Space
from hepad.representations.features import Features

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import blind_choice

SPACE = Space((2,), ("a", "b"))
ANGLES = [0.0, 0.5, 1.0, 1.5]  # of the direction in which a state looks; the signal is moved along the first axis


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Direction(nn.Module):
    """A detector that scores an event by its component along a direction."""

    def __init__(self):
        super().__init__()
        self.register_buffer("direction", torch.zeros(2))

    def score(self, x):
        return x @ self.direction


@pytest.fixture
def training():
    states = {
        10 * i: {"direction": torch.tensor([np.cos(a), np.sin(a)]).float()} for i, a in enumerate(ANGLES, start=1)
    }
    x = normal(400, 2, seed=0)
    beside = [np.zeros(len(x), int)] * 5
    signals = {
        name: (normal(3000, 2, seed=seed) + shift, normal(200, 2, seed=seed + 1) + shift)
        for name, seed, shift in (("along", 1, torch.tensor([2.0, 0.0])), ("across", 3, torch.tensor([0.0, 2.0])))
    }
    measured = {step: {"valid_loss": loss} for step, loss in zip(states, (3.0, np.nan, 1.0, 2.0), strict=True)}
    key = {"task": "t", "detector": "d", "seed": 1}
    detector = Direction()
    return blind_choice.Training(
        key, detector, states, measured, Features(x, SPACE, *beside), normal(4000, 2, seed=5), signals
    )


def test_prices_are_what_the_signals_would_have_added(training):
    before = training.detector.direction.clone()
    rows = {row["criterion"]: row for row in blind_choice.prices(training)}
    assert torch.equal(training.detector.direction, before)
    # a component along the shift of 2 cos(angle) deviations: AUC = Phi(2 cos(angle) / sqrt 2), by angle and signal
    phi = torch.distributions.Normal(0, 1).cdf
    along, across = (phi(2**0.5 * f(torch.tensor(ANGLES))).numpy() for f in (torch.cos, torch.sin))
    best = (along.max() + across.max()) / 2
    for name, state in (("first", 0), ("last", 3), ("valid_loss", 2)):
        assert rows[name]["auc_price"] == pytest.approx(best - (along[state] + across[state]) / 2, abs=0.02)
        assert rows[name]["chosen_step"] == 10 * (state + 1)
    assert rows["random"]["auc_price"] == pytest.approx(best - (along.mean() + across.mean()) / 2, abs=0.02)
    assert rows["last"]["auc"] == pytest.approx((along[3] + across[3]) / 2, abs=0.02)
    assert all(row[price] >= 0 for row in rows.values() for price in ("auc_price", "eps_s_price"))
    # whoever sees some of each signal finds the state for each; no blind criterion can
    assert rows["argos_signal"]["auc_price"] < 0.01
    assert "chosen_step" not in rows["argos_signal"]
    assert "wasserstein" not in rows


def test_the_first_of_the_best_values_is_chosen():
    assert blind_choice.best([2.0, 3.0, 3.0, np.nan], True) == 1
    assert blind_choice.best([np.nan, np.inf, 1.0, 1.0], False) == 2


def test_means_are_beside_the_fixed_budget():
    rows = []
    for seed, of in enumerate(
        (
            {"last": 0.1, "wasserstein": 0.2, "cap": 0.0},
            {"last": 0.3, "wasserstein": 0.3, "cap": 0.1},
            {"last": 0.5, "cap": 0.5},
        )
    ):
        key = {"configuration": "c", "task": "t", "detector": "d", "seed": seed, "sees": "s", "milliseconds": None}
        rows += [key | {"criterion": k, "auc_price": x, "eps_s_price": 2 * x} for k, x in of.items()]
    found = {(row["detector"], row["criterion"]): row for row in blind_choice.summary(rows)}
    assert list(found) == [
        ("all", "last"), ("all", "cap"),
        ("energies", "last"), ("energies", "wasserstein"), ("energies", "cap"),
        ("AE, ConvVAE", "last"), ("AE, ConvVAE", "cap"),
    ]  # fmt: skip
    cap = found["all", "cap"]
    assert (cap["task"], cap["auc_better"], cap["auc_worse"]) == ("mean of 3", 2, 0)
    assert (cap["auc_price"], cap["auc_largest"]) == (pytest.approx(0.2), 0.5)
    assert cap["eps_s_error"] == pytest.approx(np.std([-0.2, -0.4, 0.0], ddof=1) / 3**0.5)
    assert found["energies", "wasserstein"]["auc_price"] == pytest.approx(0.25)
    assert found["all", "last"]["auc_error"] == 0


def test_crossed_events_have_the_numbers_of_background_and_not_its_correlations():
    a = normal(4000, 1, seed=6)
    x = torch.cat([a, a + 0.1 * normal(4000, 1, seed=7)], 1)
    crossed = blind_choice.crossed(x, SPACE, torch.Generator().manual_seed(0))
    assert all(np.isin(crossed[:, j].numpy(), x[:, j].numpy()).all() for j in (0, 1))
    assert crossed.std(0) == pytest.approx(x.std(0), rel=0.05)
    assert torch.corrcoef(crossed.T)[0, 1].item() == pytest.approx(0.5 * torch.corrcoef(x.T)[0, 1].item(), abs=0.05)


def test_images_stay_images():
    space = Space((1, 4, 4), pixels=16)
    x = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)) ** 4
    x[:, :, 0] = 0
    x /= x.sum((1, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(1)
    for changed in (blind_choice.crossed(x, space, generator), blind_choice.smeared(x, space, x.std(0), generator)):
        assert changed.shape == x.shape
        assert changed.min() >= 0
        assert not torch.equal(changed, x)
        assert changed.sum((1, 2, 3)).numpy() == pytest.approx(1, abs=1e-5)
    assert blind_choice.smeared(x, space, x.std(0), generator)[x == 0].abs().sum() == 0  # nothing is turned or mirrored
