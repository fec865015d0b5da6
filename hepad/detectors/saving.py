"""Fitted modules in files: one safetensors file with a description, of which nothing is executed when it is read.

A description of a few bytes can ask for a layer of 10^12 weights, or for 10^9 layers. While a module is built from one,
the numbers that every operation makes are therefore counted before it is done (:class:`Bounded`); what would be larger
than the file is not made.
"""

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from hepad.detectors.base import Detector, build
from hepad.detectors.training.checkpoint import digest
from hepad.errors import EncoderError, InputError, MissingLibrary, said
from hepad.registry import FormerName
from hepad.representations import Space
from hepad.storage.files import atomic_path, provenance

CALL = 4_000  # an operation counts as much as so many numbers

ALLOWED = 20_000_000


class TooLargeError(Exception):
    """More was asked for than is allowed."""


class Bounded(TorchFunctionMode):
    """Inside the block, operations together may make ``ALLOWED`` numbers and 10 times ``numbers``; TooLargeError."""

    def __init__(self, numbers: int):
        super().__init__()
        self.left = ALLOWED + 10 * numbers

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.left -= CALL
        if not func.__name__.endswith("_"):  # in place: fill_, __get__
            self.left -= _made(func, args, kwargs)
        if self.left < 0:
            raise TooLargeError("its description asks for more numbers than the file holds")
        return func(*args, **kwargs)


# what their results are like is known without torch's meta device, whose arithmetic takes two seconds to import
ENTRYWISE = {"add", "div", "mul", "normalize", "sub"}
NOT_LARGER = {"cat", "log", "mean", "mv", "square", "sum", "vdot"}
FACTORIES = {
    "randn": torch.rand,
    "eye": lambda n, m=None, **options: torch.empty(n, m or n),
    "randint": lambda *args, size=None, **options: torch.empty(size or args[-1]),
}


def _made(func: Callable, args: tuple, kwargs: dict) -> int:
    """How many numbers an operation makes, or more: by its name, or on the meta device, which has no memory."""
    tensors = [item for item in tree_flatten((args, kwargs))[0] if isinstance(item, Tensor)]
    # what depends on values cannot be done without them: it makes no more than it is given
    with suppress(RuntimeError, TypeError, ValueError, AttributeError), torch.device("meta"):
        if func.__name__ in ENTRYWISE:
            return math.prod(np.broadcast_shapes(*(item.shape for item in tensors)))
        if func.__name__ in NOT_LARGER:
            return sum(item.numel() for item in tensors)
        if func.__name__ == "repeat":
            return tensors[0].numel() * math.prod(tree_flatten(args[1:])[0])
        func = FACTORIES.get(func.__name__, func)
        shown = func(*tree_map(_shape_only, args), **tree_map(_shape_only, kwargs))
        return sum(item.numel() for item in tree_flatten(shown)[0] if isinstance(item, Tensor))
    return 0


def _shape_only(item):
    return torch.empty_like(item, device="meta") if isinstance(item, Tensor) else item


def save(detector: Detector, path: str | Path, spec: dict, **notes) -> None:
    """The whole fitted state in one safetensors file, with the spec, and ``notes``, as metadata; atomic."""
    write_module(detector, path, {"spec": spec, "space": asdict(detector.space), **notes})


def load(path: str | Path) -> Detector:
    """A fitted detector from a file written by :func:`save`; InputError if the file is anything else."""
    return load_as(path, lambda notes: build(notes["spec"], Space.of(notes["space"]), seed=0))


def load_as(path: str | Path, make: Callable[[dict], nn.Module]) -> nn.Module:
    """The module that ``make`` makes of the metadata of a file written by :func:`save`, in its state; or InputError."""
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check the path, or train the detector.")
    try:
        return read_module(path, make)
    except FormerName as error:
        raise InputError(f"{path}: a model of an earlier version of hepad: {error} Train it again.") from None
    except (MissingLibrary, EncoderError) as error:
        raise type(error)(f"{path}: {error}") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: not a usable hepad model ({said(error)}). Delete it and train again.") from None


# errors of reading a module from any other file
UNREADABLE = (OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError)
UNREADABLE += (ArithmeticError, AssertionError, InputError, TooLargeError)


def write_module(module: nn.Module, path: str | Path, notes: dict) -> None:
    """The state of a module and ``notes`` on it, JSON, in one safetensors file; atomic."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    notes = notes | {"provenance": provenance()}
    notes["digest"] = digest(json.dumps(notes, sort_keys=True), tensors)
    with atomic_path(path) as partial:  # one entry: safetensors writes several in any order
        save_file(tensors, partial, metadata={"hepad": json.dumps(notes, sort_keys=True)})


def _moderate(text: str) -> int:
    """A whole number of a description: a loop over more would not end soon."""
    if len(text) > 9 or abs(int(text)) > 10_000_000:
        raise ValueError(f"{text[:20]} in its description is larger than any setting of hepad")
    return int(text)


def read_module(path: str | Path, make: Callable[[dict], nn.Module]) -> nn.Module:
    """The module that ``make`` makes of what a file of :func:`write_module` is about, in its state; or UNREADABLE.

    The file is not trusted: nothing in it is executed, ``make`` may not build more than the file can fill, and every
    tensor must be the module's own in shape and type, without NaN.
    """
    if not Path(path).is_file():
        raise FileNotFoundError("there is no such file")
    with safe_open(path, framework="pt") as file:
        notes = json.loads((file.metadata() or {})["hepad"], parse_int=_moderate)
        expected = notes.pop("digest", None)  # files of early versions have none
        held = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  not a dict
        with Bounded(sum(math.prod(part.get_shape()) for part in held.values())):
            module = make(notes)
        layout = {name: (list(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items()}
        if foreign := sorted(set(held) ^ set(layout)):
            raise ValueError(f"tensors that are missing or too many: {', '.join(foreign[:5])}")
        tensors = {}
        for name, (shape, kind) in layout.items():
            if held[name].get_shape() != shape:
                raise ValueError(f"'{name}' has shape {held[name].get_shape()}, not {shape}")
            tensors[name] = file.get_tensor(name)
            if tensors[name].dtype != kind:
                raise ValueError(f"'{name}' holds {tensors[name].dtype}, not {kind}")
            if tensors[name].isnan().any():
                raise ValueError(f"'{name}' holds NaN")
        if expected not in (None, digest(json.dumps(notes, sort_keys=True), tensors)):
            raise ValueError("its content does not have its digest: it is damaged")
    module.load_state_dict(tensors)
    return module.eval()
