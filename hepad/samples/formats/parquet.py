"""Parquet files: opened, looked into and read in batches; damage is an InputError that names the file."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hepad.errors import InputError, damage

# errors of pyarrow on damaged bytes; pa.ArrowException covers its own
DAMAGE = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError)
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
LISTS += (pa.types.is_list_view, pa.types.is_large_list_view)
NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
# kind of values of one row, by the kind of number and the number of lists around it
KINDS = {"number": ("number", "numbers", "lists of numbers"), "bit": ("bit", "bits", "lists of bits")}
EXACT = 2**53  # from here on float64 does not tell whole numbers apart
# bytes of a column that are held at a time, compressed: a row group may be larger than the memory
BUFFER = 1 << 20


class Leaf(NamedTuple):
    """Place of the values of a name: a column, and the ``fields`` to follow in its records.

    ``stored`` is the file's name for them, ``kind`` the kind of values of one row.
    """

    column: str
    fields: tuple[str, ...]
    kind: str
    stored: str


def reading(path) -> AbstractContextManager[None]:
    """Any failure of pyarrow to open, decompress or interpret becomes an InputError that names the file."""
    return damage(path, DAMAGE, "not a readable Parquet file", "It may be truncated; fetch it again.")


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
    """Kinds by name: 'number', 'numbers' (a list per row), 'lists of numbers', the same of 'bit', 'text', for all else
    the name of its type. A field of records, or of lists of records, has a dot in its name: 'jets.pt'."""
    return {name: leaf.kind for name, leaf in _leaves(path, file).items()}


def _leaves(path, file: pq.ParquetFile) -> dict[str, Leaf]:
    with reading(path):
        leaves = [(field.name, *leaf) for field in file.schema_arrow for leaf in _inside(field.type, 0)]
        stored = [file.schema.column(i).path for i in range(len(file.schema))]
        pairs = zip(leaves, stored, strict=True)  # both list them depth first
        return {".".join((column, *fields)): Leaf(column, fields, kind, x) for (column, fields, kind), x in pairs}


def _inside(kind: pa.DataType, lists: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """The fields and the kind of everything in a type that is stored by itself."""
    if isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) > 1:  # its storage has lost the shape
        yield (), str(kind)
        return
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        parts = kind if pa.types.is_struct(kind) else (kind.key_field, kind.item_field)
        yield from (((part.name, *fields), name) for part in parts for fields, name in _inside(part.type, lists))
    elif any(is_(kind) for is_ in LISTS):
        yield from _inside(kind.value_type, lists + 1)
    else:
        yield (), _kind(kind, lists)


def _kind(kind: pa.DataType, lists: int) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    name = "number" if any(is_(kind) for is_ in NUMBERS) else "bit" if pa.types.is_boolean(kind) else None
    if name and lists < len(KINDS[name]):
        return KINDS[name][lists]
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "list of " * lists + ("text" if text else str(kind))


def require(path, file: pq.ParquetFile, columns: Mapping[str, str], advice: str) -> None:
    """InputError unless all ``columns`` are there and of their kind; ``advice`` ends the message."""
    present = kinds(path, file)
    if missing := [name for name in columns if name not in present]:
        listed = ", ".join(sorted(present)[:30]) + (" ..." if len(present) > 30 else "")
        raise InputError(f"{path}: missing columns: {', '.join(missing)}; present: {listed or 'none'}. {advice}")
    for name, kind in columns.items():
        if present[name] != kind:
            raise InputError(f"{path}: column '{name}' holds {present[name]} per row, expected {kind}. {advice}")


def require_numbers(path, file: pq.ParquetFile, columns: Iterable[str]) -> None:
    """InputError unless all ``columns`` hold numbers or bits, or lists of them."""
    allowed, present = {kind for kinds_of in KINDS.values() for kind in kinds_of}, kinds(path, file)
    for name in columns:
        if present[name] not in allowed:
            raise InputError(f"{path}: '{name}' holds {present[name]}, not numbers. Map another column in 'branches'.")


def blocks(path, file: pq.ParquetFile, columns: Iterable[str], rows: int) -> Iterator[tuple[int, dict]]:
    """(first row, {name: values}), at most ``rows`` rows at a time; only what is named is read.

    Numbers and lists of them become awkward arrays, a missing number NaN, a missing bit False, a missing list empty;
    text a numpy array of str.
    """
    leaves, start = _leaves(path, file), 0
    chosen = {name: leaves[name] for name in sorted(set(columns))}
    stored = [leaf.stored for leaf in chosen.values()]
    batches = iter(file.iter_batches(batch_size=rows, columns=stored, use_threads=False))
    while True:
        with reading(path):
            batch = next(batches, None)
            if batch is None:
                break
            arrays = {
                name: _values(f"{path}: '{name}'", batch.column(leaf.column), leaf.fields)
                for name, leaf in chosen.items()
            }
            arrays = {name: x if x.ndim == 1 else ak.from_regular(x) for name, x in arrays.items()}
        if batch.num_rows:
            yield start, arrays
        start += batch.num_rows
    if start != file.metadata.num_rows:
        raise InputError(f"{path}: {start} of {file.metadata.num_rows} rows could be read. Fetch the file again.")


def _values(label: str, column: pa.Array, fields: tuple[str, ...]):
    while isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_struct(kind):
        return _values(label, pc.struct_field(column, [fields[0]]), fields[1:])
    if any(is_(kind) for is_ in LISTS):
        column.validate()
        counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        lists = ak.unflatten(_values(label, column.flatten(), fields), counts.astype(np.int64))
        return ak.to_regular(lists) if pa.types.is_fixed_size_list(kind) and not column.null_count else lists
    if pa.types.is_boolean(kind):
        return ak.Array(pc.fill_null(column, False).to_numpy(zero_copy_only=False))
    if not any(is_(kind) for is_ in NUMBERS):
        return pc.fill_null(column, "").to_numpy(zero_copy_only=False).astype(str)
    if pa.types.is_integer(kind) and column.null_count and pc.any(pc.greater_equal(column, EXACT)).as_py():
        raise InputError(f"{label} has nulls among whole numbers beyond {EXACT}. Fill them, or leave it out.")
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):  # types that awkward does not know
        column = column.cast(pa.float64() if pa.types.is_decimal(kind) else pa.float32())
    return ak.Array(column.to_numpy(zero_copy_only=False))
