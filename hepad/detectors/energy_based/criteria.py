r"""Blind criteria: what can be measured of an energy without any signal event, to choose a state of a training.

    wasserstein       W^2(V, N)            V: background validation events, N: negative samples of the model
    manifold_auc      P( E(m) > E(v) )     m = g(z), z uniform on the sphere: points spread over the manifold

Both: :mod:`hepad.detectors.distances`. Every value is measured at every record of an energy-based training, in
``EnergyDetector._measures``, whichever of them chooses.
(W^2: CMS, arXiv:2510.02168; manifold_auc: MPDR, NeurIPS 2023, appendix C.)
"""

from hepad.detectors.training.settings import LAST, Criterion

CRITERIA = {
    "last": LAST,
    "wasserstein": Criterion("wasserstein"),
    "manifold_auc": Criterion("manifold_auc", largest=True, of_manifolds=True),
}
