"""Bunch crossings with a score, a menu of one bit and the records of their rates: for the tests of triggers."""

import numpy as np

from hepad.events import FIRST_IDS
from hepad.events.completion import complete
from hepad.trigger.rates import zero_bias

SCALE = zero_bias()
N = 4000


def sample(name, n, shift, seed):
    """Crossings with a score that is their jet's pT, two pools of ten hard collisions and one trigger bit."""
    rng = np.random.default_rng(seed)
    jet = np.stack(
        [rng.exponential(20, n) + shift, rng.normal(0, 1, n), rng.uniform(-3, 3, n), rng.exponential(9, n)], -1
    )
    jets = np.zeros((n, 10, 4))
    jets[:, 0] = jet
    present = ["jets", "met", "pileup"]
    columns = {"jet": jet, "jets": jets, "met": rng.exponential(20, (n, 2)), "event_id": np.arange(n)}
    columns["event_id"][n // 3 :] += FIRST_IDS  # the second chunk of the generation
    return complete(
        columns, split=(0.0, 0.0, 1.0), triggers=(rng.random((n, 1)) < 0.1) | (jet[:, :1] > 120),
        truth={"hardest_pileup": rng.integers(10, size=n).astype(np.float32)},
        facts={"pileup": rng.poisson(50, n).astype(np.float32)},
        meta={"name": name, "rate": {"kind": "zero_bias"}, "triggers": ["L1_Jet"], "present": present},
    )  # fmt: skip


def scores_of(e):
    return {"ae/1": e.jet[:, 0].astype(float), "ae/2": e.jet[:, 0] + 0.1 * e.jet[:, 3].astype(float)}
