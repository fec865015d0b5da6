"""Toy events for all tests."""

import numpy as np

from hepad.events import Events, split_of
from hepad.events.kinematics import sum_four_vectors


def _objects(rng, n, k, low, mass):
    p = np.stack([low + rng.exponential(60, (n, k)), rng.normal(0, 1, (n, k)), rng.uniform(-np.pi, np.pi, (n, k))], -1)
    p = np.concatenate([p, np.full((n, k, 1), mass)], -1) * (rng.random((n, k, 1)) < 0.5)
    return np.take_along_axis(p, np.argsort(-p[..., :1], axis=1), axis=1).astype(np.float32)


def toy_jets(n: int, seed: int, prongs: int = 1) -> Events:
    """n jets of 550-650 GeV with 20-60 constituents around ``prongs`` axes."""
    rng = np.random.default_rng(seed)
    count = rng.integers(20, 61, n)
    pt = -np.sort(-(rng.exponential(1, (n, 60)) ** 2) * (np.arange(60) < count[:, None]), axis=1)
    pt *= (rng.uniform(560, 640, n) / pt.sum(1))[:, None]
    axis = np.stack([rng.uniform(-1.8, 1.8, n), rng.uniform(-np.pi, np.pi, n)], -1)
    spread = 0.35 * (prongs > 1) * rng.normal(0, 1, (n, prongs, 2)).clip(-1.2, 1.2)
    which = rng.integers(0, prongs, (n, 60))
    direction = axis[:, None] + np.take_along_axis(spread, which[..., None], 1) + rng.normal(0, 0.06, (n, 60, 2))
    direction[..., 1] = (direction[..., 1] + np.pi) % (2 * np.pi) - np.pi
    parts = np.concatenate([pt[..., None], direction, np.full((n, 60, 1), 0.1396)], -1) * (pt > 0)[..., None]
    jet = sum_four_vectors(parts).astype(np.float32)
    other = _objects(rng, n, 5, 20, 8.0)
    event_id = seed * 1_000_000 + np.arange(n, dtype=np.int64)
    return Events(
        event_id=event_id, split=split_of(event_id, (0.6, 0.1, 0.3)), weight=np.ones(n), jet=jet,
        constituents=parts.astype(np.float32), jets=np.concatenate([jet[:, None], other], 1),
        electrons=_objects(rng, n, 2, 10, 0.000511), muons=_objects(rng, n, 2, 10, 0.1057),
        photons=_objects(rng, n, 2, 10, 0.0),
        met=np.stack([rng.exponential(30, n), rng.uniform(-np.pi, np.pi, n)], -1).astype(np.float32),
        truth={"hard_pt": rng.uniform(450, 700, n).astype(np.float32)},
        meta={"name": "synthetic", "cross_section_pb": 100.0, "acceptance": 0.25, "n_tried": 4 * n, "n_given_up": 0,
              "seed": seed, "jet_radius": 0.8, "sqrt_s_tev": 14.0, "window": {"pt": [550.0, 650.0], "abs_eta": 2.0}},
    )  # fmt: skip
