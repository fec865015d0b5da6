"""What MPDR's figures on jets depend on: noise magnitude, size of the code and weight of the recovery term.

    for sweep in sigma latent gamma; do
      snakemake --cores all --configfile config/sweeps/$sweep.yaml --directory sweeps/$sweep
    done
    python benchmarks/sensitivity.py --sweeps sweeps

Joins `auc.csv` and `efficiency.csv` of the three runs in `sensitivity.csv`. The sweeps are those of Tables 9, 10 and 11
of the MPDR paper (NeurIPS 2023), which has them on MNIST and CIFAR-100; its gamma is the weight of the recovery term.
Each point is one training, so that differences smaller than those between seeds mean nothing.
"""

import argparse
from pathlib import Path

from workflow_tables import COLUMNS, TABLES, joined

from hepad.errors import report_errors
from hepad.storage.files import write_rows

SWEEPS = ("sigma", "latent", "gamma")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=Path, default=Path("sweeps"), help="holds sigma/results and so on")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the table")
    args = parser.parse_args(argv)
    rows = [{"sweep": name, **row} for name in SWEEPS for row in joined(args.sweeps / name / "results")]
    write_rows(args.tables / "sensitivity.csv", ["sweep", *COLUMNS], rows)


if __name__ == "__main__":
    with report_errors():
        main()
