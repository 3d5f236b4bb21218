"""What is made of an attributor's answer: names in every dimension, the sets they cannot be told apart from, unknown.

This is the one place where that is decided: a verdict says it in words, and a study measures it end to end.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.attributors import ACCEPTED, DECIDES, DETECTORS, Attributor, Conformal, Marginal, Prediction, Score
from redhanded.studies.dimensions import SetEntry, told_apart

COVERAGE = 0.9  # of the set of names that cannot be told apart


class Decision:
    """What one attributor's answers come to; everything is calibrated on the images it held out of its training."""

    def __init__(self, attributor: Attributor, entries: Mapping[str, SetEntry]) -> None:
        self.attributor = attributor
        self.entries = {name: entries[name] for name in attributor.classes_}
        members = told_apart(self.entries)
        self.marginals = {dimension: Marginal(attributor, classes) for dimension, classes in members.items()}

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
    def is_control(self) -> Tensor:
        """Which of the attributor's classes are controls, (classes,)."""
        return torch.tensor([entry.control for entry in self.entries.values()])

    @cached_property
    def _score(self) -> Score:
        return DETECTORS[DECIDES].fit(self.attributor.held_out_, self.is_control)

    @cached_property
    def _usual(self) -> NDArray[np.float64]:
        held = self.attributor.held_out_
        return np.sort(self._score(Prediction(held.log_proba, held.features)).double().numpy())

    def novelty(self, answer: Prediction) -> NDArray[np.float64]:
        """The share of the held-out images whose novelty score is smaller, (n,)."""
        return np.searchsorted(self._usual, self._score(answer).double().numpy()) / len(self._usual)

    def unknown(self, answer: Prediction) -> NDArray[np.bool_]:
        """Whether no name should be relied upon, (n,): the image is stranger than nearly all that is known."""
        return self.novelty(answer) > ACCEPTED
