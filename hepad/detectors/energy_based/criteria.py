"""Blind criteria: what can be measured of an energy without any signal event, to choose a state of a training."""

from hepad.detectors.training.settings import LAST, Criterion

CRITERIA = {
    "last": LAST,
    "wasserstein": Criterion("wasserstein"),
    "manifold_auc": Criterion("manifold_auc", largest=True),
}
