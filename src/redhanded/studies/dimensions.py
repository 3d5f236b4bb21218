"""The dimensions of an answer: what each adversarial set is called in each of them."""

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from redhanded.core import Record
from redhanded.sets import NO_VICTIM


def _printable(text: str) -> str:
    if not text.isprintable():  # it will stand in tables and on pages
        raise ValueError("a name that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class SetEntry(Record):
    """One adversarial set that the bundle's attributors tell apart."""

    victim: Name  # "none" of a control
    family: Name
    norm: Name
    setting: dict[Name, float]
    label: Name  # of the attack, without the victim
    toolchain: Name
    control: bool


DIMENSIONS: dict[str, Callable[[SetEntry], str]] = {
    "adversarial": lambda entry: "control" if entry.control else "adversarial",
    "family": lambda entry: entry.family,
    "norm": lambda entry: NO_VICTIM if entry.control else entry.norm,
    "victim": lambda entry: entry.victim,
    "setting": lambda entry: entry.label,
    "toolchain": lambda entry: NO_VICTIM if entry.control else entry.toolchain,
}


def members(sets: Mapping[str, SetEntry], dimension: str) -> dict[str, list[str]]:
    """Class -> names of its sets, in order of first appearance."""
    found: dict[str, list[str]] = {}
    for name, entry in sets.items():
        found.setdefault(DIMENSIONS[dimension](entry), []).append(name)
    return found


def told_apart(sets: Mapping[str, SetEntry]) -> dict[str, dict[str, list[str]]]:
    """The members of every dimension that has two or more attacks' names to tell apart."""
    found = {dimension: members(sets, dimension) for dimension in DIMENSIONS}
    return {dimension: classes for dimension, classes in found.items() if len(set(classes) - {NO_VICTIM}) > 1}
