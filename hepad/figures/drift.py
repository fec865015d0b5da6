"""Rates in time: luminosity sections at a frozen threshold, and the sums that ring an alarm."""

import numpy as np
from matplotlib.figure import Figure

from hepad.evaluation.drift import Drift
from hepad.figures.style import label, panels

RISEN, FALLEN = "#d62728", "#1f77b4"


def rates_in_time(sections: np.ndarray, drift: Drift, config: dict) -> Figure:
    """The share of events that pass in every section with its 68.3 % interval and that of the reference at the same
    pile-up, and below both sums with the level that rings.

    Parameters
    ----------
    sections: (S, 2) run and luminosity block
    drift: of them
    config: style config
    """
    figure, axes = panels(2, 1, 7.0, 2.3, sharex=True)
    (rate, sums), at = axes[:, 0], np.arange(len(sections))
    there = np.isfinite(drift.share)
    off = np.abs(np.stack([drift.share - drift.low, drift.high - drift.share]))[:, there]
    rate.errorbar(at[there], drift.share[there], off, fmt="o", color="black", markersize=3, label="section")
    rate.step(at[there], drift.expected[there], color="gray", linestyle="--", where="mid", label="reference")
    rate.set_ylabel("share of events")
    rate.set_ylim(bottom=0)
    sums.plot(at, drift.risen, color=RISEN, label="risen")
    sums.plot(at, drift.fallen, color=FALLEN, linestyle="-.", label="fallen")
    sums.axhline(drift.level, color="black", linestyle=":", label="alarm")
    sums.set_ylabel("log-likelihood ratio")
    sums.set_ylim(0, 1.15 * max(drift.level, drift.risen.max(), drift.fallen.max()))
    for ax in (rate, sums):
        for start in np.flatnonzero(np.diff(sections[:, 0])) + 0.5:  # between runs
            ax.axvline(start, color="#bbbbbb", linewidth=0.8, zorder=0)
        if drift.alarm is not None:
            ax.axvspan(drift.began - 0.5, drift.alarm + 0.5, color=RISEN if drift.direction == "risen" else FALLEN,
                       alpha=0.15, linewidth=0, label="change to alarm" if ax is rate else None)  # fmt: skip
    ticks = np.unique(np.linspace(0, len(sections) - 1, min(6, len(sections))).astype(int))
    sums.set_xticks(ticks, [f"{run}\n{block}" for run, block in sections[ticks]], fontsize=8)
    sums.set_xlabel("run and luminosity section")
    for ax in (rate, sums):
        ax.minorticks_off()
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    label(rate, config)
    return figure
