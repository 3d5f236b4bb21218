"""Which names cannot be ruled out: label-conditional conformal p-values, from scores that were sorted once."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Conformal:
    """How usual an answer would be for each class, by answers to held-out images.

    The same numbers as `redhanded.attributors.openset.p_values`, which sorts the held-out answers at every call.
    """

    def __init__(self, log_proba: Tensor, labels: Tensor) -> None:
        """log_proba: (n, classes) of held-out images; labels: (n,) their classes."""
        own = _strange(log_proba.gather(1, labels[:, None]))[:, 0]
        self.scores = [np.sort(own[labels.numpy() == place]) for place in range(log_proba.shape[1])]

    def p_values(self, log_proba: Tensor) -> NDArray[np.float64]:
        """(n, classes) -> (n, classes): the share of a class's images, the asked one among them, that are as strange.

        0 for a class that nothing was held out of.
        """
        strange = _strange(log_proba)
        found = np.zeros(strange.shape)
        for place, known in enumerate(self.scores):
            if len(known):
                as_strange = len(known) - np.searchsorted(known, strange[:, place])
                found[:, place] = (as_strange + 1) / (len(known) + 1)
        return found


def _strange(log_proba: Tensor) -> NDArray[np.floating]:
    return (1 - log_proba.exp()).numpy()
