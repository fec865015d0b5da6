"""Representations: Events -> Tensor. The import lines below are the registry."""

from collections.abc import Mapping
from pathlib import Path

from hepad.registry import Registry
from hepad.representations.base import Representation, Space, occupied
from hepad.representations.constituents import Constituents
from hepad.representations.embedding import Embedding
from hepad.representations.event_matrix import EventMatrix
from hepad.representations.event_vector import EventVector
from hepad.representations.jet_image import JetImage
from hepad.representations.joined import Joined

__all__ = ["REPRESENTATIONS", "Constituents", "Embedding", "EventMatrix", "EventVector", "JetImage", "Joined"]
__all__ += ["Representation", "Space", "build", "occupied"]

REPRESENTATIONS = Registry("representation", Constituents, Embedding, EventMatrix, EventVector, JetImage, Joined)


def build(entry: dict, folder: str | Path | None = None) -> Representation:
    """The representation of an entry, ``{"type": "JetImage", "sigma": 2, ...}``; errors as :meth:`Registry.make`'s.

    A value that is such an entry (``input`` of ``Embedding``), or a list of them (``parts`` of ``Joined``), is built as
    well. ``folder``: the one that the paths in it count from; None for the one of this process.
    """
    if isinstance(entry, Mapping):
        nested = {key for key, x in entry.items() if isinstance(x, list) and any(isinstance(y, dict) for y in x)}
        entry = {
            key: [build(part, folder) for part in value] if key in nested else value for key, value in entry.items()
        }
        entry = {key: build(value, folder) if isinstance(value, dict) else value for key, value in entry.items()}
        if folder is not None and isinstance(entry.get("encoder"), str):
            entry["encoder"] = str(Path(folder, entry["encoder"]))
    return REPRESENTATIONS.make(entry)
