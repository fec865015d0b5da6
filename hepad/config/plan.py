"""The plan of a run, made before any job: the checked configuration, its files, and facts of its classes.

Finding out takes seconds, since it needs torch, the readers and every class that the configuration names. Snakemake
begins each job of a batch system, and each one of a group, by reading the workflow anew; so its main process writes the
plan to ``results/admitted/plan.json``, and jobs read it. It holds for one configuration and one state of the package.
"""

import copy
import hashlib
from pathlib import Path

from hepad.errors import InputError
from hepad.storage.files import read_json, write_json

PATH = Path("results/admitted/plan.json")


def of(config: dict) -> dict:
    """The inputs of a plan: the configuration as it is given, and the files of the package."""
    package, code = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        code.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    return {"config": copy.deepcopy(config), "package": code.hexdigest()}


def read(inputs: dict) -> dict | None:
    """The plan that was written for ``of(config)``; None if there is none, a damaged one, or one for something else."""
    try:
        written = read_json(PATH)
    except InputError:
        return None
    return written["plan"] if written.get("of") == inputs else None


def write(plan: dict, inputs: dict) -> None:
    """Leave the plan for the jobs."""
    write_json(PATH, {"of": inputs, "plan": plan})
