"""What a step is: a frozen value whose key says all that decides its outcome."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from redhanded.engine.layout import RunFolder
from redhanded.results import Record


class Done(Record):
    """The record of a step whose outcome lies elsewhere."""

    seconds: float


class Step:
    """A unit of work: `needs` are steps that must be done first; `record` is where its record stands, if anywhere."""

    stage: str

    @property
    @abstractmethod
    def key(self) -> str:
        """SHA-256 of everything that decides the outcome."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the step does, for progress and errors."""

    @property
    def needs(self) -> tuple["Step", ...]:
        """The steps whose outcome this one reads."""
        return ()

    def record_path(self, folder: RunFolder) -> Path | None:
        """Where the record stands among the results."""
        return None

    @abstractmethod
    def run(self, folder: RunFolder) -> Record:
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
