"""Rows of padded objects: lists of four-vectors of any length as arrays of one width, and sums over them."""

import numpy as np

# Longest collections that are kept; all readers pad to these, and count what is beyond.
WIDTHS = {"constituents": 200, "jets": 20, "electrons": 12, "muons": 8, "photons": 12, "taus": 12}

BLOCK = 500  # rows that are worked on together where they are read several times: they stay in the cache


def pad(row: np.ndarray, p: np.ndarray, n_rows: int, width: int) -> np.ndarray:
    """Flat four-vectors (M, 4) of rows (M,) to (n_rows, width, 4) float32: by falling pt, the softest cut off."""
    p = np.ascontiguousarray(p, np.float32)
    # one key for row and falling pt: the bits of floats that are not negative rise with them
    softness = ~np.abs(p[:, 0]).view(np.uint32)
    key = (row.astype(np.uint64) << np.uint64(32)) | softness
    if (key[1:] < key[:-1]).any():  # most files have their objects in this order
        order = np.argsort(key, kind="stable")
        row, p = row[order], p[order]
    count = np.bincount(row, minlength=n_rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    if len(place) and count.max() > width:
        kept = place < width
        row, place, p = row[kept], place[kept], p[kept]
    padded = np.zeros((n_rows, width, 4), dtype=np.float32)
    # the 16 bytes of a four-vector are moved as one number
    padded.reshape(-1).view(np.complex128)[row * width + place] = p.reshape(-1).view(np.complex128)
    return padded


def beyond(row: np.ndarray, n_rows: int, width: int) -> np.ndarray:
    """(n_rows,) how many of the objects of rows (M,) :func:`pad` cuts off."""
    return np.maximum(np.bincount(row, minlength=n_rows) - width, 0)


def filled(objects: np.ndarray) -> np.ndarray:
    """Objects (N, P, 4), padded at the end, without most of the places that are zero in all rows: a view."""
    step = 16  # every 16th place is looked at: a wide array is mostly padding, and reading it takes longer than its use
    looked = objects[:, ::step] != 0
    used = looked.reshape(len(objects), looked.shape[1] * 4).any(axis=0)  # one axis at a time is faster
    return objects[:, : step * int(used.reshape(-1, 4).any(axis=1).sum())]


def sum_pt(constituents: np.ndarray) -> np.ndarray:
    """(N,) pT of the vector sum of constituents (N, P, 4)."""
    return np.hypot(*sum_momenta(constituents)[:2])


def sum_momenta(constituents: np.ndarray) -> np.ndarray:
    """(3, N) px, py, pz of the vector sum of constituents (N, P, 4)."""
    objects, total = filled(constituents), np.empty((3, len(constituents)), constituents.dtype)
    for start in range(0, len(objects), BLOCK):
        pt, eta, phi, _ = np.ascontiguousarray(np.moveaxis(objects[start : start + BLOCK], -1, 0))
        up = np.exp(eta)  # NumPy's sinh takes ten times as long
        for i, slope in enumerate((np.cos(phi), np.sin(phi), (up - 1 / up) / 2)):
            total[i, start : start + BLOCK] = np.einsum("np,np->n", pt, slope)
    return total
