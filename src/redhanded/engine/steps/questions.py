"""Asking a question of an attributor."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from redhanded.attributors import ATTRIBUTORS, Attributor, answering
from redhanded.choice import choose_settings
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps.attributors import FitOnAll
from redhanded.engine.steps.base import Step
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.steps.shown import SHOWN
from redhanded.evaluation import Scores, gather, score
from redhanded.identity import code_digest, digest, imports_of, seed_for
from redhanded.questions import Question, SetRef
from redhanded.results import Pixels, Result, SetCard, read_record
from redhanded.samples import Samples, Split

# The modules whose code decides what comes out: a change there fits and measures anew.
QUESTION_CODE = (
    "redhanded.choice",
    "redhanded.evaluation",
    "redhanded.metrics",
    "redhanded.networks",
    "redhanded.samples",
    "redhanded.training",
    "redhanded.views",
    "redhanded.weights",
)


@dataclass(frozen=True)
class AskQuestion(Step):
    """Fit one attributor on one question under one pixel protocol, and measure it."""

    study: str
    source: str
    question: Question
    sets: tuple[DescribeSet, ...]  # everything that the answer can depend on, both splits
    attributor: str
    settings: dict[str, Any]
    pixels: Pixels
    seed: int
    most: dict[Split, int]  # images a class
    whole: FitOnAll | None = None  # where the attributor is fitted on all sets, and not on the question
    stage = "questions"

    @cached_property
    def key(self) -> str:
        """See Step."""
        what = {name: list(selector) for name, selector in self.question.classes.items()}
        asked = (self.study, self.source, self.question.id, self.question.item, self.question.row, what)
        how = (self.attributor, self.settings, self.pixels, self.seed, self.most)
        code = code_digest(QUESTION_CODE + imports_of(ATTRIBUTORS[self.attributor].attributor.__module__))
        fitted = self.whole.key if self.whole else None
        return digest("question", asked, [step.key for step in self.sets], how, fitted, code)

    @property
    def title(self) -> str:
        """See Step."""
        return f"{self.question.id}, {self.attributor}, {self.pixels}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return (*self.sets, *([self.whole] if self.whole else []))

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        return folder.question_record(self.question.id, self.attributor, self.pixels, self.seed)

    def run(self, folder: RunFolder) -> Result:
        """See Step."""
        started = time.monotonic()
        chosen = choose_settings([read_record(SetCard, folder.mark(step.key)) for step in self.sets], self.pixels)
        by_place = {(step.ref, step.sets.split): step for step in self.sets}
        refs = list(dict.fromkeys(step.ref for step in self.sets))
        classes = {name: selector.select(refs, chosen) for name, selector in self.question.classes.items()}

        def read(ref: SetRef, split: Split, column: str, rows: np.ndarray | None) -> np.ndarray:
            return by_place[ref, split].column(folder, column, rows)

        kind = ATTRIBUTORS[self.attributor]
        gathered = gather(classes, read, self.pixels, (self.question.id, self.pixels, self.seed), self.most)
        names = {name: [ref.name for ref in members] for name, members in classes.items()}
        if gathered.enough:
            shown = {
                split: SHOWN[kind.attributor.knowledge](self.sets, folder, split, samples)
                for split, samples in gathered.samples.items()
            }
            attributor = self._fitted(folder, shown["train"])
            scores = score(answering(attributor, names), shown["test"])
        else:
            scores = Scores("too few images")
        return Result(
            study=self.study,
            source=self.source,
            question=self.question.id,
            item=self.question.item,
            row=self.question.row,
            column=self.question.column,
            attributor=self.attributor,
            knowledge=kind.attributor.knowledge,
            pixels=self.pixels,
            seed=self.seed,
            classes=list(classes),
            sets=names,
            design=gathered.design,
            n_train=gathered.counts["train"],
            n_test=gathered.counts["test"],
            chance=1 / len(classes),
            attempts=attributor.attempts_ if gathered.enough else 0,
            seconds=time.monotonic() - started,
            key=self._fitted_key if gathered.enough else "",
            **scores._asdict(),
        )

    @property
    def _fitted_key(self) -> str:
        """Names the attributor that answers."""
        return self.whole.key if self.whole else self.key

    def _fitted(self, folder: RunFolder, train: Samples) -> Attributor:
        place = folder.attributor(self._fitted_key)
        if self.whole:
            return Attributor.load(place)
        kind = ATTRIBUTORS[self.attributor]
        settings = kind.settings.model_validate(self.settings)
        attributor: Attributor = kind.attributor(
            settings, seed_for(self.question.id, self.attributor, self.pixels, self.seed)
        )
        attributor.fit(train).save(place)
        return attributor
