"""``hepad report``: the report of Snakemake on a finished run, one HTML file."""

import argparse
import subprocess
import sys
from pathlib import Path

from hepad.cli import shipped
from hepad.config.results import Results
from hepad.errors import InputError

EXAMPLES = """examples:
  hepad report                         report.html, of the run in ./results
  hepad report --config test --to test.html
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "report", help="one HTML file with figures, tables and how they were made", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--config", metavar="NAME|FILE", help="that of the run, as for 'hepad run'")
    parser.add_argument("--directory", type=Path, default=Path(), metavar="DIR", help="where results/ lies (.)")
    parser.add_argument("--to", type=Path, default=Path("report.html"), metavar="FILE", help="(%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.to.suffix not in (".html", ".zip"):
        raise InputError(f"--to {args.to}: the ending '{args.to.suffix}' stands for no format. Allowed: .html, .zip.")
    Results(args.directory / "results")
    folder = shipped.folder()
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(folder / "Snakefile"),
        "--workflow-profile",
        "none",
    ]
    command += ["--configfile", str(shipped.configuration(args.config).resolve())]
    command += ["--directory", str(args.directory.resolve()), "--report", str(args.to.resolve())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-5:]
        raise InputError("no report: " + " ".join(errors))
    print(f"written: {args.to}")
