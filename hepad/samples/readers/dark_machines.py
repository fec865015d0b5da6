"""Text files of the Dark Machines anomaly score challenge (arXiv:2105.14027; Zenodo 3961917).

One event per line, of variable length, in MeV and radians, every field closed by a semicolon:

    eventID; processID; weight; MET; METphi; obj,E,pt,eta,phi; obj,E,pt,eta,phi; ...

Objects are j (jet), b (b-tagged jet), e-, e+, m-, m+ and g (photon). There are no jet constituents; ``Events.jets``
holds jets with and without a tag, ``Events.b_tag`` tells them apart, and the charge of leptons is not kept.

Six digits leave m² = E² - p² an error of about 2·10⁻⁵ E². That is fine for jets, whose m² is cut at zero; electrons,
muons and photons get the mass of their kind instead. The numbers of the first field repeat within the public files
(two of the signals have a single one): an event is identified by a hash of its objects and MET.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import NamedTuple

import fsspec
import numpy as np

from hepad.errors import InputError, check_choice
from hepad.events.cuts import UNITS, check_units
from hepad.events.kinematics import delta_phi
from hepad.events.padding import WIDTHS, beyond, pad
from hepad.samples.readers import base
from hepad.samples.readers.base import Contents, Found, Reader

SYMBOLS = {"j": "jets", "b": "jets", "e-": "electrons", "e+": "electrons", "m-": "muons", "m+": "muons", "g": "photons"}
MASSES = {"electrons": 0.000510999, "muons": 0.1056584, "photons": 0.0}  # GeV
GROUPS = sorted(set(SYMBOLS.values()))
HEADER = ("eventID", "processID", "weight", "MET", "METphi")
OBJECT = ("E", "pt", "eta", "phi")
LINE = 400  # bytes, about
E_TOLERANCE = 1e-4  # E may be below p by this fraction: ten times what six digits leave


class Lines(NamedTuple):
    """L lines with M objects. header: (L, 3) weight, MET, METphi; symbol, row: (M,), row being the line's place in the
    block; p: (M, 4) E, pt, eta, phi as in the file; number: (L,) of the line in the file."""

    header: np.ndarray
    symbol: np.ndarray
    row: np.ndarray
    p: np.ndarray
    number: np.ndarray


@dataclass(frozen=True)
class DarkMachines(Reader):
    """Events without constituents; ``jet`` is the leading jet, tagged or not, and zero where there is none.

    Refused and counted are events without any object, and those with an object of E < p by more than 10⁻⁴. InputError,
    with file and line: a truncated line, an unknown object, what is not a number, a negative weight, MET, energy or pt,
    an angle beyond 2π.

    Parameters
    ----------
    units: 'MeV' or 'GeV' of MET, energies and momenta
    """

    title = "text files of the Dark Machines challenge"
    kind = "text"

    units: str = "MeV"

    def __post_init__(self):
        check_choice("units", self.units, UNITS)

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        first = contents.head.split(b"\n", 1)[0].split(b";")
        return contents.kind == "text" and len(first) > 5 and first[5].split(b",")[0].decode() in SYMBOLS

    def look(self, path: str) -> Found:
        lines = next(_lines(path, 100_000))
        _check(path, lines)
        check_units(path, UNITS[self.units] * lines.p[:, 1], self.units)
        return Found(_count(path), frozenset([*GROUPS, "b_tag", "met", "weight"]))

    def blocks(self, path: str, rows: int) -> Iterator[base.Block]:
        for lines in _lines(path, rows * LINE):
            _check(path, lines)
            yield _block(lines, UNITS[self.units])


def _open(path: str):
    try:
        return fsspec.open(path, "rb").open()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: cannot be read ({reason}). Check 'files' in the sample's source.") from None


def _count(path: str) -> int:
    """Number of lines that are not the empty end of the file."""
    with _open(path) as file:
        number, last = 0, b"\n"
        while text := file.read(1 << 22):
            number, last = number + text.count(b"\n"), text
        return number + (not last.endswith(b"\n"))


def _lines(path: str, size: int) -> Iterator[Lines]:
    """Whole lines, about ``size`` bytes at a time."""
    with _open(path) as file:
        first = 1
        while text := file.read(size) + file.readline():
            yield _parse(path, text, first)
            first += max(text.count(b"\n"), 1)
    if first == 1:
        raise InputError(f"{path}: the file is empty. Fetch it again, or take it out of 'files'.")


def _parse(path, text: bytes, first: int) -> Lines:
    """Lines of text, the first of which has the number ``first``; their form is checked, not yet their values."""
    text = text.replace(b"\r", b"").removesuffix(b"\n") + b"\n"
    raw = np.frombuffer(text, np.uint8)
    ends, semicolons, commas = (np.flatnonzero(raw == ord(mark)) for mark in "\n;,")
    number = first + np.arange(len(ends))
    _check_rows(path, raw[ends - 1] != ord(";"), number, lambda i: "does not end with ';': it is truncated")
    fields = np.diff(np.searchsorted(semicolons, ends), prepend=0)
    cut = fields < len(HEADER)
    _check_rows(path, cut, number, lambda i: f"has {fields[i]} fields, fewer than {'; '.join(HEADER)}: it is truncated")
    line = np.repeat(np.arange(len(ends)), fields)
    place = np.arange(len(line)) - np.repeat(np.cumsum(fields) - fields, fields)
    values, is_object = 1 + np.diff(np.searchsorted(commas, semicolons), prepend=0), place >= len(HEADER)
    wrong = values != np.where(is_object, 5, 1)
    _check_rows(path, wrong, number[line], lambda i: (
        f"field {place[i] + 1} has {values[i]} values instead of "
        + ("obj,E,pt,eta,phi" if is_object[i] else f"one, {HEADER[place[i]]}")
    ))  # fmt: skip
    tokens = text.replace(b"\n", b"").replace(b",", b";").split(b";")[:-1]
    field = np.repeat(np.arange(len(line)), values)
    offset = np.arange(len(field)) - np.repeat(np.cumsum(values) - values, values)
    is_symbol = is_object[field] & (offset == 0)
    symbol = np.array(list(compress(tokens, is_symbol)), dtype="S")
    unknown = ~np.isin(symbol, np.array(list(SYMBOLS), dtype="S"))
    if unknown.any():
        i = int(np.argmax(unknown))
        check_choice(f"{path}, line {number[line[is_object][i]]}: object", symbol[i].decode(errors="replace"), SYMBOLS)
    is_number = ~is_symbol & (place[field] >= 2)
    numbers = _numbers(path, list(compress(tokens, is_number)), number[line[field[is_number]]])
    in_object = is_object[field[is_number]]
    header, p = numbers[~in_object].reshape(-1, 3), numbers[in_object].reshape(-1, 4)
    return Lines(header, symbol, line[is_object], p, number)


def _numbers(path, tokens: list[bytes], line: np.ndarray) -> np.ndarray:
    try:
        return np.array(tokens, dtype="S").astype(np.float64)
    except ValueError:
        bad = np.array([not _is_number(token) for token in tokens])
    _check_rows(path, bad, line, lambda i: f"'{tokens[i].decode(errors='replace')}' is not a number")
    raise AssertionError("numpy and float() disagree")


def _is_number(token: bytes) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _check(path, block: Lines) -> None:
    """InputError unless the values of a block can be those of events."""
    columns = [(*column, block.number) for column in zip(HEADER[2:], block.header.T, strict=True)]
    columns += [(*column, block.number[block.row]) for column in zip(OBJECT, block.p.T, strict=True)]
    for name, x, number in columns:
        bad = {"is not finite": ~np.isfinite(x)}
        if name.endswith("phi"):
            bad["is not an angle in radians"] = np.abs(x) > 2 * np.pi
        elif name == "pt":
            bad["is not positive"] = x <= 0  # pt > 0 marks an object that is there
        elif name != "eta":
            bad["is negative, which is not supported"] = x < 0
        for fault, rows in bad.items():
            _check_rows(path, rows, number, partial(_value, name, x, fault))


def _value(name: str, x: np.ndarray, fault: str, i: int) -> str:
    return f"{name} = {x[i]:g} {fault}"


def _check_rows(path, bad: np.ndarray, number: np.ndarray, problem: Callable[[int], str]) -> None:
    """InputError that names the line of the first one that is ``bad``; ``problem(i)`` says what is wrong with it."""
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(f"{path}, line {number[i]}: {problem(i)}. Repair or remove the line, or fetch the file again.")


def _block(lines: Lines, scale: float) -> base.Block:
    """Events of the lines, without events that have no object or an object of E < p."""
    n, (energy, pt, eta, phi) = len(lines.number), lines.p.T
    with np.errstate(over="ignore", invalid="ignore"):
        p = pt * np.cosh(eta)
        mass = np.sqrt(np.maximum((energy - p) * (energy + p), 0))
    vectors = np.stack([scale * pt, eta, delta_phi(phi, 0), scale * mass], axis=-1)
    kinds, index = np.unique(lines.symbol, return_inverse=True)
    group = np.array([SYMBOLS[symbol.decode()] for symbol in kinds], dtype="U")[index]
    columns, cut_off = {}, np.zeros(n, int)
    for name in GROUPS:
        mask, width = group == name, WIDTHS[name]
        row, vector = lines.row[mask], vectors[mask]
        vector[:, 3] = MASSES.get(name, vector[:, 3])
        columns[name] = pad(row, vector, n, width)
        cut_off += beyond(row, n, width)
        if name == "jets":  # the tags, in the order of the jets: that of pt
            vector[:, 1] = lines.symbol[mask] == b"b"
            columns["b_tag"] = pad(row, vector, n, width)[..., 1]
    columns["met"] = np.stack([scale * lines.header[:, 1], delta_phi(lines.header[:, 2], 0)], axis=-1)
    columns |= {"weight": lines.header[:, 0], "jet": columns["jets"][:, 0]}
    occupied = np.bincount(lines.row, minlength=n) > 0
    spacelike = np.bincount(lines.row, energy < p * (1 - E_TOLERANCE), minlength=n) > 0
    refused = {"no object": int((~occupied).sum()), "E < p": int((occupied & spacelike).sum())}
    block = base.Block(columns, lines.number, cut_off=cut_off)
    return block.take(occupied & ~spacelike, refused)
