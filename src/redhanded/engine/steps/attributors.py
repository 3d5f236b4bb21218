"""Fitting an attributor once on all sets of a study, to answer every question by it."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from redhanded.attributors import ATTRIBUTORS
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps.base import Done, Step
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.steps.shown import SHOWN
from redhanded.evaluation import gather_sets
from redhanded.identity import code_digest, digest, imports_of, seed_for
from redhanded.questions import SetRef
from redhanded.results import Pixels
from redhanded.samples import Split

FITTING_CODE = ("redhanded.evaluation", "redhanded.samples", "redhanded.training", "redhanded.views")


@dataclass(frozen=True)
class FitOnAll(Step):
    """Fit one attributor to tell all sets of a study apart, under one pixel protocol."""

    study: str
    sets: tuple[DescribeSet, ...]  # of the train split
    attributor: str
    settings: dict[str, Any]
    pixels: Pixels
    seed: int
    most: int  # images a set
    stage = "attributors"

    @cached_property
    def key(self) -> str:
        """See Step."""
        how = (self.attributor, self.settings, self.pixels, self.seed, self.most)
        code = code_digest(FITTING_CODE + imports_of(ATTRIBUTORS[self.attributor].attributor.__module__))
        return digest("fit", self.study, [step.key for step in self.sets], how, code)

    @property
    def title(self) -> str:
        """See Step."""
        return f"fit {self.attributor} on all sets, {self.pixels}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return self.sets

    def run(self, folder: RunFolder) -> Done:
        """See Step."""
        started = time.monotonic()
        by_ref = {step.ref: step for step in self.sets}

        def read(ref: SetRef, split: Split, column: str, rows: np.ndarray | None) -> np.ndarray:
            return by_ref[ref].column(folder, column, rows)

        what = ("all sets", self.attributor, self.pixels, self.seed)
        samples = gather_sets(list(by_ref), read, self.pixels, seed_for(*what, "pick"), self.most)
        kind = ATTRIBUTORS[self.attributor]
        attributor = kind.attributor(kind.settings.model_validate(self.settings), seed_for(*what))
        shown = SHOWN[attributor.knowledge](self.sets, folder, "train", samples)
        attributor.fit(shown).save(folder.attributor(self.key))
        return Done(seconds=time.monotonic() - started)
