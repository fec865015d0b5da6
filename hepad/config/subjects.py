"""What each job of a run is about: which files it reads and what it is told, from the plan of the run alone.

Rules, and the declarations of figures (:mod:`hepad.figures.registry`), name files with words in braces, such as
``scores/{task}/{samples}.h5``. The words are the wildcards of the job and the attributes of its :class:`Subject`.
Nothing here needs torch or matplotlib.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import product
from math import log
from types import SimpleNamespace
from typing import NamedTuple

from hepad.config.loading import trainings
from hepad.figures import colors

# what a figure can be made for each of, in a task
EACH = {"signal": "signals", "sample": "samples", "representation": "representations"}
KINDS = dict.fromkeys(("detectors", "teacher"), "detectors")  # of words with labels; the others are samples


class Subject:
    """What one job is about: a task, a signal or a detector of it, or a student and its task.

    Parameters
    ----------
    plan: of the run, as :func:`hepad.config.preflight.make` gives it
    wildcards: of the job, such as 'task' and 'signal', or 'student'; without either, it has no other words
    which: of the task's detectors: 'all'; 'trained', step by step; 'baseline', simple opponents; 'energy', whose
        trainings have candidates to choose from; 'generating', which can draw events from their model; 'images', which
        can show the reconstruction of one
    """

    def __init__(self, plan: dict, wildcards: dict[str, str], which: str = "all"):
        self.plan, self.wildcards, self.which = plan, dict(wildcards), which
        self.config = plan["config"]
        if "student" in self.wildcards:
            entry = self.config["students"][self.wildcards["student"]]
            self.task, self.teacher, self.teacher_seed = entry["task"], entry["detector"], entry["seed"]
        else:
            self.task = self.wildcards.get("task")
        self._task = self.config["tasks"].get(self.task)
        self._tasks = [self._task] if self._task else list(self.config["tasks"].values())

    def value(self, word: str):
        """What a word in braces stands for: a wildcard of the job, or the attribute of this name."""
        return self.wildcards[word] if word in self.wildcards else getattr(self, word)

    @property
    def background(self) -> str:
        return self._task["background"]

    @property
    def signals(self) -> list[str]:
        return self._task["signals"]

    @property
    def first_signal(self) -> str:
        return self.signals[0]

    @property
    def samples(self) -> list[str]:
        """Background and signals; without a task, those of all tasks."""
        used = dict.fromkeys(name for task in self._tasks for name in (task["background"], *task["signals"]))
        return list(used)

    @property
    def evaluated(self) -> list[str]:
        """'task/signal' of all tasks."""
        return [f"{name}/{signal}" for name, task in self.config["tasks"].items() for signal in task["signals"]]

    @property
    def families(self) -> dict[str, str]:
        """Detector -> its class."""
        return {name: self.config["detectors"][name]["type"] for name in self.detectors}

    @property
    def rate(self) -> dict | None:
        """What the rate of the background is made of."""
        return self.config["samples"][self.background].get("rate")

    @property
    def rated(self) -> bool:
        """Whether the configuration says that efficiencies of the background are rates."""
        return bool(self.rate or self.menu or self.config["samples"][self.background]["source"].get("zero_bias"))

    @property
    def menu(self) -> dict | None:
        """The menu of triggers that the background declares."""
        return self.config["samples"][self.background].get("menu")

    @cached_property
    def detectors(self) -> list[str]:
        """Those of the task that the job is about, or of all tasks."""
        used = dict.fromkeys(name for task in self._tasks for name in task["detectors"])
        return [name for name in used if self._has(name, self.which)]

    def _has(self, name: str, which: str) -> bool:
        found = self.plan["detectors"][name]
        if which == "images":
            representation = self.config["detectors"][name]["representation"]
            return found["reconstructing"] and self.config["representations"][representation]["type"] == "JetImage"
        trained = found["group"] == "detector" and not found.get("members")  # as runs of before have it
        groups = {"all": True, "baseline": found["group"] == "baseline", "trained": found.get("trained", trained)}
        return groups[which] if which in groups else found[which]

    @property
    def opponents(self) -> list[str]:
        """The simple ones among these detectors."""
        return [name for name in self.detectors if self._has(name, "baseline")]

    @property
    def runs(self) -> list[tuple[str, int]]:
        """(detector, seed) of their trainings."""
        return trainings(self.config, self.task, self.detectors)

    @property
    def trainings(self) -> list[str]:
        """'detector/seed' of their trainings."""
        return [f"{name}/{seed}" for name, seed in self.runs]

    @property
    def spec(self) -> dict:
        """What the one detector that the job is about is built from."""
        return self.plan["detectors"][self.wildcards["detector"]]["spec"]

    @property
    def before(self) -> list[str]:
        """'detector/seed' of the trainings that this one is made of: its own seed, or else a member's first."""
        found, own, this = [], int(self.wildcards["seed"]), self.plan["detectors"][self.wildcards["detector"]]
        for name in this["before"]:
            seeds = [seed for _, seed in trainings(self.config, self.task, [name])]
            found.append(f"{name}/{own if this['trained'] or own in seeds else seeds[0]}")
        return found

    @property
    def representation_of(self) -> dict[str, str]:
        """Detector -> its representation."""
        return {name: self.config["detectors"][name]["representation"] for name in self.detectors}

    @property
    def representations(self) -> list[str]:
        """Of these detectors, each once."""
        return list(dict.fromkeys(self.representation_of.values()))

    @property
    def representation(self) -> str:
        """Of the one detector that the job is about, of a student's its teacher."""
        name = self.teacher if "student" in self.wildcards else self.wildcards["detector"]
        return self.config["detectors"][name]["representation"]

    @property
    def trained_on(self) -> dict:
        """What a detector sees, for the file of its model: the representation, and the window of the background."""
        window = self.config["samples"][self.background]["selection"]
        representation = self.config["representations"][self.representation]
        return {"representation": representation, "window": None if window == "any" else window}

    @property
    def supervised(self) -> str:
        """The representation that the supervised trees see."""
        return self.config["evaluation"]["supervised"]

    @property
    def seed(self) -> int:
        """Of the trainings that figures of single models show."""
        return self._task["seeds"][0]

    @property
    def working_point(self) -> float:
        return self.config["evaluation"]["working_point"]

    @property
    def compared_at(self) -> float:
        """The ε_B of the tables at which detectors are compared: the nearest to the working point."""
        return min(self.config["evaluation"]["eps_b"], key=lambda eps_b: abs(log(eps_b / self.working_point)))

    @property
    def any_window(self) -> bool:
        """Whether samples of different phase space may be compared."""
        return self._task["any_window"]

    @property
    def published(self) -> list[dict]:
        """What papers have found with such detectors, on other events; a run of before did not know of any."""
        return self._task.get("published", [])

    @property
    def contaminated(self) -> list[str]:
        """The fast detectors, if the configuration asks for trainings with signal in the background."""
        wanted = bool(self.config["evaluation"]["contamination"])
        return [d for d in self._task["detectors"] if wanted and self._has(d, "trained") and not self._has(d, "energy")]

    @property
    def swapped(self) -> list[str]:
        """Tasks in which the background is a signal and a signal of this task the background."""
        tasks = self.config["tasks"].items()
        return [name for name, x in tasks if self.background in x["signals"] and x["background"] in self.signals]

    @property
    def backgrounds(self) -> dict[str, str]:
        """Of this task and of the swapped ones, or of all tasks."""
        tasks = self.config["tasks"]
        return {name: tasks[name]["background"] for name in ((self.task, *self.swapped) if self._task else tasks)}

    @property
    def groups(self) -> dict[str, str]:
        """Where each detector stands in tables and curves."""
        return {name: self.plan["detectors"][name]["group"] for name in self.detectors}

    @property
    def score_names(self) -> dict[str, str]:
        """What the score of each detector is called."""
        return {name: self.plan["detectors"][name]["score_name"] for name in self.detectors}

    @property
    def image(self) -> dict:
        """Pixels, window and power of the image that the detectors see, the first of several; empty without one."""
        found = (self.plan["representations"][name]["image"] for name in self.representations)
        return next(filter(None, found), {})

    @property
    def half_widths(self) -> dict[str, tuple[float, float]]:
        """Detector -> Δη and Δφ of its image, half its width and height; none where it sees no image."""
        images = {name: self.plan["representations"][of]["image"] for name, of in self.representation_of.items()}
        return {name: (image["eta_range"], image["phi_range"]) for name, image in images.items() if image}

    @property
    def constituents(self) -> bool:
        """Whether a detector sees the constituents of jets."""
        return any(self.plan["representations"][name]["needs_constituents"] for name in self.representations)

    @property
    def searches(self) -> dict[str, str]:
        """Signal -> what is searched in what, in words."""
        labels = self.labels(("samples",))
        return {signal: f"{labels[signal]} in {labels[self.background]}" for signal in self.signals}

    def labels(self, words: Iterable[str]) -> dict[str, str]:
        """What is written for the samples and detectors that the words stand for."""
        found = {}
        for word in words:
            entries, value = self.config[KINDS.get(word, "samples")], self.value(word)
            for name in [value] if isinstance(value, str) else value:
                chosen = entries[name].get("selection") == "any" and not entries[name]["source"].get("level1")
                any_window = " (window: any)" if chosen else ""  # a first level selects no jets
                found[name] = entries[name].get("label", name) + any_window
        return found

    def colors(self, words: Iterable[str]) -> dict[str, str]:
        """Label -> colour of the same."""
        of = {kind: of_entries(self.config[kind]) for kind, of_entries in colors.OF.items()}
        return {x: of[KINDS.get(word, "samples")][name] for word in words for name, x in self.labels([word]).items()}

    def files(self, pattern: str) -> dict[tuple, str]:
        """The paths that a pattern of words stands for, by the values of those words that stand for several."""
        words = {word: self.value(word) for word in words_of(pattern)}
        several = [word for word, value in words.items() if isinstance(value, list)]
        keys = product(*(words[word] for word in several))
        return {key: pattern.format(**words | dict(zip(several, key, strict=True))) for key in keys}

    def paths(self, *patterns: str) -> str | list[str]:
        """The files below 'results' that patterns stand for; a single one, without words for several, is no list."""
        found = [self.files(pattern) for pattern in patterns]
        paths = [f"results/{path}" for of_pattern in found for path in of_pattern.values()]
        return paths[0] if list(map(list, found)) == [[()]] else paths


