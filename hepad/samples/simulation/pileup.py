"""Pile-up: the other collisions of a bunch crossing, Poisson many, overlaid from a pool of minimum-bias events.

    n ~ Poisson(μ),   particles of the crossing = particles of the hard event (if any) + those of n events of the pool

μ is one number, or uniform between two. An overlaid event is turned by a uniform angle φ and mirrored in η with
probability 1/2: symmetries of the collisions. Only collisions at the same time are overlaid (no neighbouring
crossings), and all at one vertex.

The pool of P events is generated once per chunk and drawn from with replacement, so that N crossings use each of its
events N μ / P times. It is divided among training, validation and test as the crossings are, so that no collision of a
test crossing was seen in a training. Bulk quantities do not mind. A tail does: one rare, hard event of the pool is in a
fraction 1 - exp(-μ/P) of *all* crossings of its chunk, and crossings that fire because of it are not independent. What
a sample resolves is therefore not set by the crossings that pass but by the different pool events in them: these are
the clusters of all intervals (:attr:`hepad.events.Events.cluster`). An efficiency ε is known to a relative
sqrt(μ / (ε P chunks)), P the part of the pool that the test crossings have. Take P = N μ, where an event is used about
once, for a rate to be quoted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.samples.clustering import Particles

BATCH = 500
MAX_MEAN = 300
KEYS = ("card", "mean", "pool")


@dataclass(frozen=True)
class Pool:
    """P minimum-bias events.

    particles: the visible ones, grouped by event
    start: (P+1,) where those of each event begin
    hardness: (P,) scalar pT sum of its particles above 2 GeV [GeV]: which event of a crossing a trigger sees
    """

    particles: Particles
    start: np.ndarray
    hardness: np.ndarray

    def __len__(self) -> int:
        return len(self.hardness)

    @classmethod
    def of(cls, particles: Particles, events: int) -> "Pool":
        count, pt = np.bincount(particles.event, minlength=events), particles.p[:, 0]
        hardness = np.bincount(particles.event, np.where(pt > 2, pt, 0), minlength=events)
        return cls(particles, np.concatenate([[0], np.cumsum(count)]), hardness)


@dataclass(frozen=True)
class Pileup:
    """Settings: ``card`` of the minimum-bias events, mean number of them (or its range), events in the pool."""

    card: str
    mean: tuple[float, float]
    pool: int

    @classmethod
    def of(cls, entry: dict, place: str = "pileup") -> "Pileup":
        """Settings from ``{card, mean: 50, pool: 2000}`` or ``mean: [20, 80]``; InputError if it is anything else."""
        for key in entry:
            check_choice(f"{place}: key", key, KEYS)
        missing = [key for key in KEYS if key not in entry]
        if missing:
            raise InputError(
                f"{place}: {', '.join(missing)} missing; it is of the form {{card, mean: 50, pool: 2000}}."
            )
        mean = np.ravel(entry["mean"])
        low, high = mean[0], mean[-1]
        if len(mean) > 2 or not 0 <= low <= high <= MAX_MEAN:
            raise InputError(
                f"{place}: mean {entry['mean']!r} is neither a number from 0 to {MAX_MEAN} nor [lowest, highest]."
            )
        if int(entry["pool"]) < 1:
            raise InputError(f"{place}: pool is {entry['pool']}; at least one event is needed, thousands to be of use.")
        return cls(str(entry["card"]), (float(low), float(high)), int(entry["pool"]))

    def places(self, split: tuple[float, float, float] | None, key: str) -> np.ndarray:
        """(4,) where the parts of training, validation and test begin in the pool, and its end; None: all is test's."""
        split = (0.0, 0.0, 1.0) if split is None else split
        ends = np.round(np.append(0, np.cumsum(split)) * self.pool).astype(int)
        if any(share > 0 and size < 1 for share, size in zip(split, np.diff(ends), strict=True)):
            raise InputError(f"{key}: a pool of {self.pool} cannot be divided as {list(split)}. Make it larger.")
        return ends

    @property
    def average(self) -> float:
        return sum(self.mean) / 2


def make_pool(settings: Pileup, visible: Callable, following: Callable) -> Pool:
    """Generate the pool: ``following(n)`` is a batch of up to n events, ``visible`` maps it to Particles."""
    parts, count = [], 0
    while count < settings.pool:
        batch = following(min(BATCH, settings.pool - count))
        if not len(batch):
            raise InputError(f"{Path(settings.card)}: Pythia generates no events of this card. Check it.")
        part = visible(batch)
        parts.append(part._replace(event=part.event + count))
        count += len(batch)
    return Pool.of(Particles(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), count)


def draw(
    settings: Pileup, pool: Pool, places: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[Particles, np.ndarray, np.ndarray]:
    """Pile-up of ``n`` crossings.

    Parameters
    ----------
    places: (n, 2), the part of the pool that each crossing is drawn from: its first place, and the one behind its last

    Returns
    -------
    its particles, grouped by crossing; (n,) the number of events overlaid; (n,) the hardest one of them, its place in
    the pool, -1 where there is none
    """
    number = rng.poisson(rng.uniform(*settings.mean, n) if settings.mean[0] < settings.mean[1] else settings.mean[0], n)
    crossing = np.repeat(np.arange(n), number)
    chosen = rng.integers(*places[crossing].T)
    angle, side = rng.uniform(-np.pi, np.pi, len(crossing)), rng.choice((-1.0, 1.0), len(crossing))
    count = np.diff(pool.start)[chosen]
    overlaid = np.repeat(np.arange(len(crossing)), count)
    rows = np.arange(len(overlaid)) - np.repeat(np.cumsum(count) - count, count) + pool.start[chosen][overlaid]
    particles = pool.particles.take(rows)._replace(event=crossing[overlaid])
    particles.p[:, 1] *= side[overlaid]
    particles.p[:, 2] = (particles.p[:, 2] + angle[overlaid] + np.pi) % (2 * np.pi) - np.pi
    order = np.lexsort((pool.hardness[chosen], crossing))
    hardest, last = np.full(n, -1), np.cumsum(number) - 1
    hardest[number > 0] = chosen[order][last[number > 0]]
    return particles, number, hardest


def overlay(hard: Particles, pileup: Particles) -> Particles:
    """Both together, grouped by event."""
    joined = Particles(*(np.concatenate(columns) for columns in zip(hard, pileup, strict=True)))
    return joined.take(np.argsort(joined.event, kind="stable"))
