"""Encoders and decoders: the parts that detectors are built from.

``dense`` works on any shape; ``heidelberg`` is the convolutional network of the jet-image NAE (arXiv:2206.14225): 3x3
convolutions with 8 channels, one halving of the image and one dense layer. ``strided`` is a light convolutional
network for CPUs: two strided convolutions of 8 and 16 channels; its decoder doubles the image and convolves, twice.
``mnist`` is the network of the MPDR paper for 28 x 28 pixels (NeurIPS 2023, Table 8); the width of its dense layer,
1024 in the paper, sets all others in proportion. ``objects`` convolves over the objects of an event as in
arXiv:2110.08508, without its batch normalisation: the score of an event must not depend on other events. ``sets`` has
no decoder: F( sum_i z_i Phi(direction_i) ) of constituents, deep sets (arXiv:1703.06114) with the weights z of energy
flow networks (arXiv:1810.05165), so that soft and collinear constituents do not matter.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.errors import InputError, check_choice
from hepad.representations import Space


def dense(sizes: list[int], activation=nn.LeakyReLU) -> nn.Sequential:
    """Linear layers of the given sizes with activations between them; InputError for one below 1."""
    if min(sizes[1:]) < 1:
        raise InputError(f"dense layers of the widths {list(sizes[1:])}: each must be 1 or more. Change 'hidden_dims'.")
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(a, b))
        if i < len(sizes) - 2:
            layers.append(activation())
    return nn.Sequential(*layers)


def dense_encoder(shape: tuple[int, ...], width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, *shape) -> (B, width)."""
    return nn.Sequential(nn.Flatten(), dense([math.prod(shape), *hidden_dims, width]))


def dense_decoder(latent_dim: int, shape: tuple[int, ...], hidden_dims: list[int]) -> nn.Module:
    """(B, latent_dim) -> (B, *shape)."""
    return nn.Sequential(dense([latent_dim, *reversed(hidden_dims), math.prod(shape)]), nn.Unflatten(1, shape))


