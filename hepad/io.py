"""Files that are either whole or absent: atomic writes, HDF5 with checksums, JSON."""

import io
import json
import math
import os
import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from glob import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fsspec
import h5py
import hdf5plugin  # noqa: F401  registers the compression filters that users' files come with
import numpy as np

from hepad.errors import InputError
from hepad.files.hdf5 import DAMAGE, check_whole, undamaged

PROTOCOLS = ("root", "https", "http")
LARGE = 1 << 28  # bytes


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name only if the block succeeds.

    A killed writer leaves a ``.partial`` file behind, which the next one on the same host removes, and never something
    that looks finished. What has its name is on the disk: a power cut leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # with the host's name: the processes of other hosts, which may write to the same disk, are not seen from here
    beginning = f".{path.name}.{re.sub(r'[^A-Za-z0-9-]', '_', platform.node())}."
    partial = path.with_name(f"{beginning}{os.getpid()}.partial")
    for left in path.parent.glob(f"{escape(beginning)}*.partial"):
        process = left.name.removeprefix(beginning).removesuffix(".partial")
        if process.isdecimal() and not _is_running(int(process)):
            left.unlink(missing_ok=True)
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether this host has another process of that number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return process != os.getpid()


def refuse_foreign_address(path: str | Path) -> None:
    """InputError for an address, or a pattern of addresses, that is not of ``PROTOCOLS``.

    fsspec knows some that read what the address hides (reference://), write copies (simplecache::), look into archives
    or open a shell (ssh://).
    """
    protocol, separator, _ = str(path).partition("://")
    if "::" in str(path) or (separator and protocol not in PROTOCOLS):
        listed = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise InputError(f"'{path}': addresses may begin with {listed} and have no '::'. Copy the file, give its path.")


@contextmanager
def own_hdf5(path: str | Path, what: str) -> Iterator[h5py.File]:
    """Open ``what`` hepad has written itself, such as a 'file of scores'; if it is damaged an InputError says so.

    Unlike what the user brings it can be made again.
    """
    with open_hdf5(path, "delete it and run again") as file, undamaged(path, what):
        yield file


@contextmanager
def open_hdf5(path: str | Path, remedy: str = "fetch it again") -> Iterator[h5py.File]:
    """Open an HDF5 file at a path or address for reading; a missing, truncated or foreign one is an InputError.

    So is one whose data would come out of other files. ``remedy``: what to do about a damaged one.
    """
    refuse_foreign_address(path)
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check the path in the sample's entry.")
    with ExitStack() as stack:
        try:
            source = stack.enter_context(fsspec.open(str(path))) if remote else path
            file = stack.enter_context(h5py.File(source, "r"))
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"{path}: not a readable HDF5 file ({error}). It may be truncated or of another format; {remedy}."
            ) from None
        _refuse_other_files(path, file, remedy)
        yield file


def _refuse_other_files(path: str | Path, file: h5py.File, remedy: str) -> None:
    """InputError if the file links to another one, or keeps the values of a dataset elsewhere."""
    links: list[tuple[bytes, int]] = []
    try:
        file.id.links.visit(lambda name, link: links.append((name, link.type)), info=True)
        found = [name for name, kind in links if kind == h5py.h5l.TYPE_EXTERNAL]
        for name in (name for name, kind in links if kind == h5py.h5l.TYPE_HARD):
            if h5py.h5o.get_info(file.id, name).type == h5py.h5o.TYPE_DATASET:
                layout = h5py.h5d.open(file.id, name).get_create_plist()
                if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
                    found.append(name)
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}). It may be damaged; {remedy}.") from None
    if found:
        name = found[0].decode(errors="replace")
        raise InputError(f"{path}: '{name}' takes its values from another file. Copy the values into this one.")


class _Sink(io.FileIO):
    """A new file that takes every write and keeps the first failure: HDF5 crashes if one comes at the closing."""

    failure: OSError | None = None

    def write(self, block) -> int:
        rest = memoryview(block)
        try:
            while self.failure is None and len(rest):
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
        return len(block)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size


@contextmanager
def new_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Write an HDF5 file, atomically; OSError at the end of the block if a part of it could not be written."""
    with atomic_path(path) as partial, _Sink(partial, "w+") as sink:
        try:
            # from version 1.10 of the format on, headers and indices have checksums as well as data
            with h5py.File(sink, "w", libver=("v110", "latest")) as file:
                yield file
        finally:
            if sink.failure:
                raise OSError(sink.failure.errno, sink.failure.strerror, str(path))


def describe(file: h5py.File, **facts: str | int) -> None:
    """Say what a file of hepad is, in attributes whose texts have a fixed length.

    Those of variable length lie where nothing has a checksum, and damage there can keep HDF5 busy for ever.
    """
    for name, fact in facts.items():
        file.attrs[name] = np.bytes_(fact.encode()) if isinstance(fact, str) else fact


def described(file: h5py.File, name: str) -> str | int | None:
    """What a file says of itself; None if it does not."""
    found = file.attrs.get(name)
    return found.decode() if isinstance(found, bytes) else found


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
    """Read rows of a dataset of hepad's own; InputError if it is missing, damaged or anything but stored numbers."""
    try:
        dataset = _stored_numbers(group, name)
        if isinstance(rows, slice) and dataset.ndim:
            wanted = len(range(*rows.indices(len(dataset)))) * dataset.nbytes // max(len(dataset), 1)
            if wanted > LARGE:  # counting the chunks takes time
                check_whole(group.file.filename, name, dataset)
        return dataset[rows]
    except DAMAGE as error:
        raise InputError(
            f"{group.file.filename}: dataset '{name}' cannot be read ({error}). Delete the file and run again."
        ) from None


def rows_of(group: h5py.Group, name: str) -> int:
    """How many rows a dataset of hepad's own has; errors as those of :func:`read_array`."""
    return len(_stored_numbers(group, name))


def _stored_numbers(group: h5py.Group, name: str) -> h5py.Dataset:
    if name not in group:
        present = ", ".join(sorted(group)) or "nothing"
        raise InputError(f"{group.file.filename}: dataset '{name}' is missing; present: {present}.")
    dataset = None if group.get(name, getlink=True).__class__ is not h5py.HardLink else group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{group.file.filename}: '{name}' is no dataset of its own. Delete the file and run again.")
    if dataset.dtype.kind not in "fiub":
        raise InputError(
            f"{group.file.filename}: '{name}' has shape {dataset.shape} of {dataset.dtype}, not of numbers. "
            "Delete the file and run again."
        )
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > LARGE:
        raise InputError(
            f"{group.file.filename}: '{name}' is in chunks of shape {dataset.chunks}, too large for a file of hepad. "
            "Delete the file and run again."
        )
    return dataset


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
