"""Representations: Events -> Tensor. The import lines below are the registry."""

from collections.abc import Mapping

from hepad.registry import Registry
from hepad.representations.base import Representation, Space, occupied
from hepad.representations.event_matrix import EventMatrix
from hepad.representations.event_vector import EventVector
from hepad.representations.jet_image import JetImage
from hepad.representations.joined import Joined

__all__ = ["REPRESENTATIONS", "EventMatrix", "EventVector", "JetImage", "Joined", "Representation", "Space", "build"]
__all__ += ["occupied"]

REPRESENTATIONS = Registry("representation", EventMatrix, EventVector, JetImage, Joined)


def build(entry: dict) -> Representation:
    """The representation of an entry, ``{"type": "JetImage", "sigma": 2, ...}``; errors as :meth:`Registry.make`'s.

    A value that is a list of such entries (``parts`` of ``Joined``) is built as well.
    """
    if isinstance(entry, Mapping):
        nested = {key for key, x in entry.items() if isinstance(x, list) and any(isinstance(y, dict) for y in x)}
        entry = {key: [build(part) for part in value] if key in nested else value for key, value in entry.items()}
    return REPRESENTATIONS.make(entry)
