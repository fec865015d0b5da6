"""What is measured without the signal: distances and separations of known value, candidates, AUC losses."""

import csv
import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hepad import detectors
from hepad.detectors.distances import matching, separation, wasserstein
from hepad.detectors.training.candidates import load_candidates, save_candidates
from hepad.errors import InputError
from hepad.evaluation import model_selection_cost
from hepad.representations import Space


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_distance_of_a_shifted_copy_is_the_shift():
    x = normal(60, 5)
    shift = torch.tensor([3.0, 0.0, 0.0, 4.0, 0.0])
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert wasserstein(x, x[order] + shift).item() == pytest.approx(25 / 5, rel=1e-4)
    assert wasserstein(x, x[order]).item() == pytest.approx(0, abs=1e-5)


def test_distance_of_two_normals():
    # W^2 of N(0, 1) and N(m, s^2) in one dimension is m^2 + (s - 1)^2
    x, y = normal(2000, 1), 1.0 + 2.0 * normal(2000, 1, seed=1)
    assert wasserstein(x, y).item() == pytest.approx(2.0, rel=0.1)


def test_the_matching_is_the_best_of_all_permutations():
    x, y = normal(6, 3), normal(6, 3, seed=1)
    sums = {order: (x - y[list(order)]).square().sum().item() for order in itertools.permutations(range(6))}
    assert tuple(matching(x, y).tolist()) == min(sums, key=sums.get)
    assert wasserstein(x, y).item() == pytest.approx(min(sums.values()) / 18, rel=1e-6)
    with pytest.raises(ValueError, match="6 and 5 events"):
        wasserstein(x, y[:5])


def test_gradient_of_the_distance_is_that_of_finite_differences():
    x, y = normal(12, 3).double(), normal(12, 3, seed=1).double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(wasserstein(x, y), y)
    for i, j in ((0, 0), (5, 2), (11, 1)):
        up, down = y.detach().clone(), y.detach().clone()
        up[i, j] += 1e-5
        down[i, j] -= 1e-5
        numeric = (wasserstein(x, up) - wasserstein(x, down)) / 2e-5
        assert gradient[i, j].item() == pytest.approx(numeric.item(), rel=1e-5)


def test_separation_is_the_auc_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 300), rng.integers(2, 12, 200)
    expected = roc_auc_score(np.repeat([0, 1], [300, 200]), np.concatenate([a, b]))
    assert separation(torch.tensor(a).float(), torch.tensor(b).float()) == pytest.approx(expected, abs=1e-12)


def test_candidates_are_read_back(tmp_path):
    candidates = {20: {"energy.net.weight": normal(3, 2)}, 4: {"energy.net.weight": normal(3, 2, seed=1)}}
    save_candidates(candidates, tmp_path / "candidates.safetensors")
    found = load_candidates(tmp_path / "candidates.safetensors")
    assert list(found) == [4, 20]
    assert all(
        torch.equal(found[step]["energy.net.weight"], candidates[step]["energy.net.weight"]) for step in candidates
    )
    save_candidates({}, tmp_path / "candidates.safetensors")
    assert load_candidates(tmp_path / "candidates.safetensors") == {}
    (tmp_path / "candidates.safetensors").write_bytes(b"half of a file")
    with pytest.raises(InputError, match=r"candidates\.safetensors: not the candidates"):
        load_candidates(tmp_path / "candidates.safetensors")


@pytest.fixture(scope="module")
def trained():
    space = Space((3,), ("a", "b", "c"), 0)
    arguments = {
        "hidden_dims": [16],
        "training": {"steps": 50, "batch": 32, "learning_rate": 1e-2},
        "visible_chain": {"n_steps": 5, "step_size": 0.5, "noise_std": 0.1},
        "objective": {"criterion": "wasserstein", "events": 50},
    }
    detector = detectors.build({"type": "IGEBM", "arguments": arguments}, space, 0)
    fit = detector.fit(normal(300, 3), normal(100, 3, seed=1), generator=torch.Generator().manual_seed(0))
    return detector, fit


def test_following_the_candidates_leaves_the_detector_as_it_was(trained):
    detector, fit = trained
    background, signal = normal(200, 3, seed=2), 2 * normal(200, 3, seed=3)
    before = detector.score(background)
    training = {"history": fit.history, "facts": fit.facts}
    record = model_selection_cost.follow(detector, fit.candidates, training, background, signal)
    found = record["candidates"]
    assert (record["n_background"], record["n_signal"], record["criterion"]) == (200, 200, "wasserstein")
    assert torch.equal(detector.score(background), before)
    assert [c["step"] for c in found] == sorted(fit.candidates)
    chosen = next(c for c in found if c["step"] == fit.facts["chosen_step"])
    assert chosen["auc"] == pytest.approx(separation(before, detector.score(signal)), abs=1e-9)
    assert chosen["wasserstein"] == min(c["wasserstein"] for c in found)


def test_the_price_is_what_the_signal_would_have_added(tmp_path):
    candidates = [
        {"step": 1, "auc": 0.90, "auc_low": 0.8, "auc_high": 1.0, "wasserstein": 0.3, "manifold_auc": 0.6},
        {"step": 2, "auc": 0.97, "auc_low": 0.9, "auc_high": 1.0, "wasserstein": 0.2, "manifold_auc": 0.7},
        {"step": 3, "auc": 0.80, "auc_low": 0.7, "auc_high": 0.9, "wasserstein": 0.4, "manifold_auc": 0.9},
    ]
    record = {"task": "t", "detector": "d", "signal": "s", "seed": 1, "criterion": "last", "n_background": 5}
    record |= {"n_signal": 4, "candidates": candidates}
    rows = {row["criterion"]: row for row in model_selection_cost.auc_losses(record)}
    assert {name: row["chosen_step"] for name, row in rows.items()} == {"last": 3, "wasserstein": 2, "manifold_auc": 3}
    assert rows["last"]["auc_loss"] == pytest.approx(0.17)
    assert rows["wasserstein"]["auc_loss"] == 0
    assert [row["used"] for row in rows.values()] == [1, 0, 0]
    without = {**record, "candidates": [{k: v for k, v in c.items() if k != "manifold_auc"} for c in candidates]}
    assert [row["criterion"] for row in model_selection_cost.auc_losses(without)] == ["last", "wasserstein"]
    model_selection_cost.write_auc_losses(tmp_path / "model_selection.csv", [record])
    with open(tmp_path / "model_selection.csv", newline="") as file:
        assert [row["best_step"] for row in csv.DictReader(file)] == ["2", "2", "2"]
