"""The cost of choosing a state without looking at the signal: computed afterwards, outside any training.

Every candidate of a finished training is scored on test background and on a signal. The AUC loss of a criterion is the
AUC of the best candidate, which only an eye on the signal could have picked, minus that of the one it picks.
"""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from hepad.detectors import Detector
from hepad.detectors.energy_based.criteria import CRITERIA
from hepad.detectors.training.settings import Candidates
from hepad.evaluation.roc import auc
from hepad.storage.files import write_rows

COLUMNS = (
    *("task", "detector", "signal", "seed", "criterion", "used", "n_background", "n_signal"),
    *("chosen_step", "auc", "auc_low", "auc_high", "best_step", "auc_of_best", "auc_loss"),
)


def follow(detector: Detector, candidates: Candidates, training: dict, background: Tensor, signal: Tensor) -> dict:
    """The chosen candidate, the criterion, and for each candidate its step, its values measured on background, and
    its AUC with interval.

    Parameters
    ----------
    detector: the finished detector; its state is put back at the end
    candidates: the candidates of its training; training: its ``history`` and ``facts``
    background, signal: test events (N, *space.shape)
    """
    measured = {r["step"]: r for r in training["history"] if r["phase"] == "energy" and "diverged" not in r}
    names = ("valid_energy", *(c.value for c in CRITERIA.values()))
    final = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    followed = []
    for step, state in candidates.items():
        detector.load_state_dict(state, strict=False)
        area = auc(detector.score(background).numpy(), detector.score(signal).numpy())
        values = {name: measured[step][name] for name in names if name in measured[step]}
        followed.append({**values, "auc": area.value, "auc_low": area.low, "auc_high": area.high})
    detector.load_state_dict(final)
    facts = {key: training["facts"][key] for key in ("criterion", "chosen_step")}
    return {**facts, "n_background": len(background), "n_signal": len(signal), "candidates": followed}


def auc_losses(record: dict) -> list[dict]:
    """Rows of the table, one per criterion that the detector has values for.

    record: what :func:`follow` gives, with task, detector, signal and seed beside it
    """
    candidates = record["candidates"]
    best = max(candidates, key=lambda c: c["auc"])
    rows = []
    for name, criterion in CRITERIA.items():
        if criterion.value not in candidates[0]:
            continue
        step = criterion.best(candidates)
        chosen = next(c for c in candidates if c["step"] == step)
        row = {key: record[key] for key in ("task", "detector", "signal", "seed", "n_background", "n_signal")}
        row |= {"criterion": name, "used": int(name == record["criterion"]), "chosen_step": step}
        row |= {key: chosen[key] for key in ("auc", "auc_low", "auc_high")}
        loss = best["auc"] - chosen["auc"]
        rows.append(row | {"best_step": best["step"], "auc_of_best": best["auc"], "auc_loss": loss})
    return rows


def write_auc_losses(path: str | Path, records: Iterable[dict]) -> None:
    """The table of all records as CSV, atomically."""
    write_rows(path, COLUMNS, [row for record in records for row in auc_losses(record)])
