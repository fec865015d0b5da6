"""Reads files as Events, block by block in bounded memory: checks, selection, identifiers, duplicates, splits, counts.

Of every row of a file one of these is true, and counted per file in ``meta['counts']``:

    refused: bad value in 'X'         NaN, infinity, or a negative energy, pt or count, in a branch that is read;
                                      beyond ``MAX_DAMAGED`` of a file it is the file that is refused
    refused: what 'X' refers to is not stored      a constituent that lies in a branch that was not written
    refused: no jet                   the event has none of the collection that the probe jet is taken from
    refused: no constituents, pt, abs_eta      the selection
    refused: constituents do not sum  |Σ p_i|_T differs from the jet's own pT by more than ``tolerance``
    refused: constituents point elsewhere          Σ p_i is off the jet's axis by ΔR of more than 0.4 ``tolerance``
    refused: repetition               the same jet with the same constituents was there before; without constituents,
                                      the same objects in an event of the same number (or of none)
    kept

Beside these, 'of negative weight' counts the sound rows with one, which are kept or refused like others; 'softest
objects cut off' and 'softest constituents cut off' count what was beyond the lengths that Events keep.

Rows are identified by the event's numbers where the file has them, otherwise by a hash of their content, and split by a
hash of that identifier, in the order of time, or as an official split says: independent of the order and the number of
files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from hepad.errors import InputError, at
from hepad.events import Events, of_kind
from hepad.events.completion import complete
from hepad.events.cuts import check_units, nothing_passes, select, window
from hepad.events.identifiers import IDENTIFIERS, content_id, event_id, objects_id
from hepad.events.kinematics import delta_r, sum_four_vectors
from hepad.events.padding import filled, sum_momenta
from hepad.events.splits import IN_TIME, UNTIMED
from hepad.samples.metadata import columns_of, common, merge_meta
from hepad.samples.readers.base import Block, Found, Reader, weight_of

ROWS = 10_000
MAX_DAMAGED = 0.01
TOLERANCE = 0.25
ANGLE = 0.4  # ΔR of the axes of a jet and of its constituents' sum, times the tolerance


REFERS = "refers to objects that are not stored in the file,"
LEAVE = (
    "Store the branch that they lie in, or set 'jet' to jets whose constituents are stored, or 'constituents: false'."
)
UNWEIGHTED = "Repair the file, or set 'unit_weights: true' in the sample's source: every event counts once."


def stream(
    files: list[tuple[str, Reader]],
    *,
    name: str,
    selection: dict | str,
    split: tuple[float, float, float] | Mapping,
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
    split: fractions of train, valid and test, where a file has no official split; or the last luminosity sections of
        train and valid (:mod:`hepad.events.splits`)
    tolerance: largest relative difference of a jet's pT and that of the sum of its constituents; 0.4 times it is the
        largest ΔR of their directions
    unit_weights: count every event once, whatever its weight
    rows: entries of a file that are in memory together
    part: these are some of the sample's files, of which none needs to pass

    Yields
    ------
    Events that pass, at least once, all with one ``meta``, which is complete when the last ones have been yielded:
    ``name``, ``window``, ``counts`` (per file), ``sum_weights_read``, Σ of the weights of all entries, what
    :func:`hepad.samples.metadata.common` says, and the facts that the files carry.

    Raises
    ------
    InputError: a damaged file, more bad values than ``MAX_DAMAGED``, momenta in other units, files that do not belong
    together, nothing passes
    """
    window(selection)
    looks = [reader.look(path) for path, reader in files]
    meta = _meta(name, selection, files, looks, unit_weights)
    event_filter = EventFilter(selection, split, tolerance, unit_weights, meta)
    if isinstance(split, Mapping):
        _check_in_time(files, looks)
    empty = complete({"jet": np.zeros((0, 4))}, split=None, split_rows=np.zeros(0), meta=meta)
    for path, reader in files:
        meta["counts"][path] = event_filter.start(path, reader)
        for block in reader.blocks(path, rows):
            events = event_filter(block, meta)
            del block  # the next one is made without it in memory
            if len(events):
                yield events
            else:
                empty = events
            del events
        event_filter.finish()
    if not sum(counts["kept"] for counts in meta["counts"].values()):
        if not part:
            raise nothing_passes(name, meta["counts"], np.concatenate([*event_filter.pt, []]), selection)
        yield empty
    meta["sum_weights_read"] = event_filter.weight_of_entries
    if "acceptance" in meta:  # a tighter window than that of the generation
        meta["acceptance"] *= event_filter.weight_kept / (event_filter.weight_read or 1)


