"""``hepad results``: the table of a finished run."""

import argparse
import csv
import json
import sys
from pathlib import Path

from hepad.config.ranking import COLUMNS, MIN_COUNT, ranking
from hepad.config.results import Results
from hepad.errors import InputError, check_choice

MARKS = {"detector": "", "baseline": "simple opponent", "supervised": "supervised, has seen the signal"}
EXAMPLES = """examples:
  hepad results                     of ./results, to read
  hepad results --task qcd --csv    to a spreadsheet; --json to a program
  hepad results --latex             the tables of the run, for \\input
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "results", help="the table of a finished run", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Signal efficiency at the working point of the configuration, and AUC, of all detectors, the best "
        "first: the median of the trainings and where one more is expected with 68 %%.",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.add_argument("--task", help="one task alone")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--csv", action="store_true", help="as CSV")
    how.add_argument("--json", action="store_true", help="as JSON")
    how.add_argument("--latex", action="store_true", help="the run's tables of efficiencies, in LaTeX")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    results = Results(args.results)
    if args.task is not None:
        check_choice("--task", args.task, results.tasks)
    tasks = results.tasks if args.task is None else [args.task]
    if args.latex:
        print("\n".join(_latex(results, task) for task in tasks), end="")
        return
    rows = [row for row in ranking(results) if row["task"] in tasks]
    if args.csv:
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        of_all = worst_cases(results) if args.task is None else []
        print("\n".join([*text(rows), *of_all]))


def text(rows: list[dict]) -> list[str]:
    """The rows for people: a block for every task and signal."""
    lines: list[str] = []
    for task, signal in dict.fromkeys((row["task"], row["signal"]) for row in rows):
        block = [row for row in rows if (row["task"], row["signal"]) == (task, signal)]
        first = block[0]
        lines += [f"{signal} in {first['background']} (task {task}): signal efficiency where {first['eps_b']:.3g} of "
                  "the background passes"]  # fmt: skip
        cells = [("detector", "efficiency", "68 % range", "AUC", "trainings", "")]
        cells += [_cells(row) for row in block]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        for label, value, limits, auc, trainings, mark in cells:
            line = f"  {label:<{widths[0]}}  {value:>{widths[1]}}  {limits:<{widths[2]}}  {auc:<{widths[3]}}"
            lines.append(f"{line}  {trainings:>{widths[4]}}  {mark}".rstrip())
        if any(row["eps_s"] is None for row in block):
            least = min(row["independent"] or 0 for row in block)
            lines.append(
                f"  unresolved: {least:.3g} independent background events pass, {MIN_COUNT} are needed: take more test "
                "events, or another evaluation.working_point"
            )
        if all(row["group"] != "supervised" for row in block):
            lines.append("  no supervised line: too few training events of background or signal")
        lines.append("")
    return lines


def worst_cases(results: Results) -> list[str]:
    """The run's regrets for people."""
    if not (rows := results.regrets):
        return []
    labels = {name: entry.get("label", name) for name, entry in results.config["detectors"].items()}
    cells = [("detector", "regret", "68 % range", "worst for", "efficiency", "signals", "")]
    for row in rows:
        limits, ratio = f"{row['low']:.3f} to {row['high']:.3f}", row["eps_s_ratio"]
        found = (f"{row['regret']:.3f}", limits, f"{row['signal']} (task {row['task']})")
        kept = "unresolved" if ratio is None else f"x {ratio:.2f}"
        cells.append((labels[row["detector"]], *found, kept, str(row["n_signals"]), MARKS[row["group"]]))
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["all tasks: by how much the AUC is below that of the best simple opponent on the worst signal, and the "
             "smallest ratio to its efficiency"]  # fmt: skip
    lines += ["  ".join(["", *map(str.ljust, row, widths)]).rstrip() for row in cells]
    return [*lines, ""]


def _cells(row: dict) -> tuple[str, ...]:
    limits = "" if row["eps_s"] is None else f"{row['eps_s_low']:.3f} to {row['eps_s_high']:.3f}"
    value = "unresolved" if row["eps_s"] is None else f"{row['eps_s']:.3f}"
    return row["label"], value, limits, f"{row['auc']:.3f}", str(row["trainings"]), MARKS[row["group"]]


def _latex(results: Results, task: str) -> str:
    path = results.folder / f"{task}_efficiency.tex"
    if not path.is_file():
        raise InputError(f"{path} is missing: the run is not finished. Start it again: what is finished is kept.")
    return path.read_text()
