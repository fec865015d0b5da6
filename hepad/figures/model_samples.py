"""Samples of a model beside data, and the energy on the way to a signal."""

import numpy as np
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.efficiency import LEVEL
from hepad.figures.histograms import input_histograms
from hepad.figures.images import FRACTION, HALF_WIDTHS, log_norm
from hepad.figures.style import label, palette, panels

COLUMNS = 8  # images in a row
GAP = 1.06  # between their centres, in units of their width
VARIABLES = 7  # drawn of a vector
ENERGY = "energy $E$"


def beside_data(
    samples: dict[str, tuple[np.ndarray, np.ndarray]],
    columns: tuple[str, ...],
    config: dict,
    *,
    score: str = ENERGY,
    title: str = "",
    half_widths: tuple[float, float] | None = None,
) -> Figure:
    """Samples of the model beside data: images in rows, or the distributions of variables, with the scores.

    Parameters
    ----------
    samples: by name, data first: images (n, H, W) or variables (n, D), and scores (n,)
    columns: names of the D variables
    config: style config
    score: what it is called
    title: e.g. the detector's name
    half_widths: of images in Δη and Δφ; None for those of :data:`hepad.figures.images.HALF_WIDTHS`
    """
    (_, (first, _)), *_ = samples.items()
    if first.ndim == 3:
        symbol = "$E$" if score == ENERGY else "score"
        return _images(samples, config, symbol, title, half_widths or HALF_WIDTHS)
    return _histograms(samples, columns, config, score, title)


def _images(
    samples: dict[str, tuple[np.ndarray, np.ndarray]],
    config: dict,
    symbol: str,
    title: str,
    half_widths: tuple[float, float],
) -> Figure:
    """Rows of images on one logarithmic colour scale, the score written on each.

    All images of a sample share one panel, a grid of them: a panel for each would take half a minute to lay out.
    """
    norm = log_norm(np.concatenate([images for images, _ in samples.values()]))
    eta, phi = half_widths
    rows = [-(-len(images) // COLUMNS) for images, _ in samples.values()]
    across = min(COLUMNS, max(len(images) for images, _ in samples.values()))
    size = (across + 1.9, phi / eta * sum(rows) + 0.75)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(len(samples), 1, squeeze=False, height_ratios=rows)[:, 0]
    for ax, (name, (images, energies)) in zip(axes, samples.items(), strict=True):
        for i, (image, energy) in enumerate(zip(images, energies, strict=True)):
            x, y = 2 * GAP * eta * (i % COLUMNS), -2 * GAP * phi * (i // COLUMNS)
            extent = (x - eta, x + eta, y - phi, y + phi)
            shown = ax.imshow(np.maximum(image, norm.vmin), norm=norm, cmap="viridis", origin="lower", extent=extent)
            ax.text(
                x - 0.9 * eta,
                y + 0.9 * phi,
                f"{symbol} = {energy:#.3g}".replace("-", "−"),
                color="white",
                fontsize=7,
                va="top",
            )
        ax.set_xlim(-eta, 2 * GAP * eta * (across - 1) + eta)
        ax.set_ylim(-2 * GAP * phi * ((len(images) - 1) // COLUMNS) - phi, phi)
        ax.set_aspect("equal")
        ax.set_ylabel(name.replace(" the ", "\nthe "), fontsize=8, loc="center")
        ax.set(xticks=[], yticks=[])
        ax.minorticks_off()
        ax.spines[:].set_visible(False)
    axes[-1].set_xlabel(rf"each image: |$\Delta\eta$| < {eta:g} across, |$\Delta\phi$| < {phi:g} upwards", fontsize=9)
    figure.colorbar(shown, ax=axes, label=FRACTION, extend="min", aspect=40)
    label(axes[0], config, title=title)
    return figure


def _histograms(
    samples: dict[str, tuple[np.ndarray, np.ndarray]], columns: tuple[str, ...], config: dict, score: str, title: str
) -> Figure:
    """Distributions of the first variables and of the score; where data are whole numbers, all are rounded."""
    data = next(iter(samples.values()))[0][:, :VARIABLES]
    whole = np.all(data == np.round(data), axis=0)
    values = {
        name: np.column_stack([np.where(whole, np.round(x[:, :VARIABLES]), x[:, :VARIABLES]), energy])
        for name, (x, energy) in samples.items()
    }
    name = next(iter(values))
    names = (*columns[:VARIABLES], score)
    figure = input_histograms(names, values.pop(name), values, config, background_name=name)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


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
    figure, axes = panels(1, len(ways), 4.2, 3.4, sharey=True)
    every = np.concatenate([values for of_signal in energies.values() for values in of_signal.values()], axis=1)
    for ax, way in zip(axes[0], ways, strict=True):
        for signal, of_signal in energies.items():
            t, tail = np.linspace(0, 1, len(of_signal[way])), (1 - LEVEL) / 2
            low, middle, high = np.quantile(of_signal[way], [tail, 0.5, 1 - tail], axis=1)
            ax.plot(t, middle, color=colors[signal], gid=signal, label=f"to {signal}")
            ax.fill_between(t, low, high, color=colors[signal], alpha=0.2, linewidth=0)
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"{way}: from {background_name} (0) to signal (1)")
    if every.min() > 0 and np.quantile(every, 0.9) > 5 * np.quantile(every, 0.1):
        axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("energy $E$")
    ax = axes[0, -1]
    # room for the legend above the bands
    bottom, top = ax.transScale.transform([(1, limit) for limit in ax.get_ylim()])[:, 1]
    ax.set_ylim(top=ax.transScale.inverted().transform((1, top + (0.1 + 0.07 * len(energies)) * (top - bottom)))[1])
    ax.legend(loc="upper left", title=f"median and central {100 * LEVEL:g} % of pairs", alignment="left")
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
