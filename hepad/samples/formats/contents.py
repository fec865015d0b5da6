"""Contents of a file, from its first bytes and its header; nothing in it is executed."""

import os
from dataclasses import dataclass, field

import fsspec
import h5py

from hepad.errors import InputError
from hepad.samples.formats import pandas_hdf5, parquet, root
from hepad.samples.formats.signatures import foreign, kind_read
from hepad.storage.hdf5 import open_hdf5, reading

HEAD = 4096
# a server that does not answer ends in a message, after seconds; what the user has set holds
for name, seconds in {"XRD_CONNECTIONWINDOW": "10", "XRD_CONNECTIONRETRY": "1", "XRD_STREAMERRORWINDOW": "10"}.items():
    os.environ.setdefault(name, seconds)


@dataclass(frozen=True)
class Contents:
    """Kind and contents of a file, as its header tells them.

    Attributes
    ----------
    path: or address
    kind: 'ROOT', 'HDF5', 'Parquet' or 'text'
    tables: names of the columns by table: the branches (or fields) of every TTree and RNTuple of a ROOT file; '' with
        the columns of a Parquet file; of an HDF5 file every dataset by its path without leading '/', with the names of
        its fields if it is compound, and every table that pandas wrote by its key, with its columns
    objects: class by name of what else is in a ROOT file: histograms, directories, ...; of an HDF5 file what of pandas
        tables is passed over, and why
    head: the first kilobytes of the file
    """

    path: str
    kind: str
    tables: dict[str, frozenset[str]]
    objects: dict[str, str] = field(default_factory=dict)
    head: bytes = b""


def head_of(path: str) -> bytes:
    """The first bytes of a file or address; InputError if it cannot be opened or is empty."""
    try:
        with fsspec.open(str(path), "rb") if "://" in str(path) else open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{path}: {_why_closed(str(path), error)}") from None
    if not head:
        raise InputError(f"{path}: the file is empty. Fetch it again, or take it out of 'files'.")
    return head


def _why_closed(path: str, error: Exception) -> str:
    """Why a file cannot be opened, and what to do."""
    match error:
        case IsADirectoryError():
            ends = [os.path.splitext(name)[1] for name in sorted(os.listdir(path)) if not name.startswith((".", "_"))]
            files = os.path.join(path, f"*{(ends or [''])[0]}")
            return f"this is a directory, which cannot be read. Give the files in it: '{files}'."
        case PermissionError():
            return "it may not be read by you. Change its permissions (chmod u+r), or those of its directory."
        case FileNotFoundError() if os.path.islink(path):
            return (
                f"this is a link to '{os.readlink(path)}', which is not there. Make the link anew, or fetch the file."
            )
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    if reason == path:  # all that fsspec says of HTTP
        reason = "not found, or its server cannot be reached"
    return f"cannot be opened ({reason}). Check 'files' in the sample's source."


def kind_of(path: str) -> str:
    """'ROOT', 'HDF5', 'Parquet' or 'text', from the first bytes; InputError says what else it is, and what to do."""
    return _kind(path, head_of(path))


def _kind(path: str, head: bytes) -> str:
    if kind := kind_read(head):
        return kind
    if signature := foreign(head):
        raise InputError(f"{path}: this is {signature.what}. {signature.remedy.replace('FILE', str(path))}")
    if not head.isascii() or b"\0" in head:
        raise InputError(
            f"{path}: neither ROOT, HDF5, Parquet nor text: it begins with {head[:8]!r}. "
            "It may be damaged; fetch it again."
        )
    return "text"


def contents(path: str) -> Contents:
    """Kind of a file and the names in it; InputError if it cannot be opened."""
    head = head_of(path)
    kind = _kind(path, head)
    tables: dict[str, frozenset[str]] = {}
    objects: dict[str, str] = {}
    if kind == "ROOT":
        with root.open_root(path) as file:
            with root.reading(path):
                objects = {name.split(";")[0]: kind for name, kind in file.classnames().items()}
            for name in root.tables(file):
                tables[name] = root.names(root.open_tree(path, file, name))
                del objects[name]
    elif kind == "HDF5":
        with open_hdf5(path) as file, reading(path):
            file.visititems(lambda name, item: _note(tables, name, item))
        tables |= {key: frozenset(map(str, names)) for key, names in pandas_hdf5.column_names(path).items()}
        objects = pandas_hdf5.passed_over(path)
    elif kind == "Parquet":
        with parquet.open_parquet(path) as file:
            tables[""] = frozenset(parquet.kinds(path, file))
    return Contents(str(path), kind, tables, objects, head)


def _note(tables: dict, name: str | bytes, item) -> None:
    if isinstance(item, h5py.Dataset):
        name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name  # as h5py gives damaged ones
        tables[name] = frozenset(item.dtype.names or ())
