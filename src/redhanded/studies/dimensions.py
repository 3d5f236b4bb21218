"""The dimensions of an answer, such as family or norm, and what each adversarial set is called in each of them."""

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from redhanded.attacks import ATTACKS, Kind, family_named
from redhanded.core import Record
from redhanded.sets import NO_VICTIM, SetRef


def _printable(text: str) -> str:
    if not text.isprintable():  # it will stand in tables and on pages
        raise ValueError("a name that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class SetEntry(Record):
    """One adversarial set that the bundle's attributors tell apart."""

    victim: Name  # "none" of a control
    kind: Kind  # of the attack
    family: Name  # as attribution names it
    norm: Name
    setting: dict[Name, float | Name]  # of a range its text
    label: Name  # of the attack under that name, without the victim
    toolchain: Name
    control: bool

    @classmethod
    def of(cls, ref: SetRef) -> Self:
        """The entry of a set of a study."""
        attack, row = ref.attack, ATTACKS[ref.attack.family]
        family = family_named(attack.family)
        return cls(
            victim=ref.victim,
            kind=row.kind,
            family=family,
            norm=attack.norm,
            setting=attack.setting,
            label=family + attack.label.removeprefix(attack.family),
            toolchain=attack.toolchain,
            control=row.control,
        )

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if self.control is not (self.kind == "control"):
            raise ValueError("a control that is of the kind of an attack, or the other way round")
        return self


class Dimension(NamedTuple):
    """A row of `DIMENSIONS`."""

    title: str  # on a page
    claim: str | None  # what its likeliest name says of an image, as a clause; None: a sentence of its own says it
    name_of: Callable[[SetEntry], str]  # what an adversarial set is called in it


DIMENSIONS: dict[str, Dimension] = {
    "adversarial": Dimension("Adversarial", None, lambda entry: "control" if entry.control else "adversarial"),
    "kind": Dimension(
        "Kind of attack", "the kind of attack was {}", lambda entry: NO_VICTIM if entry.control else entry.kind
    ),
    "family": Dimension("Family of attacks", "the attack was {}", lambda entry: entry.family),
    "norm": Dimension("Norm", "its norm was {}", lambda entry: NO_VICTIM if entry.control else entry.norm),
    "victim": Dimension("Victim", "the gradients were those of {}", lambda entry: entry.victim),
    "setting": Dimension("Setting", None, lambda entry: entry.label),
    "toolchain": Dimension(
        "Library", "the code was that of {}", lambda entry: NO_VICTIM if entry.control else entry.toolchain
    ),
}


def told_apart(sets: Mapping[str, SetEntry]) -> dict[str, dict[str, list[str]]]:
    """Find the classes (name -> its sets) of every dimension that has two or more attacks' names to tell apart."""
    dimensions: dict[str, dict[str, list[str]]] = {}
    for dimension, row in DIMENSIONS.items():
        classes: dict[str, list[str]] = {}  # in order of first appearance
        for name, entry in sets.items():
            classes.setdefault(row.name_of(entry), []).append(name)
        if len(classes.keys() - {NO_VICTIM}) > 1:
            dimensions[dimension] = classes
    return dimensions
