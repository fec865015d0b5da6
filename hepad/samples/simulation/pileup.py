r"""Pile-up: the other collisions of a bunch crossing, Poisson many, overlaid from pools of minimum-bias events.

    n ~ Poisson(μ),   particles of the crossing = particles of the hard event (if any) + those of n events of the pool

μ has a profile (:mod:`hepad.samples.simulation.profile`). An overlaid event is turned by a uniform angle φ and mirrored
in η with probability 1/2: symmetries of the collisions. All are at one vertex. Of the crossing before, Poisson(μ) many
collisions in addition, the calorimeters see the share ``out_of_time`` of the energy, if that is asked for.

The pool of P events is generated once per chunk and drawn from with replacement, so that N crossings use each of its
events N μ / P times. It is divided among training, validation and test as the crossings are, so that no collision of a
test crossing was seen in a training. Bulk quantities do not mind. A tail does: one rare, hard event of the pool is in a
fraction 1 - exp(-μ/P) of *all* crossings of its chunk, and crossings that fire because of it are not independent. What
a sample resolves is therefore not set by the crossings that pass but by the different pool events in them: these are
the clusters of all intervals (:attr:`hepad.events.Events.cluster`). An efficiency ε is known to a relative
sqrt(μ / (ε P chunks)), P the part of the pool that the test crossings have.

**Hard collisions.** What fires a trigger is rare, so zero bias may have a second pool, ``hard``, of collisions with a
parton scale above p̂ = HARD_PT, and the first one has only those below. They are generated as 2 -> 2 scattering with
the weights w ∝ (HARD_PT / p̂_T)^BIAS, that is with many more hard ones. With p = σ(p̂_T > HARD_PT) / σ a crossing of
training and validation has Poisson(μ (1 - p)) soft and Poisson(μ p) hard collisions, the latter drawn ∝ w. A test
crossing has Poisson(λ) hard ones, λ = max(OFTEN, μ p), drawn evenly, and the weight

    W = exp(λ - μ p) (μ p / λ)^k  Π_{i <= k} w_i / <w>,      k of them

so that sums over test crossings are those of the natural law, with many more independent hard collisions behind a rate
of kHz. A scattering above HARD_PT counts as a collision of its own: of those just above it about a tenth are second
ones of a collision that is there already, of harder ones fewer.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.samples.clustering import MUON, Particles
from hepad.samples.simulation.profile import Profile

BATCH = 500
HARD_PT, BIAS = 20.0, 4  # GeV
OFTEN = 0.5  # hard collisions of a test crossing, at least
# what makes a card of minimum bias one of hard scattering
HARD = (
    "SoftQCD:all = off", "SoftQCD:inelastic = off", "SoftQCD:nonDiffractive = off", "SoftQCD:singleDiffractive = off",
    "SoftQCD:doubleDiffractive = off", "SoftQCD:centralDiffractive = off", "HardQCD:all = on",
    f"PhaseSpace:pTHatMin = {HARD_PT}", "PhaseSpace:bias2Selection = on", f"PhaseSpace:bias2SelectionPow = {BIAS}",
    f"PhaseSpace:bias2SelectionRef = {HARD_PT}",
)  # fmt: skip
OF_MUONS = 100  # a muon of 5 GeV fires what takes a jet of 50
CURLING = 0.7  # GeV, charged particles below never reach the calorimeter in a field of 3.8 T
KEYS = ("card", "mean", "pool", "hard", "out_of_time")


@dataclass(frozen=True)
class Pool:
    """P events.

    particles: the visible ones, grouped by event
    start: (P+1,) where those of each event begin
    hardness: (P,) Σ pT² of its particles above 2 GeV [GeV²], muons a hundredfold: which event of a crossing fires
    weight: (P,) of mean 1
    """

    particles: Particles
    start: np.ndarray
    hardness: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.hardness)

    @classmethod
    def of(cls, particles: Particles, events: int, weight: np.ndarray | None = None) -> "Pool":
        count, pt = np.bincount(particles.event, minlength=events), particles.p[:, 0]
        seen = np.where(pt > 2, pt**2, 0) * np.where(particles.kind == MUON, OF_MUONS, 1)
        hardness = np.bincount(particles.event, seen, minlength=events)
        weight = np.ones(events) if weight is None else weight / weight.mean()
        return cls(particles, np.concatenate([[0], np.cumsum(count)]), hardness, weight)


class Pools(NamedTuple):
    """``soft`` and, of zero bias, ``hard`` collisions, of which there are the share ``p``; None and 0 without."""

    soft: Pool
    hard: Pool | None = None
    p: float = 0.0


class Crossings(NamedTuple):
    """Pile-up of n crossings.

    particles: grouped by crossing
    number: (n,) collisions overlaid, without those of the crossing before
    hardest: (n,) the hardest one of them: its place in the soft pool, or behind it in the hard one; -1 without any
    weight: (n,) by which they stand for the natural law
    natural: (n,) bool, crossings whose hard collisions are as often as they are in nature
    """

    particles: Particles
    number: np.ndarray
    hardest: np.ndarray
    weight: np.ndarray
    natural: np.ndarray


@dataclass(frozen=True)
class Pileup:
    """Settings: ``card`` of the minimum-bias events, their ``mean`` number, events in the pools, ``out_of_time``."""

    card: str
    mean: object
    pool: int
    hard: int = 0
    out_of_time: float = 0.0

    @classmethod
    def of(cls, entry: dict, place: str = "pileup") -> "Pileup":
        """Settings from ``{card, mean: 50, pool: 2000}``; InputError if it is anything else.

        ``mean``: a number, [lowest, highest], or a file (:class:`hepad.samples.simulation.profile.Profile`); and as
        wished ``hard: 1000`` and ``out_of_time: 0.05``
        """
        for key in entry:
            check_choice(f"{place}: key", key, KEYS)
        missing = [key for key in KEYS[:3] if key not in entry]
        if missing:
            raise InputError(
                f"{place}: {', '.join(missing)} missing; it is of the form {{card, mean: 50, pool: 2000}}."
            )
        if not isinstance(entry["mean"], str):  # a file is looked for later
            Profile.of(entry["mean"], place)
        if int(entry["pool"]) < 1:
            raise InputError(f"{place}: pool is {entry['pool']}; at least one event is needed, thousands to be of use.")
        if int(entry.get("hard", 0)) < 0:
            raise InputError(f"{place}: hard is {entry['hard']}; give a number of events, or leave it out.")
        if not 0 <= float(entry.get("out_of_time", 0)) < 1:
            raise InputError(f"{place}: out_of_time is {entry['out_of_time']}; it is a share of the energy, 0 to 1.")
        return cls(
            str(entry["card"]), entry["mean"], int(entry["pool"]), int(entry.get("hard", 0)),
            float(entry.get("out_of_time", 0)),
        )  # fmt: skip

    def places(self, split: tuple[float, float, float] | None, key: str, size: int | None = None) -> np.ndarray:
        """(3, 2) the part of a pool, by default the soft one, of training, validation and test: its first place, and
        the one behind its last; without a split all is test's."""
        split, size = (0.0, 0.0, 1.0) if split is None else split, self.pool if size is None else size
        ends = np.round(np.append(0, np.cumsum(split)) * size).astype(int)
        if any(share > 0 and part < 1 for share, part in zip(split, np.diff(ends), strict=True)):
            raise InputError(f"{key}: a pool of {size} cannot be divided as {list(split)}. Make it larger.")
        return np.stack([ends[:-1], ends[1:]], axis=1)

    @cached_property
    def profile(self) -> Profile:
        return Profile.of(self.mean, self.card)

    @property
    def facts(self) -> dict:
        """As a sample says them: the card by its name, the profile by its numbers."""
        profile = {key: np.asarray(values).tolist() for key, values in self.profile._asdict().items()}
        return asdict(self) | {"card": Path(self.card).stem, "mean": profile}


