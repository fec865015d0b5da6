"""A score as a trigger: its rate against the threshold, what it finds at each rate, and its turn-ons."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.evaluation import diagnostics
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.scored_sample import ScoredSample
from hepad.evaluation.streaming import threshold_of
from hepad.figures.binned_efficiency import efficiency_against_variable
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, band, label, palette, panels
from hepad.storage.files import read_json

LINES = {"total": "-", "pure": "--", "overlap": ":"}
GAIN, MENU = "gain over the menu", "menu alone"


@figure(
    {
        "{task}/rates/{detector}": Shown("Trigger", {"task": "{task}", "figure": "rates, {detector}"}),
        "{task}/turn_ons/{detector}": Shown("Trigger", {"task": "{task}", "figure": "turn-ons, {detector}"}),
    },
    reads={"rates": "rates/{task}.json", "scores": "scores/{task}/{samples}.h5", "events": "events/{samples}.h5"},
    needs=("detectors", "seed", "working_point"),
    labels=("samples", "detectors"),
    only="rated",
)
def rates(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Left: rate against the threshold with its 68.3 % interval; dotted lines are the budgets, shaded ranges the
    thresholds whose true rate may be the budget. Right: fraction of each signal that is found at each budget, with the
    uncertainty of the threshold; open: what is gained over the menu, where there is one, of which the line below says
    what is not known. Where the background declares no rate, background efficiencies of events stand for it. Grey:
    fewer than 10 independent background events pass.

    Efficiency at the working point's threshold against jet pT and mass, HT and missing pT, with 68.3 % intervals, of up
    to 200,000 jets of a sample. Triangles: upper limits.
    """
    labels, scores, events = job.labels, job.files["scores"], job.files["events"]
    background, *signals = scores
    for record in (r for r in read_json(job.files["rates"]) if r["seed"] == job.seed):
        name = record["detector"]
        curves = rate_curves(record, {s: labels[s] for s in signals}, job.style, title=labels[name])
        yield f"{job.task}/rates/{name}", curves
    samples = {name: ScoredSample(name, scores[name], events[name]) for name in scores}
    seen = {labels[name]: diagnostics.scored_variables(of_sample.beginning()) for name, of_sample in samples.items()}
    look = {"eps_b": job.working_point}
    for name in job.detectors:
        key = f"{name}/{job.seed}"
        cut = threshold_of(samples[background].scores.weighted(key), job.working_point)
        binned = diagnostics.turn_ons({of: (s.scores[key], s.variables, s.weight) for of, s in seen.items()}, cut)
        curves = efficiency_against_variable(binned, job.style, title=labels[name], **look)
        yield f"{job.task}/turn_ons/{name}", curves


def rate_curves(record: dict, signals: dict[str, str], config: dict, *, title: str = "") -> Figure:
    """Of one training: its rate against the threshold, and what it finds of each signal at the rates asked for.

    Parameters
    ----------
    record: one of :func:`hepad.trigger.rate_tables.rates`; without a scale, background efficiencies stand for rates
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
    right.set_ylim(-0.03 * right.get_ylim()[1], None)  # a point at 0 is whole
    whole = "" if khz is None else f"; all events {khz:,.0f} kHz" if khz > 100 else f"; all events {khz:.3g} kHz"
    right.set_xlabel(f"{record['of']} {quantity}{whole}" if khz or record["of"] == "pure" else quantity)
    right.set_ylabel("fraction of the signal")
    right.plot([], [], "o", color=UNRESOLVED, label=f"fewer than {MIN_COUNT} independent background events")
    handles, texts = right.get_legend_handles_labels()
    order = sorted(range(len(texts)), key=lambda i: [texts[i].endswith(of) for of in (GAIN, MENU)])  # a column each
    columns = 3 if record["points"] and len(order) > len(signals) + 1 else 2
    figure.legend([handles[i] for i in order], [texts[i] for i in order], loc="outside lower center", ncols=columns,
                  fontsize=7.5)  # fmt: skip
    if record["remarks"]:
        figure.supxlabel("\n".join(dict.fromkeys(record["remarks"].values())), fontsize=7.5, wrap=True)
    label(left, config, right, title)
    return figure


def _rates(ax: Axes, record: dict, khz: float) -> None:
    thresholds, fractions = np.array(record["curve"]["threshold"]), record["curve"]["fractions"]
    for of, line in LINES.items():
        found = [at[of] for at in fractions]
        if not all(found):
            continue  # without a menu
        value, low, high, passed = (
            np.array([np.nan if r[key] is None else r[key] for r in found], float)
            for key in ("value", "low", "high", "effective")
        )
        if not (np.diff(value) > 0).any():  # above a threshold there is no more than above a lower one
            high = np.fmin.accumulate(high)
        good, text = passed >= MIN_COUNT, of if fractions[0]["pure"] else "what passes"
        ax.plot(thresholds, khz * value, color=UNRESOLVED, linestyle=line, linewidth=0.8, gid="unresolved")
        (drawn,) = ax.plot(thresholds[good], khz * value[good], color="black", linestyle=line, label=text, gid=of)
        band(drawn, thresholds, khz * low, khz * high, alpha=0.15)
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
        ax.plot([], [], "o", color=color, markerfacecolor="white", label=f"{text}: {GAIN}")
        ax.plot([], [], color=color, label=f"{text}: {MENU}")
