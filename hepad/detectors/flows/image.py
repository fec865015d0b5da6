r"""The flow of Glow (Kingma, Dhariwal, NeurIPS 2018, arXiv:1807.03039, Table 1 and figure 2), of images.

    ActNorm       y = e^s (x + b), s and b of each channel;                    log|det dy/dx| = H W sum_c s_c
    convolution   y = W x at each pixel, W = P L (U + diag(sign e^s));         log|det dy/dx| = H W sum_c s_c
    coupling      y_a = x_a,  y_b = e^s x_b + t,  (s, t) = network(x_a);       log|det dy/dx| = sum s
    squeeze       (c, H, W) -> (4 c, H/2, W/2): each 2 x 2 becomes four channels

``depth`` times the first three are a scale, after a squeeze. Half of the channels then leave for z, the other half goes
on to the next scale. What leaves passes one more coupling, y_b = e^s x_b + t: the paper's Gaussian of mean and width
from x_a, as a map to N(0, 1). So the whole is one map x -> z of D numbers to D numbers,

    log p(x) = log N(z; 0, 1) + log|det dz/dx|

P is a permutation that stays, L and U are unit lower and strictly upper triangular; W begins as a random rotation.
ActNorm begins with the mean and spread of some events. Networks are of three convolutions, the last beginning at zero:
each coupling is the identity then. s of a coupling is bounded smoothly to +-log(1000), as in zuko's flows, where the
authors' code takes a sigmoid for e^s.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle

from hepad.detectors.networks import channels_last

BOUND = math.log(1000)


def squeeze(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4 C, H/2, W/2), the inverse of pixel_shuffle; in an exported graph for every batch."""
    places = [(c, i, j) for c in range(x.shape[1]) for i in (0, 1) for j in (0, 1)]
    return torch.cat([x[:, c : c + 1, i::2, j::2] for c, i, j in places], 1)


class ActNorm(nn.Module):
    """y = e^s (x + b), a scale and a shift of each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))

    def standardise(self, x: Tensor) -> None:
        """Begin with the values that give x (B, C, H, W) mean 0 and standard deviation 1 in each channel."""
        self.offset.copy_(-x.mean((0, 2, 3)).view(-1, 1, 1))
        self.log_scale.copy_(-x.std((0, 2, 3)).clamp(min=1e-3).log().view(-1, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, C, H, W) and log_abs_det_jacobian, one number for all events."""
        return self.log_scale.exp() * (x + self.offset), self.log_scale.sum() * x.shape[2] * x.shape[3]

    def inverse(self, y: Tensor) -> Tensor:
        return y * (-self.log_scale).exp() - self.offset


class InvertibleConvolution(nn.Module):
    """y = W x, channels mixed at each pixel; W is kept as its LU decomposition."""

    def __init__(self, channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.register_buffer("below", torch.ones(channels, channels).tril(-1), persistent=False)
        self.register_buffer("unit", torch.eye(channels), persistent=False)
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))

    def matrix(self) -> Tensor:
        """W (C, C)."""
        lower = self.lower * self.below + self.unit
        upper = self.upper * self.below.T + self.unit * (self.sign * self.log_diagonal.exp())
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, C, H, W) and log_abs_det_jacobian, one number for all events."""
        return conv2d(x, self.matrix()[..., None, None]), self.log_diagonal.sum() * x.shape[2] * x.shape[3]

    def inverse(self, y: Tensor) -> Tensor:
        return conv2d(y, torch.linalg.inv(self.matrix())[..., None, None])


class Coupling(nn.Module):
    """y_a = x_a, y_b = e^s x_b + t; a and b are the first and the last half of the channels."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        half = channels // 2
        layers = [nn.Conv2d(half, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()]
        self.network = channels_last(*layers, nn.Conv2d(width, 2 * half, 3, padding=1))
        nn.init.zeros_(self.network[-1].weight)
        nn.init.zeros_(self.network[-1].bias)

    def scale_and_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, each (B, C/2, H, W)."""
        s, t = self.network(a).chunk(2, 1)
        return s / (1 + s.abs() / BOUND), t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, C, H, W) and log_abs_det_jacobian (B,)."""
        a, b = x.chunk(2, 1)
        s, t = self.scale_and_shift(a)
        return torch.cat([a, s.exp() * b + t], 1), s.sum((1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        a, b = y.chunk(2, 1)
        s, t = self.scale_and_shift(a)
        return torch.cat([a, (b - t) * (-s).exp()], 1)


class MultiScale(nn.Module):
    """x (B, 1, H, W) <-> z (B, H W) in ``scales`` scales of ``depth`` steps; ``width``: channels of the networks."""

    def __init__(self, shape: tuple[int, ...], scales: int, depth: int, width: int):
        super().__init__()
        self.steps, self.splits, self.shapes = nn.ModuleList(), nn.ModuleList(), []
        channels, height, wide = shape
        for scale in range(scales):
            channels, height, wide = 4 * channels, height // 2, wide // 2
            layers = []
            for _ in range(depth):
                layers += [ActNorm(channels), InvertibleConvolution(channels), Coupling(channels, width)]
            self.steps.append(nn.ModuleList(layers))
            if scale < scales - 1:
                self.splits.append(Coupling(channels, width))
                channels //= 2
            self.shapes.append((channels, height, wide))  # of what leaves

    def begin(self, x: Tensor) -> None:
        """Let every ActNorm standardise what it is given of x (B, 1, H, W)."""
        norms = [layer for layer in self.modules() if isinstance(layer, ActNorm)]
        hooks = [norm.register_forward_pre_hook(lambda norm, given: norm.standardise(*given)) for norm in norms]
        with torch.no_grad():
            self(x)
        for hook in hooks:
            hook.remove()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, D) and log_abs_det_jacobian (B,)."""
        left, parts = [], []
        for scale, steps in enumerate(self.steps):
            x = squeeze(x)
            for layer in [*steps, *self.splits[scale : scale + 1]]:
                x, part = layer(x)
                parts.append(part)
            if scale < len(self.splits):
                x, z = x.chunk(2, 1)
                left.append(z)
        return torch.cat([z.flatten(1) for z in (*left, x)], 1), sum(parts)

    def inverse(self, z: Tensor) -> Tensor:
        """x (B, 1, H, W) of z (B, D)."""
        parts = z.split([math.prod(shape) for shape in self.shapes], 1)
        *left, x = (part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        for scale in reversed(range(len(self.steps))):
            if scale < len(self.splits):
                x = torch.cat([x, left[scale]], 1)
            for layer in reversed([*self.steps[scale], *self.splits[scale : scale + 1]]):
                x = layer.inverse(x)
            x = pixel_shuffle(x, 2)
        return x
