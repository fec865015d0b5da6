"""JetNet (arXiv:2106.11535; Zenodo 6975118 and, with 150 particles, 6975117): HDF5, one row per jet of about 1 TeV.

    particle_features (N, 30 or 150, 4)    etarel = η - η_jet, phirel = φ - φ_jet, ptrel = pt / pt_jet, mask
    jet_features (N, 4)                    pt [GeV], eta, mass [GeV], number of particles

The class is in the name of the file (g, q, t, w, z), not in it. Two facts of the jets are lost: φ_jet, here 0, and the
particles' masses, here 0; and the particles beyond the hardest 30 or 150. The jet is the stored one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepad.events.kinematics import delta_phi
from hepad.events.padding import WIDTHS, pad
from hepad.samples.formats import hdf5
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.jagged import unsound
from hepad.storage.hdf5 import open_hdf5

DATASETS = {"particle_features": (None, None, 4), "jet_features": (None, 4)}
APPROXIMATE = "φ of the jets is not stored: 0 is used, and particles are massless."


@dataclass(frozen=True)
class JetNet(Reader):
    """JetNet: jets with up to 30 or 150 particles. It has no options."""

    title = "JetNet (HDF5): jets with their 30 or 150 hardest particles"
    kind = "HDF5"
    landmarks = tuple(DATASETS)

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return contents.kind == "HDF5" and set(DATASETS) <= set(contents.tables)

    def look(self, path: str) -> Found:
        with open_hdf5(path) as file:
            datasets = {name: hdf5.dataset(path, file, name, shape) for name, shape in DATASETS.items()}
            length, width, _ = datasets["particle_features"].shape
            cut = f"Of each jet the hardest {width} particles are there: their sum falls short of the jet."
            return Found(length, frozenset({"constituents"}), remarks=(APPROXIMATE, cut))

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_hdf5(path) as file:
            datasets = {name: hdf5.dataset(path, file, name, shape) for name, shape in DATASETS.items()}
            for start, arrays in hdf5.blocks(path, datasets, rows):
                yield _block(start, arrays["particle_features"], arrays["jet_features"])


def _block(start: int, particles: np.ndarray, jets: np.ndarray) -> Block:
    with np.errstate(over="ignore"):
        particles, jets = particles.astype(np.float32), jets.astype(np.float32)
    row, place = np.nonzero(particles[..., 3] > 0)
    eta, phi, pt, _ = particles[row, place].astype(np.float64).T
    with np.errstate(invalid="ignore", over="ignore"):
        jet = np.stack([jets[:, 0], jets[:, 1], np.zeros_like(jets[:, 0]), jets[:, 2]], axis=-1)
        p = np.stack([pt * jets[row, 0], eta + jets[row, 1], delta_phi(phi, 0), np.zeros(len(row))], axis=-1)
    damaged = {
        "particle_features": unsound(particles) | unsound(particles[..., 2] * (particles[..., 3] > 0), positive=True),
        "jet_features": unsound(jets) | unsound(jets[:, [0, 2]], positive=True),
    }
    columns = {"jet": jet, "constituents": pad(row, p, len(jets), WIDTHS["constituents"])}
    return Block(columns, start + np.arange(len(jets)), damaged)
