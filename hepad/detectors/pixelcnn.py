r"""PixelCNN++: the probability of an image, pixel by pixel (Salimans et al., ICLR 2017, arXiv:1701.05517).

    P(k) = prod_i P(k_i | k_1, ..., k_{i-1}),       pixels row by row, from left to right

    P(k_i | ...) = sum_m pi_m [ sigma((y + 1/255 - mu_m) / s_m) - sigma((y - 1/255 - mu_m) / s_m) ],
    y = k_i / 127.5 - 1

    score = -sum_i log2 P(k_i | ...) / D                                                      bits per dimension

k are the levels of :mod:`hepad.detectors.image_likelihood`; sigma(...) is the logistic distribution's cumulative
function. At level 0 the second is replaced by 0, at level 255 the first by 1: over the 256 levels P sums to one. P(k)
is exact, and of the levels themselves, which a flow would have to spread. pi, mu and s of a pixel come from the pixels
before it, through the network of :mod:`hepad.detectors.causal_network`.

With a = (y + 1/255 - mu) / s, b = (y - 1/255 - mu) / s and d = a - b the difference is computed as

    log(sigma(a) - sigma(b)) = log sigma(a) + log sigma(-b) + log(1 - e^-d)

which loses no digits in either tail. e^-7 <= s <= 1: the lower bound is that of the authors' code. The upper one is not
there; above it a distribution lies in levels 0 and 255, half in each whatever mu is, and what is black or white is
learned no further. Otherwise than in the paper: 16 channels, not 160; one block per resolution, not five, and
none on the way up from the coarsest; neither dropout nor weight normalisation; one colour.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from hepad.detectors.base import Detector
from hepad.detectors.causal_network import CausalNetwork
from hepad.detectors.image_likelihood import HIGHEST, LOG_2, ImageLikelihood
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError
from hepad.representations import Space

NARROWEST, WIDEST = -7.0, 0.0  # log s


def centred(k: Tensor) -> Tensor:
    """y in [-1, 1] of levels."""
    return 2 * k / HIGHEST - 1


def components(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log pi, mu and log s, each (B, M, H, W), of the network's (B, 3 M, H, W)."""
    weight, mu, log_s = parameters.chunk(3, 1)
    return torch.log_softmax(weight, 1), mu, log_s.clamp(NARROWEST, WIDEST)


def log_probability(parameters: Tensor, k: Tensor) -> Tensor:
    """log P (B, H, W) of levels k (B, 1, H, W) under the mixture with these parameters (B, 3 M, H, W)."""
    log_pi, mu, log_s = components(parameters)
    inverse = (-log_s).exp()
    distance, half = (centred(k) - mu) * inverse, inverse / HIGHEST
    below, above = logsigmoid(distance + half), logsigmoid(half - distance)  # log sigma(a), log sigma(-b)
    between = below + above + (1 - (-2 * half).exp()).log()
    log_p = torch.where(k < 0.5, below, torch.where(k > HIGHEST - 0.5, above, between))
    return torch.logsumexp(log_pi + log_p, 1)


def drawn(parameters: Tensor, generator: torch.Generator) -> Tensor:
    """Levels (B, H, W) from the mixture with these parameters (B, 3 M, H, W)."""
    log_pi, mu, log_s = components(parameters)
    options = {"generator": generator, "device": mu.device}
    # the largest of log pi + Gumbel noise is component m with probability pi_m
    gumbel = -(-torch.rand(mu.shape, **options).clamp(1e-12, 1).log()).clamp(min=1e-12).log()
    chosen = (log_pi + gumbel).argmax(1, keepdim=True)
    u = torch.rand(chosen.shape, **options).clamp(1e-6, 1 - 1e-6)
    y = mu.gather(1, chosen) + log_s.gather(1, chosen).exp() * torch.logit(u)
    return ((y + 1) * HIGHEST / 2).round().clamp(0, HIGHEST).squeeze(1)


class PixelCNN(ImageLikelihood):
    """-log2 P of an image, per pixel, each pixel given those above it and to its left.

    Parameters
    ----------
    space: what the representation yields: images whose sides 2^(scales - 1) divides
    scales: resolutions of the network
    blocks: gated blocks in each resolution, on the way down and on the way up
    width: channels
    mixture: number M of logistic distributions
    training: a Schedule
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        scales: int = 3
        blocks: int = 1
        width: int = 16
        mixture: int = 5
        training: Schedule

        def __post_init__(self):
            if min(self.scales, self.blocks, self.width, self.mixture) < 1:
                raise InputError("PixelCNN: scales, blocks, width and mixture >= 1 are needed.")

    def __init__(self, space: Space, **arguments):
        scales = self.Settings(**arguments).scales
        super().__init__(space, scales - 1, **arguments)
        settings = self.settings
        self.network = CausalNetwork(3 * settings.mixture, settings.width, settings.scales, settings.blocks)

    def bits(self, k: Tensor) -> Tensor:
        return self._bits_of_pixels(k).sum((1, 2, 3))

    def terms(self, x: Tensor) -> Tensor:
        return self._bits_of_pixels(self.levels(x))

    def _bits_of_pixels(self, k: Tensor) -> Tensor:
        """What each pixel of levels k adds to the score, (B, 1, H, W)."""
        log_p = log_probability(self.network(centred(k)), k).unsqueeze(1)
        return -log_p / (LOG_2 * log_p.shape[1:].numel())

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        _, height, width = self.inner.shape
        k = torch.zeros(count, 1, height, width, device=generator.device)
        unit = 2 ** (self.settings.scales - 1)  # rows that stay together in the coarsest resolution
        for row in range(height):
            seen = k[:, :, : (row // unit + 1) * unit]  # rows below change nothing
            for column in range(width):
                here = self.network(centred(seen))[:, :, row : row + 1, column : column + 1]
                seen[:, 0, row, column] = drawn(here, generator)[:, 0, 0]
        return k
