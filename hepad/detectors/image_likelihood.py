r"""Probability of an image: what Glow and PixelCNN have in common.

    k_i = min(255, round(255 (x_i / t)^a)),         score = -log2 P(k_1, ..., k_D) / D      bits per dimension

A probability is that of one of finitely many images: pixels become 256 levels first.

    pixels in [0, 1], a photograph          a = 1,    t = 1: the levels of its file
    pixels of a jet image, which sum to 1   a = 1/2,  t = the brightest pixel of the training events

A jet image has no density in D dimensions: it lies in the plane of its sum, and pixels that nothing has hit, most of
them where no filter smears them, are zero again and again. Levels have a probability, which is never above one, and
both detectors one unit. The root tells shares of a momentum over four orders of magnitude apart: what has 10^-4 of t
has level 3, not 0. What has less than 4 10^-6 of t is black. A pixel brighter than any in training has level 255.

Bits per dimension are -log P up to a constant factor, the same for all images of a space. Likelihoods of images know of
textures before they know of objects: a simple image may be more probable than all of training (Nalisnick et al.,
arXiv:1810.09136).
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from hepad.detectors.base import Generating
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

LEVELS = 256
HIGHEST = LEVELS - 1
LOG_2 = math.log(2)
EXAMINED = 500  # validation events that a candidate is judged by


class Levels(nn.Module):
    """Levels 0, 1, ..., 255 of normalised pixels, and back."""

    def __init__(self, space: Space):
        super().__init__()
        self.unit_sum = space.unit_sum
        self.register_buffer("top", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Learn the brightest pixel of training events x (N, *shape), if the space does not say it."""
        if self.unit_sum:
            self.top.copy_(x.max())

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape), whole numbers."""
        share = (x / self.top).clamp(0, 1)
        return (HIGHEST * (share.sqrt() if self.unit_sum else share)).round()

    def invert(self, k: Tensor) -> Tensor:
        """The pixels of levels k (B, *shape)."""
        share = k / HIGHEST
        return self.top * (share.square() if self.unit_sum else share)


class ImageLikelihood(Generating):
    """Base of the detectors whose score is -log2 P of an image's levels, per pixel.

    Subclasses say the probability (``bits``, and ``training_bits`` if the training has noise of its own), draw from it
    (``draw``), and may look at the levels of training events before they learn (``begin``).
    InputError if the space is not one of images, or a side cannot be halved ``halvings`` times.
    """

    score_name = "−log probability [bits per pixel]"

    def __init__(self, space: Space, halvings: int, **arguments):
        super().__init__(space, **arguments)
        name, shape = type(self).__name__, self.inner.shape
        if len(shape) != 3 or not self.inner.pixels:
            raise InputError(f"{name}: it needs images, (1, H, W), not {shape}; FlowDensity is for vectors.")
        if any(side >> halvings << halvings != side for side in shape[1:]):
            raise InputError(
                f"{name}: scales: for {self.settings.scales} scales the sides must be halved {halvings} times without "
                f"a rest, and {shape[1:]} cannot; take fewer scales, or images of other sizes."
            )
        self.levels = Levels(self.inner)

    @abstractmethod
    def bits(self, k: Tensor) -> Tensor:
        """-log2 P / D (B,) of levels k (B, 1, H, W), the same at every call."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels (count, 1, H, W) of images from the model."""

    def training_bits(self, k: Tensor, generator: torch.Generator) -> Tensor:
        """What the training minimises, (B,)."""
        return self.bits(k)

    def begin(self, k: Tensor, generator: torch.Generator) -> None:
        """Starting values from the levels of training events; by default none."""

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        self.levels.fit(train)
        self.begin(self.levels(train), fitting.generator)

        def loss(x: Tensor, _step: int):
            return self.training_bits(self.levels(x), fitting.generator).mean(), {}

        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(self.anomaly, valid[:EXAMINED]).mean().item()}

        start = measure()["valid_loss"]
        options = {"phase": "likelihood", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        bits = measure()["valid_loss"]
        if not bits < start - 0.01:
            raise CollapseError(
                f"{type(self).__name__}: background has {bits:.3f} bits per pixel, before the training {start:.3f}: "
                "nothing was learned. Train longer, or change the learning rate."
            )
        return Fit(history, {"bits_per_pixel": bits})

    def anomaly(self, x: Tensor) -> Tensor:
        return self.bits(self.levels(x))

    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            x = self.normalise.invert(self.levels.invert(self.draw(count, generator)))
            if self.inner.unit_sum:
                x = x / x.sum((1, 2, 3), keepdim=True).clamp(min=1e-9)
            return x
