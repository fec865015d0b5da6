"""Where tensors live."""

import torch

from hepad.errors import choose


def resolve(name: str) -> str:
    """'auto' becomes 'cuda', 'mps' or 'cpu', the first that is there; other names are checked and kept."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    return choose("device", name, [device for device, there in available.items() if there] + ["auto"])
