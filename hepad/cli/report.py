"""``hepad report``: the report of Snakemake on a finished run, one HTML file."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from hepad.cli import shipped
from hepad.config.results import Results
from hepad.errors import InputError

EXAMPLES = """examples:
  hepad report                         report.html, of the run in ./results
  hepad report --to test.html
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "report", help="one HTML file with figures, tables and how they were made", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--directory", type=Path, default=Path(), metavar="DIR", help="where results/ lies (.)")
    parser.add_argument("--to", type=Path, default=Path("report.html"), metavar="FILE", help="(%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.to.suffix not in (".html", ".zip"):
        raise InputError(f"--to {args.to}: the ending '{args.to.suffix}' stands for no format. Allowed: .html, .zip.")
    results, folder = Results(args.directory / "results"), shipped.folder()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.json"  # that of the run, as it was given
        config.write_text(json.dumps(results.given))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile")]
        command += ["--workflow-profile", "none", "--configfile", str(config)]
        command += ["--directory", str(args.directory.resolve()), "--report", str(args.to.resolve())]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines[-5:]
        raise InputError("no report: " + " ".join(errors))
    print(f"written: {args.to}")
