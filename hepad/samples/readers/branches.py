"""Events in ROOT files, a jagged branch per quantity: their objects, their hardest jets and a row for each."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError, check_choice
from hepad.events.expressions import names_in, truth
from hepad.events.padding import WIDTHS
from hepad.samples.formats.root import arrays, namesakes, open_root, open_tree, reading, tables
from hepad.samples.formats.root import names as branch_names
from hepad.samples.readers.jagged import counted, flat, leading, padded, unsound

MASSES = {"electrons": 0.000510999, "muons": 0.1056584, "photons": 0.0}  # GeV
WHOLE = "(?:u?int[0-9]+)"
NUMBER = "(?:bool|u?int[0-9]+|float[0-9]+)"


class Collection(NamedTuple):
    """Branches of the objects of one kind; ``mass`` is a branch, or the mass [GeV] of each of them."""

    pt: str
    eta: str
    phi: str
    mass: str | float = 0.0

    @property
    def branches(self) -> tuple[str, ...]:
        return tuple(name for name in self if isinstance(name, str))


class Branches(NamedTuple):
    """Values of branches in a stretch of N entries, checked as they are asked for."""

    path: str
    length: int
    values: dict[str, ak.Array]

    def jagged(self, name: str) -> ak.Array:
        """(N, *) numbers; InputError if the branch is anything else."""
        return self._checked(name, rf"var \* {NUMBER}", "a list of numbers per entry")

    def integers(self, name: str) -> ak.Array:
        """(N, *) whole numbers."""
        return self._checked(name, rf"var \* {WHOLE}", "a list of whole numbers per entry")

    def references(self, name: str) -> ak.Array:
        """(N, *, *) whole numbers out of TRefArrays."""
        values = self.values[name]
        values = values["refs"] if "refs" in values.fields else values
        return self._checked(name, rf"var \* var \* {WHOLE}", "a TRefArray per object", values)

    def scalar(self, name: str) -> np.ndarray:
        """(N,) numbers."""
        return ak.to_numpy(self._checked(name, NUMBER, "a number per entry"))

    def whole(self, name: str) -> np.ndarray:
        """(N,) int64; negative for what is beyond it."""
        return ak.to_numpy(self._checked(name, WHOLE, "a whole number per entry")).astype(np.int64)

    def count(self, name: str) -> np.ndarray:
        """(N,) float32 numbers of vertices or collisions; NaN where a negative one stands for unknown."""
        return counted(self.scalar(name))

    def bit(self, name: str) -> np.ndarray:
        """(N,) bool; 1 is a bit that is set, 0, and -1 or no number, which stand for unknown, are not."""
        values = ak.to_numpy(self._checked(name, NUMBER, "a bit per entry"))
        try:
            return truth(np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values)
        except InputError as error:
            raise InputError(
                f"{self.path}: '{name}' is no trigger bit: {error} That takes the reader Mapped; here leave it out of "
                "'triggers'."
            ) from None

    def first(self, name: str) -> np.ndarray:
        """(N,) float64, the first number of each entry; NaN where there is none."""
        return self._first(self.jagged(name), np.full(self.length, np.nan))

    def first_whole(self, name: str) -> np.ndarray:
        """(N,) int64, the first number of each entry; -1 where there is none."""
        return self._first(self.integers(name), np.full(self.length, -1))

    @staticmethod
    def _first(values: ak.Array, number: np.ndarray) -> np.ndarray:
        counts = ak.to_numpy(ak.num(values, axis=1))
        number[counts > 0] = flat(values)[(np.cumsum(counts) - counts)[counts > 0]].astype(number.dtype)
        return number

    def collection(self, names: Iterable[str], integers: Iterable[str] = ()) -> dict[str, ak.Array]:
        """(N, *) by name, of the same lengths, whole numbers the ``integers``; InputError if they are not."""
        whole = set(integers)
        columns = {name: self.integers(name) if name in whole else self.jagged(name) for name in dict.fromkeys(names)}
        one, *others = columns
        for other in others:
            if not np.array_equal(ak.num(columns[one], axis=1), ak.num(columns[other], axis=1)):
                raise InputError(f"{self.path}: '{one}' and '{other}' differ in length. The file is damaged: fetch it.")
        return columns

    def vectors(self, name: str, columns: Collection) -> np.ndarray:
        """(N, width, 4) float32 of one of ``WIDTHS``, by falling pt, in the units of the file."""
        arrays = self.collection(columns.branches)
        mass = columns.mass
        mass = np.maximum(arrays[mass], 0) if isinstance(mass, str) else ak.full_like(arrays[columns.pt], mass)
        return padded(WIDTHS[name], pt=arrays[columns.pt], eta=arrays[columns.eta], phi=arrays[columns.phi], mass=mass)

    def marks(self, columns: Collection, marked) -> np.ndarray:
        """(N, K) float32: 0 or 1 of the objects that :meth:`vectors` makes of the jets, by ``marked`` (N, *) bool."""
        pt = self.jagged(columns.pt)
        tags = ak.values_astype(marked, np.float32)
        return padded(WIDTHS["jets"], pt=pt, eta=tags, phi=ak.zeros_like(tags))[..., 1]

    def _checked(self, name: str, pattern: str, expected: str, values=None) -> ak.Array:
        values = self.values[name] if values is None else values
        kind = str(values.type.content)
        if not re.fullmatch(pattern, kind):
            raise InputError(
                f"{self.path}: '{name}' is of type '{kind[:60]}' instead of {expected}. The file is damaged or of "
                "another format: fetch it again, or name its branches with the reader Mapped."
            )
        return values


class Probes(NamedTuple):
    """R jets: the entry (R,), rising, that each comes from, and its place (R,) in there, -1 if there is no jet."""

    entry: np.ndarray
    place: np.ndarray

    def of(self, values) -> np.ndarray:
        """(R,) out of jagged ``values`` (N, *), 0 where there is no jet."""
        result, present = np.zeros(len(self.entry), ak.to_numpy(ak.flatten(values[:0])).dtype), self.place >= 0
        result[present] = flat(values)[self.number(values)[present]]
        return result

    def number(self, values) -> np.ndarray:
        """(R,) place among all jets of all entries; ``values`` is any jagged array (N, *) of the jets."""
        counts = ak.to_numpy(ak.num(values, axis=1))
        return (np.cumsum(counts) - counts)[self.entry] + self.place


def probes(pt, count: int, *, absent: bool) -> Probes:
    """The ``count`` hardest of every entry of ``pt`` (N, *); with ``absent``, also each entry that has none."""
    entry, place = leading(pt, count)
    if absent:
        none = np.flatnonzero(ak.to_numpy(ak.num(pt, axis=1)) == 0)
        order = np.argsort(np.concatenate([entry, none]), kind="stable")
        entry = np.concatenate([entry, none])[order]
        place = np.concatenate([place, np.full(len(none), -1)])[order]
    return Probes(entry, place)


@contextmanager
def opened(path, *candidates: str) -> Iterator:
    """The first of the trees that is there; whatever its damage does to uproot is an InputError."""
    with open_root(path) as file:
        with reading(path):
            present = tables(file)
        tree = open_tree(path, file, next((name for name in candidates if name in present), candidates[0]))
        with reading(path):  # an RNTuple reads its header only now
            _ = branch_names(tree), tree.num_entries
        yield tree


def read(path, tree, names: Iterable[str], rows: int, stop: int | None = None) -> Iterator[tuple[int, Branches]]:
    """(first entry, :class:`Branches`) for ``rows`` entries at a time up to ``stop``; only these branches are read.

    In an RNTuple a name may lead into a collection or record: 'FatJet.pt'.
    """
    names = sorted(set(names))
    stop = tree.num_entries if stop is None else min(stop, tree.num_entries)
    for start in range(0, stop, rows):
        length = min(rows, stop - start)
        try:
            with reading(path):
                values = arrays(tree, names, start, start + length)
        except (StopIteration, RuntimeError):  # out of uproot, on damaged bytes
            values = {}
        if any(len(values.get(name, ())) != length for name in names):
            raise InputError(
                f"{path}: entries {start} to {start + length - 1} cannot be read whole. Fetch the file again."
            )
        yield start, Branches(str(path), length, values)


def chosen(path, key: str, name: str, collections: list[str]) -> tuple[str, tuple[str, ...]]:
    """The collection that is wanted, or the first that is there if none is named; and a remark on the others."""
    if not collections:
        raise InputError(
            f"{path}: there is no collection of jets in the file. Use a file with jets, or the reader Mapped."
        )
    collection = check_choice(f"{path}: {key}", name, collections) if name else collections[0]
    others = ", ".join(other for other in collections if other != collection)
    return collection, (f"{key}: {collection}; there are also {others}.",) if others else ()


def matching(path, bits: Iterable[str], patterns: Iterable[str], *, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The trigger bits that match one of the patterns ('L1_*'), sorted; InputError for a pattern beside the ``usual``
    ones that matches none."""
    matches = {pattern: [bit for bit in bits if fnmatchcase(bit, pattern)] for pattern in patterns}
    if idle := [pattern for pattern in matches if not matches[pattern] and pattern not in usual]:
        raise InputError(f"{path}: triggers: no bit is called {', '.join(idle)}. Correct the pattern or leave it out.")
    return tuple(sorted({bit for group in matches.values() for bit in group}))


