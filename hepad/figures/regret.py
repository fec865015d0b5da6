"""What each detector loses to the simple opponents, signal by signal, and on its worst one."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from hepad.errors import InputError
from hepad.evaluation.regret import read_regrets
from hepad.figures.registry import Shown, figure, style_of_samples
from hepad.figures.style import label, palette, panels

MOST = 30  # rows
LINEAR = 0.02  # differences of AUC that are drawn on a linear axis; larger ones on a logarithmic one
TICKS = (-0.5, -0.2, -0.1, -0.05, -0.02, 0, 0.02, 0.05, 0.1, 0.2, 0.5)
MARKERS = "osD^vPX<>p"


@figure(
    {"overview/regret": Shown("Headline", {"figure": "worst-case regret"})},
    reads={"regrets": "regret.json", "events": "events/{samples}.h5"},
    needs=("backgrounds",),
    labels=("samples", "detectors"),
    only="opponents",
)
def regret(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """AUC of every detector less that of the best simple opponent, a point for each signal, of the median of its
    trainings. Framed, with its interval of 68 %, is the signal on which a detector loses most: how much that is, is its
    worst-case regret. The detectors are ordered by it, at most the best thirty; simple opponents are in italics, and
    behind the name of a detector that not all tasks train stands how many of the signals it has. The interval has the
    test events that both share, the scatter of trainings, and that the largest of several numbers was taken. Up to 0.02
    the axis is linear, beyond it logarithmic.
    """
    rows = read_regrets(job.files["regrets"])
    names = {f"{job.labels[of['signal']]} in {job.labels[job.backgrounds[of['task']]]}": (of["task"], of["signal"])
             for row in rows for of in row["shortfalls"]}  # fmt: skip
    yield "overview/regret", regret_rows(rows, names, job.labels, style_of_samples(job))


def regret_rows(rows: list[dict], names: dict[str, tuple[str, str]], labels: dict[str, str], config: dict) -> Figure:
    """A row for each detector, with the differences to the best opponent.

    Parameters
    ----------
    rows: of :func:`hepad.evaluation.regret.regrets`
    names: what a search is called -> task and signal
    labels: of the detectors
    config: style config
    """
    if not rows:
        raise InputError("figures: no detector has a simple opponent to be compared with. Give the tasks one.")
    rows, found = rows[:MOST], {place: name for name, place in names.items()}
    figure, axes = panels(1, 1, 7.2, 1.5 + 0.24 * len(rows))
    ax, colors = axes[0, 0], palette(names, config)
    looks = {name: {"marker": MARKERS[i % len(MARKERS)], "color": colors[name]} for i, name in enumerate(names)}
    for y, row in enumerate(rows):
        for of in row["shortfalls"]:
            name = found[of["task"], of["signal"]]
            ax.plot([-of["shortfall"]], [y], linestyle="none", zorder=3, **looks[name])
        worst = looks[found[row["task"], row["signal"]]]
        ax.plot([-row["high"], -row["low"]], [y, y], color=worst["color"], linewidth=1.6, zorder=2, gid="interval")
        frame = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": "black", "linestyle": "none"}
        ax.plot([-row["regret"]], [y], marker="o", zorder=4, gid="worst", **frame)
    for name, look in looks.items():
        ax.plot([], [], linestyle="none", label=name, **look)
    _finish(ax, rows, labels, len(names))
    figure.legend(loc="outside lower center", ncols=2)
    label(ax, config)
    return figure


def _finish(ax: Axes, rows: list[dict], labels: dict[str, str], signals: int) -> None:
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    values = [-of["shortfall"] for row in rows for of in row["shortfalls"]] + [-row["high"] for row in rows]
    ax.set_xlim(min(1.3 * min(values), -LINEAR), max(1.3 * max(values), LINEAR))
    ax.xaxis.set_major_locator(FixedLocator([x for x in TICKS if ax.get_xlim()[0] <= x <= ax.get_xlim()[1]]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_yticks(range(len(rows)), [_row_name(row, labels, signals) for row in rows], fontsize=8)
    for text, row in zip(ax.get_yticklabels(), rows, strict=True):
        text.set_fontstyle("italic" if row["group"] == "baseline" else "normal")
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("AUC less that of the best simple opponent")


def _row_name(row: dict, labels: dict[str, str], signals: int) -> str:
    some = f" ({row['n_signals']} of {signals})" if row["n_signals"] < signals else ""
    return labels[row["detector"]] + some
