"""Features: one representation of one sample, with what evaluation needs beside it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from hepad.events import SPLITS, Events
from hepad.io import atomic_path, open_hdf5, provenance, read_array, write_array
from hepad.representations import Representation, Space


@dataclass(frozen=True)
class Features:
    """N events in one representation.

    x: (N, *space.shape) float32; split: (N,) int8; weight: (N,); event_id: (N,); jet: (N, 4) pt, eta, phi, mass
    """

    x: torch.Tensor
    space: Space
    split: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    jet: np.ndarray

    @classmethod
    def of(cls, representation: Representation, events: Events) -> "Features":
        """Represent ``events``."""
        x = representation(events)
        return cls(x, representation.space, events.split, events.weight, events.event_id, events.jet)

    def of_split(self, *names: str) -> "Features":
        """The rows of the named splits."""
        rows = np.isin(self.split, [SPLITS.index(name) for name in names])
        x = self.x[torch.from_numpy(rows)]
        return Features(x, self.space, *(getattr(self, name)[rows] for name in ("split", "weight", "event_id", "jet")))

    def write(self, path: str | Path) -> None:
        """Write to HDF5, atomically."""
        with atomic_path(path) as partial, h5py.File(partial, "w") as file:
            file.attrs.update(
                kind="hepad features", space=json.dumps(asdict(self.space)), provenance=json.dumps(provenance())
            )
            write_array(file, "x", self.x.numpy())
            for name in ("split", "weight", "event_id", "jet"):
                write_array(file, name, getattr(self, name))

    @classmethod
    def read(cls, path: str | Path) -> "Features":
        """Read a file written by :meth:`write`."""
        with open_hdf5(path) as file:
            space = json.loads(file.attrs["space"])
            arrays = {name: read_array(file, name) for name in ("split", "weight", "event_id", "jet")}
            x = torch.from_numpy(read_array(file, "x"))
        return cls(x, Space.of(space), **arrays)


def write_scores(path: str | Path, scores: dict[str, np.ndarray], features: Features) -> None:
    """Scores of one sample under many detectors: {'detector/seed': (N,)}, with weight, event id and jet beside them."""
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["kind"] = "hepad scores"
        group = file.create_group("scores")
        for name, score in scores.items():
            write_array(group, name, score)
        for name in ("weight", "event_id", "jet"):
            write_array(file, name, getattr(features, name))


def read_scores(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """({'detector/seed': (N,)}, {'weight', 'event_id', 'jet'}) of a file written by :func:`write_scores`."""
    with open_hdf5(path) as file:
        names = [f"{detector}/{seed}" for detector in file["scores"] for seed in file["scores"][detector]]
        scores = {name: read_array(file["scores"], name) for name in names}
        return scores, {name: read_array(file, name) for name in ("weight", "event_id", "jet")}
