"""``hepad map``: the most anomalous events, by what is strange about them."""

import argparse
from pathlib import Path

from hepad.cli.show import plain
from hepad.config.map_defaults import MOST, SEEDS, SIGMAS
from hepad.config.results import Results

EXAMPLES = """examples:
  hepad map --task qcd
  hepad map data.root --task qcd --detector ae_image --to data_map.html

Written are a page with the map, its clusters and their events, which is opened in a browser, and tables of clusters
and events. With files their events are mapped beside the run's background; without, those of all samples of the task.
Needs umap-learn: pip install 'hepad[map]'.
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "map", help="map the most anomalous events, and find those that are strange in the same way", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="*", metavar="FILE", help="path, pattern or address (root://, https://)")
    parser.add_argument("--task", required=True, help="whose detectors score")
    parser.add_argument("--detector", help="whose most anomalous events (the first that reconstructs)")
    parser.add_argument("--by", help="residuals, latents or inputs: what is mapped (the first that is possible)")
    parser.add_argument("--sigmas", type=float, default=SIGMAS, help="of the background's score, beyond (%(default)s)")
    parser.add_argument(
        "--most", type=int, default=MOST, help="events of the map, of each sample as many (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="maps, to see what stays (%(default)s)")
    parser.add_argument("--to", type=Path, default=Path("map.html"), metavar="FILE", help="page (%(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of the run (%(default)s)")
    parser.add_argument("--reader", help="the dialect of the files, if it is not found by looking")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    from hepad.config import anomaly_map, described  # torch takes seconds

    described.check_page(args.to)
    wanted = {"detector": args.detector, "by": args.by, "sigmas": args.sigmas, "seeds": args.seeds, "most": args.most}
    wanted |= {"reader": args.reader} if args.reader else {}
    found = anomaly_map.map_of(Results(args.results), args.task, args.files, **wanted)
    tables = anomaly_map.write(found, args.to)
    if found["warning"]:
        print(f"WARNING: {found['warning']}")
    counts = zip(found["samples"], found["on_map"], found["beyond"], strict=True)
    print("; ".join(f"{name}: {n} of {beyond} events on the map" for name, n, beyond in counts))
    mean, least = found["agreement"]
    agreement = "" if mean is None else f"; maps of {found['seeds']} seeds agree by {mean:.2f}, at least {least:.2f}"
    print(f"{len(found['summaries']) or 'no'} clusters{agreement}")
    print(f"beyond {args.sigmas:g} standard deviations of the background's score under each detector:")
    for label, shares in zip(found["detectors"], found["shares"], strict=True):
        of_samples = zip(found["samples"], shares or (), strict=bool(shares))
        print(
            f"  {plain(label)}: "
            + (", ".join(f"{name} {_percent(share)}" for name, share in of_samples) or "no spread")
        )
    print(f"written: {', '.join(map(str, (args.to, *tables)))}")


def _percent(share: float | None) -> str:
    return "not seen" if share is None else f"{share:.2%}"
