"""SIGKILL to everything at a random moment of the run, once or twice, then what the README says."""

import shutil
import time
from pathlib import Path

import numpy as np
from place import Place
from small_run import TARGETS, Running, different, partial_files, recover


def kill(place: Place, rng: np.random.Generator) -> dict:
    """At a moment drawn uniformly from the run's duration; in one trial of three the recovery is killed as well."""
    moment = rng.uniform(0, place.times.end)
    directory, wait = place.at(moment)
    kills = [_killed(place, Running(directory, *TARGETS), wait, directory)]
    while kills[-1]["ended"]:  # the machine is faster than when the undisturbed run was timed
        shutil.rmtree(directory)
        directory, _ = place.at(moment)
        wait /= 2
        kills = [_killed(place, Running(directory, *TARGETS), wait, directory)]
    if rng.random() < 1 / 3:
        Running(directory, "--unlock").end()
        wait = rng.uniform(0, place.times.first + place.times.end - moment)
        kills.append(_killed(place, Running(directory, *TARGETS), wait, directory))
    found = place.judged(directory, recover(directory))
    taken = [name for killed in kills for name in killed["damaged"]]
    return found | {"survived": found["survived"] and not taken, "moment": moment, "kills": kills}


def _killed(place: Place, running: Running, wait: float, directory: Path) -> dict:
    time.sleep(wait)
    found = {"after": wait, "ended": running.process.poll() is not None, "jobs": len(running.jobs())}
    running.kill()
    # a result under its own name is whole, whatever was killed
    return found | {"partial": partial_files(directory), "damaged": different(directory, place.expected, True)}
