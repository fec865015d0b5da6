r"""How rare a score is among background events: -log p, calibrated on events that the detector was not fitted on.

With n calibration scores, of which ten lie above the joint j,

    -log p(s) = -log[(1 + #{s_i >= s}) / (n + 1)]              s <= j: at knots, linear in between
    -log p(s) = -log p(j) + log[1 + xi (s - j) / sigma] / xi   s > j: generalised Pareto, xi -> 0 exponential

Below j that is the split-conformal p-value (Vovk et al. 2005; Bates et al., arXiv:2104.08279). It ends at 1 / (n + 1)
and would tie all events beyond the last calibration score, where a trigger cuts. The tail goes on from there: it is
continuous at j and rises strictly for ever. It is fitted to the highest share ``tail`` of the scores, those above t,
and moved to j, sigma(j) = sigma(t) + xi (j - t). A background of finite reach (xi < 0) is taken as exponential, which
claims less. (xi, sigma) is the estimate of J. Zhang and M. Stephens (Technometrics 51 (2009) 316), the posterior mean
over a grid of theta = -xi / sigma, with xi drawn towards 0 by the weight of ten events.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from hepad.errors import InputError

KNOTS = 64
LEAST = 10  # calibration events above the joint, and in a tail
LEAST_SHAPE = 0.05  # log(1 + x) loses its digits below; such tails are exponential for all that events can tell


class Survival(nn.Module):
    """-log p (B,) of scores (B,), once fitted. Unfitted it is the score itself above zero."""

    def __init__(self):
        super().__init__()
        for name in ("knots", "value", "slope"):
            self.register_buffer(name, torch.zeros(KNOTS))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shape", torch.zeros(()))

    def fit(self, scores: Tensor, tail: float) -> None:
        """Learn from the scores (N,) of background events; ``tail``: the share of them that the tail is fitted to.

        InputError: they are too few, or too many of them are the same.
        """
        rising = np.sort(scores.cpu().double().numpy())
        n, count = len(rising), int(tail * len(rising))
        if count < LEAST:
            raise InputError(too_few(n, tail))
        knots, first = np.unique(rising, return_index=True)
        above = n - np.append(first[1:], n)
        last, joint = (np.count_nonzero(above >= least) - 1 for least in (count, LEAST))
        if last < 0:
            raise InputError(
                f"{n - above[0]} of {n} calibration events share the lowest score, more than all but the tail of "
                f"{tail:g}. Raise 'tail', or leave out this score."
            )
        t, j = knots[[last, joint]]
        shape, scale = pareto(rising[rising > t] - t)
        self.shape.fill_(shape)
        self.scale.fill_(scale + shape * (j - t))
        ranks = [np.linspace(0, first[joint], KNOTS // 2), n - np.geomspace(n, n - first[joint], KNOTS // 2)]
        chosen = np.unique(np.searchsorted(first[: joint + 1], np.concatenate(ranks) + 0.5) - 1)
        knots, value = knots[chosen], -np.log((1 + n - first[chosen]) / (n + 1))
        slope = np.append(np.diff(value) / np.diff(knots), 0.0)
        for buffer, found in ((self.knots, knots), (self.value, value), (self.slope, slope)):
            buffer.copy_(torch.from_numpy(np.pad(found, (0, KNOTS - len(found)), mode="edge")))

    def forward(self, scores: Tensor) -> Tensor:
        inside = torch.minimum(torch.maximum(scores, self.knots[0]), self.knots[-1])
        place = (inside.unsqueeze(1) >= self.knots).sum(1) - 1
        body = self.value[place] + (inside - self.knots[place]) * self.slope[place]
        beyond = (scores - self.knots[-1]).clamp(min=0) / self.scale
        heavy = torch.log1p(self.shape * beyond) / self.shape.clamp(min=LEAST_SHAPE)
        return body + torch.where(self.shape > 0, heavy, beyond)


def pareto(excess: np.ndarray) -> tuple[float, float]:
    """Shape xi and scale sigma of a generalised Pareto distribution, from rising excesses (m,) above zero."""
    m = len(excess)
    grid = np.arange(1, 31 + math.isqrt(m)) - 0.5
    theta = 1 / excess[-1] + (1 - np.sqrt(len(grid) / grid)) / (3 * excess[int(m / 4 + 0.5) - 1])
    shapes = np.log1p(-np.outer(theta, excess)).mean(1)
    likelihood = m * (np.log(-theta / shapes) - shapes - 1)
    weights = np.exp(likelihood - likelihood.max())
    theta = theta @ weights / weights.sum()
    shape = np.log1p(-theta * excess).mean()
    scale = -shape / theta
    shape *= m / (m + 10)
    return (shape, scale) if shape > LEAST_SHAPE else (0.0, excess.mean())


def too_few(events: int, tail: float) -> str:
    """What is said of a calibration that cannot fix its tail."""
    return (
        f"{events} calibration events are too few for p-values: {LEAST} must lie in a tail of {tail:g}, so "
        f"{math.ceil(LEAST / tail)} are needed. Give more validation events, or raise 'tail'."
    )
