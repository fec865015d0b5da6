"""Where tensors live."""

import torch

from hepad.errors import choose


def resolve(name: str, gpus: int = 1) -> str:
    """'auto' becomes 'cuda', 'mps' or 'cpu', the first that is there; other names are checked and kept.

    ``gpus`` is how many GPUs a job was given: with 0, 'cuda' is not used.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [device for device in there if there[device]]
    choose("device", name, [*available, "auto"])
    if name == "auto" or (name == "cuda" and gpus == 0):
        return next(device for device in available if device != "cuda" or gpus > 0)
    return name
