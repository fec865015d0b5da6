"""A run of half a minute that faults are done to: its files, how it is started and recovered, and what came out."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import yaml
from safetensors import safe_open

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from command_line import COMMAND, ENVIRONMENT, ROOT  # noqa: E402
from toy_jets import toy_jets  # noqa: E402

from hepad.samples.root_output import write_root  # noqa: E402

TARGETS = ("results/auc.csv", "results/efficiency.csv")
FILES = {"one": (1, 1, (450, 450)), "two": (2, 2, (400,))}  # sample: seed, prongs, events of its files
CHAIN = {"n_steps": 3, "step_size": 0.1, "noise_std": 0.05}
UNREADABLE = "unreadable"
NOT_RESULTS = ("logs", "benchmarks", "checkpoints", "admitted")


def configuration() -> dict:
    """Two parts of background, one of signal, an autoencoder, and an energy model of two phases with a buffer."""
    window = {"pt": [550, 650], "abs_eta": 2.0}
    return {
        "device": "cpu",
        "checkpoint_seconds": 0.5,
        "chunk_events": {"reading": 500},
        "samples": {
            name: {"source": {"files": [f"data/{name}_*.root"]}, "selection": window} for name in FILES
        },
        "representations": {
            "vector": {"type": "EventVector", "variables": ["mass", "multiplicity", "girth", "pt_dispersion"]}
        },
        "detectors": {
            "ae": {
                "type": "AE", "representation": "vector", "autoencoder": {"hidden_dims": [64], "latent_dim": 2},
                "training": {"steps": 3000},
            },
            "nae": {
                "type": "NAE", "representation": "vector", "autoencoder": {"hidden_dims": [32], "latent_dim": 2},
                "start": "persistent", "buffer": 300, "visible_chain": CHAIN,
                "pretraining": {"steps": 1000}, "training": {"steps": 200, "ema_decay": 0.9},
            },
        },
        "tasks": {"jets": {"background": "one", "signals": ["two"], "detectors": ["ae", "nae"]}},
        "evaluation": {"supervised": "vector"},
    }  # fmt: skip


def prepare(directory: Path) -> None:
    """Write the user's files and the configuration to ``directory``."""
    make = toy_jets
    for name, (seed, prongs, counts) in FILES.items():
        events, first = make(sum(counts), seed, prongs=prongs), 0
        for i, count in enumerate(counts):
            write_root(events[first : first + count], directory / "data" / f"{name}_{i}.root")
            first += count
    (directory / "config.yaml").write_text(yaml.safe_dump(configuration(), sort_keys=False))


class Ended(NamedTuple):
    """Exit status, everything that was said, seconds."""

    status: int | None
    said: str
    seconds: float


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Running:
    """Snakemake in ``directory``, in a session of its own, until ``end``; what it says goes to a file beside."""

    def __init__(self, directory: Path, *arguments: str, environment: dict | None = None):
        command = [*COMMAND, "--directory", directory, "--configfile", directory / "config.yaml", "--cores", "1"]
        self.log, self.start = directory.parent / f"{time.monotonic_ns()}.said", time.monotonic()
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*map(str, command), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)} | (environment or {}), cwd=directory.parent,
                start_new_session=True, preexec_fn=_heed_interrupts,
            )  # fmt: skip

    def end(self, timeout: float | None = 600) -> Ended:
        """Wait; status None if it had not ended after ``timeout`` seconds, and is killed."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
            self.kill()
        return Ended(status, self.log.read_text(errors="replace"), time.monotonic() - self.start)

    def kill(self) -> None:
        """SIGKILL to all of the session, and wait until nothing of it is left."""
        while processes := self.processes():
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.01)
        self.process.wait()

    def processes(self) -> list[int]:
        """Ids of the living processes of the session, the first one first."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
        return sorted(found)

    def jobs(self, rule: str = "") -> list[int]:
        """Ids of the processes that run a script of the workflow, that of one ``rule`` if it is named."""
        found = []
        for pid in self.processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if len(words) > 1 and "/scripts/tmp" in words[1] and words[1].endswith(f"{rule}.py"):
                found.append(pid)
        return found


def run(directory: Path, *arguments: str, **how) -> Ended:
    """The whole run, or what is left of it."""
    return Running(directory, *TARGETS, *arguments, **how).end()


def recover(directory: Path, **how) -> Ended:
    """What the README says after a crash: --unlock, then the same command."""
    unlocked = Running(directory, "--unlock", **how).end()
    return unlocked if unlocked.status else run(directory, **how)


def contents(directory: Path) -> dict[str, str]:
    """{path: digest of what it says} of all results with their own names; seconds that a job took do not count."""
    results, found = directory / "results", {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        if path.is_file() and name.parts[0] not in NOT_RESULTS and not path.name.endswith(".partial"):
            try:
                found[str(name)] = hashlib.sha256(_content(path)).hexdigest()
            except Exception as error:  # whatever a cut file does to its reader
                found[str(name)] = f"{UNREADABLE}: {error}"
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".h5":
        parts = []

        def visit(name, item):
            parts.append(f"{name} {sorted(map(str, item.attrs.items()))}".encode())
            if isinstance(item, h5py.Dataset):
                parts.append(f"{item.dtype} {item.shape}".encode() + np.ascontiguousarray(item[()]).tobytes())

        with h5py.File(path) as file:
            visit("/", file)
            file.visititems(visit)
        return b"\n".join(parts)
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
            about = file.metadata()
        return json.dumps(about, sort_keys=True).encode() + b"".join(
            f"{name} {x.dtype} {x.shape}".encode() + x.tobytes() for name, x in sorted(tensors.items())
        )
    if path.suffix == ".json":
        return json.dumps(json.loads(path.read_text(), object_hook=_timeless), sort_keys=True).encode()
    return path.read_bytes()


def _timeless(item: dict) -> dict:
    return {key: value for key, value in item.items() if key != "seconds"}


def different(directory: Path, expected: dict[str, str], unfinished: bool = False) -> list[str]:
    """Results that are not as expected, or too many, or missing where the run is not ``unfinished``."""
    found = contents(directory)
    names = found if unfinished else found | expected
    return sorted(name for name in names if found.get(name) != expected.get(name))


def partial_files(directory: Path) -> list[str]:
    """What writers that were killed have left behind."""
    results = directory / "results"
    return sorted(str(path.relative_to(results)) for path in results.rglob("*.partial"))


def rewound(directory: Path, to: Path, moment: float) -> Path:
    """A copy of a finished run as it was at ``moment``, seconds of the epoch: the files that are not younger."""

    def younger(folder: str, names: list[str]) -> list[str]:
        paths = [Path(folder, name) for name in names]
        return [path.name for path in paths if path.is_file() and path.stat().st_mtime > moment]

    shutil.copytree(directory, to, ignore=younger)
    return to
