"""Files to scores with the models of a finished run: what would its detectors make of them?"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad import load, representations
from hepad.config.loading import trainings
from hepad.config.results import Results
from hepad.detectors.estimator import Estimator
from hepad.errors import InputError, at, check_choice
from hepad.evaluation import p_values
from hepad.evaluation.efficiency import Efficiency
from hepad.evaluation.roc import efficiencies
from hepad.evaluation.score_distribution import ScoreDistribution
from hepad.evaluation.score_files import kind_of, new_scores
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import distribution, rows_and_events
from hepad.events import FOUR_VECTOR, NUMBERS, Events
from hepad.events.cuts import outside
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of
from hepad.storage.files import provenance

__all__ = ["Models", "Scored", "kind_of", "models", "report", "score_files", "write_scored"]


class Scored(NamedTuple):
    """What became of one file.

    counts: what was read, refused and kept; seconds: from opening it to the last score; lacking: representation -> what
    the file lacks for it; warning: which events lie outside the window of the training, or ''; columns: of the events,
    (N,) each: identifiers, jet in GeV and radians, and under 'score_<detector>_<seed>' the scores, NaN where the file
    lacks something, and their p-values if these are asked for; passing: 'detector/seed' -> the fraction of jets at the
    threshold whose true background efficiency is asked for, with its interval and counts
    """

    path: str
    reader: str
    counts: dict[str, int]
    seconds: float
    lacking: dict[str, str]
    warning: str
    columns: dict[str, np.ndarray]
    passing: dict[str, Efficiency]


def column(key: str) -> str:
    """What the column of a training 'detector/seed' is called in files."""
    return f"score_{key.replace('/', '_')}"


def p_column(key: str, member: str = "") -> str:
    """What the column of its p-values is called, or of those of a member of a combination."""
    return "_".join(["p", *key.split("/"), *([member] if member else [])])


@dataclass(frozen=True)
class Models:
    """All trainings of some detectors of a task, and the background's scores that their thresholds come from.

    ``of``: 'detector/seed' -> model; ``representation_of``: -> its representation; ``backgrounds``: -> scores of the
    test background; ``window``: the selection of that background
    """

    of: dict[str, Estimator]
    representation_of: dict[str, str]
    representations: dict[str, representations.Representation]
    backgrounds: dict[str, ScoreDistribution]
    window: dict | str

    def thresholds(self, eps_b: list[float]) -> dict[str, list[float]]:
        """By 'detector/seed' the thresholds at each ``eps_b``; NaN where too few background events pass."""
        found = {}
        for key, background in self.backgrounds.items():
            values = background.at_most(np.array(eps_b)).tolist()
            found[key] = [value if background.resolved(value) else np.nan for value in values]
        return found

    def check_resolved(self, least: float) -> None:
        """InputError unless the background resolves p-values as small as ``least``, for every training."""
        for key, background in self.backgrounds.items():
            with at(key):
                p_values.check_resolved(background, least)

    def score(self, events: Events, lacking: dict[str, str], with_p: bool = False) -> dict[str, np.ndarray]:
        """Columns (N,) of scores, and of p-values; what a representation lacks is added to ``lacking``.

        The p-value of a score is exact, from the background's test events; those of the members of a combination are
        what it has found with its calibration events.
        """
        columns = {}
        for name, representation in self.representations.items():
            try:
                x = None if name in lacking else representation(events)
            except InputError as error:
                x, lacking[name] = None, str(error)
            for key in (key for key in self.of if self.representation_of[key] == name):
                scores = np.full(len(events), np.nan, np.float32) if x is None else self.of[key].score(x)
                columns[column(key)] = scores
                if with_p:
                    columns[p_column(key)] = p_values.of_scores(self.backgrounds[key], scores)
                    parts = dict.fromkeys(self.of[key].module.names, scores) if x is None else self.of[key].parts(x)
                    columns |= {p_column(key, member): p for member, p in parts.items()}
        return columns


def models(results: Results, task: str, detectors: list[str] | None = None, first: bool = False) -> Models:
    """Those of a finished run; ``detectors``: those of the task that are wanted, None for all; ``first``: of each
    detector the first training alone.

    InputError: no such task or detector, or a model, or the background's scores, are missing; the file of an encoder is
    not the one of the training.
    """
    entry = results.config["tasks"][check_choice("task", task, results.tasks)]
    names = [check_choice(f"detector of task '{task}'", name, entry["detectors"]) for name in detectors or ()]
    runs = trainings(results.config, task, names or None)
    if first:
        runs = [trainings(results.config, task, [name])[0] for name in names or entry["detectors"]]
    of = {f"{n}/{s}": load(results.there(Path("models") / task / n / f"{s}.safetensors")) for n, s in runs}
    representation_of = {f"{n}/{s}": results.config["detectors"][n]["representation"] for n, s in runs}
    built = {name: results.representation(name) for name in set(representation_of.values())}
    for key, model in of.items():
        built[representation_of[key]].space.check_encoders(model.module.space, key)
    background, _ = read_scores(results.there(Path("scores") / task / f"{entry['background']}.h5"))
    backgrounds = {key: rows_and_events("background", background.weighted(key))[0] for key in of}
    window = results.config["samples"][entry["background"]]["selection"]
    return Models(of, representation_of, built, backgrounds, window)


def score_files(
    files: list[str], models: Models, eps_b: float = 1e-2, with_p: bool = False, **options
) -> Iterator[Scored]:
    """Score files one by one; every event counts once, whatever its weight and its phase space.

    Parameters
    ----------
    files: paths, patterns or addresses
    models: that score
    eps_b: background efficiency of the thresholds, which the background's test jets of the run fix
    with_p: columns of p-values, too
    options: ``reader`` and its options

    Raises
    ------
    InputError: a file that cannot be read
    """
    for path in find_files(files):
        start, meta = time.perf_counter(), {}
        lacking: dict[str, str] = {}
        parts: dict[str, list[np.ndarray]] = {}
        source = {"unit_weights": True, "files": [path], **options}
        for events in stream_of(source, name=Path(path).name, selection="any", split=(0.0, 0.0, 1.0)):
            meta = events.meta
            scores = models.score(events, lacking, with_p)
            for name, values in (_identified(events) | scores | {"cluster": events.cluster}).items():
                parts.setdefault(name, []).append(values)
        columns = {name: np.concatenate(of_blocks) for name, of_blocks in parts.items()}
        cluster = columns.pop("cluster")
        passing = {}
        for key in (key for key in models.of if models.representation_of[key] not in lacking):
            signal = distribution("signal", columns[column(key)], cluster=cluster)
            passing[key] = efficiencies(models.backgrounds[key], signal, [eps_b])[0].eps_s
        jet = np.stack([columns[f"jet_{x}"] for x in FOUR_VECTOR], axis=1)
        seconds = time.perf_counter() - start
        yield Scored(
            path, ", ".join(meta["readers"]), meta["counts"][path], seconds, lacking, outside(jet, models.window),
            columns, passing,
        )  # fmt: skip


def _identified(events: Events) -> dict[str, np.ndarray]:
    """Which events these are: hepad's identifier, the numbers of the file (-1 if it has none), and the probe jet."""
    known = {name: events.facts.get(name, np.full(len(events), -1, kind)) for name, kind in NUMBERS.items()}
    return {"event_id": events.event_id, **known} | {f"jet_{x}": events.jet[:, i] for i, x in enumerate(FOUR_VECTOR)}


