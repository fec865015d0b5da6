"""The summary of a run: what every detector finds of every signal at the working point."""

import textwrap
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hepad.errors import InputError
from hepad.evaluation.seed_spread import rows
from hepad.evaluation.tables import GROUPS, SUPERVISED, read_records
from hepad.figures.registry import Shown, figure, style_of_samples
from hepad.figures.style import label, panels

WIDTH = 13  # characters of a column's name on a line


@figure(
    {"overview/signal_efficiency": Shown("Headline", {"figure": "all detectors and signals"})},
    reads={"evaluations": "evaluation/{evaluated}.json", "events": "events/{samples}.h5"},
    needs=("backgrounds", "evaluated", "working_point"),
    labels=("samples", "detectors"),
)
def overview(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Median signal efficiency of the trainings of every detector at the background efficiency of the working point,
    for the signals of all tasks. Framed is the best of each column that is not supervised; below the line are the
    supervised trees. A cross: one of the trainings is not resolved; a blank: the task has no such detector.
    """
    records = read_records(job.files["evaluations"].values())
    found = {(r["task"], r["signal"], r["detector"]): r["median"] for r in rows(records)
             if r["quantity"] == "eps_s" and r["at"] == job.working_point}  # fmt: skip
    groups = {r["detector"]: r["group"] for r in records}
    of = [name for group in GROUPS for name in (job.labels | SUPERVISED) if groups.get(name) == group]
    columns = {textwrap.fill(f"{job.labels[signal]} in {job.labels[job.backgrounds[task]]}", WIDTH): (task, signal)
               for task, signal in (name.split("/") for name in job.evaluated)}  # fmt: skip
    lines = {(job.labels | SUPERVISED)[name]: [_of(found, key, name) for key in columns.values()] for name in of}
    blind = sum(groups[name] != "supervised" for name in of)
    drawn = heat_map(lines, list(columns), style_of_samples(job), job.working_point, blind)
    yield "overview/signal_efficiency", drawn


def heat_map(
    values: dict[str, list[float]], columns: list[str], config: dict, working_point: float, blind: int
) -> Figure:
    """Numbers in cells whose colour is the number.

    Parameters
    ----------
    values: of each row by its name, one per column; NaN is not resolved, infinity was not measured
    columns: names of the signals
    config: style config
    working_point: ε_B
    blind: so many of the first rows compete for the best of each column
    """
    if not values or not columns:
        raise InputError("figures: there is nothing to give an overview of. Give a task detectors and signals.")
    array = np.array(list(values.values()), float)
    figure, axes = panels(1, 1, 2.6 + 0.95 * len(columns), 1.5 + 0.24 * len(values))
    ax = axes[0, 0]
    shown = ax.imshow(np.where(np.isfinite(array), array, np.nan), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (i, j), value in np.ndenumerate(array):
        if not np.isinf(value):
            text = "×" if np.isnan(value) else f"{value:.3f}"
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if value > 0.6 else "black")
    for j, column in enumerate(array[:blind].T):
        if np.isfinite(column).any():
            best = int(np.argmax(np.where(np.isfinite(column), column, -1)))
            ax.add_patch(Rectangle((j - 0.5, best - 0.5), 1, 1, fill=False, linewidth=1.5, gid="best"))
    ax.axhline(blind - 0.5, color="black", linewidth=0.6)
    ax.set_xticks(range(len(columns)), columns, fontsize=8)
    ax.set_yticks(range(len(values)), list(values), fontsize=8)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()
    figure.colorbar(shown, ax=ax, label=rf"$\epsilon_S$ at $\epsilon_B$ = {working_point:g}", aspect=40)
    label(ax, config)
    return figure


def _of(found: dict, key: tuple[str, str], name: str) -> float:
    median = found.get((*key, name), np.inf)
    return np.nan if median is None else median
