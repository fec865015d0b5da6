"""``hepad show``: single events, and what makes them anomalous."""

import argparse
import re
from math import inf
from pathlib import Path

from hepad.config.results import Results

EXAMPLES = """examples:
  hepad show my.root --task qcd --event 10000000431
  hepad show data.root --task level1 --event 362616:74:12345 362616:75:99 --to strange.html

Events are named by their identifier, as `hepad score` writes it, or by run, luminosity section and event. Written is a
page with displays, observables and what makes each score; open it in a browser. Printed are the three entries that
change each score most (hepad.explain, by its default): +, if they raise it.
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "show", help="show single events, and what makes them anomalous", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="path, pattern or address (root://, https://)")
    parser.add_argument("--task", required=True, help="whose detectors score")
    parser.add_argument("--event", nargs="+", required=True, metavar="ID", help="identifier, or run:section:event")
    parser.add_argument("--to", type=Path, default=Path("events.html"), metavar="FILE", help="page (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.add_argument("--reader", help="the dialect, if it is not found by looking")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config import described, gallery  # torch takes seconds

    described.check_page(args.to)
    options = {"reader": args.reader} if args.reader else {}
    found = gallery.events_of(Results(args.results), args.task, args.files, args.event, **options)
    gallery.write(found, args.to)
    if found["warning"]:
        print(f"WARNING: {found['warning']}")
    for event in found["events"]:
        of = f", {found['files'][event['sample']]}" if len(found["files"]) > 1 else ""
        print(f"event {event['id']}" + (f" ({event['where']})" if event["where"] else "") + of)
        for number in sorted(range(len(event["p"])), key=lambda i: _last(event["p"][i])):
            why = event["why"].get(str(number), {}).get("variables", [])
            some = [(plain(name), value) for name, value in why[:3] if _last(value) not in (0, inf)]
            reasons = ", ".join(f"{name} {value:+.3g}" for name, value in some)
            head = f"  p = {_digits(event['p'][number]):<9} score {_digits(event['scores'][number]):<10} "
            print(f"{head}{found['detectors'][number]}" + (f": {reasons}" if reasons else ""))
    for name, text in found["unexplained"].items():
        print(f"not explained: {plain(name)}: {text}")
    print(f"written: {args.to}")


def _last(x: float | str | None) -> float:
    """A number to sort by; what is none is last."""
    return x if isinstance(x, float | int) else inf


def _digits(x: float | str | None) -> str:
    return "none" if x is None else x if isinstance(x, str) else f"{x:.4g}"


def plain(label: str) -> str:
    """A label without the marks of mathematics: 'τ21' of '$\\tau_{21}$'."""
    text = re.sub(r"\\(mathrm|,)|[${}_|]", "", label).replace(r"\tau", "τ").replace(r"\eta", "η")
    return text.replace(r"\Delta", "Δ").replace(r"\phi", "φ").replace("\\", "").strip()
