"""Ranges: parameters of an attack of which each image draws a value of its own."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from redhanded.errors import AttackError, expected_one_of

_TEXT = re.compile(r"(\w+)\(([^()]*)\)(?:\*(\w+))?")


class Range(ABC):
    """A distribution of a parameter's values; with `times`, in units of another parameter of the same image.

    A range is a value: it does not change, and two of the same numbers are equal. Raises AttackError for numbers that
    are none, infinite or, where there are ends, out of order.
    """

    name: ClassVar[str]  # in text and in TOML
    above: ClassVar[float] = -math.inf  # what every number must exceed
    ends: ClassVar[bool] = True  # whether the numbers are the lowest and the highest value

    def __init__(self, *numbers: float, times: str | None = None) -> None:
        expected = "two numbers, the lower one first" if self.ends else "one number or more"
        expected += f", above {self.above:g}" if math.isfinite(self.above) else ""
        sound = all(isinstance(number, int | float) and self.above < number < math.inf for number in numbers)
        if not (sound and (numbers if not self.ends else len(numbers) == 2 and numbers[0] < numbers[1])):
            raise AttackError(f"expected {expected} for {self.name}, found {', '.join(map(str, numbers)) or 'none'}")
        # A whole number is written as one, so that 1 and 1.0 are the same range.
        self.numbers = tuple(int(number) if number == number // 1 else number for number in numbers)
        self.times = times

    @abstractmethod
    def at(self, shares: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
        """The quantiles at `shares` in [0, 1), (n,) -> (n,); of whole numbers alone where `whole`."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value, in units of the parameter `times`."""
        return min(self.numbers), max(self.numbers)

    @property
    def label(self) -> str:
        """In one word for tables and files, e.g. `0.004..0.25` or `0.1..1*eps`; a choice by its numbers, `1+2+5`."""
        between = ".." if self.ends else "+"
        return between.join(f"{number:.3g}" for number in self.numbers) + (f"*{self.times}" if self.times else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Range) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """E.g. `log_uniform(0.004,0.25)` or `uniform(0.1,1)*eps`, which `read_range` reads."""
        return f"{self.name}({','.join(map(str, self.numbers))})" + (f"*{self.times}" if self.times else "")

    __repr__ = __str__


class Uniform(Range):
    """Any value between two numbers is as likely as another; whole numbers include both."""

    name = "uniform"

    def at(self, shares: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
        """See Range."""
        low, high = self.bounds
        values = low + shares * (high + whole - low)
        return np.floor(values) if whole else values


class LogUniform(Range):
    """The logarithm of the value is uniform between those of two numbers above 0; whole numbers include both."""

    name, above = "log_uniform", 0

    def at(self, shares: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
        """See Range."""
        low, high = self.bounds
        values = low * ((high + whole) / low) ** shares
        return (np.floor(values) if whole else values).clip(low, high)  # rounding must not carry it over an end


class Choice(Range):
    """One of some numbers, each as likely as another."""

    name, ends = "choice", False

    def at(self, shares: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
        """See Range."""
        return np.array(self.numbers, np.float64)[(shares * len(self.numbers)).astype(np.int64)]


RANGES: dict[str, type[Range]] = {kind.name: kind for kind in (LogUniform, Uniform, Choice)}


def read_range(value: object) -> object:
    """The range that a value names, or the value itself where it names none.

    As in TOML, `{"log_uniform": [0.004, 0.25]}`, with `"times": "eps"` beside it; as text, `log_uniform(0.004,0.25)` or
    `uniform(0.1,1)*eps`. Raises AttackError for another distribution and for numbers that it cannot have.
    """
    if isinstance(value, Mapping):
        names = [name for name in value if name != "times"]
        name, numbers, times = (names or ["none"])[0], value.get((names or [""])[0]), value.get("times")
        if len(names) != 1 or not isinstance(numbers, list):
            raise AttackError(f"expected a range such as {{log_uniform = [0.004, 0.25]}}, found {value}")
        return _make(name, numbers, times)
    text = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if text is None:
        return value
    name, inside, times = text.groups()
    try:
        return _make(name, [float(number) for number in inside.split(",")], times)
    except ValueError:
        raise AttackError(f"expected numbers in {value!r}, found {inside!r}") from None


def _make(name: str, numbers: list[Any], times: str | None) -> Range:
    if name not in RANGES:
        raise AttackError(expected_one_of("the distribution", name, RANGES))
    return RANGES[name](*numbers, times=times)
