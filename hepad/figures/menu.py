"""A menu: the rates of its seeds, and what each takes of the signals."""

import csv
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.evaluation.tables import ENDS
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, label, palette

MOST = 24  # seeds of a panel, those of the highest rates
NAMES = {"total": "total", "pure": "no other seed"}


@figure(
    {"{task}/menu": Shown("Trigger", {"task": "{task}", "figure": "menu"})},
    reads={"menu": "{task}_menu.csv"},
    needs=("background",),
    labels=("background", "signals"),
    only="menu",
)
def menu(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Left: rate of every seed of the menu on the background, over its prescale, with its 68.3 % interval; open: of the
    events that no other seed accepts. Where the background declares no rate, shares of it stand for it. Grey: fewer
    than 10 independent events. Right: the share of each signal that the seed takes; '(all)' is the whole menu. Of a
    menu behind a first stage these are the events that both accept; the seeds of the first stage are above.
    """
    signals = {name: text for name, text in job.labels.items() if name != job.background}
    yield f"{job.task}/menu", menu_rates(read_seeds(job.files["menu"]), job.background, signals, job.style)


def read_seeds(path: str | Path) -> list[dict]:
    """The rows of :func:`hepad.trigger.seed_tables.write_seeds`: numbers, or None where there is none."""
    columns = [f"{of}{unit}{end}" for of in NAMES for unit in ("", "_khz") for end in ENDS]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = [{x: float(row[x]) if row[x] else None for x in columns} for row in rows]
    return [row | of | {"resolved": row["resolved"] == "True"} for row, of in zip(rows, numbers, strict=True)]


def menu_rates(rows: list[dict], background: str, signals: dict[str, str], config: dict) -> Figure:
    """The seeds of a menu.

    Parameters
    ----------
    rows: of :func:`hepad.trigger.seed_tables.seed_rows`
    background: its sample
    signals: name -> label
    config: style config
    """
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    shown = {stage: _shown([row for row in rows if row["stage"] == stage], background) for stage in stages}
    heights = [len(seeds) + 1 for seeds in shown.values()]
    figure = Figure(figsize=(9.6, 1.6 + 0.26 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(stages), 2, squeeze=False, sharey="row", height_ratios=heights)
    colors = palette(signals.values(), config)
    for (left, right), (stage, seeds) in zip(axes, shown.items(), strict=True):
        of_stage = {(row["sample"], row["seed"]): row for row in rows if row["stage"] == stage}
        _rates(left, [of_stage[background, seed] for seed in seeds])
        for place, (name, text) in enumerate(signals.items()):
            shift = 0.7 * ((place + 0.5) / len(signals) - 0.5)
            _shares(right, [of_stage.get((name, seed)) for seed in seeds], text, colors[text], shift)
        left.set_yticks(range(len(seeds)), seeds)
        left.tick_params(axis="y", which="minor", left=False, right=False)
        right.tick_params(axis="y", which="minor", left=False, right=False)
        left.set_ylim(len(seeds) - 0.5, -0.5)
        right.set_xlim(-0.02, 1.02)
    khz = rows[0]["total_khz"] is not None
    axes[-1, 0].set_xlabel("rate [kHz]" if khz else r"share of the background $\epsilon_B$")
    axes[-1, 1].set_xlabel(r"share of the signal $\epsilon_S$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
    figure.legend(*axes[-1, 1].get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=8)
    label(axes[0, 0], config, axes[0, 1])
    return figure


def _shown(rows: list[dict], background: str) -> list[str]:
    """The seeds by falling rate, at most ``MOST``, and behind them the whole menu, which has no pure rate."""
    rates = {row["seed"]: row for row in rows if row["sample"] == background}
    seeds = [seed for seed, row in rates.items() if row["pure"] is not None]
    whole = [seed for seed in rates if seed not in seeds]
    return [*sorted(seeds, key=lambda seed: -rates[seed]["total"])[:MOST], *whole]


def _rates(ax: Axes, rows: list[dict]) -> None:
    unit = "_khz" if rows[0]["total_khz"] is not None else ""
    for (of, name), face in zip(NAMES.items(), (None, "white"), strict=True):
        for place, row in enumerate(rows):
            value, low, high = (row[f"{of}{unit}{end}"] for end in ENDS)
            if not value:
                continue  # none fired: there is no place for it on a logarithmic axis
            color = "black" if row["resolved"] else UNRESOLVED
            ax.errorbar(
                [value], [place], xerr=[[value - low], [high - value]], marker="o", markersize=4, color=color,
                markerfacecolor=face, gid=of,
            )  # fmt: skip
        ax.plot([], [], "o", markersize=4, color="black", markerfacecolor=face, label=name)
    ax.set_xscale("log")
    ax.grid(axis="y", linewidth=0.3, alpha=0.5)


def _shares(ax: Axes, rows: list[dict | None], text: str, color: str, shift: float) -> None:
    there = [(place, row) for place, row in enumerate(rows) if row]
    x = np.array([row["total"] for _, row in there])
    ends = np.array([[row["total"] - row["total_low"], row["total_high"] - row["total"]] for _, row in there]).T
    places = [place + shift for place, _ in there]
    ax.errorbar(x, places, xerr=ends, fmt="o", markersize=3, linewidth=0.8, color=color, label=text)
    ax.tick_params(labelleft=False)
    ax.grid(axis="y", linewidth=0.3, alpha=0.5)
