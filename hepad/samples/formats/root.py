"""ROOT files, TTree and RNTuple alike: opened, looked into, read in blocks; damage is an InputError with the file."""

import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from hepad.errors import InputError, damage

TABLES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
EARLY = "ROOT::Experimental::RNTuple"  # before version 1.0 of the format
# errors of uproot on damaged bytes
DAMAGE = (OSError, ValueError, LookupError, NotImplementedError, struct.error, zlib.error, uproot.DeserializationError)
DAMAGE += (TypeError, AttributeError, OverflowError, AssertionError, RecursionError)
# uproot's own models: what a damaged file describes would stand in their place for every file that is opened after it
MODELS = {name: (model, dict(getattr(model, "known_versions", {}))) for name, model in uproot.classes.items()}


def reading(path) -> AbstractContextManager[None]:
    """Any failure of uproot to open, decompress or interpret becomes an InputError that names the file."""
    hint = ", or its server may not send parts of files" if "://" in str(path) else ""
    return damage(path, DAMAGE, "not a readable ROOT file", f"It may be truncated{hint}; fetch it again.")


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
    """Class by name of every TTree, TNtuple (a TTree of numbers) and RNTuple, of the highest cycle."""
    return {name: kind for name, kind in _classes(file).items() if kind in TABLES}


def _classes(file) -> dict[str, str]:
    """Class by name of all that is in a file, of the highest cycle."""
    return {key.split(";")[0]: kind for key, kind in reversed(file.classnames().items())}


def open_tree(path, file, name: str):
    """The TTree or RNTuple of that name; InputError lists what there is."""
    with reading(path):
        present, classes = tables(file), _classes(file)
    if classes.get(name, "").startswith(EARLY):
        raise InputError(
            f"{path}: '{name}' is an RNTuple of the time before version 1.0 of its format, which cannot be read. Write "
            "it with ROOT 6.34 or later, or as a TTree."
        )
    if name not in present:
        listed = ", ".join(sorted(present)) or "none"
        raise InputError(f"{path}: there is no TTree or RNTuple '{name}'; present: {listed}. Set 'tree'.")
    with reading(path):
        tree = file[name]
        # an RNTuple is interpreted, and its checksums are compared, when it is first asked
        if tree.num_entries < 0:
            raise ValueError(f"'{name}' has {tree.num_entries} entries")
        names(tree)
        return tree


def names(tree) -> frozenset[str]:
    """Names of the branches of a TTree, or of the fields of an RNTuple, nested ones included ('FatJet.pt').

    A branch inside others goes by its own name. Where several have one, each goes by the outermost branch and its name,
    'jet/fP.fX', and by its whole path.
    """
    return frozenset(_listed(tree))


def _listed(tree) -> dict[str, str]:
    """uproot's key of each name; listed once, as thousands of names take seconds."""
    if "hepad_names" not in vars(tree):
        tree.hepad_names = _branches(tree) if isinstance(tree, uproot.TTree) else _fields(tree)
    return tree.hepad_names


def _branches(tree) -> dict[str, str]:
    names = {path: path.rpartition("/")[2] for path in tree.keys(full_paths=True)}  # some files have a branch twice
    number, short = Counter(names.values()), Counter(map(_outermost, names))
    several = [path for path, name in names.items() if number[name] > 1]
    unique = {name: name for name in names.values() if number[name] == 1}
    return unique | {_outermost(x): x for x in several if short[_outermost(x)] == 1} | {x: x for x in several}


def _outermost(path: str) -> str:
    """'a/c' of 'a/b/c'."""
    return "/".join(dict.fromkeys((path.partition("/")[0], path.rpartition("/")[2])))


def _fields(ntuple) -> dict[str, str]:
    """uproot seeks those in each field among all of them, seconds in a file of thousands, unless it finds them done."""
    inside = defaultdict(list)
    for number, record in enumerate(ntuple.field_records):
        if record.parent_field_id != number:
            inside[record.parent_field_id].append(number)

    def fill(number: int) -> list:
        below = [(ntuple.all_fields[i], fill(i)) for i in inside[number]]
        ntuple.all_fields[number]._fields = [x for f, parts in below for x in (parts if f.is_anonymous else [f])]
        return ntuple.all_fields[number]._fields

    for field in ntuple.fields:
        fill(field.field_id)
    return dict(zip(keys := ntuple.keys(), keys, strict=True))


def namesakes(name: str, present: Iterable[str]) -> list[str]:
    """The shortest name of each of several branches that are all called ``name``."""
    paths = {x for x in present if "/" in x and x.rpartition("/")[2] == name}
    return sorted(x for x in paths if _outermost(x) == x or _outermost(x) not in paths)


def require(path, tree, branches: Iterable[str], advice: str) -> None:
    """InputError unless all ``branches`` are there; ``advice`` ends the message: what to set or to do."""
    present = names(tree)
    if missing := [name for name in branches if name not in present]:
        listed = ", ".join(sorted(present)[:30]) + (" ..." if len(present) > 30 else "")
        raise InputError(f"{path}: missing branches: {', '.join(missing)}; present: {listed or 'none'}. {advice}")


def blocks(path, tree, branches: Iterable[str], rows: int) -> Iterator[tuple[int, dict[str, ak.Array | np.ndarray]]]:
    """(first entry, {branch: values}) for ``rows`` entries at a time; only the named branches are read."""
    branches = sorted(set(branches))
    for start in range(0, tree.num_entries, rows):
        with reading(path):
            values = arrays(tree, branches, start, start + rows)
        yield start, values


def arrays(tree, branches: list[str], start: int, stop: int) -> dict[str, ak.Array]:
    """Values by name of the branches in entries ``start`` to ``stop``, or to the end; raises what uproot raises."""
    paths = {name: _listed(tree)[name] for name in branches}
    read = tree.arrays(list(paths.values()), entry_start=start, entry_stop=stop)
    return {name: read[path if path in read.fields else tuple(path.split("."))] for name, path in paths.items()}
