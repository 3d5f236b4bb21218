"""What a step is: a frozen value whose key says all that decides its outcome."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from redhanded.core import Outcome, digest
from redhanded.engine.store import RunFolder


class Step:
    """A unit of work. Its key names its outcome: kind, version, specification, and the outcomes that it reads.

    `version` is raised by hand whenever the same specification and inputs would give another outcome; a test keeps
    what each kind of step writes and says so. Rows of tables that a step runs (an attack, an attributor, a pixel
    protocol) have versions of their own, which stand in `specification`: a change of a row remakes what used that row.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    stage: ClassVar[str]  # under which progress counts it

    @property
    @abstractmethod
    def specification(self) -> object:
        """Everything but the inputs that decides the outcome, as JSON values."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the step does, for progress and errors."""

    @property
    def needs(self) -> tuple["Step", ...]:
        """The steps that must be done first: those among this step's fields, unless a step says otherwise."""
        fields = (value if isinstance(value, tuple) else (value,) for value in vars(self).values())
        return tuple(value for field in fields for value in field if isinstance(value, Step))

    @property
    def inputs(self) -> list[str]:
        """The keys of the outcomes that this step reads: those of all that it needs, unless a step says otherwise."""
        return [need.key for need in self.needs]

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the outcome."""
        return digest(self.kind, self.version, self.specification, self.inputs)

    def record_path(self, folder: RunFolder) -> Path | None:
        """Where the record stands among the results, if it stands there."""
        return None

    @abstractmethod
    def run(self, folder: RunFolder) -> Outcome:
        """Do the work; the caller stores the record as the done-mark."""


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps with everything they need, each once, needs first."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.key not in ordered:
            for need in step.needs:
                visit(need)
            ordered[step.key] = step

    for step in steps:
        visit(step)
    return list(ordered.values())
