"""What it costs to choose the state of a training without the signal, by each of the blind criteria.

    snakemake --cores all
    python benchmarks/blind_choice.py --results results

`blind_choice.csv` has the rows of the workflow's `model_selection.csv`: for each energy-based training and each signal,
the AUC of the state that a criterion chooses and of the best candidate, which only an eye on the signal could pick;
their difference is the AUC loss. At its end stand mean and largest AUC loss of each criterion over the trainings that
have values of all three. One training each: a criterion is judged by all of them together.
"""

import argparse
import statistics
from pathlib import Path

from workflow_tables import KEYS, TABLES, read_csv

from hepad.detectors.energy_based.criteria import CRITERIA
from hepad.errors import report_errors
from hepad.storage.files import write_rows

COLUMNS = [
    "task",
    "detector",
    "signal",
    "seed",
    "criterion",
    "chosen_step",
    "auc",
    "best_step",
    "auc_of_best",
    "auc_loss",
]


def summary(rows: list[dict]) -> list[dict]:
    """Mean and largest AUC loss of each criterion over the trainings and signals that have values of all of them."""
    losses: dict[tuple, dict[str, float]] = {}
    for row in rows:
        key = tuple(row[column] for column in KEYS)
        losses.setdefault(key, {})[row["criterion"]] = float(row["auc_loss"])
    whole = [found for found in losses.values() if len(found) == len(CRITERIA)]
    return [
        {"task": f"{name} of {len(whole)}", "criterion": criterion, "auc_loss": value(p[criterion] for p in whole)}
        for name, value in (("mean", statistics.fmean), ("largest", max))
        for criterion in CRITERIA
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the workflow")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the table")
    args = parser.parse_args(argv)
    rows = [{column: row[column] for column in COLUMNS} for row in read_csv(args.results / "model_selection.csv")]
    last = summary(rows)
    write_rows(args.tables / "blind_choice.csv", COLUMNS, [*rows, *last])
    for row in last:
        print(f"{row['criterion']}: {row['task']} {row['auc_loss']:.3f}")


if __name__ == "__main__":
    with report_errors():
        main()
