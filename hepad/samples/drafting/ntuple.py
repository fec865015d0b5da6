"""Tables of numbers by name, in a ROOT, Parquet or HDF5 file of whatever origin: their types and first entries."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import awkward as ak
import h5py
import numpy as np

from hepad.errors import InputError
from hepad.events.expressions import evaluate
from hepad.samples.drafting.families import Family, families, of_event
from hepad.samples.formats import parquet, root
from hepad.samples.formats.columns import Columns, open_columns
from hepad.samples.formats.contents import Contents
from hepad.storage.hdf5 import open_hdf5, reading

ROWS = 1000  # entries that medians are taken of


class Table(NamedTuple):
    """The first entries of a table: ``values`` by branch, ``families``: those whose branches are numbers."""

    name: str
    entries: int
    kinds: dict[str, str]
    values: dict[str, ak.Array]
    families: list[Family]

    def depth(self, family: Family) -> int:
        """How many lists are inside each other in an entry; -1 if its branches differ in that."""
        depths = {self.values[branch].ndim - 1 for branch, _ in family.components.values()}
        return depths.pop() if len(depths) == 1 else -1

    def multiplicity(self, family: Family) -> float:
        """How many objects an innermost list has, on average."""
        branch, _ = next(iter(family.components.values()))
        values = self.values[branch]
        counts = ak.sum(np.isfinite(values) & (values != 0), axis=-1)
        return float(ak.mean(counts)) if len(values) else 0.0

    def compute(self, expression: str) -> ak.Array:
        """The values of an expression, 0 where they are padding."""
        values = evaluate(expression, self.values)
        return ak.where(np.isfinite(values), values, 0)

    def sums(self, family: Family, jet: Family | None) -> ak.Array:
        """pT of the vector sums over the innermost lists."""
        polar = {x: self.compute(text) for x, text in family.polar(jet).items()}
        pt = ak.where(polar["pt"] > 0, polar["pt"], 0)
        px, py = (ak.sum(pt * function(polar["phi"]), axis=-1) for function in (np.cos, np.sin))
        return np.hypot(px, py)


def names_of_tables(content: Contents) -> list[str | None]:
    """Names of the tables, as a source has them: trees, groups of datasets, None for a Parquet file."""
    if content.kind == "HDF5":
        return sorted({"", *(name.rpartition("/")[0] for name in content.tables)})
    return [None] if content.kind == "Parquet" else sorted(content.tables)


def read_table(path: str, content: Contents, name: str | None) -> Table | None:
    """None if none of its columns can be read by name."""
    try:
        with open_columns(path, name or None) as columns:
            names = _short(columns.names)
            branches = {x for family in families(names) for x, _ in family.components.values()}
            values = dict(_values(columns, sorted(branches | set(of_event(names).values()))))
            entries = columns.entries
    except InputError:
        return None
    kinds = _kinds(path, content.kind, name)
    return Table(name or "", entries, kinds, values, families(values)) if kinds else None


def _short(names: Iterable[str]) -> list[str]:
    """The names without longer ones of the same branch, 'a/b/c' beside 'a/c', and without damaged ones (bytes)."""
    paths = {x for x in names if isinstance(x, str)}
    longer = {x for x in paths if x.count("/") > 1 and "/".join((x.partition("/")[0], x.rpartition("/")[2])) in paths}
    return sorted(paths - longer)


def _values(columns: Columns, names: list[str]) -> Iterator[tuple[str, ak.Array]]:
    """(name, first entries) of the columns that are numbers."""
    try:
        together = next(columns.blocks(names, ROWS), (0, {}))[1] if names else {}
    except InputError:  # because of one of them
        together = {}
    for name in names:
        try:
            values = together[name] if together else next(columns.blocks([name], ROWS), (0, {}))[1].get(name)
            kind = str(ak.type(values)).rsplit("*", 1)[-1].strip()
        except (InputError, TypeError):
            continue
        if kind.startswith(("int", "uint", "float")) and values.ndim <= 3:
            yield name, values


def _kinds(path: str, kind: str, table: str | None) -> dict[str, str]:
    """Type by name of the branches of a tree, the columns of a Parquet file, the datasets of a group, sorted.

    ``kind``: 'ROOT', 'Parquet' or 'HDF5'; InputError if it is not one.
    """
    if kind == "ROOT":
        with root.open_root(path) as file:
            tree = root.open_tree(path, file, table)
            with root.reading(path):
                kinds = tree.typenames()
            leaves = {name.rpartition("/")[2]: kind for name, kind in kinds.items()}
            kinds = {name: kinds.get(name, leaves.get(name.rpartition("/")[2], "")) for name in root.names(tree)}
    elif kind == "Parquet":
        with parquet.open_parquet(path) as file, parquet.reading(path):
            kinds = {field.name: str(field.type) for field in file.schema_arrow}
    else:
        with open_hdf5(path) as file, reading(path):
            kinds = {}
            (file[table] if table else file).visititems(lambda name, item: _note(kinds, str(name), item))
    return dict(sorted((str(name), type_name) for name, type_name in kinds.items()))


def _note(kinds: dict[str, str], name: str, item) -> None:
    if isinstance(item, h5py.Dataset):
        kind, shape = item.dtype, item.shape
        kinds |= {f"{name}.{x}": f"{kind[x]} {shape}" for x in kind.names} if kind.names else {name: f"{kind} {shape}"}
