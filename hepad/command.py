"""The command ``hepad``: what does not need a workflow."""

import argparse

from hepad import samples
from hepad.errors import told_plainly


def main(argv: list[str] | None = None) -> None:
    """Run one of the subcommands; an InputError becomes its message and exit status 1."""
    parser = argparse.ArgumentParser(prog="hepad", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="say what files are, which reader takes them and what they can feed")
    inspect.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    inspect.add_argument("--reader", help="the dialect, if it is not found by looking")
    inspect.set_defaults(run=_inspect)
    args = parser.parse_args(argv)
    with told_plainly():
        args.run(args)


def _inspect(args: argparse.Namespace) -> None:
    options = {"reader": args.reader} if args.reader else {}
    for path in samples.find_files(args.files):
        print("\n".join(samples.inspect(path, **options).lines()))


if __name__ == "__main__":
    main()
