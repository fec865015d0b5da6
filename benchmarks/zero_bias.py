"""Rates of simulated zero bias beside public ones of CMS, seed by seed.

    python benchmarks/zero_bias.py --to benchmarks/tables/zero_bias.csv

Public rates: counts of seeds in 9.84 million zero-bias crossings of 2018 (fill 7005, 40.4 collisions on average, 2544
bunches, prescales removed; cms-l1-dpg/L1MenuTools, rate-estimation/plots), and of 2022 at 52 collisions and 2400
bunches (ibid., L1NtuplesAnalyser), there for seeds that were not prescaled. No table of 2024 is public. The crossings
are made at 13.6 TeV with the settings of hepad; nothing is scaled.
"""

import argparse
from pathlib import Path

import numpy as np

from hepad.events import concatenate
from hepad.samples.simulation.pythia import generate
from hepad.samples.simulation.settings import Generation
from hepad.storage.files import write_rows
from hepad.trigger.rates import zero_bias
from hepad.trigger.seed_tables import seed_rows
from hepad.trigger.stages import stages_of

CARD = Path(__file__).parents[1] / "config" / "cards" / "minimum_bias.cmnd"
JET, HT = "any(jets_pt > {})", "sum(where(jets_pt > 30 & abs(jets_eta) < 2.5, jets_pt, 0)) > {}"
DIJET, MUON = "sum(jets_pt > {} & abs(jets_eta) < 2.5) >= 2", "any(muons_pt > {})"
MET, EGAMMA = "met > {}", "any(photons_pt > {} & abs(photons_eta) < 2.5)"
# seed: condition, threshold [GeV], public rate [kHz]
PUBLIC = {
    (40.4, 2544): {
        "SingleJet": (JET, {35: 4560, 60: 320, 90: 50, 120: 12.7, 180: 2.3, 200: 1.6}),
        "DoubleJet": (DIJET, {40: 305, 100: 5.2, 120: 2.5, 150: 1.0}),
        "HTT": (HT, {120: 215, 160: 78, 200: 30, 255: 11, 360: 2.7, 400: 1.85, 450: 1.3}),
        "ETMHF": (MET, {100: 2.14, 110: 1.47, 120: 1.07, 130: 0.90, 150: 0.73}),
        "SingleMu": (MUON, {3: 1120, 5: 358, 7: 141, 18: 10.7, 22: 6.7, 25: 5.4}),
        "SingleEG": (EGAMMA, {10: 1970, 15: 394, 26: 37.5, 36: 11.8, 40: 8.5, 60: 3.2}),
    },
    (52.0, 2400): {
        "SingleJet": (JET, {180: 1.83, 200: 1.28}),
        "ETMHF": (MET, {80: 2.38, 90: 1.43, 100: 0.97}),
        "SingleMu": (MUON, {22: 8.71, 25: 6.81}),
        "SingleEG": (EGAMMA, {36: 11.25, 40: 7.9}),
    },
}
COLUMNS = ("collisions", "seed", "public_khz", "khz", "khz_low", "khz_high", "ratio", "passed", "resolved")


def compared(mean: float, bunches: int, crossings: int, chunks: int, pool: int, hard: int) -> list[dict]:
    """Rows of the table at one pile-up."""
    entry = {"mean": mean, "pool": pool, "hard": hard}
    settings = Generation(
        CARD, "any", response=True, level1=True, zero_bias=entry, settings=("Beams:eCM = 13600.",)
    )  # fmt: skip
    parts = [
        generate(settings, crossings // chunks, 101 + int(mean) + chunk, first_event_id=10**10 * chunk)
        for chunk in range(chunks)
    ]
    events = concatenate(parts)
    public = {f"{name}{x}": rate for name, (_, rates) in PUBLIC[mean, bunches].items() for x, rate in rates.items()}
    seeds = {
        f"{name}{x}": text.format(x) for name, (text, rates) in PUBLIC[mean, bunches].items() for x in rates
    }  # fmt: skip
    block = [(events, {"none/1": np.zeros(len(events))})]
    rows = seed_rows("zero_bias", {"zero_bias": block}, stages_of({"seeds": seeds}, ()), zero_bias(bunches))
    found = []
    for row in rows:
        if row["seed"] in public:
            rate = public[row["seed"]]
            ends = {key: row[f"total_{key}"] for key in ("khz", "khz_low", "khz_high")}
            beside = {"ratio": row["total_khz"] / rate, "passed": row["passed"], "resolved": row["resolved"]}
            found.append({"collisions": mean, "seed": row["seed"], "public_khz": rate, **ends, **beside})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crossings", type=int, default=24_000, help="at each pile-up (%(default)s)")
    parser.add_argument("--chunks", type=int, default=4, help="with pools of their own (%(default)s)")
    parser.add_argument("--pool", type=int, default=4000, help="soft collisions of a chunk (%(default)s)")
    parser.add_argument("--hard", type=int, default=1500, help="hard collisions of a chunk (%(default)s)")
    parser.add_argument("--to", type=Path, metavar="FILE.csv")
    args = parser.parse_args()
    rows = [
        row for at in PUBLIC for row in compared(*at, args.crossings, args.chunks, args.pool, args.hard)
    ]  # fmt: skip
    for row in rows:
        print(
            f"{row['collisions']:5.1f}  {row['seed']:14s} public {row['public_khz']:8.2f} kHz  here {row['khz']:8.2f} "
            f"[{row['khz_low']:.2f}, {row['khz_high']:.2f}]  ratio {row['ratio']:.2f}"
        )
    if args.to:
        write_rows(args.to, COLUMNS, rows)


if __name__ == "__main__":
    main()
