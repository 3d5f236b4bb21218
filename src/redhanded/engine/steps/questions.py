"""Asking a question of an attributor."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redhanded.attributors import ATTRIBUTORS, Answer, Attributor, Marginal, answering
from redhanded.choice import choose_settings
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps.answers import StoredAnswers
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.steps.base import Step
from redhanded.engine.steps.sets import DescribeSet
from redhanded.engine.steps.shown import SHOWN
from redhanded.evaluation import (
    Classes,
    Picked,
    ReadColumn,
    Scores,
    column_of,
    labels_of,
    load,
    pick,
    score,
    score_by_size,
    score_together,
)
from redhanded.identity import code_digest, digest, imports_of, seed_for
from redhanded.projection import project
from redhanded.questions import Question, SetRef
from redhanded.results import Pixels, Result, SetCard, read_record
from redhanded.samples import Split

# The modules whose code decides what comes out: a change there fits and measures anew.
QUESTION_CODE = (
    "redhanded.calibration",
    "redhanded.choice",
    "redhanded.evaluation",
    "redhanded.metrics",
    "redhanded.networks",
    "redhanded.projection",
    "redhanded.samples",
    "redhanded.sizes",
    "redhanded.training",
    "redhanded.views",
    "redhanded.weights",
)

SHOWN_POINTS = 40  # of a class, in a picture of the features


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
    whole: FitOnAll | JoinAttributors | None = None  # where the attributor is fitted on all sets, not on the question
    stage = "questions"

    @cached_property
    def key(self) -> str:
        """See Step."""
        what = {name: list(selector) for name, selector in self.question.classes.items()}
        asked = (
            self.study,
            self.source,
            self.question.id,
            self.question.item,
            self.question.row,
            what,
            *self.question.held_out,
        )
        how = (self.attributor, self.settings, self.pixels, self.seed, self.most)
        code = code_digest(QUESTION_CODE + imports_of(ATTRIBUTORS[self.attributor].attributor.__module__))
        fitted = self.whole.key if self.whole else None
        return digest("question", asked, [step.key for step in self.sets], how, fitted, code)

    @property
    def item(self) -> str:
        """The table or figure it belongs to."""
        return self.question.item

    @property
    def id(self) -> str:
        """How `--only` names it."""
        return self.question.id

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
            values = by_place[ref, split].column(folder, column, rows)
            hidden = column == f"success_{self.pixels}" and not self.question.shows(ref.victim, split)
            return np.zeros_like(values) if hidden else values  # what a split does not show is not picked

        seed_parts = (self.question.id, self.pixels, self.seed)
        picked = pick(classes, read, self.pixels, seed_parts, self.most)
        scores, attempts = Scores("too few images"), 0
        if picked.enough:
            answer, given = self._answers(folder, classes, picked, read)
            log_proba = answer.answer(given.log_proba)
            scores = score(
                log_proba,
                labels_of(picked, "test"),
                list(classes),
                collapsed=answer.collapsed_,
                temperature=answer.temperature,
            )._replace(
                projection=self._project(given.features, picked.counts["test"]),
                by_size=score_by_size(log_proba, classes, picked, read, seed_parts),
                together=score_together(log_proba, picked),
            )
            attempts = answer.inner.attempts_
        return Result(
            study=self.study,
            source=self.source,
            question=self.question.id,
            item=self.question.item,
            row=self.question.row,
            column=self.question.column,
            attributor=self.attributor,
            knowledge=ATTRIBUTORS[self.attributor].attributor.knowledge,
            pixels=self.pixels,
            seed=self.seed,
            classes=list(classes),
            sets={name: [ref.name for ref in members] for name, members in classes.items()},
            design=picked.design,
            n_train=picked.counts["train"],
            n_test=picked.counts["test"],
            chance=1 / len(classes),
            attempts=attempts,
            seconds=time.monotonic() - started,
            key=self._fitted_key if picked.enough else "",
            **scores._asdict(),
        )

    def _answers(
        self, folder: RunFolder, classes: Classes, picked: Picked, read: ReadColumn
    ) -> tuple[Marginal, Answer]:
        """Who answers, and what the attributor behind it says of the test images."""
        members = {name: [ref.name for ref in refs] for name, refs in classes.items()}
        place = folder.attributor(self._fitted_key)
        if self.whole:
            stored = StoredAnswers(place)
            columns = (column_of(classes, picked.picks["test"], stored, "test", name) for name in Answer._fields)
            return answering(Attributor.load(place), members), Answer(*map(torch.from_numpy, columns))
        kind = ATTRIBUTORS[self.attributor]
        settings = kind.settings.model_validate(self.settings)
        seed = seed_for(self.question.id, self.attributor, self.pixels, self.seed)
        attributor: Attributor = kind.attributor(settings, seed)
        shown = {
            split: SHOWN[attributor.knowledge](
                self.sets, folder, split, load(classes, picked, read, self.pixels, split)
            )
            for split in picked.picks
        }
        attributor.fit(shown["train"]).save(place)
        return answering(attributor, members), attributor.answer(shown["test"])

    def _project(self, features: Tensor, count: int) -> list[tuple[float, float]]:
        """Points for the first images of each class, (classes * count, f), class by class."""
        if not self.question.projected:
            return []
        shown = features.unflatten(0, (-1, count))[:, :SHOWN_POINTS].flatten(0, 1)
        return project(shown.numpy(), seed_for(self.question.id, "projection"))

    @property
    def _fitted_key(self) -> str:
        """Names the attributor that answers."""
        return self.whole.key if self.whole else self.key
