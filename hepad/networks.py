"""Encoders and decoders: the parts that detectors are built from.

``dense`` works on any shape; ``heidelberg`` is the convolutional network of the jet-image NAE (arXiv:2206.14225):
3x3 convolutions with 8 channels, one halving of the image and one dense layer. ``strided`` is a light convolutional
network for CPUs: two strided convolutions of 8 and 16 channels; its decoder upsamples and convolves.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from hepad.errors import InputError, choose
from hepad.representations import Space


def dense(sizes: list[int], activation=nn.LeakyReLU, spectral: bool = False) -> nn.Sequential:
    """Linear layers of the given sizes with activations between them; with ``spectral``, of spectral norm one."""
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        linear = nn.Linear(a, b)
        layers.append(nn.utils.parametrizations.spectral_norm(linear) if spectral else linear)
        if i < len(sizes) - 2:
            layers.append(activation())
    return nn.Sequential(*layers)


def dense_encoder(shape: tuple[int, ...], width: int, hidden: list[int]) -> nn.Module:
    """(B, *shape) -> (B, width)."""
    return nn.Sequential(nn.Flatten(), dense([math.prod(shape), *hidden, width]))


def dense_decoder(latent: int, shape: tuple[int, ...], hidden: list[int]) -> nn.Module:
    """(B, latent) -> (B, *shape)."""
    return nn.Sequential(dense([latent, *reversed(hidden), math.prod(shape)]), nn.Unflatten(1, shape))


class ChannelsLast(nn.Module):
    """Small-channel convolutions are about three times faster on a CPU in this memory order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)


def heidelberg_encoder(shape: tuple[int, ...], width: int, hidden: list[int]) -> nn.Module:
    """(B, 1, H, W) -> (B, width); ``hidden`` holds the width of the one dense layer."""
    _need_image(shape, 2)
    half = (shape[1] // 2) * (shape[2] // 2)
    convolutions = []
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 8), (8, 1)]):
        convolutions += [nn.Conv2d(a, b, 3, padding=1), nn.PReLU()]
        if i == 1:
            convolutions.append(nn.MaxPool2d(2))
    return nn.Sequential(ChannelsLast(), *convolutions, nn.Flatten(), dense([half, *hidden, width], nn.PReLU))


def heidelberg_decoder(latent: int, shape: tuple[int, ...], hidden: list[int]) -> nn.Module:
    """(B, latent) -> (B, 1, H, W)."""
    _need_image(shape, 2)
    half = (1, shape[1] // 2, shape[2] // 2)
    layers = [dense([latent, *reversed(hidden), math.prod(half)], nn.PReLU), nn.PReLU(), nn.Unflatten(1, half)]
    layers.append(ChannelsLast())
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 1)]):
        # with stride 1 the paper's transposed convolution is a convolution, which CPUs do several times faster
        layers.append(nn.Conv2d(a, b, 3, padding=1))
        if i < 3:
            layers.append(nn.PReLU())
        if i == 1:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)


def strided_encoder(shape: tuple[int, ...], width: int, hidden: list[int]) -> nn.Module:
    """(B, 1, H, W) -> (B, width); each of two convolutions halves the image."""
    _need_image(shape, 4)
    quarter = 16 * (shape[1] // 4) * (shape[2] // 4)
    layers = [nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.LeakyReLU(), nn.Flatten()]
    return nn.Sequential(ChannelsLast(), *layers, dense([quarter, *hidden, width]))


def strided_decoder(latent: int, shape: tuple[int, ...], hidden: list[int]) -> nn.Module:
    """(B, latent) -> (B, 1, H, W)."""
    _need_image(shape, 4)
    quarter = (16, shape[1] // 4, shape[2] // 4)
    layers = [dense([latent, *reversed(hidden), math.prod(quarter)]), nn.LeakyReLU(), nn.Unflatten(1, quarter)]
    layers += [ChannelsLast(), nn.Upsample(scale_factor=2), nn.Conv2d(16, 8, 3, padding=1), nn.LeakyReLU()]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1))


NETWORKS = {
    "dense": (dense_encoder, dense_decoder),
    "heidelberg": (heidelberg_encoder, heidelberg_decoder),
    "strided": (strided_encoder, strided_decoder),
}


class Head(nn.Module):
    """Turns the output of a decoder into an event: pixels are a softmax times their sum, columns stay as they are.

    So what is decoded is an image, non-negative and of the right sum, and a latent chain stays among images.
    """

    def __init__(self, space: Space):
        super().__init__()
        self.pixels = space.pixels
        self.register_buffer("total", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Learn the sum of an image in normalised units."""
        if self.pixels:
            self.total.copy_(x.flatten(1)[:, : self.pixels].sum(1).mean())

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        image, vector = flat[:, : self.pixels], flat[:, self.pixels :]
        return torch.cat([self.total * torch.softmax(image, 1), vector], 1).view(x.shape)


class Autoencoder(nn.Module):
    """x -> z -> x'. With ``sphere`` the code is a unit vector.

    Parameters
    ----------
    space: what the events are
    network: a name in ``NETWORKS``; hidden: widths of its dense layers; latent: dimension of z
    """

    def __init__(self, space: Space, *, network: str, hidden: list[int], latent: int, sphere: bool):
        super().__init__()
        if latent < 1 or (sphere and latent < 2):
            raise InputError(f"latent: {latent} is too small; a sphere needs at least 2 dimensions, a plane 1.")
        make_encoder, make_decoder = NETWORKS[choose("network", network, NETWORKS)]
        self.latent, self.sphere = latent, sphere
        self.encoder = make_encoder(space.shape, latent, hidden)
        self.decoder = make_decoder(latent, space.shape, hidden)
        self.head = Head(space)

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, latent)."""
        z = self.encoder(x)
        return nn.functional.normalize(z, dim=-1) if self.sphere else z

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, *shape)."""
        return self.head(self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def error(self, x: Tensor) -> Tensor:
        """Mean squared error per dimension, (B,)."""
        return (x - self(x)).square().flatten(1).mean(1)

    def weight_norm(self) -> Tensor:
        """Sum of all squared weights (not biases), for L2 regularisation."""
        return sum(p.square().sum() for p in self.parameters() if p.dim() > 1)


def _need_image(shape: tuple[int, ...], divisor: int) -> None:
    if len(shape) != 3 or shape[0] != 1 or shape[1] % divisor or shape[2] % divisor:
        raise InputError(
            f"a convolutional network needs images (1, H, W) with H and W divisible by {divisor}, not {shape}; "
            "use network 'dense'."
        )
