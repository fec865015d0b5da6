"""A detector with some parts exchanged, so that ONNX has all operators of its score; the score stays the same.

spectral norms      the weights that they end with
Head, Unflatten     shapes as constants
coupling (RealNVP)  gather and concatenate in the place of an assignment to indices
convolutional flow  shifted slices in the place of unfold
sizes, axes         constants, so that the graph runs on no events, too
orthogonal Q        Gram-Schmidt, twice, in the place of QR: ONNX has none. With R_ii > 0 Q is the same matrix
"""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.transforms import CouplingTransform

from hepad.detectors import Detector
from hepad.detectors.flows import Convolutional, OrthogonalSylvester
from hepad.detectors.flows.convolutional import FLOOR
from hepad.detectors.networks import Head


class Sized(TorchFunctionMode):
    """While it is entered, the graph is one that ONNX Runtime runs on no events, too.

    Sizes are constants but for the first, the batch; an axis is counted from the front; a diagonal is a slice; of a
    product of stacks of matrices both are as many, since it takes one matrix for many, but not for none; distances of
    events to others are written out, since those of no events would have a dimension more."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        if name == "sum" and len(args) > 1 and isinstance(args[1], int):
            args = (args[0], args[1] % args[0].ndim, *args[2:])
        if name in ("sum", "normalize") and isinstance(kwargs.get("dim"), int):
            kwargs = kwargs | {"dim": kwargs["dim"] % args[0].ndim}
        if name in ("matmul", "__matmul__") and args[1].ndim > 2 and args[0].shape[:-2] != args[1].shape[:-2]:
            batch, *others = max((x.shape[:-2] for x in args), key=math.prod)
            args = tuple(x.expand(batch, *map(int, others), -1, -1) for x in args)
        if name == "cdist":
            return (args[0].unsqueeze(1) - args[1]).square().sum(2).sqrt()
        result = function(*args, **kwargs)
        if name in ("unflatten", "flatten", "reshape", "view") and result.ndim:
            return args[0].reshape(-1, *map(int, result.shape[1:]))
        if name == "diagonal":  # its matrices are square, in the last two places
            *_, size = sizes = [int(n) for n in args[0].shape[1:]]
            return args[0].reshape(-1, *sizes[:-2], size**2)[..., :: size + 1]
        return result


class _Reshape(nn.Module):
    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape)


class _Head(nn.Module):
    """hepad.detectors.networks.Head for events of one shape."""

    def __init__(self, head: Head, shape: tuple[int, ...]):
        super().__init__()
        self.head, self.shape = head, tuple(shape)

    def entries(self, x: Tensor) -> Tensor:
        return self.head.entries(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.entries(x.flatten(1)).reshape(-1, *self.shape)


class _FixedCoupling(CouplingTransform):
    """A coupling whose indices are constants."""

    def __init__(self, meta, mask: Tensor, constant: Tensor, changed: Tensor, place: Tensor):
        super().__init__(meta, mask)
        self.idx_a, self.idx_b, self.place = constant, changed, place

    def merge(self, x_a: Tensor, x_b: Tensor, shape) -> Tensor:
        return torch.cat([x_a, x_b], -1)[..., self.place]


class _Coupling(nn.Module):
    def __init__(self, lazy: GeneralCouplingTransform):
        super().__init__()
        self.lazy = lazy
        self.constant, self.changed = (m.nonzero().squeeze(-1) for m in (lazy.mask, ~lazy.mask))
        self.place = torch.cat([self.constant, self.changed]).argsort()

    def forward(self, c: Tensor | None = None) -> CouplingTransform:
        meta = self.lazy(c).meta
        return _FixedCoupling(meta, self.lazy.mask, self.constant, self.changed, self.place)


def gram_schmidt(a: Tensor) -> Tensor:
    """Q (..., D, M), M <= D, of a = Q R with R_ii > 0; every column is made orthogonal to the earlier ones twice."""
    columns: list[Tensor] = []
    for v in a.unbind(-1):
        for _ in range(2 if columns else 1):
            for q in columns:
                v = v - (q * v).sum(-1, keepdim=True) * q
            v = normalize(v, dim=-1)
        columns.append(v)
    return torch.stack(columns, -1)


def shifted_convolve(z: Tensor, w: Tensor, b: Tensor, s: Tensor, dilation: int, back: bool) -> tuple[Tensor, Tensor]:
    """hepad.detectors.flows.convolutional.convolve, from one slice of z for each tap."""
    latent, reach = z.shape[1], (w.shape[1] - 1) * dilation
    first = w[:, :1].exp() + FLOOR
    taps = [first, *w[:, 1:].split(1, 1)]
    padded = pad(z, (reach, 0) if back else (0, reach))
    slices = [padded[:, k : k + latent] for k in range(0, reach + 1, dilation)]
    t = torch.tanh(sum(tap * part for tap, part in zip(taps, slices[::-1] if back else slices, strict=True)) + b)
    return z + (s - 1) / first * t, torch.log(t.square() + (1 - t.square()) * s).sum(1)


def closed(detector: Detector) -> Detector:
    """The detector, frozen and changed in place; its score stays the same up to rounding.

    A copy would not do: it shares the classes of its spectral norms, and loses them, with the original."""
    detector.eval().requires_grad_(False)
    for module in list(detector.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if isinstance(module, OrthogonalSylvester):
            size = (module.latent_dim, module.rank)
            module.basis = lambda axes, size=size: gram_schmidt(axes.unflatten(2, size))
        if isinstance(module, Convolutional):
            maps = module.maps
            module.maps = lambda h, maps=maps: (partial(shifted_convolve, **given.keywords) for given in maps(h))
    _exchange(detector, detector.inner.shape)
    return detector


def _exchange(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Exchange the parts below ``module``, a part of a detector of normalised events of this shape."""
    for name, child in module.named_children():
        if isinstance(child, Head):
            setattr(module, name, _Head(child, shape))
        elif isinstance(child, nn.Unflatten):
            setattr(module, name, _Reshape(child.unflattened_size))
        elif isinstance(child, GeneralCouplingTransform):
            setattr(module, name, _Coupling(child))
        else:
            _exchange(child, child.inner.shape if isinstance(child, Detector) else shape)
