"""Energy on the way from background to signals."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.efficiency import LEVEL
from hepad.evaluation.model_samples import energies_to, loaded
from hepad.figures.model_samples import EVENTS
from hepad.figures.registry import Shown, figure
from hepad.figures.style import band, headroom, label, palette, panels
from hepad.representations.features import Features


@figure(
    {
        "{task}/paths/{detector}": Shown(
            "Samples of the model", {"task": "{task}", "detector": "{detector}", "figure": "energy on the way"}
        )
    },
    reads={
        "models": "models/{task}/{detectors}/{seed}.safetensors",
        "features": "features/{representations}/{samples}.test.h5",
    },
    needs=("background", "samples", "representation_of"),
    labels=("samples", "detectors"),
    detectors="energy",
    on_request=True,
)
def paths(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Energy on the way from a background jet to a signal jet, median and central 68.3 % of 100 pairs of test jets: on
    the straight line between the two inputs, and along the geodesic between their codes in the latent space of the
    autoencoder, decoded, whose ends are the two reconstructions. A mixture of a background and a signal jet that is
    cheaper than both ends is a place where the energy is too low. Signals are looked at here after all trainings.
    """
    look = {"config": job.style, "background_name": job.labels[job.background]}
    for name, path in job.files["models"].items():
        features = {sample: job.files["features"][job.representation_of[name], sample] for sample in job.samples}
        detector, x = loaded(path, [features.pop(job.background)], EVENTS)
        signals = {job.labels[of]: Features.read(signal, slice(EVENTS)).x for of, signal in features.items()}
        energies = energies_to(detector, x, signals)
        yield f"{job.task}/paths/{name}", energy_paths(energies, title=job.labels[name], **look)


def energy_paths(
    energies: dict[str, dict[str, np.ndarray]], config: dict, *, background_name: str = "background", title: str = ""
) -> Figure:
    """Energy on the way from background to signals: median and central 68.3 % of the pairs, a panel per kind of way.

    Parameters
    ----------
    energies: signal -> way -> (steps, pairs), at equal steps from the background to the signal
    config: style config
    background_name: at the left end
    title: e.g. the detector's name
    """
    if not energies:
        raise InputError("figures: there is no signal to go to. Give the task signals.")
    ways, colors = list(next(iter(energies.values()))), palette(energies, config)
    figure, axes = panels(1, len(ways), 4.2, 3.4)
    for ax, way in zip(axes[0], ways, strict=True):
        for signal, of_signal in energies.items():
            t, tail = np.linspace(0, 1, len(of_signal[way])), (1 - LEVEL) / 2
            low, middle, high = np.quantile(of_signal[way], [tail, 0.5, 1 - tail], axis=1)
            (line,) = ax.plot(t, middle, color=colors[signal], gid=signal, label=f"to {signal}")
            band(line, t, low, high)
        every = np.concatenate([of_signal[way] for of_signal in energies.values()], axis=1)
        if every.min() > 0 and np.quantile(every, 0.9) > 5 * np.quantile(every, 0.1):
            ax.set_yscale("log")
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"{way}: from {background_name} (0) to signal (1)")
    axes[0, 0].set_ylabel("energy $E$")
    ax = axes[0, -1]
    headroom(ax, 0.1 + 0.07 * len(energies))  # for the legend above the bands
    ax.legend(loc="upper left", title=f"median and central {100 * LEVEL:g} % of pairs", alignment="left")
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
