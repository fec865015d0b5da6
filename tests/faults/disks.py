"""A disk that fills up and a folder that can only be read. Both need root, to mount a file system of their own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from place import Place, told
from small_run import recover, run

SIZE = 64  # MB


def may_mount(folder: Path) -> bool:
    """Whether this user may mount file systems."""
    options = ("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
    return not subprocess.run(["mount", *options]).returncode and not subprocess.run(["umount", folder]).returncode


def full_disk(place: Place, rng: np.random.Generator) -> dict:
    """The working directory, or its results alone, lie on a disk with room for a part of what is to come."""
    before, _ = place.at(rng.uniform(0, 0.9 * place.times.end), place.folder / "before")
    disk, alone = place.folder / "disk", bool(rng.random() < 0.5)
    with _mounted(disk, "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs"):
        if alone:
            directory = shutil.copytree(before, place.folder / "run", ignore=shutil.ignore_patterns("results"))
            (before / "results").mkdir(exist_ok=True)
            shutil.copytree(before / "results", disk / "results")
            (directory / "results").symlink_to(disk / "results")
        else:
            directory = shutil.copytree(before, disk / "run")
        free = shutil.disk_usage(disk).free
        room = int(rng.uniform(0, max(_bytes(place.reference) - _bytes(before), 1)))
        with open(disk / "filler", "wb") as filler:
            for _ in range((free - room) // 4096):
                filler.write(bytes(4096))
        refused = run(directory)
        (disk / "filler").unlink()
        found = place.judged(directory, recover(directory))
    message = told(refused, "no space is left on the disk of", str(disk))
    if "OSError: [Errno 28] No space left on device" in refused.said:  # Snakemake's own, from a file that it writes
        message = message or "WorkflowError: OSError: [Errno 28] No space left on device"
    said = {"room": room, "alone": alone, "refused": refused.status, "message": message, "said": refused.said[-3000:]}
    return found | said | {"survived": found["survived"] and bool(message or refused.status == 0)}


def read_only(place: Place, rng: np.random.Generator) -> dict:
    """The results cannot be written from some moment of the run on."""
    directory, _ = place.at(rng.uniform(0, 0.9 * place.times.end))
    results = directory / "results"
    results.mkdir(exist_ok=True)
    with _mounted(results, "--bind", results):
        subprocess.run(["mount", "-o", "remount,bind,ro", results], check=True)
        refused = run(directory)
    found = place.judged(directory, recover(directory))
    message = told(refused, "can only be read")
    found["survived"] &= bool(message) and refused.status not in (0, None)
    return found | {"refused": refused.status, "message": message, "said": refused.said[-3000:]}


@contextmanager
def _mounted(folder: Path, *what: str | Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *what, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def _bytes(directory: Path) -> int:
    """Of all files, in the whole pages that a disk in memory gives them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in directory.rglob("*") if path.is_file())
