"""Whether a file scores as the detector does, and thresholds at which both decide alike.

    |s(file) - s(torch)| <= 1e-5 (|s(torch)| + sigma),     sigma: standard deviation of s(torch) over the events

in batches of 256 and one by one. The second term is for scores such as -log p, which cross zero. An event passes a
threshold if its score is above it. Where a threshold lies on the score of an event, rounding would decide: it is moved,
by no more than the tolerance, to where all events fall on torch's side.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hepad.detectors import Detector
from hepad.errors import InputError
from hepad.export.layout import Layout
from hepad.export.running import scores
from hepad.export.targets import session

TOLERANCE = 1e-5
EVENTS = 1000  # that are drawn, and of any events those that are scored one by one


class Agreement(NamedTuple):
    """``difference``: largest, in units of |s| + sigma; ``thresholds``: {name: value} to be used with the file."""

    events: int
    difference: float
    thresholds: dict[str, float]


def agree(model: bytes, detector: Detector, layout: Layout, events: Tensor, thresholds: dict[str, float]) -> Agreement:
    """Compare a model with its detector on events (N, *detector.space.shape), N >= 2.

    Raises InputError if scores or decisions differ.
    """
    loaded, x = session(model), layout.to_file(events).contiguous().numpy()
    expected = detector.score(events).numpy()
    if not np.isfinite(expected).all():
        raise InputError("export: the detector's scores of the events are not finite; check the events.")
    in_batches, one_by_one = scores(loaded, x), scores(loaded, x[:EVENTS], batch=1)
    size = np.abs(expected) + expected.std()
    apart = [np.abs(found - expected[: len(found)]) / size[: len(found)] for found in (in_batches, one_by_one)]
    difference = float(max(a.max() for a in apart))
    if not difference <= TOLERANCE:
        few = events[:200]
        alone = np.array([detector.score(event).item() for event in few.split(1)])
        own = (np.abs(alone - expected[: len(few)]) / size[: len(few)]).max()
        raise InputError(
            f"{type(detector).__name__}: the scores of ONNX Runtime and of torch differ by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}; those of torch itself by {own:.1e} between a batch and events alone. If both are alike, "
            "single precision does not fix this score better; else the graph is not the detector's, try another opset."
        )
    lowest, highest = in_batches.copy(), in_batches.copy()
    lowest[: len(one_by_one)] = np.minimum(lowest[: len(one_by_one)], one_by_one)
    highest[: len(one_by_one)] = np.maximum(highest[: len(one_by_one)], one_by_one)
    placed = {name: place(name, t, expected, lowest, highest, TOLERANCE) for name, t in thresholds.items()}
    return Agreement(len(events), difference, placed)


def place(name: str, threshold: float, expected, lowest, highest, tolerance: float) -> float:
    """The single-precision number nearest to ``threshold`` at which the same events pass.

    Parameters
    ----------
    expected, lowest, highest: (N,) torch's scores and the range of the file's scores of the same events
    """
    passes = expected.astype(np.float64) > threshold  # a bare number would be rounded to single precision
    # rounding down keeps every decision on scores in single precision
    t = np.float32(threshold)
    t = t if float(t) <= threshold else np.nextafter(t, np.float32(-np.inf))
    low = highest[~passes].max(initial=-np.inf)
    high = lowest[passes].min(initial=np.inf)
    if low <= t < high:
        return float(t)
    step, last = tolerance * (abs(threshold) + float(expected.std())), np.nextafter(high, np.float32(-np.inf))
    moved = min((float(low) + float(high)) / 2, threshold + step) if low > t else last
    moved = np.float32(max(low, min(np.float32(moved), last)))
    if not low <= moved < high:
        raise InputError(
            f"export: threshold '{name}' = {threshold}: rounding decides between events whose scores are the same to "
            f"{tolerance:.0e}. Move it between two distinct scores."
        )
    return float(moved)


def drawn(detector: Detector, count: int = EVENTS, seed: int = 0) -> Tensor:
    """Events (count, *shape) within the range of the training events; images with few bright pixels."""
    generator, space = torch.Generator().manual_seed(seed), detector.space
    compressed = detector.inner is not space
    normaliser = detector.normalise.standardise if compressed else detector.normalise
    u = torch.rand(count, *normaliser.low.shape, generator=generator).flatten(1)
    if not compressed:
        u[:, : space.pixels] = u[:, : space.pixels] ** 8
    z = normaliser.low + u.view(count, *normaliser.low.shape) * (normaliser.high - normaliser.low)
    flat = detector.normalise.invert(z).flatten(1)
    image = flat[:, : space.pixels].clamp(min=0)
    if space.pixels:
        flat[:, : space.pixels] = image / image.sum(1, keepdim=True) if space.unit_sum else image.clamp(max=1)
    return flat.view(count, *space.shape)
