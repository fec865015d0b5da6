"""Pythia's settings files: where they are, what they say of the beams, and whether they are the same as before."""

import hashlib
import math
import re
from pathlib import Path

from hepad.errors import InputError

E_CM = 14000.0  # GeV, Pythia's own value where a card says nothing


def find(card: str, root: str | Path) -> Path:
    """A card, looked for where the run is, then in the repository ``root``."""
    for path in (Path(card), Path(root) / card):
        if path.is_file():
            return path
    raise InputError(f"card '{card}' is neither in the run's directory nor in {root}. Check the path.")


def located(source: dict, root: str | Path) -> dict:
    """A sample's source with the paths of its cards in the place of their names."""
    pileup = source["pileup"] and {**source["pileup"], "card": str(find(source["pileup"]["card"], root))}
    return {**source, "card": str(find(source["card"], root)), "pileup": pileup}


def digest(path: str | Path) -> str:
    """SHA-256 of a card, 16 hexadecimal digits: the same wherever it lies."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def sqrt_s_tev(path: str | Path) -> float | None:
    """Energy of the collisions [TeV] that a card asks for; None if its beams are none of two equal or massless ones.

    As Pythia reads it: names in any case, the last value of several, other lines are comments.
    """
    lines = re.sub(r"/\*.*?\*/", "", Path(path).read_text(errors="replace"), flags=re.DOTALL).splitlines()
    settings = dict(re.findall(r"^\s*beams:(\w+)[\s=]+(\S+)", "\n".join(lines).lower(), re.MULTILINE))
    try:
        if int(settings.get("frametype", 1)) == 1:
            return float(settings.get("ecm", E_CM)) / 1000
        if int(settings["frametype"]) == 2:
            return 2 * math.sqrt(float(settings["ea"]) * float(settings["eb"])) / 1000
    except (KeyError, ValueError):  # Pythia's own words on the line come with the first job
        return None
    return None
