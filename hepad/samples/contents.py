"""What a file is, from its first bytes and its header; nothing in it is executed."""

import os

import fsspec
import h5py

from hepad.errors import InputError
from hepad.io import open_hdf5
from hepad.samples import hdf5_files, pandas_hdf5, parquet_files, root_files
from hepad.samples.reader import Contents

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
    head = head_of(path)
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
    kind = kind_of(path)
    tables: dict[str, frozenset[str]] = {}
    if kind == "ROOT":
        with root_files.open_root(path) as file:
            for name in root_files.tables(file):
                tables[name] = root_files.names(root_files.open_tree(path, file, name))
    elif kind == "HDF5":
        with open_hdf5(path) as file, hdf5_files.reading(path):
            file.visititems(lambda name, item: _note(tables, name, item))
        tables |= {key: frozenset(map(str, names)) for key, names in pandas_hdf5.column_names(path).items()}
    elif kind == "Parquet":
        with parquet_files.open_parquet(path) as file:
            tables[""] = frozenset(parquet_files.kinds(path, file))
    return Contents(str(path), kind, tables, head_of(path))


def _note(tables: dict, name: str, item) -> None:
    if isinstance(item, h5py.Dataset):
        tables[name] = frozenset(item.dtype.names or ())
