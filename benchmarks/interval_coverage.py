"""How often the intervals that tables quote hold the truth, in 3,000 simulated experiments a case (± 0.9 %).

python benchmarks/interval_coverage.py [--experiments 3000] [--only eps_s] [--processes 2] [--tables benchmarks/tables]

Scores are exponential, so that the share above t is exp(-t) of background and exp(-t / 3) of signal. The table has the
columns quantity, case, expected, coverage and experiments. Expected is the number of events that are counted (the
smaller of those of the two samples; of weighted ones and of clusters the effective number), coverage the share of the
experiments whose interval of level 0.683 holds the truth. Quantities, each by the function that fills the tables:

    eps_s       ε_S at the threshold whose true ε_B is asked for
    1/eps_b     1/ε_B at the threshold whose true ε_S is asked for
    auc         the area under the curve; expected: of the events that are out of order, (1 - AUC) n_eff
    threshold   the threshold whose true rate is the budget
    rate        the rate above a fixed threshold; found: the true rate at the threshold that was found for a budget
    pure_rate   the same of what a menu of 60 % leaves; prescaled: of a menu with prescales
    gain        the signal that the trigger adds to the menu, at the true threshold of the budget
    band        of trainings that scatter: the true value of one more training

Cases: b and s are the expected counts of background and signal; ties: scores on a grid of 0.1; weights uniform (0.2 to
2), exponential, rising or falling with the score, signed (a fifth are -1), lognormal (σ = 1.5); pairs: half of the
events have two jets of correlation 0.5 or of one score; pool: crossings of 8 chunks overlaid from a pool each, of which
the hardest collision makes the score.
"""

import argparse
import csv
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from hepad.evaluation.roc import auc, efficiencies, rejections
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.seed_spread import together
from hepad.evaluation.streaming import distribution, sample
from hepad.storage.files import atomic_path
from hepad.trigger.rates import Scale, at_budget, at_threshold, gain

UNIT = Scale("zero_bias", 1.0, 1.0)  # so that rates are efficiencies
STRETCH = 3.0  # of the signal's scores
PURE = {"background": 0.4, "signal": 0.7}
RISE, GRID = 0.25, 0.1
CHUNKS, MEAN, NOISE = 8, 10, 0.3  # of pools: number, collisions a crossing, resolution of the score
Rng = np.random.Generator


class Law(NamedTuple):
    """How a sample of scores is drawn: ``draw`` (rng, n, stretch) -> scores, weights, clusters.

    The weighted share above t is exp(-(1 - tilt) t / stretch); ``effective``: independent events per event that passes.
    """

    draw: Callable[[Rng, int, float], tuple]
    tilt: float = 0.0
    effective: float = 1.0


def _plain(rng: Rng, n: int, stretch: float):
    return stretch * rng.exponential(1, n), None, None


def _ties(rng: Rng, n: int, stretch: float):
    return np.floor(stretch * rng.exponential(1, n) / GRID) * GRID, None, None


def _weighted(weights: Callable, rng: Rng, n: int, stretch: float):
    scores = stretch * rng.exponential(1, n)
    return scores, weights(rng, scores / stretch), None


