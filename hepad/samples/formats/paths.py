"""The files that a configuration or a command names: paths, patterns, lists of them, addresses."""

import glob
import os
from pathlib import Path

import fsspec

from hepad.errors import InputError
from hepad.samples.formats.contents import head_of
from hepad.samples.formats.signatures import foreign, is_challenge
from hepad.storage.files import check_address


def find_files(patterns: str | list[str]) -> list[str]:
    """Expand patterns, and lists of files (``*.txt``, one a line), each sorted, without repetition.

    What is there under a name, or a part of a path, is meant literally, whatever characters it has; the rest is a
    pattern. Addresses are kept, or, with a ``*``, expanded by fsspec. InputError for a pattern that matches nothing.
    """
    files = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        files += _matches(str(pattern), ())
    return list(dict.fromkeys(files))


def _matches(pattern: str, lists: tuple[str, ...]) -> list[str]:
    """Files that match a pattern; ``lists``: the files of patterns that led to it."""
    check_address(pattern)
    if "://" in pattern:
        return _addresses(pattern)
    if pattern.endswith(".txt") and _is_list(pattern):
        return _listed(pattern, lists)
    matches = [pattern] if os.path.lexists(pattern) else sorted(_globbed(pattern))
    if not matches:
        origin = f"{lists[-1]}: " if lists else "files: "
        whole = "" if os.path.isabs(pattern) else f", relative to the run directory: {os.path.abspath(pattern)}"
        raise InputError(f"{origin}'{pattern}' matches no file. Check the path{whole}.")
    return matches


def _globbed(pattern: str) -> list[str]:
    """Files that match; brackets are meant literally if nothing matches otherwise."""
    parent = next((str(p) for p in Path(pattern).parents if os.path.lexists(p) and str(p) != "."), "")
    literal = pattern[: len(parent)] if pattern.startswith(parent) else ""
    rest = pattern[len(literal) :]
    paths = []
    for variant in (rest, rest.replace("[", "[[]")):
        paths = paths or glob.glob(glob.escape(literal) + variant, recursive=True)
    # '**' lists what is in directories, too
    return [path for path in paths if not os.path.isdir(path)] if "**" in rest else paths


def _addresses(pattern: str) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    protocol = pattern.split("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(pattern)
        matches = [system.unstrip_protocol(name) for name in sorted(system.glob(path))]
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"files: '{pattern}' cannot be listed by {protocol} ({error}). Name its files.") from None
    if not matches:
        raise InputError(f"files: '{pattern}' matches no file. Check the address.")
    return matches


def _is_list(path: str) -> bool:
    """Whether a text file is a list of files, rather than text of another kind, as of events."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return os.path.isfile(path)
    head = head_of(path)
    lines = [line.strip() for line in head.decode("utf-8-sig", "replace").splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return "://" in first or os.path.lexists(first) or not (foreign(head) or is_challenge(head) or b"\0" in head)


def _listed(path: str, lists: tuple[str, ...]) -> list[str]:
    if path in lists:
        raise InputError(f"{path}: this list of files names itself. Take it out.")
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: this list of files is not text in UTF-8. Write it anew, one path a line.") from None
    patterns = [line for line in lines if line and not line.startswith("#")]
    if not patterns:
        raise InputError(f"files: '{path}' matches no file: the list is empty. Write paths into it, one a line.")
    return [file for line in patterns for file in _matches(line, (*lists, path))]
