"""Tensors that a detector is fitted on, from the Events or arrays of any library that people give it."""

import numpy as np
import torch
from torch import Tensor

from hepad.errors import InputError
from hepad.events import Events
from hepad.representations import Representation, Space

VALIDATION = 0.1  # share of the events that is split off where no validation events are given
UNIT_SUM = 1e-3  # how far from one the pixels of a jet image may sum


def as_tensor(x: Events | np.ndarray | Tensor, representation: Representation | None, name: str) -> Tensor:
    """(N, ...) float32 of Events, through the representation, or of an array.

    InputError, which begins with the ``name`` of the detector, if x is neither, or not finite.
    """
    if isinstance(x, Events):
        if representation is None:
            raise InputError(f"{name}: events need a representation, e.g. {name}(representation=hepad.JetImage()).")
        return representation(x)
    try:
        tensor = x.detach() if isinstance(x, Tensor) else torch.from_numpy(np.array(x, np.float32))
    except (TypeError, ValueError):
        raise InputError(f"{name}: {type(x).__name__} is neither Events nor an array of numbers.") from None
    tensor = tensor.cpu().float()
    if tensor.dim() < 2:
        raise InputError(f"{name}: an array of shape {tuple(tensor.shape)}; (N, 1, H, W) or (N, D) is needed.")
    if bad := int((~torch.isfinite(tensor)).flatten(1).any(1).sum()):
        raise InputError(f"{name}: {bad} of {len(tensor)} events have entries that are NaN or infinite. Mend them.")
    return tensor


def space_of(x: Tensor) -> Space:
    """The space of (N, 1, H, W) images, or of (N, D) vectors with the columns x1, x2, ..., found by looking at them."""
    shape = tuple(x.shape[1:])
    if len(shape) == 1:
        return Space(shape, tuple(f"x{k}" for k in range(1, shape[0] + 1)))
    if len(shape) != 3 or shape[0] != 1:
        raise InputError(f"fit: an array of shape {tuple(x.shape)}; images are (N, 1, H, W), vectors (N, D).")
    if not len(x):
        raise InputError("fit: there are no training events. Give more.")
    pixels = shape[1] * shape[2]
    total = x.sum((1, 2, 3))
    total = total[total != 0]  # a jet beyond the window is an image of zeros
    unit_sum = bool(len(total) and x.min() >= 0 and ((total - 1).abs() < UNIT_SUM).all())
    if not unit_sum and (x.min() < 0 or x.max() > 1):
        raise InputError(
            f"fit: the pixels lie between {x.min():.3g} and {x.max():.3g} and do not sum to one. Divide each image by "
            "its sum, or all by their largest pixel; for event matrices give 'representation', or flatten them."
        )
    return Space(shape, pixels=pixels, unit_sum=unit_sum)


def divided(x, seed: int) -> tuple:
    """Training and validation events at random, rows of one cluster together."""
    if not isinstance(x, Events | Tensor):
        x = np.asarray(x)
    if not isinstance(x, Events) and x.ndim < 2:
        return x, x  # refused by its shape
    clusters = x.cluster if isinstance(x, Events) else np.arange(len(x))
    names, number = np.unique(clusters, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = (order < VALIDATION * len(names))[number]
    return x[~chosen], x[chosen]
