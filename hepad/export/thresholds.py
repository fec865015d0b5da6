"""Thresholds of a run's own rates, for the file of the model that they were found with."""

from pathlib import Path
from typing import NamedTuple

from hepad.errors import InputError
from hepad.export.writing import sha256
from hepad.io import read_json


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
    try:
        found = {record["model_sha256"]: record for record in read_json(rates)}
        record = found.get(sha256(model))
        points = {} if record is None else {p["budget_khz"] or p["eps_b"]: p for p in record["points"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{rates}: no rates of hepad ({error!r}). Give results/rates/<task>.json.") from None
    if record is None:
        raise InputError(
            f"{rates}: its thresholds were not found with {model}: none of its {len(found)} trainings has that file's "
            "hash. Give the rates of the model's own run and task, and run snakemake again if it was trained anew."
        )
    declared = record["scale_khz"] is not None
    unit, key = ("kHz", "rates_khz") if declared else ("of the background", "eps_b")
    for budget in budgets:
        if budget not in points:
            there = ", ".join(f"{b:g}" for b in points)
            raise InputError(
                f"{rates}: no threshold for {budget:g} {unit}; there are those for {there}. Choose one of them, or add "
                f"{budget:g} to 'evaluation.{key}' and run snakemake."
            )
    chosen = budgets or [budget for budget, point in points.items() if point["resolved"]]
    pure = "_pure" if record["of"] == "pure" else ""
    thresholds = {}
    for budget in chosen:
        point, name = points[budget], f"{budget:g}kHz{pure}" if declared else f"eps_b_{budget:g}{pure}"
        remark = " ".join(filter(None, [point["remark"], *dict.fromkeys(record["remarks"].values())]))
        thresholds[name] = Threshold(point["threshold"], point["resolved"], remark)
    return thresholds
