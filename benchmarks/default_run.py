"""What a run costs: wall time, and the CPU seconds of its jobs by kind, and of Snakemake's own process.

    python benchmarks/default_run.py [--config config/config.yaml] [--cores 2] [--folder FOLDER]

``default_run.csv``: one row for each kind of job, how many there were and their CPU seconds as Snakemake has measured
them; 'Snakemake' is what its process has taken beside them, 'all' the whole as the operating system counts it. The run
begins with nothing. It needs an idle machine.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hepad.storage.files import write_rows

HERE = Path(__file__).parent
COLUMNS = ("kind", "jobs", "cpu_s", "wall_s")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=HERE.parent / "config" / "config.yaml")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="of the run, empty; a temporary one if not given")
    parser.add_argument("--tables", type=Path, default=HERE / "tables")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        wall, total = run(options.config, folder, options.cores)
        jobs, seconds = of_jobs(folder / "results" / "benchmarks")
    rows = [{"kind": kind, "jobs": jobs[kind], "cpu_s": round(cpu, 1)} for kind, cpu in seconds.most_common()]
    rows.append({"kind": "Snakemake", "jobs": 1, "cpu_s": round(total - seconds.total(), 1)})
    rows.append({"kind": "all", "jobs": jobs.total(), "cpu_s": round(total, 1), "wall_s": round(wall, 1)})
    write_rows(options.tables / "default_run.csv", COLUMNS, rows)
    print(*rows, sep="\n")


def run(config: Path, folder: Path, cores: int) -> tuple[float, float]:
    """Wall and CPU seconds of the whole."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", HERE.parent / "Snakefile", "--directory", folder]
    command += ["--configfile", config.resolve(), "--cores", cores, "--resources", "gpu=1"]
    start = time.perf_counter()
    subprocess.run([*map(str, command)], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def of_jobs(folder: Path) -> tuple[Counter, Counter]:
    """How many jobs of each kind there were, and their CPU seconds."""
    jobs, seconds = Counter(), Counter()
    for path in folder.rglob("*.tsv"):
        kind = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with open(path) as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        jobs[kind] += 1
        seconds[kind] += float(row["cpu_time"]) if row["cpu_time"] != "NA" else 0.0
    return jobs, seconds


if __name__ == "__main__":
    main()
