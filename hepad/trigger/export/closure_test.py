"""Whether a file scores as the detector does, and thresholds at which both decide alike.

    |s(file) - s(torch)| <= 1e-5 (|s(torch)| + sigma),     sigma: standard deviation of s(torch) over the events

in batches of 256, of 7, one by one and of none, with basic optimisation and with all, in a process of its own. The
second term is for scores such as -log p, which cross zero. An event passes a threshold if its score is above it. Where
a threshold lies on the score of an event, as those do that are read off a sample, rounding would decide: it is moved to
the middle of the gap between the scores on both sides.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hepad.detectors import Detector
from hepad.errors import InputError
from hepad.storage.onnx_file import LEVELS
from hepad.trigger.export.layout import Layout
from hepad.trigger.export.sessions import run_apart

TOLERANCE = 1e-5
EVENTS = 1000  # that are drawn, and of any events those that are scored one by one


class Agreement(NamedTuple):
    """``difference``: largest, in units of |s| + sigma; ``thresholds``: {name: value} to be used with the file."""

    events: int
    difference: float
    thresholds: dict[str, float]


def agree(model: bytes, detector: Detector, layout: Layout, events: Tensor, thresholds: dict[str, float]) -> Agreement:
    """Compare a model with its detector on events (N, *detector.space.shape), N >= 2.

    Raises InputError if scores or decisions differ, or if a batch does not run, or ends the process that runs it.
    """
    x = layout.to_file(events).contiguous().numpy()
    expected = detector.score(events).numpy()
    if not np.isfinite(expected).all():
        raise InputError("export: the detector's scores of the events are not finite; check the events.")
    runs = [(len(x), 256), (min(len(x), EVENTS), 1), (min(len(x), 7), 7), (0, 0)]
    outputs = [scores for outputs_at_level in run_apart(model, x, runs).values() for scores in outputs_at_level]
    for scores, (count, batch) in zip(outputs, len(LEVELS) * runs, strict=True):
        if scores.shape != (count, 1):
            raise InputError(
                f"{type(detector).__name__}: of {count} events, {batch} at a time, the graph's output has shape "
                f"{scores.shape}, not one score each. Try another opset."
            )
    outputs = [scores[:, 0] for scores in outputs]
    size = np.abs(expected) + expected.std()
    distances = [np.abs(scores - expected[: len(scores)]) / size[: len(scores)] for scores in outputs]
    difference = float(max(a.max(initial=0) for a in distances))
    if not difference <= TOLERANCE:
        sample = events[:200]
        singles = np.array([detector.score(event).item() for event in sample.split(1)])
        gap = (np.abs(singles - expected[: len(sample)]) / size[: len(sample)]).max()
        raise InputError(
            f"{type(detector).__name__}: the scores of ONNX Runtime and of torch differ by {difference:.1e}, more than "
            f"{TOLERANCE:.0e}; those of torch itself by {gap:.1e} between a batch and events alone. If both are alike, "
            "single precision does not fix this score better; else the graph is not the detector's, try another opset."
        )
    lowest, highest = outputs[0].copy(), outputs[0].copy()
    for scores in outputs[1:]:
        lowest[: len(scores)] = np.minimum(lowest[: len(scores)], scores)
        highest[: len(scores)] = np.maximum(highest[: len(scores)], scores)
    placed = {name: place(name, t, expected, lowest, highest, TOLERANCE) for name, t in thresholds.items()}
    return Agreement(len(events), difference, placed)


def place(name: str, threshold: float, expected, lowest, highest, tolerance: float) -> float:
    """A single-precision number at which the same events pass: ``threshold``, or the middle of the gap that it is in.

    The latter where it is closer than ``tolerance`` to a score, in units of |threshold| + sigma; beyond the last event
    it keeps that distance.

    Parameters
    ----------
    expected, lowest, highest: (N,) torch's scores and the range of the file's scores of the same events
    """
    passes = expected.astype(np.float64) > threshold  # a bare number would be rounded to single precision
    low, high = float(highest[~passes].max(initial=-np.inf)), float(lowest[passes].min(initial=np.inf))
    room = tolerance * (abs(threshold) + float(expected.std()))
    if low + room <= threshold <= high - room:
        placed = np.float32(threshold)
    elif np.isinf(low) or np.isinf(high):
        placed = np.float32(low + room if np.isinf(high) else high - room)
    else:
        placed = np.float32(low + (high - low) / 2)
    placed = min(placed, np.nextafter(np.float32(high), np.float32(-np.inf)))
    if not low <= placed < high:
        raise InputError(
            f"export: threshold '{name}' = {threshold!r}: rounding decides between events whose scores are the same to "
            f"{tolerance:.0e}. Move it between two distinct scores."
        )
    return float(placed)


def compared_on(events, detector: Detector, least: int) -> Tensor:
    """Events (N, *space.shape), N >= ``least``, of any kind of array as float32; None are drawn.

    InputError: they are of another shape, too few, or no numbers
    """
    if events is None:
        return drawn(detector)
    try:
        x = torch.as_tensor(events, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"events: {type(events).__name__} is no array of numbers.") from None
    if not x.dim() or len(x) < least or tuple(x.shape[1:]) != detector.space.shape:
        raise InputError(
            f"events: shape {tuple(x.shape)}; at least {least} of shape {detector.space.shape} are needed, in the "
            "representation that the detector was trained on."
        )
    return x


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
