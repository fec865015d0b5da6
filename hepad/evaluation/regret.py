r"""Worst-case regret: how much a detector loses to the best simple opponent, on the signal on which it loses most.

    R(d) = max over tasks and signals of [ max over opponents o of AUC(o) - AUC(d) ]

Nobody knows the signal. Of two detectors the one with the smaller regret is the safer choice: whatever the signal is, a
simple opponent would not have done better by more. A detector that is ahead of all opponents on all signals has a
negative regret; an opponent's is at least 0, since it is one of those that it is compared with. Opponents are the group
'baseline'. Signals are looked at: this evaluates, and chooses nothing that a training or a threshold uses.

The largest of several numbers that were measured is larger than the largest of their true values, the more so the more
of them are nearly as large. So the interval is not that of the largest one, but, with θ_j the differences of AUC of all
signals and opponents, σ_j and correlations from :mod:`hepad.evaluation.areas`, and α the share outside, that of
V. Chernozhukov, S. Lee and A. Rosen (Econometrica 81, 2013, 667) for a maximum:

    low  = max_j (θ_j - c σ_j),     P( max_{j in J} (noise of θ_j) / σ_j > c ) = α/2
    high = max_j (θ_j + z σ_j),     P( noise of θ_j / σ_j < -z ) = α/2

J: those that may be the largest, θ_j + 2 k σ_j >= max_i (θ_i - k σ_i), k the 99 % quantile of the largest |noise| / σ.
Each end is exact if one θ_j is far above all others; else the interval holds the truth more often than it says. The
noise is drawn, normal, from the covariances.

Of the signal efficiency at the working point there is the ratio to the best opponent's, where it is smallest, over the
signals at which both are resolved.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from hepad.errors import InputError
from hepad.evaluation import seed_spread
from hepad.evaluation.areas import Areas
from hepad.evaluation.efficiency import LEVEL
from hepad.storage.files import read_json, write_rows

COLUMNS = ("detector", "group", "n_signals", "trainings", "regret", "low", "high", "task", "signal", "opponent",
           "eps_s_ratio", "ratio_task", "ratio_signal", "remark")  # fmt: skip
DRAWS = 4_000
SURE = 0.99
Place = tuple[str, str]  # task and signal


def regrets(records: Iterable[dict], found: Areas, at: float) -> list[dict]:
    """Of every blind detector and opponent a dict, the smallest regret first.

    Keys are ``COLUMNS``: the regret with its interval, where it is and who wins there; the smallest ratio of ε_S at
    ε_B = ``at``, None if it is resolved nowhere, and where that is; ``n_signals``, over which both are; ``trainings``,
    the smallest number; and ``shortfalls``, of every signal the AUC of the best opponent less that of the detector.
    Signals that no opponent looks for are left out.

    records: of :mod:`hepad.evaluation.tables`; found: their AUCs
    """
    records = list(records)
    groups = {record["detector"]: record["group"] for record in records}
    ratios, noise = _ratios(records, groups, at), _noise(found.covariance)
    opponents: dict[Place, list[int]] = {}
    for j, (*place, detector) in enumerate(found.keys):
        if groups[detector] == "baseline":
            opponents.setdefault(tuple(place), []).append(j)
    rows = []
    for name in dict.fromkeys(key[2] for key in found.keys):
        own = {key[:2]: j for j, key in enumerate(found.keys) if key[2] == name and key[:2] in opponents}
        if own:
            others, columns = np.array([(o, j) for place, j in own.items() for o in opponents[place]]).T
            interval = interval_of_largest(found.values[others] - found.values[columns], noise[others] - noise[columns])
            trainings = int(found.trainings[list(own.values())].min())
            kept = {place: ratios[place, name] for place in own if (place, name) in ratios}
            row = {"detector": name, "group": groups[name], "n_signals": len(own), "trainings": trainings}
            row |= _worst(_shortfalls(found, own, opponents)) | dict(zip(("low", "high"), interval, strict=True))
            rows.append(row | _least(kept) | {"remark": _remark(len(own), len(opponents), len(kept))})
    return sorted(rows, key=lambda row: (row["regret"], row["detector"]))


def interval_of_largest(values: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Interval of the largest of the true values, of which ``values`` (K,) were measured; ``noise`` (K, N) as drawn."""
    sigma = noise.std(axis=1)
    z = ndtri(0.5 + LEVEL / 2)
    random = sigma > 0
    if not random.any():
        return float(values.max()), float(values.max())
    scaled = noise[random] / sigma[random, None]
    k = np.quantile(np.abs(scaled).max(axis=0), SURE)
    candidates = (values + 2 * k * sigma >= (values - k * sigma).max())[random]
    c = np.quantile(scaled[candidates].max(axis=0), 0.5 + LEVEL / 2) if candidates.any() else 0.0
    return float((values - c * sigma).max()), float((values + z * sigma).max())


