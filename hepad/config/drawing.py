"""Figures of a finished run, without the workflow."""

import re
import tempfile
import textwrap
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

from hepad.config import subjects
from hepad.config.results import Results
from hepad.errors import InputError, check_choice
from hepad.figures import KINDS, registry
from hepad.storage.files import read_json, write_json


def kinds() -> dict[str, str]:
    """The kinds of figures, each in one line."""
    captions = {name: registry.kind(name).captions[0].split(". ")[0] for name in KINDS}
    return {
        name: textwrap.shorten(re.sub("[{}]", "", text), 100, placeholder=" ...") for name, text in captions.items()
    }


def draw(results: Results, kind: str, to: Path, **which) -> Iterator[Path]:
    """Draw what a run has of one kind, below the folder ``to``; the paths that were written, without their endings.

    Of ``which`` task, signal, detectors and style, and errors, are as for :func:`jobs`.
    """
    for job in jobs(results, kind, **which):
        yield from registry.draw(kind, job, to)


def jobs(
    results: Results,
    kind: str,
    *,
    task: str | None = None,
    signal: str | None = None,
    detectors: list[str] | None = None,
    experiment: str | None = None,
) -> Iterator[SimpleNamespace]:
    """The jobs of one kind of figures that a run has; their files are there until the next is asked for.

    Parameters
    ----------
    task, signal: of one alone; None for all
    detectors: those to draw, in this order; None for all
    experiment: whose style; 'neutral' for none; None for that of the run

    Raises
    ------
    InputError: a name is unknown, a file of the run is missing, or there is nothing to draw
    """
    declared = registry.kind(kind).declared()
    plan = deepcopy(results.plan) | {"figures": {kind: declared}}
    style = plan["config"]["style"] | ({} if experiment is None else {"experiment": experiment})
    style = style | ({"experiment": None} if experiment == "neutral" else {})
    others = _choose(plan["config"], detectors) if detectors else set()
    found = [subject for subject in _subjects(plan, task, signal) if subject.detectors]
    if not found:
        raise InputError(f"figure {kind}: nothing in this run has one, with these options. Leave some out.")
    read = [{name: subject.files(pattern) for name, pattern in declared["reads"].items()} for subject in found]
    _check_there(results, [path for of_subject in read for files in of_subject.values() for path in files.values()])
    with tempfile.TemporaryDirectory() as scratch:
        for subject, of_subject in zip(found, read, strict=True):
            paths = {}
            for name, files in of_subject.items():
                there = [_without(str(results.folder / path), others, Path(scratch)) for path in files.values()]
                paths[name] = there[0] if list(files) == [()] else there
            yield subjects.job(subjects.parameters(declared, subject), paths, style, named=bool(detectors))


def _choose(config: dict, chosen: list[str]) -> set[str]:
    """Leave these detectors in the tasks that have any of them; the others."""
    used = {name for entry in config["tasks"].values() for name in entry["detectors"]}
    for name in chosen:
        check_choice("detector", name, used)
    for entry in config["tasks"].values():
        entry["detectors"] = [name for name in chosen if name in entry["detectors"]]
    return set(config["detectors"]) - set(chosen)


def _subjects(plan: dict, task: str | None, signal: str | None) -> Iterator[subjects.Subject]:
    tasks = plan["config"]["tasks"]
    if task is not None:
        check_choice("task", task, tasks)
    if signal is not None:
        check_choice("signal", signal, {name for entry in tasks.values() for name in entry["signals"]})
    for _, subject in subjects.figures(plan):
        if task in (None, subject.task) and signal in (None, subject.wildcards.get("signal", signal)):
            yield subject


def _check_there(results: Results, paths: list[str]) -> None:
    """Refuse to draw from a run that has not made all of these files, with the command that makes them."""
    missing = [f"results/{path}" for path in dict.fromkeys(paths) if not (results.folder / path).exists()]
    if missing:
        more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        raise InputError(
            f"{results.folder}: the run has not made {missing[0]}{more}, which the figure reads. With the "
            f"configuration of the run, this makes what is missing: hepad run -- {' '.join(missing)}"
        )


def _without(path: str, others: set[str], scratch: Path) -> str:
    """A file without records of these detectors, if it is a list of records of detectors."""
    records = read_json(path) if others and path.endswith(".json") else None
    if not isinstance(records, list) or not all(isinstance(x, dict) and "detector" in x for x in records):
        return path
    reduced = scratch / f"{len(list(scratch.iterdir()))}.json"
    write_json(reduced, [x for x in records if x["detector"] not in others])
    return str(reduced)
