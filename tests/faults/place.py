"""Where a trial takes place: beside an undisturbed run, which says what has to come out."""

import json
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from small_run import Ended, contents, different, partial_files, prepare, rewound, run


class Times(NamedTuple):
    """Of the undisturbed run: its start in seconds of the epoch; seconds from there to the end of the first job, to the
    end of all, and to the moments at which a job was finished."""

    start: float
    first: float
    end: float
    finished: list[float]


class Place:
    """A folder of its own for one trial, and the undisturbed run, which is made if it is not there."""

    def __init__(self, work: Path, name: str):
        self.work, self.folder, self.reference = work, work / name, work / "undisturbed" / "run"
        if not (work / "undisturbed.json").exists():
            self._make()
        kept = json.loads((work / "undisturbed.json").read_text())
        self.times, self.expected = Times(**kept["times"]), kept["expected"]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def _make(self) -> None:
        shutil.rmtree(self.reference.parent, ignore_errors=True)
        prepare(self.reference)
        start = time.time()
        ended = run(self.reference)
        if ended.status or partial_files(self.reference):
            raise RuntimeError(f"the undisturbed run has failed:\n{ended.said}")
        notes = (self.reference / ".snakemake" / "metadata").rglob("*")  # of each file, made when its job is done
        noted = sorted(path.stat().st_mtime - start for path in notes if path.is_file())
        finished = [now for now, later in pairwise([*noted, ended.seconds]) if later - now > 0.2]
        times = Times(start, noted[0], ended.seconds, finished)
        kept = {"times": times._asdict(), "expected": contents(self.reference)}
        (self.work / "undisturbed.json").write_text(json.dumps(kept))

    def at(self, moment: float, folder: Path | None = None) -> tuple[Path, float]:
        """A directory in which a run that is started comes to ``moment`` of the undisturbed one, and after what time.

        What was finished before the job in hand is copied from the undisturbed run.
        """
        begin = max((t for t in self.times.finished if t <= moment), default=0.0)
        directory = rewound(self.reference, folder or self.folder / "run", self.times.start + begin)
        return directory, moment - begin + (self.times.first if begin else 0.0)

    def after(self, file: str) -> Path:
        """A directory in which a run has just made this file of results, by its path."""
        made = (self.reference / "results" / file).stat().st_mtime - self.times.start
        moment = min(t for t in self.times.finished if t >= made)
        return rewound(self.reference, self.folder / "run", self.times.start + moment)

    def some(self, rng: np.random.Generator, folder: Path | None = None) -> tuple[Path, float]:
        """The same at a moment that is drawn uniformly from the duration of the undisturbed run."""
        return self.at(rng.uniform(0, self.times.end), folder)

    def judged(self, directory: Path, ended: Ended) -> dict:
        """Of a run that was recovered: whether it ended well and left nothing behind, and has the same results."""
        left, wrong = partial_files(directory), different(directory, self.expected)
        return {
            "survived": ended.status == 0 and not left, "results_equal": not wrong,
            "status": ended.status, "left": left, "different": wrong,
            "failure": "" if ended.status == 0 else ended.said[-4000:],
        }  # fmt: skip

    def clean(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)


def told(ended: Ended, *words: str) -> str:
    """The first line for the user that has all ``words``, '' if there is none."""
    lines = (line for line in ended.said.splitlines() if line.startswith("ERROR: "))
    return next((line for line in lines if all(word in line for word in words)), "")
