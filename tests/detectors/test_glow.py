"""Glow: determinants beside autograd's, inverses, a density that integrates to one, bits of known distributions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.autograd.functional import jacobian

from hepad import detectors
from hepad.detectors.flows.image import BOUND, ActNorm, Coupling, InvertibleConvolution, MultiScale
from hepad.errors import InputError
from hepad.representations import Space

SHORT = {"steps": 1}


def shaken(module, seed=0, size=0.3):
    """The module in double precision with weights away from those of its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module.double()


def built(shape, seed=1, **arguments):
    space = Space((1, *shape), (), math.prod(shape), unit_sum=False)
    return detectors.build({"type": "Glow", "arguments": {"training": SHORT} | arguments}, space, seed)


LAYERS = {
    "actnorm": (lambda: ActNorm(4), (4, 2, 3)),
    "convolution": (lambda: InvertibleConvolution(4), (4, 2, 3)),
    "coupling": (lambda: Coupling(4, 5), (4, 2, 3)),
    "all scales": (lambda: MultiScale((1, 4, 8), scales=2, depth=2, width=5), (1, 4, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_determinants_are_those_of_the_jacobian(name):
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    layer = shaken(make())
    for _ in range(3):
        x = torch.randn(1, *shape, dtype=torch.float64)
        exact = jacobian(lambda x: layer(x)[0].flatten(), x).flatten(1)
        assert exact.shape == (x.numel(), x.numel())
        sign, value = torch.linalg.slogdet(exact)
        assert sign.abs() == 1
        torch.testing.assert_close(layer(x)[1].sum(), value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_inverses(name):
    make, shape = LAYERS[name]
    torch.manual_seed(4)
    layer, x = shaken(make()), torch.randn(7, *shape, dtype=torch.float64)
    torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=1e-8, atol=1e-8)


def test_the_convolution_begins_as_a_rotation_and_is_a_product_at_each_pixel():
    torch.manual_seed(0)
    layer = InvertibleConvolution(6)
    w = layer.matrix().detach()
    torch.testing.assert_close(w @ w.T, torch.eye(6), rtol=0, atol=1e-5)
    x = torch.randn(2, 6, 3, 3)
    y, log_det = layer(x)
    torch.testing.assert_close(y[1, :, 2, 0], w @ x[1, :, 2, 0])
    assert log_det.item() == pytest.approx(0, abs=1e-4)


def test_couplings_begin_as_the_identity_and_their_scale_is_bounded():
    layer, x = Coupling(4, 8), torch.randn(3, 4, 2, 2)
    assert torch.equal(layer(x)[0], x)
    with torch.no_grad():
        layer.network[-1].bias.fill_(1e6)
    s, _ = layer.scale_and_shift(x[:, :2])
    assert (s < BOUND).all()
    assert (s > 0.99 * BOUND).all()


def test_actnorm_begins_with_mean_and_spread():
    flow = MultiScale((1, 8, 8), scales=2, depth=2, width=4)
    x = 3 + 2 * torch.randn(200, 1, 8, 8)
    flow.begin(x)
    y, _ = flow.steps[0][0](torch.nn.functional.pixel_unshuffle(x, 2))
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(4), rtol=1e-4, atol=0)
    assert not any(layer._forward_pre_hooks for layer in flow.modules())


def test_the_density_of_a_tiny_image_integrates_to_one():
    # importance sampling of the integral over R^4, from a wide Gaussian
    torch.manual_seed(5)
    flow = shaken(MultiScale((1, 2, 2), scales=1, depth=3, width=6), size=0.2)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        z = torch.tensor(rng.normal(size=(4000, 4)))
        middle, width = flow.inverse(z).flatten(1).mean(0), 1.7 * flow.inverse(z).flatten(1).std(0)
        u = torch.tensor(rng.normal(size=(400_000, 4)))
        z, log_det = flow((middle + width * u).view(-1, 1, 2, 2))
        log_ratio = (u.square() - z.square()).sum(1) / 2 + log_det + width.log().sum()
    ratio = log_ratio.exp()
    error = ratio.std().item() / math.sqrt(len(ratio))
    assert error < 0.01
    assert ratio.mean().item() == pytest.approx(1, abs=4 * error)


def test_the_score_is_that_of_the_gaussian_that_an_identity_leaves():
    # one scale, couplings at their start: z is a rotation of x, so log p(x) is that of N(0, 1)
    detector = built((2, 2), scales=1, depth=2, width=3)
    k = torch.tensor([[[[0.0, 255.0], [17.0, 100.0]]]])
    x = (k + detector.noise) / 256 - 0.5
    expected = 8 + (x.square().sum() / 2 + 2 * math.log(2 * math.pi)) / (4 * math.log(2))
    assert detector.bits(k).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_noise_of_scores_is_the_seeds_and_uniform():
    detector = built((32, 32), depth=1)
    assert not torch.equal(detector.noise, built((32, 32), seed=2, depth=1).noise)
    assert kstest(detector.noise.flatten().numpy(), "uniform").pvalue > 0.01


def test_bits_are_those_of_correlated_pixels():
    # Gaussian pixels that fall off as 0.8^|i-j|, rounded: bits = log2(20 sqrt(2 pi e)) + log2 det / 2 D
    root = torch.tensor(np.linalg.cholesky(0.8 ** np.abs(np.subtract.outer(np.arange(16), np.arange(16)))))
    u = torch.randn(3000, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = ((128 + 20 * u @ root.T).round().clamp(0, 255) / 255).float().view(-1, 1, 4, 4)
    entropy = math.log2(20 * math.sqrt(2 * math.pi * math.e)) + root.diagonal().log2().mean().item()
    training = {"steps": 200, "batch": 64, "learning_rate": 3e-3}
    detector = built((4, 4), depth=4, width=16, training=training)
    detector.fit(x[:2000], x[2000:], generator=torch.Generator().manual_seed(1))
    assert detector.score(x[2000:]).mean().item() == pytest.approx(entropy, abs=0.03)
    drawn = detector.generate(2000, torch.Generator().manual_seed(2)).flatten(1)
    torch.testing.assert_close(torch.corrcoef(drawn.T), torch.corrcoef(x.flatten(1).T), rtol=0, atol=0.12)


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (Space((6,), tuple("abcdef")), {}, "needs images"),
        (Space((1, 6, 6), (), 36), {}, "must be halved 2 times without a rest, and .6, 6. cannot"),
        (Space((1, 14, 3), tuple(map(str, range(42))), objects=True), {}, "needs images"),
        (Space((1, 8, 8), (), 64), {"depth": 0}, "depth"),
    ],
)
def test_what_it_cannot_take_is_said(space, arguments, message):
    with pytest.raises(InputError, match=message):
        detectors.build({"type": "Glow", "arguments": {"training": SHORT} | arguments}, space, 1)
