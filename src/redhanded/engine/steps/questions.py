"""Choosing the settings that a question is put with, fitting an attributor on it, and asking it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redhanded.attributors import ATTRIBUTORS, Attributor, Knowledge, Prediction, answering, make_attributor
from redhanded.core import Outcome, read_record, seed_for
from redhanded.data import Pixels
from redhanded.engine.step import Step
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors, read_answers
from redhanded.engine.steps.sets import MeasureSuccess, column_reader, show
from redhanded.engine.store import RunFolder
from redhanded.sets import Samples, SetRef, Split, describe_set
from redhanded.studies import (
    Choice,
    Picked,
    Question,
    ReadColumn,
    Result,
    Scores,
    choose_settings,
    column_of,
    labels_of,
    load_picked,
    pick_images,
    project_features,
    score_answers,
    score_by_size,
    score_pooled,
)

SHOWN_POINTS = 40  # of a class, in a picture of the features


@dataclass(frozen=True)
class ChooseSetting(Step):
    """Choose the setting that stands for one (family, norm) where a question uses one."""

    sets: tuple[MeasureSuccess, ...]  # its sets of the train split, of every victim, each under AS_LEFT and `pixels`
    pixels: Pixels
    kind, version, stage = "choice", 1, "questions"

    @property
    def specification(self) -> object:
        return self.pixels

    @property
    def title(self) -> str:
        attack = self.sets[0].attack
        return f"choose a setting of {attack.family} {attack.norm}, {self.pixels}"

    def run(self, folder: RunFolder) -> Choice:
        started = time.monotonic()
        paths = {step.ref: step.sets.path(folder, step.attack) for step in self.sets}
        measured = list(dict.fromkeys(step.pixels for step in self.sets))
        cards = [describe_set(path, ref.victim, ref.attack, "train", measured, 0.0) for ref, path in paths.items()]
        (chosen,) = choose_settings(cards, self.pixels).values()
        return chosen.model_copy(update={"seconds": time.monotonic() - started})


@dataclass(frozen=True)
class AskedImages:
    """The images that a question is put with under one pixel protocol: what fitting and asking have in common."""

    question: Question
    sets: tuple[MeasureSuccess, ...]  # everything that the answer can depend on, both splits
    choices: tuple[ChooseSetting, ...]  # of each (family, norm) of which the question uses one setting
    pixels: Pixels
    seed: int
    most: dict[Split, int]  # images a class

    @property
    def specification(self) -> object:
        """As of a Step: all but the sets and the choices that decides which images these are."""
        classes = {name: list(selector) for name, selector in self.question.classes.items()}
        return [self.question.id, classes, self.question.held_out, self.pixels, self.seed, self.most]

    @property
    def steps(self) -> tuple[Step, ...]:
        """What must be done before the images are picked."""
        return (*self.sets, *self.choices)

    @property
    def seed_parts(self) -> tuple[object, ...]:
        """What the draws are made for."""
        return self.question.id, self.pixels, self.seed

    def pick(self, folder: RunFolder) -> tuple[dict[str, list[SetRef]], Picked]:
        """The sets of each class, and the images that were picked of them."""
        choices = (read_record(Choice, folder.mark(step.key)) for step in self.choices)
        chosen = {(choice.family, choice.norm): choice for choice in choices}
        refs = list(dict.fromkeys(step.ref for step in self.sets))
        classes = {name: selector.select(refs, chosen) for name, selector in self.question.classes.items()}
        return classes, pick_images(classes, self.reader(folder), self.seed_parts, self.most)

    def reader(self, folder: RunFolder) -> ReadColumn:
        """How the arrays of the sets are read; images that a split does not show are not eligible in it."""
        read = column_reader(self.sets, folder)

        def read_shown(ref: SetRef, split: Split, column: str, rows: np.ndarray | None) -> np.ndarray:
            values = read(ref, split, column, rows)
            hidden = column == "eligible" and not self.question.shows(ref.victim, split)
            return np.zeros_like(values) if hidden else values

        return read_shown

    def samples(
        self, folder: RunFolder, classes: Mapping[str, list[SetRef]], picked: Picked, split: Split, knowledge: Knowledge
    ) -> Samples:
        """What an attributor is shown of one split, by what it may know."""
        images = load_picked(classes, picked, self.reader(folder), self.pixels, split)
        return show(images, knowledge, self.sets, folder, split)


@dataclass(frozen=True)
class FitOnQuestion(Step):
    """Fit one attributor on one question; nothing is fitted where there are too few images to put it with."""

    images: AskedImages
    attributor: str
    settings: dict[str, Any]
    kind, version, stage = "fit-question", 1, "attributors"

    @property
    def specification(self) -> object:
        return [self.images.specification, self.attributor, ATTRIBUTORS[self.attributor].version, self.settings]

    @property
    def title(self) -> str:
        return f"fit {self.attributor} on {self.images.question.id}, {self.images.pixels}, seed {self.images.seed}"

    @property
    def needs(self) -> tuple[Step, ...]:
        return self.images.steps

    def record_path(self, folder: RunFolder) -> Path:
        images = self.images
        return folder.asked_record("fits", images.question.id, self.attributor, images.pixels, images.seed)

    def run(self, folder: RunFolder) -> Outcome:
        started, images = time.monotonic(), self.images
        classes, picked = images.pick(folder)
        if picked.enough:
            seed = seed_for(images.question.id, self.attributor, images.pixels, images.seed)
            attributor = make_attributor(self.attributor, self.settings, seed)
            samples = images.samples(folder, classes, picked, "train", attributor.knowledge)
            attributor.fit(samples).save(folder.attributor(self.key))
        return Outcome(seconds=time.monotonic() - started)


@dataclass(frozen=True)
class AskQuestion(Step):
    """Ask a fitted attributor one question under one pixel protocol, and measure its answers."""

    study: str
    source: str
    images: AskedImages
    attributor: str
    fitted: FitOnAll | JoinAttributors | FitOnQuestion
    cards: tuple[Step, ...]  # of the sets: a report wants them beside the result
    kind, version, stage = "question", 1, "questions"

    @property
    def specification(self) -> object:
        question = self.images.question
        place = [self.study, self.source, question.item, question.row, question.column]
        return [place, self.images.specification, self.attributor]

    @property
    def item(self) -> str:
        """The table or figure it belongs to."""
        return self.images.question.item

    @property
    def id(self) -> str:
        """How `--only` names it."""
        return self.images.question.id

    @property
    def title(self) -> str:
        return f"{self.id}, {self.attributor}, {self.images.pixels}"

    @property
    def needs(self) -> tuple[Step, ...]:
        return (*self.images.steps, *self.cards, self.fitted)

    @property
    def inputs(self) -> list[str]:
        return [step.key for step in (*self.images.steps, self.fitted)]  # the cards decide nothing

    def record_path(self, folder: RunFolder) -> Path:
        return folder.asked_record("questions", self.id, self.attributor, self.images.pixels, self.images.seed)

    def run(self, folder: RunFolder) -> Result:
        started, images, question = time.monotonic(), self.images, self.images.question
        knowledge = ATTRIBUTORS[self.attributor].attributor.knowledge
        classes, picked = images.pick(folder)
        scores, attempts = Scores("too few images"), 0
        if picked.enough:
            place = folder.attributor(self.fitted.key)
            attributor = Attributor.load(place)
            attempts = attributor.attempts_
            if isinstance(self.fitted, FitOnQuestion):
                prediction = attributor.answer(images.samples(folder, classes, picked, "test", knowledge))
            else:
                stored = read_answers(place)

                def look_up(ref: SetRef, split: Split, column: str, rows: np.ndarray | None) -> np.ndarray:
                    return getattr(stored[ref.name], column).numpy()[rows]

                columns = (
                    column_of(classes, picked.picks["test"], look_up, "test", name) for name in Prediction._fields
                )
                prediction = Prediction(*map(torch.from_numpy, columns))
            marginal = answering(attributor, {name: [ref.name for ref in refs] for name, refs in classes.items()})
            log_proba = marginal.answer(prediction.log_proba)
            points = []
            if question.projected:
                first = prediction.features.unflatten(0, (-1, picked.counts["test"]))[:, :SHOWN_POINTS]
                points = project_features(first.flatten(0, 1).numpy(), seed_for(question.id, "projection"))
            collapsed, temperature = marginal.collapsed_, marginal.temperature
            scores = score_answers(
                log_proba, labels_of(picked, "test"), list(classes), collapsed=collapsed, temperature=temperature
            )._replace(
                projection=points,
                by_size=score_by_size(log_proba, classes, picked, images.reader(folder), images.seed_parts),
                pooled=score_pooled(log_proba, picked),
            )
        return Result(
            study=self.study,
            source=self.source,
            question=question.id,
            item=question.item,
            row=question.row,
            column=question.column,
            attributor=self.attributor,
            knowledge=knowledge,
            pixels=images.pixels,
            seed=images.seed,
            classes=list(classes),
            sets={name: [ref.name for ref in members] for name, members in classes.items()},
            design=picked.design,
            n_train=picked.counts["train"],
            n_test=picked.counts["test"],
            chance=1 / len(classes),
            attempts=attempts,
            seconds=time.monotonic() - started,
            key=self.fitted.key if picked.enough else "",
            **scores._asdict(),
        )
