"""AUC of everything in one task at a glance."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.tables import GROUPS, SUPERVISED, ordered, read_records
from hepad.figures.registry import Shown, figure
from hepad.figures.style import label, palette, panels

LOWEST = 0.3  # AUC that is drawn in its place
MOST = 6  # signals in a panel
LETTER = 0.075  # inch, of a legend
MARKERS = {"detector": "o", "baseline": "s", "supervised": "*"}


@figure(
    {"{task}/auc": Shown("Summary")},
    reads={"evaluations": "evaluation/{task}/{signals}.json"},
    labels=("signals", "detectors"),
    needs=("published",),
)
def summary(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """All areas under the efficiency curve of task {task}: blind detectors, trivial baselines and the supervised trees,
    with 68.3 % intervals. Below 0.3 a triangle at the edge has its number beside it. Open diamonds, if any, are
    published values, of other events.
    """
    records = read_records(job.files["evaluations"].values(), job.labels | SUPERVISED)
    records = [{**r, "detector": r["label"], "signal": job.labels[r["signal"]]} for r in records]
    published = [{**p, "detector": job.labels[p["detector"]], "signal": job.labels[p["signal"]]} for p in job.published]
    yield f"{job.task}/auc", auc_summary(records, job.task, job.style, published)


def auc_summary(records: list[dict], task: str, config: dict, published: Sequence[dict] = ()) -> Figure:
    """AUC with its interval for every detector of one task, a colour per signal; the best baseline is also a line. More
    than six signals share several panels.

    Blind detectors, trivial baselines and the supervised trees are in blocks of their own, each ordered by the mean
    AUC over its signals; several seeds share a line.

    Parameters
    ----------
    records: as in :mod:`hepad.evaluation.tables`; the order of their signals is that of the colours, as in all figures
        of a task
    task: its name
    config: style config
    published: values of papers: detector, signal (as in the records), auc, source
    """
    records = [record for record in records if record["task"] == task]
    if not records:
        raise InputError(f"figures: there is no result of the task '{task}'. Check its name in the config.")
    signals, records = list(dict.fromkeys(record["signal"] for record in records)), ordered(records)
    heights, y, heads = {}, 0, []
    for group, title in GROUPS.items():
        names = _by_auc([record for record in records if record["group"] == group])
        if names:
            heads.append((y, title))
            heights |= {name: y + 1 + i for i, name in enumerate(names)}
            y += len(names) + 1
    count = -(-len(signals) // MOST)
    parts = [signals[i * len(signals) // count : (i + 1) * len(signals) // count] for i in range(count)]
    figure, axes = panels(1, count, 6.4 if count == 1 else 4.2, 1.1 + 0.24 * y, sharey=True, sharex=True)
    colors = palette(signals, config)
    for ax, part in zip(axes[0], parts, strict=True):
        _draw_areas(ax, [r for r in records if r["signal"] in part], published, part, colors, heights)
        for height, title in heads:
            ax.axhline(height - 0.5, color="black", linewidth=0.6)
            if ax is axes[0, 0]:
                ax.text(0.01, height, title, transform=ax.get_yaxis_transform(), va="center", fontsize=9, gid="inside",
                        fontstyle="italic", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.minorticks_off()
        ax.grid(axis="x", color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.set_xlabel(f"AUC, task {task}")
    for source in dict.fromkeys(p["source"] for p in published):
        ax.plot([], [], "D", color="black", markerfacecolor="none", label=f"published, other events: {source}")
    ax.set_yticks(list(heights.values()), list(heights))
    ax.set_ylim(y - 0.5, -0.5)
    lowest = min([record["evaluation"].auc.low for record in records] + [p["auc"] for p in published])
    ax.set_xlim(max(min(0.45, lowest - 0.03), LOWEST), 1.01)
    longest = max(len(text) for ax in axes[0] for text in ax.get_legend_handles_labels()[1])
    narrow = 2 * (longest + 8) * LETTER > figure.get_figwidth()
    figure.legend(loc="outside lower right", ncols=1 if narrow else 2)
    label(axes[0, 0], config, axes[0, -1])
    return figure


def _draw_areas(ax: Axes, records: list[dict], published: Sequence[dict], signals: list[str], colors: dict[str, str],
                heights: dict[str, int]) -> None:  # fmt: skip
    """AUCs of some signals, with their best baselines; ``heights`` of the detectors."""
    step = min(0.22, 0.8 / len(signals))  # between the signals of a detector
    offsets = {signal: (i - (len(signals) - 1) / 2) * step for i, signal in enumerate(signals)}
    for r in records:
        auc, offset = r["evaluation"].auc, offsets[r["signal"]]
        errors = [[auc.value - auc.low], [auc.high - auc.value]]
        look = {"marker": MARKERS[r["group"]], "color": colors[r["signal"]], "gid": r["group"], "linestyle": "none"}
        look["markersize"] = 8 if r["group"] == "supervised" else 4
        y_at = heights[r["detector"]] + offset
        if auc.value < LOWEST:  # far from all others, which would share what is left of the axis
            ax.plot([LOWEST], [y_at], clip_on=False, **look | {"marker": "<"})
            x, text = LOWEST + 0.015 + 0.07 * signals.index(r["signal"]), f"{auc.value:.2f}"
            ax.text(x, y_at, text, va="center", fontsize=7, color=look["color"])
            continue
        ax.errorbar([auc.value], [y_at], xerr=errors, **look)
    published = [p for p in published if p["signal"] in signals]
    for p in published:
        y_at, edge = heights[p["detector"]] + offsets[p["signal"]], p["auc"] < LOWEST
        look = {"color": colors[p["signal"]], "markerfacecolor": "none", "gid": "published", "clip_on": not edge}
        ax.plot([max(p["auc"], LOWEST)], [y_at], "D", markersize=6, **look)
        if edge:
            ax.text(LOWEST + 0.01, y_at, f"{p['auc']:.2f}", va="center", fontsize=7, color=look["color"])
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    for signal in signals:
        ax.plot([], [], marker="o", linestyle="none", color=colors[signal], label=signal)
        found = [r["evaluation"].auc.value for r in records if (r["group"], r["signal"]) == ("baseline", signal)]
        if found:
            look = {"color": colors[signal], "linestyle": "--", "linewidth": 0.9, "zorder": 1}
            ax.axvline(max(found), gid="best baseline", label=f"best baseline for {signal}", **look)


def _by_auc(records: list[dict]) -> list[str]:
    values = {}
    for record in records:
        values.setdefault(record["detector"], []).append(record["evaluation"].auc.value)
    return sorted(values, key=lambda name: (-sum(values[name]) / len(values[name]), name))
