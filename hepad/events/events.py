"""Events: what every reader produces and every representation consumes.

One row is one probe jet together with the event that it comes from. Units are GeV and radians, c = 1.
Four-vectors are stored as (pt, eta, phi, mass); variable-length collections are ordered by falling pt and
padded with zeros, so that pt > 0 marks an object that exists.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.storage.hdf5 import reading
from hepad.storage.table import ROWS, Block, Layout, Table, new_table

SCHEMA_VERSION = 6
FOUR_VECTOR = ("pt", "eta", "phi", "mass")
SPLITS = ("train", "valid", "test")
FIRST_IDS = 10**10  # identifiers of generated events count from multiples of this, one for each chunk
NUMBERS = {"run": np.int64, "luminosity_block": np.int64, "event": np.int64}
MEASURES = {"n_pv": np.float32, "pileup": np.float32, "cicada": np.float32, "axol1tl": np.float32}
FACTS = NUMBERS | MEASURES  # kinds of the facts, whatever kinds the files have


@dataclass(frozen=True)
class Events:
    """N probe jets with their events.

    Attributes
    ----------
    event_id: (N,) int64; the rows of one event share it, and therefore its split
    row_id: (N,) int64; two rows that share it are the same jet of the same event; None stands for ``event_id``
    split: (N,) int8; index into ``SPLITS``
    weight: (N,) float64; generator weight
    jet: (N, 4) float32; the probe jet (pt, eta, phi, mass) [GeV, rad]
    constituents: (N, P, 4) float32; the probe jet's constituents
    jets, electrons, muons, photons: (N, K, 4) float32; the event's reconstructed objects
    met: (N, 2) float32; missing transverse momentum (pt, phi)
    taus: (N, K, 4) float32; those that decay to hadrons, as the file has them; None stands for none
    b_tag: (N, K) float32; 1 for those of ``jets`` that carry a b tag; None stands for no tags
    triggers: (N, T) bool; trigger bits, named by ``meta['triggers']``; None stands for no bits
    truth: generator-level facts, each (N,) float32
    facts: what the file says of the event, each (N,) of its kind in ``FACTS``: its numbers, vertices and collisions,
        and scores that other triggers gave it; unknown are -1 and NaN
    meta: facts of the sample: ``name``, ``cross_section_pb``, ``acceptance``, ``window``, ``counts``, ...
    """

    event_id: np.ndarray
    split: np.ndarray
    weight: np.ndarray
    jet: np.ndarray
    constituents: np.ndarray
    jets: np.ndarray
    electrons: np.ndarray
    muons: np.ndarray
    photons: np.ndarray
    met: np.ndarray
    taus: np.ndarray | None = None
    b_tag: np.ndarray | None = None
    triggers: np.ndarray | None = None
    row_id: np.ndarray | None = None
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        n = len(self.event_id)
        if self.taus is None:
            object.__setattr__(self, "taus", np.zeros((n, 0, 4), np.float32))
        if self.b_tag is None:
            object.__setattr__(self, "b_tag", np.zeros(self.jets.shape[:2], np.float32))
        if self.triggers is None:
            object.__setattr__(self, "triggers", np.zeros((n, 0), bool))
        if self.row_id is None:
            object.__setattr__(self, "row_id", self.event_id)
        shapes = {
            "event_id": (n,), "split": (n,), "weight": (n,), "jet": (n, 4), "met": (n, 2), "triggers": (n, None),
            "constituents": (n, None, 4), "jets": (n, None, 4),
            "b_tag": (n, self.jets.shape[1]), "electrons": (n, None, 4), "muons": (n, None, 4), "photons": (n, None, 4),
            "taus": (n, None, 4),
        }  # fmt: skip
        for name, array in self.arrays():
            expected = shapes.get(name, (n,))
            if len(array.shape) != len(expected) or any(
                e is not None and e != s for e, s in zip(expected, array.shape, strict=True)
            ):
                raise InputError(f"events: '{name}' has shape {array.shape}, expected {expected}.")

    def __len__(self) -> int:
        return len(self.event_id)

    def __repr__(self) -> str:
        name = f" of '{self.meta['name']}'" if "name" in self.meta else ""
        pt = f", pt {self.jet[:, 0].min():.0f} to {self.jet[:, 0].max():.0f} GeV" if len(self) else ""
        splits = ", ".join(f"{np.count_nonzero(self.split == i):,} {split}" for i, split in enumerate(SPLITS))
        return f"Events({len(self):,} jets{name}{pt}, up to {self.constituents.shape[1]} constituents; {splits})"

    def __getitem__(self, rows) -> "Events":
        """Rows by slice, mask or index array."""
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        groups = {name: {key: value[rows] for key, value in getattr(self, name).items()} for name in GROUPS}
        return Events(**arrays, **groups, meta=self.meta)

    @property
    def cluster(self) -> np.ndarray:
        """(N,) int64; rows that share it are not independent: an event's, or crossings around one hard collision.

        Crossings without a hard event are overlaid from a pool of collisions, one for each chunk of the generation
        (:mod:`hepad.samples.simulation.pileup`); those in which the same one is the hardest fire together.
        """
        if (self.meta.get("rate") or {}).get("kind") != "zero_bias" or "hardest_pileup" not in self.truth:
            return self.event_id
        hardest = self.truth["hardest_pileup"].astype(np.int64)
        return np.where(hardest < 0, -1 - self.event_id, self.event_id // FIRST_IDS * 2**32 + hardest)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """All arrays with their names in a file: 'jet', ..., 'truth/hard_pt', ..., 'facts/run', ..."""
        yield from ((name, getattr(self, name)) for name in ARRAYS)
        yield from ((f"{group}/{key}", value) for group in GROUPS for key, value in getattr(self, group).items())

    def of_split(self, split: str) -> "Events":
        """The rows of one split: 'train', 'valid' or 'test'."""
        return self[self.split == SPLITS.index(check_choice("split", split, SPLITS))]

    def write(self, path: str | Path) -> None:
        """Write to HDF5, atomically, with units, versions and checksums."""
        write_blocks(path, [self])

    @staticmethod
    def table(path: str | Path) -> Table:
        """The table of a file of events, or of several by their index, of which some columns can be read alone."""
        return Table.open(LAYOUT, path)

    @classmethod
    def read(cls, path: str | Path, rows: slice = slice(None)) -> "Events":
        """Read consecutive rows of a file written by :meth:`write`, or of several by their index."""
        table = cls.table(path)
        return concatenate([cls._of(table, block) for block in table.blocks(rows=rows, size=None)])

    @classmethod
    def blocks(
        cls, path: str | Path, size: int = ROWS, chunk: int | None = None, constituents: bool = True
    ) -> Iterator["Events"]:
        """The events of a file, or of the chunks that an index lists or of one ``chunk`` of them, ``size`` at a time.

        At least one block is yielded, which may be empty. Constituents, most of a file, may be left unread.
        """
        table = cls.table(path)
        without = () if constituents else ("constituents",)
        blocks = (table if chunk is None else table.chunk(chunk)).blocks(size=size, without=without)
        return map(partial(cls._of, table), blocks)  # which keeps none while the next is read

    def _as_in(self, meta: dict) -> "Events":
        """The same events with the columns, and the ``meta``, of the table that they are a part of."""
        present, names = list(self.meta.get("triggers", ())), meta["triggers"]
        none = np.zeros(len(self), bool)
        bits = [self.triggers[:, present.index(name)] if name in present else none for name in names]
        groups = {
            name: {
                key: of_kind(getattr(self, name).get(key), kind, len(self))
                for key, kind in meta["columns"][name].items()
            }
            for name in GROUPS
        }
        triggers = np.stack(bits, axis=1) if bits else None
        return replace(self, triggers=triggers, **groups, meta=meta)

    @classmethod
    def _of(cls, table: Table, block: Block) -> "Events":
        """Events of a table, with its columns and its ``meta``, whatever those of the block's file are."""
        columns = dict(block.columns)
        groups = {
            group: {n.removeprefix(f"{group}/"): columns.pop(n) for n in list(columns) if n.startswith(f"{group}/")}
            for group in GROUPS
        }
        columns.setdefault("constituents", np.zeros((len(columns["event_id"]), 0, 4), np.float32))
        with reading(block.path, LAYOUT.what):
            try:
                events = cls(**columns, **groups, meta=block.meta)
            except InputError as error:
                raise InputError(f"{block.path}: {error} Delete it and run again.") from None
            return events if block.meta is table.meta else events._as_in(table.meta)


