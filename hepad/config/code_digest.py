"""A digest of the code that a job runs: an edit changes it, wherever the files lie and whenever they were written.

From all statements of a script the names are followed that they use: to the functions, classes and constants of the
package that define them, and on from there. What is in the same files and not needed does not count, and neither do
comments, docstrings and layout. Of the packages ``CHOSEN`` a job uses one class or kind of many: those are given as
further files, and the package's own list of them is not followed.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
CHOSEN = tuple(PACKAGE / name / "__init__.py" for name in ("detectors", "representations", "figures"))
Unit = tuple[Path, int]  # a file and the number of one of its statements


class Source(NamedTuple):
    """A file: its statements, imports apart; which of them define a name; which count if anything of the file does;
    and the module, with the name in it, that an imported name stands for."""

    statements: list[ast.stmt]
    homes: dict[str, list[int]]
    always: list[int]
    imports: dict[str, tuple[str, str | None]]


def digest(*files: str | Path) -> str:
    """Digest of the code of ``files`` and of the package's code that they need: 16 hexadecimal digits."""
    hasher = hashlib.sha256()
    for path, number in sorted(needed(*files), key=lambda unit: (_place(unit[0]), unit[1])):
        hasher.update(_written(path, number).encode())
    return hasher.hexdigest()[:16]


def needed(*files: str | Path) -> set[Unit]:
    """All statements of ``files``, and those of the package that they need, directly or not."""
    units, new = set(), {unit for file in files for unit in _whole(Path(file))}
    while new:
        unit = new.pop()
        units.add(unit)
        new |= _used(*unit) - units
    return units


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
            aliases = (alias for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
            yield from ((alias.asname or PACKAGE.name, (alias.name, None)) for alias in aliases)


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
    source, units = _source(path), set()
    bare, attributes = _names(source.statements[number])
    for name in bare | set(attributes):
        if name in source.homes:
            units |= {(path, i) for i in source.homes[name]}
        elif name in source.imports:
            module, original = source.imports[name]
            if path not in CHOSEN or not module.startswith(f"{PACKAGE.name}.{path.parent.name}"):
                units |= _units(module, original, () if name in bare else attributes[name])
    return units


def _names(node: ast.stmt) -> tuple[set[str], dict[str, set[str]]]:
    """The names in a statement that stand alone, and of the others the attributes that are asked for."""
    bare, attributes, inside = set(), {}, set()
    for part in ast.walk(node):  # a node comes before the nodes inside it
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            attributes.setdefault(part.value.id, set()).add(part.attr)
            inside.add(part.value)
        elif isinstance(part, ast.Name) and part not in inside:
            bare.add(part.id)
    return bare, attributes


def _units(module: str, name: str | None, attributes: Iterable[str]) -> set[Unit]:
    """The units that define ``name`` of a module, or the ``attributes`` of a module ``name``, all without any."""
    inner = f"{module}.{name}" if name else module
    if (file := _file(inner)) is None:
        return _of(module, name) if _file(module) else set()
    return set().union(*(_of(inner, attribute) for attribute in attributes)) if attributes else _whole(file)


def _of(module: str, name: str) -> set[Unit]:
    path = _file(module)
    source = _source(path)
    if name in source.homes:
        homes = source.homes[name]
        if path in CHOSEN:  # not the list of classes
            homes = [i for i in homes if isinstance(source.statements[i], ast.FunctionDef)]
        return {(path, i) for i in (*homes, *source.always)}
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
    """The path of a file in the package, hepad/...; the name of a script."""
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
