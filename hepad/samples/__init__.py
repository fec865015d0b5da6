"""Samples: from files to Events. ``READERS`` is the registry: a new format is one module and one line in it."""

import glob
from collections.abc import Callable
from inspect import signature
from typing import NamedTuple

from hepad.errors import InputError, choose
from hepad.events import Events
from hepad.samples.dark_machines import check_dark_machines, read_dark_machines
from hepad.samples.meta import merge_meta
from hepad.samples.root import check_root, read_root, write_root
from hepad.samples.top_tagging import check_top_tagging, read_top_tagging

__all__ = ["READERS", "Reader", "check_files", "find_files", "merge_meta", "read", "read_root", "write_root"]


class Reader(NamedTuple):
    """``read(files, *, name, selection, split, **options) -> Events`` and ``check(files, **options)``.

    The options of a sample's source are the remaining keyword arguments of ``read``.
    """

    read: Callable[..., Events]
    check: Callable[..., None]


READERS = {
    "DarkMachines": Reader(read_dark_machines, check_dark_machines),
    "ROOT": Reader(read_root, check_root),
    "TopTagging": Reader(read_top_tagging, check_top_tagging),
}


def read(source: dict, *, name: str, selection: dict | str, split: tuple[float, float, float]) -> Events:
    """Read a sample.

    Parameters
    ----------
    source: {files: path, pattern or list of them, reader: name, further options of the reader}
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV, or 'any'
    split: fractions of train, valid and test
    """
    reader, options = _reader(source)
    return reader.read(find_files(source["files"]), name=name, selection=selection, split=split, **options)


def check_files(source: dict) -> None:
    """A quick look, before any work: patterns match, files open, the tree or table and required columns are there."""
    reader, options = _reader(source)
    reader.check(find_files(source["files"]), **options)


def find_files(patterns: str | list[str]) -> list[str]:
    """Expand patterns, sorted, without repetition; one that matches nothing is an InputError."""
    found = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        pattern = str(pattern)
        matches = [pattern] if "://" in pattern else sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise InputError(f"files: '{pattern}' matches no file. Check the path (relative to the run directory).")
        found += matches
    return list(dict.fromkeys(found))


def _reader(source: dict) -> tuple[Reader, dict]:
    for key in ("files", "reader"):
        if key not in source:
            raise InputError(f"source: '{key}' is missing; it has: {', '.join(source) or 'nothing'}.")
    reader = READERS[choose("reader", source["reader"], READERS)]
    allowed = set(signature(reader.read).parameters) - {"files", "name", "selection", "split"}
    options = {key: value for key, value in source.items() if key not in ("files", "reader")}
    for key in options:
        choose(f"{source['reader']} option", key, allowed)
    return reader, options
