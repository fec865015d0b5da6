"""The figures of a run: which there are, which files they read and what they are told, from the plan of the run alone.

The words of a kind's declaration (:mod:`hepad.figures.registry`) are the wildcards of its path and the attributes of a
:class:`Subject`. Nothing here needs torch or matplotlib.
"""

import re
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

# what a figure can be made for each of, in a task
EACH = {"signal": "signals", "sample": "samples", "representation": "representations"}


class Subject:
    """What one job of figures is about: a task, a signal of it, ..., or a student and its task.

    Parameters
    ----------
    plan: of the run, as :func:`hepad.config.preflight.make` gives it
    kind: a value of its ``figures``
    wildcards: 'task' and what else there is one figure for each of, or 'student'
    """

    def __init__(self, plan: dict, kind: dict, wildcards: dict[str, str]):
        self.plan, self.kind, self.wildcards = plan, kind, dict(wildcards)
        self.config = plan["config"]
        if "student" in self.wildcards:
            entry = self.config["students"][self.wildcards["student"]]
            self.task, self.teacher = entry["task"], entry["detector"]
        else:
            self.task = self.wildcards["task"]
        self._task = self.config["tasks"][self.task]

    def value(self, word: str):
        """Of a word of a declaration."""
        return self.wildcards[word] if word in self.wildcards else getattr(self, word)

    @property
    def background(self) -> str:
        return self._task["background"]

    @property
    def signals(self) -> list[str]:
        return self._task["signals"]

    @property
    def samples(self) -> list[str]:
        """Background and signals."""
        return [self.background, *self.signals]

    @property
    def detectors(self) -> list[str]:
        """Those of the task that the kind is about."""
        return detectors_of(self.plan, self.task, self.kind["detectors"])

    @property
    def seen_as(self) -> dict[str, str]:
        """Detector -> its representation."""
        return {name: self.config["detectors"][name]["representation"] for name in self.detectors}

    @property
    def representations(self) -> list[str]:
        """Of these detectors, each once."""
        return list(dict.fromkeys(self.seen_as.values()))

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
    def any_window(self) -> bool:
        """Whether samples of different phase space may be compared."""
        return self._task["any_window"]

    @property
    def contaminated(self) -> list[str]:
        """Detectors that are trained with signal in the background."""
        return contaminated_of(self.plan, self.task)

    @property
    def swapped(self) -> list[str]:
        """Tasks in which the background is a signal and a signal of this task the background."""
        return [
            name
            for name, entry in self.config["tasks"].items()
            if self.background in entry["signals"] and entry["background"] in self.signals
        ]

    @property
    def backgrounds(self) -> dict[str, str]:
        """Of this task and of the swapped ones."""
        return {name: self.config["tasks"][name]["background"] for name in (self.task, *self.swapped)}

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
        images = {name: self.plan["representations"][of]["image"] for name, of in self.seen_as.items()}
        return {name: (image["eta_range"], image["phi_range"]) for name, image in images.items() if image}

    @property
    def constituents(self) -> bool:
        """Whether a detector sees the constituents of jets."""
        return any(self.plan["representations"][name]["needs_constituents"] for name in self.representations)

    @property
    def labels(self) -> dict[str, str]:
        """What is written for the samples and detectors that the kind names."""
        found = {}
        for word in self.kind["labels"]:
            entries = self.config["detectors" if word in ("detectors", "teacher") else "samples"]
            for name in _several(self.value(word)):
                any_window = " (window: any)" if entries[name].get("selection") == "any" else ""
                found[name] = entries[name].get("label", name) + any_window
        return found

    def files(self, pattern: str) -> dict[tuple, str]:
        """The paths below results that a pattern of ``reads`` stands for, by the values of its words for several."""
        words = {word: self.value(word) for word in words_of(pattern)}
        several = [word for word, value in words.items() if isinstance(value, list)]
        keys = product(*(words[word] for word in several))
        return {key: pattern.format(**words | dict(zip(several, key, strict=True))) for key in keys}


def words_of(pattern: str) -> list[str]:
    """The words in braces, each once."""
    return list(dict.fromkeys(re.findall(r"\{(\w+)\}", pattern)))


def _several(value) -> list:
    return [value] if isinstance(value, str) else value


def detectors_of(plan: dict, task: str, which: str = "all") -> list[str]:
    """Of a task: 'all'; 'trained', step by step; 'energy', whose trainings have candidates to choose from;
    'generating', which can draw events from their model; 'images', which can show the reconstruction of an image."""
    config, found = plan["config"], plan["detectors"]
    types = {name: entry["type"] for name, entry in config["representations"].items()}
    chosen = {
        "all": lambda name: True,
        "trained": lambda name: found[name]["group"] == "detector",
        "energy": lambda name: found[name]["energy"],
        "generating": lambda name: found[name]["generating"],
        "images": lambda name: (
            found[name]["reconstructing"] and types[config["detectors"][name]["representation"]] == "JetImage"
        ),
    }[which]
    return [name for name in config["tasks"][task]["detectors"] if chosen(name)]


def contaminated_of(plan: dict, task: str) -> list[str]:
    """The fast detectors of a task, if the configuration asks for trainings with signal in the background."""
    if not plan["config"]["evaluation"]["contamination"]:
        return []
    slow = detectors_of(plan, task, "energy")
    return [name for name in detectors_of(plan, task, "trained") if name not in slow]


def subjects(plan: dict) -> Iterator[Subject]:
    """Of all jobs that a run has."""
    for kind in plan["figures"].values():
        words = {word for pattern in kind["draws"] for word in words_of(pattern)} - {"detector"}
        if "student" in words:
            found = [{"student": name} for name in plan["config"]["students"]]
        else:
            found = []
            for task in plan["config"]["tasks"]:
                of_task, each = Subject(plan, kind, {"task": task}), sorted(words - {"task"})
                values = product(*(getattr(of_task, EACH[word]) for word in each))
                found += [{"task": task} | dict(zip(each, value, strict=True)) for value in values]
        yield from (s for s in (Subject(plan, kind, wildcards) for wildcards in found) if s.value(kind["only"]))


def inputs(subject: Subject) -> dict[str, list[str]]:
    """The files that a job reads, by the names of ``reads``."""
    return {name: list(subject.files(pattern).values()) for name, pattern in subject.kind["reads"].items()}


def told(subject: Subject) -> dict:
    """What a job is told besides its files: wildcards, labels, what the kind needs, and the keys of the files."""
    told = {word: subject.value(word) for word in subject.kind["needs"]}
    keys = {name: list(subject.files(pattern)) for name, pattern in subject.kind["reads"].items()}
    return subject.wildcards | told | {"labels": subject.labels, "keys": keys}


def job(told: dict, paths: dict[str, list[str]], style: dict) -> SimpleNamespace:
    """The job of :func:`hepad.figures.registry.draw`: what it is told, and the files under their keys.

    Under a name of ``reads`` stands a path; where the pattern has one word for several, a dict of paths by its values,
    and where it has more, by tuples of them, in the order of the words.
    """
    files = {}
    for name, keys in told["keys"].items():
        short = [key[0] if len(key) == 1 else key for key in keys]
        files[name] = paths[name][0] if short == [()] else dict(zip(short, paths[name], strict=True))
    return SimpleNamespace(**{key: value for key, value in told.items() if key != "keys"}, files=files, style=style)
