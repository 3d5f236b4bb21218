"""Measuring whether an attributor notices a family that it was not shown."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from redhanded.attributors import ATTRIBUTORS, DETECTORS, SURE, Attributor, Prediction, answering, measure_open_set
from redhanded.core import seed_for
from redhanded.engine.step import Step
from redhanded.engine.steps.answers import read_answers
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.store import RunFolder
from redhanded.sets import NO_VICTIM, SetRef, equally_many
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
        """See Step."""
        return [self.source, self.attributor]

    @property
    def title(self) -> str:
        """See Step."""
        return f"{self.id}, {self.attributor}, {self.fitted.basis.pixels}"

    @property
    def id(self) -> str:
        """How `--only` names it."""
        return f"unknown/{self.fitted.basis.without}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return (self.fitted,)

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        basis = self.fitted.basis
        return folder.unknown_record(basis.without, self.attributor, basis.pixels, basis.seed)

    def run(self, folder: RunFolder) -> Unknown:
        """See Step."""
        started, fitted = time.monotonic(), self.fitted.basis
        place = folder.attributor(self.fitted.key)
        attributor, answers = Attributor.load(place), read_answers(place)
        refs = {
            step.ref.name: step.ref for step in fitted.attack_sets if not answers[step.ref.name].log_proba.isnan().all()
        }
        families = sorted({ref.attack.family for ref in refs.values()} - {fitted.without})
        members = {family: [name for name, ref in refs.items() if ref.attack.family == family] for family in families}
        known, truth = self._gather([name for names in members.values() for name in names], refs, answers)
        unknown, _ = self._gather(
            [name for name, ref in refs.items() if ref.attack.family == fitted.without], refs, answers
        )
        controls = {step.ref.name for step in fitted.sets if step.ref.victim == NO_VICTIM}
        is_control = torch.tensor([name in controls for name in attributor.classes_])
        by_family = answering(attributor, members | ({"control": sorted(controls)} if controls else {}))
        right = by_family.answer(known.log_proba).argmax(1).numpy() == np.searchsorted(families, truth)
        named = by_family.answer(unknown.log_proba).exp()[:, : len(families)]  # without the controls, which come last
        sure = named.amax(1).numpy() >= SURE
        scores = {name: kind.fit(attributor.held_out_, is_control) for name, kind in DETECTORS.items()}
        return Unknown(
            study=fitted.study,
            source=self.source,
            family=fitted.without,
            attributor=self.attributor,
            knowledge=ATTRIBUTORS[self.attributor].attributor.knowledge,
            pixels=fitted.pixels,
            seed=fitted.seed,
            n_known=len(right),
            n_unknown=len(sure),
            closed_accuracy=float(right.mean()),
            detectors={
                name: measure_open_set(score(known).numpy(), right, score(unknown).numpy(), sure)
                for name, score in scores.items()
            },
            seconds=time.monotonic() - started,
        )

    def _gather(
        self, names: list[str], refs: dict[str, SetRef], answers: dict[str, Prediction]
    ) -> tuple[Prediction, list[str]]:
        """The answers to equally many images of each set, and the family of each."""
        rng = np.random.default_rng(seed_for(self.id, self.fitted.basis.pixels, self.fitted.basis.seed))
        able = {name: np.flatnonzero(~answers[name].log_proba.isnan().any(1).numpy()) for name in names}
        rows = dict(zip(able, map(torch.from_numpy, equally_many(list(able.values()), rng, MOST)), strict=True))
        parts = [Prediction(*(part[chosen] for part in answers[name])) for name, chosen in rows.items()]
        families = [refs[name].attack.family for name, chosen in rows.items() for _ in chosen]
        return Prediction(*(torch.cat(column) for column in zip(*parts, strict=True))), families
