"""The base of all representations. A representation is a stateless map from events to a tensor."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hepad.errors import EncoderError, InputError
from hepad.events import Events

BLOCK = 2000  # events


@dataclass(frozen=True)
class Space:
    """The space of the tensors that a representation makes.

    Attributes
    ----------
    shape: of one event, e.g. (1, 40, 40) or (12,)
    columns: names of the entries that are not pixels, in order; () for an image
    pixels: how many leading entries, flattened, are pixels of an image; 0 for a vector
    unit_sum: pixels are non-negative and sum to one, as in a jet image; if False, each lies in [0, 1]
    objects: shape is (1, R, F), R objects with F features each; a row of zeros is an object that is not there
    encoders: SHA-256 of the files of the fixed encoders that make it, hexadecimal
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    pixels: int = 0
    unit_sum: bool = True
    objects: bool = False
    encoders: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: dict) -> "Space":
        """A space from its JSON form."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()})

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the F features of an object, the ends of its columns; () of events that are not made of objects."""
        return tuple(name.rpartition("_")[2] for name in self.columns[: self.shape[-1]]) if self.objects else ()

    def check_encoders(self, of: "Space", whose: str) -> None:
        """EncoderError unless events of this space come from the files of encoders that those of another do.

        ``whose``: what was made with the other
        """
        if self.encoders != of.encoders:
            made, trained = (", ".join(x[:12] for x in encoders) or "none" for encoders in (self.encoders, of.encoders))
            raise EncoderError(
                f"{whose}: the events come from an encoder of SHA-256 {made}, it was made with {trained}. Put the "
                "file of the encoder back, or make it anew with this one."
            )


def check_names(kind: str, key: str, names: Sequence[str]) -> None:
    """InputError unless the argument ``key``s of a representation is a list of names, each there once."""
    if isinstance(names, str) or not names:
        raise InputError(f"{kind}: {key}s = {names!r} must be a list of at least one name.")
    twice = [name for name in names if list(names).count(name) > 1]
    if twice:
        raise InputError(f"{kind}: {key} '{twice[0]}' is listed twice. Remove one.")


def occupied(x: torch.Tensor) -> torch.Tensor:
    """(N, 1, R, 1) true where an object of x (N, 1, R, F) is there: a row that is not all zero."""
    return (x != 0).any(-1, keepdim=True)


class Representation(ABC):
    """Stateless callable: Events -> (N, *space.shape) float32; nothing is fitted here.

    ``at_once``: so many events are represented at a time where the result is one tensor anyway
    """

    at_once = BLOCK

    @property
    @abstractmethod
    def space(self) -> Space:
        """The space of its tensors."""

    @property
    def entry(self) -> dict:
        """Its type and arguments as JSON, from which :func:`hepad.representations.build` makes the same again."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"type": type(self).__name__, **plain}

    def contains(self, other: "Representation") -> bool:
        """Whether all that ``other`` makes of an event is in what this one makes of it."""
        return self.entry == other.entry

    def __repr__(self) -> str:
        arguments = [f"{name}={value!r}" for name, value in self.entry.items() if name != "type"]
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    def needs(self) -> frozenset[str]:
        """Parts of the event that it needs besides the probe jet: 'jets', 'electrons', 'muons', 'photons', 'taus',
        'met'."""
        return frozenset()

    @property
    def needs_constituents(self) -> bool:
        """Whether it looks into the probe jet."""
        return True

    def check_present(self, meta: dict) -> None:
        """InputError if the sample of this ``meta`` lacks something that is needed (it is read as zero)."""
        inputs = self.needs | ({"constituents"} if self.needs_constituents else set())
        missing = sorted(inputs - set(meta.get("present", inputs)))
        if missing:
            raise InputError(
                f"sample '{meta.get('name')}' has no {', '.join(missing)}, which the representation needs. "
                "Read them (`hepad inspect FILE` says what a file holds; 'branches' maps names), or leave these "
                "variables out."
            )

    @abstractmethod
    def transform(self, events: Events) -> torch.Tensor:
        """One block of events to (N, *space.shape) float32, all rows in memory at once."""

    def blocks(self, events: Events, size: int = BLOCK) -> Iterator[torch.Tensor]:
        """Yield the representation of ``size`` events at a time, so that memory stays bounded.

        Raises
        ------
        InputError: a jet has no constituents although they are needed, or the sample lacks what is needed.
        """
        self.check_present(events.meta)
        empty = int((~(events.constituents[..., 0] > 0).any(axis=1)).sum())
        if empty and self.needs_constituents:
            raise InputError(
                f"representation: {empty} of {len(events)} jets have no constituents with pt > 0. "
                "Tighten the selection or check the constituents' branches."
            )
        for start in range(0, len(events), size):
            yield self.transform(events[start : start + size])

    def __call__(self, events: Events) -> torch.Tensor:
        if 0 < len(events) <= self.at_once:
            return next(self.blocks(events, len(events)))
        x, start = torch.empty(len(events), *self.space.shape), 0
        for block in self.blocks(events, self.at_once):
            x[start : start + len(block)] = block
            start += len(block)
        return x
