r"""A map of anomalous events: which of them are strange in the same way?

Of an event x, normalised, with the reconstruction g(f(x)):

    residuals   r = (x - g(f(x))) / |x - g(f(x))|        what it has that background has not, whatever the size
    latents     z = f(x)                                 the code of the detector itself
    inputs      x                                        what the detector sees

Of pixels the map has a code z of eight entries, by the linear autoencoder of these events with the least error, which
is their principal components: there is one, and it needs no training. (One that is trained on the same hundreds of
events finds others every time: benchmarks/map_agreement.py.) Columns beside pixels stay beside that code, the largest
component in units of its standard deviation. Then

    y in R^2    UMAP of z (L. McInnes, J. Healy, J. Melville, arXiv:1802.03426)
    C           HDBSCAN of y (R. Campello, D. Moulavi, J. Sander, PAKDD 2013): clusters of events that lie densely

Nothing of it knows of which sample an event is. Maps differ by the seed of UMAP. Two sets of clusters
agree by the adjusted Rand index of their counts n_ij (L. Hubert, P. Arabie, J. Classif. 2 (1985) 193),

    ARI = [Σ_ij C(n_ij,2) - E] / [(Σ_i C(n_i,2) + Σ_j C(n_j,2)) / 2 - E],   E = Σ_i C(n_i,2) Σ_j C(n_j,2) / C(n,2)

which is 1 for the same clusters and 0 on average for clusters at random; the events of no cluster count as one more.
A cluster K is found again as well as the most similar cluster of another map, by Jaccard's index |K n K'| / |K u K'|,
averaged over these maps (C. Hennig, Comput. Stat. Data Anal. 52 (2007) 258). If samples are known, the purity of a
cluster is the share of its largest sample.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from hepad.detectors import Detector, Reconstructing
from hepad.detectors.estimator import Estimator
from hepad.detectors.latent_mixture import LATENTS
from hepad.detectors.normalisation import Unscaled
from hepad.errors import InputError, check_choice
from hepad.events import Events

BY = ("residuals", "latents", "inputs")
BLOCK = 1024
FEWEST = 50  # events of a map
NEIGHBOURS = 15  # of UMAP, its default
SMALLEST, SHARE = 10, 0.02  # a cluster has so many events, and so large a share of all
CODE = 8  # entries that are made of pixels


class AnomalyMap(NamedTuple):
    """Where events lie, and which lie together.

    Attributes
    ----------
    places: (N, 2), of the first seed; distances mean something among neighbours alone
    clusters: (N,), from 0, the largest, on; -1 for an event of none
    others: (seeds, N), the clusters of each seed, of which ``clusters`` are the first
    features: (N, D), what the map is made of: residuals, latents or inputs
    """

    places: np.ndarray
    clusters: np.ndarray
    others: np.ndarray
    features: np.ndarray

    @property
    def agreement(self) -> tuple[float, float]:
        """The adjusted Rand index of two seeds: mean and smallest over all pairs; NaN for one seed, or no clusters."""
        if not (self.others >= 0).any():
            return np.nan, np.nan
        found = [adjusted_rand_score(a, b) for a, b in combinations(self.others, 2)]
        return (float(np.mean(found)), float(min(found))) if found else (np.nan, np.nan)

    def again(self, cluster: int) -> float:
        """How well a cluster is found again in the maps of other seeds, from 0 to 1; NaN for one seed."""
        inside = self.clusters == cluster
        best = [max((jaccard(inside, of == k) for k in range(of.max() + 1)), default=0.0) for of in self.others[1:]]
        return float(np.mean(best)) if best else np.nan


def anomaly_map(
    detector: Estimator, events: Events | np.ndarray | Tensor, by: str = "residuals", seeds: int = 5
) -> AnomalyMap:
    """Map events that a detector finds anomalous, and find clusters among them.

    Parameters
    ----------
    detector: a fitted one
    events: N of the most anomalous events, as ``detector.score`` takes them
    by: 'residuals', of a detector that reconstructs; 'latents', of one that has a code; 'inputs', of any
    seeds: how many maps are made, to see what of the clusters stays

    Raises
    ------
    InputError: too few events, a detector that has no such thing, or umap-learn is not installed

    Examples
    --------
    >>> detector = hepad.PCAReconstruction(components=2).fit(background)
    >>> found = hepad.anomaly_map(detector, background + 3, seeds=2)
    >>> found.places.shape, found.clusters.shape, found.others.shape
    ((500, 2), (500,), (2, 500))
    """
    if not isinstance(detector, Estimator):
        raise InputError(f"map: {type(detector).__name__} is no detector. Give a fitted one, e.g. of hepad.load.")
    if isinstance(seeds, bool) or not isinstance(seeds, int | np.integer) or seeds < 1:
        raise InputError(f"map: seeds = {seeds!r} must be a whole number, 1 or more.")
    umap = umap_class()
    module, x = detector.seen(events)
    what = features(module, x, by).numpy()
    if len(x) < FEWEST:
        raise InputError(
            f"map: {len(x)} events are too few for a map; {FEWEST} are needed. Take more of the most anomalous ones: a "
            "lower threshold, more data, or more events of each sample."
        )
    if bad := int((~np.isfinite(what)).any(1).sum()):
        raise InputError(f"map: {bad} of {len(what)} events have {by} that are not finite. Leave them out.")
    z = coded(what, module, by)
    places = [placed(umap, z, seed) for seed in range(1, seeds + 1)]
    clusters = [clustered(of_seed) for of_seed in places]
    return AnomalyMap(places[0], clusters[0], np.stack(clusters), what)


def lacking(module: Detector, by: str) -> str:
    """Why a map of a detector's events cannot be made by this; '' if it can. InputError: there is no such way."""
    check_choice("map: by", by, BY)
    name = type(module).__name__
    if by == "latents" and name not in LATENTS:
        others = ", ".join(LATENTS)
        return f"map: {name} has no code that a map is made of. Take by='inputs', or a detector that has: {others}."
    if by == "residuals" and not isinstance(module, Reconstructing):
        return f"map: {name} does not reconstruct events. Take by='inputs', or a detector that reconstructs."
    return ""


