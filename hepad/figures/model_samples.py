"""Samples of a model beside data."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from hepad.evaluation.model_samples import loaded, look_into
from hepad.figures.histograms import input_histograms
from hepad.figures.images import FRACTION, HALF_WIDTHS, log_norm
from hepad.figures.registry import Shown, figure
from hepad.figures.style import label
from hepad.representations.event_vector import with_units

COLUMNS = 8  # images in a row
GAP = 1.06  # between their centres, in units of their width
VARIABLES = 7  # drawn of a vector
ENERGY = "energy $E$"
EVENTS = 2000  # of a sample, at most


@figure(
    {
        f"{{task}}/{name}/{{detector}}": Shown(
            "Samples of the model", {"task": "{task}", "detector": "{detector}", "figure": text}
        )
        for name, text in (("model_samples", "samples"), ("negatives", "negative samples"))
    },
    reads={
        "models": "models/{task}/{detectors}/{seed}.safetensors",
        "features": "features/{representations}/{background}.test.h5",
    },
    needs=("background", "representation_of", "half_widths"),
    labels=("background", "detectors"),
    detectors="energy",
    on_request=True,
)
def model_samples(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Test jets of the background beside samples of the energy model: the ends of chains twenty times as long as in
    training, drawn by the detector's own sampler of negatives. The energy E of each is written on it. Detectors on
    vectors: distributions of the first seven variables and of the energy. What has a low energy and does not look like
    a jet is what the model gets wrong.

    Negative samples of one training step of the finished model: where the chains start, after the latent chain (if
    there is one) and after the visible chain, with the energy E of each. Chains start anew, without the replay of
    earlier ends. Detectors on vectors: distributions of the first seven variables and of the energy.
    """
    for name, path in job.files["models"].items():
        detector, x = loaded(path, [job.files["features"][job.representation_of[name]]], EVENTS)
        columns = with_units(detector.space.columns)
        look = {"half_widths": job.half_widths.get(name), "title": job.labels[name]}
        drawn = look_into(detector, job.labels[job.background], x)
        for folder, samples in drawn._asdict().items():
            yield f"{job.task}/{folder}/{name}", beside_data(samples, columns, job.style, **look)


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
    size = (across + 1.5, phi / eta * sum(rows) + 0.75)
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
    figure.colorbar(shown, ax=axes, label=FRACTION, extend="min", aspect=40, pad=0.01)
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
    return input_histograms(names, values.pop(name), values, config, background_name=name, title=title)
