"""How a training's candidates fare: what was measured blindly, and the AUC that an eye on the signal would have."""

from collections.abc import Iterator
from types import SimpleNamespace

from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.figures.registry import Shown, figure
from hepad.figures.style import band, label, palette, panels
from hepad.storage.files import read_json

NAMES = {
    "wasserstein": r"$W_2^2/D$, background to samples",
    "manifold_auc": "AUC of points on the manifold",
}


@figure(
    {"{task}/model_selection/{detector}": Shown("Training")},
    reads={"records": "model_selection/{task}/{signals}.json"},
    needs=("detectors", "seed"),
    labels=("signals", "detectors"),
    detectors="energy",
    on_request=True,
)
def model_selection(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Candidates of a training: what was measured of them on background alone, and their AUC on test events, which was
    computed afterwards. The dotted line is the state that was chosen, the star the best one by signal.
    """
    records = [record for path in job.files["records"].values() for record in read_json(path)]
    records = [record | {"signal": job.labels[record["signal"]]} for record in records]
    for name in job.detectors:
        of_detector = [r for r in records if (r["detector"], r["seed"]) == (name, job.seed)]
        curves = model_selection_curves(of_detector, job.style, title=f"{job.labels[name]}, seed {job.seed}")
        yield f"{job.task}/model_selection/{name}", curves


def model_selection_curves(records: list[dict], config: dict, *, title: str = "") -> Figure:
    """A panel for each measured criterion and one with the AUC of every signal, against the step of the candidate.

    A line marks the chosen step, a star the candidate with the best AUC of each signal.

    Parameters
    ----------
    records: of one detector and seed, one per signal: ``signal`` and what
        :func:`hepad.evaluation.model_selection_cost.follow` gives
    config: style config
    title: e.g. the detector's name
    """
    if not records or not records[0]["candidates"]:
        raise InputError("figures: there are no candidates. Train the detector for at least one step.")
    candidates = records[0]["candidates"]
    measured = [name for name in NAMES if name in candidates[0]]
    figure, axes = panels(1, len(measured) + 1, 3.8, 3.3)
    step = [c["step"] for c in candidates]
    for ax, name in zip(axes[0], measured, strict=False):
        ax.plot(step, [c[name] for c in candidates], marker=".", color="black", gid=name)
        ax.set_ylabel(NAMES[name])
    ax, colors = axes[0, -1], palette([r["signal"] for r in records], config)
    star = {"marker": "*", "markersize": 11, "linestyle": "none"}
    for record in records:
        area, color = [c["auc"] for c in record["candidates"]], colors[record["signal"]]
        low, high = ([c[key] for c in record["candidates"]] for key in ("auc_low", "auc_high"))
        (line,) = ax.plot(step, area, marker=".", color=color, label=record["signal"], gid=record["signal"])
        band(line, step, low, high, alpha=0.25)
        best = max(range(len(area)), key=area.__getitem__)
        ax.plot([step[best]], [area[best]], gid="best", color=color, **star)
    ax.plot([], [], color="black", label="best by signal, not blind", **star)
    ax.set_ylabel("AUC on test events")
    for panel in axes[0]:
        panel.axvline(records[0]["chosen_step"], color="black", linestyle=":", gid="chosen", label="chosen, blind")
        panel.set_xlabel("step of the energy phase")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower right", ncols=len(records) + 2)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
