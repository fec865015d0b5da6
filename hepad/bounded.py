"""Modules built from the description in a file that is not trusted: what would be larger than the file is not made.

A description of a few bytes can ask for a layer of 10^12 weights, or for 10^9 layers. Every operation is therefore
first done on torch's meta device, which knows shapes and has no memory, and its result counted; what the count does not
allow is not done.
"""

from contextlib import suppress

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

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
            # what depends on values cannot be done without them: it makes no more than it is given
            with suppress(RuntimeError, TypeError, ValueError, AttributeError), torch.device("meta"):
                shown = func(*tree_map(_shape_only, args), **tree_map(_shape_only, kwargs))
                self.left -= sum(item.numel() for item in tree_flatten(shown)[0] if isinstance(item, Tensor))
        if self.left < 0:
            raise TooLargeError("its description asks for more numbers than the file holds")
        return func(*args, **kwargs)


def _shape_only(item):
    return torch.empty_like(item, device="meta") if isinstance(item, Tensor) else item
