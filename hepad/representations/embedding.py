"""Embeddings: what a network that somebody else has trained makes of an event, as input of a detector.

    h = f(x),    x: another representation,    f: fixed, read from a file (:mod:`hepad.representations.encoder`)

Foundation models of jets come in this way, and none of their weights are trained here. The file is known by its
SHA-256: models of another one are refused.
"""

import os
import re
from typing import final

import torch

from hepad.errors import InputError
from hepad.events import Events
from hepad.representations.base import Representation, Space
from hepad.representations.encoder import Encoder


@final
class Embedding(Representation):
    """(N, D) float32: another representation through a fixed network.

    Parameters
    ----------
    input: the representation that the network sees, in GeV and radians
    encoder: path of the network, .onnx or .safetensors; a relative one counts from the folder of the run, as those of
        all files of a configuration do, in a program from where that is started

    Raises
    ------
    InputError: ``input`` is no representation
    EncoderError: the file is missing, damaged, a pickle, or takes other events than ``input`` makes; on events: NaN
    MissingLibrary: it is an ONNX file, and ONNX Runtime is not installed

    Examples
    --------
    >>> embedding = hepad.Embedding(hepad.Constituents(count=30), "encoder.onnx")
    >>> embedding(events).shape
    torch.Size([500, 16])
    """

    def __init__(self, input: Representation, encoder: str):
        if not isinstance(input, Representation):
            raise InputError("Embedding: 'input' must be a representation, a mapping with the key 'type'.")
        if not isinstance(encoder, str | os.PathLike):
            raise InputError(f"Embedding: encoder: {encoder!r} is no path. Give that of a file, .onnx or .safetensors.")
        self.input, self.encoder = input, os.fspath(encoder)
        self._encoder = Encoder.read(self.encoder, input.space.shape)

    @property
    def space(self) -> Space:
        stem = re.sub(r"\W", "_", os.path.splitext(os.path.basename(self.encoder))[0])
        columns = tuple(f"{stem}_{i + 1}" for i in range(self._encoder.width))
        return Space((self._encoder.width,), columns, encoders=(*self.input.space.encoders, self._encoder.digest))

    @property
    def entry(self) -> dict:
        return {"type": type(self).__name__, "input": self.input.entry, "encoder": self.encoder}

    def __repr__(self) -> str:
        return f"Embedding(input={self.input!r}, encoder={self.encoder!r})"

    def __reduce__(self):  # copies read the file again: a session of ONNX Runtime has none
        return type(self), (self.input, self.encoder)

    def contains(self, other: Representation) -> bool:
        """As of any other; an encoder is known by its file's content, wherever that lies."""
        if not isinstance(other, Embedding) or self.space != other.space:
            return super().contains(other)
        return self.input.contains(other.input) and other.input.contains(self.input)

    @property
    def needs(self) -> frozenset[str]:
        return self.input.needs

    @property
    def needs_constituents(self) -> bool:
        return self.input.needs_constituents

    def check_present(self, meta: dict) -> None:
        self.input.check_present(meta)

    def transform(self, events: Events) -> torch.Tensor:
        return torch.from_numpy(self._encoder(self.input.transform(events).numpy()))
