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
    record, number = _record_of(rates, sha256(model))
    if record is None:
        raise InputError(
            f"{rates}: its thresholds were not found with {model}: none of its {number} trainings has that file's "
            "hash. Give the rates of the model's own run and task, and run snakemake again if it was trained anew."
        )
    declared = record["scale_khz"] is not None
    points = {point["budget_khz" if declared else "eps_b"]: point for point in record["points"]}
    unit, key = ("kHz", "rates_khz") if declared else ("of the background", "eps_b")
    for budget in budgets:
        if budget not in points:
            names = ", ".join(f"{b:g}" for b in points)
            raise InputError(
                f"{rates}: no threshold for {budget:g} {unit}; there are those for {names}. Choose one of them, or add "
                f"{budget:g} to 'evaluation.{key}' and run snakemake."
            )
    chosen = budgets or [budget for budget, point in points.items() if point["resolved"]]
    pure = "_pure" if record["of"] == "pure" else ""
    thresholds = {}
    for budget in chosen:
        point, name = points[budget], f"{budget:g}kHz{pure}" if declared else f"eps_b_{budget:g}{pure}"
        remark = " ".join(filter(None, [point["remark"], *dict.fromkeys(record["remarks"].values())]))
        if point["threshold"] is None:
            raise InputError(f"{rates}: the threshold of {name} is not finite. {remark} Choose others with --budget.")
        thresholds[name] = Threshold(point["threshold"], point["resolved"], remark)
    return thresholds


def _record_of(rates: str | Path, digest: str) -> tuple[dict | None, int]:
    """The record of the model with this digest, None if there is none, and the number of records."""
    try:
        records = read_json(rates)
    except RecursionError:
        records = None
    if not isinstance(records, list) or not records:
        raise _foreign(rates, "it is no list of records")
    for record in records:
        if not isinstance(record, dict) or not isinstance(record.get("model_sha256", 0), str | None):
            raise _foreign(rates, "a record has no 'model_sha256'")
    matches = [record for record in records if record["model_sha256"] == digest]
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
