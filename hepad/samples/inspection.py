"""What a file is to hepad, and why another one is not read."""

import difflib
from dataclasses import dataclass, fields
from typing import NoReturn

from hepad.errors import InputError
from hepad.readers.base import Contents, Found, Reader

LINE = "eventID; processID; weight; MET; METphi; obj,E,pt,eta,phi; ..."
EDM4HEP = "EDM4hep (podio; the nearest is Delphes, whose own ROOT files are read)"
# dialects that are known and not read, by a name that only they have
UNSUPPORTED = {
    "podio_metadata": EDM4HEP,
    "ReconstructedParticles": EDM4HEP,
    "MetaData": "a CMS EDM file (AOD or MiniAOD); make NanoAOD or PFNano of it",
    "POOLCollectionTree": "an ATLAS xAOD file that is not DAOD_PHYSLITE",
}


@dataclass(frozen=True)
class Inspection:
    """One file, seen by the reader that takes it."""

    path: str
    reader: Reader
    found: Found

    def feeds(self) -> dict[str, list[str]]:
        """What each kind of representation lacks; nothing: the file can feed it."""
        from hepad.representations import EventMatrix, EventVector, JetImage  # torch takes seconds
        from hepad.representations.vector import VARIABLES

        event = [name for name, variable in VARIABLES.items() if variable.needs]
        wanted = {
            "JetImage": JetImage(),
            "EventVector (substructure)": EventVector(),
            "EventVector (event variables)": EventVector(event),
            "EventMatrix": EventMatrix(),
        }
        needs = {name: sorted(x.needs) + ["constituents"] * x.needs_constituents for name, x in wanted.items()}
        return {name: [what for what in of_it if what not in self.found.present] for name, of_it in needs.items()}

    def lines(self) -> list[str]:
        """A description for people."""
        found, name = self.found, type(self.reader).__name__
        options = {f.name: getattr(self.reader, f.name) for f in fields(self.reader)}
        given = ", ".join(f"{key}: {value}" for key, value in options.items() if value not in (None, (), {}))
        radius = "not in the file" if found.jet_radius is None else f"{found.jet_radius:g}"
        lines = [
            self.path,
            f"  reader        {name}: {self.reader.title}",
            f"  options       {given or 'none'}",
            f"  entries       {found.entries:,}",
            f"  holds         {', '.join(sorted(found.present)) or 'nothing'}",
            f"  jet radius    {radius}",
        ]
        if found.triggers:
            lines.append(f"  trigger bits  {len(found.triggers)}: {', '.join(found.triggers[:4])}, ...")
        lines += [f"  note          {remark}" for remark in found.remarks]
        for representation, missing in self.feeds().items():
            verdict = f"lacks {', '.join(missing)}" if missing else "can be made"
            lines.append(f"  {representation:<30}{verdict}")
        return [*lines, f"  in a config   source: {{files: [{self.path}], reader: {name}}}"]


def refuse_unknown(contents: Contents, readers: dict[str, type[Reader]]) -> NoReturn:
    """InputError for a file that no reader takes: what it is, what is supported, what comes nearest."""
    names = {*contents.tables, *(column for columns in contents.tables.values() for column in columns)}
    collections = names | {name.split(".")[0] for name in names}
    known = next((what for name, what in UNSUPPORTED.items() if name in collections), None)
    what, near = (f"this is {known}", "") if known else (_described(contents), _nearest(contents, names, readers))
    raise InputError(
        f"{contents.path}: {what}, which no reader takes. {near}Supported: {', '.join(readers)}; anything else "
        "with jets through 'branches'."
    )


def _described(contents: Contents) -> str:
    if contents.kind == "text":
        first = contents.head.decode("ascii", "replace").split("\n", 1)[0].strip()
        return f"a text file that begins with '{first[:40]}'"
    listed = ", ".join(sorted(contents.tables)[:8]) or "nothing in it (if it may be damaged, fetch it again)"
    return f"{'an' if contents.kind == 'HDF5' else 'a'} {contents.kind} file with {listed}"


def _nearest(contents: Contents, names: set[str], readers: dict[str, type[Reader]]) -> str:
    if contents.kind == "text":
        return f"The nearest is DarkMachines, whose lines are '{LINE}'. "
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
