"""Samples: from files to Events, with the reader of each file found by looking at it."""

import glob
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import fsspec

from hepad.errors import InputError, choose
from hepad.events import Events, concatenate
from hepad.files.contents import contents
from hepad.io import refuse_foreign_address
from hepad.readers import READERS
from hepad.readers.base import Found, Reader
from hepad.readers.mapped import Mapped
from hepad.samples.inspection import Inspection, refuse_unknown
from hepad.samples.meta import merge_meta
from hepad.samples.root import write_root
from hepad.samples.stream import stream

__all__ = [
    "READERS",
    "Found",
    "Reader",
    "check_files",
    "find_files",
    "inspect",
    "merge_meta",
    "read",
    "stream_of",
    "write_root",
]

# what a sample's source may say whoever reads it
COMMON = ("tolerance", "unit_weights", "rows")


def stream_of(
    source: dict, *, name: str, selection: dict | str, split: tuple[float, float, float], part: bool = False
) -> Iterator[Events]:
    """Read a sample chunk by chunk, as :func:`hepad.samples.stream.stream` says.

    Parameters
    ----------
    source: {files: paths, addresses, patterns or lists of them, reader: name, found by looking if left out}, options of
        the reader, and ``tolerance``, ``unit_weights`` and ``rows`` of the stream
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV, or 'any'
    split: fractions of train, valid and test
    part: these are some of the sample's files, of which none needs to pass
    """
    files = [(path, reader_of(source, path)) for path in find_files(source["files"])]
    common = {key: source[key] for key in COMMON if key in source}
    return stream(files, name=name, selection=selection, split=split, part=part, **common)


def read(source: dict, *, name: str, selection: dict | str, split: tuple[float, float, float]) -> Events:
    """Read a sample into memory, as a whole; arguments as of :func:`stream_of`."""
    return concatenate(list(stream_of(source, name=name, selection=selection, split=split)))


def check_files(source: dict) -> dict[str, Found]:
    """A quick look, before any work: patterns match, files open, tables and required columns are there."""
    return {path: reader_of(source, path).look(path) for path in find_files(source["files"])}


def inspect(path: str, **options) -> Inspection:
    """What a file is, which reader takes it, how many events it has, what it can feed and what is missing."""
    reader = reader_of({"files": path, **options}, path)
    return Inspection(str(path), reader, reader.look(str(path)))


def reader_of(source: dict, path: str) -> Reader:
    """The reader that the source names, or the one that recognises the file, with the source's options."""
    options = {key: value for key, value in source.items() if key not in (*COMMON, "files", "reader")}
    if "reader" in source:
        cls = READERS[choose("reader", source["reader"], READERS)]
    elif "branches" in source:
        cls = Mapped
    else:
        found = contents(path)
        cls = next((cls for cls in READERS.values() if cls.recognises(found)), None) or refuse_unknown(found, READERS)
    allowed = [field.name for field in fields(cls)]
    for key, value in options.items():
        choose(f"{cls.__name__} option", key, allowed)
        if isinstance(value, list):
            options[key] = tuple(value)
    return cls(**options)


def find_files(patterns: str | list[str]) -> list[str]:
    """Expand patterns, and lists of files (``*.txt``, one a line), sorted, without repetition.

    Addresses are kept, or, with a ``*``, expanded by fsspec. InputError for a pattern that matches nothing.
    """
    found = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found += _matches(str(pattern))
    return list(dict.fromkeys(found))


def _matches(pattern: str) -> list[str]:
    refuse_foreign_address(pattern)
    if "://" in pattern:
        if "*" not in pattern:
            return [pattern]
        protocol = pattern.split("://")[0]
        try:
            system, path = fsspec.core.url_to_fs(pattern)
            matches = [system.unstrip_protocol(name) for name in sorted(system.glob(path))]
        except (OSError, ValueError, ImportError) as error:
            raise InputError(f"files: '{pattern}' cannot be listed by {protocol} ({error}). Name its files.") from None
    elif pattern.endswith(".txt") and Path(pattern).is_file():
        lines = [line.strip() for line in Path(pattern).read_text().splitlines()]
        matches = [path for line in lines if line and not line.startswith("#") for path in _matches(line)]
    else:
        matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise InputError(f"files: '{pattern}' matches no file. Check the path (relative to the run directory).")
    return matches
