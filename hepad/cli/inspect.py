"""The command ``hepad inspect``: what a file is to hepad, and what it can feed."""

import argparse
from dataclasses import dataclass, fields

import numpy as np

from hepad.errors import InputError, UnknownFile
from hepad.samples.drafting.draft import draft
from hepad.samples.formats.paths import find_files
from hepad.samples.readers.base import Found, Reader
from hepad.samples.sources import reader_of, stream_of

FEW = 2000  # entries that are read to see where their momenta lie


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

        event = [name for name, variable in VARIABLES.items() if variable.needs not in (None, "taus")]  # few have taus
        wanted = {
            "JetImage": JetImage(),
            "EventVector (substructure)": EventVector(),
            "EventVector (event variables)": EventVector(event),
            "EventMatrix": EventMatrix(),
        }
        needs = {name: sorted(x.needs) + ["constituents"] * x.needs_constituents for name, x in wanted.items()}
        return {name: [what for what in of_it if what not in self.found.present] for name, of_it in needs.items()}

    def _momenta(self) -> list[str]:
        """Where a window can lie; nothing of a file far away or empty, or of one that cannot be read as it is."""
        if "://" in self.path:
            return []
        try:
            jet = first_jets(self.path, {"reader": type(self.reader).__name__, "rows": FEW})
        except (InputError, StopIteration):
            return []
        if not len(jet):
            return []
        low, middle, high = np.quantile(jet[:, 0], [0.01, 0.5, 0.99])
        return [f"  probe jets    pt {low:.4g} to {high:.4g} GeV, median {middle:.4g} (of the first {len(jet):,})"]

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
            f"  holds         {', '.join(sorted(found.given)) or 'nothing'}",
            f"  jet radius    {radius}",
            *self._momenta(),
        ]
        if found.triggers:
            lines.append(f"  trigger bits  {len(found.triggers)}: {', '.join(found.triggers[:4])}, ...")
        remarks = found.remarks if found.entries else (*found.remarks, "there are no entries in it.")
        lines += [f"  note          {remark}" for remark in remarks]
        for representation, missing in self.feeds().items():
            verdict = f"lacks {', '.join(missing)}" if missing else "can be made"
            lines.append(f"  {representation:<30}{verdict}")
        return [*lines, f"  in a config   source: {{files: [{self.path}], reader: {name}}}"]


def first_jets(path: str, options: dict) -> np.ndarray:
    """(n, 4) of the first probe jets of a file, GeV and radians; InputError or StopIteration if there are none."""
    source = {"files": [path], "unit_weights": True, **options}
    return next(iter(stream_of(source, name=path, selection="any", split=(0.0, 0.0, 1.0), part=True))).jet


def inspect(path: str, **options) -> Inspection:
    """What a file is, which reader takes it, how many events it has, what it can feed and what is missing."""
    reader = reader_of({"files": path, **options}, path)
    return Inspection(str(path), reader, reader.look(str(path)))


EXAMPLES = """examples:
  hepad inspect qcd.root
  hepad inspect 'data/*.root' root://eospublic.cern.ch//eos/opendata/file.root
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "inspect", help="say what files are, which reader takes them and what they can feed", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    parser.add_argument("--reader", help="the dialect, if it is not found by looking")
    parser.set_defaults(run=_inspect)


def _inspect(args: argparse.Namespace) -> None:
    """A block of lines for each file; InputError, at the end, if any cannot be read as it is."""
    options = {"reader": args.reader} if args.reader else {}
    wanted = dict(pair for pattern in args.files for pair in _found(pattern))
    bad = {}
    for path, why in wanted.items():
        try:
            if why:
                raise why
            lines = inspect(path, **options).lines()
        except InputError as error:
            bad[path] = error
            drafted = draft(path) if isinstance(error, UnknownFile) else []
            lines = [path, *drafted]
            if len(wanted) > 1:
                lines.insert(1, f"  ERROR         {str(error).removeprefix(f'{path}: ')}")
            elif not drafted:
                break
        print("\n".join(lines), flush=True)
    if bad and len(wanted) > 1:
        raise InputError(f"{len(bad)} of {len(wanted)} files cannot be read as they are: {', '.join(bad)}.")
    if bad:
        raise bad.popitem()[1]


def _found(pattern: str) -> list[tuple[str, InputError | None]]:
    """The files that match a pattern, or the pattern and why there are none."""
    try:
        return [(path, None) for path in find_files(pattern)]
    except InputError as error:
        return [(pattern, error)]
