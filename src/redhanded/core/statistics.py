"""Measures with their uncertainty: pure functions on counts and labels."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray


def confusion_matrix(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts, (classes, classes): rows are the true class, columns the predicted one."""
    pairs = np.bincount(true * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes)


def wilson_interval(correct: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    interval = scipy.stats.binomtest(correct, total).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def p_above_chance(correct: int, total: int, classes: int) -> float:
    """Exact one-sided binomial test that the accuracy is above 1 / classes; 1 when nothing was counted."""
    if total == 0:
        return 1.0
    return float(scipy.stats.binomtest(correct, total, 1 / classes, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()