def write_scored(path: str | Path, scored: Iterable[Scored], models: Models, eps_b: list[float], **meta) -> None:
    """Write the columns of files to one of :mod:`hepad.evaluation.score_files`, whose column 'file' says which file.

    ``eps_b``: of the thresholds; ``meta``: further facts. The meta has 'files', 'window', 'warnings', 'provenance'.
    """
    thresholds = {column(key): np.array(values) for key, values in models.thresholds(eps_b).items()}
    meta |= {"files": [], "window": models.window, "warnings": {}, "provenance": provenance()}
    with new_scores(path, {"eps_b": np.array(eps_b)} | thresholds, meta) as append:
        for number, of_file in enumerate(scored):
            meta["files"].append(of_file.path)
            meta["warnings"] |= {of_file.path: of_file.warning} if of_file.warning else {}
            n = len(of_file.columns["event_id"])
            append({"file": np.full(n, number, np.int32), **of_file.columns})


def report(scored: Scored, eps_b: float) -> list[str]:
    """Lines for people."""
    counts = ", ".join(f"{what} {number}" for what, number in scored.counts.items())
    lines = [scored.path, f"  {scored.reader}: {counts}; {scored.seconds:.1f} s"]
    lines += [f"  WARNING: {scored.warning}."] * bool(scored.warning)
    lines += [f"  not represented as '{name}': {why}" for name, why in scored.lacking.items()]
    for key, found in scored.passing.items():
        passed = f"{found.passed} of {found.total} above the threshold of ε_B = {eps_b:g}"
        lines.append(f"  {key:<32}{passed}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    return lines
