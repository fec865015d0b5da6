"""``hepad score``: scores of any file, with the models of a finished run."""

import argparse
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from hepad.cli import score_files
from hepad.config.results import Results
from hepad.errors import InputError
from hepad.samples.formats.paths import find_files
from hepad.storage.files import provenance

EXAMPLES = """examples:
  hepad score my.root --task qcd                      how many events pass at 1 % background
  hepad score 'data/*.root' --task qcd --to scores.root
  hepad score my.h5 --task qcd --detectors nae_image,gmm_all --to scores.parquet

The file has a row for every probe jet: event_id, file (the number of its file), run, luminosity_block and event (-1 if
the file has none), jet_pt, jet_eta, jet_phi, jet_mass (GeV, radians), and score_<detector>_<seed>, higher is more
anomalous. Its thresholds are those at the background efficiencies of the run's configuration, NaN where the run has too
few background events.
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
    parser.add_argument("--reader", help="the dialect, if it is not found by looking")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.to:
        score_files.kind_of(args.to)
    if not 0 < args.eps_b < 1:
        raise InputError(f"--eps-b {args.eps_b:g}: a fraction of the background is needed, between 0 and 1.")
    results, files = Results(args.results), find_files(args.files)
    from hepad.cli import scoring  # torch takes seconds

    chosen = args.detectors.split(",") if args.detectors else None
    models = scoring.models(results, args.task, chosen)
    eps_b = [float(x) for x in results.config["evaluation"]["eps_b"]]
    thresholds = {scoring.column(key): np.array(values) for key, values in models.thresholds(eps_b).items()}
    meta = {"task": args.task, "files": files, "window": models.window, "provenance": provenance(), "warnings": {}}
    options = {"reader": args.reader} if args.reader else {}
    writing = score_files.new_scores(args.to, {"eps_b": np.array(eps_b)} | thresholds, meta) if args.to else None
    with writing or nullcontext() as append:
        for number, scored in enumerate(scoring.score_files(files, models, args.eps_b, **options)):
            print("\n".join(scoring.report(scored, args.eps_b)), flush=True)
            if scored.warning:
                meta["warnings"][scored.path] = scored.warning
            if append:
                n = len(scored.columns["event_id"])
                append({"file": np.full(n, number, np.int32), **scored.columns})
    if args.to:
        print(f"written: {args.to}")
