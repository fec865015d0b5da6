r"""Samples of an energy-based detector's model, with their energies, and the energy on the way between events.

    samples          the detector's own sampler of negative samples (energy_based.negative_sampling), from new starts,
                     with chains of the training's length or ``longer`` times as long
    straight line    x(t) = (1 - t) a + t b                  between two events; a mixture of images keeps their sum
    geodesic         z(t) = [ sin((1 - t) w) z_a + sin(t w) z_b ] / sin w,   cos w = z_a . z_b,   x(t) = g(z(t))
                     between their codes z = f(x) on the sphere (slerp); its ends are the two reconstructions

Signals are looked at here, after all trainings.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hepad.detectors import Detector, EnergyDetector, Generating, load
from hepad.detectors.energy_based.energies import Reconstruction
from hepad.detectors.energy_based.negative_sampling import NegativeSampler, PersistentCD, chains_of
from hepad.detectors.networks import Autoencoder
from hepad.detectors.training.loop import in_blocks
from hepad.representations import Space
from hepad.representations.features import Features

STAGES = ("start", "after the latent chain", "after the visible chain")
MODEL = "samples of the model"
LONGER = 20  # as long as a chain becomes on average that goes on from an earlier end with probability 0.95
LINE, GEODESIC = "straight line", "geodesic of codes"


class Sample(NamedTuple):
    """Events as they can be drawn, images (N, H, W) or else variables (N, D), and their energies (N,)."""

    x: np.ndarray
    energy: np.ndarray


def loaded(model: str | Path, features: Iterable[str | Path], count: int) -> tuple[Detector, Tensor]:
    """The detector in the file of a ``model``, and the first ``count`` of the events in each of files of features."""
    return load(model), torch.cat([Features.read(path, slice(count)).x for path in features])


class ModelSamples(NamedTuple):
    """Ends of long chains, and the stages of one training step's negatives: by name, data first."""

    model_samples: dict[str, Sample]
    negatives: dict[str, Sample]


def look_into(detector: EnergyDetector, name: str, x: Tensor) -> ModelSamples:
    """Samples of a detector's model beside data.

    Parameters
    ----------
    detector: a finished one
    name: of the background
    x: its test events (N, *space.shape)
    """
    generator = torch.Generator(x.device).manual_seed(1)
    n_start, n_model = (8, 24) if detector.space.pixels else (len(x), len(x))  # images are looked at one by one
    data = {name: Sample(seen(detector.space, x[:n_model]), detector.score(x[:n_model]).numpy())}
    stages = negatives(detector, x[:n_model], generator, LONGER)
    start = {name: Sample(data[name].x[:n_start], data[name].energy[:n_start])}
    return ModelSamples(data | {MODEL: stages[STAGES[2]]}, start | negatives(detector, x[:n_start], generator))


def energies_to(
    detector: EnergyDetector, x: Tensor, signals: dict[str, Tensor], pairs: int = 100
) -> dict[str, dict[str, np.ndarray]]:
    """Signal -> way -> energies (steps, pairs), from background x (N, *space.shape) to test events of the signals.

    ``pairs``: of a background and a signal event, at most.
    """
    energies = {}
    for signal, y in signals.items():
        n = min(pairs, len(x), len(y))
        energies[signal] = {way: energy.numpy() for way, energy in energies_between(detector, x[:n], y[:n]).items()}
    return energies


def negatives(detector: EnergyDetector, x: Tensor, generator: torch.Generator, longer: int = 1) -> dict[str, Sample]:
    """The stages of N negative samples for background x (N, *space.shape), from new starts (no replay).

    ``longer`` multiplies the steps of every chain. The stage after the latent chain is there if the sampler has one.
    """
    support = detector.support()
    sampler = lengthened(detector.sampler(support, generator), longer)
    stages = sampler.draw(detector.energy, detector.normalise(x), support, generator)
    samples = {}
    for name, z in zip(STAGES, (stage.detach() for stage in stages), strict=True):
        # the energy at the chain's own point: a compressed point, made an image again, lies in the plane
        energy = in_blocks(detector.anomaly, z).numpy()
        samples[name] = Sample(seen(detector.space, detector.normalise.invert(z)), energy)
    if "latent" not in chains_of(sampler):
        del samples[STAGES[1]]
    return samples


def generated(detector: Generating, name: str, x: Tensor) -> dict[str, Sample]:
    """Events x (N, *space.shape), called ``name``, and as many drawn from the model, with their scores."""
    x = x[:24] if detector.space.pixels else x
    drawn = detector.generate(len(x), torch.Generator(x.device).manual_seed(1))
    return {key: Sample(seen(detector.space, y), detector.score(y).numpy()) for key, y in ((name, x), (MODEL, drawn))}


def seen(space: Space, x: Tensor) -> np.ndarray:
    """The part of events (N, *space.shape) that figures draw: images (N, H, W), or without them variables (N, D)."""
    if space.objects:
        return x.flatten(1).numpy()
    if len(space.shape) == 3:
        return x[:, 0].numpy()
    side = math.isqrt(space.pixels)
    image, columns = x[:, : space.pixels], x[:, space.pixels :]
    return (image.view(-1, side, side) if side and side**2 == space.pixels else columns).numpy()


def lengthened(sampler: NegativeSampler, factor: int) -> NegativeSampler:
    """The sampler with chains of ``factor`` times as many steps, which keep no graph."""
    changed = {name: replace(chain, n_steps=factor * chain.n_steps) for name, chain in chains_of(sampler).items()}
    if isinstance(sampler, PersistentCD):
        changed["differentiable"] = False
    return replace(sampler, **changed)


def straight(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """(steps, N, ...) points of the straight lines from a to b (N, ...), ends included."""
    t = torch.linspace(0, 1, steps, device=a.device).view(-1, *[1] * a.dim())
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """(steps, N, d) points of the great circles from a to b, unit vectors (N, d), ends included.

    Between opposite points, where there is no single shortest way, it stays on the sphere all the same.
    """
    # good for small angles too, unlike acos(a . b)
    w = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    w = w.clamp(1e-3, math.pi - 1e-3)
    t = torch.linspace(0, 1, steps, device=a.device).view(-1, 1, 1)
    return torch.nn.functional.normalize(torch.sin((1 - t) * w) * a + torch.sin(t * w) * b, dim=-1)


def energies_between(detector: EnergyDetector, a: Tensor, b: Tensor, steps: int = 41) -> dict[str, Tensor]:
    """Energies (steps, N) on the ways from events a to events b (N, *space.shape): the straight line and, if the
    detector has an autoencoder, the geodesic in its latent space (a straight line there if it has no sphere)."""
    energies = {LINE: detector.score(straight(a, b, steps).flatten(0, 1)).view(steps, -1)}
    model = autoencoder_of(detector)
    if model is not None:
        with torch.no_grad():
            ends = [model.encode(detector.normalise(x)) for x in (a, b)]
        codes = (slerp if model.sphere else straight)(*ends, steps).flatten(0, 1)
        energies[GEODESIC] = in_blocks(lambda z: detector.anomaly(model.decode(z)), codes).view(steps, -1)
    return energies


def autoencoder_of(detector: EnergyDetector) -> Autoencoder | None:
    """The one whose latent space its chains use (the first of an ensemble), or that its energy is made of."""
    if detector.manifolds():
        return detector.manifolds()[0]
    return detector.energy.autoencoder if isinstance(detector.energy, Reconstruction) else None
