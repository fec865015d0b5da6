"""Files that are either whole or absent: atomic writes, JSON, CSV, addresses, the versions behind a result."""

import csv
import errno
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hdf5plugin  # noqa: F401  registers the compression filters that users' files come with
import numpy as np

from hepad.errors import InputError

PROTOCOLS = ("root", "https", "http")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name only if the block succeeds.

    A killed writer leaves a ``.partial`` file behind, which the next one on the same host removes, and never something
    that looks finished. What has its name is on the disk: a power cut leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK | os.X_OK):  # here the error has the name that was given
        why = errno.EROFS if os.statvfs(path.parent).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(why, os.strerror(why), str(path))
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
    except PermissionError:  # another user's process
        return True
    return process != os.getpid()


def check_address(path: str | Path) -> None:
    """InputError for an address, or a pattern of addresses, that is not of ``PROTOCOLS``.

    fsspec knows some that read what the address hides (reference://), write copies (simplecache::), look into archives
    or open a shell (ssh://).
    """
    protocol, separator, _ = str(path).partition("://")
    if "::" in str(path) or (separator and protocol not in PROTOCOLS):
        listed = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise InputError(f"'{path}': addresses may begin with {listed} and have no '::'. Copy the file, give its path.")


def write_json(path: str | Path, value) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity become null."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(_finite(value), indent=1) + "\n")


def read_json(path: str | Path):
    """Read a JSON file; a missing or damaged one is an InputError."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file. Run again: what is finished is kept.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}). Delete it and run again.") from None


def provenance() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    versions = {}
    for package in ("hepad", "torch", "numpy", "scikit-learn", "pyod", "fastjet", "pythia8mc", "uproot"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


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


def write_rows(path: str | Path, columns: Iterable[str], rows: Iterable[dict]) -> None:
    """Write dicts with the keys ``columns`` as CSV, atomically; None is empty.

    Numbers have six significant digits, but thresholds all: with fewer, other events would pass.
    """
    with atomic_path(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _digits(key, x) if isinstance(x, float) else x for key, x in row.items()})


def _digits(key: str, x: float) -> str:
    return repr(float(x)) if key.startswith("threshold") else f"{x:.6g}"
