"""Files with one name per quantity: hepad's own ROOT files, and anyone's ROOT, Parquet or HDF5 through a mapping.

hepad's names: ``jet_pt`` ..., ``constituent_pt[]``, ``jets_pt[]``, ``electrons_pt[]``, ``muons_pt[]``, ``photons_pt[]``
(each with _pt, _eta, _phi, _mass), ``met_pt``, ``met_phi``, ``event_id``, ``weight``, ``run``, ``luminosity_block``,
``event``, ``n_pv``, ``pileup``, ``jets_b_tag[]``, ``truth_*``, ``trigger_*``. A mapping is {hepad name: branch or
expression of branches}. Constituents and the collections of the event may also come as (_pt, _eta, _phi) with _energy
or without either (massless), constituents as (_px, _py, _pz, _energy), too. Where jets are a collection, the hardest
one and its constituents (then jagged twice) are taken.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import awkward as ak
import numpy as np

from hepad.errors import InputError, choose
from hepad.events import FOUR_VECTOR
from hepad.files.columns import open_columns
from hepad.kinematics import from_cartesian
from hepad.readers.base import Block, Contents, Found, Reader
from hepad.readers.expressions import branches_of, evaluate
from hepad.readers.jagged import flat, masses, parts, summed, unsound
from hepad.rows import UNITS, WIDTHS, pad

COLLECTIONS = ("jets", "electrons", "muons", "photons")
FACTS = {"run": np.int64, "luminosity_block": np.int64, "event": np.int64, "n_pv": np.float32, "pileup": np.float32}
# of hepad's own files, with and without constituents
OWN = ({"constituent_pt", "constituent_eta", "constituent_phi"}, {"jet_pt", "jets_pt", "met_pt", "event_id"})
PREFIXES = ("truth_", "trigger_")
NAMES = {
    **{f"{group}_{x}": group for group in ("jet", *COLLECTIONS) for x in (*FOUR_VECTOR, "energy")},
    **{f"constituent_{x}": "constituent" for x in (*FOUR_VECTOR, "energy", "px", "py", "pz")},
    **{name: name for name in ("met_pt", "met_phi", "event_id", "weight", "jets_b_tag", *FACTS)},
}
LAYOUTS = (("pt", "eta", "phi", "mass"), ("pt", "eta", "phi", "energy"), ("px", "py", "pz", "energy"))
LAYOUTS += (("pt", "eta", "phi"),)


@dataclass(frozen=True)
class Mapped(Reader):
    """One probe jet per entry.

    Parameters
    ----------
    tree: name of the TTree or RNTuple (ROOT), or of the group of datasets (HDF5; '' is the file)
    branches: {hepad name: branch or expression}; None: the file has hepad's names
    cuts: expressions that an entry has to fulfil, one truth value each
    units: 'GeV' or 'MeV' of all momenta, energies and masses
    jet_radius: of the jets, where it is known
    max_constituents: the hardest ones are kept
    """

    title = "hepad's own ROOT files, and any ROOT, Parquet or HDF5 file through 'branches'"
    kind = "ROOT"
    landmarks = ("events", "constituent_pt", "constituent_eta", "constituent_phi")

    tree: str | None = None
    branches: dict[str, str] | None = None
    cuts: tuple[str, ...] = ()
    units: str = "GeV"
    jet_radius: float | None = None
    max_constituents: int = WIDTHS["constituents"]

    def __post_init__(self):
        choose("units", self.units, UNITS)
        for name in self.branches or {}:
            if not name.startswith(PREFIXES):
                choose("branches: hepad name", name, NAMES)

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        names = contents.tables.get("events", frozenset())
        own, without_constituents = OWN
        inside = any(name.startswith("constituent_") for name in names)
        return own <= names or (without_constituents <= names and not inside)

    def look(self, path: str) -> Found:
        with open_columns(path, self.tree) as columns:
            mapping = self._mapping(path, columns.names)
            meta = columns.meta if self.branches is None else {}
            present = {group for group in (*COLLECTIONS, "met") if f"{group}_pt" in mapping}
            present |= {"constituents"} if _layout(mapping) else set()
            present |= {name for name in ("weight", "event_id", "pileup") if name in mapping}
            present |= {"b_tag"} & {name.removeprefix("jets_") for name in mapping}
            triggers = tuple(sorted(name[8:] for name in mapping if name.startswith("trigger_")))
            radius = self.jet_radius or meta.get("jet_radius")
            return Found(columns.entries, frozenset(present), triggers, jet_radius=radius, meta=meta)

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_columns(path, self.tree) as columns:
            mapping = self._mapping(path, columns.names)
            wanted = {name for x in (*mapping.values(), *self.cuts) for name in branches_of(x, columns.names)}
            for start, arrays in columns.blocks(wanted, rows):
                yield self._block(path, mapping, start, arrays)

    def _mapping(self, path, present: frozenset[str]) -> dict[str, str]:
        if self.branches is None:
            mapping = {name: name for name in present if name in NAMES or name.startswith(PREFIXES)}
        else:
            mapping = dict(self.branches)
            for name, expression in mapping.items():
                with _at(path, f"for '{name}'"):
                    branches_of(expression, present)
        for cut in self.cuts:
            with _at(path, "in 'cuts'"):
                branches_of(cut, present)
        needed = self.branches is not None or "jet_pt" not in mapping or any("constituent_" in x for x in mapping)
        if _layout(mapping) is None and needed:
            raise InputError(
                f"{path}: the constituents are missing: 'branches' must give constituent_pt, _eta, _phi (and _mass or "
                f"_energy), or _px, _py, _pz, _energy. Mapped: {', '.join(sorted(mapping)) or 'nothing'}; present: "
                f"{', '.join(sorted(present))}."
            )
        _refuse_halves(path, mapping)
        return mapping

    def _block(self, path: str, mapping: dict[str, str], start: int, read: dict) -> Block:
        n = len(next(iter(read.values())))
        arrays = {}
        for name, expression in mapping.items():
            with _at(path, f"for '{name}'"):
                arrays[name] = evaluate(expression, read)
        keep = np.ones(n, bool)
        for cut in self.cuts:
            with _at(path, "in 'cuts'"):
                keep &= _truth(cut, evaluate(cut, read), n)
        damaged = {}
        for name, values in arrays.items():
            array = values if isinstance(values, ak.Array) else ak.Array(np.broadcast_to(values, n))
            _refuse_foreign_types(path, mapping[name], array)
            arrays[name], damaged[mapping[name]] = array, unsound(array, positive=_positive(name))
        with np.errstate(all="ignore"):
            arrays = _shaped(path, arrays, mapping)
            facts = {name: ak.to_numpy(arrays[name]).astype(kind) for name, kind in FACTS.items() if name in arrays}
            truth = {x[6:]: ak.to_numpy(a).astype(np.float32) for x, a in arrays.items() if x.startswith("truth_")}
            triggers = {x[8:]: ak.to_numpy(a).astype(bool) for x, a in arrays.items() if x.startswith("trigger_")}
            columns = self._columns(path, arrays)
        block = Block(
            columns, start + np.arange(n), damaged, facts=facts, truth=truth, triggers=triggers,
            cut_off=_beyond(arrays, {group: WIDTHS[group] for group in COLLECTIONS}),
            constituents_cut_off=_beyond(arrays, {"constituent": self.max_constituents}),
        )  # fmt: skip
        return block if keep.all() else block.take(keep, {"cuts": int((~keep).sum())})

    def _columns(self, path: str, arrays: dict) -> dict[str, np.ndarray]:
        """The columns of Events of one block of entries."""
        scale = UNITS[self.units]
        columns, n = {}, len(next(iter(arrays.values())))
        if _layout(arrays):
            columns["constituents"], row, p = _four_vectors(path, arrays, "constituent", self.max_constituents, scale)
        if "jet_pt" in arrays:
            jet = {x: ak.to_numpy(arrays[f"jet_{x}"]) for x in (*FOUR_VECTOR, "energy") if f"jet_{x}" in arrays}
            mass = masses(jet) * scale
            columns["jet"] = np.stack([jet["pt"] * scale, jet["eta"], jet["phi"], mass], axis=-1).astype(np.float32)
        else:
            columns["jet"] = summed(row, p, n)
        for group in COLLECTIONS:
            if f"{group}_pt" in arrays:
                columns[group], row, p = _four_vectors(path, arrays, group, WIDTHS[group], scale)
                if group == "jets" and "jets_b_tag" in arrays:
                    columns["b_tag"] = _tags(path, arrays, row, p, n)
        if "met_pt" in arrays:
            met = [ak.to_numpy(arrays["met_pt"]) * scale, ak.to_numpy(arrays["met_phi"])]
            columns["met"] = np.stack(met, axis=-1).astype(np.float32)
        if "event_id" in arrays:
            columns["event_id"] = ak.to_numpy(arrays["event_id"]).astype(np.int64)
        if "weight" in arrays:
            columns["weight"] = ak.to_numpy(arrays["weight"]).astype(np.float64)
        return columns


def _tags(path: str, arrays: dict, row: np.ndarray, p: np.ndarray, n: int) -> np.ndarray:
    """(n, K) b tags in the order of the padded jets, that of pt."""
    tags = flat(arrays["jets_b_tag"])
    if len(tags) != len(p):
        raise InputError(f"{path}: 'jets_b_tag' and 'jets_pt' differ in length. Check 'branches'.")
    return pad(row, np.stack([p[:, 0], tags, tags, tags], axis=-1), n, WIDTHS["jets"])[..., 1]


@contextmanager
def _at(path: str, where: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {where}: {error}") from None


def _positive(name: str) -> bool:
    return name.endswith(("_pt", "_energy")) and not name.startswith("truth_")


def _layout(mapping) -> tuple[str, ...] | None:
    return next((x for x in LAYOUTS if all(f"constituent_{name}" in mapping for name in x)), None)


def _refuse_halves(path: str, mapping) -> None:
    """InputError for a group of branches of which only a part is there: it could not be used."""
    needed = {group: FOUR_VECTOR[:3] for group in (*COLLECTIONS, "jet")} | {"met": ("pt", "phi")}
    for group, components in needed.items():
        given = sorted(name for name in mapping if name.startswith(f"{group}_"))
        missing = [f"{group}_{x}" for x in components if f"{group}_{x}" not in mapping]
        if group == "jet" and given and not {"jet_mass", "jet_energy"} & set(mapping):
            missing.append("jet_mass (or jet_energy)")
        if given and missing:
            raise InputError(
                f"{path}: {', '.join(given)} cannot be used without {', '.join(missing)}. Give all in 'branches', "
                f"or none of '{group}'."
            )


def _refuse_foreign_types(path: str, branch: str, array: ak.Array) -> None:
    kind = str(ak.type(array)).rsplit("*", 1)[-1].strip()
    if not kind.startswith(("int", "uint", "float", "bool")):
        raise InputError(f"{path}: '{branch}' holds {kind}, not numbers. Map another branch in 'branches'.")


def _truth(cut: str, value, n: int) -> np.ndarray:
    value = ak.to_numpy(value) if isinstance(value, ak.Array) and value.ndim == 1 else value
    if not isinstance(value, np.ndarray) or value.shape != (n,):
        raise InputError(f"'{cut}' is not one truth value per entry. Use any(...), count(...) or x[0].")
    return value.astype(bool)


def _shaped(path: str, arrays: dict, mapping: dict) -> dict:
    """One jet per entry: numbers flat, collections jagged once.

    Where jets are a collection, the hardest one and its constituents are kept; an entry without a jet gets none.
    Of event quantities that come as collections, as in Delphes, the first is kept.
    """
    arrays = dict(arrays)
    nested = [x for x in arrays if x.startswith("constituent_") and arrays[x].ndim == 3]
    jets = [x for x in arrays if x.startswith("jet_") and arrays[x].ndim == 2]
    best = None
    if "jet_pt" in jets:
        best = ak.argmax(arrays["jet_pt"], axis=1, keepdims=True)
    elif nested:
        best = ak.local_index(arrays[nested[0]], axis=1)[:, :1]
    for x in (*jets, *nested) if best is not None else ():
        arrays[x] = ak.fill_none(ak.firsts(arrays[x][best]), [] if x in nested else 0, axis=0)
    for x in arrays:
        collection = x.startswith("constituent_") or x.split("_")[0] in COLLECTIONS
        if not collection and arrays[x].ndim == 2:
            arrays[x] = ak.fill_none(ak.firsts(arrays[x]), 0)
        if arrays[x].ndim != (2 if collection else 1):
            wanted = "a list of numbers" if collection else "one number"
            raise InputError(f"{path}: branch '{mapping[x]}', read as '{x}', is not {wanted} per entry.")
    return arrays


def _beyond(arrays: dict, widths: dict[str, int]) -> np.ndarray | None:
    """(N,) how many objects, or constituents, found no room; None if there are none of the kinds of ``widths``."""
    pt = {group: arrays.get(f"{group}_pt", arrays.get(f"{group}_px")) for group in widths}
    number = {group: ak.to_numpy(ak.sum(x != 0, axis=1)) for group, x in pt.items() if x is not None}
    return sum(np.maximum(number[group] - widths[group], 0) for group in number) if number else None


def _four_vectors(path: str, arrays: dict, group: str, width: int, scale: float):
    """(N, width, 4) float32 of (pt, eta, phi, mass) from jagged components; and, flat, their rows and vectors."""
    names = [x for x in (*FOUR_VECTOR, "energy", "px", "py", "pz") if f"{group}_{x}" in arrays]
    layout = next(x for x in LAYOUTS if set(x) <= set(names))
    found = {x: parts(arrays[f"{group}_{x}"]) for x in layout}
    counts, *others = (count for count, _ in found.values())
    if any((count != counts).any() for count in others):
        raise InputError(f"{path}: the branches of '{group}' ({', '.join(layout)}) differ in length. Check 'branches'.")
    row, component = np.repeat(np.arange(len(counts)), counts), {x: values for x, (_, values) in found.items()}
    if layout[0] == "px":
        p = from_cartesian(np.stack(list(component.values()), axis=-1))
    else:
        p = np.stack([*(component[x] for x in ("pt", "eta", "phi")), masses(component)], axis=-1)
    p[:, [0, 3]] *= p.dtype.type(scale)
    there = p[:, 0] > 0  # regular arrays are padded with zeros
    row, p = (row, p) if there.all() else (row[there], p[there])
    return pad(row, p, len(counts), width), row, p
