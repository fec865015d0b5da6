"""What a run costs: wall time, and the CPU seconds of its jobs by kind, and of Snakemake's own process.

    python benchmarks/default_run.py [--config config/config.yaml] [--cores 2] [--folder FOLDER]

``default_run.csv``: one row for each kind of job, how many there were and how long they took in all, each with one
thread; 'Snakemake' is the CPU time of its own process, 'all' the CPU time of the whole as the operating system counts
it, and its wall time. The run begins with nothing. It needs an idle machine.

The CPU time in Snakemake's own records is no measure: it is that of the last look at a job, up to half a minute before
the end.
"""

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from hepad.storage.files import write_rows

HERE = Path(__file__).parent
COLUMNS = ("kind", "jobs", "job_s", "cpu_s", "wall_s")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=HERE.parent / "config" / "config.yaml")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="of the run, empty; a temporary one if not given")
    parser.add_argument("--tables", type=Path, default=HERE / "tables")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        wall, total, own = run(options.config, folder, options.cores)
        jobs, seconds = of_jobs(folder / "results" / "benchmarks")
    rows = [{"kind": kind, "jobs": jobs[kind], "job_s": round(spent, 1)} for kind, spent in seconds.most_common()]
    rows.append({"kind": "Snakemake", "jobs": 1, "cpu_s": round(own, 1)})
    rows.append({"kind": "all", "jobs": jobs.total(), "cpu_s": round(total, 1), "wall_s": round(wall, 1)})
    write_rows(options.tables / "default_run.csv", COLUMNS, rows)
    print(*rows, sep="\n")


def run(config: Path, folder: Path, cores: int) -> tuple[float, float, float]:
    """Wall and CPU seconds of the whole, and CPU seconds of Snakemake's own process."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", HERE.parent / "Snakefile", "--directory", folder]
    command += ["--configfile", config.resolve(), "--cores", cores, "--resources", "gpu=1"]
    start, own = time.perf_counter(), 0.0
    process = psutil.Popen([*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    while process.poll() is None:
        own = sum(process.cpu_times()[:2])
        time.sleep(1)
    if process.returncode:
        raise SystemExit(f"the run has failed: {folder}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, own


def of_jobs(folder: Path) -> tuple[Counter, Counter]:
    """How many jobs of each kind there were, and the seconds that they took."""
    jobs, seconds = Counter(), Counter()
    for path in folder.rglob("*.tsv"):
        kind = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with open(path) as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        jobs[kind] += 1
        seconds[kind] += float(row["s"])
    return jobs, seconds


if __name__ == "__main__":
    main()
