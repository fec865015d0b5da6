"""Jet images, single ones and averages, in the window of a task's detectors.

Images are (H, W): the first axis is vertical, φ before the rotation; the second is horizontal, η.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepad.errors import InputError
from hepad.figures.registry import Shown, figure
from hepad.figures.style import inside, label, panels
from hepad.representations import JetImage
from hepad.samples.data_quality import first_events

HALF_WIDTHS = (0.58, 0.70)  # Δη, Δφ
DECADES = 4  # of the logarithmic colour scale
FRACTION = r"fraction of jet $p_T$ per pixel"
EVENTS = 5000  # of a sample, at most, in an average
FILTERS = {"no filter": 0, r"$\sigma_G$ = 1": 1, r"$\sigma_G$ = 2": 2}


@figure(
    {name: Shown("Jet images") for name in ("{task}/images", "{task}/average_images")},
    reads={"events": "events/{samples}.h5"},
    needs=("image",),
    labels=("samples",),
    only="constituents",
)
def images(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Jet images: one jet of each sample without filter and with Gaussian filters of σ_G = 1 and 2 pixels, and the
    average over many jets without filter. The window, pixels and power are those of the first image that the task's
    detectors see.
    """
    events = {job.labels[name]: found for name, found in first_events(job.files["events"], EVENTS).items()}
    filters = {text: JetImage(sigma=sigma, **job.image) for text, sigma in FILTERS.items()}
    plain = filters["no filter"]
    look = {"config": job.style, "half_widths": (plain.eta_range, plain.phi_range)}
    single = {n: {text: of(e[:1])[0, 0].numpy() for text, of in filters.items()} for n, e in events.items()}
    yield f"{job.task}/images", jet_images(single, **look)
    average = {f"{n}, {len(e)} jets": plain(e).mean(0)[0].numpy() for n, e in events.items()}
    yield f"{job.task}/average_images", average_images(average, **look)


def jet_images(
    images: dict[str, dict[str, np.ndarray]], config: dict, *, half_widths: tuple[float, float] = HALF_WIDTHS
) -> Figure:
    """A grid of images on one logarithmic colour scale.

    Parameters
    ----------
    images: sample (row) -> version (column), e.g. 'no filter', '$\\sigma_G$ = 1' -> (H, W), of unit sum
    config: style config
    half_widths: of the image in Δη and Δφ
    """
    columns = list(next(iter(images.values())))
    every = np.stack([image for row in images.values() for image in row.values()])
    norm = log_norm(every)
    figure, axes = panels(len(images), len(columns), 2.3, 2.45, "compressed", sharex=True, sharey=True)
    for line, (sample, row) in zip(axes, images.items(), strict=True):
        for ax, (version, image) in zip(line, row.items(), strict=True):
            shown = show(ax, image, norm, half_widths)
            inside(ax, f"{sample}\n{version}", "white")
    frame(figure, axes)
    figure.colorbar(shown, ax=axes, label=FRACTION, extend="min")
    label(axes[0, 0], config, axes[0, -1])
    return figure


def average_images(
    images: dict[str, np.ndarray], config: dict, *, half_widths: tuple[float, float] = HALF_WIDTHS
) -> Figure:
    """Average images of samples side by side on one logarithmic colour scale; sample -> (H, W)."""
    figure, axes = panels(1, len(images), 2.6, 3.2, "compressed", sharex=True, sharey=True)
    norm = log_norm(np.stack(list(images.values())))
    for ax, (sample, image) in zip(axes[0], images.items(), strict=True):
        shown = show(ax, image, norm, half_widths)
        inside(ax, sample, "white")
    frame(figure, axes)
    figure.colorbar(shown, ax=axes, label=FRACTION, extend="min")
    label(axes[0, 0], config, axes[0, -1])
    return figure


def log_norm(images: np.ndarray) -> LogNorm:
    """The logarithmic colour scale of images (n, H, W), over ``DECADES`` below the largest pixel."""
    if images.ndim != 3 or not np.isfinite(images).all() or not images.max() > 0:
        raise InputError(f"figures: images of shape {images.shape} must be (n, H, W), finite and not all zero.")
    return LogNorm(float(images.max()) * 10**-DECADES, float(images.max()), clip=False)


def show(ax: Axes, image: np.ndarray, norm: Normalize, half_widths: tuple[float, float], colors: str = "viridis"):
    eta, phi = half_widths
    # what is below the scale, zero included, has the scale's lowest colour
    floor = norm.vmin if isinstance(norm, LogNorm) else -np.inf
    extent = (-eta, eta, -phi, phi)
    return ax.imshow(np.maximum(image, floor), norm=norm, cmap=colors, origin="lower", extent=extent, aspect="equal")


def frame(figure: Figure, axes: np.ndarray) -> None:
    figure.supxlabel(r"$\Delta\eta$ after centring and rotation", fontsize=10)
    figure.supylabel(r"$\Delta\phi$ after centring and rotation", fontsize=10)
    for ax in axes.flat:
        ax.minorticks_off()
        ax.tick_params(labelsize=8)  # a narrow window has room for no more
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "−"))
