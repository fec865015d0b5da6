"""``hepad figure``: one kind of figures from a finished run, without Snakemake."""

import argparse
from pathlib import Path

from hepad.config.results import Results

EXAMPLES = """examples:
  hepad figure                                   the kinds that there are
  hepad figure efficiency --task qcd --signal top --style CMS --to note
  hepad figure efficiency --task qcd --detectors nae_image,ae_image,gmm_all
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "figure", help="draw one kind of figures from a finished run", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("kind", nargs="?", metavar="KIND", help="left out: list them")
    parser.add_argument("--task", help="one task alone")
    parser.add_argument("--signal", help="one signal alone")
    parser.add_argument("--detectors", metavar="A,B", help="those to draw, in this order; default: all of the task")
    parser.add_argument("--style", help="neutral, or that of an experiment: CMS, ATLAS, LHCb, ALICE")
    parser.add_argument("--to", type=Path, default=Path("figures"), metavar="DIR", help="folder (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config import drawing  # matplotlib takes a second

    if args.kind is None:
        for name, line in drawing.kinds().items():
            print(f"{name:<18}{line}")
        return
    which = {"task": args.task, "signal": args.signal, "detectors": args.detectors and args.detectors.split(",")}
    for path in drawing.draw(Results(args.results), args.kind, args.to, **which, experiment=args.style):
        print(f"{path}.pdf, .png")
