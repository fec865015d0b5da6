"""ADC2021, new physics detection at 40 MHz (arXiv:2107.02157): HDF5, one row per event, simulated with Delphes.

    Particles (N, 19, 4)    Pt [GeV], Eta, Phi, Class; padded with zeros
        row 0: missing transverse momentum (class 1), 1-4: electrons (2), 5-8: muons (3), 9-18: jets (4)
    EvtId (N,)              in the black box alone

All events have an electron or muon, by a filter of the data set. Jets have neither constituents nor mass. The probe
jet is the leading jet, zero where an event has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepad.events.padding import WIDTHS
from hepad.samples.formats import hdf5
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import MASSES
from hepad.samples.readers.jagged import unsound
from hepad.storage.hdf5 import open_hdf5, reading

SHAPE = (None, 19, 4)
SLOTS = {"electrons": slice(1, 5), "muons": slice(5, 9), "jets": slice(9, 19)}
CLASSES = np.repeat([1, 2, 3, 4], [1, 4, 4, 10])


@dataclass(frozen=True)
class ADC2021(Reader):
    """ADC2021: event vectors of missing momentum, electrons, muons and jets. It has no options."""

    title = "ADC2021, anomaly detection at 40 MHz (HDF5): events of 19 objects"
    kind = "HDF5"
    landmarks = ("Particles", "Particles_Names", "Particles_Classes")

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return contents.kind == "HDF5" and {"Particles", "Particles_Classes"} <= set(contents.tables)

    def look(self, path: str) -> Found:
        with open_hdf5(path) as file:
            datasets = self._datasets(path, file)
            present = frozenset({*SLOTS, "met"} | ({"event_id"} if "EvtId" in datasets else set()))
            facts = frozenset({"event"} if "EvtId" in datasets else ())
            remarks = ("Jets are massless and have no constituents.",)
            return Found(len(datasets["Particles"]), present, remarks=remarks, facts=facts)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_hdf5(path) as file:
            for start, arrays in hdf5.blocks(path, self._datasets(path, file), rows):
                yield _block(start, arrays["Particles"], arrays.get("EvtId"))

    @staticmethod
    def _datasets(path: str, file) -> dict:
        datasets = {"Particles": hdf5.dataset(path, file, "Particles", SHAPE)}
        with reading(path):
            numbered = "EvtId" in file
        return datasets | ({"EvtId": hdf5.dataset(path, file, "EvtId", (None,))} if numbered else {})


def _block(start: int, particles: np.ndarray, number: np.ndarray | None) -> Block:
    with np.errstate(over="ignore"):
        p, classes = particles[..., :3].astype(np.float32), particles[..., 3]
    damaged = {
        "Particles": unsound(p) | unsound(p[..., 0], positive=True),
        "Particles, class": ((classes != CLASSES) & (classes != 0)).any(axis=1),
    }
    columns = {name: _collection(p[:, rows], MASSES.get(name, 0.0), WIDTHS[name]) for name, rows in SLOTS.items()}
    columns |= {
        "jet": columns["jets"][:, 0],
        "met": p[:, 0, [0, 2]],
        "constituents": np.zeros((len(p), 0, 4), np.float32),
    }
    facts = {}
    if number is not None:
        facts["event"] = columns["event_id"] = np.nan_to_num(number).astype(np.int64)
        damaged["EvtId"] = unsound(number) | (facts["event"] < 0)
    return Block(columns, start + np.arange(len(p)), damaged, facts=facts)


def _collection(p: np.ndarray, mass: float, width: int) -> np.ndarray:
    """(N, K, 3) of (pt, eta, phi) in any order to (N, width, 4) float32 by falling pt."""
    order = np.argsort(-p[..., 0], axis=1, kind="stable")
    p = np.take_along_axis(p, order[..., None], axis=1)
    vectors = np.zeros((len(p), width, 4), np.float32)
    vectors[:, : p.shape[1], :3] = p
    vectors[..., 3] = np.where(vectors[..., 0] > 0, np.float32(mass), 0)
    return vectors
