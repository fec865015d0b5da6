"""How far the trainings of one detector differ: one point for each."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.seed_spread import together
from hepad.evaluation.tables import SUPERVISED, read_records
from hepad.figures.registry import Shown, figure
from hepad.figures.style import UNRESOLVED, band, inside, label, palette, panels


@figure(
    {"{task}/seeds": Shown("Spread of trainings")},
    reads={"evaluations": "evaluation/{task}/{signals}.json"},
    needs=("detectors", "working_point"),
    labels=("signals", "detectors"),
)
def seeds(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Signal efficiency at the working point of every training (points) in task {task}; band: median of the trainings
    and where a further one is expected with 68 %, from their scatter and from all counts. Grey where fewer than 10
    independent background events pass, the band where they do in one of the trainings.
    """
    found = {}
    for name, path in job.files["evaluations"].items():
        records = [r for r in read_records([path], job.labels | SUPERVISED) if r["detector"] in job.detectors]
        records.sort(key=lambda r: (job.detectors.index(r["detector"]), r["seed"]))
        of_signal = found.setdefault(job.labels[name], {})
        for r in records:
            points = [p for p in r["evaluation"].working_points if p.eps_b == job.working_point]
            of_signal.setdefault(r["label"], []).extend(points)
    yield f"{job.task}/seeds", seed_points(found, job.style, job.working_point)


def seed_points(points: dict[str, dict[str, list]], config: dict, working_point: float) -> Figure:
    """A panel for each signal, a line for each detector, a point for each training.

    Parameters
    ----------
    points: signal -> detector -> working points of its trainings (:class:`hepad.evaluation.roc.WorkingPoint`)
    config: style config
    working_point: ε_B
    """
    if not points:
        raise InputError("figures: there are no trainings to show. Give the task detectors and signals.")
    names = list(next(iter(points.values())))
    colors = palette(names, config)
    figure, axes = panels(1, len(points), 3.4, 1.3 + 0.25 * len(names), sharey=True)
    for ax, (signal, of) in zip(axes[0], points.items(), strict=True):
        for y, name in enumerate(names):
            values = [point.eps_s.value for point in of[name]]
            middle, low, high = together(*([getattr(p.eps_s, k) for p in of[name]] for k in ("value", "low", "high")))
            resolved = all(point.resolved for point in of[name])
            ends, look = [y - 0.35, y + 0.35], {"linewidth": 1.2, "solid_capstyle": "butt", "gid": "median"}
            (line,) = ax.plot([middle] * 2, ends, color=colors[name] if resolved else UNRESOLVED, **look)
            band(line, ends, low, high, "x", alpha=0.25)
            faces = [colors[name] if point.resolved else UNRESOLVED for point in of[name]]
            ax.scatter(values, [y] * len(values), 14, faces, zorder=3, gid=name)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -1.4)
        ax.tick_params(axis="y", which="both", left=False, right=False)
        ax.yaxis.minorticks_off()
        ax.set_xlim(0, None)
        ax.grid(axis="x", color="#e5e5e5", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.set_xlabel(rf"$\epsilon_S$ at $\epsilon_B$ = {working_point:g}")
        inside(ax, signal, "black")
    label(axes[0, 0], config, axes[0, -1])
    return figure
