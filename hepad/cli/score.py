"""``hepad score``: scores of any file, with the models of a finished run."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from hepad.config.results import Results
from hepad.errors import InputError, at

EXAMPLES = """examples:
  hepad score my.root --task qcd                      how many events pass at 1 % background
  hepad score 'data/*.root' --task qcd --to scores.root
  hepad score my.h5 --task qcd --detectors nae_image,gmm_all --to scores.parquet
  hepad score my.root --task qcd --p-values --to scores.h5

The file has a row for every probe jet: event_id, file (the number of its file), run, luminosity_block and event (-1 if
the file has none), jet_pt, jet_eta, jet_phi, jet_mass (GeV, radians), and score_<detector>_<seed>, higher is more
anomalous. --p-values adds p_<detector>_<seed>, how often background looks as anomalous, and for each member of a
combination p_<detector>_<seed>_<member>. The thresholds of the file are those at the background efficiencies of the
run's configuration, NaN where the run has too few background events.
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "score", help="score files with the models of a finished run", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    parser.add_argument("--task", required=True, help="whose models score")
    parser.add_argument("--detectors", metavar="A,B", help="of the task; default: all")
    parser.add_argument("--to", type=Path, metavar="FILE", help="a file to write: .root, .parquet or .h5")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.add_argument("--eps-b", type=float, default=1e-2, help="ε_B of what is printed (%(default)s)")
    parser.add_argument("--p-values", action="store_true", help="columns of p-values, which have to resolve --eps-b")
    parser.add_argument("--reader", help="the dialect, if it is not found by looking")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config import scoring  # torch takes seconds

    if args.to:
        scoring.kind_of(args.to)
        if args.to.exists():
            raise InputError(f"--to {args.to}: it is there already. Delete it, or give another file.")
    if not 0 < args.eps_b < 1:
        raise InputError(f"--eps-b {args.eps_b:g}: a fraction of the background is needed, between 0 and 1.")
    if args.p_values and not args.to:
        raise InputError("--p-values: they are columns of a file. Give one with --to.")
    results = Results(args.results)
    models = scoring.models(results, args.task, args.detectors.split(",") if args.detectors else None)
    if args.p_values:
        with at("--eps-b"):
            models.check_resolved(args.eps_b)
    options = {"with_p": args.p_values} | ({"reader": args.reader} if args.reader else {})
    scored = _told(scoring.score_files(args.files, models, args.eps_b, **options), args.eps_b)
    if args.to:
        scoring.write_scored(args.to, scored, models, results.config["evaluation"]["eps_b"], task=args.task)
        print(f"written: {args.to}")
    else:
        for _ in scored:
            pass


def _told(scored: Iterable, eps_b: float) -> Iterator:
    """The same, each said when it is there."""
    from hepad.config.scoring import report  # as above

    for of_file in scored:
        print("\n".join(report(of_file, eps_b)), flush=True)
        yield of_file
