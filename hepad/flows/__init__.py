"""Normalizing flows that act on a latent posterior: z0 ~ q(z0|x) -> zK, with log|det dzK/dz0|.

A flow is a module ``flow(z, h) -> (z', log_abs_det_jacobian)`` whose parameters come, per event, from the encoder's
output h. The import lines below are the registry.
"""

from hepad.flows.planar import Planar

FLOWS = {cls.__name__: cls for cls in (Planar,)}

__all__ = ["FLOWS", "Planar"]
