"""The dimensions of a verdict: what each set is called in each of them."""

from collections.abc import Callable, Mapping

from redhanded.bundle.records import SetEntry
from redhanded.results import NO_VICTIM

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
