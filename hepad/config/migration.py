"""Configurations of earlier versions: an error that names today's key, and the rewriting of a file.

A file is rewritten where its keys stand, by the places that YAML gives for them: comments, order, anchors and layout
stay as they are. A list that made a sweep becomes its first value, and the entry gets the key ``sweep``.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from hepad.config.plain_yaml import Loader, check_duplicate_keys, replaced
from hepad.errors import InputError
from hepad.registry import FORMER, fits, former, former_names
from hepad.storage.files import atomic_path

# sections, and the kind of the entries in them, or of themselves
KINDS = {"detectors": "detector", "students": "student", "evaluation": "evaluation"}
Edits = dict[int, tuple[str, str]]  # place in the text -> old and new text


def check_keys(config: Mapping) -> None:
    """InputError for the first key of ``config``, before any other check of it, that has another name today."""
    for keys, name in _former(config):
        path = ".".join(map(str, keys))
        raise InputError(f"{path}: this key is called '{name}' now; 'hepad config migrate FILE' rewrites the file.")


def migrate(path: str | Path, output: str | Path | None = None) -> dict[str, int]:
    """Rewrite a configuration file of an earlier version for today's, in place or to ``output``.

    Returns
    -------
    {"old -> new": how many of them}; a file of today is not touched

    Raises
    ------
    InputError: the file is no configuration, or one that cannot be rewritten where its keys stand
    """
    check_duplicate_keys(path)
    given = text = Path(path).read_bytes().decode()  # the ends of lines stay what they are
    counts: Counter[str] = Counter()
    for step in (_rename_keys, _move_lists, _rename_points):
        text, changes = step(path, text)
        counts.update(changes)
    if text != given or output:
        with atomic_path(Path(output or path)) as partial:
            partial.write_bytes(text.encode())
    return dict(counts)


def _rename_keys(path, text: str) -> tuple[str, list[str]]:
    root, expected, edits = yaml.compose(text, Loader=Loader), _data(path, text), {}
    renamed = list(_former(expected))
    for keys, name in renamed:
        for key, _, mapping in _places(root, keys):
            if name in {other.value for other, _ in mapping.value}:
                raise InputError(
                    f"{path}, line {key.start_mark.line + 1}: '{key.value}' is called '{name}' now, and both are "
                    "there. Remove one of them."
                )
            edits[key.start_mark.index] = key.value, name
    for keys, entry, kind in _entries(expected):
        expected = replaced(expected, keys, _renamed(entry, kind))
    text = _edited(path, text, edits)
    if _data(path, text) != expected:
        raise InputError(
            f"{path}: an anchor is used for settings of two kinds, whose keys have different names now. Write the "
            f"settings out, without it: {', '.join('.'.join(map(str, keys)) for keys, _ in renamed)}."
        )
    return text, _told(edits)


def _entries(config: Mapping) -> Iterator[tuple[tuple, Mapping, str]]:
    """(keys that lead to it, entry, its kind) of what can have keys with other names today."""
    for section, kind in KINDS.items():
        part = config.get(section)
        named = {(section, name): entry for name, entry in part.items()} if isinstance(part, Mapping) else {}
        for keys, entry in ({(section,): part} if section == kind else named).items():
            if isinstance(entry, Mapping):
                yield keys, entry, kind


def _former(config: Mapping) -> Iterator[tuple[tuple, str]]:
    """(keys that lead to it, name of today) of every key that has another one, the outer keys as they are."""
    for outer, entry, kind in _entries(config):
        yield from (((*outer, *keys), name) for keys, name in former_names(entry, kind))


def _renamed(value, kind: str):
    if not isinstance(value, Mapping):
        return value
    names = former(value, kind)
    return {names.get(key, key): _renamed(item, key) for key, item in value.items()}


def _move_lists(path, text: str) -> tuple[str, list[str]]:
    """Lists where a detector takes one value: they made a sweep, and move under ``sweep``; their first values stay."""
    from hepad.config import sweeps  # torch and all detectors take seconds, and migrations are few

    root, expected, edits, moved = yaml.compose(text, Loader=Loader), _data(path, text), {}, []
    entries = expected.get("detectors")
    for label, entry in list(entries.items()) if isinstance(entries, Mapping) else ():
        if not isinstance(entry, Mapping) or "sweep" in entry:
            continue
        swept, arguments = {}, sweeps.arguments(entry)
        for name, values in _leaves(entry):
            if name in arguments and _made_a_sweep(arguments[name], name.split(".")[-1], values):
                swept[name] = values
                entry = replaced(entry, name.split("."), values[0])
        if not swept:
            continue
        entries[label] = {**entry, "sweep": swept}
        moved += [f"list of {name} -> sweep" for name in swept]
        lists = {}
        for name in swept:
            for key, value, _ in _places(root, ("detectors", label, *name.split("."))):
                edits |= _single(path, text, key, value)
                lists[name] = _text(text, value)
        sweep = f"sweep: {{{', '.join(f'{name}: {values}' for name, values in lists.items())}}}"
        for _, node, _ in _places(root, ("detectors", label)):
            edits |= _added(text, node, sweep)
    changed = _edited(path, text, edits)
    if edits and _data(path, changed) != expected:
        raise InputError(
            f"{path}: lists of sweeps are used elsewhere, too, by anchors. Write them out: {', '.join(sorted(moved))}."
        )
    return changed, moved


def _made_a_sweep(cls: type | None, key: str, values) -> bool:
    """Whether ``values`` are a list where ``cls`` takes one of them; without a class every list is one."""
    if not isinstance(values, list) or not values or any(isinstance(value, Mapping) for value in values):
        return False
    return cls is None or (not fits(cls, key, values) and all(fits(cls, key, value) for value in values))


def _single(path, text: str, key: yaml.Node, value: yaml.SequenceNode) -> Edits:
    """The first value of a list in its place."""
    (start, end), first = _span(text, key, value), _text(text, value.value[0])
    if not value.flow_style and text[start] != "*":
        start, first = text.index(":", key.end_mark.index) + 1, f" {first}"
        if "#" in text[start:end]:
            raise InputError(
                f"{path}, line {key.start_mark.line + 1}: '{key.value}' has comments between its values, which move "
                "under 'sweep'. Write them as a list in brackets."
            )
    return {start: (text[start:end], first)}


def _leaves(entry: Mapping) -> Iterator[tuple[str, object]]:
    """(path, value) of what is no mapping, in the order of an entry."""
    for key, value in entry.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{path}", leaf) for path, leaf in _leaves(value))
        else:
            yield str(key), value


def _span(text: str, key: yaml.Node, value: yaml.Node) -> tuple[int, int]:
    """Begin and end of the value of a key in the text; for an alias those of the alias."""
    if alias := re.compile(r"\s*:\s*(\*[^\s,\]}]+)").match(text, key.end_mark.index):
        return alias.span(1)
    start, end = value.start_mark.index, value.end_mark.index
    if getattr(value, "flow_style", None) is False:  # it ends where the next key begins, behind comments
        lines = text[start:end].split("\n")
        while not lines[-1].strip() or lines[-1].lstrip().startswith("#"):
            lines.pop()
        end = start + len("\n".join(lines).rstrip())
    return start, end


def _text(text: str, node: yaml.Node) -> str:
    """A value on its own: in brackets, without an anchor."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(_text(text, item) for item in node.value)}]"
    return re.sub(r"^&\S+\s+", "", text[node.start_mark.index : node.end_mark.index]) or "null"


