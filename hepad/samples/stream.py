"""From files to Events, chunk by chunk in bounded memory: checks, selection, identifiers, duplicates, splits, counts.

Of every row of a file one of these is true, and counted per file in ``meta['counts']``:

    refused: bad value in 'X'         NaN, infinity, or a negative energy, pt or count, in a branch that is read;
                                      beyond ``MAX_DAMAGED`` of a file it is the file that is refused
    refused: no jet                   the event has none of the collection that the probe jet is taken from
    refused: no constituents, pt, abs_eta      the selection
    refused: constituents do not sum  |Σ p_i|_T differs from the jet's own pT by more than ``tolerance``
    refused: repetition               the same jet with the same constituents was there before; without constituents,
                                      the same jets in an event of the same number (or the same objects, unnumbered)
    kept

Beside these, 'of negative weight' counts the sound rows with one, which are kept or refused like others.

Rows are identified by the event's numbers where the file has them, otherwise by a hash of their content, and split by a
hash of that identifier, or as an official split says: independent of the order and the number of files.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hepad.errors import InputError
from hepad.events import Events, of_kind
from hepad.kinematics import sum_four_vectors
from hepad.readers.base import Block, Found, Reader
from hepad.rows import (
    check_units,
    complete,
    content_id,
    event_id,
    filled,
    nothing_passes,
    select,
    sum_pt,
    window,
)
from hepad.samples.meta import columns_of, common, merge_meta

ROWS = 10_000
MAX_DAMAGED = 0.01
TOLERANCE = 0.25


def stream(
    files: list[tuple[str, Reader]],
    *,
    name: str,
    selection: dict | str,
    split: tuple[float, float, float],
    tolerance: float = TOLERANCE,
    unit_weights: bool = False,
    rows: int = ROWS,
    part: bool = False,
) -> Iterator[Events]:
    """Events of one sample, about ``rows`` at a time.

    Parameters
    ----------
    files: (path or address, its reader) of each
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV of the probe jet, or 'any'
    split: fractions of train, valid and test, where a file has no official split
    tolerance: largest relative difference of a jet's pT and that of the sum of its constituents
    unit_weights: count every event once, whatever its weight
    rows: entries of a file that are in memory together
    part: these are some of the sample's files, of which none needs to pass

    Yields
    ------
    Events that pass, at least once, all with one ``meta``, which is complete when the last ones have been yielded:
    ``name``, ``window``, ``counts`` (per file), what :func:`hepad.samples.meta.common` says, and the facts that the
    files carry.

    Raises
    ------
    InputError: a damaged file, more bad values than ``MAX_DAMAGED``, momenta in other units, files that do not belong
    together, nothing passes
    """
    window(selection)
    looks = [reader.look(path) for path, reader in files]
    meta = _meta(name, selection, files, looks, unit_weights)
    sieve = Sieve(selection, split, tolerance, unit_weights, meta)
    nothing = complete({"jet": np.zeros((0, 4))}, split=split, meta=meta)
    for path, reader in files:
        meta["counts"][path] = sieve.start(path, reader)
        for block in reader.blocks(path, rows):
            events = sieve(block, meta)
            del block  # the next one is made without it in memory
            if len(events):
                yield events
            else:
                nothing = events
            del events
        sieve.finish()
    if not sum(counts["kept"] for counts in meta["counts"].values()):
        if not part:
            raise nothing_passes(name, meta["counts"], np.concatenate([*sieve.pt, []]), selection)
        yield nothing
    if "acceptance" in meta:  # a tighter window than that of the generation
        meta["acceptance"] *= sieve.weight_kept / (sieve.weight_read or 1)


def _meta(name: str, selection, files: list[tuple[str, Reader]], looks: list[Found], unit_weights: bool) -> dict:
    """What the files of a sample have in common; InputError if they do not belong together."""
    ignored = {"weight"} if unit_weights else set()
    of_files = [
        {"counts": {path: {}}, "jet_radius": found.jet_radius, "present": found.present - ignored,
         "triggers": found.triggers, "readers": [type(reader).__name__], "columns": columns_of(found)}
        for (path, reader), found in zip(files, looks, strict=True)
    ]  # fmt: skip
    shared = common(name, of_files)
    shared |= {"name": name, "window": None if selection == "any" else dict(selection), "counts": {}}
    return merge_meta([found.meta for found in looks]) | shared


class Seen:
    """A growing set of identifiers in 8 bytes each: sorted arrays, of which neighbours of similar length are merged."""

    def __init__(self):
        self.parts: list[np.ndarray] = []

    def found(self, ids: np.ndarray) -> np.ndarray:
        """(N,) bool: which of ``ids`` are in the set."""
        mask = np.zeros(len(ids), bool)
        for part in self.parts:
            place = np.minimum(np.searchsorted(part, ids), len(part) - 1)
            mask |= part[place] == ids
        return mask

    def add(self, ids: np.ndarray) -> None:
        """Add ``ids``, of which none is there yet."""
        if len(ids):
            self.parts.append(np.sort(ids))
        while len(self.parts) > 1 and len(self.parts[-2]) < 2 * len(self.parts[-1]):
            last = self.parts.pop()
            self.parts[-1] = np.sort(np.concatenate([self.parts[-1], last]), kind="stable")


class Sieve:
    """Blocks of the files of one sample to the events that pass, with the counts of each file."""

    def __init__(self, selection, split, tolerance: float, unit_weights: bool, meta: dict):
        self.selection, self.split, self.tolerance = selection, split, tolerance
        self.unit_weights, self.triggers, self.kinds = unit_weights, meta["triggers"], meta["columns"]
        self.seen = Seen()
        self.weight_read = self.weight_kept = 0.0  # sums
        self.pt: list[np.ndarray] = []  # of the first jets of each file, for messages

    def start(self, path: str, reader: Reader) -> dict[str, int]:
        """Begin a file; the dict that is returned will hold its counts."""
        self.path, self.reader, self.looked = path, reader, False
        self.counts: dict[str, int] = {"read": 0, "kept": 0}
        self.damage: dict[str, list[int]] = {}  # branch: [rows, first entry]
        self.mismatch: list[np.ndarray] = []
        return self.counts

    def __call__(self, block: Block, meta: dict) -> Events:
        n = len(block.entry)
        self._count("read", n + sum(block.refused.values()))
        for why, number in block.refused.items():
            self._count(f"refused: {why}", number)
        mask = self._sound(block)
        with np.errstate(all="ignore"):  # of rows that are refused
            columns = dict(block.columns)
            if "jet" not in columns:
                columns["jet"] = sum_four_vectors(columns["constituents"]).astype(np.float32)
            if not self.looked and mask.any():
                self.looked = True
                self.pt.append(columns["jet"][mask, 0][columns["jet"][mask, 0] > 0])
                check_units(self.path, self.pt[-1], getattr(self.reader, "units", None))
            self._weights(columns, mask)
            self.weight_read += float(np.sum(columns.get("weight", np.ones(n))))
            events = complete(
                columns, split=self.split, split_rows=block.split, **self._groups(block, n), meta=meta,
                triggers=np.stack([block.triggers.get(name, np.zeros(n, bool)) for name in self.triggers], axis=1)
                if self.triggers else None,
            )  # fmt: skip
        for why, passed in select(events, self.selection).items():
            mask = self._refuse(why, mask, passed)
        if "jet" in block.columns and events.constituents.shape[1]:
            mask = self._refuse("constituents do not sum", mask, self._sums(events, mask))
        if block.cut_off is not None:
            self._count("softest objects cut off", block.cut_off[mask].sum())
        events = self._new(taken(events, mask), "event_id" in columns)
        self._count("kept", len(events))
        self.weight_kept += float(events.weight.sum())
        return events

    def finish(self) -> None:
        """InputError if too much of the file was bad."""
        for branch, (number, first) in self.damage.items():
            if number > MAX_DAMAGED * self.counts["read"]:
                raise InputError(
                    f"{self.path}: '{branch}' is not finite, or negative, in {number} of {self.counts['read']} entries"
                    f", first in entry {first}; up to {MAX_DAMAGED:.0%} are refused and counted. "
                    f"{self.reader.remedy(branch)}"
                )
        off = np.concatenate([*self.mismatch, []])
        if len(off) and np.median(off) > self.tolerance:
            raise InputError(
                f"{self.path}: the constituents do not sum to their jets: half of the pT sums are off by more than "
                f"{np.median(off):.0%} (tolerance {self.tolerance:.0%}). Check units, the collections of jets and "
                "constituents and their weights, or set 'tolerance' in the sample's source."
            )

    def _count(self, why: str, number: int) -> None:
        self.counts[why] = self.counts.get(why, 0) + int(number)

    def _refuse(self, why: str, mask: np.ndarray, passed: np.ndarray) -> np.ndarray:
        self._count(f"refused: {why}", (mask & ~passed).sum())
        return mask & passed

    def _sound(self, block: Block) -> np.ndarray:
        mask = np.ones(len(block.entry), bool)
        for branch, bad in block.damaged.items():
            if bad.any():
                number, first = self.damage.get(branch, (0, block.entry[np.argmax(bad)]))
                self.damage[branch] = (number + int(bad.sum()), first)
                mask = self._refuse(f"bad value in '{branch}'", mask, ~bad)
        return mask

    def _weights(self, columns: dict, mask: np.ndarray) -> None:
        if self.unit_weights:
            columns.pop("weight", None)
        elif "weight" in columns and (columns["weight"][mask] < 0).any():
            self._count("of negative weight", (columns["weight"][mask] < 0).sum())

    def _groups(self, block: Block, n: int) -> dict[str, dict[str, np.ndarray]]:
        """``truth`` and ``facts``, of every block the same ones: those of all files."""
        groups = {"truth": block.truth, "facts": block.facts}
        return {
            name: {key: of_kind(groups[name].get(key), kind, n) for key, kind in kinds.items()}
            for name, kinds in self.kinds.items()
        }

    def _sums(self, events: Events, mask: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            off = np.abs(sum_pt(events.constituents) / events.jet[:, 0] - 1)
        if sum(map(len, self.mismatch)) < 10 * ROWS:
            self.mismatch.append(off[mask])
        return off <= self.tolerance

    def _new(self, events: Events, numbered: bool) -> Events:
        """The events that were not there before."""
        content = events.event_id
        if numbered:  # several jets of one event share its number; two quiet events can look the same to a trigger
            many = events.constituents.shape[1] > 0
            inside = content_id(filled(events.constituents if many else events.jets))
            number = np.zeros_like(content) if many else content
            content = event_id(number, content_id(events.jet[:, None]), inside)
        new = np.zeros(len(events), bool)
        new[np.unique(content, return_index=True)[1]] = True
        new &= ~self.seen.found(content)
        self.seen.add(content[new])
        self._count("refused: repetition", (~new).sum())
        return taken(replace(events, row_id=content), new)


def taken(events: Events, mask: np.ndarray) -> Events:
    """The rows of a mask; nothing is copied if these are all."""
    return events if mask.all() else events[mask]
