"""Scores of a sample, of all its trainings in one file, with what evaluation needs beside them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepad.errors import check_choice
from hepad.evaluation.clusters import ends
from hepad.storage.table import Layout, Table, new_table

if TYPE_CHECKING:  # importing them takes seconds and 200 MB, in every job that only reads scores
    from hepad.detectors import Detector
    from hepad.representations.features import Features

OF_SCORES = ("weight", "event_id", "cluster", "jet")
LAYOUT = Layout("hepad scores", "file of hepad scores", OF_SCORES, ("scores",))


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

    Raises
    ------
    EncoderError: a detector was trained on features of another encoder's file
    """
    streams = {name: iter(blocks) for name, blocks in features.items()}
    while x := {name: block for name, stream in streams.items() if (block := next(stream, None)) is not None}:
        if len(x) < len(streams):
            raise ValueError(f"fewer blocks of {sorted(streams.keys() - x.keys())} than of {sorted(x)}")
        for key, (name, detector) in detectors.items():
            x[name].space.check_encoders(detector.space, key)
        yield {key: detector.score(x[name].x).numpy() for key, (name, detector) in detectors.items()}, x.popitem()[1]
        del x, block  # the next ones are read without these in memory, which zip would keep


def write_scores(path: str | Path, blocks: Iterable[tuple[dict[str, np.ndarray], "Features"]]) -> None:
    """Scores of one sample under many detectors, {'detector/seed': (N,)}, with ``OF_SCORES`` beside them."""
    with new_table(LAYOUT, path) as append:
        for scores, features in blocks:
            columns = {name: getattr(features, name) for name in OF_SCORES}
            append({f"scores/{name}": values for name, values in scores.items()} | columns)
            del features, columns


class Weighted(NamedTuple):
    """Scores (n,) and the columns of their rows, see :class:`hepad.events.Events`."""

    scores: np.ndarray
    weight: np.ndarray
    event_id: np.ndarray
    cluster: np.ndarray


@dataclass(frozen=True, eq=False)
class Scores(Table):
    """The scores in a table, {'detector/seed': (N,)}, as :func:`read_scores` gives them."""

    _cuts: dict[int, list[tuple[int, slice]]] = field(default_factory=dict, init=False)  # for all detectors the same

    def __getitem__(self, name: str) -> np.ndarray:
        return super().__getitem__(check_choice("scores of", name, self.names))

    def weighted(self, name: str, size: int = 2**14) -> Iterator[Weighted]:
        """Scores with what counts their rows, some ``size`` rows and whole clusters at a time.

        The beginnings of all chunks come first, so that what is seen first is like the whole.
        """
        return (blocks[name] for blocks in self.together([name], size))

    def together(self, names: Iterable[str], size: int = 2**14) -> Iterator[dict[str, Weighted]]:
        """The blocks of :meth:`weighted` of several detectors at once, whose files are opened once."""
        names, beside = list(names), ("/weight", "/event_id", "/cluster")
        for name in names:
            if name not in self:
                raise KeyError(name)
        if size not in self._cuts:
            self._cuts[size] = self._pieces(size)
        for chunk, rows in self._cuts[size]:
            columns = self.chunk(chunk).read((*names, *beside), rows)
            yield {name: Weighted(columns[name], *(columns[key] for key in beside)) for name in names}

    def _pieces(self, size: int) -> list[tuple[int, slice]]:
        """Numbers of chunks and rows in them, between which no cluster is divided."""
        first, rest = [], []
        for number in range(len(self.chunks)):
            cuts = np.append(0, ends(self.chunk(number).read(["/cluster"])["/cluster"]))
            begin = -(-size // len(self.chunks))
            targets = np.append(begin, np.arange(begin + size, cuts[-1] + size, size))
            cuts = np.unique(cuts[np.minimum(np.searchsorted(cuts, targets), len(cuts) - 1)]).tolist()
            first += [(number, slice(cuts[0]))] if cuts[0] > 0 else []
            rest += [(number, slice(*rows)) for rows in pairwise(cuts)]
        return first + rest


def read_scores(path: str | Path) -> tuple[Scores, Table]:
    """{'detector/seed': (N,)} and {name of ``OF_SCORES``: (N, ...)} of a file of :func:`write_scores`, or of several.

    Millions of events have many scores: an array is read when it is asked for.
    """
    scores = Scores.open(LAYOUT, path, "scores")
    return scores, Table(LAYOUT, scores.path, scores.chunks, scores.meta, "")
