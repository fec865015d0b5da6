"""What a drawn figure shows, as numbers: curves with their intervals, histograms and meshes of every panel.

One reading for all kinds of figures. It does what a reader of the figure does: an artist has the name of its label, or
that of the legend's entry with its look; axes have names and units; a panel is about what is written into it. What is
drawn in the grey of :data:`hepad.figures.style.UNRESOLVED`, which the sample does not fix, is left out, and so are
lines that guide the eye.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.collections import FillBetweenPolyCollection, PathCollection
from matplotlib.colors import LogNorm, to_hex
from matplotlib.container import BarContainer, Container, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, StepPatch
from matplotlib.text import Annotation
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

from hepad.figures.legend_names import color_of, name_of
from hepad.figures.style import BAND, UNRESOLVED

GUIDES = ("random", "unresolved")  # gids of lines that are no result


class Axis(NamedTuple):
    """What an axis is called, in LaTeX between '$', and its unit."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class Curve:
    """Points of one name.

    name: in the legend; '' where the panel has but one
    x, y: (n,) numbers, or texts where the axis has names
    x_ends, y_ends: (2, n) lower and upper ends of intervals, NaN where there is none; None without any
    edges: (n + 1,) of a histogram, whose x are the middles of its bins; None for other points
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    x_ends: np.ndarray | None = None
    y_ends: np.ndarray | None = None
    edges: np.ndarray | None = None


class Mesh(NamedTuple):
    """Numbers in cells.

    z: what they are
    x, y: edges of the columns (n + 1,) and rows (m + 1,), or their n and m names
    values: (m, n), NaN where nothing is known
    floor: the end of a logarithmic scale of colours, below which values are 0 here; None without one
    """

    z: Axis
    x: np.ndarray | list[str]
    y: np.ndarray | list[str]
    values: np.ndarray
    floor: float | None


class Panel(NamedTuple):
    """One of a figure: the text in it, its axes and what it shows; ``marks``: values of lines across it, by name."""

    title: str
    x: Axis
    y: Axis
    curves: list[Curve]
    meshes: list[Mesh]
    marks: dict[str, float]


def contents(figure: Figure) -> list[Panel]:
    """The panels of a figure that show numbers, in the order in which they were made."""
    panels = [_panel(ax) for ax in figure.axes if ax.get_label() != "<colorbar>"]
    return [panel for panel in panels if panel.curves or panel.meshes]


def axis(text: str) -> Axis:
    """The name and the unit of a label such as 'jet $p_T$ [GeV]'."""
    unit = re.search(r"\s*\[([^\]]+)\]", text)
    name = text.replace(unit[0], "") if unit else text
    return Axis(" ".join(name.split()), unit[1] if unit else "")


def _panel(ax: Axes) -> Panel:
    texts = [text for text in ax.texts if text.get_transform() == ax.transAxes and not isinstance(text, Annotation)]
    title = [" ".join(line.split()) for text in texts for line in text.get_text().split("\n")]
    names = [_categories(of) for of in (ax.xaxis, ax.yaxis)]
    labels = [_label(ax, which) or ("name" if of else which) for which, of in zip("xy", names, strict=True)]
    for i, which in enumerate("xy" if ax.images else ""):  # whose axes' labels may be outside, or names of a row
        common = getattr(ax.figure, f"get_sup{which}label")()
        if common or not len(getattr(ax, f"get_{which}ticks")()):
            title += [labels[i]] if labels[i] not in (which, "name") else []
            labels[i] = common or which
    curves = _joined(_named(curve, *names) for curve in [*_histograms(ax), *_points(ax), *_lines(ax)])
    meshes = [_mesh(image, *names) for image in ax.images]
    return Panel(", ".join(title), axis(labels[0]), axis(labels[1]), curves, meshes, _marks(ax))


def _label(ax: Axes, which: str) -> str:
    """Of an axis of a panel; where it has none, of one that shares it, or is in its row or column."""
    shared = getattr(ax, f"get_shared_{which}_axes")().get_siblings(ax)
    place, span = ax.get_subplotspec(), "rowspan" if which == "y" else "colspan"
    grid = [(other, other.get_subplotspec()) for other in ax.figure.axes]
    beside = [o for o, at in grid if at and place and at.get_gridspec() is place.get_gridspec()
              and getattr(at, span) == getattr(place, span)]  # fmt: skip
    texts = (getattr(other, f"get_{which}label")() for other in (ax, *shared, *beside))
    return next(filter(None, texts), "")


def _categories(of: MatplotlibAxis) -> dict[float, str]:
    """The names on an axis by their places; none where it has numbers."""
    named = isinstance(of.get_major_formatter(), FixedFormatter | FuncFormatter)
    if not (named and isinstance(of.get_major_locator(), FixedLocator)):
        return {}
    return {float(x): " ".join(of.get_major_formatter()(x, i).split()) for i, x in enumerate(of.get_majorticklocs())}


def _named(curve: Curve, x_names: dict[float, str], y_names: dict[float, str]) -> Curve:
    """A curve with the names of its points, the nearest on the axis; without its own where that is the same."""
    for which, names in (("x", x_names), ("y", y_names)):
        if names:
            at = np.array(list(names))
            nearest = [names[at[np.argmin(abs(at - value))]] for value in getattr(curve, which)]
            once = dict.fromkeys(zip(nearest, curve.y if which == "x" else curve.x, strict=True))
            if len(once) == 1 < len(nearest):  # a stroke
                ends = {k: None if v is None else v[:, :1] for k, v in vars(curve).items() if k.endswith("_ends")}
                curve, nearest = replace(curve, x=curve.x[:1], y=curve.y[:1], **ends), nearest[:1]
            name = "" if set(nearest) == {curve.name} else curve.name
            curve = replace(curve, name=name, **{which: np.array(nearest, object), f"{which}_ends": None})
    return curve


def _joined(curves: Iterator[Curve]) -> list[Curve]:
    """Curves of one name as one, but for histograms."""
    found: dict[object, list[Curve]] = {}
    for curve in (curve for curve in curves if len(curve.x)):
        found.setdefault(curve.name if curve.edges is None else id(curve), []).append(curve)
    return [of[0] if len(of) == 1 else _concatenated(of) for of in found.values()]


def _concatenated(of: list[Curve]) -> Curve:
    ends = {}
    for key in ("x_ends", "y_ends"):
        given = [getattr(curve, key) for curve in of]
        filled = [np.full((2, len(c.x)), np.nan) if e is None else e for c, e in zip(of, given, strict=True)]
        ends[key] = np.concatenate(filled, axis=1) if any(e is not None for e in given) else None
    return Curve(of[0].name, np.concatenate([c.x for c in of]), np.concatenate([c.y for c in of]), **ends)


def _lines(ax: Axes) -> Iterator[Curve]:
    """Lines with their bands, and bands that have no line."""
    bands = [band for band in ax.collections if isinstance(band, FillBetweenPolyCollection)]
    of_lines = {band.get_gid(): band for band in bands}
    taken = {id(part[0]) for part in ax.containers if isinstance(part, ErrorbarContainer)}
    for i, line in enumerate(ax.lines):
        x, y = (np.atleast_1d(np.asarray(values, float)) for values in line.get_data())
        if id(line) in taken or not _is_result(ax, line) or not len(x):
            continue
        curve = Curve(name_of(ax, line, line.get_label()), x, y)
        if band := of_lines.get(BAND.format(i)):
            at, low, high = _band(band)
            known, along = (
                dict(zip(at, zip(low, high, strict=True), strict=True)),
                "y" if band.t_direction == "x" else "x",
            )
            ends = [known.get(place, (np.nan, np.nan)) for place in getattr(curve, band.t_direction)]
            curve = replace(curve, **{f"{along}_ends": np.array(ends).T})
        yield curve
    for band in bands:
        label = band.get_label()
        if label and not label.startswith("_"):
            at, low, high = _band(band)
            for name, ends in ((f"{label}, from", low), (f"{label}, to", high)):
                yield Curve(name, at, ends) if band.t_direction == "x" else Curve(name, ends, at)


def _band(band: FillBetweenPolyCollection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) places, lower and upper ends: the outline goes along one side from its second point on, and back."""
    parts = []
    for path in band.get_paths():
        outline = path.vertices if band.t_direction == "x" else path.vertices[:, ::-1]
        n = (len(outline) - 3) // 2
        there, back = outline[1 : n + 1], outline[n + 2 : 2 * n + 2][::-1]
        parts.append((there[:, 0], there[:, 1], back[:, 1]))
    at, one, other = (np.concatenate(values) for values in zip(*parts, strict=True)) if parts else np.empty((3, 0))
    return at, np.minimum(one, other), np.maximum(one, other)


