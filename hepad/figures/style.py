"""The look of figures: neutral by default, an experiment's when the config asks for it; and how figures are saved.

    with style(config):
        save(efficiency_curves(...), "results/top")

The style's config has optional keys: ``experiment`` (null, CMS, ATLAS, LHCb or ALICE), ``label`` (text beside the
experiment's name), ``colors`` (a colour per name) and ``sqrt_s_tev``, by default that of the samples; and ``header``,
what all figures of a job say of their sample (:mod:`hepad.samples.phase_space`).
"""

import io
import logging
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from hepad.errors import InputError, check_choice
from hepad.figures.colors import CYCLE
from hepad.storage.files import atomic_path

logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on every font that a PDF takes a part of

DEFAULTS = {"experiment": None, "label": "Simulation", "sqrt_s_tev": None, "colors": {}, "header": ""}

EXPERIMENTS = {"CMS": "CMS", "ATLAS": "ATLAS", "LHCb": "LHCb2", "ALICE": "ALICE"}

UNRESOLVED = "#bbbbbb"

BAND = "of line {}"  # gid of a band: the number of its line in the panel

INSIDE = 2.0  # inches; smaller panels have the label of ATLAS above them

GAP = "    "  # between the parts of a header

NEUTRAL = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.frameon": False,
}

# experiments draw one panel of ten inches; these sizes let several panels fit a page in every style
SIZES = {
    "font.size": 9, "axes.labelsize": 10, "axes.titlesize": 10, "axes.labelpad": 3, "axes.linewidth": 0.8,
    "legend.fontsize": 8, "legend.title_fontsize": 8, "legend.borderpad": 0.4, "legend.labelspacing": 0.35,
    "legend.handlelength": 2.8, "legend.borderaxespad": 0.5, "lines.linewidth": 1.4, "lines.markersize": 4,
    "lines.markeredgewidth": 0.8, "patch.linewidth": 1.0, "errorbar.capsize": 0,
    "axes.xmargin": 0.05, "axes.ymargin": 0.05, "axes.formatter.min_exponent": 0,
    "axes.autolimit_mode": "data", "axes.formatter.limits": (-5, 6), "pdf.fonttype": 42, "ps.fonttype": 42,
    "figure.dpi": 100, "savefig.dpi": 150, "savefig.bbox": None,
    **{f"{axis}tick.labelsize": 9 for axis in "xy"},
    **{f"{axis}tick.{kind}.{key}": value for axis in "xy" for kind, values in (
        ("major", {"size": 4, "width": 0.8, "pad": 3.5}), ("minor", {"size": 2, "width": 0.6})
    ) for key, value in values.items()},
}  # fmt: skip


def settings(config: dict) -> dict:
    """``config`` with its defaults filled in; InputError if a key or value is unknown."""
    for key in config:
        check_choice("style key", key, DEFAULTS)
    filled = DEFAULTS | config
    if filled["experiment"] is not None:
        check_choice("style.experiment", filled["experiment"], EXPERIMENTS)
    for name, color in filled["colors"].items():
        if not is_color_like(color):
            raise InputError(f"style.colors: '{color}' of '{name}' is no colour. Give a name or #rrggbb.")
    return filled


@contextmanager
def style(config: dict) -> Iterator[None]:
    """Figures made, and saved, inside this context have the style that ``config`` asks for."""
    experiment = settings(config)["experiment"]
    look = dict(getattr(mplhep.styles, EXPERIMENTS[experiment])) if experiment else NEUTRAL
    # the user's own matplotlibrc must not change a figure; the backend is not ours to touch
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if key not in ("backend", "interactive")}
    with mpl.rc_context(defaults | look | SIZES):
        yield


