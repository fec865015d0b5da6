"""Pads the jagged arrays of files for Events, and marks their impossible values."""

import awkward as ak
import numpy as np

from hepad.events.kinematics import from_cartesian, to_cartesian
from hepad.events.padding import pad


def unsound(values, *, positive: bool = False) -> np.ndarray:
    """(N,) bool: entries of ``values`` (N, ...), with NaN, infinity or, if ``positive``, a negative."""
    if isinstance(values, ak.Array) and values.ndim > 1:
        inner = flat(values) if values.ndim == 2 else ak.flatten(values, axis=1)
        bad = unsound(inner, positive=positive)
        mask = np.zeros(len(values), bool)
        if bad.any():  # whose they are, only then
            mask[rows_of(values)[bad]] = True
        return mask
    values = np.asarray(values)
    bad = ~np.isfinite(values) | (values < 0) if positive else ~np.isfinite(values)
    if values.dtype == np.float64:  # Events hold single precision
        bad |= np.abs(values) > np.finfo(np.float32).max
    return bad if bad.ndim == 1 else bad.any(axis=tuple(range(1, bad.ndim)))


def counted(values: np.ndarray) -> np.ndarray:
    """(N,) float32 numbers of vertices or collisions; NaN where a negative one stands for unknown."""
    values = np.asarray(values).astype(np.float32)
    return np.where(values < 0, np.float32(np.nan), values)


def flat(values) -> np.ndarray:
    """(M,) all values of a jagged array (N, *)."""
    return parts(values)[1]


def rows_of(values) -> np.ndarray:
    """(M,) the row that each value, or each list, of a jagged array (N, *, ...) belongs to."""
    counts = parts(values)[0] if values.ndim == 2 else ak.to_numpy(ak.num(values, axis=1))
    return np.repeat(np.arange(len(counts)), counts)


def parts(values) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (N,) and values (M,) of a jagged array (N, *)."""
    layout = values.layout
    if isinstance(layout, ak.contents.ListOffsetArray) and isinstance(layout.content, ak.contents.NumpyArray):
        offsets = np.asarray(layout.offsets)  # what comes out of a file: nothing has to be computed
        return np.diff(offsets), np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    return ak.to_numpy(ak.num(values, axis=1)), ak.to_numpy(ak.flatten(values, axis=1))


def masses(component: dict[str, np.ndarray]) -> np.ndarray:
    """(M,) masses of objects with (M,) 'pt', 'eta' and 'mass', 'energy' or none: m² = E² - (pt cosh η)², at least 0."""
    if "mass" in component:
        return component["mass"]
    if "energy" not in component:
        return np.zeros_like(component["pt"])
    e, pt, eta = (component[x].astype(np.float64) for x in ("energy", "pt", "eta"))
    with np.errstate(over="ignore", invalid="ignore"):
        p = pt * np.cosh(eta)
        return np.sqrt(np.maximum((e - p) * (e + p), 0))


def summed(row: np.ndarray, p: np.ndarray, n_rows: int) -> np.ndarray:
    """(n_rows, 4) float32 sums (pt, eta, phi, mass) of flat four-vectors p (M, 4) of rows (M,)."""
    momenta = to_cartesian(p)
    total = [np.bincount(row, momenta[:, i], minlength=n_rows) for i in range(4)]
    return from_cartesian(np.stack(total, axis=-1)).astype(np.float32)


def padded(width: int, *, pt, eta, phi, mass=None) -> np.ndarray:
    """(N, width, 4) float32 of (pt, eta, phi, mass) from jagged components (N, *), by falling pt; GeV, rad.

    Without a mass the objects are massless.
    """
    p = np.stack([flat(x) for x in (pt, eta, phi, ak.zeros_like(pt) if mass is None else mass)], axis=-1)
    return pad(rows_of(pt), p, len(pt), width)


def padded_cartesian(width: int, *, px, py, pz, energy) -> np.ndarray:
    """(N, width, 4) float32 of (pt, eta, phi, mass) from jagged (N, *) (px, py, pz, E), by falling pt; GeV."""
    with np.errstate(over="ignore", invalid="ignore"):
        p = from_cartesian(np.stack([flat(x) for x in (px, py, pz, energy)], axis=-1))
    return pad(rows_of(px), p, len(px), width)


def leading(pt, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` hardest objects of every entry of jagged ``pt`` (N, *).

    Returns
    -------
    entry (R,), rising, and index (R,), the object's place in its entry; entries with fewer objects give fewer rows
    """
    order = ak.argsort(pt, axis=1, ascending=False, stable=True)[:, :count]
    return rows_of(order), flat(order)