def _points(ax: Axes) -> Iterator[Curve]:
    """Points with errors, but for those of histograms; scattered ones, and the ends of bars."""
    for part in ax.containers:
        if isinstance(part, ErrorbarContainer) and part[0] is not None:
            x, y = (np.asarray(values, float) for values in part[0].get_data())
            if _is_result(ax, part[0]) and not any(_are_of(part, patch) for patch in ax.patches):
                yield Curve(name_of(ax, part[0], part.get_label()), x, y, **_errors(part))
        elif isinstance(part, BarContainer):
            bars = [(b.get_x(), b.get_y(), b.get_width(), b.get_height()) for b in part]
            x, y, width, height = np.array(bars, float).reshape(-1, 4).T
            across = part.orientation == "horizontal"
            ends = (x + width, y + height / 2) if across else (x + width / 2, y + height)
            yield Curve(name_of(ax, part[0], part.get_label()), *ends)
    for part in ax.collections:
        if isinstance(part, PathCollection):
            points = np.asarray(part.get_offsets(), float)
            faces = [to_hex(color) for color in part.get_facecolors()]
            good = np.array([face != UNRESOLVED for face in faces] * (len(points) // max(len(faces), 1)), bool)
            if good.any():
                yield Curve(name_of(ax, part, part.get_label()), *points[good].T)


def _errors(part: ErrorbarContainer) -> dict[str, np.ndarray]:
    """The ends of its bars, which are those of x first."""
    kinds = [which for which, there in (("x", part.has_xerr), ("y", part.has_yerr)) if there]
    found = {}
    for which, bars in zip(kinds, part[2], strict=True):
        found[f"{which}_ends"] = np.array(bars.get_segments(), float).reshape(-1, 2, 2)[:, :, "xy".index(which)].T
    return found


def _histograms(ax: Axes) -> Iterator[Curve]:
    """Each once, whether it is drawn as a line, filled, or both."""
    found: dict[tuple, Curve] = {}
    for patch in (patch for patch in ax.patches if isinstance(patch, StepPatch)):
        values, edges, _ = patch.get_data()
        errors = [_errors(part)["y_ends"] for part in ax.containers if _are_of(part, patch)]
        name, middles = name_of(ax, patch, patch.get_label()), (edges[1:] + edges[:-1]) / 2
        curve = Curve(name, middles, values, y_ends=errors[0] if errors else None, edges=edges)
        found.setdefault((color_of(patch), values.tobytes(), edges.tobytes()), curve)
    yield from found.values()


def _are_of(part: Container, patch: Patch) -> bool:
    """Whether bars are the errors of a histogram: of its colour, around its values."""
    if not (isinstance(patch, StepPatch) and isinstance(part, ErrorbarContainer) and part.has_yerr):
        return False
    values, ends = patch.get_data().values, _errors(part)["y_ends"]
    alike = color_of(part[2][-1]) == color_of(patch) and ends.shape[1] == len(values)
    return alike and np.allclose(ends.mean(axis=0), values, rtol=1e-9, atol=1e-15)


def _mesh(image: AxesImage, x_names: dict[float, str], y_names: dict[float, str]) -> Mesh:
    values = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
    left, right, bottom, top = image.get_extent()
    rows, columns = values.shape
    x, y = np.linspace(left, right, columns + 1), np.linspace(*sorted((bottom, top)), rows + 1)
    if (image.origin == "lower") != (bottom < top):
        values = values[::-1]
    floor = image.norm.vmin if isinstance(image.norm, LogNorm) else None
    if floor is not None:
        values = np.where(values > floor, values, 0)
    bars = [of.colorbar for ax in image.figure.axes for of in ax.images if of.norm is image.norm and of.colorbar]
    z = axis(bars[0].ax.get_ylabel() or bars[0].ax.get_xlabel()) if bars else Axis("value")
    x, y = (list(names.values()) if names else edges for names, edges in ((x_names, x), (y_names, y)))
    return Mesh(z, x, y, values, floor)


def _marks(ax: Axes) -> dict[str, float]:
    """Where lines across the panel stand that have a name."""
    found = {}
    for line in ax.lines:
        for values, transform in (
            (line.get_xdata(), ax.get_xaxis_transform),
            (line.get_ydata(), ax.get_yaxis_transform),
        ):
            if line.get_transform() == transform("grid") and line.get_gid():
                label = line.get_label()
                found[line.get_gid() if label.startswith("_") else label] = float(values[0])
    return found


def _is_result(ax: Axes, line: Line2D) -> bool:
    guide = line.get_gid() in GUIDES or to_hex(line.get_color()) == UNRESOLVED
    return not guide and line.get_transform() == ax.transData
