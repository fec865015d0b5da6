"""``hepad publish``: tables and figures of a finished run for HEPData and for ROOT."""

import argparse
from pathlib import Path

from hepad.cli import shipped
from hepad.config.results import Results

EXAMPLES = """examples:
  hepad publish                        into publication/
  hepad publish --results results --to note/publication

The folder has a submission to HEPData, hepdata/ and submission.tar.gz, validated; hepad.root with trees, graphs and
histograms; and CITATION.cff, which is in each of the two.
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "publish", help="tables and figures of a finished run for HEPData and ROOT", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="All tables of a run, and the numbers of all figures that it has drawn.",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.add_argument("--to", type=Path, default=Path("publication"), metavar="DIR", help="new folder (%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config.publication.publish import publish  # torch and matplotlib take seconds

    count = publish(Results(args.results), args.to, shipped.citation(), shipped.captions())
    print(f"{args.to / 'hepdata'}, {args.to / 'submission.tar.gz'}: {count} tables, valid for HEPData")
    print(f"{args.to / 'hepad.root'}: trees, graphs and histograms")
    print(f"{args.to / 'CITATION.cff'}: what to cite")
