"""Running the workflow from tests: the command line as users have it, and the graph of jobs from a dry run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"))
# the shipped configurations of generated samples; that of files: samples/test_reader_dark_machines.py
GENERATED = [path for path in sorted((ROOT / "config").glob("*.yaml")) if path.stem != "dark_machines"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Job(NamedTuple):
    """One job of the graph."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def snakemake(directory: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake in ``directory`` on both cores and return its exit status and output (standard error included)."""
    command = (*COMMAND, "--directory", directory, "--configfile", config, "--cores", "2", *arguments)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run([*map(str, command)], env=ENVIRONMENT, cwd=directory.parent, **streams)


def planned(directory: Path, config: Path, *arguments: str) -> list[Job]:
    """The jobs that a run would execute; with '--forceall' the whole graph."""
    result = snakemake(directory, config, "--dry-run", *arguments)
    assert result.returncode == 0, result.stdout
    if "Nothing to be done" in result.stdout:
        return []
    jobs = []
    for block in re.split(r"^(?=(?:local)?(?:rule|checkpoint) \w+:$)", result.stdout, flags=re.MULTILINE)[1:]:
        files = {
            kind: tuple(found[1].split(", "))
            if (found := re.search(rf"^    {kind}: (.+)$", block, re.MULTILINE))
            else ()
            for kind in ("input", "output")
        }
        jobs.append(Job(re.match(r"\w+ (\w+):", block)[1], files["input"], files["output"]))
    total = re.search(r"^total +(\d+)$", result.stdout, re.MULTILINE)
    assert len(jobs) == int(total[1]), "the dry run was not understood"
    return jobs