def write_regret(path: str | Path, rows: Iterable[dict]) -> None:
    """Write the rows of :func:`regrets` as CSV, atomically."""
    write_rows(path, COLUMNS, ({key: row[key] for key in COLUMNS} for row in rows))


def read_regrets(path: str | Path) -> list[dict]:
    """The rows of :func:`regrets` out of a JSON file; InputError if it is damaged."""
    rows = read_json(path)
    if not isinstance(rows, list) or not all(
        isinstance(x, dict) and {*COLUMNS, "shortfalls"} <= x.keys() for x in rows
    ):
        raise InputError(f"{path}: not a list of regrets. Delete it and run again.")
    return rows


def _noise(covariance: np.ndarray) -> np.ndarray:
    """(J, DRAWS) of this covariance (J, J), the same at every call."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return root @ np.random.default_rng(1).normal(size=(len(covariance), DRAWS))


def _shortfalls(found: Areas, own: dict[Place, int], opponents: dict[Place, list[int]]) -> list[dict]:
    """Of every signal the best opponent, and by how much it is ahead."""
    rows = []
    for (task, signal), j in own.items():
        best = max(opponents[task, signal], key=lambda o: found.values[o])
        value = float(found.values[best] - found.values[j])
        rows.append({"task": task, "signal": signal, "opponent": found.keys[best][2], "shortfall": value})
    return rows


def _worst(shortfalls: list[dict]) -> dict:
    largest = max(shortfalls, key=lambda of: of["shortfall"])
    place = {key: largest[key] for key in ("task", "signal", "opponent")}
    return {"regret": largest["shortfall"], **place, "shortfalls": shortfalls}


def _least(kept: dict[Place, float]) -> dict:
    task, signal = place = min(kept, key=kept.get, default=(None, None))
    return {"eps_s_ratio": kept.get(place), "ratio_task": task, "ratio_signal": signal}


def _ratios(records: list[dict], groups: dict[str, str], at: float) -> dict[tuple[Place, str], float]:
    """((task, signal), detector) -> ratio of its median ε_S to the largest of an opponent, where both are resolved."""
    blind = [record for record in records if record["group"] != "supervised"]
    medians = {((row["task"], row["signal"]), row["detector"]): row["median"] for row in seed_spread.rows(blind)
               if (row["quantity"], row["at"]) == ("eps_s", at) and row["median"] is not None}  # fmt: skip
    best: dict[Place, float] = {}
    for (place, detector), value in medians.items():
        if groups[detector] == "baseline":
            best[place] = max(value, best.get(place, 0.0))
    return {(place, name): value / best[place] for (place, name), value in medians.items() if best.get(place)}


def _remark(n: int, every: int, resolved: int) -> str:
    said = [f"{n} of {every} signals: other tasks do not train it"] if n < every else []
    if resolved < n:
        said.append(f"the efficiency is resolved for {resolved} of {n} signals")
    return "; ".join(said)
