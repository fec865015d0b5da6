"""``hepad compare``: two files of scores event by event, data against emulator."""

import argparse
from pathlib import Path

from hepad.errors import InputError

EXAMPLES = """examples:
  hepad compare data.root emulator.root
  hepad compare scores.root emulator.csv --score score_ae_1 AXOScore --rates results/rates/level1.json --to differ.csv
  hepad compare ae.vectors.csv mine.csv                   test vectors of an export, with its tolerance and thresholds
  hepad compare data.h5 emulator.h5 --rtol 0 --threshold 23.5               bit for bit

Files: .root, .parquet, .h5, .csv with the columns run, luminosity_block, event; or vector; or event_id. Events are
matched by them, wherever they stand. If scores, decisions or the events themselves differ, the exit status is 3.
"""
DIFFERENT = 3


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "compare", help="compare two files of scores event by event", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("a", metavar="A", type=Path, help="scores as they should be")
    parser.add_argument("b", metavar="B", type=Path, help="scores to be checked")
    parser.add_argument(
        "--score", nargs="+", default=[], metavar="COLUMN", help="of A, and of B if it is called otherwise there"
    )
    parser.add_argument("--rtol", type=float, help="tolerance over the score of A (1e-5; 0 of integers)")
    parser.add_argument("--atol", type=float, help="tolerance beside that (0)")
    parser.add_argument(
        "--threshold", action="append", default=[], type=float, metavar="T", help="score above which an event passes"
    )
    parser.add_argument("--rates", type=Path, metavar="RATES.json", help="thresholds of score_<detector>_<seed>")
    parser.add_argument("--to", type=Path, metavar="FILE.csv", help="for all events that differ")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.trigger.event_by_event import Column, compare, score_column  # scipy takes a moment
    from hepad.trigger.score_columns import ScoreFile  # likewise

    for name in ("rtol", "atol"):
        if (value := getattr(args, name)) is not None and not 0 <= value < float("inf"):
            raise InputError(f"--{name} {value}: a tolerance is a number from 0 on.")
    if len(args.score) > 2:
        raise InputError(f"--score {' '.join(args.score)}: one column of A, and one of B if it has another name.")
    a, b = ScoreFile(args.a), ScoreFile(args.b)
    names = args.score or [None]
    columns = Column(a, score_column(a, names[0], b)), Column(b, score_column(b, names[-1], a))
    thresholds = {f"{value:g}": value for value in args.threshold}
    if args.rates:
        thresholds |= _of_rates(args.rates, columns[0].name)
    found = compare(*columns, args.rtol, args.atol, thresholds or None, args.to)
    print("\n".join(_report(found, columns)))
    if args.to:
        print(f"written: {args.to}")
    if not found.equal:
        raise SystemExit(DIFFERENT)


def _of_rates(rates: Path, column: str) -> dict[str, float]:
    from hepad.trigger.export.thresholds import thresholds_of_training  # onnx takes a second

    detector, _, seed = column.removeprefix("score_").rpartition("_")
    if not detector or not seed.isdecimal():
        raise InputError(f"--rates: the column '{column}' of A is not score_<detector>_<seed>. Give --threshold.")
    return thresholds_of_training(rates, detector, int(seed))


def _report(found, columns) -> list[str]:
    """Lines for people."""
    a, b = columns
    lines = [f"A {a.file.path}: {a.name}", f"B {b.file.path}: {b.name}"]
    only = f"{found.only_a} in A alone, {found.only_b} in B alone"
    lines.append(f"events by {', '.join(found.key)}: {found.both} in both, {only}")
    if any(found.nan):
        lines.append(f"rows without a score (NaN): {found.nan[0]} of A, {found.nan[1]} of B")
    within = f"|a - b| <= {found.atol:g} + {found.rtol:g} |a|" if found.rtol or found.atol else "a = b"
    lines.append(f"scores differ ({within} does not hold): {found.differ} of {found.both}")
    lines.append(f"largest difference of two scores: {found.largest:.9g}")
    if found.first:
        heads = [*found.key, "A", "B", "B - A"]
        rows = [[*map(str, event.key), *map(_digits, (event.a, event.b, event.b - event.a))] for event in found.first]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines += ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in (heads, *rows)]
        lines += ["..."] * (found.differ > len(found.first))
    for name, flips in found.flips.items():
        rate = flips.rate
        lines.append(
            f"threshold {name} (> {flips.threshold!r}): {rate.passed} decisions flip of {rate.total}, {rate.value:.3g} "
            f"[{rate.low:.3g}, {rate.high:.3g}]; {flips.only_a} pass in A alone, {flips.only_b} in B alone"
        )
    return [*lines, "equal" if found.equal else "DIFFERENT"]


def _digits(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.9g}"
