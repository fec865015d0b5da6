"""Masked prediction: parts, masks, and the conditional variance of Gaussian events."""

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.detectors.masked_prediction import parts_of, windows
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

SPACE = Space((4,), tuple("abcd"))
IMAGE = Space((1, 8, 8), (), 64)
BOTH = Space((66,), ("a", "b"), 64)
OBJECTS = Space((1, 3, 2), tuple("abcdef"), objects=True)
TRAINING = {"steps": 1500, "batch": 256, "learning_rate": 3e-3}
MIXING = np.array([[1, 0.8, 0, 0.3], [0, 0.6, 0.5, 0], [0, 0, 0.4, 1], [0, 0, 0, 0.5]])


def gaussian(count, seed):
    return torch.tensor(np.random.default_rng(seed).normal(size=(count, 4)) @ MIXING, dtype=torch.float32)


def built(space=SPACE, seed=1, **arguments):
    return detectors.build({"type": "MaskedPrediction", "arguments": {"training": TRAINING} | arguments}, space, seed)


@pytest.fixture(scope="module")
def fitted():
    detector = built()
    detector.fit(gaussian(6000, 1), gaussian(500, 2), generator=torch.Generator().manual_seed(1))
    return detector


def test_the_error_of_gaussian_events_is_their_conditional_variance(fitted):
    x = fitted.normalise(gaussian(20_000, 3))
    covariance = np.cov(x.numpy().T)
    expected = 1 / np.diag(np.linalg.inv(covariance))
    with torch.no_grad():
        errors = [fitted.predictor.squares(x, torch.eye(4)[i].bool().expand(len(x), 4))[:, i].mean() for i in range(4)]
    np.testing.assert_allclose(errors, expected, rtol=0.12)
    assert (np.array(errors) > 0.97 * expected).all()  # nothing is better than the conditional mean
    assert fitted.score(gaussian(20_000, 3)).mean().item() == pytest.approx(expected.mean(), rel=0.1)


def test_predictions_are_the_conditional_means(fitted):
    x = fitted.normalise(gaussian(2000, 4))
    precision = np.linalg.inv(np.cov(x.numpy().T))
    for i in range(4):
        others = [j for j in range(4) if j != i]
        expected = -x.numpy()[:, others] @ precision[i, others] / precision[i, i]
        with torch.no_grad():
            made, hidden = fitted.predictor(x, torch.eye(4)[i].bool().expand(len(x), 4))
        assert hidden.sum(0).tolist() == [2000 if j == i else 0 for j in range(4)]
        assert np.square(made[:, i].numpy() - expected).mean() < 0.06 * expected.var()


def test_what_is_hidden_does_not_reach_the_network():
    detector = built(IMAGE, share=0.75, masks=4)
    x = torch.rand(5, 64)
    masks = detector.predictor.masks[:1].expand(5, -1)
    made, hidden = detector.predictor(x, masks)
    other, _ = detector.predictor(torch.where(hidden, 100 * torch.rand(5, 64), x), masks)
    assert torch.equal(made, other)
    seen, _ = detector.predictor(torch.where(hidden, x, x + 1), masks)
    assert not torch.allclose(made, seen)


def test_the_score_is_the_mean_over_masks_and_what_they_hide():
    detector = built(BOTH, share=0.5, masks=3)
    x = torch.rand(6, 66)
    with torch.no_grad():
        total, count = torch.zeros(6), 0
        for mask in detector.predictor.masks:
            made, hidden = detector.predictor(x, mask.expand(6, -1))
            total += torch.stack([(x - made)[i][hidden[i]].square().sum() for i in range(6)])
            count += int(hidden[0].sum())
        torch.testing.assert_close(detector.anomaly(x), total / count)


@pytest.mark.parametrize(("space", "arguments"), [(SPACE, {}), (BOTH, {"share": 0.5, "masks": 3})])
def test_terms_add_up_to_the_score(space, arguments):
    detector, x = built(space, **arguments), torch.rand(6, *space.shape)
    with torch.no_grad():
        terms = detector.terms(x)
        squares = [detector.predictor.squares(x, mask.expand(6, -1)) for mask in detector.predictor.masks]
        hidden = [mask[detector.predictor.part].sum() for mask in detector.predictor.masks]
        torch.testing.assert_close(terms, sum(squares) / sum(hidden))
        torch.testing.assert_close(terms.sum(1), detector.anomaly(x))


