"""What the workflow has to know before it has jobs: the checked configuration, its files, and what its classes are.

Finding out takes seconds, since it needs torch, the readers and every class that the configuration names. Snakemake
begins each job of a batch system, and each one of a group, by reading the workflow anew; so its main process writes the
plan to ``results/admitted/plan.json``, and jobs read it. It holds for one configuration and one state of the package.
"""

import copy
import hashlib
import json
from pathlib import Path

from hepad.errors import InputError
from hepad.storage.files import atomic_path, read_json

PATH = Path("results/admitted/plan.json")


def of(config: dict) -> dict:
    """What a plan is made from: the configuration as it is given, and the files of the package."""
    package, code = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        code.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    return {"config": copy.deepcopy(config), "package": code.hexdigest()}


def digest(config: dict) -> str:
    """SHA-256 of a configuration as JSON with sorted keys and without spaces."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(about: dict) -> dict | None:
    """The plan that was written for ``of(config)``; None if there is none, a damaged one, or one for something else."""
    try:
        written = read_json(PATH)
    except InputError:
        return None
    return written["plan"] if written.get("of") == about else None


def write(plan: dict, about: dict) -> None:
    """Leave the plan for the jobs; a window without an upper edge is infinite in it, too."""
    with atomic_path(PATH) as partial:
        partial.write_text(json.dumps({"of": about, "plan": plan}, indent=1) + "\n")
