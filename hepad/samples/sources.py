"""Samples: from files to Events, with the reader of each file found by looking at it."""

from collections.abc import Iterator
from dataclasses import fields, replace
from math import inf

import numpy as np

from hepad.errors import InputError, at, check_choice
from hepad.events import Events, concatenate
from hepad.samples.beginning import ROWS, Beginning
from hepad.samples.formats.contents import contents, kind_of
from hepad.samples.formats.paths import find_files
from hepad.samples.readers import READERS
from hepad.samples.readers.base import Found, Reader
from hepad.samples.simulation.profile import Profile, check_reweighted, weights
from hepad.samples.stream import stream
from hepad.samples.unknown_files import raise_unknown

# keys of a sample's source that every reader allows
COMMON = ("tolerance", "unit_weights", "rows")
# and those that say what its events stand for in a sum of processes
DECLARED = ("cross_section_pb", "sum_weights")


def stream_of(
    source: dict, *, name: str, selection: dict | str, split: tuple[float, float, float], part: bool = False
) -> Iterator[Events]:
    """Read a sample block by block, as :func:`hepad.samples.stream.stream` says.

    Parameters
    ----------
    source: {files: paths, addresses, patterns or lists of them, reader: name, found by looking if left out}, options of
        the reader, and ``tolerance``, ``unit_weights`` and ``rows`` of the stream; of generated files also
        ``pileup_profile``, which they are weighted to
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV, or 'any'
    split: fractions of train, valid and test
    part: these are some of the sample's files, of which none needs to pass
    """
    to, source = source.get("pileup_profile"), {k: v for k, v in source.items() if k != "pileup_profile"}
    files = [(path, reader_of(source, path)) for path in find_files(source["files"])]
    common = {key: source[key] for key in COMMON if key in source}
    events = stream(files, name=name, selection=selection, split=split, part=part, **common)
    return events if to is None else _reweighted(events, to)


def _reweighted(blocks: Iterator[Events], to) -> Iterator[Events]:
    """Events of a generated sample, weighted to another pile-up profile."""
    for events in blocks:
        pileup = events.meta.get("pileup")
        with at(f"samples.{events.meta['name']}.source.pileup_profile"):
            check_reweighted(pileup)
            of = Profile(np.array(pileup["mean"]["mean"]), np.array(pileup["mean"]["share"]), pileup["mean"]["uniform"])
            weight = events.weight * weights(events.facts["pileup"], of, Profile.of(to, "it"))
        yield replace(events, weight=weight)


def read(source: dict, *, name: str, selection: dict | str, split: tuple[float, float, float]) -> Events:
    """Read a sample into memory, as a whole; arguments as of :func:`stream_of`."""
    return concatenate(list(stream_of(source, name=name, selection=selection, split=split)))


def check_files(source: dict, name: str = "files") -> dict[str, Found]:
    """A quick look at the files of a sample, before any work: what can be known without reading them whole.

    Patterns match, files open, tables and required columns are there, the files belong together, and the first entries
    of the first local file are what they have to be. InputError says what is not, as :func:`stream_of` would.
    """
    files = [(path, reader_of(source, path)) for path in find_files(source["files"])]
    looks = {path: reader.look(path) for path, reader in files}
    if not any(look.entries for look in looks.values()):
        listed = ", ".join(list(looks)[:5])
        raise InputError(f"{listed}: there are no entries, so nothing passes. Check 'files', or fetch them again.")
    first = next((path for path, look in looks.items() if look.entries and "://" not in path), None)
    beginnings = [(path, Beginning(reader, looks[path], ROWS * (path == first))) for path, reader in files]
    unit_weights = source.get("unit_weights", False)
    for _ in stream(
        beginnings, name=name, selection="any", split=(1, 0, 0), tolerance=inf, unit_weights=unit_weights, part=True
    ):
        pass
    return looks


def _texts(key: str, value) -> tuple[str, ...]:
    """The texts in a list; InputError if it is none, or has others in it."""
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        shown = repr(value) if isinstance(value, str) else "'...'"
        raise InputError(f"{key}: {value!r} is no list of texts. Write one, '{key}: [{shown}]', or leave '{key}' out.")
    return tuple(value)


def reader_of(source: dict, path: str) -> Reader:
    """The reader that the source names, or the one that recognises the file, with the source's options."""
    options = {key: value for key, value in source.items() if key not in (*COMMON, *DECLARED, "files", "reader")}
    named = "reader" in source or "branches" in source
    if named:
        cls = READERS[check_choice("reader", source.get("reader", "Mapped"), READERS)]
    else:
        facts = contents(path)
        cls = next((cls for cls in READERS.values() if cls.recognises(facts)), None) or raise_unknown(facts, READERS)
    allowed = {field.name: field.default for field in fields(cls)}
    for key, value in options.items():
        if key not in allowed and any(key == field.name for field in fields(READERS["Mapped"])):
            raise InputError(
                f"{cls.__name__} option '{key}' is unknown: the dialect fixes it. It is one of the reader Mapped, with "
                "'branches' of your own; leave it out."
            )
        check_choice(f"{cls.__name__} option", key, allowed)
        if isinstance(allowed[key], tuple):
            options[key] = _texts(key, value)
        elif isinstance(value, list):
            options[key] = tuple(value)
    reader = cls(**options)
    if named and (kind := kind_of(path)) not in cls.kind:
        raise InputError(
            f"{path}: {'an' if kind == 'HDF5' else 'a'} {kind} file; the reader {cls.__name__} reads {cls.kind}. "
            "Set another 'reader', or leave it out: it is found by looking at the file."
        )
    return reader
