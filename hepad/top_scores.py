"""Samples of any size in bounded memory: the highest scores one by one, all others in groups of neighbours.

A sample comes in chunks. Up to 2 G scores are kept one by one, and all that is computed from them is exact. Whenever
there are more they are merged to at most G: with n the number of all events and R that from a score upwards,

    R <= H = G / 2      the event stays single
    R > H               all those make a group that have the same (G - H) / 2 · ln(R / H) / ln(n / H), rounded up

of which the lowest and highest score and the sums over the events are kept. Ties are not divided; groups that overlap,
as those of earlier events may with single later ones, become one; and what has events of several groups-to-be stays by
itself. With r = 2 ln(n / H) / (G - H) a group has at most r R + 1 events when it is made. That share hardly grows where
later events are like the earlier ones; else it does, as it does with ties.

A threshold lies between groups, and what is above it is known exactly: groups only make the steps coarser in which a
budget is approached. An area under a curve is off by at most half the sum of the largest shares that a group has of
either sample (weights of both signs: three quarters, of Σ |w|).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hepad.efficiency import Efficiency, Tail, Whole, binomial, checked, grouped, interval, ordered
from hepad.errors import InputError

GROUPS = 2**15  # G: r = 5e-4 for a million events, 1.3e-3 for 10⁹


class Sample(NamedTuple):
    """Events by score, counted in up to three ways; made by :func:`sample` or :class:`Top`.

    Attributes
    ----------
    name: for messages
    total: every event counts
    pure: an event counts as often as the menu does not accept it; None without a menu
    overlap: an event counts as often as the menu accepts it; None without a menu
    menu: the share of the sample that the menu accepts; None without a menu
    """

    name: str
    total: Tail
    pure: Tail | None = None
    overlap: Tail | None = None
    menu: Efficiency | None = None


class Top:
    """Collects a sample chunk by chunk.

    Parameters
    ----------
    name: for messages
    groups: how many single scores and groups stay in memory, G above; infinity: all scores, one by one
    """

    def __init__(self, name: str, groups: float = GROUPS):
        if not groups >= 2:
            raise InputError(f"rate: {groups} groups of scores are too few, take 2 or more.")
        self.name, self.groups = name, groups
        self.n, self.held, self.parts = 0, 0, []  # the parts: arrays (scores, weights, a) of single events
        self.merged: Merged | None = None  # all events before those
        self.sums = np.zeros(2)  # Σ w, Σ w²
        self.accepted = np.zeros(4)  # Σ w a, Σ w² a², Σ w² a, number with a > 0
        self.range = (np.inf, -np.inf)  # of the weights
        self.fractional, self.with_menu = False, None

    def add(self, scores, weights=None, menu=None) -> None:
        """Add events.

        Parameters
        ----------
        scores: (n,), finite, higher = more anomalous
        weights: (n,), finite, of any sign; None for unit weights
        menu: (n,) in [0, 1], how often the menu accepts each event (:mod:`hepad.menu`), or bool; the same choice of
            having it or not in all chunks
        """
        scores, weights = checked(self.name, scores, weights)
        if (menu is not None) != self.with_menu and self.with_menu is not None:
            raise InputError(f"rate: some events of '{self.name}' have menu bits and some have none. Check its files.")
        self.with_menu = menu is not None
        a = np.zeros(len(scores)) if menu is None else np.asarray(menu, float)
        if a.shape != scores.shape or not np.all((a >= 0) & (a <= 1)):
            raise InputError(f"rate: the menu's acceptance of '{self.name}' must be one number in [0, 1] per event.")
        if not len(scores):
            return
        w2 = weights**2
        self.n += len(scores)
        self.sums += weights.sum(), w2.sum()
        self.accepted += weights @ a, w2 @ a**2, w2 @ a, np.count_nonzero(a)
        self.fractional |= bool(np.any((a > 0) & (a < 1)))
        self.range = min(self.range[0], weights.min()), max(self.range[1], weights.max())
        self.parts.append((scores, weights, a))
        self.held += len(scores)
        if self.held > 2 * self.groups:
            self._merge()

    def sample(self) -> Sample:
        """The sample; InputError if it is empty or its weights do not sum to more than 0."""
        if not self.n:
            raise InputError(f"rate: the sample '{self.name}' is empty. Check its selection and its split.")
        if self.sums[0] <= 0:
            raise InputError(
                f"rate: the weights of '{self.name}' sum to {self.sums[0]:.6g}, but a rate needs a sum above 0. "
                "Check them: a generator's negative weights come with more positive ones."
            )
        (low, high), accepted = self.range, self.accepted
        whole = Whole(self.n, *self.sums.tolist(), max(abs(low), abs(high)))
        if low == high:  # equal weights are counts
            whole = Whole(self.n, float(self.n), float(self.n), 1.0)
            accepted = accepted / (high, high**2, high**2, 1)
        total, pure, overlap = self._tails(whole)
        if not self.with_menu:
            return Sample(self.name, total)
        counts = binomial(*(np.asarray(x) for x in accepted[:3]), whole, low == high and not self.fractional)
        menu = Efficiency(*(float(x) for x in interval(*counts)), int(accepted[3]), self.n)
        return Sample(self.name, total, pure, overlap, menu)

    def _tails(self, whole: Whole) -> list[Tail | None]:
        """Of all events, of those that the menu does not accept, and of those that it accepts."""
        equal, unit = self.range[0] == self.range[1], self.range[1]
        if self.merged is None:
            scores, weights, a = (np.concatenate(arrays) for arrays in zip(*self.parts, strict=True))
            weights = np.ones(len(weights)) if equal else weights
            ys = (np.ones(len(a)), 1 - a, a) if self.with_menu else (np.ones(len(a)),)
            return [*(ordered(scores, weights, y, whole) for y in ys), None, None][:3]
        self._merge()
        lowest, highest, (n, *sums) = self.merged
        if equal:
            counts = [n, n] + [x / unit**power for x, power in zip(sums[2:], (1, 2, 2), strict=False)]
            sums = counts if self.fractional else [np.rint(x) for x in counts]
        w, w2, *accepted = sums
        ys = [(w, w2, w2)]
        if self.with_menu:
            wa, w2a2, w2a = accepted
            ys += [(w - wa, w2 - 2 * w2a + w2a2, w2 - w2a), (wa, w2a2, w2a)]
        return [*(grouped(lowest, highest, n, *y, whole) for y in ys), None, None][:3]

    def _merge(self) -> None:
        """Join what is held to at most ``groups`` groups."""
        self.merged = merge(self._groups(), self.groups)
        self.held = len(self.merged.lowest)

    def _groups(self) -> list["Merged"]:
        """What is held, which is let go."""
        found, self.merged = [] if self.merged is None else [self.merged], None
        while self.parts:
            scores, w, a = self.parts.pop()
            sums = [np.ones(len(w)), w, w**2]
            sums += [w * a, (w * a) ** 2, w**2 * a] if self.with_menu else []
            found.append(Merged(scores, scores, np.stack(sums)))
        return found


class Merged(NamedTuple):
    """Groups of events: lowest and highest score (m,) and the sums (3, m) of 1, w, w², or also of w a, w² a², w² a."""

    lowest: np.ndarray
    highest: np.ndarray
    sums: np.ndarray


def merge(parts: list[Merged], groups: int) -> Merged:
    """Any groups as at most ``groups`` rising ones that do not overlap; of the highest scores nothing is merged."""
    lowest, highest, sums = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    del parts  # before the rest needs memory
    order = np.argsort(lowest)
    lowest, highest = lowest[order], highest[order]
    start = np.flatnonzero(np.append(True, lowest[1:] > np.maximum.accumulate(highest)[:-1]))  # of the inseparable
    rank = np.append(np.cumsum(sums[0, order[::-1]])[::-1][start], 0)  # R at the lower end of each
    single = groups // 2
    low = np.count_nonzero(rank > single)
    ends = np.stack([rank[:low], rank[1 : low + 1] + 1])
    target = np.ceil((groups - single) // 2 * (np.log(ends / single) / np.log(rank[0] / single)))
    joined = (target[0] == target[1]) & (target[0] == np.roll(target[1], 1)) & (target[0] == np.roll(target[0], 1))
    joined[:1] = False  # has nothing before it
    rest = np.arange(start[low] if low < len(start) else len(lowest), len(lowest))  # of the highest scores
    first = np.append(start[:low][~joined], rest)
    sums = np.stack([np.add.reduceat(of[order], first) for of in sums])
    return Merged(lowest[first], np.maximum.reduceat(highest, first), sums)


def sample(name: str, scores, weights=None, menu=None) -> Sample:
    """A sample whose scores are all kept; arguments and errors as those of :class:`Top`."""
    return collected(name, [(scores, weights, menu)], groups=np.inf)


def collected(name: str, chunks: Iterable[tuple], groups: float = GROUPS) -> Sample:
    """A sample of any size; chunks: arguments of :meth:`Top.add`, errors and ``groups`` as those of :class:`Top`."""
    top = Top(name, groups)
    for chunk in chunks:
        top.add(*chunk)
    return top.sample()


def threshold_of(background: Iterable[tuple], eps_b: float) -> float:
    """:func:`hepad.evaluation.threshold_at` of a background in chunks, arguments of :meth:`Top.add`."""
    return float(collected("background", background).total.at_most(eps_b))


def per_event(event_id, scores) -> tuple[np.ndarray, np.ndarray]:
    """The highest score of each event, which is what a trigger sees of events with several probe jets.

    Parameters
    ----------
    event_id: (n,), the rows of one event share it
    scores: (n,), or (k, n) of k detectors

    Returns
    -------
    first: (m,) index of each event's first row, for its weight and bits; scores: (m,) or (k, m), the highest of each
    """
    _, first, event = np.unique(event_id, return_index=True, return_inverse=True)
    scores = np.asarray(scores, float)
    highest = np.full((*scores.shape[:-1], len(first)), -np.inf)
    for of_detector, values in zip(np.atleast_2d(highest), np.atleast_2d(scores), strict=True):
        np.maximum.at(of_detector, event, values)
    return first, highest
