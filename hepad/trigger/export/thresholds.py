"""Thresholds of a run's own rates, for the file of the model that they were found with."""

from pathlib import Path
from types import NoneType
from typing import NamedTuple

from hepad.errors import InputError
from hepad.storage.files import read_json
from hepad.trigger.export.metadata import is_number
from hepad.trigger.export.onnx_export import sha256

# keys of a record and of each of its points; None where a background declares no rate, or a number is infinite
NUMBER, NUMBER_OR_NONE = (int, float), (int, float, NoneType)
RECORD = {"points": list, "of": str, "remarks": dict, "scale_khz": NUMBER_OR_NONE}
POINT = {"threshold": NUMBER_OR_NONE, "budget_khz": NUMBER_OR_NONE, "eps_b": NUMBER, "resolved": bool, "remark": str}


class Threshold(NamedTuple):
    """Events above ``value`` pass; ``resolved``: the background fixes it; ``remark``: what is to be known, in words."""

    value: float
    resolved: bool
    remark: str


def thresholds_of(rates: str | Path, model: str | Path, budgets: list[float]) -> dict[str, Threshold]:
    """{name: threshold} of budgets, by the names '100kHz' (of a pure rate '100kHz_pure') or 'eps_b_0.01'.

    Parameters
    ----------
    rates: results/rates/<task>.json of the run
    model: its safetensors file; it must be the very one whose scores the rates are of
    budgets: in kHz, or background efficiencies if the task's background declares no rate; none: all that are resolved

    Raises
    ------
    InputError: the rates are of another model, or know nothing of a budget
    """
    record, number = _record_of(rates, model_sha256=sha256(model))
    if record is None:
        raise InputError(
            f"{rates}: its thresholds were not found with {model}: none of its {number} trainings has that file's "
            "hash. Give the rates of the model's own run and task, and run snakemake again if it was trained anew."
        )
    return _chosen(rates, record, budgets)


def thresholds_of_training(rates: str | Path, detector: str, seed: int) -> dict[str, float]:
    """{name: threshold} of the training of a detector, all that are resolved; InputError if the rates lack it."""
    record, number = _record_of(rates, detector=detector, seed=seed)
    if record is None:
        raise InputError(f"{rates}: none of its {number} trainings is '{detector}', seed {seed}. Give --threshold.")
    return {name: found.value for name, found in _chosen(rates, record, []).items()}


def of_rates(rates: str | Path, notes: dict) -> dict[str, tuple[float, float | None]]:
    """{name: (the threshold that was exported, that of the rates, None if they have none of this name)}.

    Parameters
    ----------
    notes: of an exported file, by :func:`hepad.trigger.export.inference.about`

    Raises
    ------
    InputError: the rates were made with another model
    """
    record, number = _record_of(rates, model_sha256=notes["model_sha256"])
    if record is None:
        raise InputError(
            f"{rates}: made with other models: none of its {number} trainings has the hash of the exported one, "
            f"{notes['model_sha256']}. Give the rates of its run, or export the model that they were made with."
        )
    known = {name: point["threshold"] for name, point in _points(record).items()}
    return {name: (value, known.get(name)) for name, value in notes["given"].items()}


def _points(record: dict) -> dict[str, dict]:
    """The points of a record by the names of their thresholds."""
    pure, declared = "_pure" if record["of"] == "pure" else "", record["scale_khz"] is not None
    return {
        f"{point['budget_khz']:g}kHz{pure}" if declared else f"eps_b_{point['eps_b']:g}{pure}": point
        for point in record["points"]
    }


def _chosen(rates: str | Path, record: dict, budgets: list[float]) -> dict[str, Threshold]:
    """The thresholds of budgets, or of all that are resolved."""
    declared, points = record["scale_khz"] is not None, _points(record)
    by_budget = {point["budget_khz" if declared else "eps_b"]: name for name, point in points.items()}
    unit, key = ("kHz", "rates_khz") if declared else ("of the background", "eps_b")
    for budget in budgets:
        if budget not in by_budget:
            names = ", ".join(f"{b:g}" for b in by_budget)
            raise InputError(
                f"{rates}: no threshold for {budget:g} {unit}; there are those for {names}. Choose one of them, or add "
                f"{budget:g} to 'evaluation.{key}' and run snakemake."
            )
    names = [by_budget[budget] for budget in budgets] or [name for name, point in points.items() if point["resolved"]]
    thresholds = {}
    for name in names:
        remark = " ".join(filter(None, [points[name]["remark"], *dict.fromkeys(record["remarks"].values())]))
        value = points[name]["threshold"]
        if value is None:
            raise InputError(f"{rates}: the threshold of {name} is not finite. {remark} Choose others with --budget.")
        thresholds[name] = Threshold(value, points[name]["resolved"], remark)
    return thresholds


def _record_of(rates: str | Path, **wanted: str | int) -> tuple[dict | None, int]:
    """The record with these values, such as of 'model_sha256'; None if there is none, and the number of records."""
    try:
        records = read_json(rates)
    except RecursionError:
        records = None
    if not isinstance(records, list) or not records:
        raise _foreign(rates, "it is no list of records")
    for record in records:
        if not isinstance(record, dict) or not isinstance(record.get("model_sha256", 0), str | None):
            raise _foreign(rates, "a record has no 'model_sha256'")
    matches = [record for record in records if all(record.get(key) == value for key, value in wanted.items())]
    if not matches:
        return None, len(records)
    record = matches[0]  # a model under two names is the same model
    _check(rates, record, RECORD)
    if not record["points"]:
        raise _foreign(rates, "'points' is empty")
    if record["of"] not in ("total", "pure") or not all(isinstance(x, str) for x in record["remarks"].values()):
        raise _foreign(rates, "'of' or 'remarks' is not what a run writes")
    for point in record["points"]:
        _check(rates, point, POINT)
        if (record["scale_khz"] is None) != (point["budget_khz"] is None):
            raise _foreign(rates, "a budget in kHz and 'scale_khz' come together")
    return record, len(records)


def _check(rates: str | Path, part: dict, kinds: dict) -> None:
    """InputError unless ``part`` has these keys with values of these kinds."""
    for key, kind in kinds.items():
        value = part.get(key, ...) if isinstance(part, dict) else ...
        number = isinstance(value, NUMBER) and kind is not bool
        if not isinstance(value, kind) or (number and not is_number(value)):
            fault = "missing" if value is ... else f"{value!r:.60}"
            raise _foreign(rates, f"'{key}' is {fault}")


def _foreign(rates: str | Path, reason: str) -> InputError:
    return InputError(f"{rates}: no rates of hepad ({reason}). Give results/rates/<task>.json of the model's run.")
