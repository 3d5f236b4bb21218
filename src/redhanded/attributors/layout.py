"""What classes of images are made of: what was done, to whom, and with which numbers."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Self

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


Share = Annotated[float, Field(gt=0, le=1)]


class Layout(Record):
    """What the classes of an attributor are made of, and so what its network has to tell."""

    attacks: tuple[tuple[str, str], ...] = Field(min_length=1, max_length=1000)  # family and norm, of controls too
    victims: tuple[str, ...] = Field(max_length=1000)
    toolchains: tuple[str, ...] = Field(max_length=100)
    heads: tuple[NumberHead, ...] = Field(max_length=1000)
    attack_of: tuple[int, ...]  # of each class
    victim_of: tuple[int, ...]  # of each class, -1 of a control
    toolchain_of: tuple[int, ...]  # of each class, -1 of a control
    fixed: tuple[dict[str, float], ...]  # of each class the numbers that are the same for all its images
    attack_shares: tuple[Share, ...]  # what each attack weighs in training: all families together weigh the same
    shares: tuple[Share, ...]  # the same of each class, as the product of its attack's, victim's and library's

    @model_validator(mode="after")
    def _places_exist(self) -> Self:
        tables = (
            (0, {*self.attack_of, *(head.attack for head in self.heads)}, self.attacks),
            (-1, {*self.victim_of}, self.victims),
            (-1, {*self.toolchain_of}, self.toolchains),
        )
        if any(not places <= set(range(first, len(table))) for first, places, table in tables):
            raise ValueError("a place outside of its table")
        of_class = (self.attack_of, self.victim_of, self.toolchain_of, self.fixed, self.shares)
        if len({len(of) for of in of_class}) > 1 or len(self.attack_shares) != len(self.attacks):
            raise ValueError("classes of different numbers")
        return self

    @classmethod
    def of(cls, samples: Samples) -> "Layout":
        """The layout of samples whose classes are adversarial sets; of others each class is an attack by itself."""
        count = len(samples.classes)
        specs = [ref.attack for ref in samples.sets]
        names = [(family_named(spec.family), spec.norm) for spec in specs] or [
            (name, NO_VICTIM) for name in samples.classes
        ]
        attacks = tuple(dict.fromkeys(names))
        attacked = [ref if ref.victim != NO_VICTIM else None for ref in samples.sets] or [None] * count
        victims = tuple(dict.fromkeys(ref.victim for ref in attacked if ref))
        toolchains = tuple(dict.fromkeys(ref.attack.toolchain for ref in attacked if ref))
        attack_of = tuple(attacks.index(name) for name in names)
        victim_of = tuple(victims.index(ref.victim) if ref else -1 for ref in attacked)
        toolchain_of = tuple(toolchains.index(ref.attack.toolchain) if ref else -1 for ref in attacked)
        images = torch.bincount(samples.labels, minlength=count).clamp_min(1).tolist()
        families = Counter[str]()
        for (family, _), number in zip(names, images, strict=True):
            families[family] += number
        weights = [number / families[family] for (family, _), number in zip(names, images, strict=True)]
        attack_shares, of_victim, of_toolchain = (
            _shares(of, own) for of, own in ((attack_of, weights), (victim_of, images), (toolchain_of, images))
        )
        return cls(
            attacks=attacks,
            victims=victims,
            toolchains=toolchains,
            heads=tuple(
                head
                for place, attack in enumerate(attacks if specs else ())
                for head in _heads(place, [spec for spec, name in zip(specs, names, strict=True) if name == attack])
            ),
            attack_of=attack_of,
            victim_of=victim_of,
            toolchain_of=toolchain_of,
            fixed=tuple(
                {name: float(value) for name, value in spec.setting.items() if name not in spec.ranges}
                for spec in specs
            )
            or ({},) * count,
            attack_shares=tuple(attack_shares),
            shares=tuple(
                attack_shares[attack] * (of_victim[victim] * of_toolchain[toolchain] if victim >= 0 else 1)
                for attack, victim, toolchain in zip(attack_of, victim_of, toolchain_of, strict=True)
            ),
        )

    def targets(self, samples: Samples) -> Tensor:
        """What is to be told of each image, (n, 3 + heads) int64: attack, victim, toolchain, bins; -1 for nothing."""
        parts = (self.attack_of, self.victim_of, self.toolchain_of)
        attack, *others = (torch.tensor(of)[samples.labels] for of in parts)
        bins = []
        for head in self.heads:
            fixed = torch.tensor([numbers.get(head.name, math.nan) for numbers in self.fixed], dtype=torch.float64)
            values = fixed[samples.labels]
            drawn = samples.parameters.get(head.name, torch.full_like(values, math.nan))
            values = torch.where(values.isnan(), drawn, values)
            known = (attack == head.attack) & ~values.isnan()
            bins.append(torch.where(known, head.bin_of(values.nan_to_num(head.low)), -1))
        return torch.stack([attack, *others, *bins], 1)


def _shares(of: Sequence[int], weights: Sequence[float]) -> list[float]:
    """The share of each place, by what its classes weigh; a class at -1 has none."""
    sums = [
        sum(weight for own, weight in zip(of, weights, strict=True) if own == place) for place in range(max(of) + 1)
    ]
    return [own / sum(sums) for own in sums]


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
