"""ROOT files, TTree and RNTuple alike: opened, looked into, read in blocks; damage is an InputError with the file."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from hepad.errors import InputError

TABLES = ("TTree", "ROOT::RNTuple")
# what uproot raises on damaged bytes
DAMAGE = (OSError, ValueError, LookupError, NotImplementedError, struct.error, zlib.error, uproot.DeserializationError)
DAMAGE += (TypeError, AttributeError, OverflowError, AssertionError, RecursionError)
# uproot's own models: what a damaged file describes would stand in their place for every file that is opened after it
MODELS = {name: (model, dict(getattr(model, "known_versions", {}))) for name, model in uproot.classes.items()}


@contextmanager
def reading(path) -> Iterator[None]:
    """Any failure of uproot to open, decompress or interpret becomes an InputError that names the file.

    Want of memory stays a MemoryError; it names the file, whose damage may be why so much was asked for.
    """
    try:
        yield
    except MemoryError as error:  # the file may be sound
        raise MemoryError(f"{path}: {error}") from None
    except DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        hint = ", or its server may not send parts of files" if "://" in str(path) else ""
        raise InputError(
            f"{path}: not a readable ROOT file ({reason}). It may be truncated{hint}; fetch it again."
        ) from None


@contextmanager
def open_root(path) -> Iterator[uproot.ReadOnlyDirectory]:
    """The file at a path or address, whole as far as its header can tell."""
    remote = "://" in str(path)
    if not remote and not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check 'files' in the sample's source.")
    uproot.classes.clear()
    for name, (model, versions) in MODELS.items():
        uproot.classes[name] = model
        if versions:
            model.known_versions.clear()
            model.known_versions.update(versions)
    with reading(path):
        file = uproot.open(path, array_cache=None)  # nothing is read twice
        if not remote and file.file.fEND > Path(path).stat().st_size:
            raise OSError(f"{file.file.fEND} bytes expected, {Path(path).stat().st_size} found")
    with file:
        yield file


def tables(file) -> dict[str, str]:
    """Class by name of every TTree and RNTuple, of the highest cycle."""
    found = {key.split(";")[0]: kind for key, kind in file.classnames().items()}
    return {name: kind for name, kind in found.items() if kind.startswith(TABLES)}


def open_tree(path, file, name: str):
    """The TTree or RNTuple of that name; InputError lists what there is."""
    with reading(path):
        present = tables(file)
    if name not in present:
        listed = ", ".join(sorted(present)) or "none"
        raise InputError(f"{path}: there is no TTree or RNTuple '{name}'; present: {listed}. Set 'tree'.")
    with reading(path):
        found = file[name]
        # an RNTuple is interpreted, and its checksums are compared, when it is first asked
        if found.num_entries < 0:
            raise ValueError(f"'{name}' has {found.num_entries} entries")
        names(found)
        return found


def names(tree) -> frozenset[str]:
    """Names of the branches of a TTree, or of the fields of an RNTuple, nested ones included ('FatJet.pt')."""
    return frozenset(tree.keys(full_paths=False) if isinstance(tree, uproot.TTree) else tree.keys())


def require(path, tree, wanted: Iterable[str], why: str) -> None:
    """InputError unless all ``wanted`` branches are there; ``why`` ends the message: what to set or to do."""
    present = names(tree)
    if missing := [name for name in wanted if name not in present]:
        listed = ", ".join(sorted(present)[:30]) + (" ..." if len(present) > 30 else "")
        raise InputError(f"{path}: missing branches: {', '.join(missing)}; present: {listed or 'none'}. {why}")


def matching(tree, patterns: Iterable[str]) -> tuple[str, ...]:
    """Names of the branches that match one of the patterns ('HLT_*'), sorted."""
    return tuple(sorted(name for name in names(tree) if any(fnmatchcase(name, p) for p in patterns)))


def blocks(path, tree, branches: Iterable[str], rows: int) -> Iterator[tuple[int, dict[str, ak.Array | np.ndarray]]]:
    """(first entry, {branch: values}) for ``rows`` entries at a time; only the named branches are read."""
    branches = sorted(set(branches))
    for start in range(0, tree.num_entries, rows):
        with reading(path):
            arrays = tree.arrays(branches, entry_start=start, entry_stop=start + rows)
            yield start, {name: arrays[name] for name in branches}
