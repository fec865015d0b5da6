"""Whether two runs have the same tables, digit by digit: python benchmarks/same_results.py OLD/results NEW/results

Tables, columns and values that have another name since are compared under the new one; ``--without knn`` leaves out the
rows of detectors that only one of the runs has.
"""

import argparse
import csv
from itertools import zip_longest
from pathlib import Path

TABLES = {"selection": "model_selection", "bands": "seed_spread", "ceiling": "supervised"}
WORDS = {"price": "auc_loss", "ceiling": "supervised"}
KINDS = ("auc", "efficiency", "rejection", "rates", "supervised", "seed_spread", "model_selection", "dark_machines",
         "diagnostics", "data_quality")  # fmt: skip


def table(folder: Path, kind: str, without: set[str]) -> list[list[str]]:
    """The rows of a table, named as of today, of all but some detectors; none if the run has not made it."""
    former = next((old for old, new in TABLES.items() if new == kind), kind)
    path = next((path for name in (kind, former) if (path := folder / f"{name}.csv").is_file()), None)
    if path is None:
        return []
    with open(path, newline="") as file:
        rows = [[WORDS.get(cell, cell) for cell in row] for row in csv.reader(file)]
    return [row for row in rows if not without & {cell.partition(" (")[0] for cell in row}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--without", nargs="+", default=[], metavar="DETECTOR")
    args = parser.parse_args()
    for kind in KINDS:
        old, new = (table(folder, kind, set(args.without)) for folder in (args.old, args.new))
        different = [pair for pair in zip_longest(old, new) if pair[0] != pair[1]]
        print(f"{kind:<16} {len(old):>6} and {len(new):>6} rows, {len(different)} differ")
        for before, after in different[:2]:
            print(f"    {before}\n    {after}")


if __name__ == "__main__":
    main()
