"""What all that makes Events shares: padding, the window, the check of units, identifiers, and the way to Events."""

import numpy as np

from hepad.errors import InputError, choose
from hepad.events import Events, split_of

# Longest collections that are kept; all readers pad to these, and count what is beyond.
WIDTHS = {"constituents": 200, "jets": 20, "electrons": 12, "muons": 8, "photons": 12}
# the hardest objects, of which the identifier of an event without a number is made
IDENTIFYING = {"jets": 10, "electrons": 4, "muons": 4, "photons": 4}
IDENTIFIERS = (*sorted(IDENTIFYING), "met")
UNITS = {"GeV": 1.0, "MeV": 1e-3}
# GeV, of a median: reconstructed jets have more than the one, the LHC's beams less than the other
PT_RANGE = (5.0, 7000.0)
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


def select(events: Events, selection) -> dict[str, np.ndarray]:
    """(N,) bool by the name of each cut: the rows that pass it, in the order in which they are applied."""
    cuts = {}
    if events.constituents.shape[1]:
        cuts["no constituents"] = events.constituents[:, 0, 0] > 0
    if selection != "any":
        (low, high), abs_eta = window(selection)
        pt, eta = events.jet[:, 0], events.jet[:, 1]
        cuts |= {"pt": (pt > low) & (pt < high), "abs_eta": np.abs(eta) < abs_eta}
    return cuts


def filled(objects: np.ndarray) -> np.ndarray:
    """Objects (N, P, 4), padded at the end, without most of the places that are zero in all rows: a view."""
    step = 16  # every 16th place is looked at: a wide array is mostly padding, and reading it takes longer than its use
    return objects[:, : step * int((objects[:, ::step] != 0).any(axis=(0, 2)).sum())]


def sum_pt(constituents: np.ndarray) -> np.ndarray:
    """(N,) pT of the vector sum of constituents (N, P, 4)."""
    return np.hypot(*sum_momenta(constituents)[:2])


def sum_momenta(constituents: np.ndarray) -> np.ndarray:
    """(3, N) px, py, pz of the vector sum of constituents (N, P, 4)."""
    used, total = filled(constituents), np.empty((3, len(constituents)), constituents.dtype)
    for start in range(0, len(used), BLOCK):
        pt, eta, phi, _ = np.ascontiguousarray(np.moveaxis(used[start : start + BLOCK], -1, 0))
        for i, slope in enumerate((np.cos(phi), np.sin(phi), np.sinh(eta))):
            total[i, start : start + BLOCK] = np.einsum("np,np->n", pt, slope)
    return total


def check_units(path, pt: np.ndarray, units: str | None) -> None:
    """InputError unless the median pt (N,), read in ``units`` and converted to GeV, is one of reconstructed jets."""
    median = float(np.median(pt)) if len(pt) else PT_RANGE[0]
    low, high = PT_RANGE
    if low <= median <= high:
        return
    read_as, other, factor = ("MeV", "GeV", 1e3) if units == "MeV" else ("GeV", "MeV", 1e-3)
    hint = "Check the file and the mapping of its branches."
    if low <= median * factor <= high:
        hint = f"This looks like {other}: " + (
            f"set 'units: {other}' in the sample's source." if units else "convert it."
        )
    raise InputError(
        f"{path}: read in {read_as}, the median pt is {median:.3g} GeV, outside {low:g} to {high:g} GeV. {hint}"
    )


def content_id(constituents: np.ndarray) -> np.ndarray:
    """(N,) int64 identifiers from the constituents (N, P, 4): the same in whatever file and order a jet comes.

    Multilinear hash of the float32 bits, h = Σ_i a_i x_i mod 2^64 with fixed odd a_i; padding adds nothing.
    """
    length = constituents.shape[1] * constituents.shape[2]
    factors = np.random.default_rng(20220614).integers(2**64, size=length, dtype=np.uint64) | np.uint64(1)
    total = np.empty(len(constituents), np.uint64)
    for start in range(0, len(constituents), BLOCK):
        # + 0.0 turns -0.0, whose bits are not zero, into 0.0
        block = np.asarray(constituents[start : start + BLOCK], np.float32) + np.float32(0.0)
        words = np.ascontiguousarray(block).reshape(len(block), length).view(np.uint32)
        total[start : start + BLOCK] = np.einsum("nw,w->n", words.astype(np.uint64), factors)
    return (total >> np.uint64(1)).astype(np.int64)


