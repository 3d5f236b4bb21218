"""Fitting an attributor once on all sets of a study, and its answers to all test images, for every question."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from redhanded.attributors import ATTRIBUTORS, Attributor, Joined, Prediction, make_attributor
from redhanded.core import Outcome, seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.engine.step import Step
from redhanded.engine.steps.sets import MeasureSuccess, column_reader, show
from redhanded.engine.store import RunFolder
from redhanded.sets import Samples
from redhanded.studies import load_sets

ANSWERS = "answers.safetensors"  # to every test image: each question is put by looking them up


def write_answers(folder: Path, answers: Mapping[str, Prediction]) -> None:
    """Write the answers to each set into an attributor's folder; NaN stands where an image fools nobody."""
    columns = {f"{part}/{name}": value for name, answer in answers.items() for part, value in answer._asdict().items()}
    save_file({name: value.contiguous() for name, value in columns.items()}, folder / ANSWERS)


def read_answers(folder: Path) -> dict[str, Prediction]:
    """Read what `write_answers` wrote."""
    columns = load_file(folder / ANSWERS)
    names = [name.removeprefix("log_proba/") for name in columns if name.startswith("log_proba/")]
    return {name: Prediction(columns[f"log_proba/{name}"], columns[f"features/{name}"]) for name in names}


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
        attributor = [self.attributor, ATTRIBUTORS[self.attributor].version, self.settings]
        return [self.study, attributor, self.pixels, self.seed, self.most, self.without]

    @property
    def title(self) -> str:
        return f"fit {self.attributor} {self.shown}, {self.pixels}, seed {self.seed}"

    @property
    def shown(self) -> str:
        """On what it is fitted, in words."""
        return f"without {self.without}" if self.without else "on all sets"

    @property
    def basis(self) -> "FitOnAll":
        """The step that says what was fitted on what: this one."""
        return self

    def record_path(self, folder: RunFolder) -> Path:
        return folder.asked_record("fits", self.shown.replace(" ", "-"), self.attributor, self.pixels, self.seed)

    def run(self, folder: RunFolder) -> Outcome:
        started = time.monotonic()
        read = column_reader(self.sets, folder)
        draws = ("all sets", self.pixels, self.seed)  # the same images for every attributor, so that they can be joined
        refs = [step.ref for step in self.sets if step.sets.split == "train"]
        shown = [ref for ref in refs if ref.attack.family != self.without]
        samples = load_sets(shown, read, self.pixels, seed_for(*draws, "pick"), self.most)
        attributor = make_attributor(self.attributor, self.settings, seed_for(*draws))
        attributor.fit(show(samples, attributor.knowledge, self.sets, folder, "train"))
        attributor.save(folder.attributor(self.key))
        eligible = {ref: read(ref, "test", "eligible", None) for ref in refs}
        rows = {ref: np.flatnonzero(able) for ref, able in eligible.items()}
        images, index = (
            torch.from_numpy(np.concatenate([read(ref, "test", name, rows[ref]) for ref in refs]))
            for name in ("images", "index")
        )
        asked = Samples(PIXELS[self.pixels].apply(images), torch.zeros_like(index), attributor.classes_, index)
        predicted = attributor.answer(show(asked, attributor.knowledge, self.sets, folder, "test"))
        parts = zip(*(column.split([len(rows[ref]) for ref in refs]) for column in predicted), strict=True)
        answers = {}
        for ref, part in zip(refs, parts, strict=True):
            size, places = len(eligible[ref]), torch.from_numpy(rows[ref])
            answers[ref.name] = Prediction(
                *(values.new_full((size, values.shape[1]), torch.nan).index_copy(0, places, values) for values in part)
            )
        write_answers(folder.attributor(self.key), answers)
        return Outcome(seconds=time.monotonic() - started)


@dataclass(frozen=True)
class JoinAttributors(Step):
    """Join attributors that were fitted on the same images, and their answers to the test images."""

    parts: tuple[FitOnAll, ...]
    kind, version, stage = "join", 1, "attributors"

    @property
    def specification(self) -> object:
        return ATTRIBUTORS[Joined.kind].version

    @property
    def title(self) -> str:
        names = " and ".join(part.attributor for part in self.parts)
        return f"join {names} {self.basis.shown}, {self.basis.pixels}, seed {self.basis.seed}"

    @property
    def basis(self) -> FitOnAll:
        """One of the parts, which were fitted on the same images."""
        return self.parts[0]

    def record_path(self, folder: RunFolder) -> Path:
        basis = self.basis
        return folder.asked_record("fits", basis.shown.replace(" ", "-"), Joined.kind, basis.pixels, basis.seed)

    def run(self, folder: RunFolder) -> Outcome:
        started = time.monotonic()
        places = [folder.attributor(part.key) for part in self.parts]
        joined = Joined().join([Attributor.load(place) for place in places])
        joined.save(folder.attributor(self.key))
        stored = [read_answers(place) for place in places]
        answers = {name: joined.combine([part[name] for part in stored]) for name in stored[0]}
        write_answers(folder.attributor(self.key), answers)
        return Outcome(seconds=time.monotonic() - started)