class Batch(NamedTuple):
    """Generated collisions: ``particles``, their ``weight`` (n,) and parton scale p̂_T ``scale`` (n,) [GeV]."""

    particles: Particles
    weight: np.ndarray
    scale: np.ndarray


def make_pools(
    settings: Pileup, minimum_bias: Callable, scattering: Callable | None = None, share: Callable | None = None
) -> Pools:
    """Generate them.

    Parameters
    ----------
    minimum_bias, scattering: make a :class:`Batch` of up to n events; the latter above HARD_PT alone
    share: gives p when all are made
    """
    if not settings.hard:
        return Pools(_pool(settings.card, settings.pool, minimum_bias))
    soft = _pool(settings.card, settings.pool, minimum_bias, below=HARD_PT)
    hard, p = _pool(settings.card, settings.hard, scattering), share()
    if not 0 < p < 0.1:
        raise InputError(
            f"{Path(settings.card)}: hard scattering has {p:.3g} of its cross-section; of minimum bias it is about one "
            "in a hundred. Give a card of SoftQCD, or leave out 'hard'."
        )
    return Pools(soft, hard, p)


def _pool(card: str, size: int, following: Callable, below: float = np.inf) -> Pool:
    parts, weights, count = [], [], 0
    while count < size:
        batch: Batch = following(min(BATCH, size - count))
        kept = batch.scale <= below
        if not len(batch.weight):
            raise InputError(f"{Path(card)}: Pythia generates no events of this card. Check it.")
        if not kept.any():
            raise InputError(
                f"{Path(card)}: none of {len(kept)} events has a parton scale below {below:g} GeV, but zero bias with "
                "'hard' needs minimum bias. Give a card of SoftQCD, or leave out 'hard'."
            )
        number = np.cumsum(kept) - 1 + count
        particles = batch.particles.take(kept[batch.particles.event])
        parts.append(particles._replace(event=number[particles.event]))
        weights.append(batch.weight[kept])
        count += int(kept.sum())
    particles = Particles(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return Pool.of(particles, count, np.concatenate(weights))


def draw(
    settings: Pileup, pools: Pools, places: tuple[np.ndarray, ...], natural: np.ndarray, rng: np.random.Generator
) -> Crossings:
    """Pile-up of n crossings.

    Parameters
    ----------
    places: of the soft pool and, if there is one, of the hard one: (n, 2) the part that each crossing is drawn from
    natural: (n,) bool, as of :class:`Crossings`
    """
    n, mean = len(natural), settings.profile.draw(len(natural), rng)
    expected = mean * pools.p
    number = rng.poisson(mean - expected)
    parts = [_overlaid(pools.soft, places[0], number, None, rng)]
    weight, beside = np.ones(n), np.zeros(n, int)
    if pools.hard is not None:
        often = np.where(natural, expected, np.maximum(expected, OFTEN))
        beside = rng.poisson(often)
        weight = np.exp(often - expected) * np.where(natural, 1.0, expected / often) ** beside
        parts.append(_overlaid(pools.hard, places[1], beside, natural, rng))
        crossing, chosen = parts[1][1:]
        np.multiply.at(weight, crossing, np.where(natural[crossing], 1.0, pools.hard.weight[chosen]))
    hardest, most = np.full(n, -1), np.full(n, -np.inf)
    for pool, first, (_, crossing, chosen) in zip(pools[:2], (0, len(pools.soft)), parts, strict=False):
        order = np.argsort(pool.hardness[chosen], kind="stable")  # of several the last one stays
        harder = order[pool.hardness[chosen][order] >= most[crossing[order]]]
        hardest[crossing[harder]] = first + chosen[harder]
        most[crossing[harder]] = pool.hardness[chosen[harder]]
    particles = [part[0] for part in parts]
    if settings.out_of_time:
        before, *_ = _overlaid(pools.soft, places[0], rng.poisson(mean), None, rng)
        particles.append(_late(before, settings.out_of_time))
    together = particles[0] if len(particles) == 1 else overlay(*particles)
    return Crossings(together, number + beside, hardest, weight, natural)


def _overlaid(pool: Pool, places: np.ndarray, number: np.ndarray, natural: np.ndarray | None, rng):
    """Particles of ``number`` (n,) events of a pool for each crossing, and (m,) crossing and place of each event.

    natural: (n,) bool, crossings whose events are drawn by their weights; None: none
    """
    crossing = np.repeat(np.arange(len(number)), number)
    chosen = rng.integers(*places[crossing].T)
    if natural is not None and natural.any():
        total = np.append(0, np.cumsum(pool.weight))
        low, high = total[places[crossing].T]
        by_weight = np.searchsorted(total, rng.uniform(low, high), side="right") - 1
        chosen = np.where(natural[crossing], np.clip(by_weight, *(places[crossing].T - [[0], [1]])), chosen)
    angle, side = rng.uniform(-np.pi, np.pi, len(crossing)), rng.choice((-1.0, 1.0), len(crossing))
    count = np.diff(pool.start)[chosen]
    overlaid = np.repeat(np.arange(len(crossing)), count)
    rows = np.arange(len(overlaid)) - np.repeat(np.cumsum(count) - count, count) + pool.start[chosen][overlaid]
    particles = pool.particles.take(rows)._replace(event=crossing[overlaid])
    particles.p[:, 1] *= side[overlaid]
    particles.p[:, 2] = (particles.p[:, 2] + angle[overlaid] + np.pi) % (2 * np.pi) - np.pi
    return particles, crossing, chosen


def _late(particles: Particles, share: float) -> Particles:
    """What the calorimeters still see of the crossing before: no tracks, no muons."""
    seen = (particles.kind != MUON) & ~(particles.charged & (particles.p[:, 0] < CURLING))
    particles = particles.take(seen)
    particles.p[:, [0, 3]] *= share
    return particles._replace(charged=np.zeros(len(particles.event), bool))


def overlay(*particles: Particles) -> Particles:
    """All of them together, grouped by event."""
    joined = Particles(*(np.concatenate(columns) for columns in zip(*particles, strict=True)))
    return joined.take(np.argsort(joined.event, kind="stable"))
