"""Efficiency against a jet variable at one threshold: does a score just measure pT or mass?"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.evaluation.binned_efficiency import BinnedEfficiency
from hepad.figures.style import label, palette, panels

WIDE = 20  # last edge over the second: from there on, an axis is logarithmic


def efficiency_against_variable(
    results: dict[str, dict[str, BinnedEfficiency]],
    config: dict,
    *,
    eps_b: float | None = None,
    title: str = "",
) -> Figure:
    """Efficiency in bins of each variable, one panel per variable.

    Parameters
    ----------
    results: name of the variable with its unit, e.g. 'jet $p_T$ [GeV]' -> sample -> efficiencies
    config: style config
    eps_b: background efficiency of the working point over the whole sample, drawn as a line
    title: e.g. the detector's name

    A bin in which nothing passes is an upper limit (open triangle at the upper end of its interval); a bin without
    events is left out. Where the bins span decades the axis is logarithmic, and a first bin from 0 begins at half its
    upper edge.
    """
    across = min(2, len(results))
    figure, axes = panels(-(-len(results) // across), across, 3.6, 2.9, sharey=True)
    for ax in axes.flat[len(results) :]:
        ax.set_axis_off()
    for ax, (variable, samples) in zip(axes.flat, results.items(), strict=False):
        colors = palette(samples, config)
        for i, (name, binned) in enumerate(samples.items()):
            # samples are set side by side within a bin
            shift = (i - (len(samples) - 1) / 2) * 0.5 / max(len(samples), 2)
            _points(ax, binned, shift, color=colors[name], label=name, marker="os^vDP"[i % 6])
        if eps_b is not None:
            text = rf"working point $\epsilon_B$ = {eps_b:g}"
            ax.axhline(eps_b, color="black", linewidth=0.8, linestyle="--", label=text, gid="working point", zorder=1)
        ax.set_yscale("log")
        ax.set_xlabel(variable)
        edges = next(iter(samples.values())).edges
        if _wide(edges):
            ax.set_xscale("log")
        ax.set_xlim(max(edges[0], edges[1] / 2) if _wide(edges) else edges[0], edges[-1])
    for ax in axes[:, 0]:
        ax.set_ylabel("efficiency")
    axes[0, 0].plot([], [], "v", color="black", markerfacecolor="white", label="nothing passes: upper limit")
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(low, max(1.0, high) * 1.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _points(ax: Axes, binned: BinnedEfficiency, shift: float, **look) -> None:
    edges, wide = binned.edges, _wide(binned.edges)
    if wide:
        edges = np.log(np.maximum(edges, edges[1] / 2))
    x = edges[:-1] + np.diff(edges) * (0.5 + shift)
    x = np.exp(x) if wide else x
    some, none = binned.passed > 0, (binned.passed == 0) & (binned.total > 0)
    errors = np.stack([binned.value - binned.low, binned.high - binned.value])
    ax.errorbar(x[some], binned.value[some], errors[:, some], linestyle="none", **look)
    if none.any():
        look |= {"label": None, "marker": "v", "markerfacecolor": "white", "gid": "upper limit"}
        ax.plot(x[none], binned.high[none], linestyle="none", **look)


def _wide(edges: np.ndarray) -> bool:
    return edges[0] >= 0 and edges[-1] > WIDE * edges[1] > 0
