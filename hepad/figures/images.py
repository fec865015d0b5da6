"""Jet images: single ones, averages, and reconstructions beside their originals.

Images are (H, W): the first axis is vertical, φ before the rotation; the second is horizontal, η.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepad.errors import InputError
from hepad.figures.style import inside, label, panels

HALF_WIDTHS = (0.58, 0.70)  # Δη, Δφ
DECADES = 4  # of the logarithmic colour scale
FRACTION = r"fraction of jet $p_T$ per pixel"


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
            shown = _show(ax, image, norm, half_widths)
            inside(ax, f"{sample}\n{version}", "white")
    _frame(figure, axes)
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
        shown = _show(ax, image, norm, half_widths)
        inside(ax, sample, "white")
    _frame(figure, axes)
    figure.colorbar(shown, ax=axes, label=FRACTION, extend="min")
    label(axes[0, 0], config, axes[0, -1])
    return figure


def reconstructions(
    originals: np.ndarray,
    reconstructed: np.ndarray,
    scores: np.ndarray,
    config: dict,
    *,
    names: list[str] | None = None,
    half_widths: tuple[float, float] = HALF_WIDTHS,
) -> Figure:
    """Originals above their reconstructions above the difference; one column per jet with its score.

    Parameters
    ----------
    originals, reconstructed: (n, H, W), a column each
    scores: (n,)
    config: style config
    names: the sample of each jet
    half_widths: of the image in Δη and Δφ
    """
    if originals.shape != reconstructed.shape or originals.ndim != 3 or len(scores) != len(originals):
        raise InputError(
            f"figures: originals {originals.shape} and reconstructions {reconstructed.shape} must be (n, H, W) of one "
            f"shape, with {len(scores)} scores. Pass as many of each."
        )
    difference = reconstructed - originals
    largest = max(float(np.abs(difference).max()), 1e-12)
    step = 10.0 ** (np.floor(np.log10(largest)) - 1)  # the difference is linear below, logarithmic above
    norms = [log_norm(originals)] * 2 + [SymLogNorm(step, vmin=-largest, vmax=largest)]
    figure, axes = panels(3, len(originals), 1.9, 2.2, "compressed", sharex=True, sharey=True)
    titles = ("original", "reconstruction", "reconstruction − original")
    for line, stack, norm, text in zip(axes, (originals, reconstructed, difference), norms, titles, strict=True):
        for ax, image in zip(line, stack, strict=True):
            shown = _show(ax, image, norm, half_widths, "RdBu_r" if stack is difference else "viridis")
        # three long labels would run into each other: the unit stands in the middle
        bar = figure.colorbar(shown, ax=line)
        bar.set_label(f"{text}\n{FRACTION if stack is reconstructed else ''}", fontsize=7)
        if stack is difference:
            bar.set_ticks([-10 * step, -step, 0, step, 10 * step])
    for ax, score, name in zip(axes[-1], scores, names or [""] * len(scores), strict=True):
        ax.set_xlabel(f"{name}\nscore {score:.3g}".strip(), fontsize=8, loc="center")
    _frame(figure, axes)
    label(axes[0, 0], config, axes[0, -1])
    return figure


def log_norm(images: np.ndarray) -> LogNorm:
    """The logarithmic colour scale of images (n, H, W), over ``DECADES`` below the largest pixel."""
    if images.ndim != 3 or not np.isfinite(images).all() or not images.max() > 0:
        raise InputError(f"figures: images of shape {images.shape} must be (n, H, W), finite and not all zero.")
    return LogNorm(float(images.max()) * 10**-DECADES, float(images.max()), clip=False)


def _show(ax: Axes, image: np.ndarray, norm: Normalize, half_widths: tuple[float, float], colors: str = "viridis"):
    eta, phi = half_widths
    # what is below the scale, zero included, has the scale's lowest colour
    floor = norm.vmin if isinstance(norm, LogNorm) else -np.inf
    extent = (-eta, eta, -phi, phi)
    return ax.imshow(np.maximum(image, floor), norm=norm, cmap=colors, origin="lower", extent=extent, aspect="equal")


def _frame(figure: Figure, axes: np.ndarray) -> None:
    figure.supxlabel(r"$\Delta\eta$ after centring and rotation", fontsize=10)
    figure.supylabel(r"$\Delta\phi$ after centring and rotation", fontsize=10)
    for ax in axes.flat:
        ax.minorticks_off()
        ax.tick_params(labelsize=8)  # a narrow window has room for no more
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "−"))
