"""The tables that a finished workflow leaves, as the benchmarks that follow it read them."""

import csv
from pathlib import Path

from hepad.errors import InputError

TABLES = Path(__file__).parent / "tables"
KEYS = ("task", "signal", "detector", "seed")
EFFICIENCY = ("eps_s", "eps_s_low", "eps_s_high")
COLUMNS = [*KEYS, "auc", "eps_b", "n_background_passed", *EFFICIENCY]


def read_csv(path: Path) -> list[dict]:
    if not path.exists():
        raise InputError(f"{path}: it is not there; run the workflow first, as the script says at its top.")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def joined(results: Path) -> list[dict]:
    """Rows of `efficiency.csv` with the AUC beside them; numbers are numbers, unresolved ones None."""
    auc = {tuple(row[key] for key in KEYS): float(row["auc"]) for row in read_csv(results / "auc.csv")}
    rows = read_csv(results / "efficiency.csv")
    numbers = [{name: float(row[name]) if row[name] else None for name in EFFICIENCY} for row in rows]
    return [{**row, **n, "auc": auc[tuple(row[key] for key in KEYS)]} for row, n in zip(rows, numbers, strict=True)]
