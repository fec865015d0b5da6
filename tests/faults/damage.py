"""Bits flipped and ends cut off: files of results that a disk or a transfer has damaged, unnoticed by the clock."""

import os
import re
import time
from pathlib import Path

import numpy as np
from place import Place
from small_run import TARGETS, UNREADABLE, Running, contents, recover, run

DAMAGED = {
    "event_file": "events/one/1.h5",
    "event_index": "events/one.h5",
    "feature_file": "features/vector/two/0.test.h5",
    "feature_index": "features/vector/one.train.h5",
    "model_file": "models/jets/nae/1.safetensors",
    "score_file": "scores/jets/one/0.h5",
    "score_index": "scores/jets/one.h5",
}
CHECKPOINT = "results/checkpoints/jets/nae/1.safetensors"


def damage(path: Path, rng: np.random.Generator) -> str:
    """Flip one bit, or eight next to each other, or cut the end off; the time of the file stays. What was done."""
    content, found = bytearray(path.read_bytes()), path.stat()
    place, how = int(rng.integers(len(content))), ("bit", "byte", "cut")[rng.integers(3)]
    if how == "cut":
        del content[place:]
    else:
        content[place] ^= 1 << int(rng.integers(8)) if how == "bit" else 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return f"{how} at {place} of {found.st_size}"


def damaged(kind: str):
    """The trials of one kind of file."""

    def trial(place: Place, rng: np.random.Generator) -> dict:
        """The run, which goes on where the file was just made, refuses it; it is then deleted as the message says."""
        file = DAMAGED[kind]
        directory = place.after(file)
        done = damage(directory / "results" / file, rng)
        first = ended = run(directory)
        named = re.search(r"^ERROR: (\S+): .*(?:[Dd]elete|[Rr]emove)", first.said, re.MULTILINE)
        if first.status:
            if named:
                (directory / named[1]).unlink()
            ended = run(directory)
        found = place.judged(directory, ended)
        if first.status:
            found["survived"] &= bool(named) and named[1] == f"results/{file}"
        elif found["different"] == [file]:  # in what no job of this run reads: whoever does has to be refused
            found["results_equal"] = contents(directory)[file].startswith(UNREADABLE)
        message = re.search(r"^ERROR: .*", first.said, re.MULTILINE)
        return found | {"damage": done, "refused": first.status, "message": message and message[0]}

    return trial


def damaged_checkpoint(place: Place, rng: np.random.Generator) -> dict:
    """A training is killed after it has written a checkpoint, which is then damaged."""
    models = place.reference / "results/models/jets"
    directory, _ = place.at((models / "nae/1.json").stat().st_mtime - place.times.start - 0.1)
    running = Running(directory, *TARGETS)
    while not (directory / CHECKPOINT).exists():
        if running.process.poll() is not None:
            raise RuntimeError("the training has left no checkpoint")
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 1))
    running.kill()
    done = damage(directory / CHECKPOINT, rng)
    found = place.judged(directory, recover(directory))
    log = (directory / "results/logs/train/jets/nae/1.log").read_text()
    afresh = re.search(r"starts afresh.*", log)
    return found | {"damage": done, "message": afresh and afresh[0]}
