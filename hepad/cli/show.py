"""``hepad show``: single events, and what makes them anomalous."""

import argparse
from pathlib import Path

from hepad.config.results import Results

EXAMPLES = """examples:
  hepad show my.root --task qcd --event 10000000431
  hepad show data.root --task level1 --event 362616:74:12345 362616:75:99 --to strange.html

Events are named by their identifier, as `hepad score` writes it, or by run, luminosity section and event. Written is a
page with displays, observables and what makes each score; open it in a browser.
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
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config import gallery  # torch takes seconds

    found = gallery.events_of(Results(args.results), args.task, args.files, args.event)
    gallery.write(found, args.to)
    for event in found["events"]:
        print(f"event {event['id']}" + (f" ({event['where']})" if event["where"] else ""))
        for number in sorted(range(len(event["p"])), key=lambda i: event["p"][i]):
            why = event["why"].get(str(number))
            reasons = ", ".join(f"{name} {value:.3g}" for name, value in (why or {}).get("variables", [])[:3])
            print(
                f"  p = {event['p'][number]:<9.3g} score {event['scores'][number]:<10.4g} {found['detectors'][number]}"
                + (f": {reasons}" if reasons else "")
            )
    print(f"written: {args.to}")
