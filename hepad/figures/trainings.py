"""The training curves of all detectors of a task on one page."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.figures.registry import Shown, figure
from hepad.figures.style import inside, label, panels
from hepad.figures.training import curves_of, plan_of
from hepad.storage.files import read_json

ACROSS = 4


@figure(
    {"{task}/trainings": Shown("Training")},
    reads={"histories": "models/{task}/{detectors}/{seed}.json"},
    needs=("seed",),
    labels=("detectors",),
    detectors="trained",
)
def trainings(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Training curves of the first training of each detector of task {task}, a panel for each phase: the losses of its
    phases on training and validation background, and in the energy phase E₊, the mean energy of background jets, and
    E₋, that of the negative samples.
    """
    histories = {job.labels[name]: read_json(path)["history"] for name, path in job.files["histories"].items()}
    yield f"{job.task}/trainings", training_page(histories, job.style, title=f"seed {job.seed}")


def training_page(histories: dict[str, list[dict]], config: dict, *, title: str = "") -> Figure:
    """A panel for each phase of each detector, and one for its energies.

    Parameters
    ----------
    histories: detector -> records of its ``fit``, as of :func:`hepad.figures.training.training_curves`
    config: style config
    title: e.g. the seed
    """
    if not histories:
        raise InputError("figures: there is no training to show. Give the task a detector that is trained.")
    plan = [(name, *panel) for name, history in histories.items() for panel in plan_of(history)]
    across = min(ACROSS, len(plan))
    figure, axes = panels(-(-len(plan) // across), across, 2.5, 2.0)
    for ax in axes.flat[len(plan) :]:
        ax.set_axis_off()
    legends = {}
    for ax, (name, phase, draw) in zip(axes.flat, plan, strict=False):
        draw(ax, histories[name], phase)
        curves_of(ax)
        inside(ax, f"{name}\n{phase} phase", "black", width=26)
        legends |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        ax.yaxis.label.set_size(8)
        ax.set_xlabel("step", fontsize=8)
    figure.legend(legends.values(), legends, loc="outside lower center", ncols=4)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
