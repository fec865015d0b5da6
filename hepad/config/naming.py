"""Names and labels of a configuration: names become files, labels are drawn by matplotlib.

The schema has the form of a name; here it is checked again, for the names that sweeps make, and so that no two names
share a file, also where upper and lower case are the same.
"""

import re
from collections.abc import Iterable

from hepad.errors import InputError

# names stand in a path with others and an ending: 255 characters are allowed there
NAME, LONGEST = r"[A-Za-z][A-Za-z0-9_]*", 100
RESERVED = {"samples": {"supervised"}, "detectors": {"supervised"}, "tasks": {"students", "overview"}}
LONGEST_LABEL = 200


def check_names(config: dict) -> None:
    """InputError unless every name of the configuration, its grids expanded, gives files of its own, in one folder."""
    for kind in ("samples", "representations", "detectors", "tasks", "students"):
        _check_names(kind, config.get(kind, {}))


def check_labels(config: dict) -> None:
    """InputError unless figures can show every label."""
    for kind in ("samples", "detectors"):
        for name, entry in config[kind].items():
            _check_text(f"{kind}.{name}.label", entry.get("label", name))
    _check_text("style.label", config["style"].get("label") or "")


def _check_names(kind: str, names: Iterable[str]) -> None:
    spellings = {}
    for name in names:
        if not re.fullmatch(NAME, name):
            raise InputError(f"{kind}: {name!r} is no name: letters, digits and underscores, a letter first.")
        if len(name) > LONGEST:
            raise InputError(f"{kind}.{name}: {len(name)} characters are too long for a file; give at most {LONGEST}.")
        if name.lower() in RESERVED.get(kind, ()):
            raise InputError(f"{kind}.{name}: this name is hepad's own, for files and curves. Rename it.")
        if name.lower() in spellings:
            raise InputError(
                f"{kind}: '{spellings[name.lower()]}' and '{name}' differ by case alone, and would be one file on some "
                "systems. Rename one of them."
            )
        spellings[name.lower()] = name


def _check_text(key: str, text: str) -> None:
    """A label is one line; between pairs of '$' there is mathematics that matplotlib can set."""
    if len(text) > LONGEST_LABEL or not text.isprintable():
        raise InputError(f"{key}: {text[:60]!r} is no line of at most {LONGEST_LABEL} printable characters.")
    if text.replace(r"\$", "").count("$") % 2:
        raise InputError(f"{key}: '{text}' has a '$' that is not closed. Write '\\$' for the sign itself.")
    if "$" in text:
        from matplotlib.mathtext import MathTextParser  # takes a moment

        try:
            MathTextParser("path").parse(text)
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[-100:]
            raise InputError(f"{key}: '{text}' cannot be set as mathematics ({reason}). Correct it.") from None
