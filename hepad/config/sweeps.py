"""Sweeps: a detector of the configuration whose arguments hold lists becomes a grid of detectors.

An argument that takes a single value sweeps over a list, one that takes a list sweeps over a list of lists. Which is
which is read from the annotations: of the detector's class and, for arguments that are mappings (``training``,
``autoencoder``, ...), of the dataclass that reads them. Several sweeps of one detector make the full grid, the last one
running fastest. What is misspelt is left alone here and refused by the checks that follow.
"""

import itertools
import math
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

from hepad import detectors
from hepad.detectors.energy_based.base import Objective
from hepad.detectors.energy_based.langevin import Chain
from hepad.detectors.energy_based.negative_sampling import Recovery
from hepad.detectors.flows import FLOWS
from hepad.detectors.networks import AutoencoderSettings
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError

LARGEST = 200  # detectors of one grid
RESERVED = ("type", "representation", "label")
SYMBOLS = {"gamma": "γ", "sigma": "σ", "beta": "β", "l2": "L2", "mmd": "MMD", "weight": "recovery weight"}
# what reads the arguments that are mappings
NESTED = {
    "training": Schedule,
    "pretraining": Schedule,
    "encoding": Schedule,
    "latent_chain": Chain,
    "visible_chain": Chain,
    "autoencoder": AutoencoderSettings,
    "recovery": Recovery,
    "objective": Objective,
}
TYPED = {"flow": FLOWS, "of": detectors.DETECTORS}  # mappings that are read by the class which their 'type' names


class Sweep(NamedTuple):
    """One argument of a detector and the values that it takes in turn."""

    path: tuple[str, ...]  # ("gamma",), or ("autoencoder", "latent_dim") inside a mapping
    name: str  # in names and labels of the grid's detectors
    hint: Any  # annotation of the argument
    values: list


def expand(config: dict) -> dict:
    """``config`` with a grid of detectors for each detector that sweeps, and with tasks that list the whole grid.

    Parameters
    ----------
    config: a configuration that fits the schema; it is not changed. Detectors and tasks without a sweep are the same
        objects in what is returned, and a configuration without any is returned itself.

    Raises
    ------
    InputError: an empty list, a list of something that cannot be swept, more than 200 detectors in one grid, or two
        detectors of one name
    """
    grids = {name: _grid(name, entry) for name, entry in config["detectors"].items()}
    if not any(grids.values()):
        return config
    expanded, origin = {}, {}
    for name, entry in config["detectors"].items():
        for point, settings in grids[name] or [(name, entry)]:
            here = f"detectors.{name}" + (f" ({settings['label']})" if grids[name] else "")
            if point in origin:
                raise InputError(
                    f"{here}: the name '{point}' is that of {origin[point]}, too. "
                    "Rename one of them, or give each value once."
                )
            expanded[point], origin[point] = settings, here
    return {
        **config,
        "detectors": expanded,
        "tasks": {name: _task(name, task, grids) for name, task in config["tasks"].items()},
    }


def _task(where: str, task: dict, grids: dict) -> dict:
    if not any(grids.get(name) for name in task["detectors"]):
        return task
    names = [point for name in task["detectors"] for point in [p for p, _ in grids.get(name) or []] or [name]]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"tasks.{where}.detectors: '{name}' is in the list and also a point of a sweep in it. Remove it."
            )
    return {**task, "detectors": names}


def _grid(name: str, entry: dict) -> list[tuple[str, dict]]:
    """Name and entry of each point of a detector's grid; none if nothing is swept."""
    found = _sweeps(f"detectors.{name}", entry)
    if not found:
        return []
    size = math.prod(len(sweep.values) for sweep in found)
    if size > LARGEST:
        lengths = " × ".join(f"{len(sweep.values)} ({'.'.join(sweep.path)})" for sweep in found)
        raise InputError(
            f"detectors.{name}: {lengths} = {size} detectors are more than {LARGEST}. Shorten a list, or make two runs."
        )
    grid = []
    for values in itertools.product(*(sweep.values for sweep in found)):
        point, label = name, entry.get("label", name)
        settings = {key: dict(value) if isinstance(value, Mapping) else value for key, value in entry.items()}
        for sweep, value in zip(found, values, strict=True):
            *outer, key = sweep.path
            (settings[outer[0]] if outer else settings)[key] = value
            point += f"_{sweep.name}_{_word(value, sweep.hint)}"
            label += f", {SYMBOLS.get(sweep.name, sweep.name.replace('_', ' '))} = {_text(value, sweep.hint)}"
        grid.append((point, {**settings, "label": label}))
    return grid


