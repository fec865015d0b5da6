"""What several figures share: a grid of panels and the text inside them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def panels(
    rows: int, columns: int, width: float, height: float, layout: str = "constrained", **options
) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels of the given size [inch], and its (rows, columns) array of axes."""
    figure = Figure(figsize=(width * columns, height * rows), layout=layout)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def inside(ax: Axes, text: str, color: str) -> None:
    """Write ``text`` into the upper left corner of a panel."""
    ax.text(0.04, 0.96, text, transform=ax.transAxes, ha="left", va="top", fontsize=8, color=color)
