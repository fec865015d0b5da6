"""PixelCNN++: no pixel sees itself or those after it, probabilities sum to one, known distributions are learned."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import logistic

from hepad import detectors
from hepad.detectors.causal_network import CausalNetwork
from hepad.detectors.image_likelihood import Levels
from hepad.detectors.pixelcnn import NARROWEST, drawn, log_probability
from hepad.errors import InputError
from hepad.representations import Space

SHORT = {"steps": 1}


def built(shape, **arguments):
    space = Space((1, *shape), (), math.prod(shape), unit_sum=False)
    return detectors.build({"type": "PixelCNN", "arguments": {"training": SHORT} | arguments}, space, 1)


@pytest.mark.parametrize(
    ("scales", "blocks", "shape"), [(1, 1, (5, 7)), (1, 2, (4, 4)), (2, 1, (6, 8)), (3, 2, (8, 4))]
)
def test_a_pixel_depends_on_those_before_it_alone(scales, blocks, shape):
    torch.manual_seed(0)
    network = CausalNetwork(3, 4, scales, blocks).double()
    x = torch.rand(1, 1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x).sum(1).flatten(), x).flatten(1)
    after = np.triu_indices(math.prod(shape))  # row by row: itself and all that follow
    assert (jacobian.numpy()[after] == 0).all()
    # and it sees all that its neighbours are: above, above to the left and to the right, to the left
    seen = jacobian.view(*shape, *shape)
    for row, column in itertools.product(range(1, shape[0]), range(1, shape[1] - 1)):
        for above, aside in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
            assert seen[row, column, row + above, column + aside] != 0


def test_the_first_pixel_has_no_blind_spot_in_a_small_image():
    torch.manual_seed(0)
    network = CausalNetwork(3, 4, 2, 1).double()
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x).sum(1).flatten(), x).flatten(1)
    assert (jacobian[15, :15] != 0).all()


def test_probabilities_of_all_levels_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(40, 12, 1, 1, generator=generator)
    parameters[:, 8:] = 20 * torch.rand(40, 4, 1, 1, generator=generator) - 10  # beyond the bounds of log s, too
    parameters[:20, 4:8] *= 10  # means far outside
    k = torch.arange(256.0).view(-1, 1, 1, 1)
    for row in parameters.double().split(1):
        log_p = log_probability(row.expand(256, -1, -1, -1), k.double())
        assert torch.isfinite(log_p).all()
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_likelihood_beside_the_cumulative_distribution():
    rng = np.random.default_rng(1)
    weight, mu, log_s = rng.normal(size=(3, 5)) * [[1], [0.5], [0.5]] - [[0], [0], [2]]
    parameters = torch.tensor(np.concatenate([weight, mu, log_s])).view(1, 15, 1, 1)
    for level in (0, 1, 100, 200, 254, 255):
        y = level / 127.5 - 1
        upper = np.inf if level == 255 else y + 1 / 255
        lower = -np.inf if level == 0 else y - 1 / 255
        p = logistic.cdf(upper, mu, np.exp(log_s)) - logistic.cdf(lower, mu, np.exp(log_s))
        expected = logsumexp(weight - logsumexp(weight), b=p)
        found = log_probability(parameters, torch.full((1, 1, 1, 1), float(level), dtype=torch.float64))
        assert found.item() == pytest.approx(expected, rel=1e-9)


def test_far_tails_are_finite_in_single_precision():
    parameters = torch.tensor([0.0, 5.0, 2 * NARROWEST]).view(1, 3, 1, 1)
    log_p = log_probability(parameters, torch.tensor(3.0).view(1, 1, 1, 1)).item()
    # one logistic, whose tail falls as exp(-distance / s)
    s, y = math.exp(NARROWEST), 3 / 127.5 - 1
    assert log_p == pytest.approx((y + 1 / 255 - 5) / s, rel=1e-4)


def test_draws_follow_the_probabilities():
    generator = torch.Generator().manual_seed(0)
    parameters = torch.tensor([0.5, -0.5, -1.02, 0.1, -1.0, -3.0]).view(1, 6, 1, 1)
    count = 200_000
    k = drawn(parameters.expand(count, -1, -1, -1), generator).flatten()
    frequency = torch.bincount(k.long(), minlength=256) / count
    levels = torch.arange(256.0).view(-1, 1, 1, 1)
    p = log_probability(parameters.expand(256, -1, -1, -1), levels).exp().flatten()
    pull = (frequency - p) / (p * (1 - p) / count).sqrt()
    seen = p * count > 20
    assert pull[seen].square().mean().item() == pytest.approx(1, abs=4 * math.sqrt(2 / seen.sum()))


def test_the_score_is_the_sum_over_pixels():
    detector = built((4, 4), scales=2, width=4, mixture=2)
    k = torch.randint(0, 256, (3, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    log_p = log_probability(detector.network(2 * k / 255 - 1), k)
    torch.testing.assert_close(detector.bits(k), -log_p.sum((1, 2)) / 16 / math.log(2))


def test_bits_of_the_pixels_add_up_and_none_changes_with_what_follows():
    detector = built((4, 4), scales=2, width=4, mixture=2)
    x = torch.randint(0, 256, (1, 1, 4, 4), generator=torch.Generator().manual_seed(0)) / 255
    terms = detector.terms(x)
    torch.testing.assert_close(terms.sum((1, 2, 3)), detector.anomaly(x))
    other = x.clone()
    other[0, 0, 2, 1] = 1 - other[0, 0, 2, 1]
    change = (detector.terms(other) - terms).abs().flatten()
    assert change[:9].max() < 1e-6
    assert change[9] > 1e-4


def test_all_images_of_two_pixels_have_probability_one():
    detector = built((1, 2), scales=1, width=4, mixture=2)
    k = torch.cartesian_prod(torch.arange(256.0), torch.arange(256.0)).view(-1, 1, 1, 2)
    p = 2.0 ** (-2 * detector.bits(k).double())
    assert p.sum().item() == pytest.approx(1, abs=1e-4)


def test_a_chain_of_pixels_is_learned_to_its_entropy_and_drawn():
    # a pixel is as the one to its left, but for a tenth of them; the first of a row is black or white: 1 bit
    rng = np.random.default_rng(0)

    def chain(count):
        flips = rng.random((count, 4, 4)) < 0.1
        flips[:, :, 0] = rng.random((count, 4)) < 0.5
        return torch.tensor(flips.cumsum(2) % 2, dtype=torch.float32).unsqueeze(1)

    entropy = (1 + 3 * -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))) / 4
    training = {"steps": 400, "batch": 64, "learning_rate": 3e-3}
    detector = built((4, 4), scales=1, width=6, mixture=2, training=training)
    detector.fit(chain(2000), chain(500), generator=torch.Generator().manual_seed(1))
    bits = detector.score(chain(4000)).mean().item()
    assert entropy - 0.02 < bits < entropy + 0.05
    x = detector.generate(1000, torch.Generator().manual_seed(2)).round()
    assert (x[..., 1:] != x[..., :-1]).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert x[..., 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert (x[:, :, 1:] == x[:, :, :-1])[..., 0].float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_levels_of_photographs_are_those_of_their_file():
    levels, k = Levels(Space((1, 16, 16), (), 256, unit_sum=False)), torch.arange(256.0).view(1, 1, 16, 16)
    assert torch.equal(levels(k / 255), k)
    torch.testing.assert_close(levels.invert(k), k / 255)


def test_levels_of_jet_images_are_a_root_and_come_back():
    levels = Levels(Space((1, 2, 2), (), 4))
    levels.fit(torch.tensor([0.0, 4.0, 1.0, 2.0]).view(1, 1, 2, 2))
    x = torch.tensor([0.0, 4e-4, 1.0, 9.0]).view(1, 1, 2, 2)  # 10^-4 of the brightest; brighter than any
    assert levels(x).flatten().tolist() == [0, 3, 128, 255]
    k = torch.arange(256.0).view(64, 1, 2, 2)
    assert torch.equal(levels(levels.invert(k)), k)


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (Space((6,), tuple("abcdef")), {}, "needs images"),
        (Space((1, 6, 6), (), 36), {}, "must be halved 2 times without a rest"),
        (Space((1, 8, 8), (), 64), {"mixture": 0}, "mixture"),
    ],
)
def test_what_it_cannot_take_is_said(space, arguments, message):
    with pytest.raises(InputError, match=message):
        detectors.build({"type": "PixelCNN", "arguments": {"training": SHORT} | arguments}, space, 1)
