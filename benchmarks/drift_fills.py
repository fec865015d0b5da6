"""Does `hepad monitor` ring when it should? Simulated fills of a finished run of `config/trigger.yaml`.

python benchmarks/drift_fills.py --results results [--profile brilcalc.csv] [--only steady] [--fills 1000]

Crossings of :mod:`conditional_rate`, with weight 1 and μ uniform from 15 to 65, are nature; the run's detectors score
them. A fill has 40 luminosity sections whose pile-up follows the profile, a table of brilcalc by section, or without
one is levelled at 62 for a third of the time and falls to 30. A crossing with n collisions comes with the probability
Poisson(n; μ) / P(n), P the law of all. The reference of each fill is another fill. Crossings of a fill are drawn one by
one, as data are: those that share a collision in the simulation are no clusters here.

`drift_steady.csv`: of 1,000 fills without a fault the share that rings, where 5 % are asked for, with its 95 %
interval; compared at the same pile-up, and as if pile-up were not known. `drift_faults.csv`:
`hepad.config.monitoring.monitor` on ROOT files of fills that a fault begins in, in section 20, against another fill as
reference, where 1 % of steady ones may ring: the fills that ring before and those that ring after, the sections until
then (median), those predicted for the factor of 1.05 that is looked for, the rate after over the expected one, and the
smallest p-value of the compared distributions (median). Faults are of objects:

    none                nothing
    dead region         jets and photons with 0 < η < 1.3 and 0 < φ < 1 are lost, and missing momentum has them
    energy scale        jets, photons and missing momentum are 3 % harder
    other pile-up       as in a fill at 35, from then on
    prescale            the seeds of the menu have twice the prescale: of the total rate nothing changes
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from conditional_rate import MEAN, made
from scipy.special import gammaln
from scipy.stats import beta

from hepad.config.monitoring import Monitored, monitor
from hepad.config.results import Results
from hepad.config.scoring import column, models
from hepad.evaluation import drift
from hepad.evaluation.strata import Weighted, strata
from hepad.evaluation.streaming import distribution
from hepad.events import Events
from hepad.samples.root_output import write_root
from hepad.samples.simulation.profile import MU, Profile
from hepad.storage.files import write_rows

SECTIONS, START, ASKED = 40, 20, 0.05
DETECTORS = ("ae", "ae_at_pileup", "ht", "ht_at_pileup")
FAULTS = ("none", "dead region", "energy scale", "other pile-up", "prescale")
OTHER, FACTOR = 35.0, 1.05
STEADY = ("detector", "eps_b", "compared", "fills", "rang", "share", "low", "high", "asked")
FOUND = ("detector", "eps_b", "fault", "fills", "before", "rang", "sections", "predicted", "rate_ratio", "p_smallest")


def pileup_in_time(path: Path | None) -> np.ndarray:
    """(S,) μ of the sections."""
    if path is None:
        fall = 62 * (30 / 62) ** np.linspace(0, 1, SECTIONS - SECTIONS // 3)
        return np.append(np.full(SECTIONS // 3, 62.0), fall)
    with open(path, newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    names = next(row for row in rows if MU in row)
    place, beams = names.index(MU), names.index("beamstatus")
    mu = np.array([float(row[place]) for row in rows if not row[0].startswith("#") and row[beams] == "STABLE BEAMS"])
    mu = mu[mu > 20]  # what the run has crossings of
    return mu[np.linspace(0, len(mu) - 1, SECTIONS).astype(int)]


def chances(pileup: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """(S, N) probability that a crossing of each section is like each of nature."""
    log = pileup * np.log(mu[:, None]) - mu[:, None] - gammaln(pileup + 1)
    found = np.exp(log) / Profile.of(MEAN, "nature").law(pileup)
    return found / found.sum(axis=1, keepdims=True)


def steady(nature: Weighted, p: np.ndarray, eps_b: float, events: int, fills: int) -> Iterator[dict[str, bool]]:
    """Of each fill whether it rings, against another fill as reference, at the same pile-up and without it."""
    average = p.mean(axis=0)
    for seed in range(fills):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(average), events * len(p), p=average)
        reference = nature.take(rows)._replace(cluster=np.arange(len(rows)))  # data share no collisions
        threshold = float(distribution("reference", *reference[:3]).at_most(eps_b))
        rang = {}
        for how, pileup in (("pile-up", nature.pileup), ("", np.zeros(len(nature.pileup)))):
            divided = strata(reference._replace(pileup=pileup[rows]), threshold)
            place, b = divided.place(pileup), len(divided.weight)
            cells = np.where(place < 0, 2 * b, place + b * (nature.score > threshold))
            of_cells = np.stack([np.bincount(cells, row, minlength=2 * b + 1) for row in p])
            drawn = rng.multinomial(events, of_cells / of_cells.sum(axis=1, keepdims=True))
            passed = drawn[:, b : 2 * b]
            found = drift.follow(passed, drawn[:, :b] + passed, divided.reference, false_alarms=ASKED, seed=seed)
            rang[how] = found.alarm is not None
        yield rang


def spoilt(events: Events, fault: str) -> Events:
    """The same events with the fault."""
    scale = np.float32([1.03, 1, 1, 1.03])
    if fault == "energy scale":
        met = events.met * np.float32([1.03, 1])
        return replace(
            events, jet=events.jet * scale, jets=events.jets * scale, photons=events.photons * scale, met=met
        )
    if fault != "dead region":
        return events

    def dead(p):
        return (p[..., 0] > 0) & (p[..., 1] > 0) & (p[..., 1] < 1.3) & (p[..., 2] > 0) & (p[..., 2] < 1)

    def left(p):  # what is left, hardest first
        p = np.where(dead(p)[..., None], 0, p)
        return np.take_along_axis(p, np.argsort(-p[..., 0], axis=1, kind="stable")[..., None], axis=1)

    lost = np.where(dead(events.jets), events.jets[..., 0], 0)
    px = events.met[:, 0] * np.cos(events.met[:, 1]) + (lost * np.cos(events.jets[..., 2])).sum(axis=1)
    py = events.met[:, 0] * np.sin(events.met[:, 1]) + (lost * np.sin(events.jets[..., 2])).sum(axis=1)
    jets = left(events.jets)
    met = np.stack([np.hypot(px, py), np.arctan2(py, px)], axis=1).astype(np.float32)
    return replace(events, jets=jets, jet=jets[:, 0], photons=left(events.photons), met=met)


def numbered(events: Events, run: int, section: np.ndarray) -> Events:
    """Events as data have them: all different, in sections, without weights and without truth."""
    number = np.arange(len(events))
    facts = {"run": np.full(len(events), run), "luminosity_block": section, "event": number}
    return replace(
        events, event_id=number + len(number) * run, row_id=None, weight=np.ones(len(events)), truth={},
        facts=events.facts | {name: values.astype(np.int64) for name, values in facts.items()},
    )  # fmt: skip


def fills_with(
    results: Results, nature: Events, fault: str, p: dict, options: dict, folder: Path
) -> Iterator[Monitored]:
    """What the monitor finds in fills of ROOT files."""
    for seed in range(options["fills"]):
        rng = np.random.default_rng(1000 + seed)
        section = np.repeat(np.arange(SECTIONS), options["events"])
        of = p["other" if fault == "other pile-up" else "fill"], p["fill"]
        before, chosen = (
            np.concatenate([rng.choice(len(nature), options["events"], p=q) for q in of_sections])
            for of_sections in (p["fill"], [of[i < START][i] for i in range(SECTIONS)])
        )
        write_root(numbered(nature[before], 1, section), folder / "reference.root")
        data, late = nature[chosen], section >= START
        data = numbered(data, 2, section)
        for name, part in (("early", data[~late]), ("late", spoilt(data[late], fault))):
            write_root(part, folder / f"{name}.root")
        files = [str(folder / f"{name}.root") for name in ("early", "late")]
        yield monitor(
            results, "level1", files, detector=options["detector"], eps_b=options["eps_b"],
            reference=[str(folder / "reference.root")], factor=FACTOR,
        )  # fmt: skip


def of_faults(results: Results, nature: Events, p: dict, options: dict) -> Iterator[dict]:
    """Rows of the table of faults."""
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            found = list(fills_with(results, nature, fault, p, options, Path(folder)))
        alarms = np.array([np.inf if x.drift.alarm is None else x.drift.alarm for x in found])
        after = alarms[alarms >= START] - START + 1
        late = [x.passed[START:].sum() / max(x.drift.expected[START:] @ x.events[START:], 1e-9) for x in found]
        yield {
            "detector": options["detector"], "eps_b": options["eps_b"], "fault": fault, "fills": len(found),
            "before": int((alarms < START).sum()), "rang": int(np.isfinite(alarms[alarms >= START]).sum()),
            "sections": float(np.median(after)) if len(after) else np.nan,
            "predicted": float(np.median([x.drift.delay for x in found])), "rate_ratio": float(np.mean(late)),
            "p_smallest": float(np.median([min(p for _, p, *_ in x.changed.values()) for x in found])),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--only", choices=("steady", "faults"))
    parser.add_argument("--detectors", nargs="+", default=DETECTORS)
    parser.add_argument("--eps-b", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--fills", type=int, default=1000, help="without a fault")
    parser.add_argument("--faulty", type=int, default=10, help="fills with each fault")
    parser.add_argument("--draws", type=int, default=1000, help="of steady runs, for the level of an alarm")
    parser.add_argument("--events", type=int, default=3000, help="in a section")
    parser.add_argument("--crossings", type=int, default=240_000, help="of nature (%(default)s)")
    parser.add_argument("--chunks", type=int, default=6, help="of it, with pools of their own (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--tables", type=Path, default=Path("benchmarks/tables"))
    args = parser.parse_args()
    results, rows, faults = Results(args.results), [], []
    drift.DRAWS = args.draws
    mu, events = pileup_in_time(args.profile), made(args.crossings, 600, args.chunks, args.jobs)
    pileup = events.facts["pileup"]
    p = {"fill": chances(pileup, mu), "other": chances(pileup, np.full(len(mu), OTHER))}
    for name in args.detectors:
        score = models(results, "level1", [name]).score(events, {})[column(f"{name}/1")]
        nature = Weighted(score, events.weight, events.cluster, pileup)
        for eps_b in args.eps_b:
            if args.only != "faults":
                rang = list(steady(nature, p["fill"], eps_b, args.events, args.fills))
                for how in rang[0]:
                    n, k = len(rang), sum(fill[how] for fill in rang)
                    low, high = (
                        (0.0 if k == 0 else beta.ppf(0.025, k, n - k + 1)),
                        beta.ppf(0.975, k + 1, max(n - k, 1e-9)),
                    )
                    rows.append(dict(zip(STEADY, (name, eps_b, how, n, k, k / n, low, high, ASKED), strict=True)))
                    print(rows[-1], flush=True)
                write_rows(args.tables / "drift_steady.csv", STEADY, rows)
            if args.only != "steady":
                options = {"detector": name, "eps_b": eps_b, "events": args.events, "fills": args.faulty}
                for row in of_faults(results, events, p, options):
                    faults.append(row)
                    print(row, flush=True)
                write_rows(args.tables / "drift_faults.csv", FOUND, faults)


if __name__ == "__main__":
    main()
