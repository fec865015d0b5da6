"""Histograms of input variables, and what all histograms share: common bins, background filled, signals as lines."""

import textwrap
from collections.abc import Iterable

import hist
import mplhep
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from hepad.errors import InputError
from hepad.figures.style import label, palette, panels

BINS = 40
FILLED = 0.3  # opacity of the background
QUANTILES = (0.001, 0.999)
WIDE = 30  # a positive variable that spans more than this factor may get a logarithmic axis


def input_histograms(
    columns: tuple[str, ...],
    background: np.ndarray,
    signals: dict[str, np.ndarray],
    config: dict,
    *,
    background_name: str = "background",
    title: str = "",
    weights: dict[str, np.ndarray] | None = None,
) -> Figure:
    """Distributions of every input variable, each of unit sum: does a sample look as it should?

    A variable that has one value, between its quantiles 0.001 and 0.999, in all samples is named in a line below.

    Parameters
    ----------
    columns: D names
    background: (n, D)
    signals: by name, (m, D)
    config: style config
    title: e.g. the detector's name
    weights: by name of a sample, (n,); None for equal ones
    """
    samples = {background_name: background, **signals}
    for name, values in samples.items():
        if values.ndim != 2 or values.shape[1] != len(columns):
            raise InputError(f"figures: '{name}' has shape {values.shape} but there are {len(columns)} columns.")
    ends = np.concatenate([np.quantile(values, QUANTILES, axis=0) for values in samples.values()])
    same = {i: ends[0, i] for i in range(len(columns)) if np.all(ends[:, i] == ends[0, i])}
    drawn = [i for i in range(len(columns)) if i not in same] or [0]
    width = min(4, len(drawn))
    rows = -(-len(drawn) // width)
    figure, axes = panels(rows, width, 2.6, 2.1)
    colors = palette(samples, config)
    for ax, i in zip(axes.flat, drawn, strict=False):
        of_column = {name: values[:, i] for name, values in samples.items()}
        edges = common_edges(columns[i], of_column)
        draw_histograms(ax, of_column, edges, background_name, colors, weights)
        if ax.get_xscale() == "linear":
            whole = bool(np.all(edges % 1 == 0.5))
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=whole, steps=[1, 2, *[2.5] * (not whole), 5, 10]))
        ax.set_xlabel(columns[i])
        ax.set_ylim(0, None)
    text = ", ".join(f"{columns[i]} = {value:g}" for i, value in same.items())
    below = textwrap.fill(f"one value in all samples: {text}", 40 * width) if same else None
    for ax in axes.flat[len(drawn) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("fraction of jets")
    lines = legend_lines(samples, background_name, colors)
    figure.legend(lines, list(samples), loc="outside lower center", ncols=4, title=below)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _skew(x: np.ndarray) -> float:
    return np.mean(((x - x.mean()) / x.std()) ** 3)


def common_edges(name: str, samples: dict[str, np.ndarray]) -> np.ndarray:
    """Common edges from quantiles: whole numbers in whole bins, the logarithm where that is less skewed."""
    for sample, values in samples.items():
        if len(values) == 0 or not np.isfinite(values).all():
            raise InputError(f"figures: '{name}' of '{sample}' is empty, NaN or infinite. Check the events.")
    ends = np.array([np.quantile(values, QUANTILES) for values in samples.values()])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if all(np.all(values == np.round(values)) for values in samples.values()):
        low, high = np.floor(low), np.ceil(high)
        step = max(1, np.ceil((high - low + 1) / BINS))
        return np.arange(low - 0.5, high + step, step)
    everything = np.concatenate(list(samples.values()))
    if everything.min() > 0 and high > WIDE * low and abs(_skew(np.log(everything))) < abs(_skew(everything)):
        return np.geomspace(low, high, BINS + 1)
    margin = 0 if high > low else max(abs(low), 1) * 1e-3
    return np.linspace(low - margin, high + margin, BINS + 1)


def legend_lines(samples: Iterable[str], background: str, colors: dict) -> list[Artist]:
    """What the legend shows of each sample."""
    filled = Patch(color=colors[background], alpha=FILLED)
    return [filled if name == background else Line2D([], [], color=colors[name]) for name in samples]


def draw_histograms(
    ax: Axes,
    samples: dict[str, np.ndarray],
    edges: np.ndarray,
    background: str,
    colors: dict,
    weights: dict[str, np.ndarray] | None = None,
) -> None:
    """Histograms of unit sum; ``weights``: by name of a sample, (n,), or None for equal ones."""
    middle = (edges[1:] + edges[:-1]) / 2
    for name, values in samples.items():
        counts = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
        weight = (weights or {}).get(name, np.ones(len(values)))
        # outside values go to the end bins
        counts.fill(np.clip(values, middle[0], middle[-1]), weight=weight)
        content, errors = counts.values() / weight.sum(), np.sqrt(counts.variances()) / weight.sum()
        if name == background:
            look = {"histtype": "fill", "color": colors[name], "alpha": FILLED}
            mplhep.histplot(content, edges, ax=ax, label=name, flow="none", zorder=1, **look)
            mplhep.histplot(content, edges, ax=ax, yerr=errors, color=colors[name], flow="none", zorder=2)
        else:
            mplhep.histplot(content, edges, ax=ax, yerr=errors, color=colors[name], label=name, flow="none", zorder=3)
    ax.set_xlim(edges[0], edges[-1])
    if not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2]):
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())  # an axis of less than two decades would write over itself
