"""A score as a trigger: efficiency and significance against rate, bands of trainings, rates, gains."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.efficiency import MIN_COUNT
from hepad.errors import InputError, choose
from hepad.figures.curves import LINES, LOWEST_EPS_B, WIDTHS, line_looks
from hepad.figures.panels import panels
from hepad.style import UNRESOLVED, label, palette
from hepad.trigger import Band

QUANTITIES = {
    "efficiency": r"signal efficiency $\epsilon_S$",
    "improvement": r"$\epsilon_S / \sqrt{\epsilon_B}$",
}
RATES = {"total": "-", "pure": "--", "overlap": ":"}


def trigger_curves(
    bands: dict[str, Band],
    groups: dict[str, str],
    config: dict,
    *,
    khz: float | None = None,
    title: str = "",
) -> Figure:
    """ε_S, and below it ε_S/sqrt(ε_B), against ε_B; a second axis is the rate. One line per detector, all trainings.

    Detectors are on the left, baselines on the right, each beside the best of the other and the ceiling in black. Bands
    are the middle 68 % of the trainings, or of one training the interval of the signal's counts. Where fewer than 10
    background events pass, lines are grey.

    Parameters
    ----------
    bands: by the name that the legend shows
    groups: name -> 'detector', 'baseline' or 'ceiling'
    config: style config
    khz: rate of the whole background sample; None: it declares none, and there is no rate
    title: what is searched in what
    """
    if not bands:
        raise InputError("figures: there are no curves to draw. Give the task detectors.")
    names = sorted(bands, key=lambda name: -bands[name].auc[0])
    of = {group: [name for name in names if choose("group", groups[name], LINES) == group] for group in LINES}
    plan = [(of["detector"], of["baseline"][:1]), (of["baseline"], of["detector"][:1])]
    plan = [(own, guest) for own, guest in plan if own] or [([], [])]
    height = 3.6 + 0.08 * max(len(own) for own, _ in plan)
    figure, axes = panels(2, len(plan), 4.6, height, sharex=True, sharey="row")
    for column, (own, guest) in zip(axes.T, plan, strict=True):
        looks = line_looks([name for name in bands if name in own], groups, config)
        looks |= {name: {"color": "black", "linestyle": LINES[groups[name]][0]} for name in of["ceiling"] + guest}
        for ax, quantity in zip(column, QUANTITIES, strict=True):
            for name in of["ceiling"] + guest + own:
                _curve(ax, name, bands[name], groups[name], looks[name], quantity)
        _finish(column, bands, [band for name, band in bands.items() if groups[name] != "ceiling"], khz)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _curve(ax: Axes, name: str, band: Band, group: str, look: dict, quantity: str) -> None:
    scale = 1 / np.sqrt(band.eps_b) if quantity == "improvement" else 1.0
    middle, low, high = (values * scale for values in (band.eps_s, band.low, band.high))
    resolved = band.n_background_passed >= MIN_COUNT
    faded = ~resolved | (np.cumsum(resolved) == 1)  # joins the first resolved point
    if not resolved.all():
        ax.plot(band.eps_b[faded], middle[faded], color=UNRESOLVED, gid="unresolved", zorder=1, linewidth=0.8)
    auc, several = f"{band.auc[0]:.3f}", f" × {band.trainings}" if band.trainings > 1 else ""
    spread = f" +{band.auc[2] - band.auc[0]:.3f} −{band.auc[0] - band.auc[1]:.3f}" if several else ""
    text = f"{name}{several} ({auc}{spread})" + (", supervised (not blind)" if group == "ceiling" else "")
    line = {"linewidth": WIDTHS[group], "gid": group, "label": text, "zorder": 3 - (group != "detector")}
    ax.plot(band.eps_b[resolved], middle[resolved], **line, **look)
    x, low, high = (values[resolved] for values in (band.eps_b, low, high))
    ax.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0, zorder=1)


def _finish(column: np.ndarray, bands: dict[str, Band], blind: list[Band], khz: float | None) -> None:
    top, bottom = column
    lowest = max(LOWEST_EPS_B, min(band.eps_b[0] for band in bands.values()))
    eps = np.geomspace(lowest, 1, 200)
    for ax, line in ((top, eps), (bottom, np.sqrt(eps))):
        ax.plot(eps, line, color="black", linewidth=0.8, linestyle=(0, (1, 2)), gid="random", label="random (0.500)")
    top.plot([], [], color=UNRESOLVED, linewidth=0.8, label=f"fewer than {MIN_COUNT} background events pass")
    top.set_xscale("log")
    top.set_xlim(lowest, 1)
    top.set_ylim(0, 1.02)
    # of what is blind and resolved: the ceiling may leave the panel
    highest = [np.max((b.eps_s / np.sqrt(b.eps_b))[b.n_background_passed >= MIN_COUNT], initial=1) for b in blind]
    bottom.set_ylim(0, 1.15 * max(highest, default=1))
    bottom.set_xlabel(r"background efficiency $\epsilon_B$")
    for ax, text in zip(column, QUANTITIES.values(), strict=True):
        ax.set_ylabel(text)
        ax.label_outer()
    if khz is not None:
        axis = bottom.secondary_xaxis(-0.3, functions=(lambda x: x * khz, lambda x: x / khz))
        axis.set_xlabel("rate [kHz]", gid="rate")
    heading = "name × trainings (AUC); bands: 68 % of trainings, or of counts"
    handles = top.get_legend_handles_labels()
    below = -0.16 if khz is None else -0.46
    look = {"loc": "upper left", "bbox_to_anchor": (-0.02, below), "alignment": "left", "fontsize": 7.5}
    bottom.legend(*handles, title=heading, **look)


def rate_curves(record: dict, signals: dict[str, str], config: dict, *, title: str = "") -> Figure:
    """Of one training: its rate against the threshold, and what it finds of each signal at the rates asked for.

    Parameters
    ----------
    record: one of :func:`hepad.trigger.rates`
    signals: name -> label
    config: style config
    title: the detector

    Points at rates that the sample does not resolve are grey. With a menu, open symbols are the gain, trigger or menu
    less menu, and short lines the menu alone.
    """
    figure, axes = panels(1, 2, 4.8, 4.2)
    left, right = axes[0]
    thresholds = np.array(record["curve"]["threshold"])
    for of, line in RATES.items():
        found = [rates[of] for rates in record["curve"]["rates"]]
        if all(found):
            value, low, high, passed = (
                np.array([np.nan if r[key] is None else r[key] for r in found])
                for key in ("hz", "low", "high", "passed")
            )
            text = f"{of} rate" if any(record["curve"]["rates"][0][x] for x in ("pure",)) else "rate"
            good = passed >= MIN_COUNT
            left.plot(thresholds, value / 1000, color=UNRESOLVED, linestyle=line, linewidth=0.8, gid="unresolved")
            left.plot(thresholds[good], value[good] / 1000, color="black", linestyle=line, label=text, gid=of)
            left.fill_between(thresholds, low / 1000, high / 1000, color="black", alpha=0.15, linewidth=0)
    for point in record["points"]:
        look = {"color": "black" if point["resolved"] else UNRESOLVED, "linewidth": 0.6, "linestyle": ":"}
        left.axhline(point["budget_hz"] / 1000, **look)
        low = thresholds[0] if point["threshold_low"] is None else point["threshold_low"]
        left.axvspan(low, min(point["threshold_high"] or np.inf, thresholds[-1]), color="black", alpha=0.08)
    left.set_yscale("log")
    left.set_xlabel("threshold on the score")
    left.set_ylabel("rate [kHz]")
    left.legend(loc="upper right")
    colors = palette(signals.values(), config)
    for i, (name, text) in enumerate(signals.items()):
        _found(right, record["points"], name, text, colors[text], 1.05 ** (i - (len(signals) - 1) / 2))
    right.set_xscale("log")
    right.set_ylim(0, None)
    right.set_xlabel(f"{record['of']} rate [kHz]; whole sample {record['scale_khz']:.4g} kHz")
    right.set_ylabel("fraction of the signal")
    right.plot([], [], "o", color=UNRESOLVED, label=f"fewer than {MIN_COUNT} background events")
    right.legend(loc="upper left", fontsize=7.5)
    label(left, config, right, title)
    return figure


def _found(ax: Axes, points: list[dict], signal: str, text: str, color: str, shift: float) -> None:
    for point in points:
        gains, x = point["signals"][signal], point["budget_hz"] / 1000 * shift
        look = {"color": color if point["resolved"] else UNRESOLVED, "zorder": 1 + point["resolved"]}
        for of, face in (("eps_s", None), ("gain", "white")):
            if e := gains[of]:
                errors = [[e["value"] - e["low"]], [e["high"] - e["value"]]]
                ax.errorbar([x], [e["value"]], errors, marker="o", markerfacecolor=face, gid=of, **look)
        if gains["menu"]:
            ax.plot([x / 1.1, x * 1.1], [gains["menu"]["value"]] * 2, gid="menu", **look)
    ax.plot([], [], "o", color=color, label=rf"{text}: $\epsilon_S$")
    if points and points[0]["signals"][signal]["gain"]:
        ax.plot([], [], "o", color=color, markerfacecolor="white", label=f"{text}: gain over the menu")
        ax.plot([], [], color=color, label=f"{text}: menu alone")