def _added(text: str, entry: yaml.MappingNode, pair: str) -> Edits:
    """A key and its value behind the last ones of an entry."""
    _, end = _span(text, *entry.value[-1])
    if entry.flow_style:
        return {end: ("", f", {pair}")}
    end = len(text) if (line_end := text.find("\n", end)) < 0 else line_end
    newline, column = "\r\n" if text[end - 1] == "\r" else "\n", entry.value[0][0].start_mark.column
    return {end - len(newline) + 1: ("", f"{newline}{' ' * column}{pair}")}


def _rename_points(path, text: str) -> tuple[str, list[str]]:
    """Points of sweeps, which are named after their keys, where a task or a student names one."""
    root, config, edits = yaml.compose(text, Loader=Loader), _data(path, text), {}
    named = [node for node in _names_of_detectors(root) if node.value not in config["detectors"]]
    if not named:
        return text, []
    from hepad.config import sweeps  # as above

    points = set(sweeps.expand(config)["detectors"])
    for node in named:
        candidates = {node.value}
        for old, new in {pair for names in FORMER.values() for pair in names.items()}:
            candidates |= {name.replace(f"_{old}_", f"_{new}_") for name in candidates}
        if not (matches := sorted(candidates & points)):
            raise InputError(
                f"{path}, line {node.start_mark.line + 1}: '{node.value}' is no detector, and no point of a sweep once "
                "its keys have the names of today. Correct it."
            )
        if matches[0] != node.value:
            edits[node.start_mark.index] = node.value, matches[0]
    return _edited(path, text, edits), _told(edits)


def _names_of_detectors(root: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for section, entries in root.value:
        if section.value not in ("tasks", "students") or not isinstance(entries, yaml.MappingNode):
            continue
        for _, entry in entries.value:
            for key, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
                if key.value in ("detectors", "detector"):
                    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
                    yield from (node for node in nodes if isinstance(node, yaml.ScalarNode))


def _data(path, text: str) -> dict:
    try:
        return Loader(text).get_single_data()
    except yaml.YAMLError as error:  # the text was changed
        raise InputError(
            f"{path}: an anchor of a list is used elsewhere, too ({error}). Write the lists out."
        ) from None


def _pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node, yaml.MappingNode]]:
    """Keys and values of a mapping and of what is merged into it, each with the mapping that it stands in."""
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():  # several that are merged
        yield from _pairs(item)
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == "<<":
            yield from _pairs(value)
        else:
            yield key, value, node


def _places(node: yaml.Node, keys: tuple) -> Iterator[tuple[yaml.Node, yaml.Node, yaml.MappingNode]]:
    """The entries of :func:`_pairs` at a path of keys."""
    for key, value, mapping in _pairs(node):
        if key.value == str(keys[0]):
            if len(keys) > 1:
                yield from _places(value, keys[1:])
            else:
                yield key, value, mapping


def _told(edits: Edits) -> list[str]:
    return [f"{old} -> {new}" for _, (old, new) in sorted(edits.items())]


def _edited(path, text: str, edits: Edits) -> str:
    for place in sorted(edits, reverse=True):
        old, new = edits[place]
        start = place + (old != "" and text[place] in "'\"")
        if not text.startswith(old, start):
            line = text.count("\n", 0, place) + 1
            raise InputError(f"{path}, line {line}: '{old}' is written with escapes. Write it plainly, or rename it.")
        text = text[:start] + new + text[start + len(old) :]
    return text
