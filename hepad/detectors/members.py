"""Fitted detectors as the members of a Combination in Python: their names, what they see, and whether they match.

A fitted detector here is a :class:`hepad.detectors.estimator.Estimator`, with ``module``, ``spec``, ``representation``,
``window`` and ``background``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from hepad.errors import InputError
from hepad.representations import Joined, Representation


def entries(members: Sequence | Mapping) -> list[dict]:
    """What the members are built from, as :class:`hepad.detectors.Combination` takes them.

    Parameters
    ----------
    members: fitted detectors by their names, or a list of them, which are called as their classes, numbered from the
        second of a class on; or such entries, which stay as they are

    Raises
    ------
    InputError: one is not fitted, or something else
    """
    found = []
    for name, member in _named(members).items():
        if isinstance(member, Mapping):
            found.append(member)
            continue
        if getattr(member, "module", None) is None:
            raise InputError(f"Combination: member '{name}' is no fitted detector. Call its fit with background first.")
        found.append({"name": name, **member.spec, "space": asdict(member.module.space)})
    return found


def _named(members: Sequence | Mapping) -> dict:
    if isinstance(members, Mapping):
        return dict(members)
    if isinstance(members, str) or not isinstance(members, Sequence):
        raise InputError(f"Combination: members: {members!r} is no list. Give fitted detectors: [one, another].")
    found = {}
    for member in members:
        name = member.get("name") if isinstance(member, Mapping) else type(member).__name__
        number = 1 + sum(key.split(" ")[0] == name for key in found)
        found[name if number == 1 else f"{name} {number}"] = member
    return found


def fitted(members: Sequence | Mapping) -> dict:
    """Those that are fitted detectors, by name; {} if they are entries, which are fitted with the combination.

    InputError: they are of different backgrounds or inputs
    """
    found = {name: member for name, member in _named(members).items() if not isinstance(member, Mapping)}
    if not found:
        return {}
    (first, one), *others = found.items()
    for name, other in others:
        for what, a, b in (
            ("the background of", one.background, other.background), ("the window", one.window, other.window),
        ):  # fmt: skip
            if a and b and a != b:
                raise InputError(
                    f"Combination: '{first}' was fitted on {what} {a}, '{name}' on {what} {b}. Combine detectors of "
                    "one background."
                )
        either = [m.representation is None for m in (one, other)]
        if any(either) and not (all(either) and one.module.space == other.module.space):
            raise InputError(
                f"Combination: '{first}' and '{name}' see different inputs, of shape {one.module.space.shape} and "
                f"{other.module.space.shape}. Fit both on the same arrays, or on events with a representation each."
            )
    return found


def representation_of(members: Mapping, given: Representation | None) -> Representation | None:
    """``given``, or what all fitted ``members`` see together; None if they were fitted on arrays.

    InputError: a member sees something else
    """
    parts: list[Representation] = [given] if given else []
    for name, member in members.items():
        own = member.representation
        if own is None or any(part.contains(own) for part in parts):
            continue
        if given:
            raise InputError(
                f"Combination: member '{name}' sees {own}, which is no part of {given}. Give "
                "hepad.Joined([...]) of what all members see, or leave 'representation' out."
            )
        parts = [part for part in parts if not own.contains(part)] + [own]
    return parts[0] if len(parts) == 1 else Joined(parts) if parts else None