def of_kind(values: np.ndarray | None, kind, n: int) -> np.ndarray:
    """(n,) numbers of a kind; where there are none, or no number, whole ones are -1 and others NaN."""
    values = np.full(n, np.nan) if values is None else values
    if values.dtype.kind == "f" and np.dtype(kind).kind != "f":
        values = np.where(np.isfinite(values), values, -1)
    return values.astype(kind)


GROUPS = ("truth", "facts")
ARRAYS = tuple(f.name for f in fields(Events) if f.name not in (*GROUPS, "meta"))
LAYOUT = Layout("hepad events", f"hepad event file of schema {SCHEMA_VERSION}", ARRAYS, GROUPS, "meta", SCHEMA_VERSION)


def write_blocks(path: str | Path, blocks: Iterable[Events]) -> dict:
    """Write the events of one sample block by block, as :meth:`Events.write` does, in the memory of one block.

    All blocks have collections of one length, and the ``meta`` of the last one is written and returned: a stream
    completes it while it is read. InputError if there is no block.
    """
    meta, last = {}, None
    with new_table(LAYOUT, path, meta) as append:
        for block in blocks:
            append(dict(block.arrays()))
            last = block.meta
            del block  # the next block is made without this one in memory
        if last is None:
            raise InputError(f"{path}: there are no events to write.")
        meta |= last
    return meta


def concatenate(blocks: list[Events]) -> Events:
    """Join events of one sample; collections are padded to the longest, ``meta`` is the first block's."""
    if len(blocks) == 1:
        return blocks[0]
    arrays = {}
    for name in ARRAYS:
        columns = [getattr(block, name) for block in blocks]
        if columns[0].ndim > 1:
            length = max(array.shape[1] for array in columns)
            unpadded = ((0, 0),) * (columns[0].ndim - 2)
            columns = [np.pad(array, ((0, 0), (0, length - array.shape[1]), *unpadded)) for array in columns]
        arrays[name] = np.concatenate(columns)
    groups = {}
    for name in GROUPS:
        shared = set.intersection(*(set(getattr(block, name)) for block in blocks))
        groups[name] = {key: np.concatenate([getattr(block, name)[key] for block in blocks]) for key in sorted(shared)}
    return Events(**arrays, **groups, meta=blocks[0].meta)


def acceptance_of(meta: dict, of_all: bool) -> float | None:
    """The acceptance that a generation counted; ``of_all``: of all its events, those given up early too, or None."""
    acceptance = meta.get("acceptance")
    if acceptance is None or not of_all or not meta.get("n_given_up"):
        return acceptance
    return acceptance * meta["n_tried"] / (meta["n_tried"] + meta["n_given_up"])