def _meta(name: str, selection, files: list[tuple[str, Reader]], looks: list[Found], unit_weights: bool) -> dict:
    """The ``meta`` that the files of a sample share; InputError if they do not belong together."""
    ignored = {"weight"} if unit_weights else set()
    metas = [
        {"counts": {path: {}}, "jet_radius": look.jet_radius, "present": look.given - ignored,
         "triggers": look.triggers, "readers": [type(reader).__name__], "columns": columns_of(look)}
        for (path, reader), look in zip(files, looks, strict=True)
    ]  # fmt: skip
    shared = common(name, metas)
    shared |= {"name": name, "window": None if selection == "any" else dict(selection), "counts": {}}
    return merge_meta([look.meta for look in looks]) | shared


def _check_in_time(files: list[tuple[str, Reader]], looks: list[Found]) -> None:
    """InputError unless all files can be split by run and luminosity section."""
    for (path, _), look in zip(files, looks, strict=True):
        if look.official_split:
            raise InputError(
                f"{path}: has an official split, which a split in the order of time would override. Give 'split' "
                "fractions, or read the file without its own."
            )
        if not look.facts.issuperset(IN_TIME):
            raise InputError(f"{path}: {UNTIMED}")


class IdentifierSet:
    """A growing set of identifiers in 8 bytes each: sorted arrays, of which neighbours of similar length are merged."""

    def __init__(self):
        self.parts: list[np.ndarray] = []

    def contains(self, ids: np.ndarray) -> np.ndarray:
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


