"""Files that are either whole or absent: atomic writes, HDF5 with checksums, JSON."""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fsspec
import h5py
import hdf5plugin  # noqa: F401  registers the compression filters that users' files come with
import numpy as np

from hepad.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name only if the block succeeds.

    A killed writer leaves a ``.partial`` file behind and never something that looks finished.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file at a path or address for reading; a missing, truncated or foreign one is an InputError."""
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check the path in the sample's entry.")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(fsspec.open(str(path))) if remote else path
            file = stack.enter_context(h5py.File(source, "r"))
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"{path}: not a readable HDF5 file ({error}). It may be truncated or of another format; fetch it again."
            ) from None
        yield file


def append_array(group: h5py.Group, name: str, array: np.ndarray) -> None:
    """Append rows to a dataset, made at the first call, compressed and with fletcher32: flipped bytes are noticed."""
    array = np.asarray(array)
    if name not in group:
        # about a megabyte a chunk: what is decompressed together
        rows = max(1, min(10_000, 1_000_000 // max(array.itemsize * int(np.prod(array.shape[1:])), 1)))
        group.create_dataset(
            name, shape=(0, *array.shape[1:]), maxshape=(None, *(n or None for n in array.shape[1:])),
            chunks=(rows, *(max(n, 1) for n in array.shape[1:])),
            dtype=array.dtype, compression="lzf", shuffle=True, fletcher32=True,
        )  # fmt: skip
    dataset = group[name]
    if dataset.shape[1:] != array.shape[1:]:
        raise ValueError(f"rows of shape {array.shape[1:]} do not fit '{name}' with {dataset.shape[1:]}")
    start = len(dataset)
    dataset.resize(start + len(array), axis=0)
    dataset[start:] = array


def read_array(group: h5py.Group, name: str, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
    """Read rows of a dataset; a missing or damaged dataset is an InputError that names it."""
    if name not in group:
        present = ", ".join(sorted(group)) or "nothing"
        raise InputError(f"{group.file.filename}: dataset '{name}' is missing; present: {present}.")
    try:
        return group[name][rows]
    except OSError as error:
        raise InputError(
            f"{group.file.filename}: dataset '{name}' cannot be read ({error}). Delete the file and run again."
        ) from None


def ahead(items: Iterable) -> Iterator:
    """The items, each made in a thread while the one before it is used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, iterator, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, iterator, end)
            yield item


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity become null."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(_finite(value), indent=1) + "\n")


def read_json(path: str | Path):
    """Read a JSON file; a missing or damaged one is an InputError."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}). Delete it and run again.") from None


def provenance() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    found = {}
    for package in ("hepad", "torch", "numpy", "scikit-learn", "fastjet", "pythia8mc", "uproot"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _finite(value):
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
