"""Parquet files: opened, looked into and read in batches; damage is an InputError that names the file."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import awkward as ak
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hepad.errors import InputError

# what pyarrow raises on damaged bytes; pa.ArrowException covers its own
DAMAGE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError)
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
NUMBERS = (pa.types.is_integer, pa.types.is_floating)
# bytes of a column that are held at a time, compressed: a row group may be larger than the memory
BUFFER = 1 << 20


@contextmanager
def reading(path) -> Iterator[None]:
    """Any failure of pyarrow to open, decompress or interpret becomes an InputError that names the file.

    Want of memory stays a MemoryError; it names the file, whose damage may be why so much was asked for.
    """
    try:
        yield
    except MemoryError as error:  # the file may be sound; pyarrow's own is an ArrowException, too
        raise MemoryError(f"{path}: {error}") from None
    except DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise InputError(
            f"{path}: not a readable Parquet file ({reason}). It may be truncated; fetch it again."
        ) from None


@contextmanager
def open_parquet(path) -> Iterator[pq.ParquetFile]:
    """The file at a path or address; page checksums, where the file has them, are verified."""
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check 'files' in the sample's source.")
    with reading(path):
        source = fsspec.open(str(path)).open() if remote else pa.OSFile(str(path))
    with source:
        with reading(path):
            file = pq.ParquetFile(source, buffer_size=BUFFER, pre_buffer=False, page_checksum_verification=True)
        with file:
            yield file


def kinds(path, file: pq.ParquetFile) -> dict[str, str]:
    """By column: 'number', 'bit', 'numbers' (a list of them per row), 'text', for all else the name of its type."""
    with reading(path):
        return {field.name: _kind(field.type) for field in file.schema_arrow}


def _kind(kind: pa.DataType) -> str:
    if any(is_(kind) for is_ in NUMBERS):
        return "number"
    if pa.types.is_boolean(kind):
        return "bit"
    if any(is_(kind) for is_ in LISTS) and _kind(kind.value_type) == "number":
        return "numbers"
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)


def require(path, file: pq.ParquetFile, wanted: Mapping[str, str], why: str) -> None:
    """InputError unless all ``wanted`` columns are there and of their kind; ``why`` ends the message."""
    present = kinds(path, file)
    if missing := [name for name in wanted if name not in present]:
        listed = ", ".join(sorted(present)[:30]) + (" ..." if len(present) > 30 else "")
        raise InputError(f"{path}: missing columns: {', '.join(missing)}; present: {listed or 'none'}. {why}")
    for name, kind in wanted.items():
        if present[name] != kind:
            raise InputError(f"{path}: column '{name}' holds {present[name]} per row, expected {kind}. {why}")


def matching(names: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """The names that match one of the patterns ('L1_*'), sorted."""
    return tuple(sorted(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)))


def blocks(path, file: pq.ParquetFile, columns: Iterable[str], rows: int) -> Iterator[tuple[int, dict]]:
    """(first row, {column: values}), at most ``rows`` rows at a time; only the named columns are read.

    Numbers and lists of them become awkward arrays, a missing number NaN, text a numpy array of str.
    """
    columns, start = sorted(set(columns)), 0
    batches = iter(file.iter_batches(batch_size=rows, columns=columns, use_threads=False))
    while True:
        with reading(path):
            batch = next(batches, None)
            if batch is None:
                break
            arrays = {name: _values(batch.column(name)) for name in columns}
        if batch.num_rows:
            yield start, arrays
        start += batch.num_rows
    if start != file.metadata.num_rows:
        raise InputError(f"{path}: {start} of {file.metadata.num_rows} rows could be read. Fetch the file again.")


def _values(column: pa.Array):
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = _kind(column.type)
    if kind == "text":
        return pc.fill_null(column, "").to_numpy(zero_copy_only=False).astype(str)
    if kind == "bit":
        column = pc.fill_null(column, False)
    if kind != "numbers":
        return ak.Array(column.to_numpy(zero_copy_only=False))
    column.validate()
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return ak.unflatten(column.flatten().to_numpy(zero_copy_only=False), counts.astype(np.int64))
