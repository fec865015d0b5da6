"""Rates and gains of all detectors of a task, as JSON and as a table.

Of a sample with several probe jets per event a trigger sees the highest score of each event: all counts are of events.
Records hold fractions of the background, which every sample has; a background that declares a scale has a rate, too,

    rate = fraction × scale_khz

Of a background that is a sum of processes the share of each in the total is told, too.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hepad.evaluation.scored_sample import Rows
from hepad.evaluation.streaming import Sample, per_event
from hepad.evaluation.tables import ENDS, with_ends
from hepad.storage.files import write_rows
from hepad.trigger.rates import FRACTION, RATES, Point, Rate, Scale, at_budget, at_threshold, gain, scale_of
from hepad.trigger.stages import ALONE, Counted, Decision, Stages, decisions, processes_in

COLUMNS = (
    "task", "detector", "seed", "signal", "of", "budget_khz", "eps_b", "threshold", "threshold_low", "threshold_high",
    *(f"{of}{unit}{end}" for unit in ("", "_khz") for of in RATES for end in ENDS),
    "passed", "independent", "resolved", "processes", *(f"{name}{end}" for name in ("eps_s", "gain") for end in ENDS),
    "menu", "remark",
)  # fmt: skip


def declared_scale(name: str, entry: dict, meta: dict) -> Scale | None:
    """The scale of a sample from its entry's key ``rate`` and from what its generation says; None if neither does.

    A generated process has a rate only at a luminosity, which the entry must give.
    """
    declared = {**(meta.get("rate") or {}), **(entry.get("rate") or {})}
    if not entry.get("rate") and declared.get("kind") != "zero_bias":
        return None
    return scale_of(name, declared, meta)


def digests(models: Iterable[str | Path]) -> dict[str, str]:
    """'detector/seed' -> SHA-256 of the files <detector>/<seed>.safetensors."""
    hashes = {}
    for path in map(Path, models):
        with open(path, "rb") as file:
            hashes[f"{path.parent.name}/{path.stem}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def rates(
    samples: dict[str, Iterable[Rows]],
    scale: Scale | None,
    budgets: Iterable[float],
    stages: Stages = ALONE,
    models: dict[str, str] | None = None,
) -> list[dict]:
    """Points, gains and curves of every 'detector/seed'; the first sample is the background.

    Parameters
    ----------
    samples: name -> blocks of events and scores (:class:`hepad.evaluation.scored_sample.ScoredSample`), which can be
        gone through twice
    scale: of the background; None: it declares none
    budgets: in kHz; without a scale background efficiencies
    stages: the seeds beside the detectors, and those of an earlier stage
    models: of :func:`digests`, stored beside the thresholds that belong to them

    Returns
    -------
    JSON, one per 'detector/seed': detector, seed, model_sha256, of, scale_khz, remarks (sample -> of its menu bits),
    'points' with fractions, thresholds, the shares of 'processes' in the total and what is found of each signal, and
    'curve'
    """
    background, *signals = samples
    after, menu = decisions(stages, samples[background])
    counted, remarks, of = {}, {}, stages.of
    for name, blocks in samples.items():
        counted[name], remark = _counted(name, blocks, menu, after)
        remarks |= {name: remark} if remark else {}
    unit, budgets = scale or FRACTION, list(budgets)
    hertz = [budget if scale is None else 1000 * budget for budget in budgets]
    points = {
        key: [at_budget(sample, unit, budget, of) for budget in hertz] for key, sample in counted[background].items()
    }
    of_processes = _processes(background, samples[background], after, points, unit)
    records = []
    for key, model_points in points.items():
        described = []
        for budget, point, (shares, unseen) in zip(budgets, model_points, of_processes[key], strict=True):
            record = {k: v for k, v in point._asdict().items() if k not in (*RATES, "of", "prescale", "budget_hz")}
            record |= {name: _fraction(getattr(point, name), unit) for name in RATES}
            record |= {"budget_khz": None if scale is None else budget, "processes": shares}
            record["remark"] = " ".join(filter(None, [point.remark, unseen]))
            gains = {name: gain(point, counted[background][key], counted[name][key]) for name in signals}
            in_signals = {name: {of: x and x._asdict() for of, x in g._asdict().items()} for name, g in gains.items()}
            described.append(record | {"signals": in_signals})
        detector, seed = key.split("/")
        records.append(
            {"detector": detector, "seed": int(seed), "model_sha256": (models or {}).get(key), "of": of,
             "scale_khz": scale and scale.hz / 1000, "remarks": remarks, "points": described,
             "curve": _curve(counted[background][key])}
        )  # fmt: skip
    return records


def _counted(
    name: str, blocks: Iterable[Rows], menu: Decision | None, after: Decision | None
) -> tuple[dict[str, Sample], str]:
    """{'detector/seed': crossings by their highest score} of a sample, and the remark on its menu bits."""
    tops, remark = {}, ""
    for events, scores in blocks:
        decided = [decide and decide(name, events) for decide in (menu, after)]
        remark = " ".join(dict.fromkeys(filter(None, (found and found.remark for found in decided))))
        first, highest = per_event(events.event_id, list(scores.values()))
        of_menu, of_after = (found and found.probability[first] for found in decided)
        for key, values in zip(scores, highest, strict=True):
            top = tops.setdefault(key, Counted(name))
            top.add(values, events.weight[first], events.cluster[first], of_menu, of_after)
    if not tops:
        Counted(name).sample()  # says that the sample is empty
    return {key: top.sample() for key, top in tops.items()}, remark


def _processes(
    name: str, blocks: Iterable[Rows], after: Decision | None, points: dict[str, list[Point]], scale: Scale
) -> dict[str, list[tuple[dict[str, float], str]]]:
    """Of every point, in the order of ``points``, {process: its share in the total} and a remark on those unseen.

    Intervals know the weights of events that pass. Where none of a process does, and one would change the rate by more
    than its interval, that is said. Nothing is in the mapping if the sample is no sum of processes.
    """
    names = list(next(iter(blocks))[0].meta.get("processes", ()))
    sums = {key: np.zeros((2, len(of_key), len(names))) for key, of_key in points.items()}  # of weights and of events
    whole, largest = 0.0, np.zeros(len(names))
    for events, scores in blocks if names else ():
        first, highest = per_event(events.event_id, list(scores.values()))
        whole += float(events.weight[first].sum())
        weight = events.weight[first] * (after(name, events).probability[first] if after else 1)
        masks = processes_in(events)
        of_process = np.stack([weight * masks[process][first] for process in names], axis=1)
        largest = np.maximum(largest, [events.weight[masks[process]].max(initial=0.0) for process in names])
        for key, values in zip(scores, highest, strict=True):
            passing = [of_process[values > point.threshold] for point in points[key]]
            sums[key] += [[x.sum(axis=0) for x in passing], [np.count_nonzero(x, axis=0) for x in passing]]
    unit = " of the sample" if scale is FRACTION else " Hz"
    found = {}
    for key, of_key in points.items():
        found[key] = []
        for point, weights, counts in zip(of_key, *sums[key], strict=True):
            shares = (weights / (weights.sum() or 1.0)).tolist()
            unseen = [
                f"none of '{process}' passes, of which one event is {one * scale.hz / whole:.3g}{unit}: the interval "
                "does not know its rate."
                for process, count, one in zip(names, counts, largest, strict=True)
                if not count and one * scale.hz / whole > point.total.high - point.total.hz
            ]
            found[key].append((dict(zip(names, shares, strict=True)), " ".join(unseen)))
    return found


def _curve(background: Sample) -> dict:
    distribution = background.total
    thresholds = np.unique(distribution.at_most(np.geomspace(1 / distribution.whole.n, 1, 60)))
    curve = [at_threshold(background, FRACTION, float(t)) for t in thresholds]
    curve = [{kind: _fraction(rate, FRACTION) for kind, rate in rates.items()} for rates in curve]
    return {"threshold": thresholds.tolist(), "fractions": curve}


def _fraction(rate: Rate | None, scale: Scale) -> dict | None:
    """The passing fraction of the background: value, low, high, passed, effective."""
    if rate is None:
        return None
    value, low, high = (x / scale.hz for x in rate[:3])
    return {"value": value, "low": low, "high": high, "passed": rate.passed, "effective": rate.effective}


def rows(task: str, records: list[dict]) -> list[dict]:
    """Rows of the table, with the keys ``COLUMNS``: one per detector, seed, signal and budget.

    ``total``, ``pure`` and ``overlap`` are fractions of the background; those in kHz are empty without a scale.
    """
    table = []
    for record in records:
        for point in record["points"]:
            shared = {"task": task, **{key: record[key] for key in ("detector", "seed", "of")}}
            # a threshold is used as it is, to the last digit
            thresholds = {key: point[key] for key in ("threshold", "threshold_low", "threshold_high")}
            shared |= {key: None if value is None else repr(value) for key, value in thresholds.items()}
            shared |= {key: point[key] for key in ("budget_khz", "eps_b", "independent", "resolved")}
            shared |= {"passed": point["total"]["passed"]}
            shared |= {"processes": ", ".join(f"{name} {x:.4g}" for name, x in point.get("processes", {}).items())}
            for kind in RATES:
                shared |= with_ends(kind, point[kind], 1.0) | with_ends(f"{kind}_khz", point[kind], record["scale_khz"])
            for signal, gains in point["signals"].items():
                row = shared | {"signal": signal, "menu": (gains["menu"] or {}).get("value")}
                row |= with_ends("eps_s", gains["eps_s"], 1.0) | with_ends("gain", gains["gain"], 1.0)
                menu_remarks = [
                    text for name, text in record["remarks"].items() if name not in {*point["signals"]} - {signal}
                ]
                row["remark"] = " ".join(dict.fromkeys(filter(None, [point["remark"], *menu_remarks])))
                table.append({column: row.get(column) for column in COLUMNS})
    return table


def write_rates(path: str | Path, tasks: dict[str, list[dict]]) -> None:
    """All working points of all tasks as CSV, atomically."""
    write_rows(path, COLUMNS, [row for task, records in tasks.items() for row in rows(task, records)])
