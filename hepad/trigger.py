"""Rates and gains of all detectors of a task, and what several trainings of one have in common.

Of a sample with several probe jets per event a trigger sees the highest score of each event: all counts are of events.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation import Evaluation
from hepad.events import Events, concatenate
from hepad.menu import Menu, acceptance, read_menu, unprescaled
from hepad.rate import Rate, Scale, at_budget, at_threshold, gain, scale_of
from hepad.simulation.pileup import independent
from hepad.tables import write_rows
from hepad.top_scores import per_event, sample

FIRST_IDS = 10**10  # identifiers of generated events count from multiples of this, one for each chunk
BAND = (0.16, 0.84)
COLUMNS = (
    "task", "detector", "seed", "signal", "budget_khz", "eps_b", "threshold", "threshold_low", "threshold_high",
    "total_khz", "total_low", "total_high", "pure_khz", "pure_low", "pure_high", "overlap_khz", "passed", "independent",
    "resolved", "eps_s", "eps_s_low", "eps_s_high", "gain", "gain_low", "gain_high", "menu", "remark",
)  # fmt: skip


class Band(NamedTuple):
    """ε_S against ε_B of several trainings: the median and the range [low, high] of the middle 68 % of them.

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
        raise InputError("trigger: there is no training to draw. Give the task a seed.")
    curves = [evaluation.curve for evaluation in evaluations]
    if len(curves) == 1:
        return Band(*curves[0], auc=tuple(evaluations[0].auc), trainings=1)
    grid = np.geomspace(max(curve.eps_b[0] for curve in curves), 1, points)
    of = np.stack([np.interp(np.log(grid), np.log(curve.eps_b), curve.eps_s) for curve in curves])
    passed = [np.interp(np.log(grid), np.log(curve.eps_b), curve.n_background_passed) for curve in curves]
    low, high = np.quantile(of, BAND, axis=0)
    areas = [evaluation.auc.value for evaluation in evaluations]
    auc = (float(np.median(areas)), *(float(x) for x in np.quantile(areas, BAND)))
    return Band(grid, np.median(of, axis=0), low, high, np.min(passed, axis=0), auc, len(curves))


def tested(path: str | Path) -> Events:
    """The test events of a file, without their constituents, in the order of the score file."""
    parts = (chunk.of_split("test") for chunk in Events.chunks(path))
    return concatenate([replace(part, constituents=part.constituents[:, :0]) for part in parts])


def declared_scale(name: str, entry: dict, meta: dict) -> Scale | None:
    """The scale of a sample from its entry's key ``rate`` and from what its generation says; None if neither does.

    A generated process has a rate only at a luminosity, which the entry must give.
    """
    declared = {**(meta.get("rate") or {}), **(entry.get("rate") or {})}
    if not entry.get("rate") and declared.get("kind") != "zero_bias":
        return None
    return scale_of(name, declared, meta)


def menu_of(entry: dict | None, bits: Iterable[str]) -> Menu | None:
    """The menu of a config, {table, column} or {bits: [patterns]}, and ``without: [patterns]``; None if it has none."""
    if not entry:
        return None
    menu = read_menu(entry["table"], entry["column"]) if "table" in entry else unprescaled(bits, entry["bits"])
    return menu.without(entry.get("without", ()))


def areas(evaluations: list[dict], task: str, backgrounds: dict[str, str]) -> dict[str, dict]:
    """detector -> {'auc', 'swapped'} -> signal -> (value, low, high), in ``task`` and where the samples change places.

    ``evaluations``: records of :mod:`hepad.tables`, of the first training of each; ``backgrounds``: of each task.
    """
    found: dict[str, dict] = {}
    for record in evaluations:
        of = found.setdefault(record["detector"], {"auc": {}, "swapped": {}})
        if record["task"] == task:
            of["auc"].setdefault(record["signal"], list(record["evaluation"].auc))
        elif record["signal"] == backgrounds[task]:
            of["swapped"].setdefault(backgrounds[record["task"]], list(record["evaluation"].auc))
    return {
        name: {"auc": of["auc"], "swapped": {s: auc for s, auc in of["swapped"].items() if s in of["auc"]}}
        for name, of in found.items()
        if of["auc"]
    }