class EventFilter:
    """Blocks of the files of one sample to the events that pass, with the counts of each file."""

    def __init__(self, selection, split, tolerance: float, unit_weights: bool, meta: dict):
        self.selection, self.split, self.tolerance = selection, split, tolerance
        self.unit_weights, self.triggers, self.kinds = unit_weights, meta["triggers"], meta["columns"]
        self.seen = IdentifierSet()
        self.weight_read = self.weight_kept = 0.0  # sums over rows
        self.weight_of_entries = 0.0  # an entry can have several rows, or none
        self.pt: list[np.ndarray] = []  # pT of the first jets of each file, for messages

    def start(self, path: str, reader: Reader) -> dict[str, int]:
        """Begin a file; the dict that is returned will hold its counts."""
        self.path, self.reader, self.looked = path, reader, False
        self.counts: dict[str, int] = {"read": 0, "kept": 0}
        self.damage: dict[str, tuple[int, int]] = {}  # by branch with impossible values: number of rows, first entry
        self.off: dict[str, list[np.ndarray]] = {"pT": [], "ΔR": []}  # differences of jets and constituents
        return self.counts

    def __call__(self, block: Block, meta: dict) -> Events:
        n = len(block.entry)
        self._count("read", n + sum(block.refused.values()))
        for reason, number in block.refused.items():
            self._count(f"refused: {reason}", number)
        mask = self._sound(block)
        with np.errstate(all="ignore"), at(self.path):  # refused rows may overflow
            columns = dict(block.columns)
            if "jet" not in columns:
                columns["jet"] = sum_four_vectors(columns["constituents"]).astype(np.float32)
            if not self.looked and mask.any():
                self.looked = True
                self.pt.append(columns["jet"][mask, 0][columns["jet"][mask, 0] > 0])
                check_units(self.path, self.pt[-1], getattr(self.reader, "units", None))
            self._weights(columns, mask)
            self.weight_read += float(np.sum(columns.get("weight", np.ones(n))))
            self.weight_of_entries += _weight_of_entries(block, columns.get("weight"))
            events = complete(
                columns, split=self.split, split_rows=block.split, **self._groups(block, n), meta=meta,
                triggers=np.stack([block.triggers.get(name, np.zeros(n, bool)) for name in self.triggers], axis=1)
                if self.triggers else None,
            )  # fmt: skip
        for reason, passed in select(events, self.selection).items():
            mask = self._reject(reason, mask, passed)
        if "jet" in block.columns and events.constituents.shape[1]:
            pt, angle = self._sums(events, mask)
            mask = self._reject("constituents do not sum", mask, pt <= self.tolerance)
            mask = self._reject("constituents point elsewhere", mask, angle <= ANGLE * self.tolerance)
        for objects, number in (("objects", block.cut_off), ("constituents", block.constituents_cut_off)):
            if number is not None:
                self._count(f"softest {objects} cut off", number[mask].sum())
        events = self._new(taken(events, mask), "event_id" in columns)
        self._count("kept", len(events))
        self.weight_kept += float(events.weight.sum())
        return events

    def finish(self) -> None:
        """InputError if too much of the file was bad."""
        for (branch, refers), (number, first) in self.damage.items():
            if number > MAX_DAMAGED * self.counts["read"]:
                fault, remedy = "is not finite (or null), or negative,", self.reader.remedy(branch)
                if refers:
                    fault, remedy = REFERS, LEAVE
                elif branch == self.weight:
                    fault, remedy = "is not finite, or missing,", UNWEIGHTED
                raise InputError(
                    f"{self.path}: '{branch}' {fault} in {number} of {self.counts['read']} entries, first in entry "
                    f"{first}; up to {MAX_DAMAGED:.0%} are refused and counted. {remedy}"
                )
        pt, angle = (np.median(np.concatenate(x)) if sum(map(len, x)) else 0.0 for x in self.off.values())
        if pt > self.tolerance:
            raise InputError(
                f"{self.path}: the constituents do not sum to their jets: half of the pT sums are off by more than "
                f"{pt:.0%} (tolerance {self.tolerance:.0%}). Check units, the collections of jets and constituents and "
                "their weights, or set 'tolerance' in the sample's source."
            )
        if angle > ANGLE * self.tolerance:
            raise InputError(
                f"{self.path}: the constituents point elsewhere than their jets: half of the sums are off by more than "
                f"{angle:.2f} in ΔR ({ANGLE} times the tolerance is {ANGLE * self.tolerance:.2g}). Check η and φ of "
                "jets and constituents, or set 'tolerance' in the sample's source."
            )

    def _count(self, reason: str, number: int) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + int(number)

    def _reject(self, reason: str, mask: np.ndarray, passed: np.ndarray) -> np.ndarray:
        self._count(f"refused: {reason}", (mask & ~passed).sum())
        return mask & passed

    def _sound(self, block: Block) -> np.ndarray:
        mask, self.weight = np.ones(len(block.entry), bool), block.weight
        for branch, bad in block.damaged.items():
            if bad.any() and not (self.unit_weights and branch == block.weight):
                refers = branch in block.references
                number, first = self.damage.get((branch, refers), (0, block.entry[np.argmax(bad)]))
                self.damage[branch, refers] = (number + int(bad.sum()), first)
                reason = f"what '{branch}' refers to is not stored" if refers else f"bad value in '{branch}'"
                mask = self._reject(reason, mask, ~bad)
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

    def _sums(self, events: Events, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) relative differences of the pT, and ΔR, of jets and the sums of their constituents."""
        with np.errstate(all="ignore"):
            px, py, pz = sum_momenta(events.constituents)
            pt, (jet_pt, eta, phi, _) = np.hypot(px, py), events.jet.T
            differences = np.abs(pt / jet_pt - 1), delta_r(np.arcsinh(pz / pt), np.arctan2(py, px), eta, phi)
        for kept, values in zip(self.off.values(), differences, strict=True):
            if sum(map(len, kept)) < 10 * ROWS:
                kept.append(values[mask])
        return differences

    def _new(self, events: Events, numbered: bool) -> Events:
        """The events that were not there before."""
        content = events.event_id
        if numbered:  # several jets of one event share its number; two quiet events can look the same to a trigger
            has_constituents = events.constituents.shape[1] > 0
            objects = {name: getattr(events, name) for name in IDENTIFIERS}
            inside = content_id(filled(events.constituents)) if has_constituents else objects_id(objects)
            number = np.zeros_like(content) if has_constituents else content
            content = event_id(number, content_id(events.jet[:, None]), inside)
        new = np.zeros(len(events), bool)
        new[np.unique(content, return_index=True)[1]] = True
        new &= ~self.seen.contains(content)
        self.seen.add(content[new])
        self._count("refused: repetition", (~new).sum())
        return taken(replace(events, row_id=content), new)


def _weight_of_entries(block: Block, weights: np.ndarray | None) -> float:
    """Σ of the weights (R,) of the entries of a block, those that gave no row among them; without weights their number.

    An entry whose weight is no number has none.
    """
    _, first = np.unique(block.entry, return_index=True)
    if weights is None:
        return float(len(first) + sum(block.refused.values()))
    return weight_of(weights, first) + block.refused_weight


def taken(events: Events, mask: np.ndarray) -> Events:
    """The rows of a mask; nothing is copied if these are all."""
    return events if mask.all() else events[mask]
