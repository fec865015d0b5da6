"""Event matrices: the objects of an event in rows, their features in columns (Jawahar et al., arXiv:2110.08508).

    x = (jets | b jets | muons | electrons | photons | MET),   each block by falling pT and padded with rows of zeros

The published matrix has 13 jets, 3 each of b jets, μ+, μ-, e+, e- and photons, and a row (MET, 0, 0, 0). Here leptons
of both charges share a block, jets have ten rows, and MET has its direction: (px, py, 0, 0). Values are
physical, in GeV and radians: detectors standardise each feature over the objects that are there.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from hepad.errors import InputError, check_choice
from hepad.events import Events
from hepad.events.kinematics import to_cartesian
from hepad.representations.base import Representation, Space, check_names

# name: unit, in the order of to_cartesian and FOUR_VECTOR
FEATURES = {"px": "GeV", "py": "GeV", "pz": "GeV", "energy": "GeV", "pt": "GeV", "eta": "", "phi": "rad", "mass": "GeV"}
MET_MIN = 1e-6  # GeV; a vanishing MET is a measurement, not an absent object


@final
class EventMatrix(Representation):
    """(N, 1, R, F) float32 of R objects with F features each; an object that is not there is a row of zeros.

    The last row is MET, a massless object at η = 0, which is always there: a crossing without objects is that row
    alone, an event like any other.

    Parameters
    ----------
    jets, b_jets, muons, electrons, photons: how many rows of each, the hardest; further objects are left out. With
        ``b_jets`` 0, tags are not looked at and ``jets`` holds all jets
    features: names out of ``FEATURES``, each once; GeV and radians. 'pt', 'energy' or both of 'px' and 'py' must be
        among them, so that no object that is there can look like one that is not

    Raises
    ------
    InputError: a number or a feature is out of range; on events: their file has no MET, no b tags or no such objects

    Examples
    --------
    >>> matrix = hepad.EventMatrix(jets=4, b_jets=0, muons=2, electrons=2, photons=0)
    >>> matrix(events).shape  # nine rows, of which the last is MET
    torch.Size([500, 1, 9, 4])
    """

    def __init__(
        self,
        *,
        jets: int = 10,
        b_jets: int = 3,
        muons: int = 4,
        electrons: int = 4,
        photons: int = 3,
        features: Sequence[str] = ("px", "py", "eta", "mass"),
    ):
        self.counts = {"jets": jets, "b_jets": b_jets, "muons": muons, "electrons": electrons, "photons": photons}
        for name, count in self.counts.items():
            if type(count) is not int or count < 0:
                raise InputError(f"EventMatrix: {name} = {count!r} must be a number of rows, 0 or more.")
        if not any(self.counts.values()):
            raise InputError("EventMatrix: every number of rows is 0. Set 'jets' or another to 1 or more.")
        check_names("EventMatrix", "feature", features)
        self.features = tuple(check_choice("EventMatrix: feature", name, FEATURES) for name in features)
        given = set(self.features)
        if not (given & {"pt", "energy"} or given >= {"px", "py"}):
            raise InputError(
                f"EventMatrix: with the features {', '.join(self.features)} an object can look like an absent one, a "
                "row of zeros. Add 'pt', 'energy' or both of 'px' and 'py'."
            )

    @property
    def entry(self) -> dict:
        return {"type": type(self).__name__, **self.counts, "features": list(self.features)}

    @property
    def space(self) -> Space:
        rows = [f"{name[:-1]}{i + 1}" for name, count in self.counts.items() for i in range(count)] + ["met"]
        columns = tuple(f"{row}_{feature}" for row in rows for feature in self.features)
        return Space(shape=(1, len(rows), len(self.features)), columns=columns, objects=True)

    @property
    def needs(self) -> frozenset[str]:
        names = {name for name, count in self.counts.items() if count} | {"met"}
        return frozenset(names - {"b_jets"} | ({"jets", "b_tag"} if self.counts["b_jets"] else set()))

    @property
    def needs_constituents(self) -> bool:
        return False

    def check_present(self, meta: dict) -> None:
        """InputError if the file lacks something that is needed."""
        if self.counts["b_jets"] and "b_tag" not in meta.get("present", self.needs):
            raise InputError(
                f"sample '{meta.get('name')}' has no b tags. Set 'b_jets: 0' of EventMatrix: jets share one block."
            )
        super().check_present(meta)

    def transform(self, events: Events) -> torch.Tensor:
        rows = [_hardest(objects, self.counts[name]) for name, objects in self._blocks(events).items()]
        met = np.zeros((len(events), 1, 4))
        met[:, 0, [0, 2]] = events.met
        met[..., 0] = np.maximum(met[..., 0], MET_MIN)
        p = np.concatenate([*rows, met], axis=1)
        values = np.where(p[..., :1] > 0, np.concatenate([to_cartesian(p), p], axis=-1), 0)
        chosen = [list(FEATURES).index(name) for name in self.features]
        return torch.from_numpy(values[:, None, :, chosen].astype(np.float32))

    def _blocks(self, events: Events) -> dict[str, np.ndarray]:
        """{name: (N, K, 4)} of those blocks that have rows; jets of the other kind are zero."""
        tagged = (events.b_tag > 0) & (self.counts["b_jets"] > 0)
        blocks = {"jets": events.jets * ~tagged[..., None], "b_jets": events.jets * tagged[..., None]}
        blocks |= {name: getattr(events, name) for name in ("muons", "electrons", "photons")}
        return {name: objects for name, objects in blocks.items() if self.counts[name]}


def _hardest(objects: np.ndarray, count: int) -> np.ndarray:
    """(N, K, 4) to (N, count, 4) by falling pt; η and φ decide between equal ones, so that order never matters."""
    pt, eta, phi, _ = np.moveaxis(objects, -1, 0)
    order = np.lexsort((phi, eta, -pt), axis=-1)[:, :count]
    hardest = np.take_along_axis(objects, order[..., None], axis=1)
    return np.pad(hardest, ((0, 0), (0, count - hardest.shape[1]), (0, 0)))
