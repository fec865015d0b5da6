"""Normalizing flows that act on a latent posterior: z0 ~ q(z0|x) -> zK, with log|det dzK/dz0|.

A flow is a module ``flow(z, h) -> (z', log_abs_det_jacobian)`` whose parameters come, per event, from the encoder's
output h. The import lines below are the registry.
"""

from hepad.detectors.flows.autoregressive import InverseAutoregressive
from hepad.detectors.flows.base import Flow
from hepad.detectors.flows.convolutional import Convolutional
from hepad.detectors.flows.planar import Planar
from hepad.detectors.flows.sylvester import HouseholderSylvester, OrthogonalSylvester, TriangularSylvester
from hepad.registry import Registry

__all__ = ["FLOWS", "Flow", "build"]

FLOWS = Registry(
    "flow", Planar, OrthogonalSylvester, HouseholderSylvester, TriangularSylvester, InverseAutoregressive, Convolutional
)


def build(entry: dict, latent_dim: int, context: int) -> Flow:
    """The flow of an entry, ``{"type": "Planar", "layers": 6}``; errors as those of :meth:`Registry.make`."""
    return FLOWS.make(entry, latent_dim, context)