def words_of(pattern: str) -> list[str]:
    """The words in braces, each once."""
    return list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))


def figures(plan: dict) -> Iterator[tuple[dict, Subject]]:
    """The kind and the subject of every job of figures that a run has, and of those that it has on request."""
    for kind in plan["figures"].values():
        words = {word for pattern in kind["draws"] for word in words_of(pattern)} - {"detector"}
        found = [{"student": name} for name in plan["config"]["students"]]
        if "student" not in words:
            found, each = [] if words else [{}], sorted(words - {"task"})
            for task in plan["config"]["tasks"] if words else ():
                of_task = Subject(plan, {"task": task}, kind["detectors"])
                values = product(*(of_task.value(EACH[word]) for word in each))
                found += [{"task": task} | dict(zip(each, value, strict=True)) for value in values]
        subjects = (Subject(plan, wildcards, kind["detectors"]) for wildcards in found)
        yield from ((kind, subject) for subject in subjects if subject.value(kind["only"]))


def figure_files(plan: dict) -> list[str]:
    """What a run draws unasked, below results/figures: folders, and the PDFs of those that are in none."""
    unasked = ((kind, of.wildcards) for kind, of in figures(plan) if not kind["on_request"])
    drawn = ((found, wildcards) for kind, wildcards in unasked for found in drawn_by(kind))
    return [(found.path if found.folder else f"{found.path}.pdf").format(**wildcards) for found, wildcards in drawn]


