"""What a file is, from its first bytes and its header; nothing in it is executed."""

import os
from dataclasses import dataclass

import fsspec
import h5py

from hepad.errors import InputError
from hepad.files import hdf5, pandas_hdf5, parquet, root
from hepad.io import open_hdf5

HEAD = 4096
# a server that does not answer ends in a message, after seconds; what the user has set holds
for name, seconds in {"XRD_CONNECTIONWINDOW": "10", "XRD_CONNECTIONRETRY": "1", "XRD_STREAMERRORWINDOW": "10"}.items():
    os.environ.setdefault(name, seconds)
SIGNATURES = {b"root": "ROOT", b"\x89HDF\r\n\x1a\n": "HDF5", b"PAR1": "Parquet"}
FOREIGN = {
    b"\x80": "a Python pickle, which could run any program and is never loaded",
    b"\x93NUMPY": "a NumPy array without names",
    b"PK": "a ZIP archive",
    b"\x1f\x8b": "a file compressed with gzip, to be decompressed",
    b"HepMC": "HepMC, generator-level particles without a detector, for Delphes to simulate",
    b"<LesHouches": "a Les Houches event file, partons without a shower",
}  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What a file is, seen from its header.

    Attributes
    ----------
    path: or address
    kind: 'ROOT', 'HDF5', 'Parquet' or 'text'
    tables: names of the columns by table: the branches (or fields) of every TTree and RNTuple of a ROOT file; '' with
        the columns of a Parquet file; of an HDF5 file every dataset by its path without leading '/', with the names of
        its fields if it is compound, and every table that pandas wrote by its key, with its columns
    head: the first kilobytes of the file
    """

    path: str
    kind: str
    tables: dict[str, frozenset[str]]
    head: bytes = b""


def head_of(path: str) -> bytes:
    """The first bytes of a file or address; InputError if it cannot be opened or is empty."""
    try:
        with fsspec.open(str(path), "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if reason == str(path):  # all that fsspec says of HTTP
            reason = "not found, or its server cannot be reached"
        raise InputError(f"{path}: cannot be opened ({reason}). Check 'files' in the sample's source.") from None
    if not head:
        raise InputError(f"{path}: the file is empty. Fetch it again, or take it out of 'files'.")
    return head


def kind_of(path: str) -> str:
    """'ROOT', 'HDF5', 'Parquet' or 'text', from the first bytes."""
    return _kind(path, head_of(path))


def _kind(path: str, head: bytes) -> str:
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            return kind
    for signature, what in FOREIGN.items():
        if head.startswith(signature):
            raise InputError(f"{path}: this is {what}. hepad reads ROOT, HDF5, Parquet and CSV: convert it.")
    try:
        head.decode("ascii")
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: neither ROOT, HDF5, Parquet nor text: it begins with {head[:8]!r}. "
            "It may be damaged; fetch it again."
        ) from None
    return "text"


def contents(path: str) -> Contents:
    """Kind of a file and the names in it; InputError if it cannot be opened."""
    head = head_of(path)
    kind = _kind(path, head)
    tables: dict[str, frozenset[str]] = {}
    if kind == "ROOT":
        with root.open_root(path) as file:
            for name in root.tables(file):
                tables[name] = root.names(root.open_tree(path, file, name))
    elif kind == "HDF5":
        with open_hdf5(path) as file, hdf5.reading(path):
            file.visititems(lambda name, item: _note(tables, name, item))
        tables |= {key: frozenset(map(str, names)) for key, names in pandas_hdf5.column_names(path).items()}
    elif kind == "Parquet":
        with parquet.open_parquet(path) as file:
            tables[""] = frozenset(parquet.kinds(path, file))
    return Contents(str(path), kind, tables, head)


def _note(tables: dict, name: str, item) -> None:
    if isinstance(item, h5py.Dataset):
        tables[name] = frozenset(item.dtype.names or ())
