"""Figures: numbers in, a matplotlib Figure out; and the files of the results that the numbers come from.

Every function that draws takes the style's config (:mod:`hepad.figures.style`) and is called, and its figure saved,
inside ``with style(config)``. A kind of figures is one file and its name here (:mod:`hepad.figures.registry`).
"""

KINDS = (
    "correlation",
    "data_quality",
    "diagnostics",
    "efficiency",
    "events",
    "generated",
    "headline",
    "images",
    "inputs",
    "menu",
    "model_samples",
    "model_selection",
    "overview",
    "paths",
    "rates",
    "reconstructions",
    "regret",
    "score_grid",
    "scores",
    "seeds",
    "student",
    "summary",
    "training",
    "trainings",
    "trigger",
)
