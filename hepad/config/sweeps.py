"""Sweeps: a detector of the configuration whose entry has the key ``sweep`` becomes a grid of detectors.

    sweep: {autoencoder.latent_dim: [8, 16], training.steps: [1000, 2000]}

Each argument, with dots into mappings, takes its values in turn, in the place of a value that the entry has for it. All
together make the full grid, the last one running fastest. What the values may be is checked when the detectors are.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from hepad import detectors
from hepad.config.plain_yaml import replaced
from hepad.detectors.flows import FLOWS
from hepad.errors import InputError, check_choice
from hepad.registry import dataclass_in, hints_of

LARGEST = 200  # detectors of one grid
SYMBOLS = {"gamma": "γ", "sigma": "σ", "beta": "β", "l2": "L2", "mmd": "MMD", "weight": "recovery weight"}
RANGES = ("sigma",)  # their values are [lowest, highest]
# mappings that the class reads which their 'type' names
TYPED = {"flow": FLOWS, "of": detectors.DETECTORS}


def arguments(entry: Mapping, cls: type | None = None) -> dict[str, type]:
    """Path of every argument that an entry may have, ``training.steps``, and the class that takes its last key.

    Of a mapping that no class reads by itself there are the keys that it has, with None.
    """
    cls, classes = cls or detectors.DETECTORS.get(str(entry.get("type"))), {}
    for name, hint in hints_of(cls).items() if cls else ():
        if name == "space":  # which no entry has
            continue
        inner = entry.get(name) if isinstance(entry.get(name), Mapping) else {}
        reader = TYPED[name].get(str(inner.get("type"))) if name in TYPED else dataclass_in(hint)
        nested = arguments(inner, reader) if reader else dict.fromkeys(inner)
        classes |= {f"{name}.{path}": taking for path, taking in nested.items()}
        classes |= {} if reader else {name: cls}
    return classes


def expand(config: dict) -> dict:
    """``config`` with a grid of detectors for each detector that sweeps, and with tasks that list the whole grid.

    Parameters
    ----------
    config: a configuration that fits the schema; it is not changed. Detectors and tasks without a sweep are the same
        objects in what is returned, and a configuration without any is returned itself.

    Raises
    ------
    InputError: an unknown argument, no list of values, more than 200 detectors in one grid, or two of one name
    """
    swept = {name: entry for name, entry in config["detectors"].items() if "sweep" in entry}
    # an unknown type is left to the check that names it
    grids = {name: _grid(name, entry) for name, entry in swept.items() if str(entry.get("type")) in detectors.DETECTORS}
    if not grids:
        return config
    expanded, origin = {}, {}
    for name, entry in config["detectors"].items():
        for point, settings in grids.get(name, [(name, entry)]):
            key = f"detectors.{name}" + (f" ({settings['label']})" if name in grids else "")
            if point in origin:
                raise InputError(
                    f"{key}: the name '{point}' is that of {origin[point]}, too. "
                    "Rename one of them, or give each value once."
                )
            expanded[point], origin[point] = settings, key
    tasks = {name: _task(name, task, grids) for name, task in config["tasks"].items()}
    return {**config, "detectors": expanded, "tasks": tasks}


def _task(task: str, entry: dict, grids: dict) -> dict:
    if not grids.keys() & entry["detectors"]:
        return entry
    names = [point for name in entry["detectors"] for point, _ in grids.get(name, [(name, None)])]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"tasks.{task}.detectors: '{name}' is in the list and also a point of a sweep in it. Remove it."
            )
    return {**entry, "detectors": names}


def _grid(name: str, entry: dict) -> list[tuple[str, dict]]:
    """Name and entry of each point of a detector's grid."""
    place, swept, known = f"detectors.{name}.sweep", entry["sweep"], arguments(entry)
    if not isinstance(swept, Mapping) or not swept:
        raise InputError(f"{place}: {swept!r} is no sweep. Give arguments and lists: {{training.steps: [500, 1000]}}.")
    for path, values in swept.items():
        _check(place, path, values, entry, known)
    if (size := math.prod(map(len, swept.values()))) > LARGEST:
        lengths = " × ".join(f"{len(values)} ({path})" for path, values in swept.items())
        raise InputError(
            f"{place}: {lengths} = {size} detectors are more than {LARGEST}. Shorten a list, or make two runs."
        )
    grid, entry = [], {key: value for key, value in entry.items() if key != "sweep"}
    for values in itertools.product(*swept.values()):
        settings, point, label = entry, name, entry.get("label", name)
        for path, value in zip(swept, values, strict=True):
            settings, short = replaced(settings, path.split("."), value), _short(path, known)
            point += f"_{short}_{_word(value, short)}"
            label += f", {SYMBOLS.get(short, short.replace('_', ' '))} = {_text(value, short)}"
        grid.append((point, {**settings, "label": label}))
    return grid


def _check(key: str, path: str, values: list, entry: dict, choices: Iterable[str]) -> None:
    """InputError unless ``path`` is an argument, and ``values`` a list of what can stand in names."""
    first = str(path).split(".")[0]
    if first == "pretraining" and isinstance(entry.get(first), str) and path != first:
        raise InputError(f"{key}.{path}: '{first}' is '{entry[first]}'. Sweep over the arguments of that detector.")
    if not (first in choices and isinstance(entry.get(first), Mapping)):
        check_choice(f"{key}: argument", path, choices)
    if not isinstance(values, list) or not values:
        fault = "the list is empty" if values == [] else f"{values!r} is no list"
        raise InputError(f"{key}.{path}: {fault}. Give values to sweep over; one alone belongs into the entry itself.")
    if any(isinstance(value, Mapping) for value in values):
        raise InputError(f"{key}.{path}: a mapping is no value of a sweep. Sweep over one of its keys, '{path}.KEY'.")


def _short(path: str, paths: Iterable[str]) -> str:
    """An argument in names and labels: its last key alone, unless another one, no deeper, has it, too."""
    *outer, last = path.split(".")
    namesakes = [name for name in paths if name.split(".")[-1] == last and name.count(".") <= len(outer)]
    return path.replace(".", "_") if outer and len(namesakes) > 1 else last


def _word(value, short: str) -> str:
    """A value as part of a name: 0.01 -> 0p01, 1e-4 -> 1em4, [128, 64] -> 128_64, a range -> 0p05_to_0p3."""
    text = _text(value, short)
    if not isinstance(value, str):
        text = re.sub(r"(?<=\d)\.(?=\d)", "p", re.sub(r"-(?=\d)", "m", text))
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "none"


def _text(value, short: str) -> str:
    """A value as part of a label: 0.01, 1e-4, [128, 64], a range 0.05 to 0.3, one of a single point as that point."""
    if isinstance(value, list):
        items = [_text(item, "") for item in value]
        return " to ".join(dict.fromkeys(items)) if short in RANGES else f"[{', '.join(items)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
        write = np.format_float_positional if plain else np.format_float_scientific
        return write(value, trim="-") if plain else write(value, trim="-", exp_digits=1).replace("+", "")
    return str(value)
