"""HDF5 files: those of hepad whole or absent, with checksums; damage is an InputError when it is read."""

import io
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import fsspec
import h5py
import hdf5plugin  # noqa: F401  registers the compression filters that users' files come with
import numpy as np

from hepad.errors import InputError, damage
from hepad.storage.files import atomic_path, check_address

LARGE = 1 << 28  # bytes
# errors of h5py on damaged bytes
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError)


@contextmanager
def own_hdf5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open a file that hepad has written itself; ``kind``: such as 'file of scores'. InputError if it is damaged.

    Unlike the files of the user it can be made again.
    """
    with open_hdf5(path, "delete it and run again") as file, reading(path, kind):
        yield file


@contextmanager
def open_hdf5(path: str | Path, remedy: str = "fetch it again") -> Iterator[h5py.File]:
    """Open an HDF5 file at a path or address for reading; a missing, truncated or foreign one is an InputError.

    So is one whose data would come out of other files. ``remedy``: what to do about a damaged one.
    """
    check_address(path)
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
        _check_own_file(path, file, remedy)
        yield file


def _check_own_file(path: str | Path, file: h5py.File, remedy: str) -> None:
    """InputError if the file links to another one, or keeps the values of a dataset elsewhere."""
    links: list[tuple[bytes, int]] = []
    try:
        file.id.links.visit(lambda name, link: links.append((name, link.type)), info=True)
        foreign = [name for name, kind in links if kind == h5py.h5l.TYPE_EXTERNAL]
        for name in (name for name, kind in links if kind == h5py.h5l.TYPE_HARD):
            if h5py.h5o.get_info(file.id, name).type == h5py.h5o.TYPE_DATASET:
                layout = h5py.h5d.open(file.id, name).get_create_plist()
                if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
                    foreign.append(name)
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}). It may be damaged; {remedy}.") from None
    if foreign:
        name = foreign[0].decode(errors="replace")
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
    """An attribute in which a file describes itself; None if it has none of this name."""
    value = file.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def append_array(group: h5py.Group, name: str, array: np.ndarray) -> None:
    """Append rows to a dataset, made at the first call, compressed and with fletcher32: flipped bytes are noticed."""
    array = np.asarray(array)
    if name not in group:
        # about a megabyte a chunk, which is decompressed as a whole
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
            size = len(range(*rows.indices(len(dataset)))) * dataset.nbytes // max(len(dataset), 1)
            if size > LARGE:  # counting the chunks takes time
                check_whole(group.file.filename, name, dataset)
        return dataset[rows]
    except DAMAGE as error:
        raise InputError(
            f"{group.file.filename}: dataset '{name}' cannot be read ({error}). Delete the file and run again."
        ) from None


def dataset_names(group: h5py.Group) -> list[str]:
    """Names of all in a group that is no group itself, as 'ae/1': of links, too, which :func:`read_array` refuses."""
    names: list[bytes] = []
    group.id.links.visit(names.append)
    names = [name.decode() for name in names]
    return [name for name in names if group.get(name, getclass=True) is not h5py.Group]


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


def reading(path, kind: str = "") -> AbstractContextManager[None]:
    """Any failure of h5py to open, decompress or interpret becomes an InputError that names the file.

    ``kind``: of a file that hepad has written itself and can make again, such as 'file of scores'; '' for all others
    """
    if kind:
        return damage(path, DAMAGE, f"damaged {kind}", "Delete it and run again.")
    return damage(path, DAMAGE, "not a readable HDF5 file", "It may be damaged; fetch it again.")


def check_whole(path, name: str, dataset: h5py.Dataset) -> None:
    """InputError if a part was never written: HDF5 would return zeros for it, however long the header says it is."""
    with reading(path):
        if dataset.chunks is None:
            missing = dataset.nbytes > 0 and dataset.id.get_storage_size() < dataset.nbytes and not dataset.external
            amount = f"{dataset.id.get_storage_size()} of {dataset.nbytes} bytes"
        else:
            pairs = zip(dataset.shape, dataset.chunks, strict=True)
            expected = int(np.prod([-(-length // chunk) for length, chunk in pairs], dtype=object))
            missing = dataset.id.get_num_chunks() < expected
            amount = f"{dataset.id.get_num_chunks()} of {expected} chunks"
    if missing:
        raise InputError(f"{path}: '{name}' is incomplete: {amount} are there. Fetch the file again.")
