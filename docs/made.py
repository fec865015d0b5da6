"""Markdown that is made of the code, the schema and tables: settings, keys of configurations, figures, the door.

    python docs/made.py             # writes the table of keys into config/README.md

Each function returns the text of one place in the pages, where ```` ```{made} NAME ARGUMENT ```` stands for it.
"""

import csv
import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Union, get_args, get_origin

import yaml

import hepad
from hepad.detectors import DETECTORS
from hepad.detectors.autoencoder import AutoencoderSettings
from hepad.detectors.energy_based.base import Objective, StateChoice
from hepad.detectors.energy_based.langevin import Chain
from hepad.detectors.energy_based.negative_sampling import Recovery
from hepad.detectors.estimator import Estimator
from hepad.detectors.flows import FLOWS
from hepad.detectors.masked_prediction import MaskSettings
from hepad.detectors.training.settings import Schedule
from hepad.figures import KINDS, registry

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
MARKS = ("<!-- keys, by docs/made.py -->\n", "<!-- end of the keys -->\n")
KINDS_OF_VALUES = {int: "whole number", float: "number", bool: "true or false", str: "text", dict: "mapping"}
MEASURED = ("auroc", "aupr", "l1_grid", "l1_ring", "l1_best_t")
SHARED = (AutoencoderSettings, Schedule, Chain, Objective, StateChoice, Recovery, MaskSettings)


