"""What a configuration can name: classes of one kind, their arguments, and the kinds of their values.

An entry ``{type: NAME, argument: value, ...}`` names a class of a :class:`Registry` and its arguments; a mapping
without a type is the arguments of one class (:func:`settings`). The annotations of a class say what its arguments take.
"""

import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin

from hepad.errors import InputError, check_choice

# what keys were called before and are called now, by the key that their mapping stands under, or by the type in it
_SCHEDULE = {"rate": "learning_rate", "average": "ema_decay", "decay": "cosine_decay", "clip": "grad_clip"}
_CHAIN = {"steps": "n_steps", "step": "step_size", "noise": "noise_std", "clip": "grad_clip"}
_NETWORK = {"hidden": "hidden_dims", "latent": "latent_dim"}
_GAUSSIANS = {"components": "n_gaussians"}
FORMER = {
    **dict.fromkeys(("detector", "of"), _NETWORK | {"compress": "n_components"}),
    **dict.fromkeys(("Mixture", "LatentMixture", "Contrastive"), _GAUSSIANS),
    **dict.fromkeys(("training", "pretraining", "encoding"), _SCHEDULE),
    **dict.fromkeys(("latent_chain", "visible_chain"), _CHAIN),
    **dict.fromkeys(("autoencoder", "flow", "network"), _NETWORK),
    "evaluation": {"ceiling": "supervised"},
}

NAMES = {int: "whole number", float: "finite number", bool: "true or false", str: "text", dict: "mapping"}


class FormerName(InputError):
    """An argument has the name that it had in earlier versions."""


def former(entry: Mapping, kind: str) -> dict[str, str]:
    """Earlier name -> today's of the keys of an entry; ``kind``: a key of ``FORMER``."""
    return FORMER.get(kind, {}) | FORMER.get(str(entry.get("type")), {})


def former_names(entry: Mapping, kind: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys that lead to it, name of today) of what has a name of earlier versions, in ``entry`` and inside it.

    kind: of the entry, a key of ``FORMER``; of a mapping inside it, the key that it stands under
    """
    names = former(entry, kind)
    for key, value in entry.items():
        if key in names:
            yield (key,), names[key]
        if isinstance(value, Mapping):
            yield from (((key, *keys), name) for keys, name in former_names(value, key))


def check_names(entry: Mapping, kind: str) -> None:
    """FormerName for the first key in ``entry`` that has another name today; arguments as for :func:`former_names`."""
    for keys, name in former_names(entry, kind):
        raise FormerName(f"'{': '.join(keys)}' is called '{name}' now.")


def check_types(cls: Callable, values: Mapping[str, Any], where: str = "") -> None:
    """InputError for the first of ``values`` that is not of the kind which ``cls`` is annotated with.

    cls: a class or a function; values: by the names of its arguments; where: what they stand under, '' at the top
    """
    hints = hints_of(cls)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            here = f"{where}: {name}" if where else name
            remedy = yaml_advice(value) or _sweep(value, hints[name])
            raise InputError(f"{here}: {value!r} is not what it takes: {_named(hints[name])}.{remedy}")


def fits(cls: type, name: str, value) -> bool:
    """Whether an argument of ``cls`` takes a value."""
    return _fits(value, hints_of(cls)[name])


def hints_of(cls: Callable) -> dict[str, Any]:
    """The annotation of each argument of a class or a function."""
    return {name: p.annotation for name, p in inspect.signature(cls, eval_str=True).parameters.items()}


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
    if origin is dict or is_dataclass(origin):
        return isinstance(value, Mapping | origin)
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
        count = f"{len(inner)} " if origin is tuple and Ellipsis not in inner else ""
        return f"a list of {count}{NAMES.get(inner[0], 'value')}s"
    name = "mapping" if is_dataclass(origin) else NAMES.get(origin, "value")
    return name if origin is bool or origin is str else f"a {name}"


def yaml_advice(value) -> str:
    """What may have happened, in YAML."""
    if isinstance(value, float) and value.is_integer():
        return f" Write {value:.0f}."
    if isinstance(value, str) and _is_number(value):
        base, exponent, power = value.lower().partition("e")
        written = f"{base if '.' in base else base + '.0'}e{power if power[:1] in '+-' else '+' + power}"
        remedy = f"write {written}" if exponent and written != value.lower() else "leave the quotes out"
        return f" It is text to YAML; {remedy}."
    return ""


def _sweep(value, hint) -> str:
    """Where a list belongs of which every item would do."""
    several = isinstance(value, list) and value and not any(isinstance(item, Mapping) for item in value)
    if not several or not all(_fits(item, hint) for item in value):
        return ""
    return " Values to try in turn stand under 'sweep' in a detector's entry ('hepad config migrate' moves them there)."


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class Registry(dict):
    """Classes of one kind by their names.

    Parameters
    ----------
    kind: what they are, for messages
    classes: the first of them; :meth:`add` takes more

    >>> FLOWS = Registry("flow", Planar)
    >>> FLOWS.make({"type": "Planar", "layers": 6}, latent_dim, context)
    """

    def __init__(self, kind: str, *classes: type):
        super().__init__()
        self.kind = kind
        self.add(*classes)

    def add(self, *classes: type) -> None:
        """Let entries name these, too."""
        self.update({cls.__name__: cls for cls in classes})

    def make(self, entry: Mapping, *given):
        """The object of an entry; ``given``: the first arguments of all classes, which no entry has.

        InputError for no type or an unknown one; otherwise errors are those of :func:`settings`.
        """
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise InputError(f"{self.kind}: {entry!r} is not an entry with the key 'type'. Allowed: {', '.join(self)}.")
        name = check_choice(f"{self.kind}: type", entry["type"], self)
        arguments = {key: value for key, value in entry.items() if key != "type"}
        return settings(self[name], arguments, self.kind, given)


def settings(cls: type, values: Mapping, where: str, given: tuple = ()):
    """``cls(*given, **values)``, of values that a configuration gives: a Schedule, a Chain, a detector, ...

    A mapping among the values becomes the dataclass that the argument is annotated with.

    Parameters
    ----------
    values: mappings among them become the dataclasses that ``cls`` is annotated with
    where: the key that the values stand under, dots before it allowed, or what they are
    given: the first arguments, which the code supplies, for example the Space; no configuration has them

    Raises
    ------
    InputError: an unknown or a missing argument, or a value of another kind
    FormerName: an argument has a name of earlier versions
    """
    parameters = dict(list(inspect.signature(cls).parameters.items())[len(given) :])
    check_names({"type": cls.__name__, **values}, where.rpartition(".")[2])
    for name in values:
        check_choice(f"{where}: argument of {cls.__name__}", name, parameters)
    check_types(cls, values, where)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in values:
            raise InputError(
                f"{where}: argument '{name}' of {cls.__name__} is missing. Add it to the entry. It takes: "
                f"{', '.join(parameters)}."
            )
    inner = {name: dataclass_in(hint) for name, hint in hints_of(cls).items()}
    read = {
        name: settings(inner[name], value, name) if inner[name] and isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    return cls(*given, **read)


def dataclass_in(hint) -> type | None:
    """The dataclass that an annotation is, or allows beside others."""
    return next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
