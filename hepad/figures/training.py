"""Training curves: the losses of each phase, and the positive and negative energies."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.figures.registry import Shown, figure
from hepad.figures.style import CYCLE, headroom, label, panels
from hepad.storage.files import read_json

TRAIN, VALID, POSITIVE, NEGATIVE = CYCLE[0], CYCLE[1], CYCLE[2], CYCLE[4]


@figure(
    {"{task}/training/{detector}": Shown("Training")},
    reads={"histories": "models/{task}/{detectors}/{seed}.json"},
    needs=("seed",),
    labels=("detectors",),
    detectors="trained",
    on_request=True,
)
def training(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Training curves. In the energy phase E₊ is the mean energy of background jets and E₋ that of the negative
    samples.
    """
    for name, path in job.files["histories"].items():
        curves = training_curves(read_json(path)["history"], job.style, title=f"{job.labels[name]}, seed {job.seed}")
        yield f"{job.task}/training/{name}", curves


def training_curves(history: list[dict], config: dict, *, title: str = "") -> Figure:
    """One panel per phase with its loss on training and validation background, and one per energy phase with E₊ and E₋.

    Parameters
    ----------
    history: records of a detector's ``fit``: ``phase``, ``step``, ``loss``, and where they exist ``valid_loss``,
        ``energy_positive`` (training events) and ``energy_negative`` (samples of the model)
    config: style config
    title: e.g. the detector's name
    """
    if not history:
        raise InputError("figures: the history is empty. Train the detector for at least one step.")
    plan = plan_of(history)
    figure, axes = panels(1, len(plan), 3.8, 3.3)
    for ax, (phase, draw) in zip(axes[0], plan, strict=True):
        draw(ax, history, phase)
        ax.set_xlabel("step")
        curves_of(ax)
        ax.legend(loc="upper right", title=f"{phase} phase", alignment="left")
    label(axes[0, 0], config, axes[0, -1], title)
    return figure


def plan_of(history: list[dict]) -> list[tuple[str, Callable]]:
    """(phase, what draws a panel of it): its losses, and its energies where it has some."""
    phases = {record["phase"]: None for record in history}
    plan = [(phase, _losses) for phase in phases]
    for phase in reversed(phases):
        if np.isfinite(_series(history, phase, "energy_positive")[1]).any():
            plan.insert(plan.index((phase, _losses)) + 1, (phase, _energies))
    return plan


def curves_of(ax: Axes) -> None:
    """Begin at the step 0 and leave room for a text above the curves."""
    ax.set_xlim(0, None)
    headroom(ax, 0.45)


def _series(history: list[dict], phase: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    records = [record for record in history if record["phase"] == phase]
    values = [record.get(key) for record in records]
    return np.array([r["step"] for r in records]), np.array([np.nan if v is None else v for v in values], float)


def _line(ax: Axes, history: list[dict], phase: str, key: str, **look) -> None:
    step, value = _series(history, phase, key)
    known = np.isfinite(value)
    if known.any():
        ax.plot(step[known], value[known], marker=".", gid=key, **look)


def _losses(ax: Axes, history: list[dict], phase: str) -> None:
    _line(ax, history, phase, "loss", color=TRAIN, label="training")
    _line(ax, history, phase, "valid_loss", color=VALID, linestyle="--", label="validation (background)")
    ax.set_ylabel("loss")
    values = np.concatenate([line.get_ydata() for line in ax.lines])
    if values.min() > 0 and values.max() > 10 * values.min():
        ax.set_yscale("log")


def _energies(ax: Axes, history: list[dict], phase: str) -> None:
    _line(ax, history, phase, "energy_positive", color=POSITIVE, label=r"$E_+$ (training events)")
    _line(ax, history, phase, "energy_negative", color=NEGATIVE, linestyle="--", label=r"$E_-$ (model samples)")
    ax.set_ylabel("mean energy $E$")
