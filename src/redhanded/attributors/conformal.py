"""Label-conditional conformal prediction: p-values, from nonconformity scores that are sorted once."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Conformal:
    """The p-value of each class, given an attributor's answers to held-out images of all classes.

    The nonconformity score of an answer for a class is 1 less the probability of that class. Vovk, Gammerman, Shafer,
    "Algorithmic learning in a random world", 2005. The tests compare the p-values with those of crepes.
    """

    def __init__(self, log_proba: Tensor, labels: Tensor) -> None:
        """log_proba: (n, classes) of held-out images; labels: (n,) their classes."""
        own = _nonconformity(log_proba.gather(1, labels[:, None]))[:, 0]
        self.scores = [np.sort(own[labels.numpy() == place]) for place in range(log_proba.shape[1])]

    def p_values(self, log_proba: Tensor) -> NDArray[np.float64]:
        """(n, classes) -> (n, classes): the share of a class's images, the asked one counted, that conform no better.

        0 for a class without held-out images.
        """
        scores = _nonconformity(log_proba)
        p_values = np.zeros(scores.shape)
        for place, known in enumerate(self.scores):
            if len(known):
                no_better = len(known) - np.searchsorted(known, scores[:, place])
                p_values[:, place] = (no_better + 1) / (len(known) + 1)
        return p_values


def _nonconformity(log_proba: Tensor) -> NDArray[np.floating]:
    return (1 - log_proba.exp()).numpy()
