"""Signal efficiency against background efficiency."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.efficiency import LEVEL, MIN_COUNT
from hepad.errors import InputError, choose
from hepad.evaluation import Evaluation
from hepad.figures.panels import panels
from hepad.style import UNRESOLVED, label, palette

# a colour that comes again gets the second dash pattern
LINES = {"detector": ("-", "-."), "baseline": ("--", (0, (6, 1, 1, 1, 1, 1))), "ceiling": (":", ":")}
WIDTHS = {"detector": 1.5, "baseline": 1.0, "ceiling": 1.8}
LOWEST_EPS_B = 1e-4


def efficiency_curves(
    curves: dict[str, Evaluation],
    groups: dict[str, str],
    config: dict,
    *,
    title: str = "",
    baselines: list[str] | None = None,
) -> Figure:
    """ε_S against ε_B with the intervals of ε_S: blind detectors on the left, trivial baselines on the right.

    The best baseline is drawn among the detectors and the best detector among the baselines, both black, so that
    neither panel flatters; the supervised ceiling is in both. Best means the largest AUC. Where fewer than 10
    background events pass, a curve is grey. Colours follow the order of ``curves``, the legend that of the AUC.

    Parameters
    ----------
    curves: by the name that the legend shows
    groups: name -> 'detector', 'baseline' or 'ceiling'
    config: style config
    title: what is searched in what, e.g. 'QCD → top'
    baselines: those to draw; None for all
    """
    if not curves:
        raise InputError("figures: there are no curves to draw. Give the task detectors.")
    names = sorted(curves, key=lambda name: -curves[name].auc.value)
    of = {group: [name for name in names if choose("group", groups[name], LINES) == group] for group in LINES}
    if baselines is not None:
        of["baseline"] = [name for name in of["baseline"] if name in baselines]
    # what a panel is about, and its one guest from the other group
    plan = [(of["detector"], of["baseline"][:1]), (of["baseline"], of["detector"][:1])]
    plan = [(own, guest) for own, guest in plan if own] or [([], [])]
    figure, axes = panels(1, len(plan), 4.6, 4.5 + 0.16 * max(len(own) for own, _ in plan), sharey=True)
    for ax, (own, guest) in zip(axes[0], plan, strict=True):
        looks = line_looks([name for name in curves if name in own], groups, config)
        looks |= {name: {"color": "black", "linestyle": LINES[groups[name]][0]} for name in of["ceiling"] + guest}
        for name in of["ceiling"] + guest + own:
            _curve(ax, name, curves[name], groups[name], looks[name])
        _finish(ax)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def line_looks(names: list[str], groups: dict[str, str], config: dict) -> dict[str, dict]:
    """Colour and dashes by name; a colour that comes again gets the second pattern of its group."""
    looks, used = {}, set()
    for name, color in palette(names, config).items():
        looks[name] = {"color": color, "linestyle": LINES[groups[name]][color in used]}
        used.add(color)
    return looks


def _curve(ax: Axes, name: str, evaluation: Evaluation, group: str, look: dict) -> None:
    curve = evaluation.curve
    text = f"{name} ({evaluation.auc.value:.3f})" + (", supervised (not blind)" if group == "ceiling" else "")
    resolved = curve.n_background_passed >= MIN_COUNT
    # the grey part joins the first resolved point
    faded = ~resolved | (np.cumsum(resolved) == 1)
    if not resolved.all():
        ax.plot(curve.eps_b[faded], curve.eps_s[faded], color=UNRESOLVED, gid="unresolved", zorder=1, linewidth=0.8)
    eps_b, eps_s, low, high = (values[resolved] for values in curve[:4])
    ax.plot(eps_b, eps_s, linewidth=WIDTHS[group], gid=group, label=text, zorder=3 - (group != "detector"), **look)
    ax.fill_between(eps_b, low, high, color=look["color"], alpha=0.2, linewidth=0, zorder=1)


def _finish(ax: Axes) -> None:
    eps = np.geomspace(LOWEST_EPS_B, 1, 200)
    ax.plot(eps, eps, color="black", linewidth=0.8, linestyle=(0, (1, 2)), gid="random", label="random (0.500)")
    ax.plot([], [], color=UNRESOLVED, linewidth=0.8, label=f"fewer than {MIN_COUNT} background events pass")
    ax.set_xscale("log")
    ax.set_xlim(LOWEST_EPS_B, 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(r"background efficiency $\epsilon_B$")
    ax.set_ylabel(r"signal efficiency $\epsilon_S$")
    ax.label_outer()
    heading = f"name (AUC); bands: signal statistics, {100 * LEVEL:g} %"
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.13), title=heading, alignment="left", fontsize=7.5)
