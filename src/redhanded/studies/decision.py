"""What is made of an attributor's answer: names in every dimension, the sets they cannot be told apart from, unknown.

This is the one place where that is decided: a verdict says it in words, and a study measures it end to end. Everything
is calibrated on the images that the attributor held out of its training.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.attributors import (
    ACCEPTED,
    Attributor,
    CalibrationSet,
    Conformal,
    Gaussians,
    Marginal,
    Prediction,
)
from redhanded.studies.dimensions import SetEntry, told_apart

COVERAGE = 0.9  # of the set of names that cannot be told apart
FAR = 0.99  # share of known images that lie nearer to the others
_FOLDS = 5  # of the held-out images, when it is measured what is usual
_NEIGHBOUR = 3  # the one whose distance counts
_MOST_KNOWN = 2000  # images that distances are taken to


class Novelty:
    """How strange an image is: its features' Mahalanobis distance to the classes, against that of known images."""

    def __init__(self, gaussians: Gaussians, usual: NDArray[np.float64]) -> None:
        """usual: quantiles of the scores of known images, evenly spaced from 0 to 1."""
        self.gaussians, self.usual = gaussians, usual

    @classmethod
    def fit(cls, held: CalibrationSet) -> "Novelty":
        """Fit on held-out images; what is usual is told by scores of each fifth by the others, of other sources."""
        from redhanded.attributors import fit_gaussians  # by a library that whoever asks a bundle does not wait for

        source = held.index if (held.index >= 0).all() else torch.arange(len(held.labels))
        scores = []
        for fold in range(_FOLDS):
            own = source % _FOLDS == fold
            if own.any() and (~own).any():
                others = fit_gaussians(CalibrationSet(*(values[~own] for values in vars(held).values())))
                scores.append(others.score(held.features[own]))
        known = torch.cat(scores).double().numpy() if scores else np.zeros(1)
        return cls(fit_gaussians(held), np.quantile(known, np.linspace(0, 1, 101)))

    def quantile(self, features: Tensor) -> NDArray[np.float64]:
        """The share of known images with a smaller score, (n, f) -> (n,); NaN where a score is not finite."""
        scores = self.gaussians.score(features).double().numpy()
        quantiles = np.interp(scores, self.usual, np.linspace(0, 1, len(self.usual)))
        return np.where(np.isfinite(scores), quantiles, np.nan)


class Decision:
    """What one attributor's answers come to; temperatures and the novelty score may have been fitted before."""

    def __init__(
        self,
        attributor: Attributor,
        entries: Mapping[str, SetEntry],
        temperatures: Mapping[str, float] | None = None,
        novelty: Novelty | None = None,
    ) -> None:
        self.attributor = attributor
        self.entries = {name: entries[name] for name in attributor.classes_}
        known = temperatures or {}
        self.marginals = {
            dimension: Marginal(attributor, classes, known.get(dimension))
            for dimension, classes in told_apart(self.entries).items()
        }
        self.novelty = novelty or Novelty.fit(attributor.held_out_)

    @cached_property
    def is_control(self) -> Tensor:
        """Which of the attributor's classes are controls, (classes,)."""
        return torch.tensor([entry.control for entry in self.entries.values()])

    @cached_property
    def conformal(self) -> dict[str, Conformal]:
        """The conformal predictor of each dimension, from the held-out answers with its names as labels."""
        held = self.attributor.held_out_
        conformal = {}
        for dimension, marginal in self.marginals.items():
            class_of = {name: place for place, names in enumerate(marginal.members.values()) for name in names}
            classes = torch.tensor([class_of[name] for name in self.attributor.classes_])
            conformal[dimension] = Conformal(marginal.answer(held.log_proba), classes[held.labels])
        return conformal

    def log_proba(self, dimension: str, answer: Prediction) -> Tensor:
        """Log probabilities of the names of a dimension, (n, names)."""
        return self.marginals[dimension].answer(answer.log_proba)

    def not_ruled_out(self, dimension: str, log_proba: Tensor) -> NDArray[np.bool_]:
        """Which names cannot be ruled out at COVERAGE, (n, names), from their log probabilities."""
        return self.conformal[dimension].p_values(log_proba) > 1 - COVERAGE

    @cached_property
    def _spread(self) -> tuple[Tensor, Tensor]:
        features = self.attributor.held_out_.features
        return features.mean(0), features.std(0).clamp_min(1e-6)

    def standardise(self, features: Tensor) -> Tensor:
        """Standardise features, (n, f), by the mean and standard deviation of those of known images."""
        mean, deviation = self._spread
        return (features - mean) / deviation

    @cached_property
    def _known(self) -> tuple[Tensor, NDArray]:
        """Standardised features of known images, (n, f), and how far each lies from those of other source images."""
        held = self.attributor.held_out_
        rows = torch.linspace(0, len(held.index) - 1, min(_MOST_KNOWN, len(held.index))).long()
        features, index = self.standardise(held.features[rows]), held.index[rows]
        same = (index[:, None] == index) & (index >= 0) | torch.eye(len(rows), dtype=torch.bool)
        return features, _neighbour(torch.cdist(features, features).masked_fill(same, torch.inf)).sort().values.numpy()

    def apart(self, features: Tensor) -> NDArray[np.float64]:
        """The share of known images whose features lie nearer to those of known ones, (n, f) -> (n,).

        A score that weighs one class against all of them may pass what lies far from everything. Sun, Ming, Zhu, Li,
        "Out-of-distribution detection with deep nearest neighbors", 2022.
        """
        known, distances = self._known
        own = _neighbour(torch.cdist(self.standardise(features), known))
        return np.searchsorted(distances, own.numpy()) / len(distances)

    def unknown(self, answer: Prediction) -> NDArray[np.bool_]:
        """Whether no name should be relied upon, (n,): `reason` gives one."""
        possible = self.not_ruled_out("family", self.log_proba("family", answer))
        scores = zip(self.novelty.quantile(answer.features), self.apart(answer.features), possible, strict=True)
        return np.array([bool(reason(far, apart, names.any())) for far, apart, names in scores], dtype=bool)


def reason(novelty: float, apart: float, possible: bool) -> str:
    """Why no name should be relied upon, empty where nothing speaks against it.

    novelty, apart: shares of known images that are less strange; possible: whether a family is not ruled out.
    """
    if novelty > ACCEPTED:
        return f"its features are stranger than those of {novelty:.1%} of the known images"
    if apart > FAR:
        return f"its features lie farther from those of known images than {apart:.1%} of these do"
    return "" if possible else f"for no known family would such an answer be usual (coverage {COVERAGE:.0%})"


def _neighbour(distances: Tensor) -> Tensor:
    """The distances, (n,), to the neighbour that counts, of those to all known images, (n, known)."""
    return distances.kthvalue(min(_NEIGHBOUR, distances.shape[1]), dim=1).values