def table(heads: tuple[str, ...], rows: list[tuple]) -> str:
    """A table of Markdown; bars inside of cells are escaped."""
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (heads, ("---",) * len(heads), *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def meanings(text: str) -> dict[str, str]:
    """Name -> meaning in a docstring whose lines or clauses begin with ``name:`` or ``name, name:``."""
    found, names = {}, []
    for clause in re.split(r";\s+|\n(?=\w+(?:, \w+)*: )|\.\n", text):
        said = re.match(r"\s*(\w+(?:, \w+)*): (.*)", clause, re.DOTALL)
        names, clause = (said[1].split(", "), said[2]) if said else (names, f"; {clause.strip()}")
        for name in names:
            before = "" if said else found[name]
            found[name] = before + re.sub(r"``(.+?)``", r"`\1`", " ".join(clause.split()))
    return {name: re.sub(r"(?<!\.)\.$", "", meaning) for name, meaning in found.items()}


def value_kind(annotation) -> str:
    """What an argument takes, in words."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not types.NoneType]
        return ", or ".join([*map(value_kind, parts), *(["none"] if len(parts) < len(get_args(annotation)) else [])])
    if get_origin(annotation) in (tuple, list) or getattr(get_origin(annotation), "__name__", "") == "Sequence":
        inside = [part for part in get_args(annotation) if part is not ...]
        return f"{'two' if len(inside) == 2 else 'list of'} {value_kind(inside[0])}s"
    if get_origin(annotation) is dict:
        return "mapping"
    if annotation in SHARED:
        return f"[{annotation.__name__}](settings.md#{annotation.__name__.lower()})"
    return KINDS_OF_VALUES[annotation]


def default_of(value) -> str:
    if value in (MISSING, inspect.Parameter.empty):
        return "required"
    if is_dataclass(value):
        return "as there"
    plain = {None: "none", True: "true", False: "false"}
    return plain[value] if isinstance(value, bool | None) else f"`{list(value) if isinstance(value, tuple) else value}`"


def settings(name: str) -> str:
    """The arguments of a detector's class: kind, default and meaning."""
    cls = DETECTORS[name]
    doc = inspect.getdoc(cls) or ""
    said = meanings(doc.partition("----------\n")[2].split("\n\n")[0] if "Parameters" in doc else doc)
    components = "principal components that replace the pixels, with the log of the distance to their plane; 0: none"
    said["n_components"] = said.get("n_components", "").replace("as for Detector", components)
    parameters = [p for p in inspect.signature(cls).parameters.values() if p.name != "space"]
    rows = [(f"`{p.name}`", value_kind(p.annotation), default_of(p.default), said.get(p.name, "")) for p in parameters]
    return table(("argument", "kind", "default", "meaning"), rows) if rows else "It has no arguments.\n"


def shared_settings() -> str:
    """The mappings that detectors share: schedules, chains, networks."""
    text = ""
    for cls in SHARED:
        said = {}
        for base in reversed(cls.__mro__[:-1]):
            first, _, rest = inspect.getdoc(base).partition("\n\n")
            said |= dict(re.findall(r"(\w+) is (the [\w ]+)", first)) | meanings(rest.split("\n\n")[0])
        rows = [(f"`{f.name}`", value_kind(f.type), default_of(f.default), said.get(f.name, "")) for f in fields(cls)]
        heads = ("key", "kind", "default", "meaning")
        text += f"## {cls.__name__}\n\n{' '.join(first.split())}\n\n{table(heads, rows)}\n"
    return text


def flows() -> str:
    """The flows of the ConvVAE with their arguments."""
    rows = []
    for name, cls in FLOWS.items():
        own = [p for p in inspect.signature(cls).parameters.values() if p.name not in ("latent_dim", "context")]
        paper = re.search(r"arXiv:[\d.]+", sys.modules[cls.__module__].__doc__)[0]
        rows.append((f"`{name}`", ", ".join(f"`{p.name}` {default_of(p.default)}" for p in own), paper_link(paper)))
    return table(("`type`", "arguments and defaults", "paper"), rows)


def paper_link(number: str) -> str:
    return f"[{number}](https://arxiv.org/abs/{number.removeprefix('arXiv:')})"


def configuration() -> str:
    """The keys of a configuration, from the schema that checks it."""
    schema = yaml.safe_load(SCHEMA.read_text())
    return table(("key", "meaning", "default"), list(_keys(schema, schema, "")))


def _keys(entry: Mapping, schema: Mapping, path: str) -> Iterator[tuple[str, str, str]]:
    """(key, meaning, default) of what is in a mapping of the schema, depth first."""
    required = dict.fromkeys(entry.get("required", ()), "required") | entry.get("required_with", {})
    for key, raw in entry.get("properties", {}).items():
        of_key, where = _resolved(raw, schema), f"{path}.{key}" if path else key
        inner = of_key.get("additionalProperties")
        named = isinstance(inner, Mapping) and "properties" in inner
        top, name = not path, f"{where}.<name>" if named else where
        shown = f"**`{name}`**" if top and (named or "properties" in of_key) else f"`{name}`"
        yield shown, _meaning(of_key), required.get(key) or _default(of_key)
        yield from _keys(_resolved(inner, schema) if named else of_key, schema, name)


def _resolved(entry: Mapping, schema: Mapping) -> dict:
    """An entry with what it refers to, and with the properties of all its alternatives."""
    entry = dict(entry)
    if "$ref" in entry:
        entry = {**_resolved(schema["$defs"][entry["$ref"].rpartition("/")[2]], schema), **entry}
    for branch in (entry, *entry.get("allOf", ())):
        if "then" in branch:
            found, (condition, *_) = _resolved(branch["then"], schema), branch["if"].get("required", [""])
            others = [key for key in found.get("required", ()) if key != condition]
            needed = dict.fromkeys(others, f"required with `{condition}`" if condition else "required")
            merged = {**entry.get("properties", {}), **found.get("properties", {})}
            known = {**entry.get("required_with", {}), **needed}
            entry = {**found, **entry, "properties": merged, "required": (), "required_with": known}
    return entry


def _meaning(entry: Mapping) -> str:
    said = entry.get("description", "")
    if "enum" in entry and not any(str(value) in said for value in entry["enum"]):
        said = f"{said}: {', '.join('null' if v is None else str(v) for v in entry['enum'])}".lstrip(": ")
    return said


def _default(entry: Mapping) -> str:
    if "default" not in entry or (entry["default"] == {} and "properties" in entry):
        return ""
    return f"`{yaml.safe_dump(entry['default'], default_flow_style=True, width=1000).split(chr(10))[0]}`"


def between(path: Path, marks: tuple[str, str], text: str) -> None:
    """Put a text between its marks in a file."""
    before, first, rest = path.read_text().partition(marks[0])
    _, second, after = rest.partition(marks[1])
    path.write_text("".join((before, first, text, second, after)))


def default_detectors() -> list[str]:
    """Names of the detectors of the default configuration, in its order."""
    return list(yaml.safe_load((ROOT / "config/config.yaml").read_text())["detectors"])


def gallery() -> str:
    """Every kind of figures: what it draws, its captions, the files that it reads, a picture."""
    text = ""
    for name in KINDS:
        kind = registry.kind(name)
        picture = ROOT / f"docs/images/gallery/{name}.png"
        text += f"## {name}\n\n"
        text += f"![{name}](images/gallery/{name}.png)\n\n" if picture.exists() else ""
        for pattern, caption in zip(kind.draws, kind.captions, strict=True):
            text += f"`results/figures/{pattern}.pdf`: {caption}\n\n"
        text += f"Made of: {', '.join(f'`results/{path}`' for path in kind.reads.values())}.\n\n"
    return text


def published(name: str) -> str:
    """Our figures beside those of the papers: means of the rows of a table of benchmarks that have published ones."""
    with (ROOT / f"benchmarks/tables/{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    keys = [key for key in rows[0] if key not in MEASURED and key not in ("seed", "split", "scale")]
    theirs = [row for row in rows if "published" in (row.get("seed"), row.get("split"))]
    shown = []
    for row in theirs:
        same = [r for r in rows if all(r[k] == row[k] for k in keys) and "mean" in (r.get("seed"), r.get("split"))]
        for measure in (key for key in row if key in MEASURED and row[key]):
            ours = ", ".join(f"{r[measure]} ({r['scale']})" for r in same if r[measure]) or "not run"
            shown.append((*(row[k] for k in keys), measure, ours, row[measure], row["scale"]))
    return table((*keys, "measure", "ours (scale)", "published", "source"), shown)


def agreement() -> str:
    """How well maps of seeds agree, and what their clusters are of."""
    with (ROOT / "benchmarks/tables/map_agreement.csv").open() as file:
        rows = list(csv.DictReader(file))
    events = [key for key in rows[0] if key.startswith("events of ")]
    head = (
        "detector",
        "by",
        "events on the map",
        "agreement",
        "smallest",
        "clusters",
        "in none",
        "purity",
        "if all were one",
    )
    cells = [
        (row["detector"], row["by"], " + ".join(row[key] for key in events), row["agreement"], row["smallest"],
         row["clusters"], f"{100 * float(row['in none']):.0f} %", row["purity"], row["as one"]) for row in rows
    ]  # fmt: skip
    return table(head, cells)


def planted(cause: str) -> str:
    """How often each method names a planted cause, among the events whose score it raises."""
    with (ROOT / "benchmarks/tables/planted_causes.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["planted"] == cause]
    sizes, shown = list(dict.fromkeys(row["size"] for row in rows)), {}
    for row in rows:
        share = f"{100 * float(row['found_raised']):.0f} %" if row["found_raised"] else "not complete"
        shown.setdefault((row["detector"], row["method"]), {})[row["size"]] = share
    unit = {"prong": "particles: {}", "met": "{} GeV"}[cause]
    cells = [(*key, *(of.get(size, "") for size in sizes)) for key, of in shown.items()]
    return table(("detector", "method", *map(unit.format, sizes)), cells)


def door() -> str:
    """The public names, in the directives of Sphinx that show their signatures and docstrings."""
    text = ""
    for name in hepad.__all__[1:]:
        thing = getattr(hepad, name)
        shown = f".. autoclass:: hepad.{name}" if inspect.isclass(thing) else f".. autofunction:: hepad.{name}"
        members = f"\n   :members: {', '.join(own_methods(thing))}" if inspect.isclass(thing) else ""
        text += f"## hepad.{name}\n\n```{{eval-rst}}\n{shown}{members}\n```\n\n"
    return text


def own_methods(cls: type) -> list[str]:
    """Public methods and properties of a class that is no detector, whose methods are those of the first one."""
    if issubclass(cls, Estimator) and cls is not hepad.AE:
        return []
    return [name for name in dir(cls) if not name.startswith("_") and inspect.getdoc(getattr(cls, name))]


def detectors_reached() -> set[str]:
    """The detectors whose settings stand on a page."""
    pages = "".join(path.read_text() for path in (ROOT / "docs/detectors").glob("*.md"))
    return set(re.findall(r"\{made\} settings (\w+)", pages))


if __name__ == "__main__":
    between(ROOT / "config/README.md", MARKS, configuration())
