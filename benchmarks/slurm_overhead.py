"""How much longer Slurm jobs hold their slots than their work takes: Slurm starts them, and they start Snakemake.

    python benchmarks/slurm_overhead.py --files FOLDER [--jets 100000] [--times 1 4]

``slurm_overhead.csv``, a row per size of chunks and stage, and ``all`` of them:

    reading, generation   events of a chunk (``chunk_events``)
    jobs, slurm_jobs      of Snakemake, and those of Slurm that they share as groups
    work_s                seconds of the jobs' scripts, by Snakemake's own benchmark of each
    slots_s               seconds from the start to the end of the Slurm jobs
    overhead              slots_s / work_s - 1

The run is that of ``cores.py``, ten files with so many toy jets each, with Pythia's QCD jets of the default card and
a training as long as the default's, through ``profiles/slurm`` as it is, but for shorter waits between looks at the
queue. It needs a Slurm, such as ``tests/one_node_slurm.sh FOLDER`` starts, and a node without other work.
"""

import argparse
import re
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

import yaml
from cores import PARTS, prepare, run
from scaling import WINDOW

from hepad.errors import report_errors
from hepad.storage.files import write_rows

HERE = Path(__file__).parent
COLUMNS = ("reading", "generation", "stage", "jobs", "slurm_jobs", "work_s", "slots_s", "overhead")
DEFAULT = {"reading": 100_000, "generation": 4000}
GENERATED = 16_000
# what a rule's name has -> the folder of its benchmarks under results/benchmarks
RULES = {
    "gather_": "gather",
    "generate_chunk": "generate",
    "read_events": "read",
    "represent": "represent",
    "train_detector": "train",
    "score": "score",
}


def configured(folder: Path, times: int) -> tuple[Path, dict[str, int]]:
    """The configuration of ``cores.py`` with larger chunks, generated jets and longer trainings; the chunks."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    chunks = {name: size * times for name, size in DEFAULT.items()}
    config["chunk_events"] = chunks
    source = {"card": "config/cards/qcd.cmnd", "jets": GENERATED, "leading": 2, "seed": 1}
    config["samples"]["generated"] = {"source": source, "selection": WINDOW}
    config["detectors"]["ae"] |= {"training": {"steps": 2500}}
    path = folder / f"config_{times}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path, chunks


def through_slurm(config: Path, directory: Path, generated: int) -> None:
    """Everything, ``generated`` files of jets included."""
    profile = ["--workflow-profile", HERE.parent / "profiles/slurm"]
    profile += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
    targets = [path for part in PARTS.values() for path in part]
    targets += [f"results/samples/generated/{number}.root" for number in range(generated)]
    run(config, directory, *profile, *targets)


def held(known: str, directory: Path) -> list[tuple[str, float]]:
    """(comment, seconds) of the Slurm jobs of a run, which begin in its folder, from what ``scontrol`` says."""
    found = []
    for block in known.split("\n\n"):
        job = dict(re.findall(r"(\S+?)=(\S*)", block))
        if "JobId" in job and Path(job["WorkDir"]) == directory:
            begun, ended = (datetime.fromisoformat(job[key]) for key in ("StartTime", "EndTime"))
            found.append((job["Comment"], (ended - begun).total_seconds()))
    return found


def worked(directory: Path, stage: str) -> list[float]:
    """Seconds of the scripts of a stage."""
    tables = (directory / "results/benchmarks" / stage).rglob("*.tsv")
    return [float(path.read_text().splitlines()[1].split("\t")[0]) for path in tables]


def rows(directory: Path, found: list[tuple[str, float]]) -> list[dict]:
    """A row per stage, and one of all."""
    stages = {stage: [] for stage in RULES.values()}
    for comment, seconds in found:
        stage = next((stage for rule, stage in RULES.items() if rule in comment), None)
        if stage is None:
            raise RuntimeError(f"a Slurm job of no stage: {comment}")
        stages[stage].append(seconds)
    work = {stage: worked(directory, stage) for stage in stages}
    stages["all"], work["all"] = [s for _, s in found], [s for part in work.values() for s in part]
    return [row(stage, work[stage], seconds) for stage, seconds in stages.items() if seconds]


def row(stage: str, work: list[float], slots: list[float]) -> dict:
    counts = {"stage": stage, "jobs": len(work), "slurm_jobs": len(slots)}
    seconds = {"work_s": round(sum(work), 1), "slots_s": round(sum(slots), 1)}
    return counts | seconds | {"overhead": round(sum(slots) / sum(work) - 1, 3)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jets", type=int, default=100_000, help="in each of the ten files")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4], help="chunks so many times the default's")
    parser.add_argument("--files", type=Path, required=True, help="folder for the files, 10 GB, that the nodes share")
    parser.add_argument("--tables", type=Path, default=HERE / "tables")
    options = parser.parse_args(argv)
    table = []
    with tempfile.TemporaryDirectory(dir=options.files.resolve()) as temporary:
        folder = Path(temporary)
        prepare(folder, options.jets)
        for times in options.times:
            config, chunks = configured(folder, times)
            directory = folder / f"run_{times}"
            through_slurm(config, directory, -(-GENERATED // chunks["generation"]))
            known = subprocess.run(["scontrol", "show", "jobs"], capture_output=True, text=True, check=True).stdout
            table += [chunks | found for found in rows(directory, held(known, directory))]
            print(*(r for r in table if r["reading"] == chunks["reading"]), sep="\n", flush=True)
    write_rows(options.tables / "slurm_overhead.csv", COLUMNS, table)


if __name__ == "__main__":
    with report_errors():
        main()
