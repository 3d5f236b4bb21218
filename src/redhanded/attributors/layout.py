"""What classes of images are made of: what was done, to whom, and with which numbers."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional

from redhanded.attacks import AttackSpec, LogUniform, Range, family_named
from redhanded.core import Record
from redhanded.sets import NO_VICTIM, Samples

BINS = 64  # of a parameter's range: on a range of one to a hundred, neighbours differ by 7 %


class NumberHead(Record):
    """A parameter of one attack and norm, whose value is given as a density over equal bins of a range."""

    model_config = ConfigDict(allow_inf_nan=False)

    attack: int = Field(ge=0)  # place in `Layout.attacks`
    name: str
    low: float
    high: float
    logarithmic: bool

    @model_validator(mode="after")
    def _has_bins(self) -> Self:
        if not self.low < self.high or (self.logarithmic and self.low <= 0):
            raise ValueError("a range without bins")
        return self

    def bin_of(self, values: Tensor) -> Tensor:
        """The bin of each value, (n,) -> (n,) int64; a value beyond an end is in the last bin before it."""
        low, high = self._scaled(torch.tensor([self.low, self.high], dtype=torch.float64))
        return ((self._scaled(values.double()) - low) / (high - low) * BINS).long().clamp(0, BINS - 1)

    def quantile(self, log_density: Tensor, share: float) -> Tensor:
        """The value below which a share of the probability lies, (n, BINS) -> (n,); even within a bin."""
        below = functional.pad(log_density.double().exp().cumsum(1), (1, 0))
        place = torch.searchsorted(below, torch.full((len(below), 1), share, dtype=torch.float64)).clamp(1, BINS)
        before, after = below.gather(1, place - 1), below.gather(1, place)
        edges = (place - 1 + (share - before) / (after - before).clamp_min(1e-12)).squeeze(1).clamp(0, BINS) / BINS
        low, high = self._scaled(torch.tensor([self.low, self.high], dtype=torch.float64))
        scaled = low + edges * (high - low)
        return scaled.exp() if self.logarithmic else scaled

    def share_between(self, low: Tensor, high: Tensor) -> Tensor:
        """The share of the range, on its own scale, that lies between two values of it, (n,), (n,) -> (n,)."""
        first, last = self._scaled(torch.tensor([self.low, self.high], dtype=torch.float64))
        return (self._scaled(high.double()) - self._scaled(low.double())) / (last - first)

    def _scaled(self, values: Tensor) -> Tensor:
        return values.log() if self.logarithmic else values


class Layout(Record):
    """What the classes of an attributor are made of, and so what its network has to tell."""

    attacks: tuple[tuple[str, str], ...] = Field(min_length=1, max_length=1000)  # family and norm, of controls too
    victims: tuple[str, ...] = Field(max_length=1000)
    heads: tuple[NumberHead, ...] = Field(max_length=1000)
    attack_of: tuple[int, ...]  # of each class
    victim_of: tuple[int, ...]  # of each class, -1 of a control
    fixed: tuple[dict[str, float], ...]  # of each class the numbers that are the same for all its images

    @model_validator(mode="after")
    def _places_exist(self) -> Self:
        attacks = {*self.attack_of, *(head.attack for head in self.heads)}
        if not attacks <= set(range(len(self.attacks))) or not set(self.victim_of) <= set(range(-1, len(self.victims))):
            raise ValueError("a place outside of its table")
        if not len(self.attack_of) == len(self.victim_of) == len(self.fixed):
            raise ValueError("classes of different numbers")
        return self

    @classmethod
    def of(cls, samples: Samples) -> "Layout":
        """The layout of samples whose classes are adversarial sets; of others each class is an attack by itself."""
        if not samples.sets:
            attacks = tuple((name, "none") for name in samples.classes)
            places = tuple(range(len(attacks)))
            nothing: tuple[dict[str, float], ...] = ({},) * len(attacks)
            return cls(
                attacks=attacks, victims=(), heads=(), attack_of=places, victim_of=(-1,) * len(attacks), fixed=nothing
            )
        specs = [ref.attack for ref in samples.sets]
        names = [(family_named(spec.family), spec.norm) for spec in specs]
        attacks = tuple(dict.fromkeys(names))
        victims = tuple(dict.fromkeys(ref.victim for ref in samples.sets if ref.victim != NO_VICTIM))
        known = {name: place for place, name in enumerate(victims)}
        fixed = [
            {name: float(value) for name, value in spec.setting.items() if name not in spec.ranges} for spec in specs
        ]
        return cls(
            attacks=attacks,
            victims=victims,
            heads=tuple(
                head
                for place, attack in enumerate(attacks)
                for head in _heads(place, [spec for spec, name in zip(specs, names, strict=True) if name == attack])
            ),
            attack_of=tuple(attacks.index(name) for name in names),
            victim_of=tuple(known.get(ref.victim, -1) for ref in samples.sets),
            fixed=tuple(fixed),
        )

    def targets(self, samples: Samples) -> Tensor:
        """What the network is to tell of each image, (n, 2 + heads) int64: attack, victim, bins; -1 for nothing."""
        attack, victim = (torch.tensor(of)[samples.labels] for of in (self.attack_of, self.victim_of))
        bins = []
        for head in self.heads:
            fixed = torch.tensor([numbers.get(head.name, math.nan) for numbers in self.fixed], dtype=torch.float64)
            values = fixed[samples.labels]
            drawn = samples.parameters.get(head.name, torch.full_like(values, math.nan))
            values = torch.where(values.isnan(), drawn, values)
            known = (attack == head.attack) & ~values.isnan()
            bins.append(torch.where(known, head.bin_of(values.nan_to_num(head.low)), -1))
        return torch.stack([attack, victim, *bins], 1)


def _heads(place: int, specs: Sequence[AttackSpec]) -> list[NumberHead]:
    """The heads of one attack: its settings that differ from image to image or from set to set."""
    heads = []
    for name in specs[0].setting_names:
        values = [getattr(spec, name) for spec in specs]
        ranges = [value for value in values if isinstance(value, Range)]
        ends = [end for value in values for end in (value.bounds if isinstance(value, Range) else (value, value))]
        low, high = float(min(ends)), float(max(ends))
        if low < high and all(one.times is None for one in ranges):
            logarithmic = low > 0 and (any(isinstance(one, LogUniform) for one in ranges) or not ranges)
            heads.append(NumberHead(attack=place, name=name, low=low, high=high, logarithmic=logarithmic))
    return heads
