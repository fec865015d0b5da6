"""How the detectors of a task stand: a line for each, whatever the number of its trainings, and the best of a group.

Best is whose median ε_S at the working point is the largest; where no line of the group is resolved there, whose AUC
is. That looks at the signal: it says how far a method can go, and chooses nothing that a training or a threshold uses.
"""

from collections.abc import Iterable
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from hepad.evaluation import seed_spread
from hepad.evaluation.efficiency import MIN_COUNT

Range = tuple[float, float, float]


class Standing(NamedTuple):
    """One detector of a task; ``values``: (signal, quantity, at) -> (median, low, high), as the rows of
    :mod:`hepad.evaluation.seed_spread` have them, None where a training is not resolved."""

    detector: str
    label: str
    group: str
    trainings: int
    values: dict[tuple[str, str, float | None], Range | None]


class Shortage(NamedTuple):
    """The test background of a task is too small for thresholds at ``eps_b``, of ``unresolved`` of its ``trainings``.

    Of the worst of them ``passing`` independent background jets pass; ``factor`` times as many jets would be enough.
    """

    task: str
    eps_b: float
    unresolved: int
    trainings: int
    passing: float
    n_background: int
    factor: float


def standings(records: Iterable[dict], at: float) -> dict[str, list[Standing]]:
    """By task the lines, the best first: by the mean over the signals of the median ε_S at ε_B = ``at``, then of the
    AUC; what is not resolved counts as nothing. Supervised lines are the last.

    records: of :mod:`hepad.evaluation.tables`, with the labels of detectors
    """
    records = list(records)
    known = {(r["task"], r["detector"]): r for r in records}
    found: dict[str, dict[str, Standing]] = {}
    for row in seed_spread.rows(records):
        of_task, name = found.setdefault(row["task"], {}), row["detector"]
        if name not in of_task:
            record = known[row["task"], name]
            of_task[name] = Standing(name, record.get("label", name), record["group"], row["trainings"], {})
        value = None if row["median"] is None else (row["median"], row["low"], row["high"])
        of_task[name].values[row["signal"], row["quantity"], row["at"]] = value
    return {task: sorted(of_task.values(), key=lambda line: _rank(line, at)) for task, of_task in found.items()}


def _rank(line: Standing, at: float) -> tuple:
    means = []
    for quantity in (("eps_s", at), ("auc", None)):
        values = [value[0] if value else 0.0 for key, value in line.values.items() if key[1:] == quantity]
        means.append(-sum(values) / max(len(values), 1))
    return line.group == "supervised", *means, line.detector


def best(lines: list[Standing], group: str, signal: str, at: float) -> Standing | None:
    """The best line of a group for a signal; None if the group has no result."""
    own = [line for line in lines if line.group == group and line.values.get((signal, "auc", None))]
    resolved = [line for line in own if line.values.get((signal, "eps_s", at))]
    key = (signal, "eps_s", at) if resolved else (signal, "auc", None)
    return max(resolved or own, key=lambda line: line.values[key][0], default=None)


def losing(lines: list[Standing], signal: str, at: float) -> list[Standing]:
    """The blind detectors whose median ε_S is below that of the best trivial baseline, where both are resolved."""
    key, opponent = (signal, "eps_s", at), best(lines, "baseline", signal, at)
    if opponent is None or not opponent.values.get(key):
        return []
    level = opponent.values[key][0]
    return [x for x in lines if x.group == "detector" and x.values.get(key) and x.values[key][0] < level]


def shortages(records: Iterable[dict]) -> list[Shortage]:
    """What the background samples are too small for, by task and falling ε_B; supervised lines do not count.

    With the same share of independent jets, N times the jets are N times those that pass.
    """
    points: dict[tuple[str, float], dict[tuple[str, int], tuple[float, float, int]]] = {}
    for record in records:
        evaluation, training = record["evaluation"], (record["detector"], record["seed"])
        if record["group"] == "supervised" or not evaluation.working_points:
            continue
        loosest = max(evaluation.working_points, key=lambda p: p.eps_b)
        known = loosest.independent / loosest.eps_b or evaluation.n_background
        for p in evaluation.working_points:
            expected = min(p.independent or known * p.eps_b, known * p.eps_b)
            of_training = points.setdefault((record["task"], p.eps_b), {})  # the same for all signals
            of_training[training] = p.independent, expected, evaluation.n_background
    found = []
    for (task, eps_b), of_trainings in points.items():
        short = [x for x in of_trainings.values() if x[0] < MIN_COUNT]
        if short:
            worst = min(short, key=lambda x: x[:2])
            factor = _rounded_up(MIN_COUNT / min(x[1] for x in short))
            found.append(Shortage(task, eps_b, len(short), len(of_trainings), worst[0], worst[2], factor))
    tasks = list(dict.fromkeys(s.task for s in found))
    return sorted(found, key=lambda s: (tasks.index(s.task), -s.eps_b))


def _rounded_up(x: float) -> float:
    """To two digits."""
    unit = 10.0 ** (floor(log10(x)) - 1)
    return float(f"{ceil(x / unit * (1 - 1e-9)) * unit:.2g}")


def rounded(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A value, and how far up and down its interval reaches, to two digits of the larger of both."""
    up, down = high - value, value - low
    size = max(up, down)
    digits = min(max(1 - floor(log10(size)), 0), 6) if size > 0 and isfinite(size) else 4
    return f"{value:.{digits}f}", f"{up:.{digits}f}", f"{down:.{digits}f}"
