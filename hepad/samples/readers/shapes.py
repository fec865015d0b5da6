"""Shapes the arrays of a mapping to one probe jet per entry: numbers flat, collections jagged once."""

import re

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events import FOUR_VECTOR
from hepad.events.kinematics import from_cartesian
from hepad.events.padding import WIDTHS, pad
from hepad.samples.readers.jagged import masses, parts

COLLECTIONS = ("jets", "electrons", "muons", "photons", "taus")
LAYOUTS = (("pt", "eta", "phi", "mass"), ("pt", "eta", "phi", "energy"), ("px", "py", "pz", "energy"))
LAYOUTS += (("pt", "eta", "phi"),)


def layout(mapping) -> tuple[str, ...] | None:
    """The components that describe the constituents; None if there are no constituents."""
    return next((x for x in LAYOUTS if all(f"constituent_{name}" in mapping for name in x)), None)


def group_of(name: str) -> str | None:
    """The collection that a name belongs to."""
    group = name.split("_")[0]
    return group if group in ("constituent", *COLLECTIONS) else None


def size(arrays, group: str):
    """A quantity that is 0 for an absent object: pt, or px² + py² of Cartesian constituents; None if unknown."""
    if f"{group}_pt" in arrays:
        return arrays[f"{group}_pt"]
    px, py = (arrays.get(f"{group}_{x}") for x in ("px", "py"))
    return None if px is None or py is None else px * px + py * py


def shaped(path: str, arrays: dict, mapping: dict) -> tuple[dict, dict[str, np.ndarray]]:
    """One jet per entry: numbers flat, collections jagged once.

    Where jets are a collection, the hardest one and its constituents are kept: that of the highest jet_pt or, without
    it, of the highest pT of the vector sum of its constituents; an entry without a jet gets none. Constituents in
    padded arrays (N, jets, places) are nested so, too. Of event quantities that come in lists of one, as in Delphes,
    the one is taken.

    Returns
    -------
    the arrays, and, by branch, (N,) bool: entries where an event quantity is missing

    Raises
    ------
    InputError: arrays of another shape, or jets and constituents that do not belong together
    """
    arrays, missing = dict(arrays), {}
    if _are_nested(arrays, mapping):
        arrays |= {x: ak.from_regular(arrays[x], axis=None) for x in arrays if x.startswith("constituent_")}
    for x, array in arrays.items():
        if array.ndim > 2 and _last(array) is not None:
            jets = array.ndim == 3 and x.startswith("constituent_") and not _share_columns(mapping)
            first = f"; or of jets and places the first jet: '{_closed(mapping[x])}[:, 0, :]'" if jets else ""
            raise InputError(
                f"{path}: '{mapping[x]}', read as '{x}', has {_number(array.ndim)} axes. Take one place along the last:"
                f" '{_sliced(mapping[x], array.ndim)}'{first}."
            )
    for group in ("constituent", "jet", *COLLECTIONS):
        _check_different(path, {x: mapping[x] for x in arrays if x.startswith(f"{group}_")})
    nested = [x for x in arrays if x.startswith("constituent_") and arrays[x].ndim == 3]
    jets = [x for x in arrays if x.startswith("jet_") and arrays[x].ndim == 2]
    if "jet_pt" in jets or nested:
        for x in (*jets, *nested):
            _check_equal(path, mapping, arrays, x, "jet_pt" if "jet_pt" in jets else nested[0])
        pt = arrays["jet_pt"] if "jet_pt" in jets else _sums(path, mapping, arrays)
        best = ak.argmax(pt, axis=1, keepdims=True)
        for x in (*jets, *nested):
            arrays[x] = ak.fill_none(ak.firsts(arrays[x][best]), [] if x in nested else 0, axis=0)
    for x in arrays:
        if group_of(x) is None and arrays[x].ndim == 2:
            counts = ak.to_numpy(ak.num(arrays[x], axis=1))
            if len(counts) and counts.max() > 1:
                equal = (counts == counts[0]).all()
                raise InputError(
                    f"{path}: '{mapping[x]}', read as '{x}', has {'' if equal else 'up to '}{counts.max()} numbers per "
                    f"entry, not one. Take one of them: '{_sliced(mapping[x], 2) if equal else _first(mapping[x])}'."
                )
            missing[mapping[x]] = counts == 0
            arrays[x] = ak.fill_none(ak.firsts(arrays[x]), 0)
        if arrays[x].ndim != (2 if group_of(x) else 1):
            expected = "a list of numbers" if group_of(x) else "one number"
            raise InputError(f"{path}: branch '{mapping[x]}', read as '{x}', is not {expected} per entry.")
    return arrays, missing


def _are_nested(arrays: dict, mapping: dict) -> bool:
    """Whether all constituents are three-axis arrays of jets and places, and not of particles and columns."""
    last = [_last(arrays[x]) if arrays[x].ndim == 3 else 0 for x in arrays if x.startswith("constituent_")]
    return bool(last) and len(set(last)) == 1 and last[0] not in (None, 0, 1) and not _share_columns(mapping)