def rates(
    scores: dict[str, tuple[dict, dict]],
    events: dict[str, Events],
    scale: Scale,
    budgets_khz: Iterable[float],
    menu: Menu | None = None,
) -> list[dict]:
    """Points, gains and curves of every 'detector/seed'; the first sample is the background.

    Parameters
    ----------
    scores: sample -> what :func:`hepad.features.read_scores` returns
    events: sample -> :func:`tested`, row by row the same events
    scale: of the background
    budgets_khz: total rates; with a menu, pure ones
    menu: of the other seeds; None: there is no pure rate

    Returns
    -------
    JSON, one per 'detector/seed': detector, seed, of, scale_khz, remark (of the menu), 'points' and 'curve'
    """
    background, *signals = scores
    for name, (_, about) in scores.items():
        if not np.array_equal(about["event_id"], events[name].event_id):
            raise InputError(f"trigger: scores and events of '{name}' differ. Delete its score file and run again.")
    accepted = {name: menu and acceptance(menu, e.triggers, e.meta.get("triggers", ())) for name, e in events.items()}
    found = []
    for key in scores[background][0]:
        samples = {name: _sample(name, of[key], events[name], accepted[name]) for name, (of, _) in scores.items()}
        points = []
        for khz in budgets_khz:
            point = at_budget(samples[background], scale, 1000 * khz, "pure" if menu else "total")
            gains = {name: gain(point, samples[background], samples[name]) for name in signals}
            passing = events[background][scores[background][0][key] > point.threshold]
            rated = {
                name: value._asdict() if isinstance(value, Rate) else value for name, value in point._asdict().items()
            }
            found_in = {name: {of: x and x._asdict() for of, x in g._asdict().items()} for name, g in gains.items()}
            points.append(rated | {"independent": _independent(passing), "signals": found_in})
        detector, seed = key.split("/")
        tail = samples[background].total
        thresholds = np.unique(tail.at_most(np.geomspace(1 / len(tail.scores), 1, 60)))
        curve = [at_threshold(samples[background], scale, float(t)) for t in thresholds]
        curve = [{of: rate and rate._asdict() for of, rate in at.items()} for at in curve]
        found.append(
            {"detector": detector, "seed": int(seed), "of": "pure" if menu else "total", "scale_khz": scale.hz / 1000,
             "remark": accepted[background].remark if menu else "", "points": points,
             "curve": {"threshold": thresholds.tolist(), "rates": curve}}
        )  # fmt: skip
    return found


def _sample(name: str, scores, events: Events, accepted):
    first, highest = per_event(events.event_id, scores)
    return sample(name, highest, events.weight[first], None if accepted is None else accepted.probability[first])


def _independent(passing: Events) -> float | None:
    """Effective number of different hardest collisions, for crossings overlaid from a pool (None for other samples)."""
    if passing.meta.get("rate", {}).get("kind") != "zero_bias" or "hardest_pileup" not in passing.truth:
        return None
    return independent(passing.event_id // FIRST_IDS, passing.truth["hardest_pileup"])


def rows(task: str, records: list[dict]) -> list[dict]:
    """Rows of the table, with the keys ``COLUMNS``: one per detector, seed, signal and budget."""
    found = []
    for record in records:
        for point in record["points"]:
            shared = {"task": task, "detector": record["detector"], "seed": record["seed"]}
            # a threshold is used as it is, to the last digit
            known = {key: point[key] for key in ("threshold", "threshold_low", "threshold_high")}
            shared |= {key: None if value is None else repr(value) for key, value in known.items()}
            shared |= {key: point[key] for key in ("eps_b", "independent", "resolved", "remark")}
            shared |= {"budget_khz": point["budget_hz"] / 1000, "passed": point["total"]["passed"]}
            for of in ("total", "pure", "overlap"):
                rate = point[of] or dict.fromkeys(("hz", "low", "high"))
                khz = [None if rate[key] is None else rate[key] / 1000 for key in ("hz", "low", "high")]
                shared |= dict(zip((f"{of}_khz", f"{of}_low", f"{of}_high"), khz, strict=True))
            for signal, gains in point["signals"].items():
                row = shared | {"signal": signal, "menu": (gains["menu"] or {}).get("value")}
                for name in ("eps_s", "gain"):
                    of = gains[name] or {}
                    row |= {name: of.get("value"), f"{name}_low": of.get("low"), f"{name}_high": of.get("high")}
                found.append({column: row.get(column) for column in COLUMNS})
    return found


def write_rates(path: str | Path, tasks: dict[str, list[dict]]) -> None:
    """All working points of all tasks as CSV, atomically."""
    write_rows(path, COLUMNS, [row for task, records in tasks.items() for row in rows(task, records)])
