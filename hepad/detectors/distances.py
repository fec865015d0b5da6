r"""Distances between the objects of an event and those of its reconstruction, and between samples of events.

    chamfer         D_ij = |x_i - y_j|^2,      C(x, y) = sum_i min_j D_ij + sum_j min_i D_ij
    wasserstein     W^2(V, N) = min_pi sum_ij pi_ij |v_i - n_j|^2 / D
    separation      P( b > a ) of two sets of scores, ties half
    nearest         d(x) = min_j |x - y_j|

x_i, y_j: feature vectors of the objects of input and output. A row of zeros of the input is an absent object; neither
it nor the output's row in the same place takes part, so that padding is free. Source: "3D sparse" loss of Jawahar et
al., arXiv:2110.08508, and Eq. 4.2 of arXiv:2105.14027, there without the square. W^2 is solved exactly by POT.
"""

import numpy as np
import torch
from torch import Tensor

from hepad.representations import occupied


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """C (B,) of inputs x and outputs y (B, 1, R, F), normalised; zero for an event without objects."""
    occupancy = occupied(x)[:, 0, :, 0]
    d = (x[:, 0].unsqueeze(2) - y[:, 0].unsqueeze(1)).square().sum(3)  # (B, R of x, R of y)
    d = d.masked_fill(~(occupancy.unsqueeze(2) & occupancy.unsqueeze(1)), torch.inf)
    zero = torch.zeros((), dtype=d.dtype, device=d.device)
    return sum(torch.where(occupancy, d.amin(dim), zero).sum(1) for dim in (2, 1))


def transport_plan(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) optimal plan between x (N, ...) and y (M, ...) of equal weights and squared Euclidean cost."""
    import ot  # takes a second

    cost = torch.cdist(x.flatten(1), y.flatten(1)).square().detach().cpu().double().numpy()
    plan = ot.emd(np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), cost, numItermax=1_000_000)
    return torch.as_tensor(plan, dtype=x.dtype, device=x.device)


def wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared Wasserstein distance per dimension, a scalar with gradients to x and y.

    At the optimum the plan does not change to first order (envelope theorem), so that it is a constant in the gradient.
    """
    a, b = x.flatten(1), y.flatten(1)
    plan = transport_plan(a, b)
    squares = plan.sum(1) @ a.square().sum(1) + plan.sum(0) @ b.square().sum(1)
    return (squares - 2 * (plan * (a @ b.T)).sum()) / a.shape[1]


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distance (N,) of each x (N, ...) to the nearest of y (M, ...), of which x must not be a part."""
    return torch.cdist(x.flatten(1), y.flatten(1)).amin(1)


def separation(background: Tensor, other: Tensor) -> float:
    """P(other > background) of two sets of scores (N,), (M,); ties count half."""
    order = background.sort().values
    below = torch.searchsorted(order, other) + torch.searchsorted(order, other, right=True)
    return (below.double().mean() / (2 * len(background))).item()
