"""Distributions of scores, and whether a score just measures the pT or mass of jets."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from hepad.evaluation.binned_efficiency import efficiency_against_jet
from hepad.evaluation.scored_sample import LOOK
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import threshold_of
from hepad.figures.binned_efficiency import efficiency_against_variable
from hepad.figures.histograms import common_edges, draw_histograms, legend_lines
from hepad.figures.registry import Shown, figure
from hepad.figures.style import headroom, label, palette, panels


@figure(
    {
        "{task}/scores/{detector}": Shown("Scores"),
        "{task}/efficiency_against/{detector}": Shown("Efficiency against pT and mass"),
    },
    reads={"scores": "scores/{task}/{samples}.h5"},
    needs=("score_names", "seed", "working_point"),
    labels=("samples", "detectors"),
    on_request=True,
)
def scores(job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """Distribution of the score (for energy-based detectors: the energy) of background and signals. The line is the
    threshold at the working point; it is set on background alone, on all of it; drawn are up to 200,000 jets of a
    sample. The first and the last bin hold what lies outside.

    Efficiency of background and signals against jet transverse momentum and jet mass at the working point, of up to
    200,000 jets of a sample. A rise of the background with mass means that the cut sculpts the mass.
    """
    labels, eps_b = job.labels, job.working_point
    samples = {labels[name]: read_scores(path) for name, path in job.files["scores"].items()}
    background = next(iter(samples))
    beside = {name: columns.beginning(LOOK, ["jet", "weight"]) for name, (_, columns) in samples.items()}
    weights = {name: columns["weight"] for name, columns in beside.items()}
    for detector, score_name in job.score_names.items():
        key = f"{detector}/{job.seed}"
        cut = threshold_of(samples[background][0].weighted(key), eps_b)
        jets = {
            name: (of_sample.beginning(LOOK, [key])[key], beside[name]["jet"], weights[name])
            for name, (of_sample, _) in samples.items()
        }
        signals = {name: values for name, (values, *_) in jets.items()}
        look = {"title": f"{labels[detector]}, seed {job.seed}"}
        axis = {"thresholds": {eps_b: cut}, "score_name": score_name, "background_name": background, "weights": weights}
        histograms = score_histograms(signals.pop(background), signals, job.style, **axis, **look)
        yield f"{job.task}/scores/{detector}", histograms
        curves = efficiency_against_variable(efficiency_against_jet(jets, cut), job.style, eps_b=eps_b, **look)
        yield f"{job.task}/efficiency_against/{detector}", curves


def score_histograms(
    background: np.ndarray,
    signals: dict[str, np.ndarray],
    config: dict,
    *,
    background_name: str = "background",
    score_name: str = "anomaly score",
    thresholds: dict[float, float] | None = None,
    title: str = "",
    weights: dict[str, np.ndarray] | None = None,
) -> Figure:
    """Distributions of the score (an energy, for energy-based detectors), each of unit sum, on a logarithmic axis.

    Parameters
    ----------
    background: (n,) scores
    signals: by name, (m,) scores
    config: style config
    score_name: of the horizontal axis
    thresholds: ε_B -> threshold, drawn as lines
    title: e.g. the detector's name
    weights: by name of a sample, (n,); None for equal ones

    Bins are common to all samples and span the quantiles 0.001 to 0.999 of every sample; what lies outside is counted
    in the first and the last bin. Errors are Poisson.
    """
    samples = {background_name: background, **signals}
    figure, axes = panels(1, 1, 6.0, 4.4)
    ax, edges = axes[0, 0], common_edges(score_name, samples)
    colors = palette(samples, config)
    draw_histograms(ax, samples, edges, background_name, colors, weights)
    handles, texts = legend_lines(samples, background_name, colors), list(samples)
    for eps_b, threshold in (thresholds or {}).items():
        if edges[0] < threshold < edges[-1]:
            look = {"color": "black", "linewidth": 0.8, "linestyle": "--", "gid": "threshold"}
            handles.append(ax.axvline(threshold, ymax=0.8, **look))
            texts.append(rf"threshold at $\epsilon_B$ = {eps_b:g}")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, 0.3 / max(map(len, samples.values()))), high)
    headroom(ax, 0.25)
    ax.set_xlabel(score_name)
    ax.set_ylabel("fraction of jets per bin")
    ax.legend(handles, texts, loc="upper left", ncols=2)
    label(ax, config, title=title)
    return figure
