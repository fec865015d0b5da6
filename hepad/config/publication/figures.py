"""The figures that a run has drawn, as numbers: drawn once more from its files, and read from the panels."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from hepad.config import drawing
from hepad.config.publication.tables import INTERVAL, Column, Table, of_search, offsets
from hepad.config.results import Results
from hepad.figures import KINDS, registry
from hepad.figures.content import Axis, Curve, Mesh, Panel, contents

STATISTICAL = "statistical"  # of histograms


class Drawn(NamedTuple):
    """A figure: its path below results/figures without its ending, its caption, its panels and what it is of."""

    path: str
    caption: str
    panels: list[Panel]
    of: Mapping[Axis, str | float]


def of_run(results: Results) -> Iterator[Drawn]:
    """Those of which the run has a PNG, those on request included."""
    folder = results.folder / "figures"
    for kind in KINDS:
        patterns = registry.kind(kind).draws
        if not any(any(folder.glob(re.sub(r"{\w+}", "*", pattern) + ".png")) for pattern in patterns):
            continue
        for job in drawing.jobs(results, kind):
            words = _words(job)
            student = results.config["students"].get(words.get("student"), {})
            task = words.get("task", student.get("task"))
            of = of_search(results, task, words.get("signal")) if task else {}
            for path, figure in registry.figures(kind, job):
                if (folder / f"{path}.png").is_file():
                    yield Drawn(path, _caption(kind, path, words), contents(figure), of)


def _words(job: SimpleNamespace) -> dict[str, str]:
    """The words of a path and what is written for them."""
    words = {key: value for key, value in vars(job).items() if isinstance(value, str)}
    return words | {"detector": Path(words.get("detector", "")).name}


def _caption(kind: str, path: str, words: dict[str, str]) -> str:
    found = registry.kind(kind)
    parts = path.split("/")
    for pattern, caption in zip(found.draws, found.captions, strict=True):
        if pattern.format_map(words | {"detector": parts[-1]}) == path:
            detector = f" Detector: {parts[-1]}." if "{detector}" in pattern else ""
            return caption.format_map(words) + detector
    return found.captions[0].format_map(words)


def tables(drawn: Drawn) -> Iterator[Table]:
    """A table for the curves of a panel that have the same places, and one for each mesh."""
    for number, panel in enumerate(drawn.panels, 1):
        where = f"panel {number}" if len(drawn.panels) > 1 else ""
        said = " ".join(filter(None, (drawn.caption, f"Panel {number}: {panel.title}." if panel.title else "")))
        parts = [*(_mesh(mesh, panel) for mesh in panel.meshes), *(_points(panel, group) for group in _groups(panel))]
        for i, (keys, values, note) in enumerate(parts, 1):
            name = " ".join(filter(None, (*drawn.path.split("/"), where, f"part {i}" if len(parts) > 1 else "")))
            text = " ".join(filter(None, (said, note)))
            file = f"figures/{drawn.path}.pdf"
            yield Table(name, text, keys, values, file, drawn.of, f"figures/{drawn.path}.png")


def _mesh(mesh: Mesh, panel: Panel) -> tuple[list[Column], list[Column], str]:
    places = [pairs(of) if isinstance(of, np.ndarray) else of for of in (mesh.x, mesh.y)]
    cells = [(x, y, value) for y, row in zip(places[1], mesh.values, strict=True)
             for x, value in zip(places[0], row, strict=True) if mesh.floor is None or value]  # fmt: skip
    x, y, values = ([*column] for column in zip(*cells, strict=True)) if cells else ([], [], [])
    note = "" if mesh.floor is None else f"Cells below {mesh.floor:.3g} are left out."
    return [Column(panel.x, x), Column(panel.y, y)], [Column(mesh.z, [_number(v) for v in values])], note


def pairs(edges: np.ndarray) -> list[tuple[float, float]]:
    """The two edges of every bin."""
    return [(_number(low), _number(high)) for low, high in pairwise(edges)]


def _key(curve: Curve) -> str:
    """Whether the places of a curve are its x or, where it has the intervals or y are names, its y."""
    return "y" if curve.y.dtype == object or (curve.x_ends is not None and curve.y_ends is None) else "x"


def _places(curve: Curve) -> list:
    if curve.edges is not None:
        return pairs(curve.edges)
    return [x if isinstance(x, str) else _number(x) for x in getattr(curve, _key(curve))]


def _groups(panel: Panel) -> list[list[Curve]]:
    """Curves that can stand in one table: bins or names or the most of their places are the same."""
    groups: list[list[Curve]] = []
    for curve in panel.curves:
        for group in groups:
            same = (_key(curve), curve.edges is None) == (_key(group[0]), group[0].edges is None)
            of, known = set(_places(curve)), {place for other in group for place in _places(other)}
            names = any(isinstance(place, str) for place in of)
            if same and (names or len(of & known) * 2 >= min(len(of), len(known))):
                group.append(curve)
                break
        else:
            groups.append([curve])
    return groups


def _points(panel: Panel, group: list[Curve]) -> tuple[list[Column], list[Column], str]:
    """A row for each place, where a curve that comes there again has another one."""
    key = _key(group[0])
    at, of = (panel.x, panel.y) if key == "x" else (panel.y, panel.x)
    rows: dict[tuple, None] = {}
    numbered = [_numbered(_places(curve)) for curve in group]
    for places in numbered:
        rows |= dict.fromkeys(place for place in places if place[0] is not None)
    order = list(rows) if any(isinstance(place, str) for place, _ in rows) else sorted(rows)
    values = []
    for curve, places in zip(group, numbered, strict=True):
        row_of = {place: i for i, place in enumerate(places)}
        found, ends = (curve.y, curve.y_ends) if key == "x" else (curve.x, curve.x_ends)
        cells = [_number(found[row_of[place]]) if place in row_of else None for place in order]
        errors = [] if ends is None else [_errors(found, ends, row_of.get(place)) for place in order]
        kind = INTERVAL if curve.edges is None else STATISTICAL
        marks = {mark: _number(value) for mark, value in panel.marks.items()}
        values.append(Column(of, cells, errors, kind, ({"Curve": curve.name} if curve.name else {}) | marks))
    return [Column(at, [place for place, _ in order])], values, ""


def _numbered(places: list) -> list[tuple]:
    seen: dict = {}
    return [(place, seen.setdefault(place, []).append(0) or len(seen[place])) for place in places]


def _errors(values: np.ndarray, ends: np.ndarray, row: int | None) -> tuple[float, float] | None:
    return None if row is None or not np.isfinite(ends[:, row]).all() else offsets(values[row], *ends[:, row])


def _number(value: float) -> float | None:
    """With six digits; None for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
