"""Which code a job runs, as a digest: an edit of it changes it, wherever its files lie and whenever they were written.

From all statements of a script the names are followed that they use: to the functions, classes and constants of the
package that define them, and on from there. What is in the same files and not needed does not count, and neither do
comments, docstrings and layout. Of the packages ``CHOSEN`` a job uses one class or kind of many: those are given as
further files, and the package's own list of them is not followed. A template of HTML, its script and
its style, which have the name of the file that fills it, count as a whole.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
CHOSEN = tuple(PACKAGE / name / "__init__.py" for name in ("detectors", "representations", "figures"))
TEMPLATES = (".html", ".js", ".css")
Unit = tuple[Path, int]  # a file and the number of one of its statements


class Source(NamedTuple):
    """A file: its statements, imports apart; which of them define a name; which count if anything of the file does;
    and the module, with the name in it, that an imported name stands for."""

    statements: list[ast.stmt]
    homes: dict[str, list[int]]
    always: list[int]
    imports: dict[str, tuple[str, str | None]]


def digest(*files: str | Path) -> str:
    """Of the code of ``files`` and of what they need of the package: 16 hexadecimal digits."""
    found, units = hashlib.sha256(), needed(*files)
    for path, number in sorted(units, key=lambda unit: (_place(unit[0]), unit[1])):
        found.update(_written(path, number).encode())
    templates = {path.with_suffix(suffix) for path, _ in units for suffix in TEMPLATES}
    for template in sorted(templates, key=_place):
        if template.is_file():
            found.update(template.read_bytes())
    return found.hexdigest()[:16]


def needed(*files: str | Path) -> set[Unit]:
    """All statements of ``files``, and those of the package that they need, directly or not."""
    found, new = set(), {unit for file in files for unit in _whole(Path(file))}
    while new:
        unit = new.pop()
        found.add(unit)
        new |= _used(*unit) - found
    return found


@functools.cache
def _source(path: Path) -> Source:
    tree = ast.parse(path.read_text())
    imports = dict(_imports(tree))
    statements, homes, always = [], {}, []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node):
            continue
        names = _defined(node)
        for name in names:
            homes.setdefault(name, []).append(len(statements))
        if not names:
            always.append(len(statements))
        statements.append(node)
    return Source(statements, homes, always, imports)


def _imports(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """(what it is called in the file, (module, name in it)) of the package, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            yield from ((alias.asname or alias.name, (node.module, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            of_package = (alias for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
            yield from ((alias.asname or PACKAGE.name, (alias.name, None)) for alias in of_package)


def _defined(node: ast.stmt) -> list[str]:
    """The names that a definition or an assignment gives a value; none for what is done when the file is imported."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    return []


@functools.cache
def _used(path: Path, number: int) -> set[Unit]:
    source, found = _source(path), set()
    bare, attributes = _names(source.statements[number])
    for name in bare | set(attributes):
        if name in source.homes:
            found |= {(path, i) for i in source.homes[name]}
        elif name in source.imports:
            module, original = source.imports[name]
            if path not in CHOSEN or not module.startswith(f"{PACKAGE.name}.{path.parent.name}"):
                found |= _units(module, original, () if name in bare else attributes[name])
    return found


def _names(node: ast.stmt) -> tuple[set[str], dict[str, set[str]]]:
    """The names in a statement that stand alone, and of the others the attributes that are asked for."""
    bare, attributes, inside = set(), {}, set()
    for part in ast.walk(node):  # what holds a name comes before it
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            attributes.setdefault(part.value.id, set()).add(part.attr)
            inside.add(part.value)
        elif isinstance(part, ast.Name) and part not in inside:
            bare.add(part.id)
    return bare, attributes


def _units(module: str, name: str | None, attributes: Iterable[str]) -> set[Unit]:
    """What defines ``name`` of a module, or, if that is a module itself, its ``attributes``; all of it without any."""
    inner = f"{module}.{name}" if name else module
    if (file := _file(inner)) is None:
        return _of(module, name) if _file(module) else set()
    return set().union(*(_of(inner, attribute) for attribute in attributes)) if attributes else _whole(file)


def _of(module: str, name: str) -> set[Unit]:
    path = _file(module)
    source = _source(path)
    if name in source.homes:
        of_name = source.homes[name]
        if path in CHOSEN:  # not the list of classes
            of_name = [i for i in of_name if isinstance(source.statements[i], ast.FunctionDef)]
        return {(path, i) for i in (*of_name, *source.always)}
    if name in source.imports:
        return _units(*source.imports[name], ())
    inner = _file(f"{module}.{name}")
    return _whole(inner or path)


def _whole(path: Path) -> set[Unit]:
    return {(path, i) for i in range(len(_source(path).statements))}


def _file(module: str) -> Path | None:
    path = PACKAGE.parent / Path(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _place(path: Path) -> str:
    """Where a file is in the package, hepad/... ; of a script its name."""
    return str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name


@functools.cache
def _written(path: Path, number: int) -> str:
    return f"{_place(path)}\n{_parts(_source(path).statements[number])!r}\n"


def _parts(node) -> object:
    """A syntax tree without docstrings, places in the file and what is empty: the same in every version of Python."""
    if isinstance(node, list):
        return tuple(_parts(item) for item in node if not _is_text(item))
    if not isinstance(node, ast.AST):
        return node
    fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return type(node).__name__, *((name, _parts(value)) for name, value in fields)


def _is_text(node) -> bool:
    """A statement that is a text alone: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
