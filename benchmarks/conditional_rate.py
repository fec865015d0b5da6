"""Does a threshold at the pile-up hold the rate? Simulated crossings with 20 to 60 collisions, one budget a table row.

    python benchmarks/conditional_rate.py --learn 100000 --nature 300000 --to benchmarks/tables/conditional_rate.csv

Crossings are as in nature, all of weight 1, with pile-up uniform from 15 to 65. On those of `--learn` AE and HT are
fitted, both again with `given: [pileup]`, and every threshold is frozen where ε_B of them pass. On the others, of pools
of their own, the share that passes is counted in bins of five collisions, over ε_B, with its 68.3 % interval, in which
crossings that share the hardest collision count as one. Beside it ε_S of H to a soft dark shower with the same pile-up.
`factor` is the highest over the lowest bin, `off` the largest distance from 1, `noise` how large that would be at a
constant rate (median, from the interval's widths), and `slope` the change of the rate per collision, with its error.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

import hepad
from hepad.evaluation.streaming import distribution
from hepad.events import Events, concatenate
from hepad.samples.simulation.pythia import generate
from hepad.samples.simulation.settings import Generation
from hepad.storage.files import write_rows

CARDS = Path(__file__).parents[1] / "config" / "cards"
MINIMUM_BIAS, SIGNAL = CARDS / "minimum_bias.cmnd", CARDS / "soft_dark_shower.cmnd"
MEAN, EDGES = [15, 65], np.arange(20, 61, 5)
SOFT, HARD = 5000, 4000  # collisions of a chunk
VARIABLES = ["jet_pt", "second_jet_pt", "n_jets", "ht", "met", "n_photons", "n_muons"]
BINS = tuple(f"{a}-{b}" for a, b in pairwise(EDGES))
COLUMNS = (
    "detector", "eps_b", *(f"{name}{end}" for name in BINS for end in ("", "_low", "_high")), "all", "factor", "off",
    "noise", "slope", "slope_error", "eps_s",
)  # fmt: skip


def crossings(chunk: int, number: int, seed: int) -> Events:
    """Zero bias, of the part that is as in nature."""
    entry = {"mean": MEAN, "pool": SOFT, "hard": HARD}
    settings = Generation(MINIMUM_BIAS, "any", response=True, level1=True, zero_bias=entry)
    return generate(settings, number, seed + chunk, first_event_id=10**9 * chunk, split=(0.0, 1.0, 0.0))


def made(number: int, seed: int, chunks: int, jobs: int) -> Events:
    """As many crossings in chunks with pools of their own, by ``jobs`` processes."""
    with ProcessPoolExecutor(jobs) as pool:
        return concatenate(list(pool.map(partial(crossings, number=number // chunks, seed=seed), range(chunks))))


def signal(number: int, seed: int) -> Events:
    pileup = {"card": MINIMUM_BIAS, "mean": MEAN, "pool": 2500}
    settings = Generation(
        SIGNAL, "any", response=True, level1=True, pileup=pileup, settings=("PartonLevel:MPI = on",)
    )  # fmt: skip
    return generate(settings, number, seed)


def detectors(learn: Events, seed: int) -> dict[str, object]:
    """Both scores, and both at their pile-up, fitted on half of the crossings each, so that none knows its own."""
    event = hepad.EventVector(VARIABLES)
    both = hepad.Joined([event, hepad.EventVector(["pileup"])])
    half = np.arange(len(learn)) % 2 == 0
    found = {
        "AE": hepad.AE(
            representation=event, autoencoder={"hidden_dims": [64, 64], "latent_dim": 3}, training={"steps": 1500},
            seed=seed,
        ).fit(learn[half]),
        "HT": hepad.Variable(representation=event, variable="ht").fit(learn[half]),
    }  # fmt: skip
    for name, member in list(found.items()):
        given = hepad.Combination(representation=both, members={name.lower(): member}, given=["pileup"], seed=seed)
        found[f"{name} at its pile-up"] = given.fit(learn[~half])
    return found


def row(name: str, eps_b: float, threshold: float, score: np.ndarray, nature: Events, eps_s: float) -> dict:
    """A row of the table."""
    pileup, found = nature.facts["pileup"], {"detector": name, "eps_b": eps_b}
    ratios = []
    for label, low, high in zip(BINS, EDGES[:-1], EDGES[1:], strict=True):
        inside = (pileup >= low) & (pileup < high)
        of = distribution("bin", score[inside], nature.weight[inside], nature.cluster[inside])
        ratios.append(np.array(of.intervals(threshold)) / eps_b)
        found |= dict(zip((label, f"{label}_low", f"{label}_high"), ratios[-1], strict=True))
    value, low, high = np.transpose(ratios)
    error, middle = (high - low) / 2, EDGES[:-1] + 2
    noise = np.random.default_rng(0).normal(size=(10_000, len(error))) * error
    slope, covariance = np.polyfit(middle, value, 1, w=1 / error, cov="unscaled")
    inside = (pileup >= EDGES[0]) & (pileup < EDGES[-1])
    return found | {
        "all": (score[inside] > threshold).mean() / eps_b, "factor": value.max() / max(value.min(), 1e-9),
        "off": np.abs(value - 1).max(), "noise": np.median(np.abs(noise).max(axis=1)), "slope": slope[0],
        "slope_error": np.sqrt(covariance[0, 0]), "eps_s": eps_s,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", type=int, default=100_000, help="crossings to learn from (%(default)s)")
    parser.add_argument("--nature", type=int, default=300_000, help="crossings that are counted (%(default)s)")
    parser.add_argument("--chunks", type=int, default=8, help="of each, with pools of their own (%(default)s)")
    parser.add_argument("--signal", type=int, default=5000, help="signal events (%(default)s)")
    parser.add_argument("--eps-b", type=float, nargs="+", default=[0.1, 0.03, 0.01, 0.003], metavar="X")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--to", type=Path, metavar="FILE.csv")
    args = parser.parse_args()
    learn, nature = (made(n, seed, args.chunks, args.jobs) for n, seed in ((args.learn, 300), (args.nature, 600)))
    shower = signal(args.signal, 900)
    rows = []
    for name, detector in detectors(learn, args.seed).items():
        known, score, of_signal = (detector.score(events) for events in (learn, nature, shower))
        for eps_b in args.eps_b:
            threshold = float(np.quantile(known, 1 - eps_b))
            rows.append(row(name, eps_b, threshold, score, nature, float((of_signal > threshold).mean())))
            values = " ".join(f"{rows[-1][name]:.2f}" for name in BINS)
            rest = {x: f"{rows[-1][x]:.3g}" for x in COLUMNS[-7:]}
            print(f"{name:20s} {eps_b:g}: {values}  {rest}", flush=True)
    if args.to:
        write_rows(args.to, COLUMNS, rows)


if __name__ == "__main__":
    main()
