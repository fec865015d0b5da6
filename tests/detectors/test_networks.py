"""The parts of the networks whose speed or start rests on an identity."""

import pytest
import torch
from torch import nn

from hepad.detectors.energy_based.energies import Reconstruction
from hepad.detectors.networks import (
    Autoencoder,
    AutoencoderSettings,
    Doubling,
    DoublingConv2d,
    Head,
    PReLU,
    channels_last,
    dense,
    mnist_encoder,
)
from hepad.errors import InputError
from hepad.representations import Space

PIXELS = Space((1, 28, 28), (), 784, unit_sum=False)


def test_a_frozen_prelu_is_the_same_function_with_the_same_gradient():
    prelu, x = PReLU(), torch.randn(500, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        prelu.weight.fill_(0.37)
    found = []
    for free in (True, False):
        prelu.weight.requires_grad_(free)
        y = x.clone().requires_grad_(True)
        out = prelu(y)
        found.append((out.detach(), torch.autograd.grad(out.square().sum(), y)[0]))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])
    prelu.weight.requires_grad_(True)
    prelu(x).sum().backward()
    assert prelu.weight.grad.item() == pytest.approx(x[x < 0].sum().item(), rel=1e-4)


def test_the_memory_order_of_the_weights_decides_even_for_one_channel():
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)]
    x = torch.randn(5, 1, 10, 10)
    plain = nn.Sequential(*layers)(x)
    fast = channels_last(*layers)(x)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    assert fast.is_contiguous(memory_format=torch.channels_last)


def test_the_published_mnist_network_has_the_published_layers():
    encoder = mnist_encoder((1, 28, 28), 32, [1024])
    weights = [tuple(p.shape) for p in encoder.parameters() if p.dim() > 1]
    expected = [(32, 1, 3, 3), (64, 32, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (1024, 128, 4, 4), (32, 1024)]
    assert weights == expected
    model = Autoencoder(PIXELS, AutoencoderSettings("mnist", (64,), 5))
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 1, 28, 28)
    for shape, hidden_dims in (((1, 40, 40), [1024]), ((1, 28, 28), [100]), ((1, 28, 28), [64, 64])):
        with pytest.raises(InputError, match="network 'mnist' needs images"):
            mnist_encoder(shape, 5, hidden_dims)


def test_pixels_pass_a_plain_sigmoid():
    """As in the authors' networks: a head that starts at the mean image can hardly raise what is black in training."""
    x = torch.rand(400, 1, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3
    head = Head(PIXELS)
    head.fit(x)
    torch.testing.assert_close(head(torch.logit(x)), x)


def test_doubling_is_bilinear_upsampling_with_aligned_corners():
    x = torch.randn(3, 5, 4, 4, requires_grad=True)
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    found = Doubling(4)(x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_the_softmax_gives_images_of_the_right_sum():
    head = Head(Space((11,), ("mass", "width"), 9))
    head.fit(torch.full((4, 11), 0.5))
    out = head(torch.randn(6, 11))
    torch.testing.assert_close(out[:, :9].sum(1), torch.full((6,), 4.5))


def test_l2_acts_on_the_encoder_alone_with_its_biases():
    space = Space((3,), ("a", "b", "c"), 0)
    model = Autoencoder(space, AutoencoderSettings("dense", (4,), 2, l2=0.5))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(2.0)
    assert model.penalty().item() == 0.5 * 4 * (3 * 4 + 4 + 4 * 2 + 2)
    model.penalty().backward()
    assert all(p.grad is None for p in model.decoder.parameters())
    assert Autoencoder(space, AutoencoderSettings("dense", (4,), 2)).penalty() == 0
    energy = Reconstruction(space, AutoencoderSettings("dense", (4,), 2, l2=0.5))
    energy.scale.fill_(0.1)  # an energy is an error in units of this one, and so is its penalty
    assert energy.penalty().item() == pytest.approx(10 * energy.autoencoder.penalty().item())
    with pytest.raises(InputError, match="autoencoder: l2"):
        AutoencoderSettings(l2=-1.0)


def test_doubling_and_convolving_is_one_convolution():
    """Values and gradients are those of nn.Upsample and nn.Conv2d with the same weights."""
    one = DoublingConv2d(3, 2).double()
    two = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 2, 3, padding=1)).double()
    two[1].load_state_dict(one.state_dict())
    x = torch.randn(4, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    found = []
    for network in (one, two):
        y = network(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), [x, *network.parameters()])))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("width", [0, -3])
def test_a_width_is_one_or_more(width):
    with pytest.raises(InputError, match=rf"widths \[{width}, 2\]: each must be 1 or more. Change 'hidden_dims'"):
        dense([4, width, 2])
