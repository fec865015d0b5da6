"""The command ``hepad``: from files to results, and what can be done with them."""

import argparse
import os
import sys

import hepad
from hepad.cli import (
    compare,
    config,
    export,
    figure,
    init,
    inspect,
    map,
    monitor,
    publish,
    report,
    results,
    run,
    score,
    show,
)
from hepad.errors import report_errors

COMMANDS = (init, run, results, figure, publish, score, show, map, compare, monitor, report, inspect, export, config)
EXAMPLES = """examples:
  hepad run --config test                        everything, small, in a few minutes
  hepad init --background qcd.root --signal top.root && hepad run
  hepad results
  hepad COMMAND --help                           what each command takes
"""


def main(argv: list[str] | None = None) -> None:
    """Run one of the subcommands; an InputError becomes its message and exit status 1, an interrupt exit status 130."""
    parser = argparse.ArgumentParser(
        prog="hepad", description="Anomaly detection at LHC triggers, from events to signal efficiencies.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"hepad {hepad.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_command(commands)
    args = parser.parse_args(argv)
    try:
        with report_errors():
            args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # of `hepad results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        raise SystemExit(f"ERROR: {error.filename}: {error.strerror}. Give another path, or mend this one.") from None


if __name__ == "__main__":
    main()
