"""What the workflow has left in its folder of results: tables, scores, events and models, by name."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepad.config.loading import trainings
from hepad.errors import InputError, check_choice
from hepad.evaluation.regret import read_regrets
from hepad.evaluation.scores import read_scores
from hepad.events import SPLITS, Events, concatenate
from hepad.storage.files import read_json

if TYPE_CHECKING:  # torch takes seconds, and tables and scores need none of it
    from hepad.detectors.estimator import Estimator
    from hepad.representations import Representation

PLAN = Path("admitted/plan.json")


class Results:
    """A folder of results of the workflow; ``hepad.open("results")``.

    Parameters
    ----------
    folder: the ``results`` of a run. A run that is not finished opens as well: ``missing`` lists what it lacks

    Attributes
    ----------
    config: the complete configuration of the run; given: as it was before defaults were filled in
    plan: what the workflow knew before its jobs (:func:`hepad.config.preflight.make`)
    tasks: names of the tasks; samples, detectors: names of those that the tasks use
    tables: names of the tables, as :meth:`table` takes them
    missing: files of models and scores, relative to the folder, that the run has not made yet

    Raises
    ------
    InputError: the folder is not one of results; or, of a method, an unknown name, or a file that is not there yet

    Examples
    --------
    >>> results = hepad.open("results")
    >>> results.tasks, results.samples, results.detectors
    (['jets'], ['one', 'two'], ['ae'])
    >>> list(results.scores("jets", "two"))
    ['ae/1']
    >>> "auc" in results.tables
    True
    """

    def __init__(self, folder: str | Path = "results"):
        self.folder = Path(folder)
        if not (self.folder / PLAN).is_file():
            raise InputError(
                f"{folder}: no results of hepad: there is no {PLAN}. Give the folder 'results' that snakemake has made."
            )
        try:
            made = read_json(self.folder / PLAN)
            self.plan, self.given = made["plan"], made.get("of", {}).get("config", {})
            self.config = self.plan["config"]
            entries = self.config["tasks"].values()
            samples = [(task["background"], *task["signals"]) for task in entries]
            self.tasks = list(self.config["tasks"])
            self.samples = list(dict.fromkeys(name for names in samples for name in names))
            self.detectors = list(dict.fromkeys(name for task in entries for name in task["detectors"]))
            wanted = [path for task in self.tasks for path in self._made(task)]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder}/{PLAN}: not the plan of a run ({error!r}). Run snakemake again.") from None
        self.tables = sorted(path.stem for path in self.folder.glob("*.csv"))
        self.missing = [str(path) for path in wanted if not (self.folder / path).exists()]

    def _made(self, task: str) -> list[Path]:
        entry = self.config["tasks"][task]
        models = [_model(task, name, seed) for name, seed in trainings(self.config, task)]
        return models + [_scores(task, sample) for sample in (entry["background"], *entry["signals"])]

    def scores(self, task: str, sample: str) -> Mapping[str, np.ndarray]:
        """Scores (N,) of the test events of a sample under 'detector/seed', each read when it is asked for."""
        return self._read(task, sample)[0]

    def columns(self, task: str, sample: str) -> Mapping[str, np.ndarray]:
        """What stands beside the scores: 'weight', 'event_id', 'cluster' (N,) and 'jet' (N, 4) [GeV, rad]."""
        return self._read(task, sample)[1]

    def _read(self, task: str, sample: str) -> tuple[Mapping, Mapping]:
        entry = self.config["tasks"][check_choice("task", task, self.tasks)]
        check_choice(f"sample of task '{task}'", sample, (entry["background"], *entry["signals"]))
        return read_scores(self.there(_scores(task, sample)))

    def events(self, sample: str, split: str = "test") -> Events:
        """Events of a sample: those of 'test', in the order of the scores, of 'train' or of 'valid'."""
        check_choice("split", split, SPLITS)
        path = self.there(Path("events") / f"{check_choice('sample', sample, self.samples)}.h5")
        return concatenate([block.of_split(split) for block in Events.blocks(path)])

    def model(self, task: str, detector: str, seed: int | None = None) -> "Estimator":
        """A trained detector that scores Events: it has its representation, and warns of events from elsewhere.

        ``seed``: of several trainings; None for the first one.
        """
        from hepad.detectors import estimator  # needs torch, which takes seconds to import

        check_choice("task", task, self.tasks)
        check_choice(f"detector of task '{task}'", detector, self.config["tasks"][task]["detectors"])
        seeds = [of_seed for name, of_seed in trainings(self.config, task, [detector])]
        if seed is not None and seed not in seeds:
            raise InputError(f"seed {seed} of '{detector}': there is none in task '{task}'. Its seeds: {seeds}.")
        seed = seeds[0] if seed is None else seed
        model = estimator.load(self.there(_model(task, detector, seed)))
        representation = self.representation(self.config["detectors"][detector]["representation"])
        selection = self.config["samples"][self.config["tasks"][task]["background"]]["selection"]
        model.window = None if selection == "any" else selection
        model.background = self.config["tasks"][task]["background"]
        return model.set_params(representation=representation, seed=seed)

    def representation(self, name: str) -> "Representation":
        """A representation of the run's configuration; paths in it count from where ``results`` lies."""
        from hepad import representations  # needs torch, which takes seconds to import

        check_choice("representation", name, self.config["representations"])
        return representations.build(self.config["representations"][name], self.folder.absolute().parent)

    def table(self, name: str):
        """A table such as 'auc': a pandas.DataFrame, or without pandas a dict of arrays, one for each column.

        Numbers that the samples do not resolve are NaN.
        """
        if name not in self.tables and not self.tables:
            raise self._unfinished(f"{name}.csv")
        path = self.folder / f"{check_choice('table', name, self.tables)}.csv"
        try:
            with open(path, newline="") as file:
                header, *rows = csv.reader(file)
            columns = {key: _array(cells) for key, cells in zip(header, zip(*rows, strict=True), strict=True)}
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            raise InputError(f"{path}: not a table ({error}). Delete it and run again.") from None
        columns = columns or {key: np.array([]) for key in header}
        try:
            import pandas  # not needed otherwise
        except ImportError:
            return columns
        return pandas.DataFrame(columns)

    @property
    def regrets(self) -> list[dict]:
        """The rows of :func:`hepad.evaluation.regret.regrets`; none if the run was one of some targets."""
        path = self.folder / "regret.json"
        return read_regrets(path) if path.is_file() else []

    def there(self, path: str | Path) -> Path:
        """A file below the folder; InputError if the run has not made it yet."""
        if not (self.folder / path).exists():
            raise self._unfinished(path)
        return self.folder / path

    def _unfinished(self, path) -> InputError:
        return InputError(f"{self.folder / path} is missing: the run is not finished. Run snakemake again.")

    def __repr__(self) -> str:
        state = f"not finished, {len(self.missing)} files are missing" if self.missing else "finished"
        names = f"tasks: {', '.join(self.tasks)}; samples: {', '.join(self.samples)}"
        return f"Results({str(self.folder)!r}, {state}; {names}; {len(self.detectors)} detectors)"


def background_features(model: str | Path) -> Path | None:
    """What the test background looks like to a model of a run, results/models/<task>/<detector>/<seed>.safetensors.

    None if the file is not that of a run, or the run keeps no such features (any more).
    """
    *parts, task, detector, _ = ("", "", *Path(model).absolute().parts)
    root = Path(*parts[:-1])
    if not (root / PLAN).is_file():
        return None
    config = Results(root).config
    if task not in config["tasks"] or detector not in config["detectors"]:
        return None
    of, background = config["detectors"][detector]["representation"], config["tasks"][task]["background"]
    path = root / "features" / of / f"{background}.test.h5"
    return path if path.is_file() else None


def _model(task: str, detector: str, seed: int) -> Path:
    return Path("models") / task / detector / f"{seed}.safetensors"


def _scores(task: str, sample: str) -> Path:
    return Path("scores") / task / f"{sample}.h5"


def _array(cells: tuple[str, ...]) -> np.ndarray:
    """Numbers if all cells are, an empty one NaN; otherwise texts."""
    if all(cell.isdecimal() for cell in cells):
        return np.array([int(cell) for cell in cells])
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells)