def event_id(run: np.ndarray, luminosity_block: np.ndarray, event: np.ndarray) -> np.ndarray:
    """(N,) int64 identifiers of events from their (N,) numbers; of different triples they differ (chance: 2^-63 n²)."""
    words = np.stack([np.asarray(x).astype(np.uint64) for x in (run, luminosity_block, event)], axis=1)
    # multilinear, as in content_id, on 32-bit halves
    halves = np.stack([words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)], axis=-1).reshape(len(words), 6)
    factors = np.random.default_rng(20220615).integers(2**64, size=6, dtype=np.uint64) | np.uint64(1)
    return ((halves * factors).sum(axis=1, dtype=np.uint64) >> np.uint64(1)).astype(np.int64)


def complete(columns: dict[str, np.ndarray], *, split, split_rows=None, **more) -> Events:
    """Events from at least ``jet``: missing objects are zero, weights 1, identifiers hashed from the content.

    ``split_rows`` (N,) overrides the split by identifier; ``more`` are further arguments of Events.
    """
    n = len(columns["jet"])
    columns = {name: np.asarray(array, np.float32) for name, array in columns.items()} | {
        name: columns[name] for name in ("event_id", "weight") if name in columns
    }
    columns.setdefault("constituents", np.zeros((n, 0, 4), np.float32))
    for name, width in WIDTHS.items():
        columns.setdefault(name, np.zeros((n, width, 4), np.float32))
    columns.setdefault("met", np.zeros((n, 2), np.float32))
    columns.setdefault("weight", np.ones(n))
    if "event_id" not in columns:
        columns["event_id"] = _content(columns)
    columns["split"] = split_of(columns["event_id"], split) if split_rows is None else split_rows.astype(np.int8)
    return Events(**columns, **more)


def _content(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Identifiers from the constituents, or, where there are none, from all objects and the missing momentum."""
    if columns["constituents"].shape[1]:
        return content_id(filled(columns["constituents"]))
    objects = {name: columns[name] for name in IDENTIFIERS}
    return objects_id(objects | {"jets": jets_of(columns["jet"], objects["jets"])})


def jets_of(jet: np.ndarray, jets: np.ndarray) -> np.ndarray:
    """(N, K, 4) ``jets``; of an event that has none, the probe jet (N, 4) is the first."""
    alone = jets[:, 0, 0] == 0
    if alone.any():
        jets = jets.copy()
        jets[alone, 0] = jet[alone]
    return jets


def objects_id(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) int64 from the objects (N, K, 4) and the missing momentum (N, 2) of events that have no number."""
    objects = [np.pad(p, ((0, 0), (0, 2)))[:, None] if p.ndim == 2 else p[:, : IDENTIFYING[name]]
               for name, p in columns.items()]  # fmt: skip
    return content_id(np.concatenate(objects, axis=1))


def nothing_passes(name: str, counts: dict[str, dict[str, int]], pt: np.ndarray, selection) -> InputError:
    """The error of a sample from which no jet passes: what was refused, what was seen, what to do."""
    total: dict[str, int] = {}
    for file_counts in counts.values():
        for cut, number in file_counts.items():
            total[cut] = total.get(cut, 0) + number
    seen = f"the median jet pt is {np.median(pt):.4g} GeV" if len(pt) else "no jet was seen"
    (low, high), _ = window(selection)
    hint = "Check the selection, the units and the mapping of branches."
    if len(pt) and not low < np.median(pt) < high and max(low, PT_RANGE[0]) < np.median(pt) / 1000 < high:
        hint = "This looks like MeV: set 'units: MeV' in the sample's source."
    listed = ", ".join(f"{cut} {number}" for cut, number in total.items())
    return InputError(f"sample '{name}': nothing passes the selection {selection} ({listed}); {seen}. {hint}")