def features(module: Detector, x: Tensor, by: str = "residuals") -> Tensor:
    """(N, D) of events (N, *space.shape): what a map of them is made of; InputError if the detector has no such."""
    if why := lacking(module, by):
        raise InputError(why)
    if by == "inputs":
        return _of(module, module.normalise, x).flatten(1)
    if by == "latents":
        return _of(module, lambda part: module.embed(module.normalise(part)), x)
    residuals = _of(module, lambda part: module.normalise(part) - module.normalise(module.reconstruct(part)), x)
    return torch.nn.functional.normalize(residuals.flatten(1), dim=1)


def coded(what: np.ndarray, module: Detector, by: str) -> np.ndarray:
    """What a map is of: (N, D) of the :func:`features`, with a code in the place of pixels."""
    if by == "latents":
        return what
    pixels = module.inner.pixels if by == "inputs" else what.shape[1] if module.inner.pixels else 0
    image, columns = what[:, :pixels], what[:, pixels:]
    if isinstance(module.normalise, Unscaled):  # the columns are in their own units
        spread = columns.std(0)
        columns = columns / np.where(spread > 0, spread, 1)
    if not pixels:
        return columns
    code = reduced(image)
    return np.concatenate([code / max(code[:, 0].std(), 1e-12), columns], 1) if columns.shape[1] else code


def clustered(places: np.ndarray) -> np.ndarray:
    """Clusters (N,) of places (N, 2), numbered by their sizes, the largest is 0; -1 for none."""
    size = max(SMALLEST, round(SHARE * len(places)))
    found = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(places)
    order = np.argsort(-np.bincount(found[found >= 0]), kind="stable")
    numbers = np.append(np.argsort(order), -1)  # of -1 the last
    return numbers[found]


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A n B| / |A u B| of two sets of events, (N,) bool each; one of them is not empty."""
    return float((a & b).sum() / (a | b).sum())


def _of(module: Detector, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function`` of the events of ``x``, in blocks where the detector is, and without gradients."""
    device = next(module.normalise.buffers()).device
    with torch.no_grad():
        return torch.cat([function(part.to(device)).cpu() for part in x.split(BLOCK)])


def reduced(what: np.ndarray) -> np.ndarray:
    """Principal components (N, CODE) of pixels."""
    return PCA(min(CODE, *what.shape), svd_solver="covariance_eigh").fit_transform(what)


def umap_class() -> type:
    """UMAP of umap-learn; InputError if that cannot be imported."""
    try:
        from umap import UMAP  # an extra, and numba compiles for seconds
    except ModuleNotFoundError as error:
        if error.name != "umap":
            raise
        raise InputError("map: umap-learn is not installed: pip install 'hepad[map]'.") from None
    except ImportError as error:
        raise InputError(f"map: umap-learn cannot be imported: {error}. Install 'hepad[map]' anew.") from None
    return UMAP


def placed(umap: type, z: np.ndarray, seed: int) -> np.ndarray:
    """Places (N, 2) of z (N, D) on the map of a seed.

    numba, which UMAP is written in, sets the threads of OpenMP for the whole process when it starts, and so those of
    torch: they are set back.
    """
    threads = torch.get_num_threads()
    try:
        return umap(n_neighbors=NEIGHBOURS, min_dist=0.0, random_state=seed, n_jobs=1).fit_transform(z)
    finally:
        torch.set_num_threads(threads)
