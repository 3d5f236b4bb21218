"""An attributor that tells all sets of a source apart answers every question: by the mean over each class's sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redhanded.attributors.base import Attributor
from redhanded.samples import Samples


@dataclass(frozen=True)
class Marginal:
    """The answer of an attributor whose classes are sets, to a question whose classes are selections of them.

    A class's probability is the mean of its sets' likelihoods: the sets of a class are equally likely, and so are the
    classes, as they are among a question's samples. Sets that the question does not name count for nothing.
    """

    inner: Attributor
    members: Mapping[str, Sequence[str]]  # class -> its sets, at least one of them a class of `inner`

    @property
    def classes_(self) -> tuple[str, ...]:
        """The question's."""
        return tuple(self.members)

    @property
    def shape_(self) -> tuple[int, int, int]:
        """Of an image, (c, h, w)."""
        return self.inner.shape_

    @property
    def collapsed_(self) -> bool:
        """Whether the attributor itself names one set for everything."""
        return self.inner.collapsed_

    def predict_log_proba(self, samples: Samples) -> Tensor:
        """Natural logarithm of each class's probability, (n, classes), in the order of `classes_`."""
        return self.of_sets(self.inner.predict_log_proba(samples))

    def of_sets(self, log_proba: Tensor) -> Tensor:
        """The same from the inner attributor's own answer, (n, sets) -> (n, classes)."""
        places = {name: place for place, name in enumerate(self.inner.classes_)}
        columns = []
        for names in self.members.values():
            known = [places[name] for name in names if name in places]
            columns.append(log_proba[:, known].logsumexp(1) - torch.tensor(len(known)).log())
        return torch.stack(columns, 1).log_softmax(1)


def answering(attributor: Attributor, members: Mapping[str, Sequence[str]]) -> Attributor | Marginal:
    """The attributor itself where it was fitted on the question of these classes, or else its marginal."""
    return attributor if attributor.classes_ == tuple(members) else Marginal(attributor, members)
