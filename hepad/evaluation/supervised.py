"""Supervised: gradient-boosted trees that are shown the signal.

Not a detector, never in a trigger, kept apart from everything blind: it tells how much there is to be found.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier

from hepad.errors import InputError
from hepad.representations.features import Features

COMPONENTS = 32


def too_few(background: Features, signal: Features, n_components: int = COMPONENTS) -> str:
    """Why trees cannot be trained on these training splits, in words; '' if they can."""
    if min(len(background.x), len(signal.x)) > n_components:
        return ""
    return (
        f"{len(background.x)} background and {len(signal.x)} signal training events are too few, more than "
        f"{n_components} of each are needed"
    )


def supervised_scores(
    background: Features, signal: Features, tests: list[Features], *, n_components: int = COMPONENTS, seed: int = 1
) -> list[np.ndarray]:
    """Train on the training splits of background and signal, score each of ``tests``.

    Pixels are replaced by their first ``n_components`` principal components (of background and signal together).

    Returns
    -------
    log odds of being signal, (N,) for each of ``tests``

    Raises
    ------
    InputError: too few training events of background or signal
    """
    if why := too_few(background, signal, n_components):
        raise InputError(f"supervised trees: {why}. Raise the first fraction of 'split'.")
    pixels = background.space.pixels
    x = np.concatenate([f.x.flatten(1).numpy() for f in (background, signal)])
    y = np.repeat([0, 1], [len(background.x), len(signal.x)])
    pca = PCA(n_components, svd_solver="randomized", random_state=seed).fit(x[:, :pixels]) if pixels else None

    inputs = [x, *(f.x.flatten(1).numpy() for f in tests)]
    if pca:
        inputs = [np.hstack([pca.transform(part[:, :pixels]), part[:, pixels:]]) for part in inputs]
    trees = HistGradientBoostingClassifier(
        max_iter=300, learning_rate=0.1, early_stopping=True, class_weight="balanced", random_state=seed
    )
    trees.fit(inputs[0], y)
    return [trees.decision_function(part) for part in inputs[1:]]
