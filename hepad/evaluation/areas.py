r"""The AUCs of all detectors, tasks and signals together, with what moves them in common.

The placements V of :mod:`hepad.evaluation.roc` say how much each test event moves an AUC:

    ψ_i = p_i (V_i - AUC),    p_i = w_i / Σ w,    ψ_c = Σ_{i in c} ψ_i

c the clusters of rows that are not independent. Two AUCs that were measured on a common sample, whatever their tasks,
signals and detectors are, share its events, and have the covariance (E. DeLong et al. 1988)

    cov = Σ_samples Σ_c ψ_c ψ'_c / (1 - 2 Σp³ / Σp² + Σp²)

For an AUC and itself that is its variance, and 0 where the samples do not overlap at all. Of n trainings ψ is the mean,
the value the median, and what is asked for is the AUC of one more training, which has the scatter of trainings, too,
with the factor of :mod:`hepad.evaluation.seed_spread`. A training is the same for all signals of its task, so that the
scatter has covariances as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.evaluation.scores import Scores, Weighted
from hepad.evaluation.seed_spread import factor
from hepad.evaluation.streaming import StreamingDistribution
from hepad.evaluation.tables import ordered

Key = tuple[str, str, str]  # task, signal, detector
Place = tuple[str, str]  # task, sample


class Areas(NamedTuple):
    """AUCs (J,), medians of trainings, and their covariance (J, J); ``trainings``: number of each, (J,)."""

    keys: list[Key]
    values: np.ndarray
    covariance: np.ndarray
    trainings: np.ndarray


class _Below(NamedTuple):
    """How much of a sample lies below a score: ends of its groups (m,), and weights from each upwards (m+1,)."""

    lowest: np.ndarray
    highest: np.ndarray
    weights: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Fraction below each score, ties counted half."""
        from_here = self.weights[np.searchsorted(self.highest, scores, side="left")]
        above = self.weights[np.searchsorted(self.lowest, scores, side="right")]
        return 1 - (from_here + above) / (2 * self.weights[0])


def areas(records: Iterable[dict], scores: Mapping[Place, Scores], backgrounds: Mapping[str, str]) -> Areas:
    """All AUCs that have not seen a signal.

    Parameters
    ----------
    records: of :mod:`hepad.evaluation.tables`
    scores: of the background and the signals of every task
    backgrounds: task -> its background

    Raises
    ------
    InputError: the files of a sample are not of the same events in all tasks
    """
    found: dict[Key, dict[int, float]] = {}
    for r in ordered(record for record in records if record["group"] != "supervised"):
        found.setdefault((r["task"], r["signal"], r["detector"]), {})[r["seed"]] = r["evaluation"].auc.value
    values, trainings = ([f(list(of.values())) for of in found.values()] for f in (np.median, len))
    covariance = _of_trainings(found)
    names = {place: list(dict.fromkeys(f"{key[2]}/{seed}" for key, of in found.items() if key[0] == place[0]
                                       for seed in of)) for place in scores}  # fmt: skip
    below = {place: _below(of, names[place]) for place, of in scores.items()}
    for sample in dict.fromkeys(sample for _, sample in scores):
        covariance += _of_sample(sample, found, scores, below, backgrounds)
    return Areas(list(found), np.array(values, float), covariance, np.array(trainings, int))


def _below(scores: Scores, names: list[str]) -> dict[str, _Below]:
    collected = {name: StreamingDistribution(name) for name in names}
    for blocks in scores.together(names):
        for name, block in blocks.items():
            collected[name].add(block.scores, block.weight)
    found = {name: of.sample().total for name, of in collected.items()}
    return {name: _Below(of.lowest, of.scores, of.w) for name, of in found.items()}


def _of_trainings(found: dict[Key, dict[int, float]]) -> np.ndarray:
    """Covariance (J, J) from the scatter of trainings; 0 of single ones, which do not tell."""
    covariance = np.zeros((len(found), len(found)))
    places: dict[tuple[str, str], list[int]] = {}
    for j, (task, _, detector) in enumerate(found):
        places.setdefault((task, detector), []).append(j)
    of_key = list(found.values())
    for columns in places.values():
        seeds = sorted(set.intersection(*(set(of_key[j]) for j in columns)))
        if len(seeds) > 1:
            values = np.array([[of_key[j][seed] for j in columns] for seed in seeds])
            covariance[np.ix_(columns, columns)] = factor(len(seeds)) * np.atleast_2d(np.cov(values.T))
    return covariance


def _of_sample(
    sample: str,
    found: dict[Key, dict[int, float]],
    scores: Mapping[Place, Scores],
    below: Mapping[Place, dict[str, _Below]],
    backgrounds: Mapping[str, str],
) -> np.ndarray:
    """Covariance (J, J) from the events of one sample."""
    others = [  # the other sample of each AUC, None if this one is neither of both
        backgrounds[task] if signal == sample else signal if backgrounds[task] == sample else None
        for task, signal, _ in found
    ]
    sums, total, squares, cubes = np.zeros((len(found), len(found))), 0.0, 0.0, 0.0
    for blocks in _aligned(sample, scores, below):
        first = next(iter(blocks.values()))
        moved = np.zeros((len(first.weight), len(found)))
        for j, (((task, signal, detector), trainings), other) in enumerate(zip(found.items(), others, strict=True)):
            for seed, auc in trainings.items() if other else ():
                name = f"{detector}/{seed}"
                share = below[task, other][name](blocks[task, name].scores)
                moved[:, j] += ((share if sample == signal else 1 - share) - auc) / len(trainings)
        order = np.argsort(first.cluster, kind="stable")
        _, begin = np.unique(first.cluster[order], return_index=True)
        weight = first.weight.astype(float)
        of_clusters, weights = (np.add.reduceat(x[order], begin) for x in (weight[:, None] * moved, weight))
        sums += of_clusters.T @ of_clusters
        total, squares, cubes = total + weights.sum(), squares + (weights**2).sum(), cubes + (weights**3).sum()
    return sums / total**2 / (1 - 2 * cubes / (squares * total) + squares / total**2)


def _aligned(
    sample: str, scores: Mapping[Place, Scores], below: Mapping[Place, dict[str, _Below]]
) -> Iterator[dict[tuple[str, str], Weighted]]:
    """Blocks of the same rows of a sample, by task and 'detector/seed'."""
    streams = {place[0]: scores[place].together(below[place]) for place in scores if place[1] == sample}
    while blocks := {task: block for task, stream in streams.items() if (block := next(stream, None)) is not None}:
        found = {(task, name): of for task, of_task in blocks.items() for name, of in of_task.items()}
        first, *others = found.values()
        if len(blocks) < len(streams) or any(not np.array_equal(of.event_id, first.event_id) for of in others):
            raise InputError(
                f"scores of '{sample}' are of other events in one task than in another. Delete its files of scores and "
                "run again."
            )
        yield found
