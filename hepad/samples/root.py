"""ROOT: a TTree with one entry per probe jet and jagged branches, written by hepad or by the user.

hepad's names: ``jet_pt`` ..., ``constituent_pt[]``, ``jets_pt[]``, ``electrons_pt[]``, ``muons_pt[]``,
``photons_pt[]`` (each with _pt, _eta, _phi, _mass), ``met_pt``, ``met_phi``, ``event_id``, ``weight``, ``truth_*``.
A user's file is read through a mapping {hepad name: branch}; constituents may also come as (_pt, _eta, _phi) with
_mass, _energy or neither (massless), or as (_px, _py, _pz, _energy). Where jets are a collection, the hardest one and
its constituents (then jagged twice) are taken.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from hepad.errors import InputError, choose
from hepad.events import FOUR_VECTOR, Events, concatenate
from hepad.io import atomic_path
from hepad.kinematics import from_cartesian, sum_four_vectors, to_cartesian
from hepad.samples.meta import merge_meta
from hepad.samples.selection import WIDTHS, check_values, complete, describe, nothing_passes, pad, select

COLLECTIONS = ("jets", "electrons", "muons", "photons")
NAMES = {
    **{f"{group}_{x}": group for group in ("jet", *COLLECTIONS) for x in FOUR_VECTOR},
    **{f"constituent_{x}": "constituent" for x in (*FOUR_VECTOR, "energy", "px", "py", "pz")},
    **{name: name for name in ("met_pt", "met_phi", "event_id", "weight")},
}
LAYOUTS = (("pt", "eta", "phi", "mass"), ("pt", "eta", "phi", "energy"), ("px", "py", "pz", "energy"))
LAYOUTS += (("pt", "eta", "phi"),)
UNITS = {"GeV": 1.0, "MeV": 1e-3}
# what uproot raises on damaged bytes
DAMAGE = (OSError, ValueError, LookupError, NotImplementedError, struct.error, zlib.error, uproot.DeserializationError)


def write_root(events: Events, path: str | Path) -> None:
    """Write Events to a TTree ``events`` and their ``meta`` to a TObjString of JSON, atomically."""
    columns: dict = {"event_id": events.event_id, "weight": events.weight}
    columns |= {f"jet_{name}": events.jet[:, i] for i, name in enumerate(FOUR_VECTOR)}
    columns |= {"met_pt": events.met[:, 0], "met_phi": events.met[:, 1]}
    columns |= {f"truth_{name}": values for name, values in events.truth.items()}
    for name in ("constituents", *COLLECTIONS):
        padded = getattr(events, name)
        present = padded[..., 0] > 0
        count = present.sum(axis=1)
        fields = {x: ak.unflatten(padded[..., i][present], count) for i, x in enumerate(FOUR_VECTOR)}
        columns["constituent" if name == "constituents" else name] = ak.zip(fields)
    with atomic_path(path) as partial, uproot.recreate(partial) as file:
        types = {name: c.type if isinstance(c, ak.Array) else c.dtype for name, c in columns.items()}
        file.mktree("events", types)
        for start in range(0, len(events), 10_000):
            file["events"].extend({name: column[start : start + 10_000] for name, column in columns.items()})
        file["meta"] = json.dumps(events.meta)


def read_root(
    files: list[str],
    *,
    name: str,
    selection: dict | str,
    split: tuple[float, float, float],
    tree: str = "events",
    branches: dict[str, str] | None = None,
    units: str = "GeV",
    max_constituents: int = WIDTHS["constituents"],
    chunk: str = "100 MB",
) -> Events:
    """Read the probe jets of ROOT files: hepad's own, or anyone's through a mapping of branches.

    Parameters
    ----------
    files: paths or root:// addresses
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV, or 'any'
    split: fractions of train, valid and test
    tree: name of the TTree
    branches: {hepad name: branch of the file}; None: the file has hepad's names
    units: 'GeV' or 'MeV' of all momenta, energies and masses
    max_constituents: the hardest ones are kept
    chunk: memory of one block of entries

    Returns
    -------
    Events. The jet is the sum of its constituents unless jet_pt, _eta, _phi and _mass are all there. Objects that the
    file lacks are zero, weights 1, and ``event_id`` a hash of the constituents, independent of files and order.
    ``meta['counts']`` has per file what was read, refused by each cut, and kept.

    Raises
    ------
    InputError: damaged file, missing tree or branch, NaN, negative pt or energy, nothing passes
    """
    scale = UNITS[choose("units", units, UNITS)]
    parts, counts, metas, seen = [], {}, [], []
    for path in files:
        with _open(path) as file:
            source = _tree(path, file, tree)
            mapping = _mapping(path, source, branches)
            metas.append(_meta(path, file))
            counts[str(path)] = total = {}
            for arrays, report in _blocks(path, source, sorted(set(mapping.values())), chunk):
                arrays = {key: arrays[branch] for key, branch in mapping.items()}
                for key, array in arrays.items():
                    _check(path, mapping[key], key, array, report.start)
                columns, truth = _columns(path, _shaped(path, arrays, mapping), scale, max_constituents)
                mask, block = select(columns["jet"], (columns["constituents"][..., 0] > 0).sum(axis=1), selection)
                part, pt = complete(columns, split=split, truth=truth)[mask], columns["jet"][:, 0]
                seen.append(pt)
                parts += [part] if len(part) else []
                for cut, number in block.items():
                    total[cut] = total.get(cut, 0) + number
    if not parts:
        raise nothing_passes(name, counts, np.concatenate([*seen, []]), selection)
    events = concatenate(parts)
    present = [group for group in (*COLLECTIONS, "met") if f"{group}_pt" in mapping]
    return describe(events, merge_meta(metas) | {"present": present}, name, selection, counts)


def check_root(files: list[str], *, tree: str = "events", branches: dict[str, str] | None = None, **_: object) -> None:
    """Open every file and look for its tree and required branches; InputError names what is missing."""
    for path in files:
        with _open(path) as file:
            _mapping(path, _tree(path, file, tree), branches)


@contextmanager
def _reading(path) -> Iterator[None]:
    """Any failure of uproot to open, decompress or interpret becomes an InputError that names the file."""
    try:
        yield
    except DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError(f"{path}: not a readable ROOT file ({reason}). It may be truncated; fetch it again.") from None


@contextmanager
def _open(path) -> Iterator[uproot.ReadOnlyDirectory]:
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check 'files' in the sample's source.")
    with _reading(path):
        file = uproot.open(path)
        if not remote and file.file.fEND > Path(path).stat().st_size:
            raise OSError(f"{file.file.fEND} bytes expected, {Path(path).stat().st_size} found")
    with file:
        yield file


def _blocks(path, tree, names: list[str], chunk: str) -> Iterator[tuple]:
    with _reading(path):
        yield from tree.iterate(names, step_size=chunk, report=True)


def _meta(path, file) -> dict:
    """What :func:`write_root` stored; nothing in other people's files."""
    if "meta" not in file or file.classname_of("meta") != "TObjString":
        return {}
    with _reading(path):
        meta = json.loads(str(file["meta"]))
    return meta if isinstance(meta, dict) else {}


