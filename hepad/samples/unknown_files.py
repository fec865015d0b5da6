"""Why a file is not read: what it is, what comes nearest, what to do."""

import difflib
from collections import Counter
from typing import NoReturn

from hepad.errors import InputError, UnknownFile
from hepad.samples.formats.signatures import is_challenge
from hepad.samples.readers.base import Contents, Reader

PREVIEW = "ROOT::Experimental::RNTuple"

LINE = "eventID; processID; weight; MET; METphi; obj,E,pt,eta,phi; ..."

EDM4HEP = "EDM4hep (podio; the nearest is Delphes, whose own ROOT files are read)"

# dialects that are known and not read, by a name that only they have
UNSUPPORTED = {
    "podio_metadata": EDM4HEP,
    "ReconstructedParticles": EDM4HEP,
    "MetaData": "a CMS EDM file (AOD or MiniAOD); make NanoAOD or PFNano of it",
    "POOLCollectionTree": "an ATLAS xAOD file that is not DAOD_PHYSLITE",
}


def raise_unknown(contents: Contents, readers: dict[str, type[Reader]]) -> NoReturn:
    """InputError for a file that no reader takes: what it is, what is supported, what comes nearest, what to do."""
    if contents.kind == "ROOT" and not contents.tables:
        raise InputError(f"{contents.path}: {_without_tables(contents.objects)}")
    names = {*contents.tables, *(column for columns in contents.tables.values() for column in columns)}
    collections = names | {name.split(".")[0] for name in names}
    format = next((content for name, content in UNSUPPORTED.items() if name in collections), None)
    if format:
        content, near = f"this is {format}", ""
    else:
        content, near = _described(contents), _nearest(contents, names, readers)
    if contents.kind == "HDF5" and contents.objects:
        listed = "; ".join(f"'{name}': {reason}" for name, reason in list(contents.objects.items())[:4])
        near += f"Passed over: {listed}. "
    supported = f"Supported: {', '.join(readers)}"
    if contents.kind == "text":
        raise InputError(f"{contents.path}: {content}, which no reader takes. {near}{supported}.")
    raise (InputError if format else UnknownFile)(
        f"{contents.path}: {content}, which no reader takes. {near}{supported}; anything else with jets through "
        "'branches', which `hepad inspect` drafts."
    )


def _without_tables(objects: dict[str, str]) -> str:
    """The fault of a ROOT file without a TTree or RNTuple that can be read, and the advice."""
    if preview := [name for name, kind in objects.items() if kind.startswith(PREVIEW)]:
        return (
            f"'{preview[0]}' is an RNTuple of the preview format, before version 1.0, which nothing but the ROOT that "
            "wrote it reads. Write it again with ROOT 6.34 or later, or as a TTree."
        )
    if not objects:
        return (
            "a ROOT file with nothing in it (it was not closed by the program that wrote it, or that wrote nothing). "
            "Write it again, or fetch it again."
        )
    counted = ", ".join(f"{number} {kind}" for kind, number in Counter(objects.values()).most_common(5))
    listed = ", ".join(f"{name} ({kind})" for name, kind in list(objects.items())[:8])
    return (
        f"a ROOT file without a TTree or RNTuple: {counted}. It has {listed}{', ...' if len(objects) > 8 else ''}. "
        "hepad reads events, not histograms of them: give the file of events that they were filled from."
    )


def _described(contents: Contents) -> str:
    if contents.kind == "text":
        first = contents.head.decode("ascii", "replace").strip().split("\n", 1)[0].strip()
        return f"a text file that begins with '{first[:40]}'"
    names = contents.tables[""] if contents.kind == "Parquet" else contents.tables
    listed = ", ".join(sorted(names)[:8]) + (", ..." if len(names) > 8 else "")
    columns = "the columns " * (contents.kind == "Parquet")
    if not names:
        listed, columns = "nothing in it", ""
    return f"{'an' if contents.kind == 'HDF5' else 'a'} {contents.kind} file with {columns}{listed}"


def _nearest(contents: Contents, names: set[str], readers: dict[str, type[Reader]]) -> str:
    if contents.kind == "text":
        if is_challenge(contents.head):
            return f"The nearest is DarkMachines, whose lines are '{LINE}'. "
        return f"Text is read of the challenge DarkMachines alone, whose lines are '{LINE}'. "
    best, share = None, 0.0
    for name, cls in readers.items():
        close = [x for x in cls.landmarks if x in names or difflib.get_close_matches(x, names, 1, 0.85)]
        if contents.kind in cls.kind and cls.landmarks and len(close) / len(cls.landmarks) > share:
            best, share = name, len(close) / len(cls.landmarks)
    if best is None or share < 0.3:
        return ""
    missing = {
        x: difflib.get_close_matches(x, names - set(readers[best].landmarks), 1) for x in readers[best].landmarks
    }
    listed = [f"'{x}'" + (f" (there is '{y[0]}')" if y else "") for x, y in missing.items() if x not in names]
    return f"The nearest is {best}, but it lacks {', '.join(listed[:5])}. "
