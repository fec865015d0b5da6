"""The constituents of a jet as a set: what networks on particles see, Deep Sets, energy flow networks, transformers.

    z = pT / pT(jet),    deta = eta - eta(jet),    dphi = phi - phi(jet) in [-pi, pi)

One row each, by falling pT, and rows of zeros behind the last.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch

from hepad.errors import InputError, check_choice
from hepad.events import Events
from hepad.events.kinematics import delta_phi, to_cartesian
from hepad.representations.base import Representation, Space, check_names

FEATURES = {"z": "", "deta": "", "dphi": "rad", "pt": "GeV", "energy": "GeV", "eta": "", "phi": "rad", "mass": "GeV"}


@final
class Constituents(Representation):
    """(N, 1, C, F) float32 of the C hardest constituents of a jet with F features each; a row of zeros is none.

    Parameters
    ----------
    count: C; softer constituents are left out, of jets that have fewer the last rows are zeros
    features: names out of ``FEATURES``, each once; GeV and radians. 'z', 'pt' or 'energy' must be among them, so that
        no constituent can look like one that is not there

    Raises
    ------
    InputError: the count or a feature is out of range; on events: a jet has no constituents

    Examples
    --------
    >>> hepad.Constituents(count=30)(events).shape
    torch.Size([500, 1, 30, 3])
    """

    def __init__(self, *, count: int = 50, features: Sequence[str] = ("z", "deta", "dphi")):
        if type(count) is not int or count < 1:
            raise InputError(f"Constituents: count = {count!r} must be a number of constituents, 1 or more.")
        check_names("Constituents", "feature", features)
        self.count = count
        self.features = tuple(check_choice("Constituents: feature", name, FEATURES) for name in features)
        if not {"z", "pt", "energy"} & set(self.features):
            raise InputError(
                f"Constituents: with the features {', '.join(self.features)} a constituent can look like one that is "
                "absent, a row of zeros. Add 'z', 'pt' or 'energy'."
            )

    @property
    def space(self) -> Space:
        columns = tuple(f"constituent{i + 1}_{feature}" for i in range(self.count) for feature in self.features)
        return Space(shape=(1, self.count, len(self.features)), columns=columns, objects=True)

    def transform(self, events: Events) -> torch.Tensor:
        pt, eta, phi, mass = np.moveaxis(events.constituents, -1, 0)
        # η and φ decide between equal ones, so that the order in which they are stored never matters
        order = np.lexsort((phi, eta, -pt), axis=-1)[:, : self.count]
        p = np.take_along_axis(events.constituents.astype(np.float64), order[..., None], axis=1)
        p = np.pad(p, ((0, 0), (0, self.count - p.shape[1]), (0, 0)))
        pt, eta, phi, mass = np.moveaxis(p, -1, 0)
        jet_pt, jet_eta, jet_phi = (events.jet[:, [i]].astype(np.float64) for i in range(3))
        found = {"z": pt / jet_pt, "deta": eta - jet_eta, "dphi": delta_phi(phi, jet_phi), "eta": eta, "phi": phi}
        found |= {"pt": pt, "energy": to_cartesian(p)[..., 3], "mass": mass}
        x = np.stack([found[name] for name in self.features], axis=-1)
        return torch.from_numpy(np.where(pt[..., None] > 0, x, 0)[:, None].astype(np.float32))
