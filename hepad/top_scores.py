"""Samples of any size, of which the highest scores are kept: what rates and gains are computed from.

Only the tail of a background matters to a trigger. Of each sample the ``keep`` highest scores stay in memory, in full
precision, and of all others the sums that an efficiency needs. Results are those of the whole sample, in whatever order
and chunks it comes: the kept scores are those above the (keep + 1)-th highest.
"""

from typing import NamedTuple

import numpy as np

from hepad.efficiency import Efficiency, Tail, Whole, binomial, checked, interval, ordered
from hepad.errors import InputError

KEEP = 1_000_000  # scores; 24 bytes each, and while a sample is read three times that


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
    keep: how many of the highest scores stay in memory; all scores that tie with the next one below are left out
    """

    def __init__(self, name: str, keep: float = KEEP):
        if not keep >= 1:
            raise InputError(f"rate.keep: {keep} must be at least 1 score. Correct the config.")
        self.name, self.keep, self.floor = name, keep, -np.inf
        self.n, self.held, self.parts = 0, 0, []
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
        high = scores > self.floor
        self.parts.append((scores[high], weights[high], a[high]))
        self.held += np.count_nonzero(high)
        if self.held > 2 * self.keep:
            self._trim()

    def sample(self) -> Sample:
        """The sample; InputError if it is empty or its weights do not sum to more than 0."""
        if not self.n:
            raise InputError(f"rate: the sample '{self.name}' is empty. Check its selection and its split.")
        if self.sums[0] <= 0:
            raise InputError(
                f"rate: the weights of '{self.name}' sum to {self.sums[0]:.6g}, but a rate needs a sum above 0. "
                "Check them: a generator's negative weights come with more positive ones."
            )
        self._trim()
        scores, weights, a = (np.concatenate(arrays) for arrays in zip(*self.parts, strict=True))
        if not len(scores):
            raise InputError(
                f"rate: more than {self.keep} events of '{self.name}' share its highest score. Raise 'keep', or look "
                "whether the score saturates."
            )
        (low, high), accepted = self.range, self.accepted
        whole = Whole(self.n, *self.sums.tolist(), max(abs(low), abs(high)))
        if low == high:  # equal weights are counts
            weights, whole = np.ones(len(weights)), Whole(self.n, float(self.n), float(self.n), 1.0)
            accepted = accepted / (high, high**2, high**2, 1)
        total = ordered(scores, weights, np.ones(len(scores)), whole, self.floor)
        if not self.with_menu:
            return Sample(self.name, total)
        pure, overlap = (ordered(scores, weights, y, whole, self.floor) for y in (1 - a, a))
        counts = binomial(*(np.asarray(x) for x in accepted[:3]), whole, low == high and not self.fractional)
        menu = Efficiency(*(float(x) for x in interval(*counts)), int(accepted[3]), self.n)
        return Sample(self.name, total, pure, overlap, menu)

    def _trim(self) -> None:
        """Let go of all that is not among the highest."""
        if self.held > self.keep:
            parts = [np.concatenate(arrays) for arrays in zip(*self.parts, strict=True)]
            self.floor = float(np.partition(parts[0], self.held - self.keep - 1)[self.held - self.keep - 1])
            high = parts[0] > self.floor
            self.parts = [tuple(part[high] for part in parts)]
            self.held = np.count_nonzero(high)


def sample(name: str, scores, weights=None, menu=None) -> Sample:
    """A sample whose scores are all kept; arguments and errors as those of :class:`Top`."""
    top = Top(name, keep=np.inf)
    top.add(scores, weights, menu)
    return top.sample()


def per_event(event_id, scores) -> tuple[np.ndarray, np.ndarray]:
    """The highest score of each event, which is what a trigger sees of events with several probe jets.

    Parameters
    ----------
    event_id: (n,), the rows of one event share it
    scores: (n,)

    Returns
    -------
    first: (m,) index of each event's first row, for its weight and bits; scores: (m,) highest score of each event
    """
    _, first, event = np.unique(event_id, return_index=True, return_inverse=True)
    highest = np.full(len(first), -np.inf)
    np.maximum.at(highest, event, np.asarray(scores, float))
    return first, highest
