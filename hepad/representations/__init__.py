"""Representations: Events -> Tensor. The import lines below are the registry."""

import inspect

from hepad.errors import InputError, choose
from hepad.representations.base import Representation, Space, occupied
from hepad.representations.image import JetImage
from hepad.representations.joined import Joined
from hepad.representations.matrix import EventMatrix
from hepad.representations.vector import EventVector

__all__ = ["REPRESENTATIONS", "EventMatrix", "EventVector", "JetImage", "Joined", "Representation", "Space", "build"]
__all__ += ["occupied"]

REPRESENTATIONS = {cls.__name__: cls for cls in (EventMatrix, EventVector, JetImage, Joined)}


def build(spec: dict) -> Representation:
    """The representation of a config entry, ``{"type": "JetImage", "sigma": 2, ...}``.

    A value that is a list of such entries (``parts`` of ``Joined``) is built as well.

    Raises
    ------
    InputError: the type or an argument is unknown (the message lists what is allowed), an argument is missing,
        or a value is out of range.
    """
    if not isinstance(spec, dict) or "type" not in spec:
        raise InputError(f"representation: {spec!r} is not an entry with the key 'type'.")
    name = choose("representation", spec["type"], REPRESENTATIONS)
    parameters = inspect.signature(REPRESENTATIONS[name]).parameters
    arguments = {}
    for key, value in spec.items():
        if key != "type":
            choose(f"{name}: argument", key, parameters)
            nested = isinstance(value, list) and any(isinstance(item, dict) for item in value)
            arguments[key] = [build(item) for item in value] if nested else value
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in arguments]
    if missing:
        raise InputError(f"{name}: argument '{missing[0]}' is missing. Add it to the entry.")
    return REPRESENTATIONS[name](**arguments)
