"""Describing images by numbers once, fitting attributors on these, and asking them along the axes of a study."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from redhanded.attributors import (
    ATTRIBUTORS,
    OTHERS,
    Attributor,
    Described,
    Prediction,
    make_attributor,
    own_and_others,
    stacked,
)
from redhanded.core import Outcome, seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.engine.step import Step
from redhanded.engine.steps.sets import DescribeSet, MeasureSuccess
from redhanded.engine.steps.victims import TrainVictim, open_source
from redhanded.engine.store import RunFolder
from redhanded.models import load_victim
from redhanded.sets import NO_VICTIM, Samples, SetRef
from redhanded.studies import AxisResult, Decision, SetEntry, Truth, score_axis


@dataclass(frozen=True)
class Images:
    """The images of one set that are described, in order of their rows."""

    described: Described
    index: Tensor  # (n,) int64: where each stands in its source's split
    parameters: dict[str, Tensor]  # (n,) of each range the values drawn


@dataclass(frozen=True)
class DescribeImages(Step):
    """Describe the eligible images of a set, after one pixel protocol, by numbers of the image and of three victims.

    The victims are the one that was attacked and two others, drawn for each image; of a control three.
    """

    measured: MeasureSuccess  # says which images are eligible
    pixels: Pixels
    victims: tuple[TrainVictim, ...]  # those that others are drawn from
    kind, version, stage = "describe", 2, "descriptions"

    @property
    def specification(self) -> object:
        return [self.pixels, PIXELS[self.pixels].version, OTHERS]

    @property
    def title(self) -> str:
        return f"describe {self.measured.ref.name}, {self.measured.sets.split}, {self.pixels}"

    @property
    def candidates(self) -> tuple[TrainVictim, ...]:
        """All victims that an image may be shown to: the attacked one comes last where it is no other's candidate."""
        own = self.measured.sets.victim
        return self.victims if own in self.victims or self.measured.ref.victim == NO_VICTIM else (*self.victims, own)

    def path(self, folder: RunFolder) -> Path:
        """Where the numbers are."""
        return folder.root / "described" / f"{self.key[:16]}.safetensors"

    def run(self, folder: RunFolder) -> Outcome:
        started, measured = time.monotonic(), self.measured
        rows = np.flatnonzero(measured.column(folder, "eligible"))
        images = PIXELS[self.pixels].apply(torch.from_numpy(measured.column(folder, "images", rows)))
        names = [victim.spec.name for victim in self.candidates]
        own = -1 if measured.ref.victim == NO_VICTIM else names.index(measured.ref.victim)
        generator = torch.Generator().manual_seed(seed_for("candidates", self.key) % 2**32)
        shown = own_and_others(torch.full((len(rows),), own), len(names), OTHERS, generator)
        victims = {victim.spec.name: _network(victim.folder(folder)) for victim in self.candidates}
        described = Described.of(images, victims, shown)
        tensors = {
            "statistics": described.statistics,
            "numbers": described.numbers,
            "candidates": described.candidates,
            "rows": torch.from_numpy(rows),
        }
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        return Outcome(seconds=time.monotonic() - started)

    def count(self, folder: RunFolder) -> int:
        """How many images were described."""
        with safe_open(self.path(folder), "pt") as file:
            return int(file.get_slice("rows").get_shape()[0])

    def read(self, folder: RunFolder) -> Images:
        """What was described."""
        tensors = load_file(self.path(folder))
        rows = tensors.pop("rows").numpy()
        names = tuple(victim.spec.name for victim in self.candidates)
        drawn = self.measured.attack.ranges
        return Images(
            Described(**tensors, names=names),
            torch.from_numpy(self.measured.column(folder, "index", rows)),
            {name: torch.from_numpy(self.measured.column(folder, f"parameter_{name}", rows)) for name in drawn},
        )


@cache
def _network(folder: Path) -> nn.Module:
    """A victim, read once in each process."""
    return load_victim(folder).network


@dataclass(frozen=True)
class FitOnDescribed(Step):
    """Fit one attributor on images that were described, as the study's protocol left them and after transports."""

    study: str
    sets: tuple[tuple[DescribeImages, ...], ...]  # for each way, of the train split, all ways of the same images
    attributor: str
    settings: dict[str, Any]
    pixels: Pixels
    seed: int
    without: str = ""  # what is kept from it, to see what becomes of it: said in the record
    kind, version, stage = "fit-described", 1, "attributors"

    @property
    def specification(self) -> object:
        attributor = [self.attributor, ATTRIBUTORS[self.attributor].version, self.settings]
        return [self.study, attributor, self.pixels, self.seed, len(self.sets)]

    @property
    def title(self) -> str:
        shown = f"without {self.without}" if self.without else "on all sets"
        return f"fit {self.attributor} {shown}, {self.pixels}, seed {self.seed}"

    @property
    def needs(self) -> tuple[Step, ...]:
        return tuple(step for way in self.sets for step in way)

    def record_path(self, folder: RunFolder) -> Path:
        shown = f"without-{self.without}" if self.without else "on-all-sets"
        return folder.asked_record("fits", shown, self.attributor, self.pixels, self.seed)

    def run(self, folder: RunFolder) -> Outcome:
        started = time.monotonic()
        first = [step.read(folder) for step in self.sets[0]]
        kept = [
            place for place, images in enumerate(first) if len(images.index)
        ]  # a set of which nothing fools is none
        first, steps = [first[place] for place in kept], [self.sets[0][place] for place in kept]
        ways = [stacked([images.described for images in first])]
        ways += [stacked([way[place].read(folder).described for place in kept]) for way in self.sets[1:]]
        refs = tuple(step.measured.ref for step in steps)
        seed = seed_for("described", self.pixels, self.seed)
        attributor: Any = make_attributor(self.attributor, self.settings, seed)  # the plan has it factored
        attributor.fit_described(ways, _labelled(first, refs, steps[0].measured.sets.victim))
        attributor.save(folder.attributor(self.key))
        return Outcome(seconds=time.monotonic() - started)


