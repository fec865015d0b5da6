"""Far events: in which directions a detector never fires, however far an event lies from background.

Of background events one column at a time is moved by d standard deviations, up and down, and the share of them is
counted that passes the threshold which a given share of background passes. A score of an event that is far from all
background should pass it; a network that was never asked there may say anything.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError

DISTANCES = (3.0, 10.0, 30.0, 100.0)  # standard deviations
ENOUGH = 100


class Direction(NamedTuple):
    """column: its name; sign: 1 up, -1 down; fired: of the moved events the share that passes, by the distance."""

    column: str
    sign: int
    fired: dict[float, float]

    @property
    def silent(self) -> bool:
        """Whether most of the events pass not even at the largest distance."""
        return self.fired[max(self.fired)] < 0.5


def far_events(
    score: Callable[[np.ndarray], np.ndarray],
    background: np.ndarray,
    columns: tuple[str, ...],
    *,
    eps_b: float = 0.01,
    distances: tuple[float, ...] = DISTANCES,
    events: int = 200,
) -> list[Direction]:
    """All directions, up and down in every column that varies.

    Parameters
    ----------
    score: of events (N, D) -> (N,), higher is more anomalous
    background: (N, D) events that the score was not fitted on; its last columns are ``columns``, what is before them,
        pixels, stays
    columns: their names
    eps_b: share of background above the threshold
    distances: in standard deviations of the column
    events: of background that are moved

    Raises
    ------
    InputError: fewer than 100 events, or other numbers of columns

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=(2000, 3)).astype("float32")
    >>> detector = hepad.Mixture(n_gaussians=1).fit(x)
    >>> [direction.column for direction in hepad.far_events(detector.score, x, ("a", "b", "c")) if direction.silent]
    []
    """
    background = np.asarray(background, np.float32)
    if not 0 < eps_b < 1 or not distances or events < 1:
        raise InputError(
            f"far_events: eps_b = {eps_b:g} must lie between 0 and 1, and distances {distances} and events = {events} "
            "must be some."
        )
    if background.ndim != 2 or background.shape[1] < len(columns) or len(background) < ENOUGH:
        raise InputError(
            f"far_events: background of shape {background.shape}: {ENOUGH} events or more with {len(columns)} columns "
            "are needed."
        )
    threshold = np.quantile(score(background), 1 - eps_b)
    first, spread = background.shape[1] - len(columns), background.std(0)
    found = []
    for j, name in enumerate(columns, first):
        if not spread[j] > 0:
            continue  # what never varies has no standard deviation to be moved by
        for sign in (1, -1):
            fired = {}
            for distance in distances:
                moved = background[:events].copy()
                moved[:, j] += sign * distance * spread[j]
                fired[distance] = float((score(moved) > threshold).mean())
            found.append(Direction(name, sign, fired))
    return found
