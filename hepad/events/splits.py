"""Training, validation and test: by a hash of the event's identifier, or in the order of time.

In time whole luminosity sections are taken, in the order of (run, luminosity_block): with the declared last ones

    train  <=  train_until  <  valid  <=  valid_until  <  test

so that every job of a sample divides its files alike, without a look at the others. Where conditions drift, a random
split would train on what it is tested on.
"""

from collections.abc import Mapping

import numpy as np

from hepad.errors import InputError

IN_TIME = ("run", "luminosity_block")
UNTIL = ("train_until", "valid_until")
UNTIMED = (
    "events without run and luminosity section cannot be split in the order of time. Map the branches 'run' and "
    "'luminosity_block', or give 'split' three fractions."
)


def divide(event_id: np.ndarray, facts: Mapping[str, np.ndarray], split) -> np.ndarray:
    """(N,) int8, index into ``SPLITS``, by fractions of :func:`split_of` or, of a mapping, by :func:`split_in_time`."""
    return split_in_time(facts, split) if isinstance(split, Mapping) else split_of(event_id, split)


def split_of(event_id: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
    """Split by a hash of the event id: independent of the order and of the number of files.

    Parameters
    ----------
    event_id: (N,) int64
    fractions: of train, valid and test; they sum to one

    Returns
    -------
    (N,) int8, index into ``SPLITS``
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"split: {list(fractions)} are not three fractions (train, valid, test) that sum to 1.")
    # splitmix64 (Steele, Lea, Flood 2014): neighbouring ids land in unrelated places
    with np.errstate(over="ignore"):
        h = np.asarray(event_id).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    uniform = h / 2.0**64
    return np.searchsorted(np.cumsum(fractions)[:2], uniform, side="right").astype(np.int8)


def split_in_time(facts: Mapping[str, np.ndarray], until: Mapping[str, list[int]]) -> np.ndarray:
    """Split by run and luminosity section.

    Parameters
    ----------
    facts: 'run' and 'luminosity_block', (N,) each; -1 where they are not known
    until: {'train_until': [run, section], 'valid_until': [run, section]}, the last sections of training and validation

    Returns
    -------
    (N,) int8, index into ``SPLITS``; InputError: an event without run or section, boundaries that are none

    Examples
    --------
    >>> facts = {"run": np.array([1, 1, 2, 2]), "luminosity_block": np.array([7, 8, 1, 2])}
    >>> split_in_time(facts, {"train_until": [1, 7], "valid_until": [2, 1]}).tolist()
    [0, 1, 1, 2]
    """
    check_until(until)
    found = 0
    for name in UNTIL:
        (run, block), (last_run, last_block) = (facts.get(x, np.zeros(0, int)) for x in IN_TIME), until[name]
        found = found + ((run > last_run) | ((run == last_run) & (block > last_block)))
    if any((facts.get(x, np.array([-1])) < 0).any() for x in IN_TIME):
        raise InputError(UNTIMED)
    return found.astype(np.int8)


def check_until(until: Mapping[str, list[int]]) -> None:
    """InputError unless these are two boundaries, the first before the second."""
    if set(until) != set(UNTIL) or not all(len(until[name]) == 2 for name in UNTIL):
        raise InputError(f"split: {dict(until)} is not {{train_until: [run, section], valid_until: [run, section]}}.")
    if list(until["train_until"]) > list(until["valid_until"]):
        raise InputError(
            f"split: train_until {until['train_until']} is after valid_until {until['valid_until']}. Exchange them."
        )
