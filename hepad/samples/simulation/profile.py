"""Pile-up profiles: the law of the mean number μ of collisions per bunch crossing, of a fill or as it is wished.

A profile is one number, uniform between two, or a text file: lines 'μ share', or the table of luminosity sections that
brilcalc prints (``--byls --output-style csv``), of which μ is ``avgpu`` and the share the delivered luminosity. The
number of collisions of a crossing is then of the law

    P(n) = Σ_k s_k Poisson(n; μ_k),      Σ_k s_k = 1

(uniform: the integral). Crossings of one profile P stand for those of another, Q, with the weights Q(n) / P(n): all
else of a crossing depends on μ through n alone.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, gammaln

from hepad.errors import InputError

MAX_MEAN = 300
MU, SHARE = "avgpu", "delivered("  # whatever its unit, which shares do not have


class Profile(NamedTuple):
    """``mean``: (K,) μ_k, rising; ``share``: (K,) s_k; ``uniform``: μ is uniform between two of them."""

    mean: np.ndarray
    share: np.ndarray
    uniform: bool = False

    @classmethod
    def of(cls, entry, place: str) -> "Profile":
        """From a number, [lowest, highest] or the path of a file; InputError if it is none of them.

        >>> Profile.of(50, "pileup").average, Profile.of([20, 80], "pileup").average
        (50.0, 50.0)
        """
        if isinstance(entry, str | Path):
            return _read(Path(entry))
        try:
            low, high = (np.ravel(entry).astype(float)[[0, -1]]) if np.size(entry) <= 2 else (1.0, 0.0)
        except (TypeError, ValueError, IndexError):
            low, high = 1.0, 0.0
        if not 0 <= low <= high <= MAX_MEAN:
            raise InputError(
                f"{place}: mean {entry!r} is neither a number from 0 to {MAX_MEAN}, nor [lowest, highest], nor the "
                "path of a profile."
            )
        if low == high:
            return cls(np.array([low]), np.ones(1))
        return cls(np.array([low, high]), np.full(2, 0.5), uniform=True)

    @property
    def average(self) -> float:
        """The average μ."""
        return float(self.mean @ self.share)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) values of μ."""
        if self.uniform:
            return rng.uniform(*self.mean, n)
        return (
            self.mean[rng.choice(len(self.mean), n, p=self.share)] if len(self.mean) > 1 else np.full(n, self.mean[0])
        )

    def law(self, number: np.ndarray) -> np.ndarray:
        """P(n) for whole numbers of collisions, of any shape."""
        number = np.asarray(number, float)
        if self.uniform:
            low, high = self.mean
            return (gammaincc(number + 1, low) - gammaincc(number + 1, high)) / (high - low)
        n, mean = number[..., None], np.maximum(self.mean, 1e-300)
        return np.exp(n * np.log(mean) - self.mean - gammaln(n + 1)) @ self.share


def weights(number: np.ndarray, of: Profile, to: Profile) -> np.ndarray:
    """(N,) weights by which crossings with ``number`` (N,) collisions of one profile stand for those of another.

    InputError as of :func:`check_wide`.
    """
    check_wide(of, to)
    found, inverse = np.unique(number, return_inverse=True)
    return (to.law(found) / of.law(found))[inverse]


def check_wide(of: Profile, to: Profile) -> None:
    """InputError if the first has next to none of what the second asks for: between μ - 2 and μ + 2 standard
    deviations."""
    counts = np.arange(int(MAX_MEAN + 10 * MAX_MEAN**0.5))
    made, wanted = of.law(counts), to.law(counts)
    lacking = wanted[made < 1e-4 * wanted].sum()
    if lacking > 0.05:
        raise InputError(
            f"{lacking:.0%} of the wanted pile-up, of {to.average:.3g} collisions on average, is where that of the "
            f"sample, of {of.average:.3g}, has next to nothing. Generate crossings of a wider profile."
        )


def check_reweighted(pileup: dict | None) -> None:
    """InputError unless events with these settings of their pile-up can be weighted to another profile."""
    if not pileup:
        raise InputError("the events have no pile-up. Leave it out.")
    if pileup.get("out_of_time"):
        raise InputError(
            "the crossing before, of 'out_of_time', has the profile of the generation. Leave one of them out."
        )


def _read(path: Path) -> Profile:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a pile-up profile ({error}). Check the path and the file.") from None
    names = next((row for row in rows if MU in row), None)
    if names is None:
        pairs = [" ".join(row).split() for row in rows if not row[0].lstrip().startswith("#")]
    elif not (delivered := [i for i, name in enumerate(names) if name.startswith(SHARE)]):
        raise InputError(f"{path}: a table of brilcalc without 'delivered'. Make it with --byls and its usual columns.")
    else:
        places = names.index(MU), delivered[0]
        pairs = [[row[i] for i in places] for row in rows if len(row) == len(names) and not row[0].startswith("#")]
    try:
        values = np.array([[float(x) for x in pair] for pair in pairs]).reshape(len(pairs), 2)
    except ValueError:
        raise InputError(
            f"{path}: a line is no pair of numbers, 'mean share'. Correct it; '#' begins a remark."
        ) from None
    mean, share = values[values[:, 1] > 0].T
    bad = values[(values < 0).any(axis=1) | (values[:, 0] > MAX_MEAN) | ~np.isfinite(values).all(axis=1)]
    if len(bad) or not len(mean):
        shown = f"{bad[0].tolist()} is no mean from 0 to {MAX_MEAN} with a share" if len(bad) else "no share is above 0"
        raise InputError(f"{path}: {shown}. Correct the profile.")
    mean, place = np.unique(mean, return_inverse=True)
    share = np.bincount(place, share / share.max())
    return Profile(mean, share / share.sum())
