"""Pythia's settings files: where they are, what they say of the beams, and whether they are the same as before."""

import hashlib
import math
import re
from collections.abc import Iterable
from pathlib import Path

from hepad.errors import InputError

E_CM = 14000.0  # GeV, Pythia's own value where a card says nothing


def find(card: str, root: str | Path) -> Path:
    """A card or a profile, looked for where the run is, then in the repository ``root``."""
    for path in (Path(card), Path(root) / card):
        if path.is_file():
            return path
    raise InputError(f"file '{card}' is neither in the run's directory nor in {root}. Check the path.")


def located(source: dict, root: str | Path) -> dict:
    """A sample's source with the paths of its cards and pile-up profiles in the place of their names."""
    found = {**source, "card": str(find(source["card"], root))}
    for key in ("pileup", "zero_bias"):
        if entry := source[key]:
            names = {k: entry[k] for k in ("card", "mean") if isinstance(entry.get(k), str)}
            found[key] = {**entry, **{k: str(find(name, root)) for k, name in names.items()}}
    return found


def files_of(source: dict) -> list[str]:
    """The names of the cards and profiles that a sample is generated from."""
    entries = [source.get("pileup") or {}, source.get("zero_bias") or {}]
    named = [source["card"], *(entry.get(key) for entry in entries for key in ("card", "mean"))]
    return [name for name in named if isinstance(name, str)]


def digest(path: str | Path) -> str:
    """SHA-256 of a card, 16 hexadecimal digits: the same wherever it lies."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def sqrt_s_tev(path: str | Path, more: Iterable[str] = ()) -> float | None:
    """Energy of the collisions [TeV] that a card asks for; None if its beams are none of two equal or massless ones.

    ``more``: lines that override those of the card.

    As Pythia reads it: names in any case, the last value of several, other lines are comments.
    """
    lines = re.sub(r"/\*.*?\*/", "", Path(path).read_text(errors="replace"), flags=re.DOTALL).splitlines()
    lines += list(more)
    settings = dict(re.findall(r"^\s*beams:(\w+)[\s=]+(\S+)", "\n".join(lines).lower(), re.MULTILINE))
    try:
        if int(settings.get("frametype", 1)) == 1:
            return float(settings.get("ecm", E_CM)) / 1000
        if int(settings["frametype"]) == 2:
            return 2 * math.sqrt(float(settings["ea"]) * float(settings["eb"])) / 1000
    except (KeyError, ValueError):  # Pythia's own words on the line come with the first job
        return None
    return None
