"""What all readers share: padding, the window, checks of values, identifiers, and the way to Events."""

from collections.abc import Callable

import numpy as np

from hepad.errors import InputError, choose
from hepad.events import Events, split_of

# Longest collections that are kept; all readers pad to these.
WIDTHS = {"constituents": 200, "jets": 10, "electrons": 4, "muons": 4, "photons": 4}


def pad(row: np.ndarray, p: np.ndarray, n_rows: int, width: int) -> np.ndarray:
    """Flat four-vectors (M, 4) of rows (M,) to (n_rows, width, 4) float32: by falling pt, the softest cut off."""
    order = np.lexsort((-p[:, 0], row))
    row, p = row[order], p[order]
    count = np.bincount(row, minlength=n_rows)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    padded = np.zeros((n_rows, width, 4), dtype=np.float32)
    kept = place < width
    padded[row[kept], place[kept]] = p[kept]
    return padded


def window(selection) -> tuple[tuple[float, float], float]:
    """((pt_low, pt_high), abs_eta) of a selection {pt: [low, high], abs_eta: x}, or 'any'; missing keys cut nothing."""
    if selection == "any":
        return (0.0, np.inf), np.inf
    if not isinstance(selection, dict):
        raise InputError(f"selection: {selection!r} is neither 'any' nor a mapping with pt: [low, high], abs_eta: x.")
    for key in selection:
        choose("selection key", key, ("pt", "abs_eta"))
    pt, abs_eta = selection.get("pt", (0.0, np.inf)), selection.get("abs_eta", np.inf)
    try:
        low, high, abs_eta = float(pt[0]), float(pt[1]), float(abs_eta)
        valid = len(pt) == 2 and 0 <= low < high and abs_eta > 0
    except (TypeError, ValueError, IndexError):
        valid = False
    if not valid:
        raise InputError(f"selection: pt {pt!r} is not [low, high] in GeV, or abs_eta {abs_eta!r} is not positive.")
    return (low, high), abs_eta


def select(jet: np.ndarray, n_constituents: np.ndarray, selection) -> tuple[np.ndarray, dict[str, int]]:
    """Mask of the jets (N, 4) that pass, and what each cut refuses, applied in this order."""
    (low, high), abs_eta = window(selection)
    mask, counts = np.ones(len(jet), bool), {"read": len(jet)}
    cuts = {
        "no constituents": n_constituents > 0,
        "pt": (jet[:, 0] > low) & (jet[:, 0] < high),
        "abs_eta": np.abs(jet[:, 1]) < abs_eta,
    }
    for name, passed in cuts.items():
        counts[f"refused: {name}"] = int((mask & ~passed).sum())
        mask &= passed
    return mask, counts | {"kept": int(mask.sum())}


def check_values(file, name: str, values: np.ndarray, entry: Callable[[int], int], *, positive: bool) -> None:
    """InputError at the first NaN or infinite value, or at a negative one where ``positive``.

    ``values`` is flat; ``entry(i)`` is the number in the file of the entry that ``values[i]`` belongs to.
    """
    bad = ~np.isfinite(values)
    if positive:
        bad |= values < 0
    if bad.any():
        first = int(np.argmax(bad))
        problem = "is negative" if np.isfinite(values[first]) else "is not finite"
        raise InputError(
            f"{file}: '{name}' {problem} ({values[first]}) in entry {entry(first)}; {int(bad.sum())} such values in "
            "this block. Repair or remove these entries"
            + (", or leave 'weight' out: negative weights are not supported." if name == "weight" else ".")
        )


def content_id(constituents: np.ndarray) -> np.ndarray:
    """(N,) int64 identifiers from the constituents (N, P, 4): the same in whatever file and order a jet comes.

    Multilinear hash of the float32 bits, h = Σ_i a_i x_i mod 2^64 with fixed odd a_i; padding adds nothing.
    """
    # + 0.0 turns -0.0, whose bits are not zero, into 0.0
    words = np.ascontiguousarray(constituents, np.float32) + np.float32(0.0)
    words = words.reshape(len(words), words.shape[1] * words.shape[2])
    factors = np.random.default_rng(20220614).integers(2**64, size=words.shape[1], dtype=np.uint64) | np.uint64(1)
    total = np.zeros(len(words), np.uint64)
    for start in range(0, words.shape[1], 64):  # in blocks, for memory
        block = words[:, start : start + 64].view(np.uint32).astype(np.uint64)
        total += (block * factors[start : start + 64]).sum(axis=1, dtype=np.uint64)
    return (total >> np.uint64(1)).astype(np.int64)


def complete(columns: dict[str, np.ndarray], *, split, split_rows=None, truth=None, meta=None) -> Events:
    """Events from at least ``jet`` and ``constituents``: missing objects are zero, weights 1, identifiers hashed.

    ``split_rows`` (N,) overrides the split by identifier.
    """
    n = len(columns["jet"])
    columns = {name: np.asarray(array, np.float32) for name, array in columns.items()} | {
        name: columns[name] for name in ("event_id", "weight") if name in columns
    }
    for name, width in WIDTHS.items():
        columns.setdefault(name, np.zeros((n, width, 4), np.float32))
    columns.setdefault("met", np.zeros((n, 2), np.float32))
    columns.setdefault("weight", np.ones(n))
    if "event_id" not in columns:
        columns["event_id"] = content_id(columns["constituents"])
    columns["split"] = split_of(columns["event_id"], split) if split_rows is None else split_rows.astype(np.int8)
    return Events(**columns, truth=truth or {}, meta=meta or {})


def describe(events: Events, meta: dict, name: str, selection, counts: dict[str, dict[str, int]]) -> Events:
    """Set ``meta`` of what was read: its name, window and counts; a tighter window scales the acceptance."""
    read, kept = (sum(file[key] for file in counts.values()) for key in ("read", "kept"))
    if "acceptance" in meta:
        meta = meta | {"acceptance": meta["acceptance"] * kept / read}
    events.meta.update(meta, name=name, window=None if selection == "any" else dict(selection), counts=counts)
    return events


def nothing_passes(name: str, counts: dict[str, dict[str, int]], pt: np.ndarray, selection) -> InputError:
    """The error of a sample from which no jet passes: what was refused, what was seen, what to do."""
    total: dict[str, int] = {}
    for file_counts in counts.values():
        for cut, number in file_counts.items():
            total[cut] = total.get(cut, 0) + number
    seen = f"the median jet pt is {np.median(pt):.4g} GeV" if len(pt) else "no jet was seen"
    (low, high), _ = window(selection)
    hint = "Check the selection, the units and the mapping of branches."
    if len(pt) and low < np.median(pt) / 1000 < high:
        hint = "This looks like MeV: set 'units: MeV' in the sample's source."
    listed = ", ".join(f"{cut} {number}" for cut, number in total.items())
    return InputError(f"sample '{name}': nothing passes the selection {selection} ({listed}); {seen}. {hint}")
