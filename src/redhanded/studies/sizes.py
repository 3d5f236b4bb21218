"""Size-matched accuracy: answers within bins of perturbation size, equally many images of each class in a bin."""

import numpy as np
from numpy.typing import NDArray

from redhanded.sets import equally_many
from redhanded.studies.results import SizeBin

BINS = 8


def size_matched_bins(
    l2: NDArray[np.floating], labels: NDArray[np.int64], right: NDArray[np.bool_], seed: int
) -> list[SizeBin]:
    """Accuracy on images of one size, in bins of equal counts from the smallest to the largest size.

    l2, labels, right: (n,) size of the perturbation, class, and whether the class was named. Of each class a random
    part stays in a bin, as large as that of its smallest; a bin in which a class is absent is left out. All bins
    together are a test set whose classes have one distribution of sizes.
    """
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(l2, np.linspace(0, 1, BINS + 1)))
    places = np.clip(np.searchsorted(edges, l2, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = np.unique(labels)
    bins = []
    for place in range(max(len(edges) - 1, 1)):
        rows = [np.flatnonzero((places == place) & (labels == name)) for name in names]
        kept = np.concatenate(equally_many(rows, rng))
        if len(kept):
            low, high = float(l2[places == place].min()), float(l2[places == place].max())
            bins.append(SizeBin(low=low, high=high, n=len(kept), correct=int(right[kept].sum())))
    return bins
