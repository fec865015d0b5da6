"""Test vectors beside an implementation: events, their scores and decisions, for whoever writes another one.

One CSV that needs nothing of hepad to be read. Its first line is '# ' and JSON: the digest of what was handed over, the
thresholds, and how far a score may be off,

    |score - its| <= atol + rtol |its|

the second line has the names of the columns, and every other one is a vector: its number, ``kind``, the input in the
order in which it is taken, ``score``, and 0 or 1 for every threshold: whether the score is above it. Numbers of single
precision have nine digits, which is all of them ('%.9g'); those of fixed point are integers.

    background    events of the test background, evenly spaced; drawn: made up within the range of the training events
    above, below  those nearest to each threshold, on either side
    padded        those with the most zeros, and if an event is made of objects the same with the first one alone
    zeros, nan    all numbers zero; the first one NaN
"""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hepad.errors import InputError
from hepad.representations import Space, occupied
from hepad.storage.files import atomic_path

BACKGROUND = 300
NEAREST = 5  # on each side of a threshold
PADDED = 5
EDGES = ("padded", "zeros", "nan")  # kinds that are no events of a sample


class Vectors(NamedTuple):
    """x (N, D): float32 as '%.9g' has them, or integers; kinds (N,); columns: D names; scores (N,)."""

    x: np.ndarray
    kinds: list[str]
    columns: list[str]
    scores: np.ndarray

    def write(self, path: str | Path, **head) -> None:
        """Write them, atomically, and read them back; ``head``: the first line, with 'thresholds', {name: value}."""
        passes = [self.scores > np.float64(value) for value in head["thresholds"].values()]
        names = ["vector", "kind", *self.columns, "score", *(f"pass_{name}" for name in head["thresholds"])]
        with atomic_path(path) as partial:
            with open(partial, "w", newline="") as file:
                file.write(f"# {json.dumps(head)}\n")
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(names)
                rows = zip(self.kinds, self.x, self.scores, *passes, strict=True)
                for number, (kind, x, score, *passed) in enumerate(rows):
                    writer.writerow([number, kind, *map(_text, x.tolist()), _text(score.item()), *map(int, passed)])
            again = read(partial)
            same = all(np.array_equal(old, new, equal_nan=old.dtype.kind == "f") for old, new in zip(
                (self.x, self.scores), (again.x.astype(self.x.dtype), again.scores.astype(self.scores.dtype)),
                strict=True))  # fmt: skip
            if not same:
                raise InputError(f"{path}: what was written is not what is read back. Check the disk.")


def read(path: str | Path) -> Vectors:
    """The vectors of a file, all numbers in double precision."""
    with open(path, newline="") as file:
        file.readline()
        names, *rows = csv.reader(file)
    last = names.index("score")
    numbers = np.array([row[2 : last + 1] for row in rows], float).reshape(len(rows), last - 1)
    return Vectors(numbers[:, :-1], [row[1] for row in rows], names[2:last], numbers[:, -1])


def chosen(x: Tensor, scores: np.ndarray, thresholds: dict[str, float], space: Space) -> tuple[Tensor, list[str]]:
    """The inputs of test vectors (M, *shape), out of events x (N, *shape) with scores (N,), and the kind of each."""
    rows = {"background": np.unique(np.linspace(0, len(x) - 1, min(len(x), BACKGROUND)).round().astype(int))}
    order = np.argsort(scores, kind="stable")
    for name, threshold in thresholds.items():
        first = int(np.searchsorted(scores[order], np.float64(threshold), side="right"))
        rows[f"below {name}"] = order[max(first - NEAREST, 0) : first]
        rows[f"above {name}"] = order[first : first + NEAREST]
    zeros = (x == 0).flatten(1).sum(1).numpy()
    emptiest = np.argsort(-zeros, kind="stable")[:PADDED]
    rows["padded"] = emptiest[zeros[emptiest] > 0]
    parts = {kind: [x[torch.from_numpy(found)]] for kind, found in rows.items()}
    if space.objects:
        there = occupied(parts["background"][0])
        alone = parts["background"][0][:1].clone()
        alone[there[:1].cumsum(2).expand_as(alone) > 1] = 0
        parts["padded"].append(alone)
    nan = x[:1].clone()
    nan.view(-1)[0] = torch.nan
    parts |= {"zeros": [torch.zeros_like(x[:1])], "nan": [nan]}
    joined = {kind: torch.cat(found) for kind, found in parts.items()}
    return torch.cat(list(joined.values())), [kind for kind, found in joined.items() for _ in range(len(found))]


def _text(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.9g}"
