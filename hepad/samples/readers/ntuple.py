"""Files with one name per quantity: hepad's own ROOT files, and anyone's ROOT, Parquet or HDF5 through a mapping.

hepad's names: ``jet_pt`` ..., ``constituent_pt[]``, ``jets_pt[]``, ``electrons_pt[]``, ``muons_pt[]``,
``photons_pt[]``, ``taus_pt[]`` (each with _pt, _eta, _phi, _mass), ``met_pt``, ``met_phi``, ``event_id``, ``weight``,
``run``, ``luminosity_block``, ``event``, ``n_pv``, ``pileup``, ``cicada``, ``axol1tl``, ``jets_b_tag[]``, ``truth_*``,
``trigger_*``. A mapping is {hepad name: branch or expression of branches}. Constituents and the collections of the
event may also come as (_pt, _eta, _phi) with _energy or without either (massless), constituents as (_px, _py, _pz,
_energy), too. Where jets are a collection, the hardest one and its constituents (then jagged twice) are taken. Without
constituents and jet_*, a row is an event, and its jet the hardest of jets_*.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import awkward as ak
import numpy as np

from hepad.errors import InputError, check_choice
from hepad.events import FACTS, FOUR_VECTOR, NUMBERS, of_kind
from hepad.events.cuts import UNITS
from hepad.events.expressions import evaluate, truth
from hepad.events.identifiers import event_id
from hepad.events.padding import WIDTHS
from hepad.samples.formats.columns import open_columns
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import branches_of
from hepad.samples.readers.jagged import counted, masses, summed, unsound
from hepad.samples.readers.shapes import COLLECTIONS, four_vectors, group_of, layout, shaped, size, tags

# branches of hepad's own files, with and without constituents
OWN = ({"constituent_pt", "constituent_eta", "constituent_phi"}, {"jet_pt", "jets_pt", "met_pt", "event_id"})
PREFIXES = ("truth_", "trigger_")
NAMES = {
    **{f"{group}_{x}": group for group in ("jet", *COLLECTIONS) for x in (*FOUR_VECTOR, "energy")},
    **{f"constituent_{x}": "constituent" for x in (*FOUR_VECTOR, "energy", "px", "py", "pz")},
    **{name: name for name in ("met_pt", "met_phi", "event_id", "weight", "jets_b_tag", *FACTS)},
}


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
    kind = "ROOT, Parquet or HDF5"
    landmarks = ("events", "constituent_pt", "constituent_eta", "constituent_phi")

    tree: str | None = None
    branches: dict[str, str] | None = None
    cuts: tuple[str, ...] = ()
    units: str = "GeV"
    jet_radius: float | None = None
    max_constituents: int = WIDTHS["constituents"]

    def __post_init__(self):
        check_choice("units", self.units, UNITS)
        if not isinstance(self.branches, dict | None):
            raise InputError(f"branches: {self.branches!r} is no mapping. Write one: branches: {{jet_pt: ...}}.")
        for name, expression in (self.branches or {}).items():
            if not str(name).startswith(PREFIXES):
                check_choice("branches: hepad name", name, NAMES)
            if not isinstance(expression, str):
                raise InputError(
                    f"branches: {name}: {expression!r} is not text. Give a branch or an expression of branches, a "
                    f"number in quotes ('2'), or leave '{name}' out."
                )

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        names = contents.tables.get("events", frozenset())
        expected, without_constituents = OWN
        inside = any(name.startswith("constituent_") for name in names)
        return expected <= names or (without_constituents <= names and not inside)

    def look(self, path: str) -> Found:
        with open_columns(path, self.tree) as columns:
            mapping = self._mapping(path, columns.names)
            meta = columns.meta if self.branches is None else {}
            present = {group for group in (*COLLECTIONS, "met") if f"{group}_pt" in mapping}
            present |= {"constituents"} if layout(mapping) else set()
            present |= {name for name in ("weight", "event_id", "pileup") if name in mapping}
            present |= {"event_id"} if "event" in mapping else set()
            present |= {"b_tag"} & {name.removeprefix("jets_") for name in mapping}
            triggers = tuple(sorted(name[8:] for name in mapping if name.startswith("trigger_")))
            radius = self.jet_radius or meta.get("jet_radius")
            facts, truths = FACTS.keys() & mapping, {name[6:] for name in mapping if name.startswith("truth_")}
            look = Found(columns.entries, frozenset(present), triggers, jet_radius=radius, meta=meta)
            return replace(look, facts=frozenset(facts), truth=frozenset(truths))

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with open_columns(path, self.tree) as columns:
            mapping = self._mapping(path, columns.names)
            names = {name for x in (*mapping.values(), *self.cuts) for name in branches_of(x, columns.names)}
            for start, arrays in columns.blocks(names, rows):
                yield self._block(path, mapping, start, arrays)

    def remedy(self, branch: str) -> str:
        mapping = self.branches or {}
        group = next((group_of(name) for name, text in mapping.items() if text == branch and group_of(name)), None)
        first = next((x for x in ("pt", "energy") if group and f"{group}_{x}" in mapping), None)
        changed = [f"{group}_{x}" for x in (("pt",) if first == "pt" else ("px", "py"))]
        if first is None or any(mapping.get(name, "").startswith("where(") for name in changed):
            return super().remedy(branch)
        size = mapping[f"{group}_{first}"]
        listed, ratio = (
            ", ".join(f"{name}: where({size} {condition}, {mapping[name]}, 0)" for name in changed)
            for condition in ("> 0", "< 1e9")
        )
        return (
            f"Repair the file or, where these are places without an object, map '{listed}'; where they are infinite, "
            f"'{ratio}'."
        )

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
        if not any(f"{group}_{x}" in mapping for group in ("constituent", "jet", *COLLECTIONS) for x in ("pt", "px")):
            raise InputError(
                f"{path}: there is nothing to read: 'branches' must give the constituents (constituent_pt, _eta, _phi, "
                "and _mass or _energy, or _px, _py, _pz, _energy), jet_* or, of events, jets_*, electrons_*, muons_*, "
                f"photons_* or taus_*. Mapped: {', '.join(sorted(mapping)) or 'nothing'}; present: "
                f"{', '.join(sorted(present))}."
            )
        _check_halves(path, mapping)
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
        for name, values in arrays.items():
            arrays[name] = values if isinstance(values, ak.Array) else ak.Array(np.broadcast_to(values, n))
            _check_foreign_types(path, mapping[name], arrays[name])
        with np.errstate(all="ignore"):
            damaged = _damaged(arrays, mapping)
            arrays, missing = shaped(path, arrays, mapping)
            damaged |= {branch: damaged[branch] | rows for branch, rows in missing.items()}
            facts = {name: _fact(arrays[name], kind) for name, kind in FACTS.items() if name in arrays}
            truths = {x[6:]: ak.to_numpy(a).astype(np.float32) for x, a in arrays.items() if x.startswith("truth_")}
            bits = {
                x: np.where(damaged[mapping[x]], 0, ak.to_numpy(a))
                for x, a in arrays.items()
                if x.startswith("trigger_")
            }
            columns = self._columns(path, arrays)
            if "event" in facts and "event_id" not in columns:
                columns["event_id"] = event_id(*(facts.get(x, np.zeros(n, np.int64)) for x in NUMBERS))
        triggers = {}
        for name, values in bits.items():
            with _at(path, f"for '{name}'"):
                triggers[name[8:]] = truth(values)
        block = Block(
            columns, start + np.arange(n), damaged, facts=facts, truth=truths, triggers=triggers,
            cut_off=_beyond(arrays, {group: WIDTHS[group] for group in COLLECTIONS}),
            constituents_cut_off=_beyond(arrays, {"constituent": self.max_constituents}), weight=_weight(mapping),
        )  # fmt: skip
        return block if keep.all() else block.take(keep, {"cuts": int((~keep).sum())})

    def _columns(self, path: str, arrays: dict) -> dict[str, np.ndarray]:
        """The columns of Events of one block of entries."""
        scale = UNITS[self.units]
        columns, n = {}, len(next(iter(arrays.values())))
        columns["jet"] = np.zeros((n, 4), np.float32)
        if layout(arrays):
            columns["constituents"], row, p, _ = four_vectors(path, arrays, "constituent", self.max_constituents, scale)
            if "jet_pt" not in arrays:
                columns["jet"] = summed(row, p, n)
        if "jet_pt" in arrays:
            jet = {x: ak.to_numpy(arrays[f"jet_{x}"]) for x in (*FOUR_VECTOR, "energy") if f"jet_{x}" in arrays}
            mass = masses(jet) * scale
            columns["jet"] = np.stack([jet["pt"] * scale, jet["eta"], jet["phi"], mass], axis=-1).astype(np.float32)
        for group in COLLECTIONS:
            if f"{group}_pt" in arrays:
                columns[group], row, p, mask = four_vectors(path, arrays, group, WIDTHS[group], scale)
                if group == "jets" and "jets_b_tag" in arrays:
                    columns["b_tag"] = tags(path, arrays, row, p, mask)
        if "jets" in columns and not layout(arrays) and "jet_pt" not in arrays:
            columns["jet"] = columns["jets"][:, 0]
        if "met_pt" in arrays:
            met = [ak.to_numpy(arrays["met_pt"]) * scale, ak.to_numpy(arrays["met_phi"])]
            columns["met"] = np.stack(met, axis=-1).astype(np.float32)
        if "event_id" in arrays:
            columns["event_id"] = ak.to_numpy(arrays["event_id"]).astype(np.int64)
        if "weight" in arrays:
            columns["weight"] = ak.to_numpy(arrays["weight"]).astype(np.float64)
        return columns


@contextmanager
def _at(path: str, key: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {key}: {error}") from None


def _fact(values: ak.Array, kind) -> np.ndarray:
    """(N,) of a kind of ``FACTS``; a negative number of vertices or collisions, or score, is unknown."""
    values = ak.to_numpy(values)
    return counted(values) if kind == np.float32 else of_kind(values, kind, len(values))


def _weight(mapping: dict[str, str]) -> str:
    """The branch of the weight, if nothing else comes from it."""
    weight = mapping.get("weight", "")
    return weight if list(mapping.values()).count(weight) == 1 else ""


def _positive(name: str) -> bool:
    return name.endswith(("_pt", "_energy")) and not name.startswith("truth_")


def _damaged(arrays: dict, mapping: dict) -> dict[str, np.ndarray]:
    """(N,) bool by branch: entries with values that cannot be. Those of objects that are not there become 0."""
    damaged = {}
    for name, array in arrays.items():
        bad = unsound(array, positive=_positive(name))
        sizes = size(arrays, group_of(name)) if group_of(name) and bad.any() else None
        if sizes is not None and name not in (f"{group_of(name)}_{x}" for x in ("pt", "px", "py")):
            with suppress(ValueError):  # other lengths are reported later
                arrays[name] = ak.where(sizes == 0, 0, array)
                bad = unsound(arrays[name], positive=_positive(name))
        damaged[mapping[name]] = damaged.get(mapping[name], False) | bad
    return damaged


def _check_halves(path: str, mapping) -> None:
    """InputError for a group of branches of which only a part is there: it could not be used."""
    needed = {group: FOUR_VECTOR[:3] for group in ("constituent", *COLLECTIONS, "jet")} | {"met": ("pt", "phi")}
    if any(f"constituent_{x}" in mapping for x in ("px", "py", "pz")):
        needed["constituent"] = ("px", "py", "pz", "energy")
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


def _check_foreign_types(path: str, branch: str, array: ak.Array) -> None:
    kind = str(ak.type(array)).rsplit("*", 1)[-1].strip()
    if not kind.startswith(("int", "uint", "float", "bool")):
        raise InputError(f"{path}: '{branch}' holds {kind}, not numbers. Map another branch in 'branches'.")


def _truth(cut: str, value, n: int) -> np.ndarray:
    value = ak.to_numpy(value) if isinstance(value, ak.Array) and value.ndim == 1 else value
    if not isinstance(value, np.ndarray) or value.shape != (n,):
        raise InputError(f"'{cut}' is not one truth value per entry. Use any(...), count(...) or x[0].")
    return truth(value)


def _beyond(arrays: dict, widths: dict[str, int]) -> np.ndarray | None:
    """(N,) how many objects, or constituents, found no room; None if there are none of the kinds of ``widths``."""
    pt = {group: arrays.get(f"{group}_pt", arrays.get(f"{group}_px")) for group in widths}
    number = {group: ak.to_numpy(ak.sum(abs(x) > 0, axis=1)) for group, x in pt.items() if x is not None}
    return sum(np.maximum(number[group] - widths[group], 0) for group in number) if number else None
