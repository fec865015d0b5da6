"""Whether the values of a configuration are of the kind that the annotations of the class which takes them say."""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin, get_type_hints

from hepad.errors import InputError

NAMES = {int: "whole number", float: "finite number", bool: "true or false", str: "text", dict: "mapping"}


def refuse_misfits(cls: Callable, values: Mapping[str, Any], where: str = "") -> None:
    """InputError for the first of ``values`` that is not of the kind which ``cls`` is annotated with.

    cls: a class or a function; values: by the names of its arguments; where: what they stand under, '' at the top
    """
    hints = get_type_hints(cls.__init__ if isinstance(cls, type) else cls)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            here = f"{where}: {name}" if where else name
            raise InputError(f"{here}: {value!r} is not what it takes: {_named(hints[name])}.{hint(value)}")


def _fits(value, hint) -> bool:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in inner)
    if origin in (bool, str):
        return isinstance(value, origin)
    if origin is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if origin is float:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if origin is dict:
        return isinstance(value, Mapping)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list | tuple):
            return False
        if origin is tuple and Ellipsis not in inner:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(item, inner[0]) for item in value)
    return hint is not types.NoneType or value is None


def _named(hint) -> str:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if part is types.NoneType else _named(part) for part in inner)
    if origin in (list, tuple, Sequence):
        of = NAMES.get(inner[0], "value")
        fixed = origin is tuple and Ellipsis not in inner
        return f"a list of {len(inner) if fixed else ''} {of}s".replace("  ", " ")
    name = NAMES.get(origin, "value")
    return name if origin is bool or origin is str else f"a {name}"


def hint(value) -> str:
    """What may have happened, in YAML."""
    if isinstance(value, float) and value.is_integer():
        return f" Write {value:.0f}."
    if isinstance(value, str) and _is_number(value):
        base, exponent, power = value.lower().partition("e")
        written = f"{base if '.' in base else base + '.0'}e{power if power[:1] in '+-' else '+' + power}"
        remedy = f"write {written}" if exponent and written != value.lower() else "leave the quotes out"
        return f" It is text to YAML; {remedy}."
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
