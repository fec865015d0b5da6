"""Several representations of one event in one flat vector: all pixels first, then all columns."""

from collections.abc import Sequence
from typing import final

import torch

from hepad.errors import InputError
from hepad.events import Events
from hepad.representations.base import Representation, Space


@final
class Joined(Representation):
    """Concatenate representations, flattened.

    Parameters
    ----------
    parts: the representations; their column names must differ

    Returns
    -------
    of events: (N, D) float32, the D = pixels + columns of all parts

    Raises
    ------
    InputError: a part is no representation, or a column comes from more than one

    Examples
    --------
    >>> both = hepad.Joined([hepad.JetImage(size=20), hepad.EventVector(["mass", "met"])])
    >>> both(events).shape
    torch.Size([500, 402])
    """

    def __init__(self, parts: Sequence[Representation]):
        if not parts or not all(isinstance(part, Representation) for part in parts):
            raise InputError("Joined: 'parts' must be a list of representations, each with the key 'type'.")
        self.parts = tuple(parts)
        columns = [name for part in self.parts for name in part.space.columns]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise InputError(f"Joined: column '{twice[0]}' comes from more than one part. Remove it from one of them.")
        pixels = sum(part.space.pixels for part in self.parts)
        encoders = tuple(digest for part in self.parts for digest in part.space.encoders)
        self._space = Space((pixels + len(columns),), tuple(columns), pixels, encoders=encoders)

    @property
    def space(self) -> Space:
        return self._space

    @property
    def entry(self) -> dict:
        return {"type": type(self).__name__, "parts": [part.entry for part in self.parts]}

    def contains(self, other: Representation) -> bool:
        return super().contains(other) or any(part.contains(other) for part in self.parts)

    def __repr__(self) -> str:
        return f"Joined(parts={list(self.parts)})"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def needs_constituents(self) -> bool:
        return any(part.needs_constituents for part in self.parts)

    def check_present(self, meta: dict) -> None:
        for part in self.parts:
            part.check_present(meta)

    def transform(self, events: Events) -> torch.Tensor:
        blocks = [part.transform(events).flatten(1) for part in self.parts]
        pixels = [block[:, : part.space.pixels] for block, part in zip(blocks, self.parts, strict=True)]
        columns = [block[:, part.space.pixels :] for block, part in zip(blocks, self.parts, strict=True)]
        return torch.cat(pixels + columns, dim=1)
