"""Kinds of figures: what each draws, which files of the results it reads, and what it is told of the configuration.

A kind is one file of this package, named after it, and its name in ``hepad.figures.KINDS``. The file has a function
that draws, numbers in and a matplotlib Figure out, and one that reads the numbers and is declared with :func:`figure`:

    @figure(
        {"{task}/efficiency_{signal}": Shown("Signal efficiency")},
        reads={"evaluation": "evaluation/{task}/{signal}.json"},
        labels=("background", "signal", "detectors"),
    )
    def efficiency(job):
        '''Signal efficiency against background efficiency for {signal} (task {task}).'''
        ...
        yield f"{job.task}/efficiency_{job.signal}", efficiency_curves(...)

The words in braces and in ``needs`` and ``labels`` are explained in :mod:`hepad.config.subjects`, which finds their
values. The docstring is the caption of all that is drawn, or has a paragraph for each of ``draws``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from matplotlib.figure import Figure

from hepad.errors import check_choice
from hepad.figures import KINDS
from hepad.figures.style import save, style
from hepad.samples.phase_space import meta_of, of_sample

SAMPLE = {"sample": "events/{background}.h5"}


class Shown(NamedTuple):
    """Where a report shows a figure: in which category, and with which labels, by default its words in braces."""

    category: str
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of figures; ``name``, ``make`` and ``captions`` are those of the function that is declared.

    draws: path below results/figures without its ending -> where it is shown. It has two parts, and is a PDF and a PNG;
        with a third, ``{detector}``, it is a folder with both for every detector. Its other words, 'task', 'signal',
        'sample', 'representation' or 'student', say what there is one of for each; without any it is of all tasks
    reads: name -> path below results; a word that stands for several makes a mapping of the files by their words
    needs: words whose values ``make`` is told
    labels: words of samples and detectors whose labels ``make`` is told
    detectors: those of a task that it is about: 'all', 'trained', 'energy', 'generating' or 'images'
    only: a word; where its value is empty or false there is no such figure
    on_request: whether a run leaves it out, since it shows single detectors or details
    priority: of the job
    """

    name: str
    make: Callable[[SimpleNamespace], Iterator[tuple[str, Figure]]]
    captions: list[str]
    draws: Mapping[str, Shown]
    reads: Mapping[str, str]
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    detectors: str = "all"
    only: str = "detectors"
    on_request: bool = False
    priority: int = 0

    def declared(self) -> dict:
        """All but ``make``, as JSON has it, and the word of the detectors whose models it ``loads``."""
        plain = {key: list(x) if isinstance(x, tuple) else x for key, x in vars(self).items() if key != "make"}
        loads = ["detectors"] if any(pattern.endswith(".safetensors") for pattern in self.reads.values()) else []
        return plain | {"draws": {path: shown._asdict() for path, shown in self.draws.items()}, "loads": loads}


def figure(draws: Mapping[str, Shown], reads: Mapping[str, str], **more) -> Callable[[Callable], Kind]:
    """Declare a function of a job as a :class:`Kind`, whose arguments these are.

    ``job`` has ``files``, by the names in ``reads``; ``style`` and ``labels``; the wildcards of the path, such as
    ``task``; and what the kind ``needs``. The function yields (path as in ``draws``, figure) one by one. Every
    kind of a task reads the events of the background, too: its figures say what sample they are of.
    """

    def declare(make: Callable) -> Kind:
        captions = [" ".join(text.split()) for text in inspect.getdoc(make).split("\n\n")]
        captions = captions * len(draws) if len(captions) == 1 else captions
        return Kind(make.__name__, make, captions, draws, reads | (SAMPLE if _of_one_task(draws) else {}), **more)

    return declare


def kind(name: str) -> Kind:
    """The kind of this name; InputError if there is none."""
    return getattr(import_module(f"hepad.figures.{check_choice('figure', name, KINDS)}"), name)


def style_of(job: SimpleNamespace) -> dict:
    """The style of a job: the configuration's, the colours of what it shows, and what its sample says of itself."""
    found = job.style | {"colors": getattr(job, "colors", {}) | job.style.get("colors", {})}
    if path := job.files.get("sample"):
        found |= of_sample(meta_of(path), job.sample_label, job.style.get("sqrt_s_tev"))
    return found


def style_of_samples(job: SimpleNamespace) -> dict:
    """The style of a job that shows several samples, whose events it reads: with √s, if it is the same of all."""
    energies = {meta_of(path).get("sqrt_s_tev") for path in job.files["events"].values()}
    return job.style if len(energies) > 1 else job.style | {"sqrt_s_tev": energies.pop()}


def draw(name: str, job: SimpleNamespace, folder: str | Path) -> list[Path]:
    """Draw what one job of a kind has, below ``folder``; the paths that were written, without their endings."""
    paths = []
    for pattern in kind(name).draws:
        (Path(folder) / pattern.format_map({**vars(job), "detector": "_"})).parent.mkdir(parents=True, exist_ok=True)
    for path, drawn in figures(name, job):
        paths.append(Path(folder) / path)
        save(drawn, paths[-1])
    return paths


def figures(name: str, job: SimpleNamespace) -> Iterator[tuple[str, Figure]]:
    """What one job of a kind draws, one by one with its path; its style lasts until the next is asked for."""
    job = SimpleNamespace(**vars(job) | {"style": style_of(job)})
    with style(job.style):
        yield from kind(name).make(job)


def _of_one_task(draws: Mapping[str, Shown]) -> bool:
    return any("{task}" in path or "{student}" in path for path in draws)
