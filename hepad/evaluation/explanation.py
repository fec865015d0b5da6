r"""Which pixels, variables and constituents make an anomaly score.

Of an event x with the score s(x) the attribution a_i says what entry i adds; b is the mean of background:

    occlusion      a_i = s(x) - s(x with b_i in the place of x_i)
    shapley        what x_i adds on average when entries become known one by one      sum_i a_i = s(x) - < s(b) >
    gradients      a_i = (x_i - b_i) int_0^1 ds/dx_i [b + t (x - b)] dt        sum_i a_i = s(x) - s(b)
    terms          a_i = (x_i - g(f(x))_i)^2 / (D e0)                          sum_i a_i = s(x)
    constituents   a_k = s(x) - s(x without constituent k)

Occlusion (M. Zeiler, R. Fergus, arXiv:1311.2901) asks what would be without one entry, of any detector. Shapley values,
of vectors, have like background in the place of what is not known (:mod:`hepad.evaluation.shapley`). Gradients are
integrated gradients (M. Sundararajan, A. Taly, Q. Yan, ICML 2017, arXiv:1703.01365, Eq. 1) by the midpoint rule, whose
points are doubled until the sum holds to a per mille of sum_i |a_i|. Terms are those of an error of reconstruction
(e0 = 1 for an AE), or of PixelCNN the bits of each pixel: they say where it fails, which need not be where the cause
is. Of objects b is the mean of those that are there, and an object that is not there has no part in anything.

An event without a constituent is represented anew: the jet is p - p_k, also among the jets of the event, and an image
is centred and turned again. The missing momentum stays: the particle was never there, it has not been overlooked.
Particles that share a prong hide each other; with a radius R those within R of constituent k are left out with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hepad.detectors import Detector
from hepad.detectors.energy_based.langevin import frozen
from hepad.detectors.estimator import Estimator
from hepad.errors import InputError, check_choice
from hepad.evaluation.shapley import shapley
from hepad.events import Events
from hepad.events.kinematics import delta_r, from_cartesian, to_cartesian
from hepad.representations import occupied

METHODS = ("shapley", "occlusion", "gradients", "terms", "constituents")
BLOCK = 2000  # changed events that are made at a time
FEWEST, MOST = 16, 1024  # points of an integral
COMPLETE = 1e-3


class Explanation(NamedTuple):
    """What the score of each event is made of.

    Attributes
    ----------
    score: (N,) of the events
    attribution: (N, *shape) of the entries of the representation; of 'constituents' (N, P), NaN where there is none
    names: of the entries that are not pixels, which come last; () of an image and of 'constituents'
    method: one of ``METHODS`` (:mod:`hepad.evaluation.explanation`)
    reference: (N,) the score of b, of 'occlusion' and 'gradients'; the mean score of background, of 'shapley'; or zero
    """

    score: np.ndarray
    attribution: np.ndarray
    names: tuple[str, ...]
    method: str
    reference: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """(N, number of pixels), row by row of the image."""
        flat = self.attribution.reshape(len(self.score), -1)
        return flat[:, : flat.shape[1] - len(self.names)]

    @property
    def variables(self) -> dict[str, np.ndarray]:
        """The attribution (N,) of each entry that has a name."""
        flat = self.attribution.reshape(len(self.score), -1)
        return dict(zip(self.names, flat[:, flat.shape[1] - len(self.names) :].T, strict=True))


def explain(
    detector: Estimator,
    events: Events | np.ndarray | Tensor,
    background: Events | np.ndarray | Tensor | None = None,
    method: str | None = None,
    radius: float = 0.0,
) -> Explanation:
    """Attribute the score of every event to the entries of its representation, or to the constituents of its jet.

    Parameters
    ----------
    detector: a fitted one, also of ``hepad.load`` or of ``hepad.open("results").model``
    events: N events, as ``detector.score`` takes them
    background: some hundred background events, in the same form; 'occlusion' and 'gradients' compare with their mean,
        'shapley' with those that are like the event; each counts as one, whatever its weight
    method: 'shapley', of vectors; 'occlusion', of any detector; 'gradients', whose sum is the change of the score;
        'terms', of an error of reconstruction; 'constituents', of any detector of jets; None: which of the first two
        names planted causes best, 'shapley' for vectors, otherwise 'occlusion'
    radius: R [rad] of 'constituents': those within R of a constituent are left out with it

    Raises
    ------
    InputError: the detector is not fitted or cannot be explained by the method, or background or constituents are
        missing

    Examples
    --------
    >>> detector = hepad.Mixture(n_gaussians=1).fit(background)
    >>> found = hepad.explain(detector, background[:10] + 3, background)
    >>> found.attribution.shape, found.names, found.variables["x1"].shape
    ((10, 4), ('x1', 'x2', 'x3', 'x4'), (10,))
    """
    if not isinstance(detector, Estimator):
        raise InputError(f"explain: {type(detector).__name__} is no detector. Give a fitted one, e.g. of hepad.load.")
    check_choice("explain: method", METHODS[0] if method is None else method, METHODS)
    number = isinstance(radius, Real) and not isinstance(radius, bool) and 0 <= radius < np.inf
    if not number or (radius and method != "constituents"):
        raise InputError(
            f"explain: radius = {radius!r} must be a number, zero or more, and is for method='constituents' alone."
        )
    name, (module, x) = type(detector).__name__, detector.seen(events)
    vector = x.dim() == 2 and not module.space.pixels
    method = method or ("shapley" if vector else "occlusion")
    if method == "shapley" and not vector:
        raise InputError(f"explain: 'shapley' is of vectors; {name} sees {tuple(x.shape[1:])}. Take 'occlusion'.")
    score, columns, reference = module.score(x), module.space.columns, torch.zeros(len(x))
    if method == "constituents":
        found, columns = _constituents(detector, module, events, score, radius), ()
    elif method == "terms":
        found = _terms(module, x, name)
    else:
        if background is None:
            raise InputError(f"explain: '{method}' compares with background. Give some hundred events of it.")
        found, reference = _compared(module, x, detector.seen(background)[1], method, name)
    return Explanation(score.numpy(), found.numpy(), columns, method, reference.numpy())


def _compared(module: Detector, x: Tensor, background: Tensor, method: str, name: str) -> tuple[Tensor, Tensor]:
    """The attribution by a method that compares with background, and its reference."""
    background = background[background.flatten(1).isfinite().all(1)]
    if not len(background):
        raise InputError("explain: 'background' has no events with finite entries. Give some hundred.")
    if method == "shapley":
        return shapley(module.score, x, background)
    b = _mean(module, background, x)
    if method == "occlusion":
        return _occlusion(module, x, b, module.score(x)), module.score(b)
    return _gradients(module, x, b, name), module.score(b)


def without(events: Events, gone: np.ndarray) -> Events:
    """N events without the constituents (N, P) that are gone: their jet is what is left of it."""
    kept = np.where(gone[..., None], 0, events.constituents)
    order = np.argsort(-kept[..., :1], axis=1, kind="stable")
    removed = to_cartesian(np.where(gone[..., None], events.constituents, 0)).sum(1)
    jet = from_cartesian(to_cartesian(events.jet) - removed).astype(np.float32)
    same = (events.jets == events.jet[:, None]).all(-1, keepdims=True)
    jets = np.where(same, jet[:, None], events.jets)
    return replace(events, constituents=np.take_along_axis(kept, order, 1), jet=jet, jets=jets)


def _constituents(detector: Estimator, module: Detector, events: Events, score: Tensor, radius: float) -> Tensor:
    """(N, P); NaN where there is no constituent, or nothing would be left of the jet."""
    if not isinstance(events, Events) or (len(events) and not (events.constituents[..., 0] > 0).any()):
        raise InputError("explain: 'constituents' needs Events that have constituents. Read them from their file.")
    representation = detector.representation or detector.get_params()["representation"]
    there = events.constituents[..., 0] > 0
    found = torch.full(there.shape, torch.nan)
    for rows, places in _pairs(there):
        gone = there[rows] & _around(events.constituents[rows], places, radius)
        some = (gone != there[rows]).any(1)
        rows, places, gone = rows[some], places[some], gone[some]
        if not len(rows):
            continue
        found[rows, places] = score[rows] - module.score(representation(without(events[rows], gone)))
    return found


def _around(constituents: np.ndarray, places: np.ndarray, radius: float) -> np.ndarray:
    """(N, P) true for the constituent at each place (N,), and for those within ``radius`` of it."""
    eta, phi = np.moveaxis(constituents[..., 1:3], -1, 0)
    center = np.arange(len(places)), places
    near = delta_r(eta, phi, eta[center][:, None], phi[center][:, None]) < radius
    near[center] = True
    return near


def _terms(module: Detector, x: Tensor, name: str) -> Tensor:
    def terms(part: Tensor) -> Tensor | None:
        return module.terms(module.normalise(part)) if module.inner == module.space else None

    with torch.no_grad():
        found = [terms(part) for part in _on_device(module, x)]
    if any(part is None for part in found):
        raise InputError(f"explain: the score of {name} is no sum over its entries. Use method='occlusion'.")
    return torch.cat(found).cpu()


def _mean(module: Detector, background: Tensor, x: Tensor) -> Tensor:
    """b (N, *space.shape) for events x."""
    if not module.space.objects:
        return background.mean(0).expand_as(x)
    return background.sum(0) / occupied(background).sum(0).clamp(min=1) * occupied(x)


def _occlusion(module: Detector, x: Tensor, b: Tensor, score: Tensor) -> Tensor:
    flat, other = x.flatten(1), b.flatten(1)
    found = torch.zeros_like(flat)
    for rows, places in _pairs((flat != other).numpy()):
        changed, each = flat[rows], np.arange(len(rows))
        changed[each, places] = other[rows, places]
        found[rows, places] = score[rows] - module.score(changed.view(-1, *x.shape[1:]))
    return found.view(x.shape)


def _gradients(module: Detector, x: Tensor, b: Tensor, name: str) -> Tensor:
    ends = zip(_on_device(module, x), _on_device(module, b), strict=True)
    with frozen(module):
        found = [_integrated(lambda y: module.anomaly(module.normalise(y)), *pair, name) for pair in ends]
    return torch.cat(found).cpu()


def _integrated(score: Callable[[Tensor], Tensor], x: Tensor, b: Tensor, name: str) -> Tensor:
    """(B, ...) of events x and b (B, ...); the points are doubled for those events whose sum is not complete."""
    change = (score(x) - score(b)).detach()
    attribution, left, points = torch.zeros_like(x), torch.arange(len(x), device=x.device), FEWEST
    while len(left):
        if points > MOST:
            raise InputError(
                f"explain: {name}: between background and {len(left)} of the events the score jumps or bends too often "
                "for a sum of gradients. Use method='occlusion'."
            )
        way, slope = (x - b)[left], torch.zeros_like(x[left])
        for k in range(points):
            point = (b[left] + (k + 0.5) / points * way).requires_grad_(True)
            reached = score(point)
            if not reached.requires_grad:
                raise InputError(f"explain: the score of {name} has no gradient. Use method='occlusion'.")
            slope += torch.autograd.grad(reached.sum(), point)[0]
        attribution[left] = slope / points * way
        found = attribution[left].flatten(1)
        missing = (found.sum(1) - change[left]).abs()
        left, points = left[~(missing <= COMPLETE * found.abs().sum(1))], 2 * points
    return attribution


def _pairs(there: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and places of what is there (N, P), ``BLOCK`` at a time."""
    rows, places = np.nonzero(there)
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK], places[start : start + BLOCK]


def _on_device(module: Detector, x: Tensor) -> Iterator[Tensor]:
    """Parts of x where the detector is."""
    device = next(module.normalise.buffers()).device
    return (part.to(device) for part in x.split(256))