def _last(array: ak.Array) -> int | None:
    """The length of the last axis of an array (N, *, ..., M); None if its lists differ, or may."""
    length = str(array.type).split(" * ")[-2]
    return int(length) if length.isdigit() else None


def _share_columns(mapping: dict) -> bool:
    """Whether components of the constituents are one array, of which no column was taken, as ``x[:, :, :, 0]`` does."""
    given = [text for x, text in mapping.items() if x.startswith("constituent_")]
    arrays = [text.split("[")[0] for text in given if not re.search(r",\s*-?\d+\s*\]", text)]
    return len(set(arrays)) < len(arrays)


def _sums(path: str, mapping: dict, arrays: dict) -> ak.Array:
    """(N, *) pT of the vector sums of the constituents (N, *, *) of each jet."""
    names = ("px", "py") if layout(arrays)[0] == "px" else ("pt", "phi")
    one, other = (ak.values_astype(arrays[f"constituent_{x}"], np.float64) for x in names)
    if one.ndim != other.ndim or not ak.all(ak.num(one, axis=2) == ak.num(other, axis=2), axis=None):
        raise _different(path, mapping, *(f"constituent_{x}" for x in names))
    px, py = (one, other) if names[0] == "px" else (one * np.cos(other), one * np.sin(other))
    return np.hypot(ak.sum(px, axis=2), ak.sum(py, axis=2))


def _check_different(path: str, mapping: dict) -> None:
    """InputError if two components of one object are the same branch."""
    for branch in mapping.values():
        names = [x for x in mapping if mapping[x] == branch]
        if len(names) > 1 and _is_name(branch):
            raise InputError(
                f"{path}: {' and '.join(names)} are the same branch '{branch}'. Correct 'branches'; of an array with "
                f"several columns take one for each: '{branch}[:, 0]'."
            )


def _check_equal(path: str, mapping: dict, arrays: dict, x: str, other: str) -> None:
    """InputError unless two arrays have as many jets in every entry."""
    if not np.array_equal(ak.num(arrays[x], axis=1), ak.num(arrays[other], axis=1)):
        raise _different(path, mapping, x, other)


def _different(path: str, mapping: dict, x: str, other: str) -> InputError:
    return InputError(
        f"{path}: '{mapping[x]}', read as '{x}', and '{mapping[other]}', read as '{other}', differ in length. Check "
        "'branches'."
    )


def _number(axes: int) -> str:
    return {3: "three", 4: "four"}.get(axes, str(axes))


def _sliced(expression: str, axes: int) -> str:
    return f"{_closed(expression)}[{':, ' * (axes - 1)}0]"


def _first(expression: str) -> str:
    return f"{_closed(expression)}[0]"


def _closed(expression: str) -> str:
    return expression if _is_name(expression) else f"({expression})"


def _is_name(expression: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][\w./]*", expression) is not None


def four_vectors(path: str, arrays: dict, group: str, width: int, scale: float):
    """Objects from jagged components: (N, width, 4) float32 of (pt, eta, phi, mass); flat, the rows (M,) and vectors
    (M, 4) of the objects that are there; and a mask (L,) of all places that says where they are."""
    names = [x for x in (*FOUR_VECTOR, "energy", "px", "py", "pz") if f"{group}_{x}" in arrays]
    chosen = next(x for x in LAYOUTS if set(x) <= set(names))
    columns = {x: parts(arrays[f"{group}_{x}"]) for x in chosen}
    counts, *others = (count for count, _ in columns.values())
    if any((count != counts).any() for count in others):
        raise InputError(f"{path}: the branches of '{group}' ({', '.join(chosen)}) differ in length. Check 'branches'.")
    row, component = np.repeat(np.arange(len(counts)), counts), {x: values for x, (_, values) in columns.items()}
    if chosen[0] == "px":
        p = from_cartesian(np.stack(list(component.values()), axis=-1))
    else:
        p = np.stack([*(component[x] for x in ("pt", "eta", "phi")), masses(component)], axis=-1)
    p[:, [0, 3]] *= p.dtype.type(scale)
    mask = p[:, 0] > 0  # regular arrays are padded with zeros
    row, p = (row, p) if mask.all() else (row[mask], p[mask])
    return pad(row, p, len(counts), width), row, p, mask


def tags(path: str, arrays: dict, row: np.ndarray, p: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(N, K) b tags of the jets of :func:`four_vectors`, in their order."""
    (counts, values), jet_counts = parts(arrays["jets_b_tag"]), parts(arrays["jets_pt"])[0]
    if (counts != jet_counts).any():
        raise InputError(f"{path}: 'jets_b_tag' and 'jets_pt' differ in length. Check 'branches'.")
    values = values[mask]
    return pad(row, np.stack([p[:, 0], values, values, values], axis=-1), len(counts), WIDTHS["jets"])[..., 1]
