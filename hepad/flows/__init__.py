"""Normalizing flows that act on a latent posterior: z0 ~ q(z0|x) -> zK, with log|det dzK/dz0|.

A flow is a module ``flow(z, h) -> (z', log_abs_det_jacobian)`` whose parameters come, per event, from the encoder's
output h. The import lines below are the registry.
"""

import inspect

from hepad.errors import InputError, choose
from hepad.flows.autoregressive import InverseAutoregressive
from hepad.flows.base import Flow
from hepad.flows.convolutional import Convolutional
from hepad.flows.planar import Planar
from hepad.flows.sylvester import HouseholderSylvester, OrthogonalSylvester, TriangularSylvester

__all__ = ["FLOWS", "Flow", "build"]

_ALL = (
    Planar,
    OrthogonalSylvester,
    HouseholderSylvester,
    TriangularSylvester,
    InverseAutoregressive,
    Convolutional,
)
FLOWS = {cls.__name__: cls for cls in _ALL}


def build(spec: dict, latent: int, context: int) -> Flow:
    """The flow of a config entry, ``{"type": "Planar", "layers": 6}``.

    Raises InputError for a missing or unknown type, an unknown argument, or a value that does not fit the latents.
    """
    if not isinstance(spec, dict) or "type" not in spec:
        raise InputError(f"flow: {spec!r} is not an entry with the key 'type'. Allowed types: {', '.join(FLOWS)}.")
    cls = FLOWS[choose("flow: type", spec["type"], FLOWS)]
    arguments = {name: value for name, value in spec.items() if name != "type"}
    for name in arguments:
        choose(f"flow: argument of {spec['type']}", name, list(inspect.signature(cls).parameters)[2:])
    return cls(latent, context, **arguments)
