"""What a figure says of the sample that it is of, from the sample itself: jets, window, energy of the collisions."""

import math
from pathlib import Path

from hepad.errors import InputError
from hepad.events import Events
from hepad.events.cuts import window
from hepad.events.observables import OBSERVABLES

ANTI_KT = {"JetClass", "JetNet", "LHCOlympics", "NanoAOD", "PHYSLITE", "TopTagging"}  # readers; generated jets are, too
SAME_ENERGY = 1e-3


def phase_space(meta: dict) -> list[str]:
    """Jets and window of a sample as they stand in a figure; what it does not tell is left out.

    >>> phase_space({"generator": "Pythia 8", "jet_radius": 0.8, "window": {"pt": [550, 650]}})
    ['anti-$k_T$ R = 0.8', '550 < $p_T$ < 650 GeV']
    """
    found, radius = [], meta.get("jet_radius")
    if radius is not None:
        kind = "anti-$k_T$" if _is_anti_kt(meta) else "jets,"
        found.append(f"{kind} R = {radius:g}")
    (low, high), abs_eta = window(meta.get("window") or "any")
    pt = OBSERVABLES["jet_pt"].symbol.removeprefix("jet ")
    if low > 0 or math.isfinite(high):
        below, above = f"{low:g} < " if low > 0 else "", f" < {high:g}" if math.isfinite(high) else ""
        found.append(f"{below}{pt}{above} GeV" if above else f"{pt} > {low:g} GeV")
    if math.isfinite(abs_eta):
        found.append(rf"$|\eta|$ < {abs_eta:g}")
    return found


def of_sample(meta: dict, label: str, shown: float | None = None) -> dict:
    """``header`` and ``sqrt_s_tev`` of the style of figures of a sample.

    Parameters
    ----------
    meta: of its events
    label: its name in figures
    shown: √s [TeV] that the configuration's style asks for

    Raises
    ------
    InputError: the sample has another energy
    """
    energy = meta.get("sqrt_s_tev")
    check_energy(shown, energy, label)
    return {"header": ", ".join([label, *phase_space(meta)]), "sqrt_s_tev": energy if shown is None else shown}


def meta_of(path: str | Path) -> dict:
    """What the events in a file, or of an index, say of their sample."""
    return Events.table(path).meta


def check_energy(shown: float | None, energy: float | None, label: str) -> None:
    """InputError if figures would show another √s [TeV] than a sample has; None is not known."""
    if None not in (shown, energy) and not math.isclose(shown, energy, rel_tol=SAME_ENERGY):
        raise InputError(
            f"style.sqrt_s_tev: the figures would say {shown:g} TeV, but the collisions of '{label}' have {energy:g} "
            "TeV. Leave the key out: figures take the energy from their samples."
        )


def _is_anti_kt(meta: dict) -> bool:
    if "generator" in meta:
        return not meta.get("level1")
    readers = set(meta.get("readers", ()))
    return bool(readers) and readers <= ANTI_KT
