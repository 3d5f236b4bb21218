"""Images as numbers: all that a factored attributor sees of them, made once and kept for many fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from redhanded.attributors.candidates import NUMBERS, ask_victim
from redhanded.attributors.statistics import image_statistics


@dataclass(frozen=True)
class Described:
    """n images described by numbers of their own, and by those of some candidate victims at each of them."""

    statistics: Tensor  # (n, f) of the image alone
    numbers: Tensor  # (n, candidates, 15) of each candidate; no candidates where nobody was asked
    candidates: Tensor  # (n, candidates) int64: which of `names` each of them is
    names: tuple[str, ...] = ()  # of victims

    @classmethod
    def of(cls, images: Tensor, victims: Mapping[str, nn.Module], candidates: Tensor) -> Self:
        """Describe images, (n, c, h, w) in [0, 1]; candidates: (n, k) int64, which of the victims each is shown to."""
        numbers = torch.zeros(*candidates.shape, NUMBERS)
        for place, victim in enumerate(victims.values()):
            rows, columns = (candidates == place).nonzero(as_tuple=True)
            numbers[rows, columns] = ask_victim(victim, images[rows])
        return cls(image_statistics(images), numbers, candidates, tuple(victims))

    def shown(self, first: int, last: int) -> Self:
        """The same images with some of their candidates alone."""
        chosen = slice(first, last)
        return replace(self, numbers=self.numbers[:, chosen], candidates=self.candidates[:, chosen])

    @property
    def flat(self) -> Tensor:
        """Everything of an image in one row, (n, f + 15 candidates)."""
        return torch.cat([self.statistics, self.numbers.flatten(1)], 1)


def stacked(parts: Sequence[Described]) -> Described:
    """All images of some parts, whose victims have the same names."""
    return Described(
        torch.cat([part.statistics for part in parts]),
        torch.cat([part.numbers for part in parts]),
        torch.cat([part.candidates for part in parts]),
        parts[0].names,
    )


def own_and_others(own: Tensor, victims: int, others: int, generator: torch.Generator) -> Tensor:
    """Draw which victims each image is shown to, (n, 1 + others) int64: its own first, where it is known.

    own: (n,) int64, -1 where nobody's; fewer where there are not so many victims.
    """
    order = torch.rand(len(own), victims, generator=generator)
    known = (own >= 0).nonzero().flatten()
    order[known, own[known]] = -1  # before all others
    return order.argsort(1)[:, : 1 + others]
