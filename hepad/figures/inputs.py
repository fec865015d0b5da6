"""Distributions of the vector's variables, of the features of all objects, or of how images are lit: do the samples
look as they should?"""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from hepad.figures.histograms import input_histograms
from hepad.figures.registry import Shown, figure
from hepad.representations import occupied
from hepad.representations.event_vector import with_units
from hepad.representations.features import Features

EVENTS = 100_000  # of a sample, at most
OF_IMAGES = ("largest pixel", "pixels above 1 % of it")


@figure(
    {"{task}/inputs": Shown("Inputs")},
    reads={"features": "features/{supervised}/{samples}.test.h5"},
    labels=("samples",),
)
def inputs(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Input variables of background and signals on the test split, of images how they are lit. Units are GeV where a
    variable has a dimension."""
    features = {job.labels[name]: Features.read(path, slice(EVENTS)) for name, path in job.files["features"].items()}
    background, space = next(iter(features)), next(iter(features.values())).space
    columns, values = with_units(space.columns), {n: f.x.flatten(1)[:, space.pixels :] for n, f in features.items()}
    weights = {name: of_sample.weight for name, of_sample in features.items()}
    if space.objects:  # those that are there, of all kinds together
        columns = with_units(space.features)
        there = {name: occupied(f.x).squeeze(-1) for name, f in features.items()}
        values = {name: f.x[there[name]] for name, f in features.items()}
        weights = {name: np.repeat(weights[name], there[name].sum(1)) for name in weights}
    elif not columns:
        columns, values = OF_IMAGES, {name: _of_images(f.x.flatten(1)) for name, f in features.items()}
    signals = {name: x.numpy() for name, x in values.items()}
    look = {"background_name": background, "weights": weights}
    drawn = input_histograms(columns, signals.pop(background), signals, job.style, **look)
    yield f"{job.task}/inputs", drawn


def _of_images(x: Tensor) -> Tensor:
    """``OF_IMAGES`` (N, 2) of pixels (N, D)."""
    largest = x.amax(1, keepdim=True)
    return torch.cat([largest, (x > 0.01 * largest).sum(1, keepdim=True)], 1)