def energy(steps, rate):
    """MPDR-IDNN, fitted to the Gaussian events."""
    arguments = {
        "kind": "masked",
        "masked": {"hidden_dims": [64]},
        "autoencoder": {"hidden_dims": [64], "latent_dim": 3},
        "pretraining": TRAINING | {"steps": 600},
        "training": {"steps": steps, "batch": 256, "learning_rate": rate},
        "latent_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.05, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.5, "noise_std": 0.1},
    }
    detector = detectors.build({"type": "MPDR", "arguments": arguments}, SPACE, 1)
    return detector, detector.fit(gaussian(6000, 1), gaussian(500, 2), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def still():
    """One that its energy phase has left as it was."""
    return energy(1, 1e-12)


def test_the_energy_starts_as_the_masked_prediction(still, fitted):
    detector, fit = still
    x, e0 = gaussian(20_000, 4), detector.energy.scale.item()
    assert detector.score(gaussian(500, 2)).mean().item() == pytest.approx(1, rel=1e-4)
    # another training of the same: what it predicts is the conditional mean, too
    expected = (1 / np.diag(np.linalg.inv(np.cov(fitted.normalise(x).numpy().T)))).mean()
    assert e0 * detector.score(x).mean().item() == pytest.approx(expected, rel=0.1)
    assert fit.facts["r2"] == pytest.approx(fit.facts["prediction_r2"], rel=1e-4)
    assert list(dict.fromkeys(record["phase"] for record in fit.history)) == ["autoencoder", "prediction", "energy"]


@pytest.mark.slow
def test_negative_samples_raise_the_energy_of_what_was_predicted_well(still):
    """The failure of IDNN: an event far along a direction in which all columns go together is predicted."""
    before, after = still[0], energy(200, 1e-3)[0]
    x = before.normalise(gaussian(2000, 5))
    axis = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][0]
    along = x.mean(0) + 6 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)).sign() * axis
    with torch.no_grad():
        rise = [(detector.anomaly(along).mean() / detector.anomaly(x).mean()).item() for detector in (before, after)]
    assert rise[1] > 1.5 * rise[0]


def test_parts_are_patches_columns_and_objects():
    assert parts_of(SPACE, 4).tolist() == [0, 1, 2, 3]
    assert parts_of(OBJECTS, 4).tolist() == [0, 0, 1, 1, 2, 2]
    image = parts_of(IMAGE, 4).view(8, 8)
    assert image.view(2, 4, 2, 4).transpose(1, 2).reshape(4, 16).tolist() == [[i] * 16 for i in range(4)]
    assert parts_of(BOTH, 4).tolist() == [*image.flatten().tolist(), 4, 5]


@pytest.mark.parametrize(("parts", "hidden", "count"), [(8, 1, 8), (16, 12, 4), (10, 5, 2), (7, 3, 7)])
def test_every_part_is_hidden_equally_often(parts, hidden, count):
    masks = windows(torch.randperm(parts, generator=torch.Generator().manual_seed(1)), hidden, count)
    assert (masks.sum(1) == hidden).all()
    assert (masks.sum(0) == hidden * count / parts).all()
    assert len(masks.unique(dim=0)) == count


def test_masks_of_the_score_are_those_of_the_seed_and_kept():
    one, again, other = (built(IMAGE, seed, share=0.5, patch=2, masks=4).predictor.masks for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_far_events_have_the_largest_score_and_no_nan(fitted):
    far = gaussian(2, 5)
    far[1, 2] = 1e20
    assert fitted.score(far)[1] == torch.inf


def test_masks_that_leave_a_part_out_are_refused():
    with pytest.raises(InputError, match="masks: 1 masks of 1 parts never hide some of the 4"):
        built(masks=1)


@pytest.mark.filterwarnings("ignore")
def test_events_that_are_all_the_same_are_a_collapse():
    same = torch.ones(500, 4)
    with pytest.raises(CollapseError):
        built().fit(same, same, generator=torch.Generator().manual_seed(1))


def test_independent_columns_cannot_be_predicted():
    x = torch.randn(900, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(CollapseError, match="no better than by its mean"):
        built(training=TRAINING | {"steps": 200}).fit(x[:800], x[800:], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (SPACE, {"share": 1.0}, "0 <= share < 1"),
        (SPACE, {"masks": -1}, "masks >= 0"),
        (IMAGE, {"patch": 3}, "patch: 3 does not divide an image of 8 x 8"),
        (IMAGE, {"patch": 0}, "patch: 0"),
        (IMAGE, {"patch": 8}, "single part"),
        (Space((1,), ("a",)), {}, "single part"),
    ],
)
def test_arguments_that_make_no_sense(space, arguments, message):
    with pytest.raises(InputError, match=message):
        built(space, **arguments)