def label(first: Axes, config: dict, last: Axes | None = None, title: str = "", within: str | None = None) -> None:
    """Write the experiment and its label over the panel ``first``, √s over ``last`` (default: first), and above both
    ``title`` and the header of the sample. Call it when all else is drawn: nothing that is measured here may move.

    ATLAS has its label and √s inside, where ``first`` is a plot of some size with a free corner. A text ``within``
    stands in that corner instead of the line above. Content and legend of ``first`` make room for what is inside.
    """
    filled, figure, last = settings(config), first.figure, last or first
    energy = energy_text(config)
    lay_out(figure)  # from here on axes have their sizes
    width = last.bbox.x1 - first.bbox.x0
    header = "" if within else wrapped(figure, [part for part in (title, filled["header"]) if part], width)
    taken = bool(first.images) or any(text.get_gid() == "inside" for text in first.texts)
    inside = filled["experiment"] == "ATLAS" and not taken and min(first.bbox.size) > INSIDE * figure.dpi
    above, used = 5, 0.0
    if inside:
        used = name_experiment(first, config, (8, -18)) + 8
        within = "\n".join(part for part in (energy, within) if part)
    else:
        used = name_experiment(first, config, (0, 3))
        beside = used + measure(figure, energy, 9) + 8 < width
        _annotate(last, energy, (1, 1), (0, 3 if beside else 17), "right")
        above = 5 if not used and not energy else 19 if beside or not energy else 33
    _annotate(first, header, (0, 1), (0, above), "left", fontsize=8, linespacing=1.3)
    if inside or within:
        look = {"va": "top", "fontsize": 8.5, "linespacing": 1.5, "gid": "within"}
        make_room(first, _annotate(first, within or "", (0, 1), (8, -22 if inside else -7), "left", **look), used)


def energy_text(config: dict) -> str:
    """√s as the experiment writes it; nothing where no sample tells it."""
    filled = settings(config)
    if filled["sqrt_s_tev"] is None:
        return ""
    text = f"{filled['sqrt_s_tev']:g} TeV"
    return f"({text})" if filled["experiment"] == "CMS" else rf"$\sqrt{{s}}$ = {text}"


def name_experiment(ax: Axes, config: dict, offset: tuple[float, float]) -> float:
    """Write its name and the label beside it, ``offset`` points from the upper left corner; their width, in pixels."""
    filled, figure, (x, y) = settings(config), ax.figure, offset
    name, end = filled["experiment"] or "", 0.0
    looks = {"CMS": ("normal", "italic"), "ATLAS": ("italic", "normal"), "": ("normal", "italic")}
    of_name, of_label = looks.get(name, ("normal", "normal"))
    for text, look in ((name, {"fontsize": 11, "fontweight": "bold", "fontstyle": of_name}),
                       (filled["label"], {"fontsize": 9, "fontstyle": of_label})):  # fmt: skip
        if text:
            drawn = _annotate(ax, text, (0, 1), (x + end * 72 / figure.dpi, y), "left", **look)
            end += drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width + 0.05 * figure.dpi
    return end


def measure(figure: Figure, text: str, size: float, **look) -> float:
    """The width of a text in pixels."""
    drawn = figure.text(0, 0, text, fontsize=size, math_fontfamily="dejavusans", **look)
    width = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
    drawn.remove()
    return width


def wrapped(figure: Figure, parts: list[str], width: float) -> str:
    """Parts of a text on few lines of at most ``width`` pixels; they break between, and at commas outside of math."""
    lines: list[str] = []
    for part in parts:
        for i, piece in enumerate(re.split(r", (?=(?:[^$]*\$[^$]*\$)*[^$]*$)", part)):
            longer = f"{lines[-1]}{', ' if i else GAP}{piece}" if lines else piece
            if lines and measure(figure, longer, 8) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return "\n".join(lines)


def make_room(ax: Axes, text: Text, above: float) -> None:
    """Lengthen the vertical axis until all that is drawn is below a text in its upper left corner, and below a legend
    at its top; the legend moves below where it would meet the text, or what is ``above`` that, so many pixels wide."""
    renderer, box, legend = FigureCanvasAgg(ax.figure).get_renderer(), ax.bbox, ax.get_legend()
    lowest = text.get_window_extent(renderer).y0
    if legend is not None:
        corner, right = legend.get_window_extent(renderer), text.get_window_extent(renderer).x1
        if corner.y1 > box.y0 + 0.8 * box.height and corner.x0 < box.x1:
            if corner.x0 < max(right, box.x0 + above):
                share = (lowest - box.y0) / box.height
                legend.set_bbox_to_anchor((0, 0, 1, share), transform=ax.transAxes)
                corner = legend.get_window_extent(renderer)
            lowest = min(lowest, corner.y0)
    free = min((box.y1 - lowest + 4) / box.height, 0.7)
    headroom(ax, free / (1 - free))


