"""Files to scores with the models of a finished run: what would its detectors make of them?"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepad import load, representations
from hepad.config.loading import read_configuration, trainings
from hepad.errors import InputError, check_choice
from hepad.evaluation.efficiency import Efficiency
from hepad.evaluation.roc import efficiencies
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import distribution, rows_and_events
from hepad.samples.formats.paths import find_files
from hepad.samples.sources import stream_of


class Scored(NamedTuple):
    """What became of one file.

    counts: what was read, refused and kept; seconds: from opening it to the last score; lacking: representation -> what
    the file lacks for it; scores: 'detector/seed' -> (N,); passing: 'detector/seed' -> the fraction of jets at the
    threshold whose true background efficiency is asked for, with its interval and counts
    """

    path: str
    reader: str
    counts: dict[str, int]
    seconds: float
    lacking: dict[str, str]
    scores: dict[str, np.ndarray]
    passing: dict[str, Efficiency]


def score_files(
    files: str | list[str],
    config: str | Path,
    results: str | Path,
    task: str,
    *,
    selection: dict | str = "any",
    eps_b: float = 1e-2,
    **options,
) -> Iterator[Scored]:
    """Score files one by one with all models of a task; every event counts once, whatever its weight.

    Parameters
    ----------
    files: paths, patterns or addresses
    config: file with the configuration of the run
    results: its folder of results
    task: whose models score
    selection: of the probe jets; 'any' takes what is outside the background's window, too
    eps_b: background efficiency of the thresholds, which the background's test jets of the run fix
    options: ``reader`` and its options

    Raises
    ------
    InputError: no such task, models or scores in ``results``, or a file that cannot be read
    """
    config = read_configuration(config)
    entry = config["tasks"][check_choice("task", task, config["tasks"])]
    runs = trainings(config, task)
    models = {f"{n}/{s}": load(Path(results) / "models" / task / n / f"{s}.safetensors") for n, s in runs}
    seen_as = {f"{n}/{s}": config["detectors"][n]["representation"] for n, s in runs}
    built = {name: representations.build(config["representations"][name]) for name in dict.fromkeys(seen_as.values())}
    background, _ = read_scores(Path(results) / "scores" / task / f"{entry['background']}.h5")
    backgrounds = {key: rows_and_events("background", background.weighted(key))[0] for key in models}
    for path in find_files(files):
        start = time.perf_counter()
        parts: dict[str, list[np.ndarray]] = {key: [] for key in models}
        lacking: dict[str, str] = {}
        meta, ids, source = {}, [], {"unit_weights": True, "files": [path], **options}
        for events in stream_of(source, name=Path(path).name, selection=selection, split=(0.0, 0.0, 1.0)):
            meta = events.meta
            ids.append(events.cluster)
            for name, representation in built.items():
                try:
                    x = representation(events)
                except InputError as error:
                    lacking[name] = str(error)
                    continue
                for key in (key for key in models if seen_as[key] == name):
                    parts[key].append(models[key].score(x))
        scores = {key: np.concatenate(part) for key, part in parts.items() if part and seen_as[key] not in lacking}
        passing = {
            key: efficiencies(backgrounds[key], distribution("signal", values, cluster=np.concatenate(ids)), [eps_b])[
                0
            ].eps_s
            for key, values in scores.items()
        }
        counts, seconds = meta["counts"][path], time.perf_counter() - start
        yield Scored(path, ", ".join(meta["readers"]), counts, seconds, lacking, scores, passing)


def report(scored: Scored, eps_b: float) -> list[str]:
    """Lines for people."""
    counts = ", ".join(f"{what} {number}" for what, number in scored.counts.items())
    lines = [f"{scored.path} (selection: any)", f"  {scored.reader}: {counts}; {scored.seconds:.1f} s"]
    lines += [f"  not represented as '{name}': {why}" for name, why in scored.lacking.items()]
    for key, found in scored.passing.items():
        passed = f"{found.passed} of {found.total} above the threshold of ε_B = {eps_b:g}"
        lines.append(f"  {key:<32}{passed}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    return lines
