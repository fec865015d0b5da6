"""Originals beside their reconstructions, one jet of every sample."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from hepad.errors import InputError
from hepad.evaluation.model_samples import loaded
from hepad.figures.images import HALF_WIDTHS, frame, log_norm, show
from hepad.figures.registry import Shown, figure
from hepad.figures.style import inside, label, panels


@figure(
    {"{task}/reconstructions/{detector}": Shown("Reconstructions")},
    reads={
        "models": "models/{task}/{detectors}/{seed}.safetensors",
        "features": "features/{representations}/{samples}.test.h5",
    },
    needs=("samples", "representation_of", "half_widths"),
    labels=("samples", "detectors"),
    detectors="images",
    on_request=True,
)
def reconstructions(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """A test jet of every sample, its reconstruction and the difference. The score of each jet is written beside it."""
    names = [job.labels[sample] for sample in job.samples]
    for name, path in job.files["models"].items():
        features = [job.files["features"][job.representation_of[name], sample] for sample in job.samples]
        detector, x = loaded(path, features, 1)
        images = (x[:, 0].numpy(), detector.reconstruct(x)[:, 0].numpy(), detector.score(x).numpy())
        look = {"names": names, "title": job.labels[name], "half_widths": job.half_widths[name]}
        drawn = reconstructed_images(*images, job.style, **look)
        yield f"{job.task}/reconstructions/{name}", drawn


def reconstructed_images(
    originals: np.ndarray,
    reconstructed: np.ndarray,
    scores: np.ndarray,
    config: dict,
    *,
    names: list[str] | None = None,
    title: str = "",
    half_widths: tuple[float, float] = HALF_WIDTHS,
) -> Figure:
    """Originals above their reconstructions above the difference; one column per jet with its score.

    Parameters
    ----------
    originals, reconstructed: (n, H, W), a column each
    scores: (n,)
    config: style config
    names: the sample of each jet
    title: e.g. the detector's name
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
    figure, axes = panels(3, len(originals), 2.1, 2.1, "compressed", sharex=True, sharey=True)
    titles = ("original", "reconstruction", "difference")
    for line, stack, norm, text in zip(axes, (originals, reconstructed, difference), norms, titles, strict=True):
        for ax, image in zip(line, stack, strict=True):
            shown = show(ax, image, norm, half_widths, "RdBu_r" if stack is difference else "viridis")
        bar = figure.colorbar(shown, ax=line)
        bar.set_label(f"{text} [share of $p_T$]", fontsize=8, loc="center")
        bar.ax.tick_params(labelsize=7)
        if stack is difference:
            bar.set_ticks([-10 * step, -step, 0, step, 10 * step])
    for ax, score, name in zip(axes[0], scores, names or [""] * len(scores), strict=True):
        inside(ax, f"{name}\nscore {score:.3g}".strip(), "white")
    frame(figure, axes)
    label(axes[0, 0], config, axes[0, -1], title)
    return figure
