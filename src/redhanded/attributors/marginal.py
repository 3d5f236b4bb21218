"""An attributor that tells all sets of a source apart answers every question: by the mean over each class's sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from redhanded.attributors.base import Attributor
from redhanded.attributors.calibration import fit_temperature, with_temperature
from redhanded.sets import Samples


@dataclass(frozen=True)
class Marginal:
    """The calibrated answer of an attributor to a question whose classes are selections of the attributor's.

    A class's probability is the mean of its members' likelihoods: the members of a class are equally likely, and so
    are the classes, as they are among a question's samples. What the question does not name counts for nothing. The
    temperature is the one that suits the question best, on the source images that the attributor held out.
    """

    inner: Attributor
    members: Mapping[str, Sequence[str]]  # class -> classes of `inner`, at least one that it knows
    fitted: float | None = None  # the temperature, where it was fitted before

    @property
    def classes_(self) -> tuple[str, ...]:
        """The names of the question's classes."""
        return tuple(self.members)

    @property
    def shape_(self) -> tuple[int, int, int]:
        """The shape of an image, (c, h, w)."""
        return self.inner.shape_

    @property
    def collapsed_(self) -> bool:
        """Whether the attributor itself names one class for everything."""
        return self.inner.collapsed_

    @cached_property
    def temperature(self) -> float:
        """The temperature by which the logarithms of the probabilities are divided."""
        if self.fitted is not None:
            return self.fitted
        held = self.inner.held_out_
        home = torch.full((len(self.inner.classes_),), -1)
        for place, columns in enumerate(self._columns):
            home[columns] = place
        labels = home[held.labels]
        asked = labels >= 0
        return fit_temperature(self._mean(held.log_proba[asked]), labels[asked])

    def predict_log_proba(self, samples: Samples) -> Tensor:
        """Natural logarithm of each class's probability, (n, classes), in the order of `classes_`."""
        return self.answer(self.inner.predict_log_proba(samples))

    def answer(self, log_proba: Tensor) -> Tensor:
        """The same from the inner attributor's own answer, (n, inner classes) -> (n, classes)."""
        return with_temperature(self._mean(log_proba), self.temperature)

    @cached_property
    def _columns(self) -> list[list[int]]:
        places = {name: place for place, name in enumerate(self.inner.classes_)}
        return [[places[name] for name in names if name in places] for names in self.members.values()]

    def _mean(self, log_proba: Tensor) -> Tensor:
        means = [log_proba[:, columns].logsumexp(1) - torch.tensor(len(columns)).log() for columns in self._columns]
        return torch.stack(means, 1).log_softmax(1)


def answering(attributor: Attributor, members: Mapping[str, Sequence[str]]) -> Marginal:
    """How an attributor answers a question: by its own classes where it was fitted on the question, or by the sets."""
    own = attributor.classes_ == tuple(members)
    return Marginal(attributor, {name: [name] for name in members} if own else members)
