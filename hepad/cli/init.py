"""``hepad init``: from files to a configuration that ``hepad run`` takes."""

import argparse
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad.cli.inspect import first_jets, inspect
from hepad.cli.shipped import OWN
from hepad.cli.templates import detectors_of
from hepad.errors import InputError, UnknownFile
from hepad.samples.drafting.draft import UNKNOWN, draft
from hepad.samples.formats.paths import find_files

EXAMPLES = """examples:
  hepad init --background 'qcd*.root' --signal 'top*.root' --signal zprime.root
  hepad init qcd.root top.root              the first is the background, each other name a signal

It writes hepad.yaml, with comments; `hepad run` takes it from there.
"""
QUANTILES = (0.01, 0.99)  # of the background's pT, between which the window lies
HALF = 0.5  # of a signal's jets have to lie in it


class Sample(NamedTuple):
    """``source``: lines of YAML; ``needs``: what has to be filled in, or ''; ``present``: what the files hold; ``jet``:
    (n, 4) the first probe jets, GeV and radians; ``entries``: of all files"""

    name: str
    source: list[str]
    needs: str
    present: frozenset[str]
    jet: np.ndarray
    entries: int


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "init", help="look at files and write a configuration for them", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("files", nargs="*", metavar="FILE", help="paths, patterns or addresses (root://, https://)")
    parser.add_argument("--background", nargs="+", default=[], metavar="FILE", help="those of the background")
    parser.add_argument("--signal", nargs="+", action="append", default=[], metavar="FILE", help="of one signal")
    parser.add_argument("--to", type=Path, default=Path(OWN), metavar="FILE", help="what to write (%(default)s)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    if args.to.exists():
        raise InputError(f"{args.to}: it is there already. Delete it, or give another file with --to.")
    wanted = _wanted(args)
    samples = [_sample(name, patterns) for name, patterns in wanted.items()]
    lines, notes = configuration(samples)
    args.to.write_text("\n".join(lines) + "\n")
    print(
        f"written: {args.to} (background {samples[0].name}; signals {', '.join(s.name for s in samples[1:]) or 'none'})"
    )
    for note in notes:
        print(f"to do: {note}")
    if not notes:
        print(f"next: look at it, then `hepad run{'' if args.to == Path(OWN) else f' --config {args.to}'}`")


def _wanted(args: argparse.Namespace) -> dict[str, list[str]]:
    """Name of each sample -> its patterns, the background first."""
    if bool(args.files) == bool(args.background or args.signal):
        raise InputError("init: give files, or those of --background and --signal, and not both.")
    if not args.files:
        if not args.background:
            raise InputError(
                "init: --background is missing: detectors are trained on it. Give its files; for a signal in QCD that "
                "Pythia generates, copy config/config.yaml and add the signal there."
            )
        groups = [(_name(patterns[0]), patterns) for patterns in (args.background, *args.signal)]
    else:
        named: dict[str, list[str]] = {}
        for pattern in args.files:  # of qcd_1.root qcd_2.root, which a shell makes of qcd_*.root, one sample
            named.setdefault(_name(pattern), []).append(pattern)
        groups = list(named.items())
    found: dict[str, list[str]] = {}
    for name, patterns in groups:
        number, own = 2, name
        while own.lower() in map(str.lower, found):
            own, number = f"{name}_{number}", number + 1
        found[own] = patterns
    return found


def _name(pattern: str) -> str:
    """The name of a sample after its file: letters, digits and underscores, a letter first."""
    stem = re.split(r"[?#]", pattern)[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    name = re.sub(r"\W+|_+", "_", stem, flags=re.ASCII).strip("_")
    name = re.sub(r"_\d+$", "", name).strip("_")[:60]
    if not name:  # '*.root': the folder's
        name = re.sub(r"\W+", "_", Path(pattern).parent.name, flags=re.ASCII).strip("_")[:60]
    name = name if re.match(r"[A-Za-z]", name) else f"sample_{name}".rstrip("_")
    return f"{name}_sample" if name.lower() == "supervised" else name


def _sample(name: str, patterns: list[str]) -> Sample:
    """What the files of a sample are."""
    paths, quoted = find_files(patterns), ", ".join(json.dumps(pattern, ensure_ascii=False) for pattern in patterns)
    try:
        seen = [inspect(path) for path in paths]
    except UnknownFile:
        return _drafted(name, paths[0], quoted)
    entries, present = sum(x.found.entries for x in seen), frozenset.intersection(*(x.found.present for x in seen))
    reader = type(seen[0].reader).__name__
    lines = [f"files: [{quoted}]", f"reader: {reader}  # {seen[0].reader.title}"]
    return Sample(name, lines, "", present, first_jets(paths[0], {"reader": reader}), entries)


def _drafted(name: str, path: str, quoted: str) -> Sample:
    """A skeleton of branches, guessed; it has to be looked at."""
    lines = draft(path)
    start = next((i for i, line in enumerate(lines) if line.strip() == "source:"), None)
    if start is None:
        inspect(path)  # raises what is wrong
    source = [line.removeprefix("      ") for line in lines[start + 1 :]]
    while not source[0].startswith(("tree:", "units:", "branches:")):  # the files
        source.pop(0)
    said = lines[start - 1].removeprefix("  a mapping     ")
    guessed = UNKNOWN not in "".join(source) and said.startswith("guessed")
    needs = "" if guessed else f"samples.{name}.source.branches in the file, {said.rstrip(':')}"
    head = [f"files: [{quoted}]", f"# {said}"]
    text = "\n".join(source)
    groups = {"constituents": "constituent_pt", "jets": "jets_pt", "met": "met_pt"}
    present = frozenset(what for what, branch in groups.items() if f"{branch}:" in text)
    return Sample(name, head + source, needs, present, np.zeros((0, 4)), 0)


def configuration(samples: list[Sample]) -> tuple[list[str], list[str]]:
    """Lines of YAML for a background and its signals, and what the user has to do before it can run."""
    background, *signals = samples
    notes = [sample.needs for sample in samples if sample.needs]
    if not signals:
        notes.append("there is no signal: add a sample, and its name under tasks.search.signals")
    selection, remark = _selection(samples)
    present = frozenset.intersection(*(sample.present for sample in samples))
    names, blocks = detectors_of(present)
    lines = [
        "# Written by `hepad init`. Every key, its unit and its default: config/README.md of hepad.",
        "samples:",
    ]
    for sample in samples:
        role = "background" if sample is background else "signal"
        lines += [f"  {sample.name}:  # the {role}" + (f", {sample.entries:,} entries" if sample.entries else "")]
        lines += [f"    label: {json.dumps(sample.name.replace('_', ' '))}  # in figures and tables", "    source:"]
        lines += [f"      {line}" for line in sample.source]
        lines += [f"    selection: {selection}  # {remark}"]
        split = "[0.6, 0.1, 0.3]" if sample is background else "[0.5, 0.0, 0.5]"
        what = "training, validation, test" if sample is background else "training of the supervised line, none, test"
        lines += [f"    split: {split}  # {what}"]
    listed = ", ".join(sample.name for sample in signals) or UNKNOWN
    seen = "matrix" if "vae_matrix" in names else "vector"
    lines += ["", *blocks, "", "tasks:", "  search:", f"    background: {background.name}"]
    lines += [f"    signals: [{listed}]", f"    detectors: [{', '.join(names)}]"]
    lines += ["    seeds: [1]  # of the trainings; of more than one, tables show the spread"]
    lines += ["", "evaluation:", "  working_point: 0.01  # background efficiency of the tables"]
    lines += [f"  supervised: {seen}  # what the supervised line sees"]
    lines += ["", "style:", "  experiment: null  # CMS, ATLAS, LHCb or ALICE", "  sqrt_s_tev: null  # 13.6"]
    return lines, notes


def _selection(samples: list[Sample]) -> tuple[str, str]:
    """The window of all samples, and why it is that."""
    jets = [sample.jet for sample in samples]
    if any(not len(jet) for jet in jets):
        return "any", "or a window, the same for all samples: {pt: [550, 650], abs_eta: 2.0}, in GeV"
    low, high = (_round(x) for x in np.quantile(jets[0][:, 0], QUANTILES))
    abs_eta = float(np.ceil(10 * np.abs(jets[0][:, 1]).max()) / 10)
    inside = [((jet[:, 0] > low) & (jet[:, 0] < high) & (np.abs(jet[:, 1]) < abs_eta)).mean() for jet in jets]
    medians = "; ".join(f"{s.name} {np.median(jet[:, 0]):.4g}" for s, jet in zip(samples, jets, strict=True))
    if low < high and abs_eta > 0 and min(inside) > HALF:
        return f"{{pt: [{low:g}, {high:g}], abs_eta: {abs_eta:g}}}", f"GeV; median pT: {medians}"
    return "any", f"careful, scores may differ by phase space alone; median pT in GeV: {medians}"


def _round(x: float) -> float:
    """To two digits."""
    return float(f"{x:.2g}")
