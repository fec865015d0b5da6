"""The front page of a run, ``index.html`` in its folder of results, and the summary that the report begins with."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from hepad.config import plan, subjects
from hepad.config.results import PLAN, Results
from hepad.errors import InputError
from hepad.evaluation.regret import read_regrets
from hepad.evaluation.standings import shortages, standings
from hepad.evaluation.tables import SUPERVISED, read_records
from hepad.events.cuts import window
from hepad.figures import page
from hepad.storage.files import atomic_path, provenance, read_json


def write(folder: str | Path) -> None:
    """Write ``index.html`` and ``summary.html`` from the evaluations, histories and figures of a run.

    Figures that the run has not drawn are left out.

    Raises
    ------
    InputError: the folder is not one of results, or a file in it is missing or damaged
    """
    folder = Path(folder)
    run = read(folder)
    for name, text in zip(("index.html", "summary.html"), page.render(run, folder), strict=True):
        with atomic_path(folder / name) as partial:
            partial.write_text(text)


def read(folder: Path) -> page.Run:
    """What the page shows of a run; errors are those of :func:`write`."""
    config = Results(folder).config
    planned = read_json(folder / PLAN)["plan"]
    if "figures" not in planned:
        raise InputError(f"{folder / PLAN}: the plan of an earlier version of hepad. Run snakemake again.")
    at, tasks, records, warnings = subjects.Subject(planned, {}).compared_at, [], [], []
    searches, names = {}, {}
    for task in config["tasks"]:
        of = subjects.Subject(planned, {"task": task})
        labels = of.labels(["detectors"]) | SUPERVISED
        found = read_records([folder / path for path in of.files("evaluation/{task}/{signals}.json").values()], labels)
        for signal in set(of.signals) - {record["signal"] for record in found}:
            raise InputError(f"{folder}/evaluation/{task}/{signal}.json: no results. Delete it and run again.")
        records += found
        searches[task], names = of.searches, names | labels
        background = f"{of.labels(['background'])[of.background]}{_window(config['samples'][of.background])}"
        tasks.append(page.Task(task, of.searches, background, standings(found, at)[task]))
        warnings += [*_trainings(of, folder, labels), *_remarks(found, of.searches)]
    tables = sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".tex"))
    shown = json.dumps(config, indent=1)
    regrets = [_regret(row, names, searches) for row in read_regrets(folder / "regret.json")]
    found = tasks, at, regrets, shortages(records), warnings, list(_groups(planned, folder))
    return page.Run(*found, shown, plan.digest(config), provenance(), tables)


def _regret(row: dict, labels: dict[str, str], searches: dict[str, dict[str, str]]) -> page.Regret:
    value, ratio = (row["regret"], row["low"], row["high"]), row["eps_s_ratio"]
    worst = searches[row["task"]][row["signal"]], labels[row["opponent"]]
    least = "" if ratio is None else searches[row["ratio_task"]][row["ratio_signal"]]
    counts = row["n_signals"], row["trainings"]
    return page.Regret(labels[row["detector"]], row["group"], *counts, value, *worst, ratio, least)


def _window(sample: dict) -> str:
    (low, high), abs_eta = window(sample["selection"])
    pt = f"{low:g} < $p_T$ < {high:g} GeV" if math.isfinite(high) else f"$p_T$ > {low:g} GeV" if low else ""
    cuts = [text for text in (pt, rf"$|\eta|$ < {abs_eta:g}" if math.isfinite(abs_eta) else "") if text]
    return f" ({', '.join(cuts)})" if cuts else ""


def _trainings(of: subjects.Subject, folder: Path, labels: dict[str, str]) -> Iterator[str]:
    """In words the trainings of a task that left the finite numbers and went back to a good state, or whose negative
    samples are far from background."""
    for (detector, seed), path in zip(of.runs, of.files("models/{task}/{trainings}.json").values(), strict=True):
        try:
            kept = read_json(folder / path)
            stops = [r for r in kept["history"] if "diverged" in r]
            said = [f"diverged at step {r['step']} ({r['diverged']}); the last good state is used." for r in stops]
            said += [kept["facts"]["far"]] if "far" in kept["facts"] else []
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / path}: not the history of a training ({error}). Delete it and run again."
            ) from None
        for text in said:
            yield f"Task {of.task}: the training of {labels[detector]}, seed {seed}: {text}"


def _remarks(records: list[dict], searches: dict[str, str]) -> Iterator[str]:
    """What the evaluations say of the weights of the samples, once for each search."""
    for signal, search in searches.items():
        evaluations = [r["evaluation"] for r in records if r["signal"] == signal]
        said = [e.remark for e in evaluations] + [p.remark for e in evaluations for p in e.working_points]
        yield from (f"{search}: {remark}" for remark in dict.fromkeys(said) if remark)


def _groups(planned: dict, folder: Path) -> Iterator[page.Group]:
    """The figures that are there, in the order of tasks."""
    found: dict[tuple, list[tuple[dict[str, str], dict[str, str], str]]] = {}
    for kind, subject in subjects.figures(planned):
        for (pattern, shown), caption in zip(kind["draws"].items(), kind["captions"], strict=True):
            words = subjects.words_of(pattern)
            task = subject.wildcards.get("task", "")
            for detector in subject.detectors if "detector" in words else [None]:
                names = subject.wildcards | ({"detector": detector} if detector else {})
                path = f"figures/{pattern.format(**names)}.png"
                if (folder / path).is_file():
                    key = (
                        task,
                        kind["name"],
                        shown["category"],
                        caption,
                        path.rsplit("/", 1)[0] if detector else pattern,
                    )
                    found.setdefault(key, []).append((_labels(subject, names), shown["labels"], path))
    order = [*planned["config"]["tasks"], ""]
    for key in sorted(found, key=lambda key: order.index(key[0])):
        task, name, category, caption, _ = key
        several = {w: {labels[w] for labels, *_ in found[key]} for w in found[key][0][0]}
        said = caption.format(**{w: of.pop() if len(of) == 1 else f"each {w}" for w, of in several.items()})
        pictures = [page.Picture(_title(labels, shown, path), path) for labels, shown, path in found[key]]
        yield page.Group(name, task, category, said, pictures)


def _labels(subject: subjects.Subject, names: dict[str, str]) -> dict[str, str]:
    """What is written for the words of a figure."""
    known = subject.labels(["samples", "detectors"]) if subject.task else {}
    return {word: name if word in ("task", "student") else known.get(name, name) for word, name in names.items()}


def _title(labels: dict[str, str], shown: dict[str, str] | None, path: str) -> str:
    """What tells a figure from the others of its group."""
    texts = shown or {word: f"{{{word}}}" for word in labels}
    parts = [text.format(**labels) for word, text in texts.items() if word != "task"]
    return ", ".join(parts) or Path(path).stem.replace("_", " ")
