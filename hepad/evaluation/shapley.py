r"""Shapley values of an anomaly score: what each entry of a vector adds, with background in the place of the others.

Of an event x (D entries) and a set S of them

    v(S) = < s(x_S, b_rest) >    over the K background events b that are nearest to x in the entries of S,
    v({}) = < s(b) >,  v(all) = s(x)

and what entry i adds is the mean of v(S + i) - v(S) over all orders in which entries become known (L. Shapley 1953),

    a_i = Σ_S |S|! (D - |S| - 1)! / D! [v(S + i) - v(S)],        Σ_i a_i = s(x) - < s(b) >

Distances are in units of the background's standard deviations. That b is like x where x is known (K. Aas, M. Jullum,
A. Løland, arXiv:1903.10464, empirical conditionals) keeps the vectors among those that exist: with the mean of
background in the place of one entry, the others may look as strange as that one. Of more than ``EXACT`` entries the
sum is over ``ORDERS`` orders, each with its reverse, drawn once for all; the sum of all a_i holds for each of them.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

EXACT, ORDERS = 10, 100
NEAREST = 10  # K
EXACTLY = "donot_use_mm_for_euclid_dist"  # products of matrices round with the other rows
BLOCK = 50_000  # vectors that are scored at a time


def shapley(score: Callable[[Tensor], Tensor], x: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values (N, D) of events x (N, D) against background (B, D), and the mean score of background (N,).

    score: (n, D) -> (n,)
    """
    value = _Value(score, x, background)
    entries = x.shape[1]
    found = _exact(value, entries) if entries <= EXACT else _sampled(value, entries)
    return found, value(torch.zeros(entries, dtype=torch.bool))


class _Value:
    """v(S) of all events, S as a mask (D,)."""

    def __init__(self, score: Callable[[Tensor], Tensor], x: Tensor, background: Tensor):
        self.score, self.x, self.background = score, x, background
        spread = background.std(0, correction=0)
        scale = torch.where(spread > 0, spread, 1.0)
        self.near, self.far = x / scale, background / scale
        self.base = score(background).mean().expand(len(x))

    def __call__(self, known: Tensor) -> Tensor:
        if not known.any():
            return self.base
        if known.all():
            return self.score(self.x)
        count = min(NEAREST, len(self.background))
        step = max(1, BLOCK // count)
        return torch.cat([self._of(part, known, count) for part in torch.arange(len(self.x)).split(step)])

    def _of(self, rows: Tensor, known: Tensor, count: int) -> Tensor:
        away = torch.cdist(self.near[rows][:, known], self.far[:, known], compute_mode=EXACTLY)
        # equal distances, as of counts, in the order of the background: an event's neighbours are its own
        nearest = away.argsort(dim=1, stable=True)[:, :count]
        mixed = torch.where(known, self.x[rows].unsqueeze(1), self.background[nearest])
        return self.score(mixed.flatten(0, 1)).view(len(rows), count).mean(1)


def _exact(value: _Value, entries: int) -> Tensor:
    masks = torch.from_numpy(np.array([[n >> i & 1 for i in range(entries)] for n in range(2**entries)], bool))
    values, sizes = torch.stack([value(mask) for mask in masks], 1), masks.sum(1)
    found = []
    for i in range(entries):
        before = torch.nonzero(~masks[:, i]).squeeze(1)
        weight = [
            math.factorial(int(k)) * math.factorial(entries - int(k) - 1) / math.factorial(entries)
            for k in sizes[before]
        ]
        found.append((values[:, before + 2**i] - values[:, before]) @ torch.tensor(weight, dtype=values.dtype))
    return torch.stack(found, 1)


def _sampled(value: _Value, entries: int) -> Tensor:
    rng, known_values = np.random.default_rng(0), {}
    found = torch.zeros(len(value.x), entries)

    def cached(known: np.ndarray) -> Tensor:
        key = known.tobytes()
        if key not in known_values:
            known_values[key] = value(torch.from_numpy(known))
        return known_values[key]

    for _ in range(ORDERS):
        order = rng.permutation(entries)
        for way in (order, order[::-1]):
            known, before = np.zeros(entries, bool), value.base
            for i in way:
                known[i] = True
                after = cached(known)
                found[:, i] += (after - before) / (2 * ORDERS)
                before = after
    return found
