"""The score histograms of all detectors of a task on one page."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hepad.evaluation.scored_sample import LOOK
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import threshold_of
from hepad.figures.histograms import common_edges, draw_histograms, legend_lines
from hepad.figures.registry import Shown, figure
from hepad.figures.style import inside, label, palette, panels

ACROSS = 4


@figure(
    {"{task}/score_grid": Shown("Scores")},
    reads={"scores": "scores/{task}/{samples}.h5"},
    needs=("score_names", "seed", "working_point"),
    labels=("samples", "detectors"),
)
def score_grid(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Score of background (filled) and signals under every detector of task {task}, of its first training, each of unit
    sum, of up to 200,000 jets of a sample. The line is the threshold at the working point, set on all of the background
    alone. First and last bin hold what lies outside.
    """
    files = {job.labels[name]: read_scores(path) for name, path in job.files["scores"].items()}
    samples = {name: scores for name, (scores, _) in files.items()}
    weights = {name: columns.beginning(LOOK, ["weight"])["weight"] for name, (_, columns) in files.items()}
    background, found, cuts = next(iter(samples)), {}, {}
    for detector in job.score_names:
        key, name = f"{detector}/{job.seed}", job.labels[detector]
        found[name] = {of: scores.beginning(LOOK, [key])[key] for of, scores in samples.items()}
        cuts[name] = threshold_of(samples[background].weighted(key), job.working_point)
    axes = {job.labels[name]: text for name, text in job.score_names.items()}
    yield f"{job.task}/score_grid", score_panels(found, cuts, axes, background, job.style, weights)


def score_panels(
    scores: dict[str, dict[str, np.ndarray]],
    cuts: dict[str, float],
    score_names: dict[str, str],
    background: str,
    config: dict,
    weights: dict[str, np.ndarray] | None = None,
) -> Figure:
    """A panel for each detector.

    Parameters
    ----------
    scores: detector -> sample -> (n,)
    cuts: detector -> threshold
    score_names: detector -> what its score is called
    background: name of its sample
    config: style config
    weights: sample -> (n,); None for equal ones
    """
    across = min(ACROSS, len(scores))
    figure, axes = panels(-(-len(scores) // across), across, 2.4, 1.9)
    samples = list(next(iter(scores.values())))
    colors = palette(samples, config)
    for ax, (name, of) in zip(axes.flat, scores.items(), strict=False):
        edges = common_edges(name, of)
        draw_histograms(ax, of, edges, background, colors, weights)
        if edges[0] < cuts[name] < edges[-1]:
            ax.axvline(cuts[name], ymax=0.74, color="black", linewidth=0.8, linestyle="--", gid="threshold")
        low, high = 0.3 / max(map(len, of.values())), 1.0
        ax.set(yscale="log", ylim=(low, high * (high / low) ** 0.35))
        ax.set_xlabel(score_names[name], fontsize=8)
        if ax.get_xscale() == "linear":
            ax.xaxis.set_major_locator(MaxNLocator(4))
        inside(ax, name, "black", width=26)
    for ax in axes.flat[len(scores) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("fraction of jets")
    look = {"color": "black", "linewidth": 0.8, "linestyle": "--"}
    lines = [*legend_lines(samples, background, colors), Line2D([], [], **look)]
    texts = [*samples, "threshold at the working point"]
    figure.legend(lines, texts, loc="outside lower center", ncols=len(texts))
    label(axes[0, 0], config, axes[0, -1])
    return figure
