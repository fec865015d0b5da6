"""Samples: from files to Events, with the reader of each file found by looking at it."""

from collections.abc import Iterator
from dataclasses import fields

from hepad.errors import InputError, choose
from hepad.events import Events, concatenate
from hepad.files.contents import contents, kind_of
from hepad.files.paths import find_files
from hepad.readers import READERS
from hepad.readers.base import Found, Reader
from hepad.samples.draft import draft
from hepad.samples.inspection import Inspection, refuse_unknown
from hepad.samples.meta import merge_meta
from hepad.samples.root import write_root
from hepad.samples.stream import stream

__all__ = [
    "READERS",
    "Found",
    "Reader",
    "check_files",
    "draft",
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
    if "reader" in source or "branches" in source:
        cls = READERS[choose("reader", source.get("reader", "Mapped"), READERS)]
        if (kind := kind_of(path)) not in cls.kind:
            raise InputError(
                f"{path}: {'an' if kind == 'HDF5' else 'a'} {kind} file; the reader {cls.__name__} reads {cls.kind}. "
                "Set another 'reader', or leave it out: it is found by looking at the file."
            )
    else:
        found = contents(path)
        cls = next((cls for cls in READERS.values() if cls.recognises(found)), None) or refuse_unknown(found, READERS)
    allowed = [field.name for field in fields(cls)]
    for key, value in options.items():
        choose(f"{cls.__name__} option", key, allowed)
        if isinstance(value, list):
            options[key] = tuple(value)
    return cls(**options)