def check_leading(count) -> None:
    """InputError unless the option is a number of jets."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"leading: {count!r} is not a number of jets; it is 1 for the hardest jet of every event.")


def of_events(branches: Branches, objects: dict[str, Collection]) -> tuple[dict, dict, np.ndarray]:
    """Columns (N, K, 4) by name, what is damaged (N,) by branch, and how many objects (N,) found no room."""
    columns = {name: branches.vectors(name, collection) for name, collection in objects.items()}
    damaged, cut_off = {}, np.zeros(branches.length, int)
    for kind, collection in objects.items():
        for name in collection.branches:
            damaged[name] = unsound(branches.values[name], positive=name == collection.pt)
        number = ak.to_numpy(ak.num(branches.values[collection.pt], axis=1))
        cut_off += np.maximum(number - WIDTHS[kind], 0)
    return columns, damaged, cut_off


def row_damage(values: np.ndarray, row: np.ndarray, rows: int, *, positive: bool = False) -> np.ndarray:
    """(R,) bool: rows with a value that cannot be among flat ``values`` (M,), which belong to rows (M,)."""
    return np.bincount(row[unsound(values, positive=positive)], minlength=rows) > 0


def branches_of(expression: str, present: frozenset[str]) -> frozenset[str]:
    """The branches that an expression reads; InputError if it is not one, or names what is not ``present``."""
    branches = names_in(expression, present)
    missing = sorted(branches - present)
    if missing and (keys := namesakes(missing[0], present)):
        raise InputError(f"'{missing[0]}' is the name of {len(keys)} branches: {', '.join(keys)}. Write one of these.")
    if missing:
        listed = ", ".join(sorted(present)[:40]) + (" ..." if len(present) > 40 else "")
        raise InputError(f"'{expression}': branch '{missing[0]}' is missing; present: {listed or 'none'}. Correct it.")
    return branches
