"""Figures: numbers in, a matplotlib Figure out; and the files of the results that the numbers come from.

Every function that draws takes the style's config (:mod:`hepad.figures.style`) and is called, and its figure saved,
inside ``with style(config)``. A kind of figures is one file and its name here (:mod:`hepad.figures.registry`).
"""

KINDS = (
    "data_quality",
    "diagnostics",
    "efficiency",
    "generated",
    "images",
    "inputs",
    "model_samples",
    "model_selection",
    "paths",
    "rates",
    "reconstructions",
    "scores",
    "student",
    "summary",
    "training",
    "trigger",
)
