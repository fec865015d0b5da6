"""The front page of a run: one HTML file with sentences, tables, figures and warnings, which needs nothing but itself.

:func:`render` is a function of its arguments alone: without dates, so that equal results are equal pages.
"""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from hepad.evaluation import standings
from hepad.evaluation.efficiency import LEVEL, MIN_COUNT
from hepad.evaluation.standings import Shortage, Standing
from hepad.figures import pages
from hepad.figures.style import palette_png, read_picture

HEADLINE = "headline"  # the kind of figures that is shown in full
LARGEST = 3_000_000  # bytes of the page
# widths of thumbnails and of headline figures in pixels, and colours of the latter; the first that is not too large
SIZES = ((240, None, 256), (240, None, 64), (160, 1000, 64), (80, 700, 64), (0, 500, 64), (0, 0, 64))
FEW = 64  # colours of a thumbnail


class Picture(NamedTuple):
    """A figure: its title within its group, and its PNG, relative to the page. A PDF lies beside it."""

    title: str
    path: str


class Group(NamedTuple):
    """The figures that a kind draws of one sort for a task; ``task`` is '' where they are of none."""

    kind: str
    task: str
    category: str
    caption: str
    pictures: list[Picture]


class Task(NamedTuple):
    """A task: what is searched in what by signal, such as 'top in QCD'; background and window in words; its lines."""

    name: str
    searches: dict[str, str]
    background: str
    lines: list[Standing]


class Regret(NamedTuple):
    """What a detector loses to the simple opponents on its worst signal, over so many ``signals``.

    value: the regret with its interval, ``search`` and ``opponent`` where it is; ratio: the smallest one of its ε_S to
    the best opponent's, None if it is not resolved, and ``ratio_search`` where that is
    """

    label: str
    group: str
    signals: int
    trainings: int
    value: tuple[float, float, float]
    search: str
    opponent: str
    ratio: float | None
    ratio_search: str


@dataclass(frozen=True)
class Run:
    """All that the page shows.

    at: ε_B at which detectors are compared
    regrets: over all tasks, the smallest first; none without simple opponents
    warnings: of trainings and samples, in words
    config: as text; digest: its hash
    versions: of packages
    files: tables to link to, relative to the page
    galleries: task -> page of its events, likewise
    """

    tasks: list[Task]
    at: float
    regrets: list[Regret]
    shortages: list[Shortage]
    warnings: list[str]
    groups: list[Group]
    config: str
    digest: str
    versions: dict[str, str]
    files: list[str]
    galleries: dict[str, str]


def render(run: Run, folder: Path) -> tuple[str, str]:
    """The page, of at most ``LARGEST`` bytes, and its summary alone: sentences and tables.

    ``folder``: of the page, in which its figures are; one that is damaged is an InputError
    """
    environment = pages.environment()
    environment.filters |= {"interval": interval, "percent": percent}
    environment.globals |= {"best": standings.best, "losing": standings.losing, "largest": largest}
    environment.globals |= {"safest": safest}
    environment.globals |= {"level": LEVEL, "enough": MIN_COUNT}
    template = environment.get_template("front_page.html")
    headlines = [group for group in run.groups if group.kind == HEADLINE]
    gallery = {}
    for group in (group for group in run.groups if group.kind != HEADLINE):
        gallery.setdefault(group.task, {}).setdefault(group.category, []).append(group)
    small = [p.path for of_task in gallery.values() for of in of_task.values() for g in of for p in g.pictures]
    for thumbnail, width, colors in SIZES:
        shown = {p.path: picture(folder / p.path, width, colors) for group in headlines for p in group.pictures}
        shown |= {path: picture(folder / path, thumbnail, FEW) for path in small}
        page = template.render(run=run, headlines=headlines, gallery=gallery, shown=shown)
        if len(page.encode()) <= LARGEST:
            break
    return page, "".join(template.blocks["summary"](template.new_context({"run": run})))


def largest(lines: list[Standing], key: tuple[str, str, float | None]) -> float | None:
    """Of the medians of the lines that have not seen the signal."""
    values = (line.values.get(key) for line in lines if line.group != "supervised")
    return max((value[0] for value in values if value), default=None)


def safest(regrets: list[Regret], group: str) -> Regret | None:
    """The smallest regret of a group over as many signals as there are."""
    most = max(regret.signals for regret in regrets)
    return next((regret for regret in regrets if regret.group == group and regret.signals == most), None)


def picture(path: Path, width: int | None, colors: int) -> dict | None:
    """A PNG as ``src``, ``width`` and ``height`` of an element: at most so wide (None: as it is), with so many colours;
    None for a width of 0."""
    if width == 0:
        return None
    image = read_picture(path)
    if width and image.width > width:
        image.thumbnail((width, image.height), Image.Resampling.LANCZOS)
    data = b64encode(palette_png(image, colors)).decode()
    return {"src": f"data:image/png;base64,{data}", "width": image.width, "height": image.height}


def interval(value: tuple[float, float, float]) -> Markup:
    """A value with its interval, as the tables for notes have it."""
    middle, up, down = (text.replace("-", "−") for text in standings.rounded(*value))
    if up == down:
        return Markup('<span class="value">{} ± {}</span>').format(middle, up)
    ends = Markup('<span class="ends"><span>+{}</span> <span>−{}</span></span>').format(up, down)
    return Markup('<span class="value">{} {}</span>').format(middle, ends)


def percent(x: float) -> str:
    return f"{100 * x:.6g} %"