def headroom(ax: Axes, share: float) -> None:
    """Lengthen the vertical axis at its upper end by a share of its length, whatever its scale."""
    bottom, top = ax.transScale.transform([(1, limit) for limit in ax.get_ylim()])[:, 1]
    ax.set_ylim(top=ax.transScale.inverted().transform((1, top + share * (top - bottom)))[1])


def _annotate(ax: Axes, text: str, corner: tuple, offset: tuple, align: str, **look) -> Text:
    """A text at a corner of a panel; one above it takes height from the layout, but no width."""
    # experiments' own math fonts lack the root sign
    look = {"ha": align, "va": "bottom", "fontsize": 9, "math_fontfamily": "dejavusans"} | look
    if offset[1] > 0 and text:
        ax.annotate("\n".join(" " for _ in text.split("\n")), corner, offset, "axes fraction", "offset points", **look)
    drawn = ax.annotate(text, corner, offset, "axes fraction", "offset points", **look)
    drawn.set_in_layout(False)
    return drawn


def palette(names: Iterable[str], config: dict) -> dict[str, str]:
    """A colour per name: that of ``config['colors']``, or the next one of the cycle that no other of the names has.

    To give a detector, or a sample, the same colour in every figure, call this once with all names and hand the
    result on as ``config['colors']``.
    """
    names = list(names)
    chosen = {name: color for name, color in settings(config)["colors"].items() if name in names}
    free = [color for color in CYCLE if color not in chosen.values()] or list(CYCLE)
    others = [name for name in names if name not in chosen]
    return chosen | {name: free[i % len(free)] for i, name in enumerate(others)}


def save(figure: Figure, path: str | Path) -> None:
    """Write ``path``.pdf and ``path``.png, atomically and without dates, so that equal figures are equal files.

    The PNG has the 256 colours that leave the largest error smallest (a few of 255 steps), and a third of the size.
    """
    layout, drawn = figure.get_layout_engine(), io.BytesIO()
    lay_out(figure)
    figure.set_layout_engine("none")  # to find it takes longer than to draw: once is enough
    with atomic_path(f"{path}.pdf") as partial:
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    figure.savefig(drawn, format="png")
    figure.set_layout_engine(layout)
    with atomic_path(f"{path}.png") as partial:
        partial.write_bytes(palette_png(Image.open(drawn), 256))


def lay_out(figure: Figure) -> None:
    """Give the panels of a figure their places, by its layout engine if it has one."""
    if layout := figure.get_layout_engine():
        layout.execute(figure)


def read_picture(path: str | Path) -> Image.Image:
    """A picture, opaque; InputError if it is damaged."""
    try:
        return Image.open(path).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a picture ({error}). Delete it and run again.") from None


def palette_png(image: Image.Image, colors: int) -> bytes:
    """A PNG of so many colours, opaque and without dithering.

    The colours are spread over those of the image, however thin a line is, and moved to the means of what they stand
    for, without which a pale band would take the tint of another.
    """
    written, dpi = io.BytesIO(), image.info.get("dpi")
    few = image.convert("RGB").quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(written, "png", optimize=True, **({"dpi": dpi} if dpi else {}))
    return written.getvalue()


def panels(
    rows: int, columns: int, width: float, height: float, layout: str = "constrained", **options
) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels of the given size [inch], and its (rows, columns) array of axes."""
    figure = Figure(figsize=(width * columns, height * rows), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def band(line: Line2D, at: np.ndarray, low: np.ndarray, high: np.ndarray, along: str = "y", **look) -> None:
    """The range of a line from ``low`` to ``high`` (n,) along y or x, pale in its colour; ``at`` (n,): on the other."""
    ax = line.axes
    fill = ax.fill_between if along == "y" else ax.fill_betweenx
    fill(
        at,
        low,
        high,
        **{"color": line.get_color(), "alpha": 0.2, "linewidth": 0} | look,
        gid=BAND.format(ax.lines.index(line)),
    )


def inside(ax: Axes, text: str, color: str, width: int = 60) -> None:
    """Write ``text`` into the upper left corner of a panel, on lines of at most ``width`` characters."""
    text = "\n".join(textwrap.fill(line, width) for line in text.split("\n"))
    look = {"ha": "left", "va": "top", "fontsize": 8, "color": color, "gid": "inside"}
    ax.text(0.04, 0.96, text, transform=ax.transAxes, **look)
