"""Every kind of figures that is registered: what it declares means something, and its rule follows from it."""

import importlib
import re
from pathlib import Path

import pytest

from hepad.config import subjects
from hepad.config.subjects import EACH, Subject
from hepad.errors import InputError
from hepad.figures import KINDS, registry

FOLDER = Path(registry.__file__).parent
WHICH = {"all", "trained", "energy", "generating", "images"}
WORDS = {name for name in dir(Subject) if not name.startswith("_")} | {"task", *EACH}
OF_STUDENTS = {"student", "teacher", "teacher_seed"}


@pytest.fixture(params=KINDS)
def kind(request):
    return registry.kind(request.param)


def test_a_kind_is_one_file_and_its_name():
    declaring = {path.stem for path in FOLDER.glob("*.py") if re.search(r"^@figure\(", path.read_text(), re.M)}
    assert declaring == set(KINDS)
    assert list(KINDS) == sorted(KINDS)
    with pytest.raises(InputError, match="Did you mean 'trainings'"):
        registry.kind("trainingss")


def test_a_kind_has_the_name_of_its_file(kind):
    assert importlib.import_module(f"hepad.figures.{kind.name}").__dict__[kind.name] is kind


def test_its_words_have_a_meaning(kind):
    known = WORDS | (OF_STUDENTS if kind.name == "student" else set())
    words = {word for pattern in (*kind.draws, *kind.reads.values()) for word in subjects.words_of(pattern)}
    assert words | {*kind.needs, *kind.labels, kind.only} <= known | {"detector"}
    assert kind.detectors in WHICH


def test_what_it_draws_has_a_place_and_a_caption(kind):
    assert kind.draws
    first = subjects.words_of(next(iter(kind.draws)))
    for pattern in kind.draws:
        assert re.fullmatch(r"(\{task\}|students|overview)/[\w{}]+(/\{detector\})?", pattern)
        assert set(subjects.words_of(pattern)) - {"detector"} == set(first) - {"detector"}
    assert len(kind.captions) == len(kind.draws)
    words = dict.fromkeys(first, "")
    assert all(len(caption.format(**words)) > 50 and caption.endswith(".") for caption in kind.captions)


def test_no_two_kinds_draw_the_same():
    patterns = [pattern for name in KINDS for pattern in registry.kind(name).draws]
    assert len(set(patterns)) == len(patterns)


def test_every_blind_criterion_that_is_measured_has_a_curve():
    from hepad.detectors.energy_based.criteria import CRITERIA
    from hepad.figures.model_selection import NAMES

    assert set(NAMES) == {criterion.value for criterion in CRITERIA.values()} - {"step"}
