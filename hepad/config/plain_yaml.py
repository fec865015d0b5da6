"""YAML files that are data and nothing else: what to refuse before one is loaded, and numbers as YAML 1.2 has them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from hepad.errors import InputError

# levels, and entries with aliases written out
DEEPEST, MOST = 30, 100_000
TEMPLATE = "__use_yte__"


class Loader(yaml.SafeLoader):
    """Reads 2e34 and 1e-4 as numbers, as YAML 1.2 and JSON do; to YAML 1.1, and so to Snakemake, they are text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def load(path: str | Path) -> dict:
    """A configuration file; errors are those of :func:`check_duplicate_keys`."""
    check_duplicate_keys(path)
    return Loader(Path(path).read_text()).get_single_data()


def with_numbers(config, read):
    """``config`` of Snakemake, with the numbers that it took for text as they are in ``read``, of :func:`load`."""
    if isinstance(config, dict) and isinstance(read, dict):
        return {key: with_numbers(value, read.get(key)) for key, value in config.items()}
    if isinstance(config, list) and isinstance(read, list) and len(config) == len(read):
        return [with_numbers(*pair) for pair in zip(config, read, strict=True)]
    return read if isinstance(config, str) and isinstance(read, float) else config


def replaced(entry: Mapping, keys: Sequence, value) -> dict:
    """A copy of an entry with another value behind ``keys``; mappings that are not there are made."""
    key, *rest = keys
    inner = entry.get(key) if isinstance(entry.get(key), Mapping) else {}
    return {**entry, key: replaced(inner, rest, value) if rest else value}


def check_duplicate_keys(path: str | Path) -> None:
    """InputError unless the YAML file is data, and each key of a mapping is there once (YAML would keep the last).

    Refused are also what only Python's own YAML reads (tags), what Snakemake would run (``TEMPLATE``), and aliases or
    brackets that grow without bounds. Nothing in the file is executed here.
    """
    try:
        root = yaml.compose(Path(path).read_text(), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error}). Check that it is a configuration.") from None
    except RecursionError:
        raise InputError(f"{path}: more than {DEEPEST} levels. Check that it is a configuration.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}: not a configuration, which is a mapping with the key 'tasks' and others.")
    _check_node(root, path, "", 0, {})


def _check_node(node, path, place: str, depth: int, sizes: dict[int, int]) -> int:
    """How many entries a node stands for, aliases counted as often as they are used; each node is walked once."""
    line = f"{path}, line {node.start_mark.line + 1}"
    if depth > DEEPEST:
        raise InputError(f"{line}: more than {DEEPEST} levels, or an alias inside itself. Flatten this part.")
    if id(node) in sizes:
        return sizes[id(node)]
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise InputError(f"{line}: '{place}' has the tag '{node.tag}', and a configuration is plain data. Remove it.")
    size, names = 1, set()
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{place}.{key.value}" if place and isinstance(key.value, str) else str(key.value)[:100]
            spot = f"{path}, line {key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{spot}: a list or mapping is no key. Give a name.")
            if key.tag.endswith((":bool", ":null")):
                raise InputError(f"{spot}: to YAML the key '{name}' is no name but true, false or nothing. Quote it.")
            if key.value == TEMPLATE:
                raise InputError(
                    f"{spot}: '{TEMPLATE}' makes a program of this file: Snakemake runs the Python in it when it reads "
                    "it, and may have done so now. Look at the file; remove the key."
                )
            if key.value in names and key.value != "<<":
                raise InputError(f"{spot}: '{name}' is defined twice. Rename or remove one of them.")
            names.add(key.value)
            size += _check_node(key, path, name, depth + 1, sizes) + _check_node(value, path, name, depth + 1, sizes)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_node(item, path, f"{place}[{i}]", depth + 1, sizes) for i, item in enumerate(node.value))
    if size > MOST:
        raise InputError(f"{line}: '{place}' has more than {MOST} entries, its aliases written out. Shorten it.")
    sizes[id(node)] = size
    return size
