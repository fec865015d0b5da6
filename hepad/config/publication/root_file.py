"""Tables and figures of a run in a ROOT file: trees, graphs and histograms."""

import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import uproot
from uproot.serialization import numbytes_version

from hepad.config.publication.figures import Drawn
from hepad.figures.content import Axis, Curve, Mesh, Panel

SYMBOLS = {r"\langle": "#LT", r"\rangle": "#GT", r"\to": "#rightarrow"}  # where ROOT's LaTeX has another word


def write(path: Path, tables: Mapping[str, Mapping], figures: Iterable[Drawn], citation: str) -> None:
    """Write the trees ``tables/NAME``, and below ``figures/PATH/NUMBER OF THE PANEL`` what a figure shows: curves as
    graphs with their intervals, where an axis has names as trees; histograms as TH1D, meshes as TH2D. ``CITATION`` is
    a text.

    ``tables``: by name, columns by name
    """
    with uproot.recreate(path) as file:
        file["CITATION"] = citation
        for name, columns in tables.items():
            _tree(file, f"tables/{name}", columns)
        for drawn in figures:
            for number, panel in enumerate(drawn.panels, 1):
                place, names = f"figures/{drawn.path}/{number}", set()
                for mesh in panel.meshes:
                    file[f"{place}/{_unique('mesh', names)}"] = _th2(mesh, panel)
                for curve in panel.curves:
                    where = f"{place}/{_unique(curve.name or 'points', names)}"
                    if curve.edges is not None:
                        file[where] = _th1(curve, panel)
                    elif object in (curve.x.dtype, curve.y.dtype):
                        _tree(file, where, _columns(curve))
                    else:
                        _add_graph(file, where, curve, panel)


def _tree(file: uproot.WritableDirectory, name: str, columns: Mapping) -> None:
    """Numbers and texts as branches."""
    arrays = {re.sub(r"\W", "_", key): np.asarray(values) for key, values in columns.items()}
    arrays = {key: x if x.dtype.kind in "iufb" else ak.Array([str(text) for text in x]) for key, x in arrays.items()}
    if arrays and len(next(iter(arrays.values()))):
        file.mktree(name, {key: x.type if isinstance(x, ak.Array) else x.dtype for key, x in arrays.items()})
        file[name].extend(arrays)


def _columns(curve: Curve) -> dict[str, np.ndarray]:
    found = {"x": curve.x, "y": curve.y}
    for which, ends in (("x", curve.x_ends), ("y", curve.y_ends)):
        found |= {} if ends is None else {f"{which}_low": ends[0], f"{which}_high": ends[1]}
    return found


def _add_graph(file: uproot.WritableDirectory, name: str, curve: Curve, panel: Panel) -> None:
    good = np.isfinite(curve.x) & np.isfinite(curve.y)
    if not good.any():
        return
    columns = {"x": curve.x[good], "y": curve.y[good]}
    if curve.x_ends is not None or curve.y_ends is not None:
        for which, ends in (("x", curve.x_ends), ("y", curve.y_ends)):
            values = columns[which]
            low, high = np.stack([values] * 2) if ends is None else ends[:, good]
            columns |= {
                f"{which}_errors_low": np.nan_to_num(values - low),
                f"{which}_errors_high": np.nan_to_num(high - values),
            }
    graph = uproot.as_TGraph(columns, tlatex(curve.name), *(tlatex(of) for of in (panel.x, panel.y)))
    if "y_errors_low" in columns:
        # uproot 5.7 can read it but writes graphs without errors alone
        graph._serialize, graph._deeply_writable = types.MethodType(_serialize, graph), True
    file[name] = graph


def _serialize(graph, out: list[bytes], header: bool, name: str, flags) -> None:
    """A TGraphAsymmErrors of version 3: its TGraph, and four arrays, each behind a byte that says it is there."""
    where = len(out)
    for base in graph._bases:
        base._serialize(out, True, name, flags)
    for key in graph.member_names:
        out += [b"\x01", graph.member(key).astype(">f8").tobytes()]
    if header:
        out.insert(where, numbytes_version(sum(map(len, out[where:])), 3))


def _th1(curve: Curve, panel: Panel) -> hist.Hist:
    weighted = curve.y_ends is not None
    found = hist.Hist(
        hist.axis.Variable(curve.edges, label=tlatex(panel.x)), storage="weight" if weighted else "double",
        label=tlatex(panel.y), name=tlatex(curve.name),
    )  # fmt: skip
    found.values()[:] = curve.y
    if weighted:
        found.variances()[:] = ((curve.y_ends[1] - curve.y_ends[0]) / 2) ** 2
    return found


def _th2(mesh: Mesh, panel: Panel) -> hist.Hist:
    axes = [hist.axis.StrCategory(places, label=tlatex(axis)) if isinstance(places, list)
            else hist.axis.Variable(places, label=tlatex(axis))
            for places, axis in ((mesh.x, panel.x), (mesh.y, panel.y))]  # fmt: skip
    found = hist.Hist(*axes, storage="double", name=tlatex(panel.title), label=tlatex(mesh.z))
    found.values()[:] = mesh.values.T
    return found


def tlatex(text: str | Axis) -> str:
    """A label as ROOT writes it: '#' for the backslash, no '$', braces around indices."""
    if isinstance(text, Axis):
        text = f"{text.name} [{text.unit}]" if text.unit else text.name
    for word, other in SYMBOLS.items():
        text = text.replace(word, other)
    parts = [re.sub(r"([_^])(\w)", r"\1{\2}", part) if i % 2 else part for i, part in enumerate(text.split("$"))]
    return "".join(parts).replace("\\", "#").replace(";", ",")


def _unique(name: str, taken: set[str]) -> str:
    """As a name in a ROOT file, that no other has."""
    plain = re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip("_") or "points"
    found, i = plain, 1
    while found in taken:
        i += 1
        found = f"{plain}_{i}"
    taken.add(found)
    return found
