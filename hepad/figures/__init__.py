"""Figures: numbers in, a matplotlib Figure out; no file access and no pyplot.

Every function takes the style's config (:mod:`hepad.figures.style`) and is called, and its figure saved, inside
``with style(config)``.
"""

from hepad.figures.auc import auc_summary
from hepad.figures.binned_efficiency import efficiency_against_variable
from hepad.figures.diagnostics import diagnostics_page
from hepad.figures.histograms import input_histograms, score_histograms
from hepad.figures.images import average_images, jet_images, reconstructions
from hepad.figures.model_samples import beside_data, energy_paths
from hepad.figures.model_selection import model_selection_curves
from hepad.figures.roc import efficiency_curves
from hepad.figures.training import training_curves
from hepad.figures.trigger import rate_curves, trigger_curves

__all__ = [
    "auc_summary",
    "average_images",
    "beside_data",
    "diagnostics_page",
    "efficiency_against_variable",
    "efficiency_curves",
    "energy_paths",
    "input_histograms",
    "jet_images",
    "model_selection_curves",
    "rate_curves",
    "reconstructions",
    "score_histograms",
    "training_curves",
    "trigger_curves",
]