def _labelled(images: Sequence[Images], refs: tuple[SetRef, ...], victim: TrainVictim) -> Samples:
    """The labels of described images, set by set; of the images themselves the shape alone."""
    sizes = torch.tensor([len(own.index) for own in images])
    shape = open_source(victim.source, victim.source_path).shape
    return Samples(
        images=torch.zeros(1).expand(int(sizes.sum()), *shape),
        labels=torch.arange(len(refs)).repeat_interleave(sizes),
        classes=tuple(ref.name for ref in refs),
        index=torch.cat([own.index for own in images]),
        sets=refs,
        parameters=_parameters(images),
    )


def _parameters(images: Sequence[Images]) -> dict[str, Tensor]:
    """What each image of some sets drew of every range, (n,) float64 set by set; NaN where it drew none."""
    missing = [torch.full((len(own.index),), torch.nan, dtype=torch.float64) for own in images]
    return {
        name: torch.cat([own.parameters.get(name, gap).double() for own, gap in zip(images, missing, strict=True)])
        for name in dict.fromkeys(name for own in images for name in own.parameters)
    }


@dataclass(frozen=True)
class AskAxis(Step):
    """Ask a fitted attributor about the test images of some sets, and measure its answers end to end."""

    study: str
    source: str
    axis: str
    axis_title: str
    fitted: FitOnDescribed
    sets: tuple[DescribeImages, ...]
    strangers: bool = False  # the attacked victim is left out of the candidates
    cards: tuple[DescribeSet, ...] = ()  # of the sets: a report wants them beside the result
    kind, version, stage = "axis", 1, "axes"

    @property
    def specification(self) -> object:
        return [self.study, self.source, self.axis, self.axis_title, self.strangers, self.fitted.without]

    @property
    def title(self) -> str:
        return f"{self.id}, {self.fitted.attributor}, {self.fitted.pixels}"

    @property
    def inputs(self) -> list[str]:
        return [step.key for step in (self.fitted, *self.sets)]  # the cards decide nothing

    @property
    def attributor(self) -> str:
        """The name of what is asked."""
        return self.fitted.attributor

    @property
    def item(self) -> str:
        """How `--only` names all axes."""
        return "axes"

    @property
    def id(self) -> str:
        """How `--only` names it."""
        return f"axes/{self.axis}"

    def record_path(self, folder: RunFolder) -> Path:
        fitted = self.fitted
        name = f"{self.axis}-without-{fitted.without}" if fitted.without else self.axis
        return folder.asked_record("axes", name, fitted.attributor, fitted.pixels, fitted.seed)

    def run(self, folder: RunFolder) -> AxisResult:
        started, fitted = time.monotonic(), self.fitted
        attributor: Any = Attributor.load(folder.attributor(fitted.key))
        shown = (1, 1 + OTHERS) if self.strangers else (0, 1 + OTHERS)
        images = [step.read(folder) for step in self.sets]
        answers = [attributor.answer_described(own.described.shown(*shown)) for own in images if len(own.index)]
        answer = Prediction(*map(torch.cat, zip(*answers, strict=True)))
        sizes = np.array([len(own.index) for own in images])
        truth = Truth(
            entries=[SetEntry.of(step.measured.ref) for step in self.sets],
            of=np.arange(len(images)).repeat(sizes),
            parameters={name: values.numpy() for name, values in _parameters(images).items()},
        )
        trained = {step.measured.ref.name: SetEntry.of(step.measured.ref) for step in fitted.sets[0]}
        scores = score_axis(Decision(attributor, trained), answer, truth, fitted.without)
        return AxisResult(
            study=self.study,
            source=self.source,
            axis=self.axis,
            title=self.axis_title,
            attributor=fitted.attributor,
            knowledge=attributor.knowledge,
            pixels=fitted.pixels,
            transport=self.sets[0].pixels,
            seed=fitted.seed,
            without=fitted.without,
            strangers=self.strangers,
            n_train=sum(step.count(folder) for step in fitted.sets[0]),
            key=fitted.key,
            seconds=time.monotonic() - started,
            **scores,
        )
