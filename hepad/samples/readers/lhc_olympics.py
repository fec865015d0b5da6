"""LHC Olympics 2020 (arXiv:2101.08320), HDF5 that pandas wrote with format='fixed', blosc-compressed.

One event per row of float64, key ``df``: 700 massless particles (pt, eta, phi) [GeV, rad], padded with zeros, in the
columns 0 to 2099; in the R&D set a column 2100 with 1 for signal, which the black boxes lack. There are no jets:
particles are clustered with anti-kT, jets with pt > 20 GeV are ``jets``, and the ``leading`` of them are probe jets.
The missing transverse momentum is minus the vector sum of all particles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events.identifiers import content_id
from hepad.events.kinematics import MAX_ABS_ETA
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples import clustering
from hepad.samples.clustering import Particles
from hepad.samples.formats import pandas_hdf5
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.jagged import unsound
from hepad.storage.hdf5 import open_hdf5

PARTICLES = list(range(2100))
LABEL = 2100
COLUMNS = frozenset(map(str, PARTICLES))
ROWS = 2000  # 17 kB each
MAX_PT = 1e9  # beyond this in whatever units, the clustering overflows


@dataclass(frozen=True)
class LHCOlympics(Reader):
    """LHC Olympics: events of particles, clustered to jets.

    radius: of the jets
    leading: how many of the hardest jets of an event are probe jets
    is_signal: 0 or 1, the class that is read; None reads both
    key: name of the table; None: the only one there is with such columns
    """

    title = "LHC Olympics 2020 (HDF5 of pandas): events of 700 particles, clustered to jets"
    kind = "HDF5"
    # the first particle, and the last of the 700
    landmarks = ("0", "1", "2", "2097", "2098", "2099")
    radius: float = 1.0
    leading: int = 1
    is_signal: int | None = None
    key: str | None = None

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        return contents.kind == "HDF5" and any(_is_lhco(names) for names in contents.tables.values())

    def look(self, path: str) -> Found:
        with open_hdf5(path) as file:
            table = self._table(path, file)
            present = frozenset({"constituents", "jets", "met"})
            return Found(table.rows, present, jet_radius=self.radius, remarks=("Particles are massless.",))

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        rows = min(rows, ROWS)
        with open_hdf5(path) as file:
            table = self._table(path, file)
            for start in range(0, table.rows, rows):
                values = table.read(PARTICLES + [LABEL] * (LABEL in table.where), slice(start, start + rows))
                yield self._block(start, values)

    def _table(self, path: str, file) -> pandas_hdf5.Table:
        numbers = isinstance(self.radius, int | float) and isinstance(self.leading, int)
        if not numbers or self.radius <= 0 or self.leading < 1 or self.is_signal not in (None, 0, 1):
            raise InputError("LHCOlympics: 'radius' is positive, 'leading' at least 1, 'is_signal' 0, 1 or null.")
        table = pandas_hdf5.find_table(path, file, self.key, PARTICLES)
        if set(table.where) - {LABEL} != set(PARTICLES):
            listed = ", ".join(str(name) for name in list(table.where)[:6])
            raise InputError(
                f"{path}: table '{table.key}' has {len(table.where)} columns ({listed}, ...), not 0 to 2099 and, with "
                f"a label, 2100. Set 'key' or another 'reader'.{table.unread()}"
            )
        if self.is_signal is not None and LABEL not in table.where:
            raise InputError(f"{path}: there is no column {LABEL} with the label. Leave 'is_signal' out.")
        return table

    def _block(self, start: int, values: np.ndarray) -> Block:
        p, label = values[:, : len(PARTICLES)].reshape(len(values), -1, 3), values[:, len(PARTICLES) :]
        wrong = {"particles": _unsound(p)}
        refused, entry = {}, start + np.arange(len(p))
        if label.shape[1]:
            wrong["label"] = ~np.isin(label[:, 0], (0, 1))
            if self.is_signal is not None:
                chosen = (label[:, 0] == self.is_signal) | wrong["label"]
                refused["is_signal"] = int((~chosen).sum())
                p, entry, wrong = p[chosen], entry[chosen], {name: bad[chosen] for name, bad in wrong.items()}
        p = np.where(wrong["particles"][:, None, None], 0, p)
        particles = _particles(p)
        jets = clustering.cluster(particles, len(p), self.radius)
        # an event with bad values has no jets, but a row that tells so
        number = np.maximum(np.minimum(np.bincount(jets.event, minlength=len(p)), self.leading), wrong["particles"])
        refused["no jet"] = int((number == 0).sum())
        event = np.repeat(np.arange(len(p)), number)
        probe = np.flatnonzero(jets.rank < self.leading)
        has_jet = ~wrong["particles"][event]
        objects = clustering.event_objects(particles, jets, len(p))
        columns = {"jets": pad(jets.event, jets.p, len(p), WIDTHS["jets"])[event], "met": objects["met"][event]}
        columns["event_id"] = content_id(p)[event]
        columns["jet"] = np.zeros((len(event), 4), np.float32)
        columns["jet"][has_jet] = jets.p[probe]
        columns["constituents"] = np.zeros((len(event), WIDTHS["constituents"], 4), np.float32)
        columns["constituents"][has_jet] = clustering.constituents(particles, jets, probe)
        lost = np.zeros(len(event), int)
        lost[has_jet] = np.maximum(ak.to_numpy(ak.num(jets.members[probe])) - WIDTHS["constituents"], 0)
        return Block(
            columns, entry[event], {name: bad[event] for name, bad in wrong.items()}, refused,
            cut_off=beyond(jets.event, len(p), WIDTHS["jets"])[event], constituents_cut_off=lost,
        )  # fmt: skip


def _particles(p: np.ndarray) -> Particles:
    """The particles of the events p (N, 700, 3), flat, of no known kind."""
    event, place = np.nonzero(p[..., 0] > 0)
    unknown = np.zeros(len(event), np.int32)
    momenta = np.concatenate([p[event, place].astype(np.float64), np.zeros((len(event), 1))], axis=1)
    return Particles(event, unknown, unknown.astype(bool), momenta)


def _is_lhco(columns: frozenset[str]) -> bool:
    return columns in (COLUMNS, COLUMNS | {str(LABEL)})


def _unsound(p: np.ndarray) -> np.ndarray:
    """(N,) bool: events of p (N, 700, 3) with values that cannot be, which the clustering must not meet."""
    with np.errstate(invalid="ignore"):
        far = (p[..., 0] > MAX_PT) | (np.abs(p[..., 1]) > MAX_ABS_ETA)
    return unsound(p) | unsound(p[..., 0], positive=True) | far.any(axis=1)
