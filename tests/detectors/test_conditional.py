"""A p-value at given variables: the law that was drawn, flat rates, order, and what it must leave alone."""

import numpy as np
import pytest
import torch
from scipy.stats import norm, spearmanr

import hepad
from hepad import detectors
from hepad.errors import InputError
from hepad.representations import Space

TWO = Space((2,), ("score", "c"))
ONE = {"name": "score", "type": "Variable", "arguments": {"variable": "score"}}


def drawn(n, seed, slope=1.0):
    """(n, 2): c uniform in [0, 4], a score normal around slope c^2 / 4 with a width of 0.5 + slope c / 4."""
    g = torch.Generator().manual_seed(seed)
    c = 4 * torch.rand(n, generator=g)
    s = slope * c**2 / 4 + (0.5 + slope * c / 4) * torch.randn(n, generator=g)
    return torch.stack([s, c], 1)


def fitted(train, valid, **arguments):
    entry = {"type": "Combination", "arguments": {"members": [ONE], "given": ["c"], **arguments}}
    detector = detectors.build(entry, TWO, 0)
    detector.fit(train, valid, generator=torch.Generator().manual_seed(0))
    return detector


@pytest.fixture(scope="module")
def flat():
    return fitted(drawn(60_000, 1), drawn(20_000, 2))


def test_it_finds_the_law_that_was_drawn(flat):
    """-log10 of the normal tail, (s - c^2/4) / (0.5 + c/4), wherever there are events to learn it from."""
    x = drawn(50_000, 3)
    s, c = x.double().numpy().T
    expected = -norm.logsf((s - c**2 / 4) / (0.5 + c / 4)) / np.log(10)
    found = flat.score(x).numpy()
    some = (expected > 0.1) & (expected < 2)
    assert np.abs(found - expected)[some].mean() < 0.08
    assert np.quantile(np.abs(found - expected)[some], 0.95) < 0.25


@pytest.mark.parametrize(("a", "within"), [(0.1, 0.13), (0.01, 0.35)])
def test_a_threshold_passes_the_same_share_at_every_value(flat, a, within):
    x = drawn(400_000, 4)
    p, c, s = 10 ** -flat.score(x).double().numpy(), x[:, 1].numpy(), x[:, 0].numpy()
    shares = np.array([(p[np.abs(c - at) < 0.25] <= a).mean() for at in np.arange(0.25, 4, 0.5)])
    assert (p <= a).mean() == pytest.approx(a, rel=0.15)
    np.testing.assert_allclose(shares / shares.mean(), 1, atol=within)
    fixed = s > np.quantile(s, 1 - a)
    assert fixed[c < 1].mean() < 0.01 * a < 3 * a < fixed[c > 3.5].mean()  # what one threshold does


