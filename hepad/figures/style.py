"""The look of figures: neutral by default, an experiment's when the config asks for it; and how figures are saved.

    with style(config):
        save(efficiency_curves(...), "results/top")

The style's config has four optional keys: ``experiment`` (null, CMS, ATLAS, LHCb or ALICE), ``label`` (text beside the
experiment's name), ``sqrt_s_tev`` (null leaves it out) and ``colors`` (a colour per name).
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from PIL import Image

from hepad.errors import InputError, check_choice
from hepad.storage.files import atomic_path

DEFAULTS = {"experiment": None, "label": "Simulation", "sqrt_s_tev": None, "colors": {}}

EXPERIMENTS = {"CMS": "CMS", "ATLAS": "ATLAS", "LHCb": "LHCb2", "ALICE": "ALICE"}

# P. Tol's "muted" scheme: nine colours that people with colour-blindness tell apart
CYCLE = ("#332288", "#cc6677", "#117733", "#44aaee", "#882255", "#ccaa44", "#44aa99", "#aa4499", "#999933")

UNRESOLVED = "#bbbbbb"

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


def label(first: Axes, config: dict, last: Axes | None = None, title: str = "") -> None:
    """Write experiment and label above the panel ``first``; ``title`` and √s above ``last`` (default: first)."""
    filled = settings(config)
    energy = filled["sqrt_s_tev"]
    mplhep.label.exp_label(
        exp=filled["experiment"] or "", llabel=filled["label"] or "", com=None, ax=first, loc=0, fontsize=(11, 9, 9, 9)
    )
    ax = last or first
    text = ", ".join([title] * bool(title) + ([] if energy is None else [rf"$\sqrt{{s}}$ = {energy:g} TeV"]))
    # experiments' own math fonts lack the root sign
    look = {"ha": "right", "va": "bottom", "fontsize": 9, "math_fontfamily": "dejavusans"}
    ax.annotate(text, (1, 1), (0, 2), "axes fraction", "offset points", **look)


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
    with atomic_path(f"{path}.pdf") as partial:
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    with atomic_path(f"{path}.png") as partial:
        partial.write_bytes(palette_png(Image.open(drawn), 256))


def palette_png(image: Image.Image, colors: int) -> bytes:
    """A PNG of so many colours, opaque and without dithering; not the colours that are frequent, but those of lines."""
    written, dpi = io.BytesIO(), image.info.get("dpi")
    few = image.convert("RGB").quantize(colors, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(written, "png", optimize=True, **({"dpi": dpi} if dpi else {}))
    return written.getvalue()


def panels(
    rows: int, columns: int, width: float, height: float, layout: str = "constrained", **options
) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels of the given size [inch], and its (rows, columns) array of axes."""
    figure = Figure(figsize=(width * columns, height * rows), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def inside(ax: Axes, text: str, color: str) -> None:
    """Write ``text`` into the upper left corner of a panel."""
    ax.text(0.04, 0.96, text, transform=ax.transAxes, ha="left", va="top", fontsize=8, color=color)
