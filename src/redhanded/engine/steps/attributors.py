"""Fitting an attributor once on all sets of a study, and its answers to all test images, for every question."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redhanded.attributors import ATTRIBUTORS, Attributor, Joined, Prediction, make_attributor
from redhanded.core import seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.engine.step import Done, Step
from redhanded.engine.steps.access import ACCESS
from redhanded.engine.steps.answers import read_answers, write_answers
from redhanded.engine.steps.sets import MeasureSuccess, column_reader
from redhanded.engine.store import RunFolder
from redhanded.sets import NO_VICTIM, Samples
from redhanded.studies import load_sets


@dataclass(frozen=True)
class FitOnAll(Step):
    """Fit one attributor to tell all sets of a study apart, under one pixel protocol, and ask it of the test images."""

    study: str
    sets: tuple[MeasureSuccess, ...]  # of both splits
    attributor: str
    settings: dict[str, Any]
    pixels: Pixels
    seed: int
    most: int  # images a set
    without: str = ""  # a family that is kept from it, to see whether it is noticed
    kind, version, stage = "fit", 1, "attributors"

    @property
    def specification(self) -> object:
        """See Step."""
        row = ATTRIBUTORS[self.attributor]
        what = [self.attributor, row.version, self.settings]
        return [self.study, what, self.pixels, self.seed, self.most, self.without]

    @property
    def title(self) -> str:
        """See Step."""
        return f"fit {self.attributor} {self.shown}, {self.pixels}, seed {self.seed}"

    @property
    def shown(self) -> str:
        """On what it is fitted, in words."""
        return f"without {self.without}" if self.without else "on all sets"

    @property
    def basis(self) -> "FitOnAll":
        """The step that says what was fitted on what: this one."""
        return self

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return self.sets

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        return folder.fit_record(self.shown, self.attributor, self.pixels, self.seed)

    @property
    def attack_sets(self) -> list[MeasureSuccess]:
        """The test sets that are no controls."""
        return [step for step in self.sets if step.sets.split == "test" and step.ref.victim != NO_VICTIM]

    def run(self, folder: RunFolder) -> Done:
        """See Step."""
        started = time.monotonic()
        read = column_reader(self.sets, folder)
        what = ("all sets", self.pixels, self.seed)  # the same images for every attributor, so that they can be joined
        refs = [step.ref for step in self.sets if step.sets.split == "train"]
        shown = [ref for ref in refs if ref.attack.family != self.without]
        samples = load_sets(shown, read, self.pixels, seed_for(*what, "pick"), self.most)
        attributor = make_attributor(self.attributor, self.settings, seed_for(*what))
        place, show = folder.attributor(self.key), ACCESS[attributor.knowledge]
        attributor.fit(show(self.sets, folder, "train", samples)).save(place)
        able = {ref: read(ref, "test", "eligible", None) for ref in refs}
        images, index = (
            torch.from_numpy(np.concatenate([read(ref, "test", name, np.flatnonzero(able[ref])) for ref in refs]))
            for name in ("images", "index")
        )
        asked = Samples(PIXELS[self.pixels].apply(images), torch.zeros_like(index), attributor.classes_, index)
        answer = attributor.answer(show(self.sets, folder, "test", asked))
        counts = [int(rows.sum()) for rows in able.values()]
        parts = zip(*(column.split(counts) for column in answer), strict=True)
        answers = {
            ref.name: Prediction(*(_spread(column, able[ref]) for column in part))
            for ref, part in zip(refs, parts, strict=True)
        }
        write_answers(place, answers)
        return Done(seconds=time.monotonic() - started)


def _spread(values: Tensor, able: np.ndarray) -> Tensor:
    """Values where `able` is true, in order, and NaN elsewhere."""
    rows = torch.from_numpy(np.flatnonzero(able))
    return values.new_full((len(able), values.shape[1]), torch.nan).index_copy(0, rows, values)


@dataclass(frozen=True)
class JoinAttributors(Step):
    """Join attributors that were fitted on the same images, and their answers to the test images."""

    parts: tuple[FitOnAll, ...]
    kind, version, stage = "join", 1, "attributors"

    @property
    def specification(self) -> object:
        """See Step."""
        return ATTRIBUTORS[Joined.kind].version

    @property
    def title(self) -> str:
        """See Step."""
        names = " and ".join(part.attributor for part in self.parts)
        return f"join {names} {self.basis.shown}, {self.basis.pixels}, seed {self.basis.seed}"

    @property
    def basis(self) -> FitOnAll:
        """One of the parts, which were fitted on the same images."""
        return self.parts[0]

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return self.parts

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        return folder.fit_record(self.basis.shown, Joined.kind, self.basis.pixels, self.basis.seed)

    def run(self, folder: RunFolder) -> Done:
        """See Step."""
        started = time.monotonic()
        places = [folder.attributor(part.key) for part in self.parts]
        joined = Joined().join([Attributor.load(place) for place in places])
        joined.save(folder.attributor(self.key))
        stored = [read_answers(place) for place in places]
        answers = {name: joined.combine([part[name] for part in stored]) for name in stored[0]}
        write_answers(folder.attributor(self.key), answers)
        return Done(seconds=time.monotonic() - started)
