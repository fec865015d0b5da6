"""The gallery of a task: its most anomalous events, sample by sample, and what makes them so; for a page.

Of every sample the events with the largest scores under the first training of each detector are there, and as many that
are drawn at random of those looked at, so that one sees what is strange about the others. Each comes with its
constituents and objects, its observables with the share of background that has less, and its p-value under all
detectors (:mod:`hepad.evaluation.p_values`). Scores are those of the run.
"""

from pathlib import Path

import numpy as np

from hepad.config.described import Describing, check_page, identified, scored, shown_as
from hepad.config.results import Results
from hepad.config.scoring import Models, column, models
from hepad.config.subjects import Subject
from hepad.errors import InputError
from hepad.evaluation.anomalous import Picked, most_anomalous
from hepad.evaluation.scored_sample import LOOK
from hepad.events import Events, concatenate
from hepad.events.cuts import outside
from hepad.figures.gallery import render
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of
from hepad.storage.files import atomic_path


def write(found: dict, path: Path) -> None:
    """Write the page of what :func:`gallery` or :func:`events_of` has found, one HTML file that needs nothing else."""
    check_page(path)
    page = render(found)
    with atomic_path(path) as partial:
        partial.write_text(page)


def gallery(results: Results, task: str) -> dict:
    """What the page of a task shows, as JSON.

    Returns
    -------
    task; detectors, samples, variables: labels, in the order of what follows
    events: of each the number of the sample, its identifier as text, 'where' (run, section and event of data), jet
        (pt, eta, phi, mass), constituents (pt, and eta and phi relative to the jet), objects and missing momentum,
        values of the variables and the share of background below them, scores and p-values of the detectors, and
        'why': by detector, if it is one of the most anomalous under it
    top: of each sample and detector the places of events, falling; random: of each sample
    unexplained: label of the detector -> why not; files: samples that are called as their files are; warning: of events
        of files

    Raises
    ------
    InputError: an unknown task, or a file of the run is missing or damaged
    """
    known, rng, picked = models(results, task, first=True), np.random.default_rng(0), {}
    labels = Subject(results.plan, {"task": task}).labels(["samples"])
    for name, label in labels.items():
        picked[label] = most_anomalous(scored(results, task, name).beginning(LOOK, True), known.of, rng)
    return _described(results, task, known, picked)


def events_of(results: Results, task: str, files: list[str], wanted: list[str], **options) -> dict:
    """The same of some events of files, under the detectors of a task; every file that has any is a sample.

    wanted: their identifiers, or 'run:section:event' of each
    options: ``reader`` and its options

    Scores and p-values of a detector are None where its representation lacks something in the file.

    Raises
    ------
    InputError: an event is not there, or as of :func:`gallery`, or the files are bad, or lack what every detector sees
    """
    if not all(wanted):
        raise InputError("show: an event without a name. Give identifiers, or run:section:event.")
    known, paths, picked, names = models(results, task, first=True), find_files(files), {}, set()
    for path in paths:
        found = _events_in(path, {*wanted}, options)
        if not len(found):
            continue
        names |= {name for of in identified(found) for name in of}
        lacking: dict[str, str] = {}
        columns = known.score(found, lacking)
        if len(lacking) == len(known.representations):
            raise InputError(f"{path}: {next(iter(lacking.values()))}")
        scores = {key: columns[column(key)] for key in known.of}
        top = {key: np.argsort(-of, kind="stable") for key, of in scores.items()}
        picked[shown_as(path, paths)] = Picked(found, scores, top, np.zeros(0, int))
    for one in wanted:
        if one not in names:
            raise InputError(f"{', '.join(files)}: there is no event {one}. Give its identifier, or run:section:event.")
    warning = outside(np.concatenate([of.events.jet for of in picked.values()]), known.window)
    shown = _described(results, task, known, picked)
    return shown | {"files": list(picked), "warning": f"{warning}." if warning else ""}


def _events_in(path: str, wanted: set[str], options: dict) -> Events:
    """Those of a file that have one of these names; an event is what it is, whatever its weight."""
    source, parts = {"files": [path], "unit_weights": True, **options}, []
    for events in stream_of(source, name=Path(path).name, selection="any", split=(0, 0, 1), part=True):
        inside = [bool({*names} & wanted) for names in zip(*identified(events), strict=True)]
        parts.append(events[np.array(inside, bool)])
    return concatenate(parts)


def _described(results: Results, task: str, known: Models, picked: dict[str, Picked]) -> dict:
    of = Subject(results.plan, {"task": task})
    background = scored(results, task, of.background)
    describing = Describing(background, known, of.labels(["detectors"]), [found.events for found in picked.values()])
    events, top, random = [], [], []
    for place, found in enumerate(picked.values()):
        top.append([(len(events) + found.top[key]).tolist() for key in known.of])
        random.append((len(events) + found.random).tolist())
        events += describing.events(place, found)
    return {
        "task": task, "detectors": describing.detectors, "samples": list(picked), "variables": describing.variables,
        "events": events, "top": top, "random": random, "files": [], "warning": "",
        "unexplained": describing.unexplained,
    }  # fmt: skip
