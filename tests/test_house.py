"""The plan of the package: its rooms, the order in which they may use each other, and what a file may hold."""

import ast
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import hepad

PACKAGE = Path(hepad.__file__).parent
# a room may use those before it and itself
ROOMS = ("errors", "progress", "registry", "storage", "events", "samples", "representations", "detectors", "evaluation",
         "trigger", "figures", "config", "cli")  # fmt: skip
MODULES = {
    ".".join(("hepad", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
LONGEST, MANY = 350, 8


def room(module):
    return module.split(".")[1]


@cache
def imports():
    """(module, what it imports, whether inside a function, the source line) of all imports of the package's own."""
    found = []
    for module, path in MODULES.items():
        text = path.read_text()
        tree = ast.parse(text)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hepad":
                for name in node.names:
                    full = f"{node.module}.{name.name}"
                    used = full if full in MODULES else node.module
                    found.append((module, used, id(node) in inside, text.splitlines()[node.lineno - 1]))
    return found


def between_rooms():
    return [(a, b) for a, b, *_ in imports() if "." in a and "." in b and room(a) != room(b)]


def test_the_rooms_are_those_of_the_plan():
    entries = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert entries == set(ROOMS)


def test_rooms_use_those_before_them_alone():
    assert [(a, b) for a, b in between_rooms() if ROOMS.index(room(b)) > ROOMS.index(room(a))] == []


def test_arrows_between_rooms_are_few():
    assert len({(room(a), room(b)) for a, b in between_rooms()}) <= 50


def test_no_two_modules_need_each_other():
    needs = {module: set() for module in MODULES}
    for module, used, *_ in imports():
        needs[module].add(used)
    while leaves := [module for module, of in needs.items() if not of & needs.keys()]:
        for module in leaves:
            del needs[module]
    assert needs == {}


@pytest.mark.parametrize("module", MODULES)
def test_an_import_inside_a_function_says_why(module):
    silent = [line for a, _, inside, line in imports() if a == module and inside and "#" not in line]
    assert silent == []


def test_files_have_a_size_that_is_read_at_once():
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: n for module, n in lines.items() if n > LONGEST} == {}
    assert 90 <= median(n for module, n in lines.items() if MODULES[module].stem != "__init__") <= 200
