"""The window of a sample, and the checks of what passes it."""

import numpy as np

from hepad.errors import InputError, check_choice
from hepad.events.events import Events

UNITS = {"GeV": 1.0, "MeV": 1e-3}

# GeV, of a median: reconstructed jets have more than the one, the LHC's beams less than the other
PT_RANGE = (5.0, 7000.0)


def window(selection) -> tuple[tuple[float, float], float]:
    """((pt_low, pt_high), abs_eta) of a selection {pt: [low, high], abs_eta: x}, or 'any'; missing keys cut nothing."""
    if selection == "any":
        return (0.0, np.inf), np.inf
    if not isinstance(selection, dict):
        raise InputError(f"selection: {selection!r} is neither 'any' nor a mapping with pt: [low, high], abs_eta: x.")
    for key in selection:
        check_choice("selection key", key, ("pt", "abs_eta"))
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


def inside(jet: np.ndarray, selection) -> np.ndarray:
    """(N,) bool: which of the probe jets (N, 4) lie in the window of a selection."""
    (low, high), abs_eta = window(selection)
    return (jet[:, 0] > low) & (jet[:, 0] < high) & (np.abs(jet[:, 1]) < abs_eta)


def outside(jet: np.ndarray, selection) -> str:
    """In words which of the probe jets (N, 4) lie outside of a selection, and where they lie; '' if none does."""
    (low, high), abs_eta = window(selection)
    pt, eta = jet[:, 0], np.abs(jet[:, 1])
    n = int((~inside(jet, selection)).sum())
    if not n:
        return ""
    return (
        f"{n} of {len(jet)} events lie outside the window of the training, pt {low:g} to {high:g} GeV, |eta| < "
        f"{abs_eta:g}: theirs have pt {pt.min():.4g} to {pt.max():.4g} GeV, |eta| up to {eta.max():.2f}. Their scores "
        "differ by phase space alone"
    )


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


def nothing_passes(name: str, counts: dict[str, dict[str, int]], pt: np.ndarray, selection) -> InputError:
    """The error of a sample from which no jet passes: what was refused, what was seen, what to do."""
    totals: dict[str, int] = {}
    for file_counts in counts.values():
        for cut, number in file_counts.items():
            totals[cut] = totals.get(cut, 0) + number
    typical = f"the median jet pt is {np.median(pt):.4g} GeV" if len(pt) else "no jet was seen"
    (low, high), _ = window(selection)
    hint = "Check the selection, the units and the mapping of branches."
    if len(pt) and not low < np.median(pt) < high and max(low, PT_RANGE[0]) < np.median(pt) / 1000 < high:
        hint = "This looks like MeV: set 'units: MeV' in the sample's source."
    listed = ", ".join(f"{cut} {number}" for cut, number in totals.items())
    return InputError(f"sample '{name}': nothing passes the selection {selection} ({listed}); {typical}. {hint}")
