"""Scores of a sample, of all its trainings in one file, with what evaluation needs beside them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.clusters import ends
from hepad.storage.chunks import beginnings, read_index
from hepad.storage.hdf5 import append_array, describe, described, new_hdf5, own_hdf5, read_array, rows_of

if TYPE_CHECKING:  # importing them takes seconds and 200 MB, in every job that only reads scores
    from hepad.detectors import Detector
    from hepad.representations.features import Features

OF_SCORES = ("weight", "event_id", "cluster", "jet")


def score(
    detectors: dict[str, tuple[str, "Detector"]], features: dict[str, Iterable["Features"]]
) -> Iterator[tuple[dict[str, np.ndarray], "Features"]]:
    """Scores of the same events, block by block.

    Parameters
    ----------
    detectors: {'detector/seed': (name of its representation, detector)}
    features: {name of the representation: its blocks}

    Yields
    ------
    {'detector/seed': (N,)}, higher = more anomalous, and the features of one representation
    """
    streams = {name: iter(blocks) for name, blocks in features.items()}
    while of := {name: block for name, stream in streams.items() if (block := next(stream, None)) is not None}:
        if len(of) < len(streams):
            raise ValueError(f"fewer blocks of {sorted(streams.keys() - of.keys())} than of {sorted(of)}")
        yield {key: detector.score(of[name].x).numpy() for key, (name, detector) in detectors.items()}, of.popitem()[1]
        del of, block  # the next ones are read without these in memory, which zip would keep


def write_scores(path: str | Path, blocks: Iterable[tuple[dict[str, np.ndarray], "Features"]]) -> None:
    """Scores of one sample under many detectors, {'detector/seed': (N,)}, with ``OF_SCORES`` beside them."""
    with new_hdf5(path) as file:
        describe(file, kind="hepad scores")
        group = file.create_group("scores")
        for scores, features in blocks:
            for name, values in scores.items():
                append_array(group, name, values)
            for name in OF_SCORES:
                append_array(file, name, getattr(features, name))
            del features


class Weighted(NamedTuple):
    """Scores (n,) and the columns of their rows, see :class:`hepad.events.Events`."""

    scores: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    cluster: np.ndarray


class Columns(Mapping):
    """Arrays of one file, or of the chunks of an index, by name; each is read when it is asked for."""

    def __init__(self, paths: list[Path], group: str, names: Iterable[str]):
        self._paths, self._group, self._names = paths, group, tuple(names)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._joined(name, [slice(None)] * len(self._paths))

    def beginning(self, name: str, most: int) -> np.ndarray:
        """At most so many rows of an array, from the beginning of every file its share."""
        return self._joined(name, map(slice, beginnings(self.sizes(), most)))

    def sizes(self) -> list[int]:
        """Rows of every file."""
        sizes = []
        for path in self._paths:
            with own_hdf5(path, "file of scores") as file:
                sizes.append(rows_of(file, "event_id"))
        return sizes

    def of_chunk(self, chunk: int, rows: slice, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Rows of one of the files, of all arrays or of some."""
        with own_hdf5(self._paths[chunk], "file of scores") as file:
            found = {name: read_array(file[self._group], name, rows) for name in (names or self._names)}
            n = len(range(*rows.indices(rows_of(file, "event_id"))))
        if other := [name for name, values in found.items() if len(values) != n]:
            raise InputError(
                f"{self._paths[chunk]}: '{other[0]}' and 'event_id' have different numbers of rows. "
                "Delete it and run again."
            )
        return found

    def _joined(self, name: str, rows: Iterable[slice]) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return np.concatenate([self.of_chunk(n, of_chunk, [name])[name] for n, of_chunk in enumerate(rows)])

    def weighted(self, name: str, size: int = 2**14) -> Iterator[Weighted]:
        """An array with what counts its rows beside it, some ``size`` rows and whole clusters at a time.

        The beginnings of all files come first, so that what is seen first is like the whole.
        """
        if name not in self._names:
            raise KeyError(name)
        first, rest = -(-size // len(self._paths)), []
        for number, path in enumerate(self._paths):
            with own_hdf5(path, "file of scores") as file:
                cuts = np.append(0, ends(read_array(file, "cluster")))
            targets = np.append(first, np.arange(first + size, cuts[-1] + size, size))
            cuts = np.unique(cuts[np.minimum(np.searchsorted(cuts, targets), len(cuts) - 1)])
            rest += [(number, slice(*rows)) for rows in pairwise(cuts)]
            if cuts[0] > 0:
                yield self._weighted(number, name, slice(cuts[0]))
        yield from (self._weighted(number, name, rows) for number, rows in rest)

    def _weighted(self, chunk: int, name: str, rows: slice) -> Weighted:
        of = self.of_chunk(chunk, rows, [name])
        with own_hdf5(self._paths[chunk], "file of scores") as file:
            return Weighted(of[name], *(read_array(file, column, rows) for column in Weighted._fields[1:]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_scores(path: str | Path) -> tuple[Columns, Columns]:
    """({'detector/seed': (N,)}, {name of ``OF_SCORES``: (N, ...)}) of a file of :func:`write_scores`, or of several.

    Millions of events have many scores: an array is read when it is asked for.
    """
    index = read_index(path)
    paths = [chunk.path for chunk in index.chunks] if index else [Path(path)]
    with own_hdf5(paths[0], "file of scores") as file:
        if described(file, "kind") != "hepad scores" or "scores" not in file:
            raise InputError(f"{path}: no scores of hepad. Delete it and run again.")
        names = [f"{detector}/{seed}" for detector in file["scores"] for seed in file["scores"][detector]]
    return Columns(paths, "scores", names), Columns(paths, "/", OF_SCORES)
