r"""Distances between the objects of an event and those of its reconstruction, and between samples of events.

    chamfer         D_ij = |x_i - y_j|^2,      C(x, y) = sum_i min_j D_ij + sum_j min_i D_ij
    wasserstein     W^2(V, N) = min_pi sum_i |v_i - n_pi(i)|^2 / (N D)
    separation      P( b > a ) of two sets of scores, ties half
    nearest         d(x) = min_j |x - y_j|

x_i, y_j: feature vectors of the objects of input and output. A row of zeros of the input is an absent object; neither
it nor the output's row in the same place takes part, so that padding is free. Source: "3D sparse" loss of Jawahar et
al., arXiv:2110.08508, and Eq. 4.2 of arXiv:2105.14027, there without the square. pi is a permutation: between as many
events of equal weights an optimal plan is one (Birkhoff); it is found exactly.
"""

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


def matching(x: Tensor, y: Tensor) -> Tensor:
    """pi (N,): which y (N, ...) each x (N, ...) goes to, at the least sum of squared Euclidean distances."""
    from scipy.optimize import linear_sum_assignment  # takes half a second

    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} events have no matching one to one")
    a, b = (events.detach().flatten(1).double().cpu() for events in (x, y))
    cost = torch.cdist(a, b).square().numpy()
    return torch.as_tensor(linear_sum_assignment(cost)[1], device=x.device)


def wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared Wasserstein distance per dimension of x and y (N, ...), a scalar with gradients to both.

    At the optimum the matching does not change to first order (envelope theorem): it is a constant in the gradient.
    """
    return (x - y[matching(x, y)]).square().mean()


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distance (N,) of each x (N, ...) to the nearest of y (M, ...), of which x must not be a part."""
    return torch.cdist(x.flatten(1), y.flatten(1)).amin(1)


def separation(background: Tensor, other: Tensor) -> float:
    """P(other > background) of two sets of scores (N,), (M,); ties count half."""
    order = background.sort().values
    below = torch.searchsorted(order, other) + torch.searchsorted(order, other, right=True)
    return (below.double().mean() / (2 * len(background))).item()
