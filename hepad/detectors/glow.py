r"""Glow: the probability of an image by an invertible network (Kingma, Dhariwal, NeurIPS 2018, arXiv:1807.03039).

    x = (k + u) / 256 - 1/2,      u uniform in [0, 1]^D,      p(k + u) = p(x) / 256^D,      z = f(x) ~ N(0, 1)

    -log P(k)  =  -log int p(k + u) du  <=  < -log p(k + u) >_u
    score      =  8 - (log N(z; 0, 1) + log|det dz/dx|) / (D log 2)                           bits per dimension

k are the levels of :mod:`hepad.detectors.image_likelihood`, f is the flow of :mod:`hepad.detectors.flows.image`, which
says its determinants. The density of k itself would be infinite: levels are spread uniformly over their cell
(dequantisation; Theis et al., arXiv:1511.01844), and the mean over u of what the flow says is an upper bound on the
bits of the image. In training u is new for each event and update. For scores it is one draw, the seed's, the same for
all events and a part of the model: the score of an event is always the same, and an unbiased estimate of its bound.

No logit is taken first, as in the paper: the density of k + u in its cell is P(k), at most one, and a logit would
stretch the darkest and the brightest level, where nearly all pixels of a digit lie.

Otherwise than in the paper: networks of 32 channels, not of 512, 8 steps, not 32, in each of 2 scales, not 3, and no
ActNorm inside of networks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hepad.detectors.base import Detector
from hepad.detectors.flows.image import MultiScale
from hepad.detectors.image_likelihood import HIGHEST, LEVELS, LOG_2, ImageLikelihood
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError
from hepad.representations import Space

FIRST = 512  # events that ActNorm begins with


class Glow(ImageLikelihood):
    """-log2 P of an image, per pixel, by a flow of invertible convolutions and couplings.

    Parameters
    ----------
    space: what the representation yields: images whose sides 2^scales divides
    scales: how often the image is halved
    depth: steps of the flow in each scale
    width: channels of the networks of its couplings
    training: a Schedule
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        scales: int = 2
        depth: int = 8
        width: int = 32
        training: Schedule

        def __post_init__(self):
            if min(self.scales, self.depth, self.width) < 1:
                raise InputError("Glow: scales, depth and width >= 1 are needed.")

    def __init__(self, space: Space, **arguments):
        scales = self.Settings(**arguments).scales
        super().__init__(space, scales, **arguments)
        settings = self.settings
        self.flow = MultiScale(self.inner.shape, settings.scales, settings.depth, settings.width)
        self.register_buffer("noise", torch.rand(self.inner.shape))

    def begin(self, k: Tensor, generator: torch.Generator) -> None:
        rows = torch.randperm(len(k), generator=generator, device=k.device)[:FIRST]
        self.flow.begin(self._place(k[rows], self._fresh(k[rows], generator)))

    def training_bits(self, k: Tensor, generator: torch.Generator) -> Tensor:
        return self._bits_at(self._place(k, self._fresh(k, generator)))

    def bits(self, k: Tensor) -> Tensor:
        return self._bits_at(self._place(k, self.noise))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, self.noise.numel(), generator=generator, device=self.noise.device)
        return (LEVELS * (self.flow.inverse(z) + 0.5)).floor().clamp(0, HIGHEST)

    @staticmethod
    def _fresh(k: Tensor, generator: torch.Generator) -> Tensor:
        return torch.rand(k.shape, generator=generator, device=k.device)

    @staticmethod
    def _place(k: Tensor, u: Tensor) -> Tensor:
        """x of the levels k and their place u in their cells."""
        return (k + u) / LEVELS - 0.5

    def _bits_at(self, x: Tensor) -> Tensor:
        z, log_abs_det_jacobian = self.flow(x)
        log_p = log_abs_det_jacobian - (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi)) / 2
        return math.log2(LEVELS) - log_p / (z.shape[1] * LOG_2)
