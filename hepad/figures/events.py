"""The most anomalous jets of a task's samples, one by one."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hepad.evaluation.anomalous import HALF_WIDTH, Jet, displays, most_anomalous
from hepad.evaluation.scored_sample import LOOK, ScoredSample
from hepad.figures.registry import Shown, figure
from hepad.figures.style import label, panels

ACROSS = 4
LOWEST = 0.1  # GeV, of the colour scale


@figure(
    {"{task}/events": Shown("Events")},
    reads={"scores": "scores/{task}/{samples}.h5", "events": "events/{samples}.h5"},
    needs=("detectors", "seed"),
    labels=("samples", "detectors"),
    detectors="trained",
    only="constituents",
)
def events(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """The eight jets of each sample of task {task} with the largest score under the first training of its first
    detector, out of up to 200,000: transverse momentum of constituents in Δη and Δφ around the jet's axis. The corner
    has pT and mass of the jet in GeV, the number n of its constituents and the score.
    """
    name = job.detectors[0]
    found = {}
    for sample, path in job.files["scores"].items():
        rows = ScoredSample(sample, path, job.files["events"][sample]).beginning(LOOK, constituents=True)
        key = f"{name}/{job.seed}"
        picked = most_anomalous(rows, [key])
        found[job.labels[sample]] = displays(picked.events[picked.top[key]], picked.scores[key][picked.top[key]])
    yield f"{job.task}/events", event_displays(found, job.style, title=job.labels[name])


def event_displays(jets: dict[str, list[Jet]], config: dict, *, title: str = "") -> Figure:
    """Two rows of jets for each sample on one logarithmic scale of pT.

    Parameters
    ----------
    jets: by sample
    config: style config
    title: the detector
    """
    rows = {name: -(-len(of) // ACROSS) for name, of in jets.items()}
    look = {"sharex": True, "sharey": True}
    figure, axes = panels(sum(rows.values()), ACROSS, 2.0, 1.8, "compressed", **look)
    highest = max(jet.image.max() for of in jets.values() for jet in of)
    norm, first, extent = LogNorm(LOWEST, max(highest, 10 * LOWEST)), 0, (-HALF_WIDTH, HALF_WIDTH) * 2
    for name, of in jets.items():
        lines = axes[first : first + rows[name]]
        for ax in lines.flat[max(len(of), 1) :]:
            ax.set_axis_off()
        for ax, jet in zip(lines.flat, of, strict=False):
            shown = ax.imshow(np.maximum(jet.image, LOWEST), norm=norm, cmap="viridis", origin="lower", extent=extent)
            ax.text(0.05, 0.95, jet.text, transform=ax.transAxes, va="top", fontsize=6.5, color="white")
            ax.set(xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
            ax.minorticks_off()
            ax.tick_params(labelsize=7)
        lines[0, 0].set_ylabel(name, fontsize=9, loc="center")
        first += rows[name]
    figure.supxlabel(r"$\Delta\eta$ to the jet", fontsize=10)
    figure.supylabel(r"$\Delta\phi$ to the jet [rad]", fontsize=10)
    figure.colorbar(shown, ax=axes, label="$p_T$ of constituents per pixel [GeV]", extend="min", aspect=40)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
