r"""The network of PixelCNN++: at every pixel a function of the pixels before it (Salimans et al., arXiv:1701.05517).

    v   sees the rows above:                       kernels 2 x 3, of this row of v and the one above
    h   sees v, and what is to the left as well:   kernels 2 x 2, of this place of h and those above and to the left

The first layers of both are shifted, v and a part of h down by a row, the rest of h right by a column, so that no pixel
sees itself; all later layers keep to it. A gated block adds to its input

    x + a sigma(b),    (a, b) = conv(e(conv(e(x)) + conv_1x1(e(aside)))),      e(x) = elu(x, -x)

where ``aside`` is v for h. Resolutions are halved by convolutions of stride 2, which look back as all others do, and
doubled by transposed ones whose 2 x 2 patches do not overlap; on the way up the blocks see those of the way down aside.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad

DOWN, RIGHT = (2, 3), (2, 2)  # kernels
Streams = tuple[Tensor, Tensor]  # v and h, each (B, C, H, W)


class LookingBack(nn.Conv2d):
    """Convolution whose kernel of two rows, or two columns, ends at its pixel: it looks above, or to the left.

    Zeros are around the image on all sides, and what the lower and the right ones make is cut off.
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2))
        self.kept = [slice(-1) if size == 2 else slice(None) for size in kernel]

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.kept
        return super().forward(x)[:, :, rows, columns]


def doubled(x: Tensor) -> Tensor:
    """elu of x and of -x (B, 2 C, H, W)."""
    return elu(torch.cat([x, -x], 1))


class Gated(nn.Module):
    """A gated block of one stream; ``aside``: channels of what it sees besides."""

    def __init__(self, width: int, kernel: tuple[int, int], aside: int = 0):
        super().__init__()
        self.first, self.second = LookingBack(2 * width, width, kernel), LookingBack(2 * width, 2 * width, kernel)
        self.aside = nn.Conv2d(2 * aside, width, 1) if aside else None

    def forward(self, x: Tensor, *aside: Tensor) -> Tensor:
        hidden = self.first(doubled(x))
        if self.aside is not None:
            hidden = hidden + self.aside(doubled(torch.cat(aside, 1)))
        a, b = self.second(doubled(hidden)).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class Pair(nn.Module):
    """Gated blocks of both streams; ``upwards``: they see those of the way down aside."""

    def __init__(self, width: int, upwards: bool):
        super().__init__()
        self.v, self.h = Gated(width, DOWN, width * upwards), Gated(width, RIGHT, width * (1 + upwards))

    def forward(self, now: Streams, before: Streams | None = None) -> Streams:
        v = self.v(now[0], *(before or ())[:1])
        return v, self.h(now[1], v, *(before or ())[1:])


class Resized(nn.Module):
    """Both streams at half the resolution, or ``larger``, at twice."""

    def __init__(self, width: int, larger: bool):
        super().__init__()
        if larger:
            self.v, self.h = (nn.ConvTranspose2d(width, width, 2, 2) for _ in range(2))
        else:
            self.v, self.h = (LookingBack(width, width, kernel, stride=2) for kernel in (DOWN, RIGHT))

    def forward(self, now: Streams) -> Streams:
        return self.v(now[0]), self.h(now[1])


class CausalNetwork(nn.Module):
    """(B, 1, H, W) -> (B, ``outputs``, H, W); ``blocks`` of ``width`` channels in each of ``scales`` resolutions."""

    def __init__(self, outputs: int, width: int, scales: int, blocks: int):
        super().__init__()
        self.above = LookingBack(2, width, DOWN)
        self.just_above, self.left = LookingBack(2, width, (1, 3)), LookingBack(2, width, (2, 1))
        self.down = nn.ModuleList(nn.ModuleList(Pair(width, False) for _ in range(blocks)) for _ in range(scales))
        self.up = nn.ModuleList(nn.ModuleList(Pair(width, True) for _ in range(blocks)) for _ in range(scales - 1))
        self.smaller = nn.ModuleList(Resized(width, False) for _ in range(scales - 1))
        self.larger = nn.ModuleList(Resized(width, True) for _ in range(scales - 1))
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.ones_like(x)], 1)  # the ones tell the image from the zeros around it
        lower = (0, 0, 1, -1)  # a row of zeros above, and the last row gone
        v = pad(self.above(x), lower)
        now, kept = (v, pad(self.just_above(x), lower) + pad(self.left(x), (1, -1))), []
        for scale, pairs in enumerate(self.down):
            if scale:
                now = self.smaller[scale - 1](now)
            for pair in pairs:
                now = pair(now)
                kept.append(now)
        del kept[len(kept) - len(self.down[-1]) :]  # of the coarsest
        for scale in reversed(range(len(self.up))):
            now = self.larger[scale](now)
            for pair in self.up[scale]:
                now = pair(now, kept.pop())
        return self.last(elu(now[1]))
