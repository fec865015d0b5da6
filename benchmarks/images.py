"""Images per second of JetImage against one jet at a time in NumPy, in one run on the same jets.

python benchmarks/images.py [jets] [constituents]
"""

import sys
import time

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from single_jets import pixels_of

from hepad.events import Events
from hepad.representations import JetImage


def toy_events(jets: int, constituents: int) -> Events:
    rng = np.random.default_rng(0)
    c = np.zeros((jets, constituents, 4), dtype=np.float32)
    c[..., 0] = -np.sort(-rng.exponential(6, (jets, constituents)), axis=1)
    c[..., 1:3] = rng.uniform(-1.5, 1.5, (jets, 1, 2)) + rng.normal(0, 0.2, (jets, constituents, 2))
    none = np.zeros((jets, 0, 4), dtype=np.float32)
    return Events(
        event_id=np.arange(jets), split=np.zeros(jets, dtype=np.int8), weight=np.ones(jets), jet=c[:, 0],
        constituents=c, jets=none, electrons=none, muons=none, photons=none, met=np.zeros((jets, 2), np.float32),
    )  # fmt: skip


def one_by_one(events: Events) -> np.ndarray:
    images = []
    for jet in events.constituents:
        image = gaussian_filter(pixels_of(jet[jet[:, 0] > 0]), 1, mode="constant")
        images.append(image / image.sum())
    return np.stack(images)


def main(jets: int = 10_000, constituents: int = 100) -> None:
    torch.set_num_threads(1)
    events = toy_events(jets, constituents)
    few = events[: jets // 10]
    image = JetImage(sigma=1)
    image(few)
    start = time.perf_counter()
    found = image(events)
    fast = jets / (time.perf_counter() - start)
    start = time.perf_counter()
    expected = one_by_one(few)
    slow = len(few) / (time.perf_counter() - start)
    difference = np.abs(found[: len(few), 0].numpy() - expected).max()
    print(f"JetImage {fast:.0f} images/s, one by one {slow:.0f} images/s, ratio {fast / slow:.1f}")
    print(f"largest difference of a pixel {difference:.1e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
