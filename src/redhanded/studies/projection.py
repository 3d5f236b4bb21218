"""Features as points of a plane, for the eye alone."""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

PERPLEXITY = 30.0


def project_features(features: NDArray[np.floating], seed: int) -> list[tuple[float, float]]:
    """t-SNE of standardised features, (n, f) with n >= 4 -> n points, the widest axis from -1 to 1.

    Van der Maaten, Hinton, "Visualizing data using t-SNE", 2008.
    """
    deviation = features.std(0)
    kept = (features - features.mean(0))[:, deviation > 0] / deviation[deviation > 0]
    perplexity = min(PERPLEXITY, (len(kept) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(kept)
    centred = points - (points.max(0) + points.min(0)) / 2
    return [(round(float(x), 3), round(float(y), 3)) for x, y in centred / np.abs(centred).max()]
