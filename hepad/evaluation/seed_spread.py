"""The spread of several trainings of one detector: the median, and the range in which the next one is expected.

n trainings that differ by their seed alone have the values x_i on the same test events. Their scatter is that of the
trainings; the test events move all of them together and have an uncertainty of their own, the interval
[x_i - d_i, x_i + u_i] of each evaluation. Of the true value of one more training the median is off by

    m - low = sqrt( T² s² (1 + 1/n) + d² ),    high - m = sqrt( T² s² (1 + 1/n) + u² )

s the standard deviation of the x_i, T the quantile of Student's t with n - 1 degrees of freedom at the level of all
intervals (1.84 for two trainings, 1.32 for three), d and u the means of d_i and u_i. The true value of one more
training lies in [low, high] with 68 %; the band of one training is the interval of its counts, and says nothing of the
scatter of trainings. Where trainings rank the same events differently at random, that enters s and d both, and the
range holds more than 68 %. 1/ε_B is positive and skewed: of it, the logarithms are taken.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from hepad.errors import InputError
from hepad.evaluation.efficiency import LEVEL
from hepad.evaluation.roc import Evaluation
from hepad.evaluation.tables import ordered
from hepad.storage.files import write_rows

COLUMNS = ("task", "detector", "signal", "trainings", "quantity", "at", "median", "low", "high")


class SeedSpread(NamedTuple):
    """ε_S against ε_B of the trainings of one detector: the median and the range [low, high].

    ``independent``: effective number of background events that pass, of the training with the fewest. ``auc``: (value,
    low, high), median and range alike.
    """

    eps_b: np.ndarray
    eps_s: np.ndarray
    low: np.ndarray
    high: np.ndarray
    independent: np.ndarray
    auc: tuple[float, float, float]
    trainings: int


def spread(evaluations: list[Evaluation], kind: str = "curve", points: int = 200) -> SeedSpread:
    """The trainings of one detector on the same samples as one curve, at ε_B that all of them reach.

    ``kind``: 'curve' of jets, or 'events' as a trigger counts them.
    """
    if not evaluations:
        raise InputError("trainings: there is none to draw. Give the task a seed.")
    curves, auc = [getattr(e, kind) for e in evaluations], _joined([e.auc for e in evaluations])
    if len(curves) == 1:
        return SeedSpread(*curves[0], auc=auc, trainings=1)
    grid = np.geomspace(max(curve.eps_b[0] for curve in curves), 1, points)
    names = ("eps_s", "low", "high", "independent")
    values = [[np.interp(np.log(grid), np.log(c.eps_b), getattr(c, name)) for c in curves] for name in names]
    return SeedSpread(grid, *together(*values[:3]), np.min(values[3], axis=0), auc=auc, trainings=len(curves))


def together(values, low, high, limit: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median and range of n trainings, from their values and intervals (n,) or (n, P); within [0, limit]."""
    values, low, high = (np.asarray(x, float) for x in (values, low, high))
    n, middle = len(values), np.median(values, axis=0)
    spread = 0.0
    if n > 1:
        spread = factor(n) * values.var(axis=0, ddof=1)
    lower, upper = (np.sqrt(spread + np.mean(x, axis=0) ** 2) for x in (values - low, high - values))
    return middle, np.maximum(middle - lower, 0), np.minimum(middle + upper, limit)


def factor(n: int) -> float:
    """T² (1 + 1/n) of n trainings: by it and their variance s² the median misses the value of one more."""
    return float(stdtrit(n - 1, 0.5 + LEVEL / 2) ** 2 * (1 + 1 / n))


def spreads(records: Iterable[dict], kind: str = "curve") -> tuple[dict[str, SeedSpread], dict[str, str]]:
    """Spreads, and groups, by label, of a task's detectors for a signal; records: of :mod:`hepad.evaluation.tables`."""
    trainings, groups = {}, {}
    for record in records:
        trainings.setdefault(record["label"], []).append(record["evaluation"])
        groups[record["label"]] = record["group"]
    return {label: spread(evaluations, kind) for label, evaluations in trainings.items()}, groups


def rows(records: Iterable[dict]) -> list[dict]:
    """Rows with the keys ``COLUMNS``, one per detector, signal and quantity: 'auc', 'eps_s' at ε_B, '1/eps_b' at ε_S.

    What one of the trainings does not resolve has no median.
    """
    trainings: dict[tuple, list[Evaluation]] = {}
    for record in ordered(records):
        trainings.setdefault((record["task"], record["detector"], record["signal"]), []).append(record["evaluation"])
    table = []
    for key, evaluations in trainings.items():
        points = [("auc", None, _joined([e.auc for e in evaluations]))]
        for group in zip(*(e.working_points for e in evaluations), strict=True):
            values = [p.eps_s[:3] for p in group] if all(p.resolved for p in group) else None
            points.append(("eps_s", group[0].eps_b, _joined(values)))
        for group in zip(*(e.rejections for e in evaluations), strict=True):
            values = [(r.inverse_eps_b, r.low, r.high) for r in group] if all(r.resolved for r in group) else None
            points.append(("1/eps_b", group[0].eps_s, _joined(values, logarithms=True)))
        for quantity, efficiency, values in points:
            table.append(dict(zip(COLUMNS, (*key, len(evaluations), quantity, efficiency, *values), strict=True)))
    return table


def write_seed_spread(path: str | Path, records: Iterable[dict]) -> None:
    """Write :func:`rows` as CSV, atomically."""
    write_rows(path, COLUMNS, rows(records))


def _joined(values: list[tuple] | None, logarithms: bool = False) -> tuple[float | None, float | None, float | None]:
    """:func:`together` of (value, low, high) of each training; of their logarithms, if asked; None if not known."""
    if values is None:
        return (None, None, None)
    columns = np.array(values, float).T
    results = np.exp(together(*np.log(columns), limit=np.inf)) if logarithms else together(*columns)
    return tuple(float(x) for x in results)
