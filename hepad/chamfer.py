r"""Chamfer distance between the objects of an event and those of its reconstruction.

    D_ij = |x_i - y_j|^2,      C(x, y) = sum_i min_j D_ij + sum_j min_i D_ij

x_i, y_j: feature vectors of the objects of input and output. A row of zeros of the input is an absent object; neither
it nor the output's row in the same place takes part, so that padding is free. Source: "3D sparse" loss of Jawahar et
al., arXiv:2110.08508, and Eq. 4.2 of arXiv:2105.14027, there without the square.
"""

import torch
from torch import Tensor

from hepad.representations import occupied


def chamfer(x: Tensor, y: Tensor) -> Tensor:
    """C (B,) of inputs x and outputs y (B, 1, R, F), normalised; zero for an event without objects."""
    there = occupied(x)[:, 0, :, 0]
    d = (x[:, 0].unsqueeze(2) - y[:, 0].unsqueeze(1)).square().sum(3)  # (B, R of x, R of y)
    d = d.masked_fill(~(there.unsqueeze(2) & there.unsqueeze(1)), torch.inf)
    zero = torch.zeros((), dtype=d.dtype, device=d.device)
    return sum(torch.where(there, d.amin(dim), zero).sum(1) for dim in (2, 1))
