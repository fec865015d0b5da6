"""The table of a menu: the rate of each of its seeds on the background, and what it takes of every signal.

The rate of a seed g is that of all events that fire it, over its prescale P; its pure rate that of those that no other
seed accepts:

    R = F Σ_x b_g(x) w(x) / (P Σ_x w(x)),     R_pure = F Σ_x (a(x) - a'(x)) w(x) / Σ_x w(x),

of which a process of a sum has those events that are of it, in the first of the sums, so that its parts add up to R;
b_g its bit, F the rate of the whole sample (:mod:`hepad.trigger.rates`), a the acceptance of the menu and a' without
the seed (:mod:`hepad.trigger.menu`). Behind a first stage every event counts as often as that accepts it. The line of
all seeds has what the whole menu accepts.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hepad.evaluation.scored_sample import Rows
from hepad.evaluation.streaming import Sample
from hepad.evaluation.tables import ENDS, with_ends
from hepad.storage.files import write_rows
from hepad.trigger.rates import Scale
from hepad.trigger.stages import Counted, Decision, Stages, decisions, processes_in

VALUES = tuple(f"{of}{unit}" for unit in ("", "_khz") for of in ("total", "pure"))
COLUMNS = (
    "task", "stage", "seed", "condition", "prescale", "sample", "process",
    *(f"{x}{end}" for x in VALUES for end in ENDS), "passed", "resolved",
)  # fmt: skip
ALL = "(all)"
FIRED = 0.5  # between a bit that is not set and one that is
FEW = 16  # groups of scores, of which there are two


def seed_rows(task: str, samples: dict[str, Iterable[Rows]], stages: Stages, scale: Scale | None) -> list[dict]:
    """Rows with the keys ``COLUMNS``, of every stage, sample and seed that is on and has a bit in the events.

    Behind the row of a sample that is a sum of processes are rows of these; ``process`` is empty in all others.

    Parameters
    ----------
    task: its name
    samples: name -> blocks of events and scores (:class:`hepad.evaluation.scored_sample.ScoredSample`), which can be
        gone through several times; the first is the background
    stages: the menu, and the earlier one
    scale: of the background; None: it declares none, and there are only fractions
    """
    background = next(iter(samples))
    first, own = decisions(stages, samples[background])
    rows = []
    for stage, decision, before in (("first", first, None), ("menu", own, first)):
        for sample, blocks in samples.items() if decision else ():
            hz = scale.hz if scale and sample == background else None
            counted, shares = _counted(sample, blocks, decision, before)
            for (seed, process), found in counted.items():
                condition, prescale = decision.menu.seeds.get(seed, ""), decision.menu.prescales.get(seed, 1.0)
                row = {"task": task, "stage": stage, "seed": seed, "condition": condition, "prescale": prescale}
                row |= {"sample": sample, "process": process, **_values(seed, found, prescale, hz, shares[process])}
                rows.append({column: row.get(column) for column in COLUMNS})
    return rows


def write_seeds(path: str | Path, rows: list[dict]) -> None:
    """The table as CSV, atomically."""
    write_rows(path, COLUMNS, rows)


def _counted(
    sample: str, blocks: Iterable[Rows], decision: Decision, before: Decision | None
) -> tuple[dict[tuple[str, str], Sample], dict[str, float]]:
    """{(seed, process): events by its bit} of a sample and of its processes, and of the whole menu.

    Beside them of each process its share of the sample, by weight; the sample itself is the process ''.
    """
    counted: dict[tuple[str, str], Counted] = {}
    weights: dict[str, float] = {}
    for events, _ in blocks:
        _, first = np.unique(events.event_id, return_index=True)  # a trigger decides on events
        accepted = before and before(sample, events).probability
        parts = {process: first[of[first]] for process, of in processes_in(events).items()}
        for process, rows in parts.items():
            weights[process] = weights.get(process, 0.0) + float(events.weight[rows].sum())
        whole, seeds = decision.each(sample, events)
        counts = {seed: (bits, 1 - (whole - others)) for seed, (bits, others) in seeds.items()}
        for seed, (bits, menu) in (counts | {ALL: (np.ones(len(events)), whole)}).items():
            for process, rows in parts.items():
                top = counted.setdefault((seed, process), Counted(sample, groups=FEW))
                after = None if accepted is None else accepted[rows]
                top.add(
                    bits[rows].astype(float),
                    events.weight[rows],
                    events.cluster[rows],
                    np.clip(menu[rows], 0, 1),
                    after,
                )
    there = {key: top for key, top in counted.items() if weights[key[1]]}
    shares = {process: weight / weights[""] for process, weight in weights.items()}
    return {key: top.sample() for key, top in there.items()}, shares


def _values(seed: str, found: Sample, prescale: float, hz: float | None, share: float) -> dict:
    counted = {"total": found.overlap} if seed == ALL else {"total": found.total, "pure": found.pure}
    row = {}
    for of, distribution in counted.items():
        interval = dict(zip(("value", "low", "high"), map(float, distribution.intervals(FIRED)), strict=True))
        part = share / prescale if of == "total" else share
        row |= with_ends(of, interval, part) | with_ends(f"{of}_khz", interval, hz and part * hz / 1000)
    passed = found.menu.passed if seed == ALL else int(found.total.count(FIRED))
    return row | {"passed": passed, "resolved": bool(counted["total"].resolved(FIRED))}
