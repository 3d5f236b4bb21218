"""Measuring whether an attributor notices a family that it was not shown."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from redhanded.attributors import ATTRIBUTORS, DETECTORS, SURE, Attributor, Prediction, answering, measure_open_set
from redhanded.core import seed_for
from redhanded.engine.step import Step
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors, read_answers
from redhanded.engine.store import RunFolder
from redhanded.sets import NO_VICTIM, equally_many
from redhanded.studies import Unknown

MOST = 100  # images a set


@dataclass(frozen=True)
class MeasureUnknown(Step):
    """Ask an attributor that one family was kept from about the test images of all."""

    source: str
    attributor: str
    fitted: FitOnAll | JoinAttributors
    kind, version, stage = "unknown", 1, "unknown"
    item = "unknown"

    @property
    def specification(self) -> object:
        return [self.source, self.attributor]

    @property
    def title(self) -> str:
        return f"{self.id}, {self.attributor}, {self.fitted.basis.pixels}"

    @property
    def id(self) -> str:
        """How `--only` names it."""
        return f"unknown/{self.fitted.basis.without}"

    def record_path(self, folder: RunFolder) -> Path:
        basis = self.fitted.basis
        return folder.asked_record("unknown", basis.without, self.attributor, basis.pixels, basis.seed)

    def run(self, folder: RunFolder) -> Unknown:
        started, basis = time.monotonic(), self.fitted.basis
        place = folder.attributor(self.fitted.key)
        attributor, answers = Attributor.load(place), read_answers(place)
        controls = sorted({step.ref.name for step in basis.sets if step.ref.victim == NO_VICTIM})
        answered: dict[str, list[str]] = {}  # of each family the sets of which any image fools its victim
        for ref in (step.ref for step in basis.sets if step.sets.split == "test"):
            if ref.victim != NO_VICTIM and not answers[ref.name].log_proba.isnan().all():
                answered.setdefault(ref.attack.family, []).append(ref.name)
        unknown = self._gather([answers[name] for name in answered.pop(basis.without, [])])
        families = sorted(answered)
        members = {family: answered[family] for family in families}
        known = self._gather([answers[name] for names in members.values() for name in names])
        sizes = [len(names) for names in members.values()]
        truth = np.repeat(np.arange(len(families)), sizes).repeat(len(known.log_proba) // sum(sizes))
        by_family = answering(attributor, members | ({"control": controls} if controls else {}))
        right = by_family.answer(known.log_proba).argmax(1).numpy() == truth
        named = by_family.answer(unknown.log_proba).exp()[:, : len(families)]  # without the controls, which come last
        sure = named.amax(1).numpy() >= SURE
        is_control = torch.tensor([name in controls for name in attributor.classes_])
        scores = {name: detector.fit(attributor.held_out_, is_control) for name, detector in DETECTORS.items()}
        return Unknown(
            study=basis.study,
            source=self.source,
            family=basis.without,
            attributor=self.attributor,
            knowledge=ATTRIBUTORS[self.attributor].attributor.knowledge,
            pixels=basis.pixels,
            seed=basis.seed,
            n_known=len(right),
            n_unknown=len(sure),
            closed_accuracy=float(right.mean()),
            detectors={
                name: measure_open_set(score(known).numpy(), right, score(unknown).numpy(), sure)
                for name, score in scores.items()
            },
            seconds=time.monotonic() - started,
        )

    def _gather(self, answers: Sequence[Prediction]) -> Prediction:
        """The answers to equally many images of each set, set by set."""
        rng = np.random.default_rng(seed_for(self.id, self.fitted.basis.pixels, self.fitted.basis.seed))
        able = [np.flatnonzero(~answer.log_proba.isnan().any(1).numpy()) for answer in answers]
        parts = [
            [column[torch.from_numpy(rows)] for column in answer]
            for answer, rows in zip(answers, equally_many(able, rng, MOST), strict=True)
        ]
        return Prediction(*(torch.cat(column) for column in zip(*parts, strict=True)))
