"""Whether the seeds of a trigger menu have the thresholds of an exported file.

A menu is CMS's level-1 XML, where an algorithm has cuts of the type SCORE or CSCORE with a ``minimum`` and of the type
MODEL with the version in ``data`` (L1_AXO_*, L1_CICADA_*), or a CSV with the columns seed, threshold and, if it likes,
model. The name of a cut (AXO-SCORE_Tight) says nothing of its value, and is not looked at.

A menu may have a scale of its own, m = k s, and a smallest step d, as firmware has (AXOL1TL: k = 16 and d = 1; CICADA:
d = 1/256). Its conditions pass with m >= the threshold, hepad's with s > t. For m in steps of d both are the same at

    (floor(k t / d) + 1) d

which is what is expected; without a step it is k t, to the last digit of single or double precision.
"""

import csv
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from hepad.errors import InputError, check_choice, said


class Seed(NamedTuple):
    """threshold: as the menu writes it; model: the version of the model, '' if it says none."""

    threshold: str
    model: str


class Checked(NamedTuple):
    """A seed beside the threshold ``name`` of the file: what the menu has and what it should have."""

    seed: str
    name: str
    found: str
    expected: str
    equal: bool
    model: str


def read_seeds(menu: str | Path) -> dict[str, Seed]:
    """{name: seed} of all seeds of a menu with a threshold on a score; InputError if it has none or is no menu."""
    try:
        found = list(_of_csv(menu) if Path(menu).suffix == ".csv" else _of_xml(menu))
    except (OSError, ValueError, KeyError, csv.Error, ElementTree.ParseError) as error:
        raise InputError(
            f"{menu}: not a menu ({said(error)}). Give CMS's XML, or a CSV with the columns seed and threshold."
        ) from None
    seeds = dict(found)
    if len(seeds) < len(found):
        twice = next(name for name, _ in found if [other for other, _ in found].count(name) > 1)
        raise InputError(f"{menu}: the seed {twice} has two thresholds on scores. Give a menu with one each.")
    if not seeds:
        raise InputError(f"{menu}: no seed has a threshold on a score (a cut of the type SCORE). Give another menu.")
    return seeds


def check_seeds(
    menu: str | Path,
    pairs: dict[str, str],
    thresholds: dict[str, float],
    scale: str = "1",
    step: str | None = None,
) -> list[Checked]:
    """Compare seeds with thresholds.

    Parameters
    ----------
    menu: XML or CSV
    pairs: {seed: name of the threshold that it is to have}
    thresholds: {name: value} of the exported file
    scale, step: k and d, exact as decimals or fractions such as '1/256'

    Raises
    ------
    InputError: a seed or a threshold that is not there, or a number that is none
    """
    k = _number("scale", scale)
    d = None if step is None else _number("step", step)
    seeds, checked = read_seeds(menu), []
    for name, threshold in pairs.items():
        seed = seeds[check_choice(f"{menu}: seed", name, seeds)]
        found = _number(f"{menu}: threshold of {name}", seed.threshold, least=None)
        wanted = k * Fraction(thresholds[check_choice("threshold", threshold, thresholds)])
        if d is None:
            equal = float(found) == float(wanted) or np.float32(float(found)) == np.float32(float(wanted))
        else:
            wanted = (math.floor(wanted / d) + 1) * d
            equal = found == wanted
        checked.append(Checked(name, threshold, f"{float(found)!r}", f"{float(wanted)!r}", bool(equal), seed.model))
    return checked


def _number(what: str, text: str, least: int | None = 0) -> Fraction:
    try:
        number = Fraction(text.strip())
        if abs(float(number)) < math.inf and (least is None or number > least):
            return number
    except (ValueError, ZeroDivisionError, OverflowError):
        pass
    raise InputError(f"{what}: '{text:.60}' is not a number{'' if least is None else ' above 0'}. Correct it.")


def _of_xml(menu: str | Path) -> Iterator[tuple[str, Seed]]:
    for _, element in ElementTree.iterparse(menu):
        if element.tag.rpartition("}")[2] != "algorithm":
            continue
        cuts = [{part.tag.rpartition("}")[2]: part.text or "" for part in cut} for cut in element.iter("cut")]
        models = {cut["data"] for cut in cuts if cut["type"] == "MODEL"}
        for cut in cuts:
            if cut["type"].endswith("SCORE"):
                yield element.findtext("name") or "", Seed(cut["minimum"], ", ".join(sorted(models)))
        element.clear()


def _of_csv(menu: str | Path) -> Iterator[tuple[str, Seed]]:
    with open(menu, newline="") as file:
        for row in csv.DictReader(file):
            yield row["seed"], Seed(row["threshold"] or "", row.get("model") or "")
