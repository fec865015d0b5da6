r"""Augmentations: what may be done to an event without making it another kind of event.

    objects    rotate    all by one angle about the beam: px' + i py' = exp(i phi) (px + i py)
               reflect   eta -> -eta
               smear     every four-momentum times its own 1 + s e, and MET takes up the change
               drop      objects softer than a quarter of the hardest, with probability s each, never the hardest
    images     rotate    by a random multiple of 90 degrees (of 180, if it is not square)
               reflect   from left to right
               smear     every pixel times its own 1 + s e
               drop      every pixel with probability s
    columns    smear     plus s e standard deviations of the background

e ~ N(0, 1). The strength s is the width of a smearing and otherwise a probability: per event for rotate and reflect.
Events are in physical units, GeV and radians, not normalised. Jet images keep their sum, other pixels stay below one.
MET does not change when an object falls below threshold. Each class of objects is put in order of pt again, as a
representation would.

For an event vector no symmetry can be applied to the numbers that it consists of: it is smeared and nothing else.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hepad.errors import InputError, check_choice
from hepad.representations import Space

SOFT = 0.25  # pt of a soft object over that of the hardest, at most
FEATURES = ("px", "py", "pz", "eta", "mass")
OBJECTS = {"rotate": 1.0, "reflect": 0.5, "smear": 0.05, "drop": 0.2}
IMAGES = {"rotate": 1.0, "reflect": 0.5, "smear": 0.2, "drop": 0.1}
COLUMNS = {"smear": 0.1}


class Layout(NamedTuple):
    """Places of the features in an object's row, and the class of each object."""

    features: dict[str, int]
    classes: Tensor  # (R,) of each object
    met: Tensor  # (R,) whether it is the missing momentum

    @classmethod
    def of(cls, space: Space) -> "Layout":
        """The layout of columns, row by row: object, number and feature, such as 'jet1_px' or 'met_px'."""
        _, rows, width = space.shape
        names = [re.fullmatch(r"(.+?)_?(\d*)[._]([^._]+)", column) for column in space.columns]
        if len(names) != rows * width or not all(names):
            raise InputError(f"augmentations: columns such as 'jet1_px' are needed, not {space.columns}.")
        features = [name[3] for name in names[:width]]
        if not {"px", "py"} <= set(features) <= set(FEATURES):
            raise InputError(
                f"augmentations: they act on objects with px, py and some of {', '.join(FEATURES[2:])}, not with "
                f"{', '.join(features)}. Change the features of the representation."
            )
        objects = [name[1] for name in names[::width]]
        order = sorted(set(objects), key=objects.index)
        met = torch.tensor([name == "met" for name in objects])
        return cls({f: i for i, f in enumerate(features)}, torch.tensor([order.index(name) for name in objects]), met)

    def pt(self, x: Tensor) -> Tensor:
        """(B, R) transverse momenta of objects (B, 1, R, F)."""
        return torch.hypot(x[:, 0, :, self.features["px"]], x[:, 0, :, self.features["py"]])

    def columns(self, names: tuple[str, ...]) -> list[int]:
        """Indices of those of the features that there are."""
        return [self.features[name] for name in names if name in self.features]


def rotate_objects(x: Tensor, layout: Layout, angle: Tensor) -> Tensor:
    """x (B, 1, R, F) by the angles (B,) about the beam."""
    i, j = layout.features["px"], layout.features["py"]
    cos, sin = (f(angle).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    rotated = x.clone()
    rotated[..., i] = cos * x[..., i] - sin * x[..., j]
    rotated[..., j] = sin * x[..., i] + cos * x[..., j]
    return rotated


def reflect_objects(x: Tensor, layout: Layout, flip: Tensor) -> Tensor:
    """eta -> -eta in the events where ``flip`` (B,) is true."""
    sign = torch.ones(x.shape[-1], device=x.device)
    sign[layout.columns(("eta", "pz"))] = -1
    return torch.where(flip.view(-1, 1, 1, 1), x * sign, x)


def smear_objects(x: Tensor, layout: Layout, factor: Tensor) -> Tensor:
    """Four-momenta times ``factor`` (B, R) at fixed direction; the sum of px and of py with MET stays as it was."""
    factor = torch.where(layout.met.to(x.device), 1.0, factor)
    smeared = x.clone()
    for k in layout.columns(("px", "py", "pz", "mass")):
        smeared[:, 0, :, k] = x[:, 0, :, k] * factor
    for k in layout.columns(("px", "py")):
        change = (smeared[:, 0, :, k] - x[:, 0, :, k]).sum(1)
        smeared[:, 0, layout.met, k] = smeared[:, 0, layout.met, k] - change.unsqueeze(1)
    return in_order(smeared, layout)


def drop_objects(x: Tensor, layout: Layout, chosen: Tensor) -> Tensor:
    """Events without the soft objects among the ``chosen`` (B, R)."""
    met = layout.met.to(x.device)
    pt = layout.pt(x).masked_fill(met, 0)
    dropped = chosen & ~met & (pt < SOFT * pt.amax(1, keepdim=True))
    return in_order(x.masked_fill(dropped.unsqueeze(1).unsqueeze(-1), 0), layout)


def in_order(x: Tensor, layout: Layout) -> Tensor:
    """Objects of each class by falling pt, those that are not there last."""
    pt = layout.pt(x)
    by_pt = pt.argsort(dim=1, descending=True, stable=True)
    classes = layout.classes.to(x.device)[by_pt]
    order = by_pt.gather(1, classes.argsort(dim=1, stable=True))
    return x.gather(2, order.view(len(x), 1, -1, 1).expand_as(x))


def rotate_image(x: Tensor, turns: Tensor) -> Tensor:
    """x (B, 1, H, W) by ``turns`` (B,) times 90 degrees; where H and W differ, turns must be even."""
    rotated = x.clone()
    for k in turns.unique().tolist():
        rotated[turns == k] = x[turns == k].rot90(int(k), (2, 3))
    return rotated


def reflect_image(x: Tensor, flip: Tensor) -> Tensor:
    """Images (B, 1, H, W), left and right exchanged where ``flip`` (B,) is true."""
    return torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)


