"""``hepad monitor``: whether the rate of a detector drifts in data with luminosity sections."""

import argparse
from pathlib import Path

from hepad.config.results import Results
from hepad.errors import InputError

EXAMPLES = """examples:
  hepad monitor 'data/*.root' --task qcd --detector nae_image
  hepad monitor late.root --task qcd --detector gmm_all --reference early.root --eps-b 1e-3
  hepad monitor 'run*.root' --task level1 --detector ht --reference good.root --eps-b 0.1 --factor 1.1

A shift of a few per cent changes rates by about ten: it is found with a large --eps-b and a --factor of 1.1 or 1.05.

The threshold is frozen where --eps-b of the reference events pass; the reference is the test background of the run, or
the files of --reference. Written are monitor.csv, a line for every luminosity section, monitor.pdf and .png, and the
page monitor.html. With an alarm the exit status is 3.
"""
ALARM = 3


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "monitor", help="follow the rate of a detector through luminosity sections", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    parser.add_argument("--task", required=True, help="whose model scores")
    parser.add_argument("--detector", metavar="NAME", help="of the task; its first training (default: the first one)")
    parser.add_argument("--eps-b", type=float, default=1e-2, help="share of the reference that passes (%(default)s)")
    parser.add_argument("--reference", nargs="+", metavar="FILE", help="what the threshold is frozen on")
    parser.add_argument("--factor", type=float, default=1.3, help="change to be found soonest (%(default)s)")
    parser.add_argument(
        "--false-alarms", type=float, default=0.01, metavar="A", help="share of steady runs that ring (%(default)s)"
    )
    parser.add_argument("--to", type=Path, default=Path("monitor"), metavar="DIR", help="folder (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config.monitoring import monitor  # torch and matplotlib take seconds
    from hepad.config.monitoring_page import report, write  # likewise

    if not 0 < args.eps_b < 1:
        raise InputError(f"--eps-b {args.eps_b:g}: a fraction of the reference is needed, between 0 and 1.")
    results = Results(args.results)
    options = {"detector": args.detector, "eps_b": args.eps_b, "reference": args.reference}
    limits = {"factor": args.factor, "false_alarms": args.false_alarms}
    found = monitor(results, args.task, args.files, **options, **limits)
    written = write(found, args.to, results.config.get("style", {}))
    print("\n".join([*report(found), *map(str, written)]))
    if found.drift.alarm is not None:
        raise SystemExit(ALARM)
