"""Shapley values: against an enumeration of all orders, their axioms, and a cause among correlated entries."""

import itertools

import numpy as np
import pytest
import torch

import hepad
from hepad.errors import InputError
from hepad.evaluation import shapley as module
from hepad.evaluation.shapley import NEAREST, shapley


def correlated(n, entries, seed):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(entries, entries))
    return torch.from_numpy((rng.normal(size=(n, entries)) @ mixing).astype(np.float32))


def bent(x):
    return x[:, 0] * x[:, 1] + x[:, 2].square() - x.sum(1).sin()


def by_orders(score, x, background):
    """(D,) of one event, by the definition: the mean over all orders, neighbours by brute force."""
    entries = len(x)
    spread = background.numpy().std(0)

    def value(known):
        if not known:
            return float(score(background).mean())
        away = (((background.numpy() - x.numpy()) / spread)[:, known] ** 2).sum(1)
        mixed = background.numpy()[np.argsort(away, kind="stable")[:NEAREST]].copy()
        mixed[:, known] = x.numpy()[known]
        return float(score(torch.from_numpy(mixed)).mean())

    found = np.zeros(entries)
    for order in itertools.permutations(range(entries)):
        for k, i in enumerate(order):
            found[i] += value(sorted(order[: k + 1])) - value(sorted(order[:k]))
    return found / np.prod(range(1, entries + 1))


def test_it_is_the_mean_over_all_orders():
    background, x = correlated(200, 4, 1), correlated(3, 4, 2)
    found, base = shapley(bent, x, background)
    np.testing.assert_allclose(base, bent(background).mean(), rtol=1e-5)
    for row, event in zip(found, x, strict=True):
        np.testing.assert_allclose(row, by_orders(bent, event, background), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("entries", [5, 13])
def test_values_add_up_to_the_change_of_the_score(entries, monkeypatch):
    monkeypatch.setattr(module, "ORDERS", 4)
    background, x = correlated(150, entries, 3), correlated(20, entries, 4)
    found, base = shapley(bent, x, background)
    np.testing.assert_allclose(found.sum(1), bent(x) - base, rtol=1e-3, atol=1e-2)


def test_drawn_orders_tend_to_all_orders(monkeypatch):
    background, x = correlated(150, 5, 5), correlated(10, 5, 6)
    exact, _ = shapley(bent, x, background)
    monkeypatch.setattr(module, "EXACT", 0)
    off = []
    for orders in (10, 250):
        monkeypatch.setattr(module, "ORDERS", orders)
        off.append(float((shapley(bent, x, background)[0] - exact).abs().mean()))
    assert off[1] < 0.5 * off[0]  # a fifth
    assert off[1] < 0.05 * float(exact.abs().mean())


def test_a_linear_score_of_independent_entries_has_its_terms():
    """a_i = w_i (x_i - <b_i>), up to the mean of ten neighbours in the place of that of all."""
    rng = np.random.default_rng(7)
    background = torch.from_numpy(rng.normal(size=(20_000, 3)).astype(np.float32))
    x, weights = torch.tensor([[3.0, -1.0, 0.5]]), torch.tensor([1.0, 2.0, 0.0])
    found, _ = shapley(lambda y: y @ weights, x, background)
    np.testing.assert_allclose(found[0], [3.0, -2.0, 0.0], atol=0.8)


def test_an_event_is_explained_alone_and_columns_may_be_constant():
    background, x = correlated(150, 4, 8), correlated(30, 4, 9)
    background[:, 3] = x[:, 3] = 2.0
    found, _ = shapley(bent, x, background)
    np.testing.assert_allclose(shapley(bent, x[11:12], background)[0][0], found[11], rtol=1e-4, atol=1e-4)
    assert torch.isfinite(found).all()


def test_the_cause_is_found_where_the_mean_of_background_misleads():
    """Two entries are nearly equal in background and the score is their difference; one of them is shifted.

    With the mean in its place the other one is as strange: occlusion cannot tell them apart."""
    rng = np.random.default_rng(10)
    base = rng.normal(size=(500, 1)) * 3
    background = np.concatenate([base + 0.1 * rng.normal(size=(500, 1)), base, rng.normal(size=(500, 1))], 1)
    detector = hepad.Mixture(n_gaussians=1).fit(background)
    x = background[:40] * [1, 1, 0.1] + [0, 0, 6]
    found = hepad.explain(detector, x, background)
    assert found.method == "shapley"
    assert (np.array(list(found.variables.values())).argmax(0) == 2).all()
    np.testing.assert_allclose(found.attribution.sum(1), found.score - found.reference, rtol=1e-3, atol=1e-2)


def test_images_are_refused(make_events):
    events = make_events(200, 1)
    detector = hepad.PCAReconstruction(representation=hepad.JetImage(size=8), components=2).fit(events)
    with pytest.raises(InputError, match=r"'shapley' is of vectors; PCAReconstruction sees \(1, 8, 8\)"):
        hepad.explain(detector, events[:3], events, method="shapley")
    assert hepad.explain(detector, events[:3], events).method == "occlusion"