def scale_pixels(x: Tensor, factor: Tensor, unit_sum: bool) -> Tensor:
    """Pixels (B, 1, H, W) times ``factor``, which is not negative; the sum of a jet image stays as it was."""
    scaled = x * factor
    if not unit_sum:
        return scaled.clamp(max=1)
    total = scaled.sum((1, 2, 3), keepdim=True)
    return torch.where(total > 0, scaled * x.sum((1, 2, 3), keepdim=True) / total.clamp(min=1e-30), x)


class Augmentations:
    """Random augmentations of the events of a space.

    Parameters
    ----------
    space: what the representation yields
    strengths: {name: strength}, in place of all that the space allows at their defaults

    Raises
    ------
    InputError: for a name that the space does not allow, naming those it does, or a strength out of range
    """

    def __init__(self, space: Space, strengths: dict[str, float] | None = None):
        allowed = OBJECTS if space.objects else IMAGES if space.pixels else COLUMNS
        self.space, self.strengths = space, allowed if strengths is None else strengths
        for name, value in self.strengths.items():
            check_choice("augmentations", name, allowed)
            if not 0 <= value <= (math.inf if name == "smear" else 1):
                raise InputError(f"augmentations: {name}: {value} is not a probability, or a width below zero.")
        self.layout = Layout.of(space) if space.objects else None
        side = math.isqrt(space.pixels)
        self.image = space.shape if len(space.shape) == 3 else (1, side, side)
        if space.pixels and math.prod(self.image) != space.pixels:
            raise InputError(f"augmentations: the {space.pixels} pixels do not make a square image.")

    def __call__(self, x: Tensor, width: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented events, of x (B, *shape) in physical units; ``width`` (*shape): their standard deviations."""
        if self.layout:
            return self._objects(x, generator)
        flat, pixels = x.flatten(1), self.space.pixels
        columns, width = flat[:, pixels:], width.flatten()[pixels:]
        normal = torch.randn(columns.shape, generator=generator, device=x.device)
        columns = columns + self.strengths.get("smear", 0.0) * width * normal
        if not pixels:
            return columns.view(x.shape)
        image = self._image(flat[:, :pixels].view(-1, *self.image), generator)
        return torch.cat([image.flatten(1), columns], 1).view(x.shape)

    def _draws(self, x: Tensor, generator: torch.Generator) -> tuple[Callable, Callable]:
        def happens(name: str, *shape: int) -> Tensor:
            chance = torch.rand(shape, generator=generator, device=x.device)
            return chance < self.strengths.get(name, 0.0)

        def factor(*shape: int) -> Tensor:
            e = torch.randn(shape, generator=generator, device=x.device)
            return (1 + self.strengths.get("smear", 0.0) * e).clamp(min=0.1)

        return happens, factor

    def _objects(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, rows, layout = len(x), x.shape[2], self.layout
        happens, factor = self._draws(x, generator)
        angle = 2 * math.pi * torch.rand(n, generator=generator, device=x.device)
        x = rotate_objects(x, layout, angle * happens("rotate", n))
        x = reflect_objects(x, layout, happens("reflect", n))
        x = drop_objects(x, layout, happens("drop", n, rows))
        return smear_objects(x, layout, factor(n, rows))

    def _image(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, unit_sum = len(x), self.space.unit_sum
        happens, factor = self._draws(x, generator)
        step = 1 if x.shape[2] == x.shape[3] else 2
        turns = step * torch.randint(4 // step, (n,), generator=generator, device=x.device)
        x = rotate_image(x, turns * happens("rotate", n))
        x = reflect_image(x, happens("reflect", n))
        return scale_pixels(x, factor(*x.shape) * ~happens("drop", *x.shape), unit_sum)
