"""The device of tensors, and the choice of a GPU by a process."""

import fcntl
import os
import tempfile
from itertools import count
from pathlib import Path

import torch

from hepad.errors import check_choice

# open lock files: this process holds them until it ends, in whatever way
_HELD: list[int] = []


def resolve(name: str, gpus: int = 1) -> str:
    """'auto' becomes 'cuda', 'mps' or 'cpu', the first that is there; other names are checked and kept.

    ``gpus`` is how many GPUs a job was given: with 0, 'cuda' is not used.
    """
    devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device in devices if devices[device]]
    check_choice("device", name, [*available, "auto"])
    if name == "auto" or (name == "cuda" and gpus == 0):
        return next(device for device in available if device != "cuda" or gpus > 0)
    return name


def claim(name: str, gpus: int = 1) -> tuple[str, ...]:
    """Devices for one job: ``resolve``, and of several GPUs ``gpus`` that no other job of this user has claimed.

    GPUs that CUDA_VISIBLE_DEVICES hides, or that a scheduler keeps from the job, are not seen here. If all are
    claimed already, those with the fewest jobs are shared. A claim is a locked file, freed by the end of the process.
    """
    device = resolve(name, gpus)
    visible = torch.cuda.device_count() if device == "cuda" else 1
    if visible == 1:
        return (device,)
    # the same GPU has another index where other GPUs are hidden
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(visible)]
    folder = Path(tempfile.gettempdir()) / f"hepad-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    claimed: list[int] = []
    for jobs_before in count():
        for index in range(visible):
            if len(claimed) == min(gpus, visible):
                return tuple(f"cuda:{taken}" for taken in sorted(claimed))
            if index not in claimed and _locked(folder / f"{names[index]}.{jobs_before}"):
                claimed.append(index)


def _locked(path: Path) -> bool:
    """Whether this process has now locked ``path``, which no other had."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    os.set_inheritable(descriptor, True)  # a program that takes the place of this one goes on holding it
    _HELD.append(descriptor)
    return True