class Doubling(nn.Module):
    """(B, C, h, h) -> (B, C, 2h, 2h), bilinear with aligned corners, as two products with a fixed matrix (2h, h), along
    rows and along columns: the same numbers as nn.Upsample, whose gradient takes a GPU two thirds of an autoencoder's
    time when channels are last."""

    def __init__(self, size: int):
        super().__init__()
        units = torch.eye(size).unsqueeze(1)
        line = nn.functional.interpolate(units, scale_factor=2, mode="linear", align_corners=True)
        self.register_buffer("line", line.squeeze(1).T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # (B, h, h, C), as the memory has it
        x = (self.line @ x.flatten(2)).unflatten(2, x.shape[2:])
        return (self.line @ x).permute(0, 3, 1, 2)


class DoublingConv2d(nn.Conv2d):
    """(B, a, h, w) -> (B, b, 2h, 2w): nn.Upsample to twice the size by repetition, then a 3x3 convolution of padding 1,
    as one convolution of the small image, which a CPU does two to three times faster.

    Rows 2i and 2i + 1 of the result see rows i - 1, i, i + 1 of the image with the weights (w_0, w_1 + w_2, 0) and
    (0, w_0 + w_1, w_2), columns likewise, so that each of the four has a 3x3 kernel of its own.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1)
        taps = [[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]]
        self.register_buffer("taps", torch.tensor(taps, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernels = torch.einsum("pik,ockl,qjl->opqcij", self.taps, self.weight, self.taps).flatten(0, 2)
        kernels = kernels.contiguous(memory_format=torch.channels_last)
        y = nn.functional.conv2d(x, kernels, self.bias.repeat_interleave(4), padding=1)
        return nn.functional.pixel_shuffle(y, 2)


class PReLU(nn.PReLU):
    """PReLU of one slope. While it is frozen, in a chain, a CPU need not compute the slope's gradient, which takes as
    long as the rest: a leaky ReLU of the same slope is the same function."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad or x.device.type != "cpu":
            return super().forward(x)
        return nn.functional.leaky_relu(x, self.weight.item())


def channels_last(*layers: nn.Module) -> nn.Sequential:
    """The layers in sequence, with their weights in the memory order in which a CPU is two to three times faster with
    few channels. The weights decide: an input of one channel is in both orders at once."""
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def heidelberg_encoder(shape: tuple[int, ...], width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, 1, H, W) -> (B, width); ``hidden_dims`` holds the width of the one dense layer."""
    _need_image(shape, 2)
    half = (shape[1] // 2) * (shape[2] // 2)
    convolutions = []
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 8), (8, 1)]):
        convolutions += [nn.Conv2d(a, b, 3, padding=1), PReLU()]
        if i == 1:
            convolutions.append(nn.MaxPool2d(2))
    return channels_last(*convolutions, nn.Flatten(), dense([half, *hidden_dims, width], PReLU))


def heidelberg_decoder(latent_dim: int, shape: tuple[int, ...], hidden_dims: list[int]) -> nn.Module:
    """(B, latent_dim) -> (B, 1, H, W)."""
    _need_image(shape, 2)
    half = (1, shape[1] // 2, shape[2] // 2)
    layers = [dense([latent_dim, *reversed(hidden_dims), math.prod(half)], PReLU), PReLU(), nn.Unflatten(1, half)]
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 1)]):
        # with stride 1 the paper's transposed convolution is a convolution, which CPUs do several times faster
        layers.append(nn.Conv2d(a, b, 3, padding=1))
        if i < 3:
            layers.append(PReLU())
        if i == 1:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return channels_last(*layers)


def strided_encoder(shape: tuple[int, ...], width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, 1, H, W) -> (B, width); each of two convolutions halves the image."""
    _need_image(shape, 4)
    quarter = 16 * (shape[1] // 4) * (shape[2] // 4)
    layers = [nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.LeakyReLU(), nn.Flatten()]
    return channels_last(*layers, dense([quarter, *hidden_dims, width]))


def strided_decoder(latent_dim: int, shape: tuple[int, ...], hidden_dims: list[int]) -> nn.Module:
    """(B, latent_dim) -> (B, 1, H, W)."""
    _need_image(shape, 4)
    quarter = (16, shape[1] // 4, shape[2] // 4)
    layers = [dense([latent_dim, *reversed(hidden_dims), math.prod(quarter)]), nn.LeakyReLU(), nn.Unflatten(1, quarter)]
    return channels_last(*layers, DoublingConv2d(16, 8), nn.LeakyReLU(), DoublingConv2d(8, 1))


def mnist_encoder(shape: tuple[int, ...], width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, 1, 28, 28) -> (B, width); ``hidden_dims`` holds the width of the one dense layer."""
    w = _mnist_width(shape, hidden_dims)
    layers = [nn.Conv2d(1, w, 3), nn.ReLU(), nn.Conv2d(w, 2 * w, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(2 * w, 2 * w, 3), nn.ReLU(), nn.Conv2d(2 * w, 4 * w, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(4 * w, 32 * w, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32 * w, width)]
    return channels_last(*layers)


def mnist_decoder(latent_dim: int, shape: tuple[int, ...], hidden_dims: list[int]) -> nn.Module:
    """(B, latent_dim) -> (B, 1, 28, 28)."""
    w = _mnist_width(shape, hidden_dims)
    # a transposed convolution of stride 1 is a convolution with the padding that gives the same size
    layers = [nn.Linear(latent_dim, 4 * w * 16), nn.Unflatten(1, (4 * w, 4, 4)), nn.ReLU(), Doubling(4)]
    layers += [nn.Conv2d(4 * w, 2 * w, 3, padding=2), nn.ReLU(), nn.Conv2d(2 * w, 2 * w, 3, padding=2), nn.ReLU()]
    layers += [Doubling(12), nn.Conv2d(2 * w, w, 3, padding=2), nn.ReLU(), nn.Conv2d(w, 1, 3, padding=2)]
    return channels_last(*layers)


def _mnist_width(shape: tuple[int, ...], hidden_dims: list[int]) -> int:
    if tuple(shape) != (1, 28, 28) or len(hidden_dims) != 1 or hidden_dims[0] < 32 or hidden_dims[0] % 32:
        raise InputError(
            "network 'mnist' needs images (1, 28, 28) and one dense width divisible by 32; got "
            f"{shape} and {hidden_dims}."
        )
    return hidden_dims[0] // 32


def objects_encoder(shape: tuple[int, ...], width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, 1, R, F) -> (B, width); R objects with F features each."""
    rest = _rows_left(shape)
    layers = [nn.Conv2d(1, 32, (3, shape[2])), nn.LeakyReLU(), nn.Conv2d(32, 16, (5, 1)), nn.LeakyReLU()]
    layers += [nn.Conv2d(16, 8, (7, 1)), nn.LeakyReLU(), nn.Flatten()]
    return channels_last(*layers, dense([8 * rest, *hidden_dims, width]))


def objects_decoder(latent_dim: int, shape: tuple[int, ...], hidden_dims: list[int]) -> nn.Module:
    """(B, latent_dim) -> (B, 1, R, F)."""
    rest = _rows_left(shape)
    layers = [dense([latent_dim, *reversed(hidden_dims), 8 * rest]), nn.LeakyReLU(), nn.Unflatten(1, (8, rest, 1))]
    layers += [nn.ConvTranspose2d(8, 16, (7, 1)), nn.LeakyReLU(), nn.ConvTranspose2d(16, 32, (5, 1)), nn.LeakyReLU()]
    return channels_last(*layers, nn.ConvTranspose2d(32, 1, (3, shape[2])))


def _rows_left(shape: tuple[int, ...]) -> int:
    """Rows that kernels of 3, 5 and 7 leave of R."""
    if len(shape) != 3 or shape[0] != 1 or shape[1] < 13:
        raise InputError(
            f"network 'objects' needs events (1, R, F) of R >= 13 objects with F features, not {shape}; "
            "allow for more objects or use network 'dense'."
        )
    return shape[1] - 12


class Sets(nn.Module):
    """(B, 1, C, F) of constituents, z first -> (B, width); ``hidden_dims``: widths of Phi, and of F but the last."""

    def __init__(self, shape: tuple[int, ...], width: int, hidden_dims: list[int]):
        super().__init__()
        if not hidden_dims:
            raise InputError("network 'sets': hidden_dims: at least one width is needed.")
        self.each = nn.Sequential(dense([shape[2] - 1, *hidden_dims]), nn.LeakyReLU())
        self.of_sum = dense([hidden_dims[-1], *hidden_dims, width])

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1, 2)
        return self.of_sum((x[..., :1] * self.each(x[..., 1:])).sum(1))


NETWORKS = {
    "dense": (dense_encoder, dense_decoder),
    "heidelberg": (heidelberg_encoder, heidelberg_decoder),
    "strided": (strided_encoder, strided_decoder),
    "mnist": (mnist_encoder, mnist_decoder),
    "objects": (objects_encoder, objects_decoder),
    "sets": (Sets, None),
}


def check_decoder(key: str, network: str) -> None:
    """InputError, about ``key``, unless ``network`` is a name in ``NETWORKS`` that has a decoder, too."""
    check_choice(key, network, NETWORKS)
    if NETWORKS[network][1] is None:
        both = ", ".join(name for name, (_, decoder) in NETWORKS.items() if decoder)
        raise InputError(f"{key}: '{network}' has no decoder. Use {both}, or detectors without: IGEBM, DRL, DeepSVDD.")


def encoder(space: Space, network: str, width: int, hidden_dims: list[int]) -> nn.Module:
    """(B, *space.shape) -> (B, width). InputError if the network is not for such events."""
    make_encoder, _ = NETWORKS[check_choice("network", network, NETWORKS)]
    z, *directions = space.features or [""]
    if make_encoder is Sets and not (z == "z" and directions and {*directions} <= {"deta", "dphi", "eta", "phi"}):
        raise InputError(
            "network 'sets' needs Constituents with 'z' as first feature and deta, dphi, eta or phi alone behind it, "
            f"not {', '.join(space.features) or space.shape}. Change the features or use network 'dense'."
        )
    return make_encoder(space.shape, width, list(hidden_dims))


def scalar_network(space: Space, network: str, hidden_dims: list[int]) -> nn.Module:
    """(B, *shape) -> (B, 1): the encoder of ``network`` with one output and every layer of spectral norm one."""
    net = encoder(space, network, 1, hidden_dims)
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.utils.parametrizations.spectral_norm(layer)
    return net


class Head(nn.Module):
    """Turns the output of a decoder into an event; columns stay as they are.

    Pixels of a jet image are a softmax times their sum, so that what is decoded is an image, non-negative and of the
    right sum, and a latent chain stays among images. Pixels that lie each in [0, 1] pass a sigmoid, as in the authors'
    networks: if it starts at the mean image instead, pixels that are black in training can hardly be raised, and the
    autoencoder learns more slowly.
    """

    def __init__(self, space: Space):
        super().__init__()
        self.pixels, self.unit_sum = space.pixels, space.unit_sum
        self.columns = math.prod(space.shape) - space.pixels
        self.register_buffer("total", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Learn the sum of an image in normalised units."""
        if self.unit_sum and self.pixels:
            self.total.copy_(x.flatten(1)[:, : self.pixels].sum(1).mean())

    def entries(self, x: Tensor) -> Tensor:
        """The same for events as (..., D) numbers."""
        if not self.pixels:
            return x
        image = x[..., : self.pixels] if self.columns else x
        image = self.total * torch.softmax(image, -1) if self.unit_sum else torch.sigmoid(image)
        return torch.cat([image, x[..., self.pixels :]], -1) if self.columns else image

    def forward(self, x: Tensor) -> Tensor:
        return self.entries(x.flatten(1)).view_as(x)


@dataclass(frozen=True)
class AutoencoderSettings:
    """Settings of an autoencoder.

    network: a name in ``NETWORKS`` with a decoder; hidden_dims: widths of dense layers; latent_dim: size of the code;
    sphere: the code is a unit vector; l2: weight, beside the error, of the encoder's squared weights, which keeps an
    encoder on the sphere, whose scale is free, from growing without limit.
    """

    network: str = "dense"
    hidden_dims: tuple[int, ...] = (256, 128)
    latent_dim: int = 16
    sphere: bool = True
    l2: float = 0.0

    def __post_init__(self):
        check_decoder("autoencoder: network", self.network)
        if self.l2 < 0:
            raise InputError(f"autoencoder: l2: {self.l2} must not be negative.")
        if self.latent_dim < 1 or (self.sphere and self.latent_dim < 2):
            raise InputError(
                f"autoencoder: latent_dim: {self.latent_dim} is too small; a sphere needs at least 2 dimensions, a "
                "plane 1."
            )


class Autoencoder(nn.Module):
    """x -> z -> x' on the given space. With ``sphere`` the code is a unit vector."""

    def __init__(self, space: Space, settings: AutoencoderSettings):
        super().__init__()
        make_encoder, make_decoder = NETWORKS[settings.network]
        self.latent_dim, self.sphere, self.l2 = settings.latent_dim, settings.sphere, settings.l2
        self.encoder = make_encoder(space.shape, self.latent_dim, list(settings.hidden_dims))
        self.decoder = make_decoder(self.latent_dim, space.shape, list(settings.hidden_dims))
        self.head = Head(space)

    def encode(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, latent_dim)."""
        z = self.encoder(x)
        return nn.functional.normalize(z, dim=-1) if self.sphere else z

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, *shape)."""
        return self.head(self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def error(self, x: Tensor) -> Tensor:
        """Mean squared error per dimension, (B,)."""
        return (x - self(x)).square().flatten(1).mean(1)

    def error_terms(self, x: Tensor) -> Tensor:
        """What each entry adds to :meth:`error`, (B, *shape)."""
        return (x - self(x)).square() / x.shape[1:].numel()

    def penalty(self) -> Tensor | float:
        """l2 times the sum of the encoder's squared parameters; what is added to a loss in units of the error. Biases
        are among them: alone they would outgrow the shrinking signal, and every event had the same code."""
        return self.l2 * sum(p.square().sum() for p in self.encoder.parameters()) if self.l2 else 0.0


def _need_image(shape: tuple[int, ...], divisor: int) -> None:
    if len(shape) != 3 or shape[0] != 1 or shape[1] % divisor or shape[2] % divisor:
        raise InputError(
            f"a convolutional network needs images (1, H, W) with H and W divisible by {divisor}, not {shape}; "
            "use network 'dense'."
        )