def _tree(path, file, tree: str):
    if tree not in file or not file.classname_of(tree).startswith("TTree"):
        kinds = {key.split(";")[0]: kind for key, kind in file.classnames().items()}
        if kinds.get(tree) == "ROOT::RNTuple":
            raise InputError(f"{path}: '{tree}' is an RNTuple, which is not read yet. Write it as a TTree.")
        present = sorted(key for key, kind in kinds.items() if kind.startswith("TTree"))
        raise InputError(f"{path}: there is no TTree '{tree}'; present: {', '.join(present) or 'none'}. Set 'tree'.")
    with _reading(path):
        return file[tree]


def _mapping(path, tree, branches: dict[str, str] | None) -> dict[str, str]:
    """{hepad name: branch}: the branches that are read, checked."""
    present = set(tree.keys(full_paths=False))
    if branches is None:
        mapping = {name: name for name in present if name in NAMES or name.startswith("truth_")}
    else:
        for name, branch in branches.items():
            if not name.startswith("truth_"):
                choose("branches: hepad name", name, NAMES)
            if branch not in present:
                listed = ", ".join(sorted(present))
                raise InputError(f"{path}: branch '{branch}' (for '{name}') is missing; present: {listed}.")
        mapping = dict(branches)
    if _layout(mapping) is None:
        raise InputError(
            f"{path}: the constituents are missing: 'branches' must give constituent_pt, _eta, _phi (and _mass or "
            f"_energy), or _px, _py, _pz, _energy. Mapped: {', '.join(sorted(mapping)) or 'nothing'}; present: "
            f"{', '.join(sorted(present))}."
        )
    _refuse_halves(path, mapping)
    return mapping


