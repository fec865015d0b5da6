"""What a student keeps of its teacher: signal efficiencies of the detector, the float and the fixed-point students."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepad.errors import InputError
from hepad.evaluation.efficiency import LEVEL, MIN_COUNT
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, inside, label, palette, panels
from hepad.storage.files import read_json


@figure(
    {"students/{student}": Shown("Students")},
    reads={"comparison": "students/{student}.comparison.json"},
    needs=("background", "teacher"),
    labels=("background", "signals", "teacher"),
)
def student(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Signal efficiency of a detector, of the small student that repeats its score, and of that student in fixed point,
    each at its own threshold for the same rate.
    """
    rows = [row | {"signal": job.labels[row["signal"]]} for row in read_json(job.files["comparison"])]
    shown = {"detector/teacher": job.labels[job.teacher]}
    names = {row["engine"]: shown.get(row["engine"], row["engine"].replace("/", ", ")) for row in rows}
    title = job.labels[job.background]
    yield f"students/{job.student}", student_efficiencies(rows, names, job.style, title=title)


def student_efficiencies(rows: list[dict], names: dict[str, str], config: dict, *, title: str = "") -> Figure:
    """ε_S with its interval, a panel for each signal (rows) and rate (columns), a line for each engine.

    The band is the interval of the first engine, the detector. Where fewer than 10 independent background events pass,
    the sample does not fix the threshold, and points are grey.

    Parameters
    ----------
    rows: as of :func:`hepad.trigger.fixed_point.compare`, of one detector and any number of signals
    names: what an engine is called, from top to bottom
    config: style config
    title: e.g. the background's name
    """
    if not rows:
        raise InputError("figures: there is no student to draw. Give the task signals, and rates or efficiencies.")
    signals = list(dict.fromkeys(row["signal"] for row in rows))
    points = list(dict.fromkeys((row["khz"], row["eps_b"]) for row in rows))
    figure, axes = panels(len(signals), len(points), 2.5, 0.9 + 0.24 * len(names), sharey=True)
    colors = palette(names.values(), config)
    for signal, line in zip(signals, axes, strict=True):
        for point, ax in zip(points, line, strict=True):
            of_panel = {r["engine"]: r for r in rows if (r["signal"], r["khz"], r["eps_b"]) == (signal, *point)}
            _panel(ax, [of_panel[engine] for engine in names], [colors[name] for name in names.values()])
            inside(ax, signal, "black")
    for ax, (khz, eps_b) in zip(axes[-1], points, strict=True):
        at = rf"$\epsilon_B$ = {eps_b:.2g}" if khz is None else f"{khz:g} kHz\n" rf"($\epsilon_B$ = {eps_b:.2g})"
        ax.set_xlabel(rf"$\epsilon_S$ at {at}")
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(names)), list(names.values()))
        ax.set_ylim(len(names) - 0.5, -1.4)
    ax = axes[-1, -1]
    text = f"fewer than {MIN_COUNT} independent background events pass"
    ax.plot([], [], color=UNRESOLVED, marker="o", linestyle="none", label=text)
    heading = f"intervals: {100 * LEVEL:g} %, signal counts and threshold; band: the detector's"
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower right", title=heading, alignment="right")
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def _panel(ax: Axes, of_engines: list[dict], colors: list[str]) -> None:
    for height, (row, color) in enumerate(zip(of_engines, colors, strict=True)):
        look = color if row["resolved"] else UNRESOLVED
        errors = [[row["eps_s"] - row["eps_s_low"]], [row["eps_s_high"] - row["eps_s"]]]
        ax.errorbar([row["eps_s"]], [height], xerr=errors, marker="o", linestyle="none", color=look, gid=row["engine"])
    first = of_engines[0]
    ax.axvspan(first["eps_s_low"], first["eps_s_high"], color="black", alpha=0.08, linewidth=0, gid="band")
    ax.set_xlim(0, 1.15 * max(max(row["eps_s_high"] for row in of_engines), 1e-3))
    ax.tick_params(axis="y", which="both", left=False, right=False)
    ax.minorticks_off()
    ax.xaxis.set_major_locator(MaxNLocator(3))
