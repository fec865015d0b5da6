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
from functools import partial
from itertools import compress
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError, choose
from hepad.events import Events, concatenate
from hepad.kinematics import delta_phi
from hepad.samples.selection import WIDTHS, complete, content_id, describe, nothing_passes, pad, window

SYMBOLS = {"j": "jets", "b": "jets", "e-": "electrons", "e+": "electrons", "m-": "muons", "m+": "muons", "g": "photons"}
MASSES = {"electrons": 0.000510999, "muons": 0.1056584, "photons": 0.0}  # GeV
GROUPS = sorted(set(SYMBOLS.values()))
HEADER = ("eventID", "processID", "weight", "MET", "METphi")
OBJECT = ("E", "pt", "eta", "phi")
UNITS = {"GeV": 1.0, "MeV": 1e-3}
PT_RANGE = (5.0, 7000.0)  # GeV: reconstructed objects have more than the one, the LHC's beams less than the other
E_TOLERANCE = 1e-4  # E may be below p by this fraction: ten times what six digits leave


class Block(NamedTuple):
    """L lines with M objects. header: (L, 3) weight, MET, METphi; symbol, row: (M,), row being the line's place in the
    block; p: (M, 4) E, pt, eta, phi as in the file; number: (L,) of the line in the file."""

    header: np.ndarray
    symbol: np.ndarray
    row: np.ndarray
    p: np.ndarray
    number: np.ndarray


def read_dark_machines(
    files: list[str],
    *,
    name: str,
    selection: dict | str,
    split: tuple[float, float, float],
    units: str = "MeV",
    chunk: int = 4_000_000,
) -> Events:
    """Read the events of files in the layout of the Dark Machines challenge.

    Parameters
    ----------
    files: paths
    name: of the sample
    selection: {pt: [low, high], abs_eta: x} in GeV of the leading jet, or 'any', which keeps events without a jet, too
    split: fractions of train, valid and test
    units: 'MeV' or 'GeV' of MET, energies and momenta
    chunk: bytes of text that are read at once

    Returns
    -------
    Events without constituents; ``jet`` is the leading jet, tagged or not, and zero where there is none.
    ``meta['counts']`` has per file what was read, refused and kept, and how many of the softest objects were cut off,
    beyond the ten jets and four electrons, muons and photons that an event has room for. Refused are: an event without
    any object; one with an object of E < p by more than 10⁻⁴; what the selection refuses; and a repetition, an event
    with the same objects and MET as one before, in whatever file: simulated events are independent, a copy adds no
    knowledge and would make uncertainties too small.

    Raises
    ------
    InputError, with file and line: a truncated line, an unknown object, what is not a number, a negative weight, MET,
    energy or pt, an angle beyond 2π; without line: momenta that are not those of the units, nothing passes
    """
    scale = UNITS[choose("units", units, UNITS)]
    parts, sources, counts, seen = [], [], {}, []
    for i, path in enumerate(files):
        counts[str(path)] = total = {}
        for block in _blocks(path, chunk):
            _check(path, block, units)
            events, passed, of_block = _events(block, scale, selection, split)
            seen.append(events.jet[events.jet[:, 0] > 0, 0])
            if passed.any():
                parts.append(events[passed])
                sources.append(np.full(passed.sum(), i))
            for cut, number in of_block.items():
                total[cut] = total.get(cut, 0) + number
    if not parts:
        raise nothing_passes(name, counts, np.concatenate([*seen, []]), selection)
    events = concatenate(parts)
    new, source = np.zeros(len(events), bool), np.concatenate(sources)
    new[np.unique(events.event_id, return_index=True)[1]] = True
    for total, copies in zip(counts.values(), np.bincount(source[~new], minlength=len(files)), strict=True):
        total["refused: repetition"] = int(copies)
        total["kept"] -= int(copies)
    return describe(events[new], {"present": [*GROUPS, "b_tag", "met"]}, name, selection, counts)


def check_dark_machines(files: list[str], *, units: str = "MeV", **_: object) -> None:
    """Look at the beginning of every file; InputError as in :func:`read_dark_machines`."""
    choose("units", units, UNITS)
    for path in files:
        _check(path, next(_blocks(path, 100_000)), units)


def _blocks(path, chunk: int) -> Iterator[Block]:
    """Whole lines, about ``chunk`` bytes at a time."""
    try:
        with open(path, "rb") as file:
            first = 1
            while lines := file.readlines(chunk):
                yield _parse(path, b"".join(lines), first)
                first += len(lines)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check 'files' in the sample's source.") from None
    if first == 1:
        raise InputError(f"{path}: the file is empty. Fetch it again, or take it out of 'files'.")