def _refuse_halves(path, mapping) -> None:
    """InputError for a group of branches of which only a part is there: it could not be used."""
    needed = {group: FOUR_VECTOR[:3] for group in COLLECTIONS} | {"jet": FOUR_VECTOR, "met": ("pt", "phi")}
    for group, components in needed.items():
        given = sorted(name for name in mapping if name.startswith(f"{group}_"))
        missing = [f"{group}_{x}" for x in components if f"{group}_{x}" not in mapping]
        if given and missing:
            raise InputError(
                f"{path}: {', '.join(given)} cannot be used without {', '.join(missing)}. Give all in 'branches', "
                f"or none of '{group}'."
            )


def _layout(mapping) -> tuple[str, ...] | None:
    return next((x for x in LAYOUTS if all(f"constituent_{name}" in mapping for name in x)), None)


def _columns(path, arrays: dict, scale: float, max_constituents: int) -> tuple[dict, dict]:
    """The columns of Events, and the truth, of one block of entries."""
    layout = _layout(arrays)
    constituents = _four_vectors(path, arrays, "constituent", layout, max_constituents, scale)
    columns = {"constituents": constituents, "jet": sum_four_vectors(constituents).astype(np.float32)}
    if "jet_pt" in arrays:
        columns["jet"] = np.stack([ak.to_numpy(arrays[f"jet_{x}"]) for x in FOUR_VECTOR], -1).astype(np.float32)
        columns["jet"][:, [0, 3]] *= np.float32(scale)
    for group in COLLECTIONS:
        if f"{group}_pt" in arrays:
            given = tuple(x for x in FOUR_VECTOR if f"{group}_{x}" in arrays)  # without masses: massless
            columns[group] = _four_vectors(path, arrays, group, given, WIDTHS[group], scale)
    if "met_pt" in arrays:
        met = [ak.to_numpy(arrays["met_pt"]) * scale, ak.to_numpy(arrays["met_phi"])]
        columns["met"] = np.stack(met, axis=-1).astype(np.float32)
    if "event_id" in arrays:
        columns["event_id"] = ak.to_numpy(arrays["event_id"]).astype(np.int64)
    if "weight" in arrays:
        columns["weight"] = ak.to_numpy(arrays["weight"]).astype(np.float64)
    truth = {x[6:]: ak.to_numpy(a).astype(np.float32) for x, a in arrays.items() if x.startswith("truth_")}
    return columns, truth


def _check(path, branch: str, name: str, array, first_entry: int) -> None:
    positive = name == "weight" or (name.endswith(("_pt", "_energy")) and not name.startswith("truth_"))

    def entry(value: int) -> int:
        counts = [1] * len(array) if array.ndim == 1 else [ak.count(row) for row in array]
        return first_entry + int(np.searchsorted(np.cumsum(counts), value, side="right"))

    check_values(path, branch, ak.to_numpy(ak.flatten(array, axis=None)), entry, positive=positive)


def _shaped(path, arrays: dict, mapping: dict) -> dict:
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


def _four_vectors(path, arrays: dict, group: str, layout, width: int, scale: float) -> np.ndarray:
    """(N, width, 4) float32 of (pt, eta, phi, mass) from jagged components in ``layout``."""
    counts = [ak.to_numpy(ak.num(arrays[f"{group}_{x}"])) for x in layout]
    if any((count != counts[0]).any() for count in counts):
        raise InputError(f"{path}: the branches of '{group}' ({', '.join(layout)}) differ in length. Check 'branches'.")
    n = len(counts[0])
    row = np.repeat(np.arange(n), counts[0])
    component = {x: ak.to_numpy(ak.flatten(arrays[f"{group}_{x}"])) for x in layout}
    if layout[0] == "px":
        p = from_cartesian(np.stack(list(component.values()), axis=-1))
    else:
        p = np.stack([component[x] for x in ("pt", "eta", "phi")] + [component.get("mass", 0 * component["pt"])], -1)
        if "energy" in component:
            momenta = to_cartesian(p)
            momenta[:, 3] = component["energy"]
            p[:, 3] = from_cartesian(momenta)[:, 3]
    p = p * np.where([True, False, False, True], p.dtype.type(scale), p.dtype.type(1))
    return pad(row, p, n, width)
