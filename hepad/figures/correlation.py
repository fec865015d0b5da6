"""Which detectors say the same of the background."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from hepad.evaluation.diagnostics import ranks
from hepad.evaluation.scored_sample import LOOK
from hepad.evaluation.scores import read_scores
from hepad.figures.registry import Shown, figure
from hepad.figures.style import label, panels


@figure(
    {"{task}/correlation": Shown("Scores")},
    reads={"scores": "scores/{task}/{background}.h5"},
    needs=("detectors", "seed"),
    labels=("background", "detectors"),
)
def correlation(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Spearman's rank correlation of the scores of two detectors on background (task {task}), of their first training
    and up to 200,000 jets. What is correlated sees the same jets as anomalous; what is not may be combined.
    """
    scores, columns = read_scores(job.files["scores"])
    keys = [f"{name}/{job.seed}" for name in job.detectors]
    found = scores.beginning(LOOK, keys)
    names = [job.labels[name] for name in job.detectors]
    weights = columns.beginning(LOOK, ["weight"])["weight"]
    values = rank_correlation(np.stack([found[key] for key in keys]), weights if (weights > 0).all() else None)
    yield f"{job.task}/correlation", correlation_matrix(values, names, job.style)


def rank_correlation(scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(D, D) Spearman's ρ of the scores (D, n) of D detectors, ``weights`` (n,) or None; NaN where one is constant."""
    covariance = np.atleast_2d(np.cov([ranks(of_detector, weights) for of_detector in scores], aweights=weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))


def correlation_matrix(values: np.ndarray, names: list[str], config: dict) -> Figure:
    """Numbers (D, D) in per cent, on colours from -1 to 1, for the D names."""
    size = 2.4 + 0.33 * len(names)
    figure, axes = panels(1, 1, size + 0.4, size, "compressed")
    ax = axes[0, 0]
    shown = ax.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
    for (i, j), value in np.ndenumerate(values):
        text = f"{100 * value:.0f}".replace("-", "−") if np.isfinite(value) else "×"
        ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if abs(value) > 0.7 else "black")
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()
    figure.colorbar(shown, ax=ax, label=r"Spearman's $\rho$ (cells: per cent)", aspect=30)
    label(ax, config)
    return figure
