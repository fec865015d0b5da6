"""The command ``hepad``: what does not need a workflow."""

import argparse
from pathlib import Path

from hepad.cli.config import add_command as add_config
from hepad.cli.export import add_command as add_export
from hepad.cli.inspect import inspect
from hepad.errors import InputError, UnknownFile, report_errors
from hepad.samples.drafting.draft import draft
from hepad.samples.formats.paths import find_files


def main(argv: list[str] | None = None) -> None:
    """Run one of the subcommands; an InputError becomes its message and exit status 1."""
    parser = argparse.ArgumentParser(prog="hepad", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="say what files are, which reader takes them and what they can feed")
    inspect.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    inspect.add_argument("--reader", help="the dialect, if it is not found by looking")
    inspect.set_defaults(run=_inspect)
    score = commands.add_parser("score", help="score files with the models of a finished run")
    score.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    score.add_argument("--config", type=Path, default=Path("config/config.yaml"), help="of the run (%(default)s)")
    score.add_argument("--results", type=Path, default=Path("results"), help="of the run (%(default)s)")
    score.add_argument("--task", required=True, help="whose models score")
    score.add_argument("--eps-b", type=float, default=1e-2, help="ε_B of the thresholds (%(default)s)")
    score.add_argument("--reader", help="the dialect, if it is not found by looking")
    score.set_defaults(run=_score)
    add_export(commands)
    add_config(commands)
    args = parser.parse_args(argv)
    with report_errors():
        args.run(args)


def _inspect(args: argparse.Namespace) -> None:
    """A block of lines for each file; InputError, at the end, if any cannot be read as it is."""
    options = {"reader": args.reader} if args.reader else {}
    wanted = dict(pair for pattern in args.files for pair in _found(pattern))
    bad = {}
    for path, why in wanted.items():
        try:
            if why:
                raise why
            lines = inspect(path, **options).lines()
        except InputError as error:
            bad[path] = error
            drafted = draft(path) if isinstance(error, UnknownFile) else []
            lines = [path, *drafted]
            if len(wanted) > 1:
                lines.insert(1, f"  ERROR         {str(error).removeprefix(f'{path}: ')}")
            elif not drafted:
                break
        print("\n".join(lines), flush=True)
    if bad and len(wanted) > 1:
        raise InputError(f"{len(bad)} of {len(wanted)} files cannot be read as they are: {', '.join(bad)}.")
    if bad:
        raise bad.popitem()[1]


def _found(pattern: str) -> list[tuple[str, InputError | None]]:
    """The files that match a pattern, or the pattern and why there are none."""
    try:
        return [(path, None) for path in find_files(pattern)]
    except InputError as error:
        return [(pattern, error)]


def _score(args: argparse.Namespace) -> None:
    from hepad.cli.score import report, score_files  # torch takes seconds

    options = {"reader": args.reader} if args.reader else {}
    for scored in score_files(args.files, args.config, args.results, args.task, eps_b=args.eps_b, **options):
        print("\n".join(report(scored, args.eps_b)))


if __name__ == "__main__":
    main()
