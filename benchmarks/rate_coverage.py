"""How often the intervals of hepad.rate hold the truth, in 5,000 simulated experiments per case (± 0.7 %).

python benchmarks/rate_coverage.py [--experiments 5000] [--only eps_s] [--processes 1] [--tables benchmarks/tables]

Background scores are exponential, so that the share above t is exp(-t), and of signals exp(-t / 3). The menu accepts
60 % of the background and 30 % of the signal, or each event with a probability between 0 and 1, as prescaled seeds do.
The table has the columns case, expected and coverage: what is covered, how many events are expected to be counted
(effective ones for weighted samples; the fewer of background and signal), and the share of the experiments whose
interval of level 0.683 holds the truth. Cases:

    rate            the rate above a fixed threshold
    rate_found      the true rate at the threshold that was found for a budget
    threshold       the threshold whose true rate is the budget
    eps_s_b<k>_s<n> the signal efficiency at that threshold: k background events above it, n of signal in all
    pure_...        the same for the pure rate and a budget of it; prescaled_: with prescaled seeds
    gain            the signal that the trigger adds, at the true threshold of the budget

with weights: uniform (0.2 to 2), exponential, rising or falling with the score, signed (a fifth are -1).
"""

import argparse
import csv
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.io import atomic_path
from hepad.rate import Scale, at_budget, at_threshold, gain
from hepad.top_scores import Sample, sample

UNIT = Scale("zero_bias", 1.0, 1.0)  # so that rates are efficiencies
STRETCH = 3.0  # of the signal's scores
PURE = {"background": 0.4, "signal": 0.7}
RISE = 0.25


class Weighting(NamedTuple):
    """Weights (rng, scores) -> (n,); ``slope``: the weighted share above t is exp(-slope t); ``effective``: events
    per event that passes, (E w)² / E w²."""

    draw: Callable[[np.random.Generator, np.ndarray], np.ndarray | None]
    slope: float
    effective: float


WEIGHTINGS = {
    "": Weighting(lambda rng, s: None, 1.0, 1.0),
    "uniform": Weighting(lambda rng, s: rng.uniform(0.2, 2, len(s)), 1.0, 1.1**2 / (1.1**2 + 1.8**2 / 12)),
    "exponential": Weighting(lambda rng, s: rng.exponential(1, len(s)), 1.0, 0.5),
    "rising": Weighting(lambda rng, s: np.exp(RISE * s), 1 - RISE, (1 - 2 * RISE) / (1 - RISE) ** 2),
    "falling": Weighting(lambda rng, s: np.exp(-RISE * s), 1 + RISE, (1 + 2 * RISE) / (1 + RISE) ** 2),
    "signed": Weighting(lambda rng, s: np.where(rng.random(len(s)) < 0.2, -1.0, 1.0), 1.0, 0.36),
}


class Case(NamedTuple):
    """A line of the table: ``what`` is covered, with ``weights``; ``background`` expected counts, ``signal`` events."""

    what: str
    weights: str
    background: float
    signal: int = 0

    @property
    def name(self) -> str:
        events = f"b{self.background:g}_s{self.signal}" if self.signal else ""
        return "_".join(filter(None, [self.weights, self.what, events]))

    @property
    def expected(self) -> float:
        """The smaller of the expected counts of background and signal."""
        if not self.signal:
            return self.background
        kept = PURE["signal"] if self.what == "gain" else 1
        return min(self.background, self.signal * kept * np.exp(-_threshold(self) / STRETCH))


def cases() -> Iterator[Case]:
    yield from (Case("rate", "", count) for count in (0.5, 1, 2, 5, 10, 20, 50, 100, 500))
    yield from (Case(what, "", count) for what in ("rate_found", "threshold") for count in (1, 5, 20, 50, 200))
    for what in ("pure_rate", "pure_rate_found", "pure_threshold"):
        yield from (Case(what, "", count) for count in (2, 10, 50, 200))
    yield from (Case("eps_s", "", count, 20) for count in (1, 10, 50))
    yield from (Case("eps_s", "", count, n) for n in (200, 2000) for count in (0.5, 1, 2, 5, 10, 20, 50, 100, 500))
    yield from (Case(what, "", count, 2000) for what in ("gain", "pure_eps_s") for count in (5, 50, 200))
    for kind in list(WEIGHTINGS)[1:]:
        yield from (Case(what, kind, count) for what in ("rate", "rate_found", "threshold") for count in (50, 200))
        yield from (Case("eps_s", kind, count, 2000) for count in (50, 200))
        yield Case("pure_rate", kind, 50)
    for what in ("prescaled_pure_rate", "prescaled_pure_threshold"):
        yield from (Case(what, "", count) for count in (50, 200))