def _parse(path, text: bytes, first: int) -> Block:
    """Lines of text, the first of which has the number ``first``; their form is checked, not yet their values."""
    text = text.replace(b"\r", b"").removesuffix(b"\n") + b"\n"
    raw = np.frombuffer(text, np.uint8)
    ends, semicolons, commas = (np.flatnonzero(raw == ord(mark)) for mark in "\n;,")
    number = first + np.arange(len(ends))
    _refuse(path, raw[ends - 1] != ord(";"), number, lambda i: "does not end with ';': it is truncated")
    fields = np.diff(np.searchsorted(semicolons, ends), prepend=0)
    few = fields < len(HEADER)
    _refuse(path, few, number, lambda i: f"has {fields[i]} fields, fewer than {'; '.join(HEADER)}: it is truncated")
    line = np.repeat(np.arange(len(ends)), fields)
    place = np.arange(len(line)) - np.repeat(np.cumsum(fields) - fields, fields)
    values, is_object = 1 + np.diff(np.searchsorted(commas, semicolons), prepend=0), place >= len(HEADER)
    wrong = values != np.where(is_object, 5, 1)
    _refuse(path, wrong, number[line], lambda i: (
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
        choose(f"{path}, line {number[line[is_object][i]]}: object", symbol[i].decode(errors="replace"), SYMBOLS)
    is_number = ~is_symbol & (place[field] >= 2)
    numbers = _numbers(path, list(compress(tokens, is_number)), number[line[field[is_number]]])
    of_object = is_object[field[is_number]]
    header, p = numbers[~of_object].reshape(-1, 3), numbers[of_object].reshape(-1, 4)
    return Block(header, symbol, line[is_object], p, number)


def _numbers(path, tokens: list[bytes], line: np.ndarray) -> np.ndarray:
    try:
        return np.array(tokens, dtype="S").astype(np.float64)
    except ValueError:
        bad = np.array([not _is_number(token) for token in tokens])
    _refuse(path, bad, line, lambda i: f"'{tokens[i].decode(errors='replace')}' is not a number")
    raise AssertionError("numpy and float() disagree")


def _is_number(token: bytes) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _check(path, block: Block, units: str) -> None:
    """InputError unless the values of a block can be those of events in the units."""
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
        for what, rows in bad.items():
            _refuse(path, rows, number, partial(_value, name, x, what))
    low, high = PT_RANGE
    pt = float(np.median(block.p[:, 1])) * UNITS[units] if len(block.p) else low
    if not low <= pt <= high:
        other = "GeV" if units == "MeV" else "MeV"
        likely = low <= pt / UNITS[units] * UNITS[other] <= high
        hint = f"This looks like {other}: set 'units: {other}' in the sample's source." if likely else "Check the file."
        raise InputError(
            f"{path}, lines {block.number[0]} to {block.number[-1]}: read in {units}, the median pt of all objects is "
            f"{pt:.3g} GeV, outside {low:g} to {high:g} GeV. {hint}"
        )


def _value(name: str, x: np.ndarray, what: str, i: int) -> str:
    return f"{name} = {x[i]:g} {what}"


def _refuse(path, bad: np.ndarray, number: np.ndarray, problem: Callable[[int], str]) -> None:
    """InputError that names the line of the first one that is ``bad``; ``problem(i)`` says what is wrong with it."""
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(f"{path}, line {number[i]}: {problem(i)}. Repair or remove the line, or fetch the file again.")


def _events(block: Block, scale: float, selection, split) -> tuple[Events, np.ndarray, dict[str, int]]:
    """All events of a block, the mask of those that pass, and the counts."""
    n, (energy, pt, eta, phi) = len(block.number), block.p.T
    with np.errstate(over="ignore", invalid="ignore"):
        p = pt * np.cosh(eta)
        mass = np.sqrt(np.maximum((energy - p) * (energy + p), 0))
    vectors = np.stack([scale * pt, eta, delta_phi(phi, 0), scale * mass], axis=-1)
    kinds, which = np.unique(block.symbol, return_inverse=True)
    group = np.array([SYMBOLS[symbol.decode()] for symbol in kinds], dtype="U")[which]
    columns, cut_off = {}, np.zeros(n, int)
    for name in GROUPS:
        mine, width = group == name, WIDTHS[name]
        row, own = block.row[mine], vectors[mine]
        own[:, 3] = MASSES.get(name, own[:, 3])
        columns[name] = pad(row, own, n, width)
        cut_off += np.maximum(np.bincount(row, minlength=n) - width, 0)
        if name == "jets":  # the tags, in the order of the jets: that of pt
            own[:, 1] = block.symbol[mine] == b"b"
            columns["b_tag"] = pad(row, own, n, width)[..., 1]
    columns["met"] = np.stack([scale * block.header[:, 1], delta_phi(block.header[:, 2], 0)], axis=-1)
    met = np.pad(columns["met"], ((0, 0), (0, 2)))[:, None]
    columns["event_id"] = content_id(np.concatenate([*(columns[name] for name in GROUPS), met], axis=1))
    columns |= {"weight": block.header[:, 0], "jet": columns["jets"][:, 0], "constituents": np.zeros((n, 0, 4))}
    spacelike = np.bincount(block.row, energy < p * (1 - E_TOLERANCE), minlength=n)
    cuts = {"no object": np.bincount(block.row, minlength=n) > 0, "E < p": spacelike == 0}
    cuts |= _window(columns["jet"], selection)
    passed, counts = np.ones(n, bool), {"read": n}
    for name, mask in cuts.items():
        counts[f"refused: {name}"] = int((passed & ~mask).sum())
        passed &= mask
    counts |= {"kept": int(passed.sum()), "softest objects cut off": int(cut_off[passed].sum())}
    return complete(columns, split=split), passed, counts


def _window(jet: np.ndarray, selection) -> dict[str, np.ndarray]:
    """The cuts on the leading jet; none for 'any', which takes events without a jet, too."""
    (low, high), abs_eta = window(selection)
    if selection == "any":
        return {}
    return {"pt": (jet[:, 0] > low) & (jet[:, 0] < high), "abs_eta": np.abs(jet[:, 1]) < abs_eta}
