"""The command ``hepad inspect``: what a file is to hepad, and what it can feed."""

from dataclasses import dataclass, fields

from hepad.samples.readers.base import Found, Reader
from hepad.samples.sources import reader_of


@dataclass(frozen=True)
class Inspection:
    """One file, seen by the reader that takes it."""

    path: str
    reader: Reader
    found: Found

    def feeds(self) -> dict[str, list[str]]:
        """What each kind of representation lacks; nothing: the file can feed it."""
        from hepad.representations import EventMatrix, EventVector, JetImage  # torch takes seconds
        from hepad.representations.event_vector import VARIABLES  # likewise

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
        given = ", ".join(f"{key}: {value}" for key, value in options.items() if value not in (None, "", (), {}))
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
        remarks = found.remarks if found.entries else (*found.remarks, "there are no entries in it.")
        lines += [f"  note          {remark}" for remark in remarks]
        for representation, missing in self.feeds().items():
            verdict = f"lacks {', '.join(missing)}" if missing else "can be made"
            lines.append(f"  {representation:<30}{verdict}")
        return [*lines, f"  in a config   source: {{files: [{self.path}], reader: {name}}}"]


def inspect(path: str, **options) -> Inspection:
    """What a file is, which reader takes it, how many events it has, what it can feed and what is missing."""
    reader = reader_of({"files": path, **options}, path)
    return Inspection(str(path), reader, reader.look(str(path)))
