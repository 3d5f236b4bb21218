"""Clusters stay clusters in the plane."""

import numpy as np
from numpy.typing import NDArray

from redhanded.studies import project_features


def clusters(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(8 * place, 1.0, (count, 6)) for place in range(3)])


def test_clusters_stay_apart() -> None:
    points = np.array(project_features(clusters(40), seed=1)).reshape(3, 40, 2)
    middles = points.mean(1)
    within = np.linalg.norm(points - middles[:, None], axis=2).mean()
    between = min(np.linalg.norm(middles[i] - middles[j]) for i in range(3) for j in range(i))
    assert between > 3 * within
    assert np.abs(points).max() == 1.0


def test_the_seed_decides_and_constant_features_do_no_harm() -> None:
    features = np.concatenate([clusters(4), np.ones((12, 1))], 1)
    assert project_features(features, seed=1) == project_features(features, seed=1)
    assert np.isfinite(project_features(features, seed=2)).all()
