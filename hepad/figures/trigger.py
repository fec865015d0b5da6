"""A score as a trigger: efficiency and significance against rate, spreads of trainings, rates, gains."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.seed_spread import SeedSpread
from hepad.figures.roc import HEADING, LINES, LOWEST_EPS_B, draw_spread, line_looks, plan_panels
from hepad.figures.style import UNRESOLVED, label, palette, panels

# ε_S ε_B^-power
QUANTITIES = {0.0: r"signal efficiency $\epsilon_S$", 0.5: r"$\epsilon_S / \sqrt{\epsilon_B}$"}
RATES = {"total": "-", "pure": "--", "overlap": ":"}


def trigger_curves(
    spreads: dict[str, SeedSpread],
    groups: dict[str, str],
    config: dict,
    *,
    khz: float | None = None,
    title: str = "",
) -> Figure:
    """ε_S, and below it ε_S/sqrt(ε_B), against ε_B; a second axis is the rate. One line per detector, all trainings.

    All are of events, which a trigger counts. Detectors are on the left, baselines on the right, each beside the best
    of the other and the supervised trees in black. Bands are as in :func:`hepad.figures.efficiency_curves`. Where
    fewer than 10 independent background events pass, lines are grey.

    Parameters
    ----------
    spreads: by the name that the legend shows, of events
    groups: name -> 'detector', 'baseline' or 'supervised'
    config: style config
    khz: rate of the whole background sample; None: it declares none, and there is no rate
    title: what is searched in what
    """
    plan, supervised = plan_panels(spreads, groups)
    height = 3.6 + 0.08 * max(len(own) for own, _ in plan)
    figure, axes = panels(2, len(plan), 4.6, height, sharex=True, sharey="row")
    for column, (own, guest) in zip(axes.T, plan, strict=True):
        looks = line_looks([name for name in spreads if name in own], groups, config)
        looks |= {name: {"color": "black", "linestyle": LINES[groups[name]][0]} for name in supervised + guest}
        for ax, power in zip(column, QUANTITIES, strict=True):
            for name in supervised + guest + own:
                draw_spread(ax, name, spreads[name], groups[name], looks[name], power)
        _finish(column, spreads, [spread for name, spread in spreads.items() if groups[name] != "supervised"], khz)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _finish(column: np.ndarray, spreads: dict[str, SeedSpread], blind: list[SeedSpread], khz: float | None) -> None:
    top, bottom = column
    lowest = max(LOWEST_EPS_B, min(spread.eps_b[0] for spread in spreads.values()))
    eps = np.geomspace(lowest, 1, 200)
    for ax, line in ((top, eps), (bottom, np.sqrt(eps))):
        ax.plot(eps, line, color="black", linewidth=0.8, linestyle=(0, (1, 2)), gid="random", label="random (0.500)")
    text = f"fewer than {MIN_COUNT} independent background events pass"
    top.plot([], [], color=UNRESOLVED, linewidth=0.8, label=text)
    top.set_xscale("log")
    top.set_xlim(lowest, 1)
    top.set_ylim(0, 1.02)
    # of what is blind and resolved: the supervised trees may leave the panel
    highest = [np.max((b.eps_s / np.sqrt(b.eps_b))[b.independent >= MIN_COUNT], initial=1) for b in blind]
    bottom.set_ylim(0, 1.15 * max(highest, default=1))
    bottom.set_xlabel(r"background efficiency $\epsilon_B$, of events")
    for ax, text in zip(column, QUANTITIES.values(), strict=True):
        ax.set_ylabel(text)
        ax.label_outer()
    if khz is not None:
        axis = bottom.secondary_xaxis(-0.3, functions=(lambda x: x * khz, lambda x: x / khz))
        axis.set_xlabel("rate [kHz]", gid="rate")
    handles = top.get_legend_handles_labels()
    below = -0.16 if khz is None else -0.46
    look = {"loc": "upper left", "bbox_to_anchor": (-0.02, below), "alignment": "left", "fontsize": 7.5}
    bottom.legend(*handles, title=HEADING, **look)


def rate_curves(record: dict, signals: dict[str, str], config: dict, *, title: str = "") -> Figure:
    """Of one training: its rate against the threshold, and what it finds of each signal at the rates asked for.

    Parameters
    ----------
    record: one of :func:`hepad.trigger.working_points.rates`; without a scale, background efficiencies stand for rates
    signals: name -> label
    config: style config
    title: the detector

    Points at rates that the sample does not resolve are grey. With a menu, open symbols are the gain, trigger or menu
    less menu, and short lines the menu alone. What is to be known of the menu's bits is said below.
    """
    figure, axes = panels(1, 2, 4.8, 4.2)
    left, right = axes[0]
    khz = record["scale_khz"]
    _rates(left, record, khz or 1.0)
    quantity = r"background efficiency $\epsilon_B$" if khz is None else "rate [kHz]"
    left.set_xlabel("threshold on the score")
    left.set_ylabel(quantity)
    left.legend(loc="upper right")
    colors = palette(signals.values(), config)
    for i, (name, text) in enumerate(signals.items()):
        shift = 1.05 ** (i - (len(signals) - 1) / 2) * (khz or 1.0)
        _found(right, record["points"], name, text, colors[text], shift)
    right.set_xscale("log")
    right.set_ylim(0, None)
    whole = "" if khz is None else f"; all events {khz:,.0f} kHz" if khz > 100 else f"; all events {khz:.3g} kHz"
    right.set_xlabel(f"{record['of']} {quantity}{whole}" if khz or record["of"] == "pure" else quantity)
    right.set_ylabel("fraction of the signal")
    right.plot([], [], "o", color=UNRESOLVED, label=f"fewer than {MIN_COUNT} independent background events")
    right.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.13), fontsize=7.5)
    if record["remarks"]:
        figure.supxlabel("\n".join(dict.fromkeys(record["remarks"].values())), fontsize=7.5, wrap=True)
    label(left, config, right, title)
    return figure


def _rates(ax: Axes, record: dict, khz: float) -> None:
    thresholds, fractions = np.array(record["curve"]["threshold"]), record["curve"]["fractions"]
    for of, line in RATES.items():
        found = [at[of] for at in fractions]
        if not all(found):
            continue  # without a menu
        value, low, high, passed = (
            np.array([np.nan if r[key] is None else r[key] for r in found], float)
            for key in ("value", "low", "high", "effective")
        )
        good, text = passed >= MIN_COUNT, of if fractions[0]["pure"] else "what passes"
        ax.plot(thresholds, khz * value, color=UNRESOLVED, linestyle=line, linewidth=0.8, gid="unresolved")
        ax.plot(thresholds[good], khz * value[good], color="black", linestyle=line, label=text, gid=of)
        ax.fill_between(thresholds, khz * low, khz * high, color="black", alpha=0.15, linewidth=0)
    for point in record["points"]:
        look = {"color": "black" if point["resolved"] else UNRESOLVED, "linewidth": 0.6, "linestyle": ":"}
        ax.axhline(khz * point["eps_b"], **look)
        low = thresholds[0] if point["threshold_low"] is None else point["threshold_low"]
        ax.axvspan(low, min(point["threshold_high"] or np.inf, thresholds[-1]), color="black", alpha=0.08, linewidth=0)
    ax.set_yscale("log")


def _found(ax: Axes, points: list[dict], signal: str, text: str, color: str, scale: float) -> None:
    for point in points:
        gains, x = point["signals"][signal], point["eps_b"] * scale
        look = {"color": color if point["resolved"] else UNRESOLVED, "zorder": 1 + point["resolved"]}
        for of, face in (("eps_s", None), ("gain", "white")):
            if (e := gains[of]) and e["value"] is not None:
                errors = [[e["value"] - e["low"]], [e["high"] - e["value"]]]
                ax.errorbar([x], [e["value"]], errors, marker="o", markerfacecolor=face, gid=of, **look)
        if gains["menu"] and gains["menu"]["value"] is not None:
            ax.plot([x / 1.1, x * 1.1], [gains["menu"]["value"]] * 2, gid="menu", **look)
    ax.plot([], [], "o", color=color, label=rf"{text}: $\epsilon_S$")
    if points and points[0]["signals"][signal]["gain"]:
        ax.plot([], [], "o", color=color, markerfacecolor="white", label=f"{text}: gain over the menu")
        ax.plot([], [], color=color, label=f"{text}: menu alone")
