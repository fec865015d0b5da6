"""Faults, many trials of each, and their table.

    python tests/faults                                   # makes what is missing, prints and writes the table
    python tests/faults --only fault=kill,trial=0         # some of them
    python tests/faults --table                           # the table of the records that are there

Every trial leaves a record under benchmarks/runs/faults and is not made again. After a change of the code delete
--work and --runs. Trials run on one core, one after the other, beside an undisturbed run in --work, which is made when
there is none. A trial in which something went wrong keeps its folder there.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from damage import DAMAGED, damaged, damaged_checkpoint
from disks import full_disk, may_mount, read_only
from kills import kill
from machine import FAKETIME, clock, interrupt, kill_job, no_memory, stop_training, terminate, two_runs
from place import Place
from small_run import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import records

from hepad.storage.files import atomic_path

TRIALS: dict[str, tuple[Callable, int]] = {
    "kill": (kill, 60),
    "full_disk": (full_disk, 6),
    "read_only_results": (read_only, 3),
    "damaged_checkpoint": (damaged_checkpoint, 6),
    **{f"damaged_{kind}": (damaged(kind), 6) for kind in DAMAGED},
    "two_runs": (two_runs, 3),
    "clock_jump": (clock, 10),
    "job_killed": (kill_job, 4),
    "memory_refused": (no_memory, 4),
    "sigterm_training": (stop_training, 4),
    "sigterm_snakemake": (terminate, 4),
    "ctrl_c": (interrupt, 4),
}
NEEDS = {  # what a machine may lack, and how to see it
    "full_disk": ("root, to mount a disk", may_mount),
    "read_only_results": ("root, to mount a disk", may_mount),
    "clock_jump": ("libfaketime", lambda _: bool(FAKETIME)),
}
COLUMNS = ("fault", "trials", "survived", "results_equal")


def attempt(work: Path, run: dict, settings: dict) -> dict:
    """One trial: its judgement and what was seen."""
    place = Place(work, f"{run['fault']}-{run['trial']}")
    found = TRIALS[run["fault"]][0](place, np.random.default_rng(settings["seed"]))
    if found["survived"] and found["results_equal"]:
        place.clean()
    return found


def jobs() -> records.Jobs:
    """All trials: seeds are drawn from the fault's name and the trial's number."""
    return [
        ({"fault": fault, "trial": trial}, {"seed": [*fault.encode(), trial]})
        for fault, (_, trials) in TRIALS.items()
        for trial in range(trials)
    ]


def table(found: list[dict]) -> list[tuple]:
    """One row for each fault."""
    rows = []
    for fault in TRIALS:
        of = [record["result"] for record in found if record["run"]["fault"] == fault]
        rows.append((fault, len(of), *(sum(bool(r.get(key)) for r in of) for key in COLUMNS[2:])))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="fault=kill,trial=3: several values of one key are alternatives")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "hepad-faults"), help="for the runs")
    parser.add_argument("--runs", type=Path, default=ROOT / "benchmarks" / "runs" / "faults", help="for the records")
    parser.add_argument("--csv", type=Path, default=ROOT / "benchmarks" / "tables" / "faults.csv")
    parser.add_argument("--table", action="store_true", help="only the table")
    arguments = parser.parse_args()
    if not arguments.table:
        arguments.work.mkdir(parents=True, exist_ok=True)
        lacking = {fault: what for fault, (what, there) in NEEDS.items() if not there(arguments.work)}
        for fault, what in lacking.items():
            print(f"left out: {fault}, which needs {what}")
        wanted = [job for job in records.chosen(jobs(), arguments.only) if job[0]["fault"] not in lacking]
        records.make(arguments.runs, wanted, lambda run, settings: attempt(arguments.work, run, settings))
    rows = table(records.finished(arguments.runs, jobs()))
    with atomic_path(arguments.csv) as partial, open(partial, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print(arguments.csv.read_text(), end="")


if __name__ == "__main__":
    main()
