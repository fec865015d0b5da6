"""The base of all readers. A reader knows one dialect of files, recognises it by their contents, and reads in blocks.

A reader is a frozen dataclass. Its fields are the options of a sample's source: ``{files: ..., reader: Delphes, jet:
FatJet}``. It knows nothing of selections, splits and duplicates: :mod:`hepad.samples.stream` does that for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from hepad.events import MEASURES
from hepad.samples.formats.contents import Contents


@dataclass(frozen=True)
class Found:
    """Contents of one file, as one reader finds them at a first look.

    Attributes
    ----------
    entries: in the file: events, or jets where the dialect stores jets
    present: of 'constituents', 'jets', 'electrons', 'muons', 'photons', 'taus', 'met', 'b_tag', 'weight', 'event_id',
        'pileup'
    triggers: names of the trigger bits that are read along
    jet_radius: of the probe jet, None where the file does not tell
    remarks: what the user should know, one sentence each
    meta: facts of the sample that the file carries
    official_split: whether rows come with one
    facts: which of hepad.events.FACTS blocks have; truth: names of the generator-level quantities
    """

    entries: int
    present: frozenset[str]
    triggers: tuple[str, ...] = ()
    jet_radius: float | None = None
    remarks: tuple[str, ...] = ()
    meta: dict = field(default_factory=dict)
    official_split: bool = False
    facts: frozenset[str] = frozenset()
    truth: frozenset[str] = frozenset()

    @property
    def given(self) -> frozenset[str]:
        """What representations may ask for: ``present``, and pile-up, vertices and scores where the file has them."""
        return self.present | self.facts & MEASURES.keys()


@dataclass(frozen=True)
class Block:
    """R probe jets out of one stretch of a file, before any cut.

    Attributes
    ----------
    columns: arrays of :class:`hepad.events.Events` by name, R rows each: at least ``jet`` or ``constituents``; of
        ``jets``, ``electrons``, ``muons``, ``photons``, ``taus``, ``met``, ``b_tag``, ``weight``, ``event_id`` what
        there is
    entry: (R,) number in the file of the entry that a row comes from
    damaged: (R,) bool by name of the branch or dataset: rows with a value that cannot be (see
        hepad.samples.readers.jagged)
    weight: that name of ``damaged`` from which nothing but the weight comes
    references: those names of ``damaged`` that refer to other objects, which the file does not hold
    refused: why, and how many, entries gave no row: {'no jet': 12}
    refused_weight: Σ of their weights, where the file has any
    facts: (R,) each, what identifies and describes an event, by the names of hepad.events.FACTS; whole numbers of any
        length, and NaN where the file does not know
    triggers: (R,) bool each
    truth: generator-level quantities, (R,) each
    split: (R,) int8 where the file has an official one: index into hepad.events.SPLITS
    cut_off: (R,) number of the event's softest objects beyond the lengths that Events keep; None: there cannot be any
    constituents_cut_off: (R,) the same of the probe jet's constituents
    """

    columns: dict[str, np.ndarray]
    entry: np.ndarray
    damaged: dict[str, np.ndarray] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    triggers: dict[str, np.ndarray] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    split: np.ndarray | None = None
    cut_off: np.ndarray | None = None
    constituents_cut_off: np.ndarray | None = None
    references: frozenset[str] = frozenset()
    weight: str = ""
    refused_weight: float = 0.0

    def take(self, rows: np.ndarray, refused: dict[str, int]) -> "Block":
        """The rows of a mask or index array; what happened to the others is added to ``refused``."""
        groups = {name: {k: v[rows] for k, v in getattr(self, name).items()} for name in GROUPS}
        single = {name: None if getattr(self, name) is None else getattr(self, name)[rows] for name in SINGLE}
        others = np.setdiff1d(np.arange(len(self.entry)), np.arange(len(self.entry))[rows])
        weight = self.refused_weight + weight_of(self.columns.get("weight"), others)
        return replace(self, **groups, **single, refused=self.refused | refused, refused_weight=weight)


def weight_of(weights: np.ndarray | None, rows: np.ndarray) -> float:
    """Σ of the finite ``weights`` (N,) of a mask or index array; 0 without weights."""
    return 0.0 if weights is None else float(np.sum(weights[rows], where=np.isfinite(weights[rows])))


GROUPS = ("columns", "damaged", "facts", "triggers", "truth")
SINGLE = ("entry", "split", "cut_off", "constituents_cut_off")


class Reader(ABC):
    """One dialect. ``title``: in a line, what it reads; ``kind``: of its files, as in :class:`Contents`;
    ``landmarks``: names that its files have, by which a damaged or misspelt one is known."""

    title: ClassVar[str]
    kind: ClassVar[str]
    landmarks: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def recognises(cls, contents: Contents) -> bool:
        """Whether a file is of this dialect, from the names in it; at most one reader says yes to a file."""

    @abstractmethod
    def look(self, path: str) -> Found:
        """A look at the file with these options; InputError names what is missing, what is there and what to do."""

    def remedy(self, branch: str) -> str:
        """A sentence: the advice for a file that has too many impossible values in a branch."""
        return "Repair the file."

    @abstractmethod
    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        """The file from its beginning to its end, about ``rows`` entries at a time, in bounded memory."""
