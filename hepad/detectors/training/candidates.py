"""The candidates of a training, the states among which one is chosen, in a file of their own."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hepad.detectors.training.checkpoint import digest
from hepad.detectors.training.settings import Candidates
from hepad.errors import InputError
from hepad.storage.files import atomic_path


def save_candidates(candidates: Candidates, path: str | Path) -> None:
    """The candidates of a training in one safetensors file, atomically."""
    with atomic_path(path) as partial:
        tensors = {f"{step}/{k}": v.cpu().contiguous() for step, state in candidates.items() for k, v in state.items()}
        save_file(tensors, partial, metadata={"digest": digest("", tensors)})


def load_candidates(path: str | Path) -> Candidates:
    """The candidates in a file written by :func:`save_candidates`, by step; InputError if it is anything else."""
    candidates: Candidates = {}
    try:
        if not Path(path).is_file():
            raise InputError(f"{path}: there is no such file. Train the detector.")
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if metadata.get("digest", actual := digest("", tensors)) != actual:  # files of early versions have none
            raise ValueError("its content does not have its digest")
        for key, tensor in tensors.items():
            step, name = key.split("/", 1)
            candidates.setdefault(int(step), {})[name] = tensor
        kinds = {step: {name: (t.shape, t.dtype) for name, t in state.items()} for step, state in candidates.items()}
        if any(kind != kinds[min(kinds)] for kind in kinds.values()):
            raise ValueError("its states differ in their tensors")
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not the candidates of a training ({error}). Delete it and train again.") from None
    return dict(sorted(candidates.items()))
