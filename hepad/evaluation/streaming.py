"""Samples of any size in bounded memory: the highest scores one by one, all others in groups of neighbours.

A sample comes in blocks. Up to 2 G scores are kept one by one, and all that is computed from them is exact. Whenever
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

from hepad.errors import InputError
from hepad.evaluation.clusters import Clusters, Shared
from hepad.evaluation.efficiency import Efficiency, interval
from hepad.evaluation.score_distribution import ScoreDistribution, Whole, binomial, checked, grouped
from hepad.evaluation.scores import Weighted

GROUPS = 2**15  # G: r = 5e-4 for a million events, 1.3e-3 for 10⁹


class Sample(NamedTuple):
    """Events by score, counted in up to three ways; made by :func:`sample` or :class:`StreamingDistribution`.

    Attributes
    ----------
    name: for messages
    total: every event counts
    pure: an event counts as often as the menu does not accept it; None without a menu
    overlap: an event counts as often as the menu accepts it; None without a menu
    menu: the share of the sample that the menu accepts; None without a menu
    """

    name: str
    total: ScoreDistribution
    pure: ScoreDistribution | None = None
    overlap: ScoreDistribution | None = None
    menu: Efficiency | None = None


class StreamingDistribution:
    """Collects a sample block by block.

    Parameters
    ----------
    name: for messages
    groups: how many single scores and groups stay in memory, G above; infinity: all scores, one by one
    """

    def __init__(self, name: str, groups: float = GROUPS):
        if not groups >= 2:
            raise InputError(f"rate: {groups} groups of scores are too few, take 2 or more.")
        self.name, self.groups = name, groups
        self.n, self.held = 0, 0
        self.parts: list[Merged] = []  # groups of single events
        self.merged: Merged | None = None  # all events before those
        self.shared: list[Shared] = []  # rows of common clusters, events so far
        self.left = 0.0  # Σ w² of rows of clusters of several that are not kept
        self.with_menu: bool | None = None
        self.fractional = False
        self.accepted = 0  # events with a > 0
        self.totals, self.range = np.zeros(11), (np.inf, -np.inf)  # sums of all; of the weights
        self.largest = 0.0  # |Σ w| of a cluster

    def add(self, scores, weights=None, menu=None, cluster=None) -> None:
        """Add events, of every cluster all.

        Parameters
        ----------
        scores: (n,), finite, higher = more anomalous
        weights: (n,), finite, of any sign; None for unit weights
        menu: (n,) in [0, 1], how often the menu accepts each event (:mod:`hepad.trigger.menu`), or bool; the same
            choice of having it or not in all blocks
        cluster: (n,) integers, those that share one are not independent (:mod:`hepad.evaluation.clusters`); None: all
            are
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
        clusters, wa = Clusters(cluster, scores), weights * a
        cluster_weights = clusters.total(weights)
        w2 = clusters.products(weights, weights)
        sums = [np.ones(len(scores)), weights, w2, weights * cluster_weights, w2**2]
        if self.with_menu:
            square, product = clusters.products(wa, wa), clusters.products(weights, wa)
            sums += [wa, square, product, wa * cluster_weights, square**2, (w2 - 2 * product + square) ** 2]
        part = Merged(scores, scores, np.stack(sums))
        self.n += len(scores)
        self.totals[: len(sums)] += part.sums.sum(axis=1)
        self.accepted += np.count_nonzero(a)
        self.fractional |= bool(np.any((a > 0) & (a < 1)))
        self.range = min(self.range[0], weights.min()), max(self.range[1], weights.max())
        self.largest = max(self.largest, float(np.abs(cluster_weights).max()))
        self._share(clusters.shared(scores, weights))
        self.parts.append(part)
        self.held += len(scores)
        if self.held > 2 * self.groups:
            self._merge()

    def _share(self, rows: Shared | None) -> None:
        """Keep the rows of clusters of several, if there are not many already."""
        if rows is None or not rows.weights.any():
            return
        if sum(len(part.cluster) for part in self.shared) > self.groups:
            self.left += float(rows.weights @ rows.weights)
        else:
            number = 1 + max((part.cluster[-1] for part in self.shared), default=-1)
            self.shared.append(rows._replace(cluster=rows.cluster + number))

    def sample(self) -> Sample:
        """The sample; InputError if it is empty or its weights do not sum to more than 0."""
        if not self.n:
            raise InputError(f"evaluation: the {self.name} sample is empty. Check its selection and its split.")
        if self.totals[1] <= 0:
            raise InputError(
                f"evaluation: the {self.name} weights sum to {self.totals[1]:.6g}, but an efficiency needs a sum above "
                "0. Check them: a generator's negative weights come with more positive ones."
            )
        low, high = self.range
        unit = high if low == high else None  # equal weights are counts
        lowest, highest, sums = self._sorted()
        (n, *sample_sums), totals = self._counts(sums, unit), self._counts(self.totals, unit)
        whole = Whole(self.n, float(totals[1]), float(totals[2]), self.largest / (unit or 1.0))
        w, w2, cross, w4, *menu_sums = sample_sums
        total = grouped(lowest, highest, n, w, w2, cross, w4, whole, self._shared(unit or 1.0))
        if not self.with_menu:
            return Sample(self.name, total)
        wa, square, product, cross_a, square_2, pure_2 = menu_sums
        pure = grouped(lowest, highest, n, w - wa, w2 - 2 * product + square, cross - cross_a, pure_2, whole)
        overlap = grouped(lowest, highest, n, wa, square, cross_a, square_2, whole)
        wa, square, _, cross_a = totals[5:9]
        counts = binomial(self.accepted, wa, square, cross_a, whole, wa == square == cross_a and total.plain)
        menu = Efficiency(*(float(x) for x in interval(*counts)), self.accepted, self.n)
        return Sample(self.name, total, pure, overlap, menu)

    def _sorted(self) -> "Merged":
        """Single events by score, or if they are too many groups of them."""
        if self.merged is not None:
            self._merge()
            return self.merged
        scores, _, sums = (np.concatenate(arrays, axis=-1) for arrays in zip(*self.parts, strict=True))
        order = np.argsort(scores)
        if np.any(np.diff(scores[order]) == 0):  # ties: in the order of their sums, so that all round alike
            order = np.lexsort((*sums[::-1], scores))
        scores = scores[order]
        return Merged(scores, scores, sums[:, order])

    def _counts(self, sums: np.ndarray, unit: float | None) -> np.ndarray:
        """Sums of weights that are all ``unit`` as counts, which a menu without prescales leaves whole numbers."""
        if unit is None:
            return sums
        power = np.array([0, 1, 2, 2, 4, 1, 2, 2, 2, 4, 4])[: len(sums)]
        counts = sums / unit ** power.reshape(-1, *(1,) * (sums.ndim - 1))
        whole = len(sums) if not self.fractional else 5
        counts[:whole] = np.rint(counts[:whole])
        return counts

    def _shared(self, unit: float) -> Shared | None:
        if not self.shared:
            return None
        cluster, scores, weights, squares = (np.concatenate(x) for x in zip(*(p[:4] for p in self.shared), strict=True))
        kept = float(weights @ weights)
        return Shared(cluster, scores, weights / unit, squares / unit**2, 1 + self.left / kept)

    def _merge(self) -> None:
        """Join what is held to at most ``groups`` groups."""
        self.merged = merge(self._groups(), self.groups)
        self.held = len(self.merged.lowest)

    def _groups(self) -> list["Merged"]:
        """All groups that are held; they are held no longer."""
        groups, self.merged = [] if self.merged is None else [self.merged], None
        groups += self.parts
        self.parts = []
        return groups