def _sweeps(where: str, entry: dict) -> list[Sweep]:
    """What a detector's entry sweeps over, in the order of the entry."""
    cls = detectors.DETECTORS.get(entry["type"])
    if cls is None:
        return []
    hints = get_type_hints(cls.__init__)
    inner = {name: get_type_hints(NESTED[name]) for name in hints if name in NESTED}
    for name, registry in TYPED.items():
        given = entry.get(name)
        if name in hints and isinstance(given, Mapping) and given.get("type") in registry:
            inner[name] = get_type_hints(registry[given["type"]].__init__)
    keys = [key for name in hints for key in inner.get(name, [name])]
    found = []
    for name, value in entry.items():
        if name in RESERVED or name not in hints:
            continue
        if not isinstance(value, Mapping):
            found.append(Sweep((name,), name, hints[name], _values(f"{where}.{name}", value, hints[name])))
            continue
        for key, item in value.items():
            # the last key alone, unless another argument of this class has it, too
            short = key if keys.count(key) <= 1 else f"{name}_{key}"
            hint = inner.get(name, {}).get(key)
            found.append(Sweep((name, key), short, hint, _values(f"{where}.{name}.{key}", item, hint)))
    return [sweep for sweep in found if sweep.values]


def _values(where: str, value, hint) -> list:
    """The values that an argument takes in turn, or none if it has one value."""
    if not isinstance(value, list):
        return []
    if _takes(hint, dict):
        raise InputError(f"{where}: a mapping is needed, not a list. To sweep, put the lists inside the mapping.")
    if _takes(hint, list, tuple):
        if not any(isinstance(item, list) for item in value):
            return []
        if not all(item is None or isinstance(item, list) for item in value):
            raise InputError(f"{where}: {value} mixes lists and single values; give one list, or a list of lists.")
        return value
    if not value:
        raise InputError(f"{where}: the list is empty. Give the values to sweep over, or leave the key out.")
    for item in value:
        if isinstance(item, list | Mapping):
            raise InputError(f"{where}: it takes single values, and a list of them makes a sweep; {item} is not one.")
    return value


def _takes(hint, *kinds: type) -> bool:
    """Whether an annotation is one of ``kinds``, or a union with one of them."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(_takes(part, *kinds) for part in get_args(hint))
    return (get_origin(hint) or hint) in kinds


def _word(value, hint) -> str:
    """A value as part of a name: 0.01 -> 0p01, 1e-4 -> 1em4, [128, 64] -> 128_64, a range -> 0p05_to_0p3."""
    if isinstance(value, list):
        return ("_to_" if _range(hint) else "_").join(_word(item, None) for item in _shown(value, hint)) or "none"
    if isinstance(value, int | float):
        return _text(value, None).replace("-", "m").replace(".", "p")
    return re.sub(r"[^A-Za-z0-9]+", "_", _text(value, None)).strip("_")


def _text(value, hint) -> str:
    """A value as part of a label: 0.01, 1e-4, [128, 64], a range 0.05 to 0.3."""
    if isinstance(value, list):
        items = [_text(item, None) for item in _shown(value, hint)]
        return " to ".join(items) if _range(hint) else f"[{', '.join(items)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6
        write = np.format_float_positional if plain else np.format_float_scientific
        return write(value, trim="-") if plain else write(value, trim="-", exp_digits=1).replace("+", "")
    return str(value)


def _range(hint) -> bool:
    """Whether an annotation is that of [lowest, highest]."""
    return get_origin(hint) is tuple and len(get_args(hint)) == 2 and Ellipsis not in get_args(hint)


def _shown(value: list, hint) -> list:
    """A range of one point is shown as that point."""
    return value[:1] if _range(hint) and len(value) == 2 and value[0] == value[1] else value
