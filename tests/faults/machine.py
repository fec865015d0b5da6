"""What else a machine does to a run: signals, a second run, a clock that jumps, memory that is not enough."""

import os
import re
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from place import Place, told
from small_run import TARGETS, Running, different, recover, run

DAY = 86_400
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def interrupt(place: Place, rng: np.random.Generator) -> dict:
    """Ctrl-C: SIGINT to all processes of the run."""
    return _signalled(place, rng, lambda running: os.killpg(running.process.pid, signal.SIGINT))


def terminate(place: Place, rng: np.random.Generator) -> dict:
    """SIGTERM to Snakemake alone."""
    return _signalled(place, rng, lambda running: running.process.terminate())


def _signalled(place: Place, rng: np.random.Generator, send) -> dict:
    """Snakemake has to end by itself within a minute of the end of the jobs in hand."""
    directory, wait = place.some(rng)
    running = Running(directory, *TARGETS)
    time.sleep(wait)
    jobs, sent, ended = len(running.jobs()), time.monotonic(), running.process.poll() is not None
    send(running)
    stopped = running.end(timeout=300)
    seconds, behind = time.monotonic() - sent, running.processes()
    running.kill()
    through = stopped.status == 0 and not different(directory, place.expected)  # nothing was left to stop
    found = place.judged(directory, recover(directory))
    found["survived"] &= (ended or through or stopped.status not in (0, None)) and not behind
    return found | {"after": wait, "jobs": jobs, "stopped": stopped.status, "seconds": seconds, "behind": len(behind),
                    "said": stopped.said[-1500:]}  # fmt: skip


def stop_training(place: Place, rng: np.random.Generator) -> dict:
    """SIGTERM to a training, as batch systems send it: the same command goes on from the checkpoint."""
    directory, running, pid = _in_a_job(place, rng, "train")
    logs, checkpoints = directory / "results/logs/train", directory / "results/checkpoints"
    known = set(logs.rglob("*.log"))
    while not set(logs.rglob("*.log")) - known and running.process.poll() is None:  # what it needs is imported
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 5))
    with suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGTERM)
    stopped = running.end()
    message, kept = told(stopped, "stopped by SIGTERM"), any(checkpoints.rglob("*.safetensors"))
    found = place.judged(directory, run(directory))
    resumed = re.search("goes on from step .*", "\n".join(path.read_text() for path in logs.rglob("*.log")))
    found["survived"] &= stopped.status == 0 or bool(message)
    found["survived"] &= bool(resumed) or not kept
    return found | {"stopped": stopped.status, "message": message, "resumed": resumed and resumed[0],
                    "said": stopped.said[-1500:]}  # fmt: skip


def kill_job(place: Place, rng: np.random.Generator) -> dict:
    """The kernel ends a job that takes too much memory: SIGKILL to it alone."""
    directory, running, pid = _in_a_job(place, rng)
    time.sleep(rng.uniform(0, 3))
    with suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGKILL)
    ended = running.end()
    found = place.judged(directory, run(directory))
    said = re.search(r".*(?:SIGKILL|non-zero exit status -?\d+|died with).*", ended.said)
    found["survived"] &= ended.status == 0 or bool(said)
    return found | {"stopped": ended.status, "message": said and said[0].strip(), "said": ended.said[-1500:]}


def no_memory(place: Place, rng: np.random.Generator) -> dict:
    """A job is not given more memory than it has at some moment."""
    directory, running, pid = _in_a_job(place, rng)
    time.sleep(rng.uniform(0, 3))
    with suppress(OSError, TypeError):  # it was quicker
        size = int(re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
    ended = running.end()
    found = place.judged(directory, run(directory))
    # the others where C++ was refused it, or Python or the loader while the job imported what it needs
    words = "not enough memory|bad_alloc|MemoryError|failed to map segment"
    found_line = re.search(f"^.*(?:{words}).*", ended.said, re.MULTILINE)
    message = found_line and found_line[0].strip()
    found["survived"] &= ended.status == 0 or bool(message)
    return found | {"stopped": ended.status, "message": message, "said": ended.said[-1500:]}


def _in_a_job(place: Place, rng: np.random.Generator, rule: str = "") -> tuple[Path, Running, int]:
    """A run that has just begun a job of some ``rule``, or that at a random moment; the job's process."""
    if rule:
        path = place.reference / "results/models/jets" / ("ae", "nae")[rng.integers(2)] / "1.json"
        directory, _ = place.at(path.stat().st_mtime - place.times.start - 0.1)
    else:
        directory, _ = place.some(rng)
    running = Running(directory, *TARGETS)
    while not (jobs := running.jobs(rule)):
        if running.process.poll() is not None:
            raise RuntimeError(f"no job has begun:\n{running.end().said}")
        time.sleep(0.02)
    return directory, running, jobs[0]


def two_runs(place: Place, rng: np.random.Generator) -> dict:
    """The same command is given again in the same folder at a random moment."""
    directory, wait = place.some(rng)
    running = Running(directory, *TARGETS)
    time.sleep(wait)
    second = run(directory)
    busy = running.process.poll() is None
    first = running.end()
    found = place.judged(directory, first)
    locked = "LockException" in second.said or "cannot be locked" in second.said
    found["survived"] &= locked or not busy
    return found | {"after": wait, "busy": busy, "second": second.status, "said": second.said[-1500:]}


def clock(place: Place, rng: np.random.Generator) -> dict:
    """The clock jumps, forwards or backwards, while the run is in progress.

    libfaketime shows the processes another time, with which Snakemake stamps what a job has made. Times of files that
    are there stay as they are.
    """
    jump = int(rng.choice([-1, 1])) * int(rng.choice([90, 3600, DAY]))
    directory, wait = place.some(rng)
    offset = place.folder / "offset"
    offset.write_text("+0")
    fake = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    running = Running(directory, *TARGETS, environment=fake)
    time.sleep(wait)
    offset.write_text(f"{jump:+d}")
    ended = first = running.end()
    if first.status and "clock skew" in first.said:  # Snakemake's word for files from the future
        now = time.time() + jump
        for path in (path for path in directory.rglob("*") if path.is_file() and path.stat().st_mtime > now):
            os.utime(path, (now, now))
        ended = run(directory, environment=fake)
    found = place.judged(directory, ended)
    last = run(directory, environment=fake)
    found["survived"] &= "Nothing to be done" in last.said
    return found | {"jump": jump, "after": wait, "first": first.status, "said": first.said[-1500:]}
