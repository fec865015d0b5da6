"""``hepad figure``: one kind of figures from a finished run, without Snakemake."""

import argparse
import re
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from hepad.config import subjects
from hepad.config.results import PLAN, Results
from hepad.errors import InputError, check_choice
from hepad.figures import KINDS
from hepad.storage.files import read_json, write_json

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
    from hepad.figures import registry  # matplotlib takes a second

    if args.kind is None:
        for name in KINDS:
            first = registry.kind(name).captions[0].split(". ")[0]
            print(f"{name:<18}{textwrap.shorten(re.sub('[{}]', '', first), 100, placeholder=' ...')}")
        return
    declared = registry.kind(args.kind).declared()
    results = Results(args.results)
    plan = read_json(results.folder / PLAN)["plan"] | {"figures": {args.kind: declared}}
    chosen = args.detectors.split(",") if args.detectors else None
    if chosen:
        _choose(plan["config"], chosen)
    style = _style(plan["config"]["style"], args.style)
    with tempfile.TemporaryDirectory() as scratch:
        for subject in _subjects(plan, args):
            told = subjects.told(declared, subject)
            files = {name: _there(results, subject, pattern) for name, pattern in declared["reads"].items()}
            if chosen:
                all_of_them = set(results.config["detectors"])
                files = {name: _reduced(of, set(chosen), all_of_them, Path(scratch)) for name, of in files.items()}
            paths = {name: of if len(of) > 1 or list(subject.files(declared["reads"][name])) != [()] else of[0]
                     for name, of in files.items()}  # fmt: skip
            for path in registry.draw(args.kind, subjects.job(told, paths, style), args.to):
                print(f"{path}.pdf, .png")


def _choose(config: dict, chosen: list[str]) -> None:
    """Leave these detectors in the tasks that have any of them."""
    for name in chosen:
        check_choice("--detectors", name, config["detectors"])
    for entry in config["tasks"].values():
        entry["detectors"] = [name for name in chosen if name in entry["detectors"]]


def _style(style: dict, wanted: str | None) -> dict:
    return style if wanted is None else style | {"experiment": None if wanted == "neutral" else wanted}


def _subjects(plan: dict, args: argparse.Namespace) -> Iterator[subjects.Subject]:
    """What is drawn; InputError if there is nothing."""
    tasks = plan["config"]["tasks"]
    if args.task is not None:
        check_choice("--task", args.task, tasks)
    if args.signal is not None:
        check_choice("--signal", args.signal, {name for entry in tasks.values() for name in entry["signals"]})
    drawn = 0
    for _, subject in subjects.figures(plan):
        wanted = args.task in (None, subject.task) and args.signal in (
            None,
            subject.wildcards.get("signal", args.signal),
        )
        if wanted and tasks[subject.task]["detectors"]:
            drawn += 1
            yield subject
    if not drawn:
        raise InputError(f"figure {args.kind}: nothing in this run has one, with these options. Leave some out.")


def _there(results: Results, subject: subjects.Subject, pattern: str) -> list[str]:
    paths = [results.folder / path for path in subject.files(pattern).values()]
    if missing := [path for path in paths if not path.exists()]:
        raise InputError(f"{missing[0]} is missing: the run is not finished. Start it again: what is finished is kept.")
    return list(map(str, paths))


def _reduced(paths: list[str], chosen: set[str], detectors: set[str], scratch: Path) -> list[str]:
    """The files without the other detectors, where they are lists of records of detectors."""
    found = []
    for path in paths:
        records = read_json(path) if path.endswith(".json") else None
        if isinstance(records, list) and all(isinstance(x, dict) and "detector" in x for x in records):
            path = str(scratch / f"{len(list(scratch.iterdir()))}.json")
            write_json(path, [x for x in records if x["detector"] in chosen or x["detector"] not in detectors])
        found.append(path)
    return found