def _pairs(correlation: float, rng: Rng, n: int, stretch: float):
    """Of n rows two thirds are pairs: half of the events have two."""
    cluster = np.concatenate([np.repeat(np.arange(n // 3), 2), np.arange(n // 3, n - n // 3)])
    common, own = rng.normal(size=n)[cluster], rng.normal(size=n)
    alone = ndtr(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)
    return -stretch * np.log1p(-np.minimum(alone, 1 - 1e-16)), None, cluster


WEIGHTS = {
    "uniform": (lambda rng, s: rng.uniform(0.2, 2, len(s)), 0.0, 1.1**2 / (1.1**2 + 1.8**2 / 12)),
    "exponential": (lambda rng, s: rng.exponential(1, len(s)), 0.0, 0.5),
    "rising": (lambda rng, s: np.exp(RISE * s), RISE, (1 - 2 * RISE) / (1 - RISE) ** 2),
    "falling": (lambda rng, s: np.exp(-RISE * s), -RISE, (1 + 2 * RISE) / (1 + RISE) ** 2),
    "signed": (lambda rng, s: np.where(rng.random(len(s)) < 0.2, -1.0, 1.0), 0.0, 0.36),
    "lognormal": (lambda rng, s: rng.lognormal(0, 1.5, len(s)), 0.0, np.exp(-(1.5**2))),
}
LAWS = {
    "plain": Law(_plain),
    "ties": Law(_ties),
    **{name: Law(partial(_weighted, draw), tilt, effective) for name, (draw, tilt, effective) in WEIGHTS.items()},
    "pairs": Law(partial(_pairs, 0.5)),
    "pairs_of_one_score": Law(partial(_pairs, 1.0), 0.0, 0.6),
}


class Case(NamedTuple):
    """A line of the table: ``experiment`` draws one and says whether the interval holds the truth."""

    quantity: str
    name: str
    expected: float
    experiment: Callable[[Rng], bool]


def share(count: float) -> float:
    """The efficiency that so many events are to be of; large samples have a large one."""
    return 0.02 if count <= 100 else 0.05 if count <= 2000 else 0.5


def cases() -> Iterator[Case]:
    for b, s in ((10, 200), (30, 200), (10, 2000), (30, 2000), (100, 2000), (500, 2000), (10**4, 2000), (10**5, 10**4),
                 (100, 60), (500, 40)):  # fmt: skip
        yield _of_both("eps_s", "plain", b, s)
        yield _of_both("1/eps_b", "plain", b, s)
    for law in list(LAWS)[1:]:
        for b in (15, 50, 200):
            yield _of_both("eps_s", law, b, 2000)
            yield _of_both("1/eps_b", law, b, 2000)
    for area, events in (("0.75", (20, 20)), ("0.75", (100, 50)), ("0.75", (10**5, 10**4)), ("0.95", (200, 200)),
                         ("0.95", (10**4, 300)), ("0.98", (1000, 1000)), ("0.98", (10**5, 500))):  # fmt: skip
        yield _of_areas("plain", float(area), *events)
    for law in list(LAWS)[1:]:
        yield _of_areas(law, 0.75, 2000, 500)
    yield _of_budget("rate_found", "plain", 10**5)
    for count in (10, 30, 100, 500, 10**4):
        for what in ("rate", "rate_found", "threshold"):
            yield _of_budget(what, "plain", count)
    for what in ("pure_rate", "pure_rate_found", "pure_threshold", "prescaled_pure_rate", "prescaled_pure_threshold"):
        yield from (_of_budget(what, "plain", count) for count in (10, 50, 200))
    for law in list(LAWS)[1:]:
        if not law.startswith("pairs"):  # a trigger counts events
            # no threshold of a grid is the only one whose rate is the budget
            whats = ("rate", "rate_found", "threshold")[: 2 if law == "ties" else 3]
            yield from (_of_budget(what, law, count) for what in whats for count in (15, 50, 200))
            yield _of_budget("pure_rate", law, 50)
    yield from (_of_budget("gain", "plain", count) for count in (10, 50, 200))
    for count in (10, 30, 100):
        yield from (_of_pool(what, count) for what in ("rate", "rate_found", "threshold", "eps_s"))
    for trainings in (1, 2, 3, 5, 10):
        for what in ("auc", "eps_s", "1/eps_b"):
            yield _of_trainings(what, trainings, 0.1)
    yield from (_of_trainings("eps_s", trainings, 0.01) for trainings in (2, 10))


def _threshold(law: Law, eps: float) -> float:
    return -np.log(eps) / (1 - law.tilt)


def _above(name: str, law: Law, t: float, stretch: float) -> float:
    """True weighted share above t; on a grid what passes has at least the next score."""
    t = t if name != "ties" else (np.floor(t / GRID) + 1) * GRID
    return float(np.exp(-(1 - law.tilt) / stretch * t))


def _rows(law: Law, eps: float) -> float:
    """The share of rows above the threshold above which the weighted share is ``eps``."""
    return eps ** (1 / (1 - law.tilt))


def _drawn(law: Law, rng: Rng, count: float, eps: float, stretch: float) -> ScoreDistribution:
    scores, weights, cluster = law.draw(rng, max(round(count / (law.effective * _rows(law, eps))), 10), stretch)
    return distribution("sample", scores, weights, cluster)


def _of_both(quantity: str, name: str, b: float, s: float) -> Case:
    """ε_S or 1/ε_B where ``b`` effective background events pass, and the signal has ``s``."""
    law = LAWS[name]
    t = _threshold(law, share(b))
    eps_b, eps_s = _above(name, law, t, 1.0), _above(name, law, t, STRETCH)

    def experiment(rng: Rng) -> bool:
        background, signal = _drawn(law, rng, b, eps_b, 1.0), _drawn(law, rng, s, 1.0, STRETCH)
        if quantity == "eps_s":
            found = efficiencies(background, signal, [eps_b])[0].eps_s
            return found.low <= eps_s <= found.high
        found = rejections(background, signal, [eps_s])[0]
        return found.low <= 1 / eps_b and (not found.resolved or 1 / eps_b <= found.high)

    return Case(quantity, f"{name} b{b:g} s{s:g}", min(b, s * _rows(law, eps_s)), experiment)


def _of_areas(name: str, area: float, b: int, s: int) -> Case:
    law, stretch = LAWS[name], area / (1 - area)
    if name == "ties":
        p, q = 1 - np.exp(-GRID), 1 - np.exp(-GRID / stretch)  # geometric: P(s > b) + P(s = b) / 2
        both = 1 - (1 - p) * (1 - q)
        area = p * (1 - q) / both + p * q / both / 2
    q1, q2 = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    variance = (q1 / b + q2 / s) / law.effective  # J. Hanley and B. McNeil 1982, exact for exponential scores

    def experiment(rng: Rng) -> bool:
        found = auc(*(distribution("sample", *law.draw(rng, n, width)) for n, width in ((b, 1.0), (s, stretch))))
        return found.low <= area <= found.high

    return Case("auc", f"{name} AUC {area:.3g} b{b} s{s}", area * (1 - area) ** 2 / variance, experiment)


def _of_budget(what: str, name: str, count: float) -> Case:
    """Rates and thresholds of events where ``count`` effective ones pass, and the gain."""
    law = LAWS[name]
    kept, per_event = (PURE["background"],) * 2 if "pure" in what or what == "gain" else (1.0, 1.0)
    if what.startswith("prescaled"):
        kept, per_event = 1 / 2, (1 / 2) ** 2 / (1 / 3)  # y uniform: (E y)² / E y²
    of = "total" if kept == 1 else "pure"
    t = _threshold(law, share(count))
    above = _above(name, law, t, 1.0)
    n = max(round(count / (per_event * law.effective * _rows(law, above))), 10)

    def experiment(rng: Rng) -> bool:
        scores, weights, _ = law.draw(rng, n, 1.0)
        menu, accepted = None, rng.random(n)
        if of == "pure":
            menu = accepted if what.startswith("prescaled") else (accepted >= PURE["background"]).astype(float)
        background = sample("background", scores, weights, menu)
        if what.endswith("rate"):
            rate = at_threshold(background, UNIT, t)[of]
            return rate.low <= kept * above <= rate.high
        point = at_budget(background, UNIT, kept * above, of=of)
        if what.endswith("rate_found"):
            rate = getattr(point, of)
            return rate.low <= kept * _above(name, law, point.threshold, 1.0) <= rate.high
        if what.endswith("threshold"):
            return point.threshold_low <= t <= point.threshold_high
        scores = STRETCH * rng.exponential(1, 2000)
        signal = sample("signal", scores, menu=rng.random(2000) >= PURE["signal"])
        found = gain(point, background, signal).gain
        return found.low <= PURE["signal"] * np.exp(-t / STRETCH) <= found.high

    quantity, _, found = what.removeprefix("prescaled_").partition("_found")
    words = [name, "prescaled" * what.startswith("prescaled"), "found" * (found is not None and what.endswith("found"))]
    return Case(quantity.replace("pure_threshold", "threshold"), " ".join([*filter(None, words), of, f"b{count:g}"]),
                count, experiment)  # fmt: skip


def _of_pool(what: str, count: float) -> Case:
    """Crossings that share pools, where ``count`` different collisions are expected to make what passes."""
    per_chunk = 600
    grid = np.linspace(-2, 25, 5401)
    hardest = np.diff(np.exp(-MEAN * np.exp(-grid)))  # of the largest of Poisson many exponential numbers
    noise = np.exp(-0.5 * (np.arange(-300, 301) * (grid[1] - grid[0]) / NOISE) ** 2)
    law = np.convolve(hardest, noise / noise.sum(), mode="same")
    above = np.append(np.cumsum(law[::-1])[::-1], 0)
    # a collision of the pool is in per_chunk * MEAN / pool crossings: three
    pool = per_chunk * MEAN // 3
    eps = count / (CHUNKS * pool / MEAN) * 0.75  # (Σ m)² / Σ m² of Poisson many, 3 on average: 3 / (1 + 3) each
    t = float(np.interp(-eps, -above, grid))

    def experiment(rng: Rng) -> bool:
        scores, cluster = [], []
        for chunk in range(CHUNKS):
            hardness = rng.exponential(1, pool)
            number = rng.poisson(MEAN, per_chunk)
            chosen, first = rng.integers(pool, size=number.sum()), np.cumsum(number) - number
            order = np.lexsort((hardness[chosen], np.repeat(np.arange(per_chunk), number)))
            of = chosen[order][first + number - 1]
            scores.append(hardness[of] + NOISE * rng.normal(size=per_chunk))
            cluster.append(chunk * pool + of)
        background = sample("background", np.concatenate(scores), cluster=np.concatenate(cluster))
        if what == "rate":
            rate = at_threshold(background, UNIT, t)["total"]
            return rate.low <= eps <= rate.high
        point = at_budget(background, UNIT, eps)
        if what == "rate_found":
            return point.total.low <= np.interp(point.threshold, grid, above) <= point.total.high
        if what == "threshold":
            return point.threshold_low <= t <= point.threshold_high
        found = gain(point, background, sample("signal", STRETCH * rng.exponential(1, 2000))).eps_s
        return found.low <= np.exp(-t / STRETCH) <= found.high

    return Case(what.removesuffix("_found"), f"pool{' found' * what.endswith('found')} b{count:g}", count, experiment)


def _of_trainings(what: str, trainings: int, scatter: float) -> Case:
    """Trainings whose signal scores are stretched by exp(scatter × normal), all on the same 2,000 and 1,000 events."""
    b, s, eps_b, eps_s = 2000, 1000, 0.05, 0.3
    scatter = scatter if trainings > 1 else 0.0

    def experiment(rng: Rng) -> bool:
        background, signal = distribution("background", rng.exponential(1, b)), rng.exponential(1, s)
        stretches = STRETCH * np.exp(scatter * rng.normal(size=trainings + 1))
        found = [_measured(what, background, distribution("signal", x * signal), eps_b, eps_s) for x in stretches[:-1]]
        last = stretches[-1]
        truth = {"auc": last / (1 + last), "eps_s": eps_b ** (1 / last), "1/eps_b": -last * np.log(eps_s)}[what]
        most = np.inf if what == "1/eps_b" else 1.0
        _, low, high = together(*zip(*found, strict=True), limit=most)
        return low <= truth <= high

    return Case("band", f"{what} of {trainings} trainings, scatter {scatter:g}", 100, experiment)


def _measured(
    what: str, background: ScoreDistribution, signal: ScoreDistribution, eps_b: float, eps_s: float
) -> tuple[float, float, float]:
    if what == "auc":
        return auc(background, signal)
    if what == "eps_s":
        return efficiencies(background, signal, [eps_b])[0].eps_s[:3]
    found = rejections(background, signal, [eps_s])[0]
    return tuple(np.log([found.inverse_eps_b, found.low, found.high]))


def coverage(number: int, experiments: int) -> float:
    """The share of the simulated experiments in which the interval of a case holds the truth."""
    case = list(cases())[number]
    rng = np.random.default_rng(zlib.crc32(f"{case.quantity} {case.name}".encode()))
    return sum(case.experiment(rng) for _ in range(experiments)) / experiments


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=3000, help="per case")
    parser.add_argument("--processes", type=int, default=1, help="each takes cases of its own")
    parser.add_argument(
        "--only", default="", help="cases whose quantity and name contain this; nothing is written then"
    )
    parser.add_argument("--tables", type=Path, default=Path(__file__).parent / "tables", help="folder of the table")
    args = parser.parse_args(argv)
    chosen = [(i, case) for i, case in enumerate(cases()) if args.only in f"{case.quantity} {case.name}"]
    lines = []
    with ProcessPoolExecutor(args.processes) as pool:
        found = pool.map(coverage, [i for i, _ in chosen], repeat(args.experiments))
        for (_, case), covered in zip(chosen, found, strict=True):
            lines.append((case.quantity, case.name, f"{case.expected:.3g}", f"{covered:.4f}", args.experiments))
            print(*lines[-1], sep=",", flush=True)
    if not args.only:
        with atomic_path(args.tables / "coverage.csv") as partial_path, open(partial_path, "w", newline="") as file:
            columns = ("quantity", "case", "expected", "coverage", "experiments")
            csv.writer(file, lineterminator="\n").writerows([columns, *lines])


if __name__ == "__main__":
    main()
