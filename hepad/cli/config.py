"""``hepad config``: configuration files."""

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    config = commands.add_parser(
        "config", help="rewrite configuration files of earlier versions",
        epilog="example:\n  hepad config migrate old.yaml --output new.yaml\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = config.add_subparsers(required=True, metavar="ACTION")
    migrate = actions.add_parser(
        "migrate", help="give keys their names of today and move lists under 'sweep'; comments and order stay"
    )
    migrate.add_argument("file", type=Path, metavar="FILE", help="the configuration, rewritten in place")
    migrate.add_argument("--output", type=Path, metavar="FILE", help="write it here, and leave the first as it is")
    migrate.set_defaults(run=_migrate)


def _migrate(args: argparse.Namespace) -> None:
    from hepad.config.migration import migrate  # YAML and NumPy take a moment

    renamed = migrate(args.file, args.output)
    lines = [f"  {pair}" + (f" ({count} times)" if count > 1 else "") for pair, count in renamed.items()]
    print("\n".join([f"{args.output or args.file}: {sum(renamed.values())} changes", *lines]))
