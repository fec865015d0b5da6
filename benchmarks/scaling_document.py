"""From the table of scaling.py to what a run of 10⁷ to 10⁹ events takes: the tables of docs/scaling.md.

seconds = start · jobs + slope · events                     least squares of the relative residuals
time    = Σ over stages ⌈jobs / cores⌉ · (start + slope · events / jobs)
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hepad.storage.files import atomic_path

EVENTS, CORES = (10**7, 10**8, 10**9), (1, 10, 100, 1000)
# (stage, events) -> jobs
JobsOf = Callable[[str, int], int]


def fitted(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Stage -> start [s per job], slope [s per event], bytes per event, peak_mb, from the rows of the table."""
    found = {}
    for name in dict.fromkeys(row["stage"] for row in rows):
        of = [row for row in rows if row["stage"] == name]
        seconds = np.array([row["seconds"] for row in of])
        terms = np.array([[row["jobs"], row["events"]] for row in of]) / seconds[:, None]
        start, slope = np.linalg.lstsq(terms, np.ones(len(of)), rcond=None)[0]
        if start < 0 or slope < 0:  # one of them is too small to be seen
            terms[:, int(start < 0) ^ 1] = 0
            start, slope = np.linalg.lstsq(terms, np.ones(len(of)), rcond=None)[0]
        last = of[-1]
        per_event = last["bytes_out"] / last["events"]
        found[name] = {"start": start, "slope": slope, "bytes": per_event, "peak_mb": max(r["peak_mb"] for r in of)}
    return found


def predicted(fit: dict, events: int, cores: int, jobs_of: JobsOf) -> dict[str, float]:
    """Hours of each stage on so many cores."""
    hours = {}
    for name, cost in fit.items():
        jobs = jobs_of(name, events)
        turns = math.ceil(jobs / cores)
        hours[name] = turns * (cost["start"] + cost["slope"] * events / jobs) / 3600
    return hours


def document(rows: list[dict], jobs_of: JobsOf) -> str:
    """The tables of docs/scaling.md."""
    fit = fitted(rows)
    lines = ["| stage | s per job | µs per event | bytes per event | peak MB |", "|---|---|---|---|---|"]
    for name, cost in fit.items():
        lines.append(
            f"| {name} | {cost['start']:.1f} | {1e6 * cost['slope']:.3g} | {cost['bytes']:.3g} | {cost['peak_mb']} |"
        )
    heads = " | ".join(f"{cores:,} {'cores' if cores > 1 else 'core'}" for cores in CORES)
    lines += ["", f"| events | disk | {heads} | of it simulation |"]
    lines.append("|---" * (len(CORES) + 3) + "|")
    for events in EVENTS:
        hours = {cores: predicted(fit, events, cores, jobs_of) for cores in CORES}
        disk = sum(cost["bytes"] for cost in fit.values()) * events / 1e9
        share = hours[1].get("generate", 0) / sum(hours[1].values())
        times = " | ".join(f"{sum(of.values()):,.3g} h" for of in hours.values())
        lines.append(f"| 10{exponent(events)} | {disk:,.3g} GB | {times} | {share:.0%} |")
    return "\n".join(lines)


def exponent(number: int) -> str:
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(round(math.log10(number))))


def renew(path: Path, tables: str) -> None:
    """Put the tables between the two marks of a document."""
    begin, end = "<!-- tables of benchmarks/scaling.py -->\n", "\n<!-- end of the tables -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    with atomic_path(path) as partial:
        partial.write_text(f"{before}{begin}{tables}{end}{after}")
