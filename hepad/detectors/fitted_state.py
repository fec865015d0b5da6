"""A fit may change nothing of a detector but its state_dict, since nothing else is saved."""

import numpy as np
import torch
from torch import Tensor, nn

from hepad.errors import InputError

LARGEST = 1e-4  # difference of scores, in units of their spread
INTERNAL = set(vars(nn.Module()))  # parameters, buffers and modules are compared by the scores


def check_saved(fitted: nn.Module, original: nn.Module, score: Tensor, x: Tensor) -> None:
    """InputError if a detector that is saved and loaded would not be the one that was fitted.

    Parameters
    ----------
    fitted: the detector; original: its copy from before the fit, which takes the state_dict now
    score: (n,) of ``fitted`` on the events x (n, *space.shape)
    """
    name, changed = type(fitted).__name__, changed_attributes(fitted, original)
    if changed:
        raise InputError(
            f"{name}: the fit leaves {', '.join(changed)} outside of the state that is saved. Make it a buffer: "
            "self.register_buffer(name, a tensor of the final shape) in __init__, self.<name>.copy_(value) in _fit."
        )
    try:
        original.load_state_dict(fitted.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"{name}: the fit changes what its state consists of ({' '.join(str(error).split())[:300]}). Register "
            "parameters and buffers of their final shapes in __init__."
        ) from None
    differences = (original.score(x) - score).abs()
    if not (differences <= LARGEST * score.std()).all():
        raise InputError(
            f"{name}: with the state that is saved the scores are others than after the fit. Keep all that the fit "
            "finds in parameters and persistent buffers."
        )


def changed_attributes(fitted: nn.Module, original: nn.Module) -> list[str]:
    """Names of the attributes, of the module or of one inside it, that are new or no longer what they were."""
    before, names = dict(original.named_modules()), []
    for path, module in fitted.named_modules():
        if path not in before:  # its tensors are not those of a new module: said when they are loaded
            continue
        old, new = vars(before[path]), vars(module)
        keys = [key for key in new if key not in INTERNAL and not (key in old and _same(old[key], new[key]))]
        transient = [key for key in module._non_persistent_buffers_set if not _same_buffer(before[path], module, key)]
        names += [f"'{path}.{key}'".replace("'.", "'") for key in keys + transient]
    return names


def _same_buffer(before: nn.Module, after: nn.Module, key: str) -> bool:
    return key in before._buffers and _same(before._buffers[key], after._buffers[key])


def _same(a, b) -> bool:
    """Whether b is what a, its copy from before, was."""
    if isinstance(a, nn.Module) or a is b:
        return True  # modules are looked at one by one
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "__dict__"):
        return _same(vars(a), vars(b))
    return type(a).__eq__ is object.__eq__ or bool(a == b)
