"""The most anomalous jets of a task's samples, one by one."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.scored_sample import LOOK, ScoredSample
from hepad.events import Events, concatenate
from hepad.events.kinematics import delta_phi
from hepad.events.observables import OBSERVABLES, measure
from hepad.figures.registry import Shown, figure
from hepad.figures.style import label, panels

MOST, ACROSS = 8, 4
PIXELS, HALF_WIDTH = 40, 1.0  # of a display, in Δη and Δφ
LOWEST = 0.1  # GeV, of the colour scale
SHOWN = ("jet_pt", "jet_mass", "multiplicity")


class Jet(NamedTuple):
    """pT [GeV] in pixels of Δφ (vertical) and Δη, and what is written in the corner."""

    image: np.ndarray
    text: str


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
        found[job.labels[sample]] = displays(*most_anomalous(rows, f"{name}/{job.seed}"))
    yield f"{job.task}/events", event_displays(found, job.style, title=job.labels[name])


def most_anomalous(rows: Iterable, key: str) -> tuple[Events, np.ndarray]:
    """The events with the largest scores under one training, falling, out of blocks of a scored sample."""
    held = None
    for block, scores in rows:
        best = np.argsort(-scores[key], kind="stable")[:MOST]
        parts = [(block[best], scores[key][best])] + ([held] if held else [])
        together, values = concatenate([e for e, _ in parts]), np.concatenate([s for _, s in parts])
        order = np.argsort(-values, kind="stable")[:MOST]
        held = together[order], values[order]
    if held is None:
        raise InputError("figures: a sample has no test events to show. Check its split.")
    return held


def displays(found: Events, scores: np.ndarray) -> list[Jet]:
    """Images of the jets, and their texts."""
    measured = list(measure(found, SHOWN).values())
    pt, eta, phi = (found.constituents[..., i] for i in range(3))
    eta, phi = eta - found.jet[:, 1:2], delta_phi(phi, found.jet[:, 2:3])
    edges = np.linspace(-HALF_WIDTH, HALF_WIDTH, PIXELS + 1)
    jets = []
    for i, score in enumerate(scores):
        image, *_ = np.histogram2d(phi[i], eta[i], [edges, edges], weights=pt[i])
        of_jet, mass, count = (values[i] for values in measured)
        text = f"{OBSERVABLES['jet_pt'].symbol.removeprefix('jet ')} = {of_jet:.0f} GeV, $m$ = {mass:.0f} GeV\n"
        jets.append(Jet(image, f"{text}$n$ = {count:.0f}, score {score:.3g}".replace("-", "−")))
    return jets


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
