"""JetClass: anti-kT R = 0.8 jets of Delphes with their constituents, one row per jet, GeV.

    JetClass (Zenodo 6619768), ROOT: tree ``tree``, one bool per class, label_QCD, label_Hbb, ..., label_Tbl
    JetClass-II (arXiv:2405.12972), Parquet: ``jet_label``, 0 to 187; other Parquet files with the same columns have
        ``label``, as the top-tagging set of the same authors

    part_px, part_py, part_pz, part_energy    lists, one value per constituent
    jet_pt                                    one value per jet

The particles' charge, type and impact parameters are not used. In the public example of JetClass-II ``jet_pt`` is
the pT of the sum of the constituents, but ``jet_eta`` and ``jet_energy`` are not its η and energy (up to 0.09 and 4 %
off, which moves the mass by up to 200 GeV): only the pT is taken from there, η, φ and mass are those of the sum.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.events.kinematics import from_cartesian
from hepad.events.padding import WIDTHS, beyond
from hepad.samples.formats import parquet, root
from hepad.samples.formats.contents import kind_of
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import Branches
from hepad.samples.readers.jagged import flat, padded_cartesian, rows_of, unsound

PARTICLES = ("part_px", "part_py", "part_pz", "part_energy")
NUMBERS = ("jet_label", "label")  # the class as a number, in Parquet files
SET = "The layout is that of JetClass; choose another 'reader', or map the names with reader: Mapped."


@dataclass(frozen=True)
class JetClass(Reader):
    """JetClass and JetClass-II.

    label: the class that is read, or a list of them: names of branches as 'label_QCD' in ROOT files, numbers in
        Parquet files; None reads all
    tree: in ROOT files
    """

    title = "JetClass (ROOT) and JetClass-II (Parquet): jets with constituents"
    kind = "ROOT or Parquet"
    landmarks = (*PARTICLES, "jet_pt")
    label: str | int | tuple[str | int, ...] | None = None
    tree: str = "tree"

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        columns = contents.tables.get({"ROOT": "tree", "Parquet": ""}.get(contents.kind), frozenset())
        labelled = any(name.startswith("label_") or name in NUMBERS for name in columns)
        return {*PARTICLES, "jet_pt"} <= columns and labelled

    def look(self, path: str) -> Found:
        with self._open(path) as (_, entries, _):
            return Found(entries, frozenset({"constituents"}), jet_radius=0.8)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with self._open(path) as (classes, _, read):
            for start, arrays in read([*PARTICLES, "jet_pt", *classes], rows):
                yield _block(path, start, arrays, classes)

    @contextmanager
    def _open(self, path: str):
        """Yields the ``classes`` that are read, {column: its value} or {}; the number of jets; and the function that
        reads given columns in blocks of rows."""
        labels = (
            [] if self.label is None else list(self.label) if isinstance(self.label, tuple | list) else [self.label]
        )
        if kind_of(path) == "Parquet":
            with parquet.open_parquet(path) as file:
                kinds = dict.fromkeys(PARTICLES, "numbers") | {"jet_pt": "number"}
                column = next((name for name in NUMBERS if name in parquet.kinds(path, file)), NUMBERS[0])
                parquet.require(path, file, kinds | ({column: "number"} if labels else {}), SET)
                if bad := [label for label in labels if isinstance(label, bool) or not isinstance(label, int)]:
                    raise InputError(f"{path}: label {bad[0]!r} is not a number; the classes are those of '{column}'.")
                classes = {column: labels} if labels else {}
                yield classes, file.metadata.num_rows, partial(parquet.blocks, path, file)
        else:
            with root.open_root(path) as file:
                tree = root.open_tree(path, file, self.tree)
                root.require(path, tree, [*PARTICLES, "jet_pt"], SET)
                present = [name for name in root.names(tree) if name.startswith("label_")]
                classes = {check_choice(f"{path}: label", label, present): [1] for label in labels}
                yield classes, tree.num_entries, partial(root.blocks, path, tree)


def _block(path, start: int, arrays: dict, classes: dict[str, list[int]]) -> Block:
    values = Branches(path, len(arrays["jet_pt"]), arrays)
    labels = {name: values.scalar(name) for name in classes}
    arrays = values.collection(PARTICLES) | {"jet_pt": values.scalar("jet_pt")}
    entry, refused = start + np.arange(values.length), {}
    if classes:
        chosen = np.any([np.isin(labels[name], numbers) for name, numbers in classes.items()], axis=0)
        arrays, entry = {name: x[chosen] for name, x in arrays.items()}, entry[chosen]
        refused = {"label": int((~chosen).sum())}
    px, py, pz, energy = (arrays[name] for name in PARTICLES)
    columns = {"constituents": padded_cartesian(WIDTHS["constituents"], px=px, py=py, pz=pz, energy=energy)}
    with np.errstate(over="ignore", invalid="ignore"):
        row = rows_of(px)
        sums = [np.bincount(row, flat(component), minlength=len(entry)) for component in (px, py, pz, energy)]
        columns["jet"] = from_cartesian(np.stack(sums, axis=-1)).astype(np.float32)
    columns["jet"][:, 0] = arrays["jet_pt"]
    damaged = {name: unsound(x, positive=name in ("part_energy", "jet_pt")) for name, x in arrays.items()}
    lost = beyond(row, len(entry), WIDTHS["constituents"])
    return Block(columns, entry, damaged, refused, constituents_cut_off=lost)