def coverage(case: Case, experiments: int) -> float:
    """The share of the simulated experiments in which the interval of ``case`` holds the truth."""
    rng = np.random.default_rng(zlib.crc32(repr(case).encode()))
    return sum(_experiment(case, rng) for _ in range(experiments)) / experiments


def _threshold(case: Case) -> float:
    return -np.log(0.02 if case.background <= 100 else 0.05)


def _truth(case: Case) -> tuple[float, float, int]:
    """Threshold, true (pure) efficiency above it, and the number of background events that the counts need."""
    t, weighting = _threshold(case), WEIGHTINGS[case.weights]
    pure, per_event = (PURE["background"],) * 2 if "pure" in case.what else (1.0, 1.0)
    if case.what.startswith("prescaled"):
        pure, per_event = 1 / 2, (1 / 2) ** 2 / (1 / 3)  # y uniform: (E y)² / E y²
    n = case.background / (per_event * weighting.effective * np.exp(-t))
    return t, pure * np.exp(-weighting.slope * t), max(round(n), 10)


def _experiment(case: Case, rng: np.random.Generator) -> bool:
    t, eps, n = _truth(case)
    background = _background(case, rng, n)
    of = "pure" if "pure" in case.what else "total"
    if case.what.endswith("rate"):
        rate = at_threshold(background, UNIT, t)[of]
        return rate.low <= eps <= rate.high
    point = at_budget(background, UNIT, eps, of=of)
    if case.what.endswith("rate_found"):
        rate, slope = getattr(point, of), WEIGHTINGS[case.weights].slope
        return rate.low <= eps * np.exp(-slope * (point.threshold - t)) <= rate.high
    if case.what.endswith("threshold"):
        return point.threshold_low <= t <= point.threshold_high
    scores = STRETCH * rng.exponential(1, case.signal)
    truth = np.exp(-t / STRETCH)
    if case.what == "gain":
        menu = rng.random(case.signal) >= PURE["signal"]
        found, truth = gain(point, background, sample("signal", scores, menu=menu)).gain, PURE["signal"] * truth
    else:
        found = gain(point, background, sample("signal", scores)).eps_s
    return found.low <= truth <= found.high


def _background(case: Case, rng: np.random.Generator, n: int) -> Sample:
    scores = rng.exponential(1, n)
    weights = WEIGHTINGS[case.weights].draw(rng, scores)
    if "pure" not in case.what:
        return sample("background", scores, weights)
    accepted = rng.random(n)
    menu = accepted if case.what.startswith("prescaled") else (accepted >= PURE["background"]).astype(float)
    return sample("background", scores, weights, menu)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=5000, help="per case")
    parser.add_argument("--processes", type=int, default=1, help="each takes cases of its own")
    parser.add_argument("--only", default="", help="cases whose name contains this; nothing is written then")
    parser.add_argument("--tables", type=Path, default=Path(__file__).parent / "tables", help="folder of the table")
    args = parser.parse_args(argv)
    chosen, lines = [case for case in cases() if args.only in case.name], []
    with ProcessPoolExecutor(args.processes) as pool:
        for case, covered in zip(chosen, pool.map(coverage, chosen, repeat(args.experiments)), strict=True):
            lines.append((case.name, f"{case.expected:g}", f"{covered:.4f}"))
            print(",".join(lines[-1]), flush=True)
    if not args.only:
        with atomic_path(args.tables / "rate_coverage.csv") as partial, open(partial, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("case", "expected", "coverage"), *lines])


if __name__ == "__main__":
    main()