def with_a_step(n, seed):
    """(n, 2): c uniform in [20, 60], a score that is zero but for a share of 1 - exp(-c / 350), there 30 and more."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(20, 60, n)
    some = rng.random(n) < 1 - np.exp(-c / 350)
    return torch.tensor(np.stack([np.where(some, 30 + rng.exponential(20, n), 0), c], 1), dtype=torch.float32)


@pytest.mark.parametrize(("a", "within"), [(0.05, 0.16), pytest.param(0.03, 0.16, marks=pytest.mark.slow)])
def test_a_score_that_is_mostly_zero_has_the_same_rate_at_every_value_as_well(a, within):
    flat, x = fitted(with_a_step(100_000, 1), with_a_step(20_000, 2)), with_a_step(400_000, 3)
    passes, c = 10 ** -flat.score(x).double().numpy() <= a, x[:, 1].numpy()
    assert not passes[x[:, 0].numpy() == 0].any()
    shares = [passes[(c >= low) & (c < low + 5)].mean() for low in range(20, 60, 5)]
    np.testing.assert_allclose(np.array(shares) / a, 1, atol=within)


def test_it_rises_with_the_score_at_every_value(flat):
    s = torch.linspace(-20, 60, 4000)
    for c in (-3.0, 0.0, 1.3, 4.0, 30.0):
        score = flat.score(torch.stack([s, torch.full_like(s, c)], 1))
        assert torch.isfinite(score).all()
        assert (score.diff() >= 0).all()
        assert score[-1] > 5


def test_a_variable_that_does_not_matter_changes_nothing():
    flat, x = fitted(drawn(20_000, 1, slope=0.0), drawn(5000, 2, slope=0.0)), drawn(20_000, 3, slope=0.0)
    found, s = flat.score(x).numpy(), x[:, 0].numpy()
    assert spearmanr(found, s).statistic > 0.99
    cut, own = np.quantile(found, 0.99), np.quantile(s, 0.99)
    assert ((found > cut) & (s > own)).mean() > 0.008  # of one in a hundred


def test_a_score_that_is_the_variable_itself_is_left_with_nothing():
    x = drawn(5000, 1)
    x[:, 1] = x[:, 0]
    flat = fitted(x[:3000], x[3000:])
    p = 10 ** -flat.score(x).numpy()
    assert np.isfinite(p).all()
    high = x[:, 0] > x[:, 0].quantile(0.9)
    assert (p[high.numpy()] < 0.05).mean() < 0.3  # with one threshold all of them are the most anomalous


def test_two_variables_and_two_members():
    rng, space = np.random.default_rng(0), Space((4,), ("a", "b", "c", "d"))

    def events(n):
        c, d = rng.normal(size=(2, n))
        return torch.tensor(np.stack([c + rng.normal(size=n), d + rng.normal(size=n), c, d], 1), dtype=torch.float32)

    members = [{"name": name, "type": "Variable", "arguments": {"variable": name}} for name in "ab"]
    arguments = {"members": members, "given": ["c", "d"], "method": "fisher"}
    detector = detectors.build({"type": "Combination", "arguments": arguments}, space, 0)
    detector.fit(events(30_000), events(5000), generator=torch.Generator().manual_seed(0))
    x = events(40_000)
    p = 10 ** -detector.score(x).numpy()
    for column in (2, 3):
        for side in (x[:, column] < -1, x[:, column] > 1):
            assert (p[side.numpy()] <= 0.1).mean() == pytest.approx(0.1, abs=0.025)
    assert set(detector.parts(x[:5])) == {"a", "b"}


def test_in_python_a_fitted_detector_is_compared_at_given_variables():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 3)).astype(np.float32)
    x[:, 0] += 2 * x[:, 2]
    mixture = hepad.Mixture(n_gaussians=1).fit(x[:2000])
    flat = hepad.Combination(members=[mixture], given=["x3"]).fit(x[2000:])
    p = 10 ** -flat.score(x[:2000])
    for side in (np.abs(x[:2000, 2]) < 0.3, np.abs(x[:2000, 2]) > 1.5):
        assert (p[side] <= 0.1).mean() == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"given": ["mass"]}, "given 'mass' is unknown. Allowed: c, score"),
        ({"given": None}, "two or more of different names are needed, or one with 'given'"),
        ({"given": ["c", "c"]}, "one is there twice"),
        ({"given": []}, "two or more of different names are needed, or one with 'given'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        fitted(drawn(1000, 1), drawn(1000, 2), **arguments)


def test_a_variable_that_is_mostly_one_value_is_named():
    x = drawn(4000, 1)
    x[:, 1] = torch.where(x[:, 1] > 3.9, 1.0, 0.0)
    with pytest.raises(InputError, match="given 'c'"):
        fitted(x[:2000], x[2000:])


def test_a_variable_that_some_events_do_not_have_is_named():
    x = drawn(2000, 1)
    x[7, 1] = torch.nan
    with pytest.raises(InputError, match="given 'c': 1 of 1000 events have none"):
        fitted(x[:1000], x[1000:])


def test_a_member_that_knows_its_training_events_is_told_of():
    """A nearest neighbour that is the event itself is at no distance, whatever the spread of events at c is."""
    rng = np.random.default_rng(0)
    c = rng.uniform(0, 4, 6000)
    x = torch.tensor(np.stack([(0.2 + c) * rng.normal(size=6000), c], 1), dtype=torch.float32)
    member = {"name": "near", "type": "NearestNeighbours", "arguments": {"k": 1}}
    entry = {"type": "Combination", "arguments": {"members": [member], "given": ["c"]}}
    told = detectors.build(entry, TWO, 0).fit(x[:4000], x[4000:], generator=torch.Generator().manual_seed(0)).facts
    assert "passes where 0.1 should" in told["uneven"]
    entry["arguments"]["members"] = [ONE]
    told = detectors.build(entry, TWO, 0).fit(x[:4000], x[4000:], generator=torch.Generator().manual_seed(0)).facts
    assert "uneven" not in told
