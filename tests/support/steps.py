"""A step of the tests, for the executor alone: its processes import this module and little else."""

import time
from dataclasses import dataclass

from redhanded.core import Outcome, read_record
from redhanded.engine import RunFolder
from redhanded.engine.step import Step


@dataclass(frozen=True)
class Write(Step):
    """Check that all it needs is marked, then write a file."""

    name: str
    after: tuple["Write", ...] = ()
    fails: bool = False
    kind, version, stage = "write", 1, "writing"

    @property
    def specification(self) -> object:
        return self.name

    @property
    def title(self) -> str:
        return self.name

    @property
    def needs(self) -> tuple[Step, ...]:
        return self.after

    def run(self, folder: RunFolder) -> Outcome:
        for need in self.after:
            read_record(Outcome, folder.mark(need.key))
        if self.fails:
            raise ZeroDivisionError
        return Outcome(seconds=time.monotonic())
