"""The training curves of all detectors of a task on one page."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.figures.registry import Shown, figure
from hepad.figures.style import inside, label, panels
from hepad.figures.training import curves_of, plan_of
from hepad.storage.files import read_json


@figure(
    {"{task}/trainings": Shown("Training")},
    reads={"histories": "models/{task}/{detectors}/{seed}.json"},
    needs=("seed",),
    labels=("detectors",),
    detectors="trained",
)
def trainings(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Training curves of the first training of each detector of task {task}, a line for each detector: the losses of its
    phases on training and validation background, and in the energy phase E₊, the mean energy of background jets, and
    E₋, that of the negative samples.
    """
    histories = {job.labels[name]: read_json(path)["history"] for name, path in job.files["histories"].items()}
    yield f"{job.task}/trainings", training_page(histories, job.style, title=f"seed {job.seed}")


def training_page(histories: dict[str, list[dict]], config: dict, *, title: str = "") -> Figure:
    """A row for each detector, a panel for each phase and one for the energies; what it has not is empty.

    Parameters
    ----------
    histories: detector -> records of its ``fit``, as of :func:`hepad.figures.training.training_curves`
    config: style config
    title: e.g. the seed
    """
    if not histories:
        raise InputError("figures: there is no training to show. Give the task a detector that is trained.")
    plans = {name: plan_of(history) for name, history in histories.items()}
    across = max(map(len, plans.values()))
    figure, axes = panels(len(plans), across, 2.7, 1.6)
    legends = {}
    for line, (name, plan) in zip(axes, plans.items(), strict=True):
        for ax in line[len(plan) :]:
            ax.set_axis_off()
        for ax, (phase, draw) in zip(line, plan, strict=False):
            draw(ax, histories[name], phase)
            curves_of(ax)
            inside(ax, f"{name}\n{phase} phase" if ax is line[0] else f"{phase} phase", "black")
            legends |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            ax.yaxis.label.set_size(8)
    for ax in axes[-1]:
        ax.set_xlabel("step")
    figure.legend(legends.values(), legends, loc="outside lower center", ncols=2)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