class Merged(NamedTuple):
    """Groups of events: their lowest and highest score (m,), and sums (5, m) over each, or (11, m) with a menu.

    The sums are of 1, w, w², w W, w⁴, and w a, (w a)², w w a, w a W, (w a)⁴, (w (1 - a))⁴; squares and products are
    those of clusters, a fourth power the square of a square, W is Σ w of a row's cluster
    (:mod:`hepad.evaluation.clusters`).
    """

    lowest: np.ndarray
    highest: np.ndarray
    sums: np.ndarray


def merge(parts: list[Merged], groups: int) -> Merged:
    """Any groups as at most ``groups`` rising ones that do not overlap; of the highest scores nothing is merged."""
    lowest, highest, sums = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    del parts  # before the rest needs memory
    order = np.argsort(lowest)
    lowest, highest = lowest[order], highest[order]
    start = np.flatnonzero(np.append(True, lowest[1:] > np.maximum.accumulate(highest)[:-1]))  # of groups that overlap
    rank = np.append(np.cumsum(sums[0, order[::-1]])[::-1][start], 0)  # R at the lower end of each
    single = groups // 2
    low = np.count_nonzero(rank > single)
    ends = np.stack([rank[:low], rank[1 : low + 1] + 1])
    target = np.ceil((groups - single) // 2 * (np.log(ends / single) / np.log(rank[0] / single)))
    joined = (target[0] == target[1]) & (target[0] == np.roll(target[1], 1)) & (target[0] == np.roll(target[0], 1))
    joined[:1] = False  # has nothing before it
    rest = np.arange(start[low] if low < len(start) else len(lowest), len(lowest))  # the highest scores
    first = np.append(start[:low][~joined], rest)
    sums = np.stack([np.add.reduceat(values[order], first) for values in sums])
    return Merged(lowest[first], np.maximum.reduceat(highest, first), sums)


def sample(name: str, scores, weights=None, menu=None, cluster=None) -> Sample:
    """A sample whose scores are all kept; arguments and errors as those of :class:`StreamingDistribution`."""
    return collected(name, [(scores, weights, menu, cluster)], groups=np.inf)


def collected(name: str, blocks: Iterable[tuple], groups: float = GROUPS) -> Sample:
    """A sample of any size; errors and ``groups`` as those of :class:`StreamingDistribution`.

    blocks: arguments of :meth:`StreamingDistribution.add`
    """
    top = StreamingDistribution(name, groups)
    for block in blocks:
        top.add(*block)
    return top.sample()


def distribution(name: str, scores, weights=None, cluster=None) -> ScoreDistribution:
    """Order a sample by score, event by event.

    Parameters
    ----------
    name: 'background' or 'signal', for the message of the InputError that bad input raises
    scores: (n,), n > 0, finite
    weights: (n,), finite, of either sign, of positive sum; None for unit weights
    cluster: (n,) integers, rows that share one are not independent; None: all are
    """
    scores, weights = checked(name, scores, weights)
    equal = len(weights) and weights.min() == weights.max() > 0  # those are counts
    return sample(name, scores, None if equal else weights, cluster=cluster).total


def rows_and_events(name: str, blocks: Iterable[Weighted]) -> tuple[ScoreDistribution, ScoreDistribution]:
    """A sample row by row, and event by event with the highest score of each: the same if every row is an event."""
    rows, events = StreamingDistribution(name), StreamingDistribution(name)
    for scores, weights, event_id, cluster in blocks:
        rows.add(scores, weights, cluster=cluster)
        first, highest = per_event(event_id, scores)
        events.add(highest, weights[first], cluster=cluster[first])
    distribution = rows.sample().total
    return distribution, distribution if rows.n == events.n else events.sample().total


def threshold_of(background: Iterable[Weighted], eps_b: float) -> float:
    """:func:`hepad.evaluation.roc.threshold_at` of a background in blocks."""
    blocks = ((scores, weights, None, cluster) for scores, weights, _, cluster in background)
    return float(collected("background", blocks).total.at_most(eps_b))


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
    for maxima, values in zip(np.atleast_2d(highest), np.atleast_2d(scores), strict=True):
        np.maximum.at(maxima, event, values)
    return first, highest
