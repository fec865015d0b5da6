"""Events: what every reader produces and every representation consumes.

One row is one probe jet together with the event that it comes from. Units are GeV and radians, c = 1.
Four-vectors are stored as (pt, eta, phi, mass); variable-length collections are ordered by falling pt and
padded with zeros, so that pt > 0 marks an object that exists.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import h5py
import numpy as np

from hepad.errors import InputError
from hepad.storage.chunks import check_rows, read_index
from hepad.storage.files import provenance
from hepad.storage.hdf5 import append_array, describe, described, new_hdf5, own_hdf5, read_array

SCHEMA_VERSION = 5
FOUR_VECTOR = ("pt", "eta", "phi", "mass")
SPLITS = ("train", "valid", "test")
FIRST_IDS = 10**10  # identifiers of generated events count from multiples of this, one for each chunk
# kinds of the facts, whatever kinds the files have
FACTS = {"run": np.int64, "luminosity_block": np.int64, "event": np.int64, "n_pv": np.float32, "pileup": np.float32}


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
    b_tag: (N, K) float32; 1 for those of ``jets`` that carry a b tag; None stands for no tags
    triggers: (N, T) bool; trigger bits, named by ``meta['triggers']``; None stands for no bits
    truth: generator-level facts, each (N,) float32
    facts: what the file says of the event, each (N,) of its kind in ``FACTS``; unknown are -1 and NaN
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
    b_tag: np.ndarray | None = None
    triggers: np.ndarray | None = None
    row_id: np.ndarray | None = None
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        n = len(self.event_id)
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
        }  # fmt: skip
        for name, array in self.arrays():
            expected = shapes.get(name, (n,))
            if len(array.shape) != len(expected) or any(
                e is not None and e != s for e, s in zip(expected, array.shape, strict=True)
            ):
                raise InputError(f"events: '{name}' has shape {array.shape}, expected {expected}.")

    def __len__(self) -> int:
        return len(self.event_id)

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
        return self[self.split == SPLITS.index(split)]

    def write(self, path: str | Path) -> None:
        """Write to HDF5, atomically, with units, versions and checksums."""
        write_blocks(path, [self])

    @classmethod
    def read(cls, path: str | Path, rows: slice = slice(None)) -> "Events":
        """Read consecutive rows of a file written by :meth:`write`, or of several by their index."""
        if (index := read_index(path)) is None:
            with _open(path) as file:
                return cls._of(file, rows)
        start, stop, _ = rows.indices(sum(chunk.rows - len(chunk.left_out) for chunk in index.chunks))
        wanted, first = [], 0
        for block in cls.blocks(path):
            if first < stop or not wanted:
                wanted.append(block[max(start - first, 0) : max(stop - first, 0)])
            first += len(block)
            if first >= stop:
                break
        return concatenate(wanted)

    @classmethod
    def blocks(
        cls, path: str | Path, size: int = 10_000, chunk: int | None = None, constituents: bool = True
    ) -> Iterator["Events"]:
        """The events of a file, or of the chunks that an index lists or of one ``chunk`` of them, ``size`` at a time.

        At least one block is yielded, which may be empty. Constituents, most of a file, may be left unread.
        """
        index = read_index(path)
        if index is None:
            with _open(path) as file:
                for start in range(0, max(len(file["event_id"]), 1), size):
                    yield cls._of(file, slice(start, start + size), constituents)
            return
        for chosen in index.chunks if chunk is None else [index.chunks[chunk]]:
            keep, start = np.ones(chosen.rows, bool), 0
            keep[list(chosen.left_out)] = False
            for block in cls.blocks(chosen.path, size, constituents=constituents):
                mine, start = keep[start : start + len(block)], start + len(block)
                if start > chosen.rows:
                    break
                ready = [(block if mine.all() else block[mine])._as_in(index.meta)]
                del block  # the next one is read without it in memory
                yield ready.pop()
            check_rows(path, chosen, start)

    def _as_in(self, meta: dict) -> "Events":
        """The same events with the columns, and the ``meta``, of the table that they are a part of."""
        own, names = list(self.meta.get("triggers", ())), meta["triggers"]
        none = np.zeros(len(self), bool)
        bits = [self.triggers[:, own.index(name)] if name in own else none for name in names]
        groups = {
            name: {
                key: of_kind(getattr(self, name).get(key), kind, len(self))
                for key, kind in meta["columns"][name].items()
            }
            for name in GROUPS
        }
        triggers = np.stack(bits, axis=1) if bits else None
        return replace(self, triggers=triggers, **groups, meta=meta)

    @staticmethod
    def outline(path: str | Path, *columns: str) -> tuple[dict, dict[str, np.ndarray]]:
        """``meta`` of a file or of the chunks that an index lists, and {name: (N,) array} of some columns alone."""
        if (index := read_index(path)) is None:
            with _open(path) as file:
                return _meta(file), {name: read_array(file, name) for name in columns}
        found = [Events.outline(chunk.path, *columns)[1] for chunk in index.chunks]
        kept = [np.delete(np.arange(chunk.rows), list(chunk.left_out)) for chunk in index.chunks]
        of = {name: np.concatenate([f[name][k] for f, k in zip(found, kept, strict=True)]) for name in columns}
        return index.meta, of

    @classmethod
    def _of(cls, file: h5py.File, rows: slice, constituents: bool = True) -> "Events":
        arrays = {name: read_array(file, name, rows) for name in ARRAYS if constituents or name != "constituents"}
        if not constituents:
            arrays["constituents"] = np.zeros((len(arrays["event_id"]), 0, 4), np.float32)
        groups = {name: {key: read_array(file[name], key, rows) for key in file[name]} for name in GROUPS}
        try:
            return cls(**arrays, **groups, meta=_meta(file))
        except InputError as error:
            raise InputError(f"{file.filename}: {error} Delete it and run again.") from None


def of_kind(values: np.ndarray | None, kind, n: int) -> np.ndarray:
    """(n,) numbers of a kind; where there are none, or no number, whole ones are -1 and others NaN."""
    values = np.full(n, np.nan) if values is None else values
    if values.dtype.kind == "f" and np.dtype(kind).kind != "f":
        values = np.where(np.isfinite(values), values, -1)
    return values.astype(kind)


GROUPS = ("truth", "facts")
ARRAYS = tuple(f.name for f in fields(Events) if f.name not in (*GROUPS, "meta"))


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with own_hdf5(path, "hepad event file") as file:
        found = described(file, "kind"), described(file, "schema_version")
        if found != ("hepad events", SCHEMA_VERSION):
            raise InputError(
                f"{path}: not a hepad event file of schema {SCHEMA_VERSION} (found {found[0]!r}, {found[1]!r}). "
                "Delete it and run again."
            )
        if missing := [name for name in (*ARRAYS, *GROUPS, "meta") if name not in file]:
            raise InputError(f"{path}: {', '.join(missing)} missing in this hepad event file. Delete it and run again.")
        yield file


def _meta(file: h5py.File) -> dict:
    return json.loads(read_array(file, "meta").tobytes())


def write_blocks(path: str | Path, blocks: Iterable[Events]) -> dict:
    """Write the events of one sample block by block, as :meth:`Events.write` does, in the memory of one block.

    All blocks have collections of one length, and the ``meta`` of the last one is written and returned: a stream
    completes it while it is read. InputError if there is no block.
    """
    with new_hdf5(path) as file:
        for group in GROUPS:
            file.create_group(group)
        meta = None
        for block in blocks:
            for name, array in block.arrays():
                append_array(file, name, array)
            meta = block.meta
            del block, array  # the next block is made without this one in memory
        if meta is None:
            raise InputError(f"{path}: there are no events to write.")
        facts = {"units": "GeV, rad", "provenance": json.dumps(provenance())}
        describe(file, kind="hepad events", schema_version=SCHEMA_VERSION, **facts)
        # not an attribute: those have no checksum where they are long
        append_array(file, "meta", np.frombuffer(json.dumps(meta).encode(), np.uint8))
    return meta


def concatenate(blocks: list[Events]) -> Events:
    """Join events of one sample; collections are padded to the longest, ``meta`` is the first block's."""
    arrays = {}
    for name in ARRAYS:
        of_blocks = [getattr(block, name) for block in blocks]
        if of_blocks[0].ndim > 1:
            length = max(array.shape[1] for array in of_blocks)
            rest = ((0, 0),) * (of_blocks[0].ndim - 2)
            of_blocks = [np.pad(array, ((0, 0), (0, length - array.shape[1]), *rest)) for array in of_blocks]
        arrays[name] = np.concatenate(of_blocks)
    groups = {}
    for name in GROUPS:
        shared = set.intersection(*(set(getattr(block, name)) for block in blocks))
        groups[name] = {key: np.concatenate([getattr(block, name)[key] for block in blocks]) for key in sorted(shared)}
    return Events(**arrays, **groups, meta=blocks[0].meta)


def split_of(event_id: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
    """Split by a hash of the event id: independent of the order and of the number of files.

    Parameters
    ----------
    event_id: (N,) int64
    fractions: of train, valid and test; they sum to one

    Returns
    -------
    (N,) int8, index into ``SPLITS``
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"split: {list(fractions)} are not three fractions (train, valid, test) that sum to 1.")
    # splitmix64 (Steele, Lea, Flood 2014): neighbouring ids land in unrelated places
    with np.errstate(over="ignore"):
        h = np.asarray(event_id).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    uniform = h / 2.0**64
    return np.searchsorted(np.cumsum(fractions)[:2], uniform, side="right").astype(np.int8)
