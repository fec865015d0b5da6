"""What several trainings of one detector have in common: the median, and the range of the middle 68 % of them.

    median = Q(1/2),    low = Q(0.16),    high = Q(0.84)        Q: quantiles over trainings, interpolated linearly

The range is the scatter of trainings that differ by their seed alone. The statistical intervals of the evaluations,
which the samples have, do not enter: all trainings see the same test events.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation import Evaluation
from hepad.tables import ordered, write_rows

BAND = (0.16, 0.84)
COLUMNS = ("task", "detector", "signal", "trainings", "quantity", "at", "median", "low", "high")


class Band(NamedTuple):
    """ε_S against ε_B of the trainings of one detector: the median and the range [low, high].

    Of one training, the range is the interval of the signal's counts. ``n_background_passed``: of the training with the
    fewest. ``auc``: (value, low, high), median and range alike.
    """

    eps_b: np.ndarray
    eps_s: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_background_passed: np.ndarray
    auc: tuple[float, float, float]
    trainings: int


def band(evaluations: list[Evaluation], points: int = 200) -> Band:
    """The trainings of one detector on the same samples as one curve, at ε_B that all of them reach."""
    if not evaluations:
        raise InputError("trainings: there is none to draw. Give the task a seed.")
    curves = [evaluation.curve for evaluation in evaluations]
    if len(curves) == 1:
        return Band(*curves[0], auc=tuple(evaluations[0].auc), trainings=1)
    grid = np.geomspace(max(curve.eps_b[0] for curve in curves), 1, points)
    of = np.stack([np.interp(np.log(grid), np.log(curve.eps_b), curve.eps_s) for curve in curves])
    passed = [np.interp(np.log(grid), np.log(curve.eps_b), curve.n_background_passed) for curve in curves]
    low, high = np.quantile(of, BAND, axis=0)
    auc = _range([evaluation.auc.value for evaluation in evaluations])
    return Band(grid, np.median(of, axis=0), low, high, np.min(passed, axis=0), auc, len(curves))


def bands(records: Iterable[dict]) -> tuple[dict[str, Band], dict[str, str]]:
    """Bands and groups of the detectors of one task and signal, by label; records as in :mod:`hepad.tables`."""
    trainings, groups = {}, {}
    for record in records:
        trainings.setdefault(record["label"], []).append(record["evaluation"])
        groups[record["label"]] = record["group"]
    return {label: band(of) for label, of in trainings.items()}, groups


def rows(records: Iterable[dict]) -> list[dict]:
    """Rows with the keys ``COLUMNS``, one per detector, signal and quantity: 'auc', 'eps_s' at ε_B, '1/eps_b' at ε_S.

    Of one training there is no range. What one of the trainings does not resolve has no median.
    """
    of: dict[tuple, list[Evaluation]] = {}
    for record in ordered(records):
        of.setdefault((record["task"], record["detector"], record["signal"]), []).append(record["evaluation"])
    found = []
    for key, evaluations in of.items():
        points = [("auc", None, [e.auc.value for e in evaluations])]
        for same in zip(*(e.working_points for e in evaluations), strict=True):
            points.append(("eps_s", same[0].eps_b, [p.eps_s.value for p in same if p.resolved]))
        for same in zip(*(e.rejections for e in evaluations), strict=True):
            points.append(("1/eps_b", same[0].eps_s, [r.inverse_eps_b for r in same if r.resolved]))
        for quantity, at, values in points:
            known = _range(values) if len(values) == len(evaluations) else (None, None, None)
            known = known if len(evaluations) > 1 else (known[0], None, None)
            found.append(dict(zip(COLUMNS, (*key, len(evaluations), quantity, at, *known), strict=True)))
    return found


def write_bands(path: str | Path, records: Iterable[dict]) -> None:
    """Write :func:`rows` as CSV, atomically."""
    write_rows(path, COLUMNS, rows(records))


def _range(values: list[float]) -> tuple[float, float, float]:
    return (float(np.median(values)), *(float(x) for x in np.quantile(values, BAND)))
