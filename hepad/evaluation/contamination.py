"""Training on background that holds some signal, as data do: how much worse does a detector find it?

For reports alone: nothing here chooses a model, and no other rule reads what comes out.
"""

from dataclasses import replace

import numpy as np
import torch

from hepad import detectors
from hepad.errors import InputError
from hepad.evaluation.roc import auc
from hepad.representations.features import Features


def contaminated(background: Features, signal: Features, fraction: float, seed: int) -> Features:
    """Training and validation events of the background, of which ``fraction`` are replaced by events of the signal.

    Which ones, and by which, is drawn with ``seed``; InputError if the signal has too few training events.
    """
    rng = np.random.default_rng(seed)
    x = background.x.clone()
    replaced = np.flatnonzero(rng.random(len(x)) < fraction)
    pool = signal.of_split("train", "valid").x
    if len(pool) < len(replaced):
        raise InputError(f"contamination: {fraction:g} asks for {len(replaced)} signal events, there are {len(pool)}.")
    x[torch.from_numpy(replaced)] = pool[torch.from_numpy(rng.permutation(len(pool))[: len(replaced)])]
    return replace(background, x=x)


def auc_against_contamination(
    spec: dict, background: Features, signal: Features, tests: tuple[Features, Features], fractions, seed: int
) -> list[dict]:
    """AUC of one detector, trained with each fraction of signal.

    Parameters
    ----------
    spec: of the detector
    background, signal: training parts
    tests: test parts of background and signal
    fractions: in [0, 1)

    Returns
    -------
    JSON: fraction, value, low, high of each
    """
    rows = []
    for fraction in fractions:
        mixed = contaminated(background, signal, fraction, seed)
        detector = detectors.build(spec, background.space, seed)
        train, valid = (mixed.of_split(name).x for name in ("train", "valid"))
        detector.fit(train, valid, generator=torch.Generator().manual_seed(seed))
        scores = [detector.score(part.x).numpy() for part in tests]
        area = auc(*scores, tests[0].weight, tests[1].weight)
        rows.append({"fraction": float(fraction), "value": area.value, "low": area.low, "high": area.high})
    return rows
