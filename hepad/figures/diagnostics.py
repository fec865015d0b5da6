"""The diagnostics of a task on one page: what moves a score that should not."""

import textwrap
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepad.errors import InputError
from hepad.evaluation.checks import joined
from hepad.evaluation.tables import read_records
from hepad.figures.registry import Shown, figure
from hepad.figures.style import CYCLE, UNRESOLVED, label, palette
from hepad.storage.files import read_json

LEGEND_WIDTH = 24  # characters
VARIABLE_MARKERS = "os^Dv<"
FLOOR = 1e-4  # of |Δ score| / spread that is drawn


@figure(
    {"{task}/diagnostics": Shown("Diagnostics")},
    reads={
        "checks": "diagnostics/{task}.json",
        "evaluations": "evaluation/{task}/{signals}.json",
        "swapped": "evaluation/{swapped}/{background}.json",
        "contamination": "contamination/{task}/{contaminated}.json",
    },
    needs=("background", "backgrounds", "groups"),
    labels=("background", "signals", "detectors"),
    on_request=True,
)
def diagnostics(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """What moves a score that should not, from up to 200,000 jets of the background. Above, detectors alone: background
    efficiency at the working point's threshold against pile-up, relative to its mean; Jensen-Shannon divergence of the
    jet mass before and after the cut, grey where random draws of as many events end; the mass after the cut. Below, per
    detector and baseline: relative change of the rate per collision of pile-up; change of the score when the event is
    turned in φ or mirrored in η, from the median to the 95 % quantile, in units of the spread of the score (the left
    edge is this or less); divergence of the mass, grey as above; Spearman correlations; AUC in this task, and open
    where background and signal change places; AUC of trainings with signal in the background. Numbers: diagnostics.csv.
    """
    files, labels, records, groups = job.files, job.labels, {}, {}
    evaluations = read_records([*files["evaluations"].values(), *files["swapped"].values()])
    contamination = [read_json(path) for path in files["contamination"].values()]
    for record in joined(read_json(files["checks"]), evaluations, contamination, job.backgrounds):
        name = record["detector"]
        shown = {kind: {labels[s]: auc for s, auc in record[kind].items()} for kind in ("auc", "swapped")}
        if dirty := record["contamination"]:
            shown["contamination"] = dirty | {"signal": labels[dirty["signal"]]}
        records[labels[name]], groups[labels[name]] = record | shown, job.groups[name]
    page = diagnostics_page(records, groups, job.style, title=f"background {labels[job.background]}")
    yield f"{job.task}/diagnostics", page


def diagnostics_page(records: dict[str, dict], groups: dict[str, str], config: dict, *, title: str = "") -> Figure:
    """Curves of the detectors above, one row per detector and baseline below.

    Parameters
    ----------
    records: by the name that is shown, as of :func:`hepad.evaluation.checks.joined`, with signals as they are shown
    groups: name -> 'detector' or 'baseline'
    config: style config
    title: e.g. 'background QCD'
    """
    if not records:
        raise InputError("figures: there are no diagnostics to draw. Give the task detectors.")
    names = sorted(records, key=lambda name: groups[name] != "detector")
    columns = [draw for draw in COLUMNS if draw(None, records, names)]
    height = 2.4 + 0.24 * len(names)
    figure = Figure(figsize=(13, 4.2 + height), layout="constrained")
    above, below = figure.add_gridspec(2, 1, height_ratios=[4.2, height])
    shown = [name for name in names if groups[name] == "detector"] or names
    colors, looks = palette(shown, config), {}
    for name in shown:  # a colour that comes again is dashed
        again = colors[name] in {look["color"] for look in looks.values()}
        looks[name] = {"color": colors[name], "linestyle": "--" if again else "-"}
    curves = [_sculpting_curves, _masses]
    if any(record["pileup"] for record in records.values()):
        curves.insert(0, _pileup_curves)
    top = above.subgridspec(1, len(curves) + 1, width_ratios=[*[1] * len(curves), 0.45]).subplots()
    for ax, draw in zip(top[:-1], curves, strict=True):
        draw(ax, {name: records[name] for name in shown}, looks)
    top[-1].axis("off")
    top[-1].legend(*top[len(curves) - 2].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(-0.15, 1.0))
    rows = below.subgridspec(1, len(columns)).subplots(sharey=True, squeeze=False)[0]
    for ax, draw in zip(rows, columns, strict=True):
        draw(ax, records, names)
        ax.grid(axis="y", color="#e5e5e5", linewidth=0.6)
        ax.set_axisbelow(True)
        handles, texts = ax.get_legend_handles_labels()
        # no wider than the panel, which would have to give way
        texts = [textwrap.fill(text, LEGEND_WIDTH) for text in texts]
        ax.legend(handles, texts, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=7.5)
    rows[0].set_yticks(range(len(names)), names)
    rows[0].set_ylim(len(names) - 0.4, -0.6)
    for ax in rows:
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.yaxis.minorticks_off()
    if (first := next((i for i, name in enumerate(names) if groups[name] == "baseline"), 0)) > 0:
        for ax in rows:
            ax.axhline(first - 0.5, color="black", linewidth=0.6)
    label(top[0], config, top[-2], title)
    return figure


def _pileup_curves(ax: Axes, records: dict, looks: dict) -> None:
    """Efficiency over its mean."""
    ax.set_xlabel("pile-up")
    ax.set_ylabel("background efficiency / its mean")
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    drawn = {name: r["pileup"]["binned"] for name, r in records.items() if r["pileup"]}
    for i, (name, binned) in enumerate(drawn.items()):
        edges, value, low, high = (np.array(binned[k], float) for k in ("edges", "value", "low", "high"))
        mean = np.sum(binned["passed"]) / np.sum(binned["total"])
        x = edges[:-1] + np.diff(edges) * (i + 1) / (len(drawn) + 1)
        errors = np.stack([value - low, high - value]) / mean
        ax.errorbar(x, value / mean, errors, marker="o", markersize=3, linewidth=0.8, gid="pile-up", **looks[name])


def _sculpting_curves(ax: Axes, records: dict, looks: dict) -> None:
    """JSD against ε_B, and the grey range of no sculpting."""
    for name, record in records.items():
        points = record["sculpting"]
        eps_b = [x["eps_b"] for x in points]
        ax.plot(eps_b, [x["jsd"] for x in points], marker="o", label=name, gid="jsd", **looks[name])
    widest = max(records.values(), key=lambda record: len(record["sculpting"]))["sculpting"]
    edge = [x["null_high"] for x in widest]
    text = "no sculpting, 97.5 % of draws"
    ax.fill_between([x["eps_b"] for x in widest], 0, edge, color=UNRESOLVED, alpha=0.5, linewidth=0, label=text)
    ax.set_xscale("log")
    ax.set_xlabel(r"background efficiency $\epsilon_B$")
    ax.set_ylabel("JSD of the jet mass after the cut [bits]")
    ax.set_ylim(0, None)


def _masses(ax: Axes, records: dict, looks: dict) -> None:
    """The mass before and after the cut, of the detectors that sculpt it least and most."""
    order = sorted(records, key=lambda name: _at_working_point(records[name])["jsd"])
    records = {name: records[name] for name in dict.fromkeys([*order[:2], *order[-2:]])}
    first = next(iter(records.values()))
    edges = np.array(first["mass"]["edges"])
    widths = np.diff(edges)
    whole = np.array(first["mass"]["all"], float)
    ax.stairs(whole / whole.sum() / widths, edges, fill=True, color="#dddddd")
    for name, record in records.items():
        passed = np.array(record["mass"]["passed"], float)
        if passed.sum():
            ax.stairs(passed / passed.sum() / widths, edges, linewidth=1.1, gid="passed", label=name, **looks[name])
    cut = rf"$\epsilon_B$ = {first['working_point']:g}"
    ax.set_xlabel(f"jet mass [GeV]; all (grey), after {cut}:\nthe two that sculpt least, and most")
    ax.set_ylabel("density [1/GeV]")
    ax.set_ylim(0, None)
    ax.legend(loc="upper right", fontsize=6.5)


def _at_working_point(record: dict) -> dict:
    """The entry of the sculpting nearest to the working point; NaN if nothing passes anywhere."""
    near = (abs(np.log(x["eps_b"] / record["working_point"])) for x in record["sculpting"])
    nothing = {"eps_b": np.nan, "jsd": np.nan, "null_high": np.nan}
    return min(zip(near, range(99), record["sculpting"], strict=False), default=(0, 0, nothing))[2]


def _slopes(ax: Axes | None, records: dict, names: list[str]) -> bool:
    there = [name for name in names if records[name]["pileup"]]
    if ax is not None:
        points = [records[name]["pileup"] for name in there]
        _bars(
            ax, [names.index(name) for name in there], [[100 * x[k] for k in ("slope", "low", "high")] for x in points]
        )
        ax.plot([], [], "o", color="black", markersize=4, label="slope and interval")
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set_xlabel("change of the rate\nper collision [%]")
    return bool(there)


def _symmetries(ax: Axes | None, records: dict, names: list[str]) -> bool:
    if ax is not None:
        for axis, kind, marker, shift in (("φ", "rotation", "o", -0.12), ("η", "mirror", "s", 0.12)):
            found = [records[name]["invariance"][kind] for name in names]
            color = CYCLE[kind == "mirror"]
            y = np.arange(len(names)) + shift
            low, high = (np.maximum([x[k] for x in found], FLOOR) for k in ("median", "high"))
            ax.hlines(y, low, high, color=color, linewidth=1.2)
            ax.plot(low, y, marker, color=color, linestyle="none", label=f"{axis} {kind}", clip_on=False)
        ax.set_xscale("log")
        ax.set_xlim(FLOOR, max(3, ax.get_xlim()[1]))
        ax.set_xlabel("|Δ score| / spread")
    # a score that no turn changes has nothing to show
    return any(x["high"] > FLOOR for name in names for x in records[name]["invariance"].values())


def _sculpted(ax: Axes | None, records: dict, names: list[str]) -> bool:
    if ax is not None:
        for i, name in enumerate(names):
            x = _at_working_point(records[name])
            ax.barh(i, x["null_high"], height=0.8, color=UNRESOLVED, alpha=0.6, label=None if i else "no sculpting")
            ax.plot(x["jsd"], i, "o", color="black")
        eps_b = _at_working_point(next(iter(records.values())))["eps_b"]
        ax.set_xlim(0, None)
        ax.set_xlabel("JSD of the mass\n" rf"at $\epsilon_B$ = {eps_b:g}")
    return True


def _correlations(ax: Axes | None, records: dict, names: list[str]) -> bool:
    if ax is not None:
        for k, variable in enumerate(next(iter(records.values()))["correlation"]):
            values = [[records[name]["correlation"][variable][x] for x in ("rho", "low", "high")] for name in names]
            y = np.arange(len(names)) + (k - 2) * 0.12
            look = {"color": CYCLE[k % 9], "marker": VARIABLE_MARKERS[k % 6]}
            _bars(ax, y, values, label=variable.split(" [")[0], **look)
        ax.axvline(0, color="black", linewidth=0.8, linestyle=":")
        ax.set_xlim(-1.05, 1.05)
        ax.set_xlabel("Spearman's ρ\nwith the score")
    return True


def _areas(ax: Axes | None, records: dict, names: list[str]) -> bool:
    if ax is not None:
        signals = list(dict.fromkeys(s for name in names for s in records[name]["auc"]))
        for kind, face in (("auc", None), ("swapped", "white")):
            for k, signal in enumerate(signals):
                there = [i for i, name in enumerate(names) if signal in records[name][kind]]
                look = {"color": CYCLE[k % 9], "markerfacecolor": face or CYCLE[k % 9]}
                text = signal + (", tasks swapped" if face else "")
                points = [records[names[i]][kind][signal] for i in there]
                if there:
                    _bars(ax, np.array(there) + (k - (len(signals) - 1) / 2) * 0.15, points, label=text, **look)
        ax.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
        ax.set_xlabel("AUC")
    return any(records[name]["auc"] for name in names)


def _contaminated(ax: Axes | None, records: dict, names: list[str]) -> bool:
    there = [name for name in names if records[name]["contamination"]]
    if ax is not None:
        for name in there:
            points = records[name]["contamination"]["trainings"]
            for k, x in enumerate(points):
                y = names.index(name) + (k - (len(points) - 1) / 2) * 0.18
                text = f"{100 * x['fraction']:g} % signal in training" if name == there[0] else None
                _bars(ax, [y], [[x[key] for key in ("value", "low", "high")]], color=CYCLE[k % 9], label=text)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.set_xlabel(textwrap.fill(f"AUC of {records[there[0]]['contamination']['signal']}", LEGEND_WIDTH))
    return bool(there)


def _bars(ax: Axes, y, values, **look) -> None:
    """Values with intervals, [(value, low, high)], at the heights y."""
    value, low, high = np.array(values, float).reshape(-1, 3).T
    look = {"color": "black", "marker": "o", "markersize": 4, "linestyle": "none"} | look
    ax.errorbar(value, y, xerr=np.maximum(np.stack([value - low, high - value]), 0), **look)


COLUMNS = (_slopes, _symmetries, _sculpted, _correlations, _areas, _contaminated)