class Drawn(NamedTuple):
    """One of the things that a kind of figures draws: its ``path`` below results/figures, with words in braces, that of
    a ``folder`` or of files without their endings; and how the report of Snakemake shows it."""

    path: str
    folder: bool
    category: str
    labels: dict[str, str]
    caption: str


def drawn_by(kind: dict) -> list[Drawn]:
    """All that a kind draws."""
    found = []
    for (pattern, shown), caption in zip(kind["draws"].items(), kind["captions"], strict=True):
        words, path = words_of(pattern), pattern.removesuffix("/{detector}")
        labels = shown["labels"] or {word: f"{{{word}}}" for word in words}
        caption = caption.format(**{word: f"{{{{ snakemake.wildcards.{word} }}}}" for word in words})
        found.append(Drawn(path, path != pattern, shown["category"], labels, caption))
    return found


def record_of(kind: dict) -> str:
    """Where log and benchmark of a job of a kind are, below those of figures, without their endings."""
    words = [f"{{{word}}}" for word in words_of(next(iter(kind["draws"]))) if word != "detector"]
    task = words[:1] if words[:1] == ["{task}"] else []
    return "/".join([*task, kind["name"], *words[len(task) :]])


def parameters(kind: dict, subject: Subject) -> dict:
    """What a job of figures is told besides its files: wildcards, labels, what it needs, and the keys of the files."""
    keys = {name: list(subject.files(pattern)) for name, pattern in kind["reads"].items()}
    needs = {word: subject.value(word) for word in kind["needs"]}
    if "sample" in keys:
        needs["sample_label"] = subject.labels(["background"])[subject.background]
    shown = {"labels": subject.labels(kind["labels"]), "colors": subject.colors(kind["labels"])}
    return subject.wildcards | needs | shown | {"keys": keys}


def job(parameters: dict, paths: dict[str, str | list[str]], style: dict, named: bool = False) -> SimpleNamespace:
    """The job of :func:`hepad.figures.registry.draw`: what it is told, and the files under their keys.

    Under a name of ``reads`` stands a path; where the pattern has words for several, a dict of paths by their values.
    ``named``: whether the detectors were asked for by name
    """
    files = {}
    for name, keys in parameters["keys"].items():
        short = [key[0] if len(key) == 1 else key for key in keys]
        files[name] = paths[name] if short == [()] else dict(zip(short, paths[name], strict=True))
    return SimpleNamespace(
        **{key: value for key, value in parameters.items() if key != "keys"}, files=files, style=style, named=named
    )
