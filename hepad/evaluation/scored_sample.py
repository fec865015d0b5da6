"""The test part of a sample, which all figures of merit are of: events and their scores, row by row the same.

A sample may be of any size, so it is read in blocks, or from the beginning of every chunk: ``LOOK`` rows are enough for
a figure, and so they have the mixture of the whole.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.clusters import ends
from hepad.evaluation.scores import read_scores
from hepad.events import Events, concatenate
from hepad.storage.chunks import beginnings

LOOK = 200_000
Rows = tuple[Events, dict[str, np.ndarray]]  # n events and {'detector/seed': (n,) scores}


class ScoredSample:
    """Test events without their constituents and the scores of all trainings, in blocks of whole clusters.

    Parameters
    ----------
    name: of the sample, for messages
    scores: file of scores, or the index of its chunks
    events: file of events, or the index of its chunks

    Raises
    ------
    InputError: while they are read, if the files are not of the same events
    """

    def __init__(self, name: str, scores: str | Path, events: str | Path):
        self.name, self.events = name, events
        self.scores, _ = read_scores(scores)
        if len(self.scores.chunks) != len(Events.table(events).chunks):
            raise self._differ()

    def __iter__(self) -> Iterator[Rows]:
        """All rows, of every cluster (:attr:`hepad.events.Events.cluster`) all together.

        A cluster is in one chunk: the jets of an event lie beside each other, as all readers write them, and crossings
        that share a pool of collisions are made by one job.
        """
        for chunk in range(len(self.scores.sizes)):
            cuts = np.append(0, ends(self.scores.chunk(chunk).read(["/cluster"])["/cluster"]))
            held, first, stop = [], 0, 0
            for rows in self._of_chunk(chunk):
                held.append(rows)
                stop += len(rows[0])
                cut = cuts[np.searchsorted(cuts, stop, side="right") - 1]
                if cut > first:
                    together = _joined(held)
                    held = [_taken(together, np.arange(cut - first, stop - first))]  # a view would keep the block
                    yield _taken(together, slice(cut - first))
                    first = cut
                    del together
                del rows

    def beginning(self, limit: int = LOOK, constituents: bool = False) -> Iterator[Rows]:
        """At most so many rows in blocks, of every chunk its share; the events' constituents, too, if asked."""
        for chunk, share in enumerate(beginnings(self.scores.sizes, limit)):
            for events, scores in self._of_chunk(chunk, constituents):
                n = min(share, len(events))
                yield _taken((events, scores), slice(n))
                share -= n
                if not share:
                    break

    def _of_chunk(self, chunk: int, constituents: bool = False) -> Iterator[Rows]:
        scores, first = self.scores.chunk(chunk), 0
        for block in Events.blocks(self.events, chunk=chunk, constituents=constituents):
            events = block.of_split("test")
            columns = scores.read(["/event_id", *scores], slice(first, first + len(events)))
            if not np.array_equal(columns.pop("/event_id"), events.event_id):
                raise self._differ()
            yield events, columns
            first += len(events)
        if first != self.scores.sizes[chunk]:
            raise self._differ()

    def _differ(self) -> InputError:
        return InputError(f"scores and events of '{self.name}' differ. Delete its files of scores and run again.")


def _taken(rows: Rows, selection: slice | np.ndarray) -> Rows:
    events, scores = rows
    return events[selection], {key: values[selection] for key, values in scores.items()}


def _joined(rows: list[Rows]) -> Rows:
    events, scores = zip(*rows, strict=True)
    return concatenate(list(events)), joined(scores)


def joined(columns: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays with the same names, such as scores, one behind the other."""
    return {key: np.concatenate([part[key] for part in columns]) for key in columns[0]}
