"""Keys of earlier versions: an error that names today's key, and the rewriting of a configuration file.

A file is rewritten where its keys stand, by the places that YAML gives for them: comments, order, anchors and layout
stay as they are.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from hepad.config.plain_yaml import Loader, check_duplicate_keys
from hepad.errors import InputError
from hepad.registry import FORMER, former_names
from hepad.storage.files import atomic_path

ENTRIES = {"detectors": "detector", "students": "student"}  # sections of named entries, and the kind of those
Edits = dict[int, tuple[str, str]]  # place in the text -> old and new name


def check_keys(config: Mapping) -> None:
    """InputError for the first key of ``config``, before any other check of it, that has another name today."""
    for keys, name in _former(config):
        raise InputError(
            f"{'.'.join(keys)}: this key is called '{name}' now; 'hepad config migrate FILE' rewrites the file."
        )


def migrate(path: str | Path, output: str | Path | None = None) -> dict[str, int]:
    """Rewrite a configuration file of an earlier version with today's keys, in place or to ``output``.

    Returns
    -------
    {"old -> new": how many of them}; a file of today is not touched

    Raises
    ------
    InputError: the file is no configuration, or one whose keys cannot be renamed where they stand
    """
    check_duplicate_keys(path)
    text = Path(path).read_bytes().decode()  # the ends of lines stay what they are
    root, old = yaml.compose(text, Loader=Loader), Loader(text).get_single_data()
    edits = _renamed_keys(path, root)
    new = Loader(_edited(path, text, edits)).get_single_data()
    if new != {section: _current(value, section) for section, value in old.items()}:
        raise InputError(
            f"{path}: an anchor is used for settings of two kinds, whose keys have different names now. Write the "
            f"settings out, without it: {', '.join('.'.join(keys) for keys, _ in _former(old))}."
        )
    edits |= _renamed_points(path, root, new)
    if edits or output:
        with atomic_path(Path(output or path)) as partial:
            partial.write_bytes(_edited(path, text, edits).encode())
    return dict(Counter(f"{old} -> {new}" for _, (old, new) in sorted(edits.items())))


def _former(config: Mapping) -> Iterator[tuple[tuple[str, ...], str]]:
    for section in (*ENTRIES, "evaluation"):
        entries = config.get(section)
        if not isinstance(entries, Mapping):
            continue
        if section not in ENTRIES:
            yield from (((section, *keys), name) for keys, name in former_names(entries, section))
            continue
        for label, entry in entries.items():
            if isinstance(entry, Mapping):
                found = former_names(entry, ENTRIES[section])
                yield from (((section, str(label), *keys), name) for keys, name in found)


def _current(value, kind: str):
    """Data with the names of today; ``kind``: the section or the key that they stand under."""
    if not isinstance(value, Mapping):
        return value
    if kind in ENTRIES:
        return {name: _renamed(entry, ENTRIES[kind]) for name, entry in value.items()}
    return _renamed(value, kind) if kind == "evaluation" else value


def _renamed(value, kind: str):
    if not isinstance(value, Mapping):
        return value
    names = FORMER.get(kind, {})
    return {names.get(key, key): _renamed(item, key) for key, item in value.items()}


def _renamed_keys(path, root: yaml.MappingNode) -> Edits:
    edits = {}
    for section, entries in root.value:
        if section.value in ENTRIES:
            for _, entry in getattr(entries, "value", ()):
                _collect(path, entry, ENTRIES[section.value], edits)
        elif section.value == "evaluation":
            _collect(path, entries, section.value, edits)
    return edits


def _collect(path, node: yaml.Node, kind: str, edits: Edits) -> None:
    """Add the keys of a mapping, of what is merged into it and of what is inside it."""
    if isinstance(node, yaml.SequenceNode) and kind:  # several mappings that are merged
        for item in node.value:
            _collect(path, item, kind, edits)
    if not isinstance(node, yaml.MappingNode):
        return
    names, present = FORMER.get(kind, {}), {key.value for key, _ in node.value}
    for key, value in node.value:
        if key.value == "<<":
            _collect(path, value, kind, edits)
            continue
        if key.value in names:
            if names[key.value] in present:
                raise InputError(
                    f"{path}, line {key.start_mark.line + 1}: '{key.value}' is called '{names[key.value]}' now, and "
                    "both are there. Remove one of them."
                )
            edits[key.start_mark.index] = key.value, names[key.value]
        if isinstance(value, yaml.MappingNode):
            _collect(path, value, key.value, edits)


def _renamed_points(path, root: yaml.MappingNode, config: dict) -> Edits:
    """Points of sweeps, which are named after their keys, where a task or a student names one."""
    named = [node for node in _names_of_detectors(root) if node.value not in config["detectors"]]
    if not named:
        return {}
    from hepad.config import sweeps  # torch and all detectors take seconds, and few files need them

    edits, known = {}, set(sweeps.expand(config)["detectors"])
    for node in named:
        candidates = {node.value}
        for old, new in {pair for names in FORMER.values() for pair in names.items()}:
            candidates |= {name.replace(f"_{old}_", f"_{new}_") for name in candidates}
        if not (found := sorted(candidates & known)):
            raise InputError(
                f"{path}, line {node.start_mark.line + 1}: '{node.value}' is no detector, and no point of a sweep once "
                "its keys have the names of today. Correct it."
            )
        if found[0] != node.value:
            edits[node.start_mark.index] = node.value, found[0]
    return edits


def _names_of_detectors(root: yaml.MappingNode) -> Iterator[yaml.ScalarNode]:
    for section, entries in root.value:
        if section.value not in ("tasks", "students") or not isinstance(entries, yaml.MappingNode):
            continue
        for _, entry in entries.value:
            for key, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
                if key.value in ("detectors", "detector"):
                    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
                    yield from (node for node in nodes if isinstance(node, yaml.ScalarNode))


def _edited(path, text: str, edits: Edits) -> str:
    for place in sorted(edits, reverse=True):
        old, new = edits[place]
        start = place + (text[place] in "'\"")
        if not text.startswith(old, start):
            line = text.count("\n", 0, place) + 1
            raise InputError(f"{path}, line {line}: '{old}' is written with escapes. Write it plainly, or rename it.")
        text = text[:start] + new + text[start + len(old) :]
    return text
