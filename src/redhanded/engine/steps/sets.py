"""Making adversarial sets, shard by shard, measuring whom they fool, and counting what they hold."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from redhanded.attacks import ATTACKS, AttackSpec
from redhanded.attacks.toolchains import TOOLCHAINS, toolchain_version
from redhanded.attributors import Knowledge
from redhanded.core import Outcome, digest, read_record, seed_for
from redhanded.data import PIXELS, Pixels
from redhanded.engine.step import Step
from redhanded.engine.steps.victims import TrainVictim, open_source
from redhanded.engine.store import RunFolder
from redhanded.models import load_victim
from redhanded.sets import (
    BATCH,
    NO_VICTIM,
    Samples,
    SetCard,
    SetRef,
    Split,
    attacked_index,
    describe_set,
    make_sets,
    predict_classes,
    read_column,
    succeeded,
    write_shard,
)
from redhanded.studies import ReadColumn


@dataclass(frozen=True)
class Pictures:
    """A source that is not the victim's own; its pictures are called what the victim calls them."""

    source: str
    path: Path | None
    digest: str


@dataclass(frozen=True)
class MakeSets:
    """The adversarial sets of the attacks that go into one call, for one victim and split; cut into shards."""

    victim: TrainVictim
    attacks: tuple[AttackSpec, ...]
    split: Split
    images: int
    shard_images: int
    seed: int  # of the study: which source images are attacked
    pictures: Pictures | None = None  # instead of the victim's own source

    def key(self, attack: AttackSpec) -> str:
        """SHA-256 of everything that decides one of the sets: not which others share its call."""
        versions = (MakeShard.version, ATTACKS[attack.family].version, TOOLCHAINS[attack.toolchain].version)
        others = (self.pictures.digest,) if self.pictures else ()
        images = (self.split, self.images, self.shard_images, self.seed, *others)
        return digest("set", versions, self.victim.key, str(attack), images)

    def path(self, run: RunFolder, attack: AttackSpec) -> Path:
        """Where one of the sets is."""
        return run.set(SetRef(self.victim.spec.name, attack), self.split, self.key(attack))

    def shards(self) -> tuple["MakeShard", ...]:
        """One step for each shard."""
        return tuple(MakeShard(self, start) for start in range(0, self.images, self.shard_images))


@dataclass(frozen=True)
class MakeShard(Step):
    """Run the attacks of one call on one shard of the images."""

    sets: MakeSets
    start: int
    kind, version, stage = "shard", 1, "adversarial sets"

    @property
    def specification(self) -> object:
        return [[self.sets.key(attack) for attack in self.sets.attacks], self.start]

    @property
    def title(self) -> str:
        names = " + ".join(attack.label for attack in self.sets.attacks)
        return f"{names} on {self.sets.victim.spec.name}, {self.sets.split} images from {self.start}"

    @property
    def needs(self) -> tuple[Step, ...]:
        return (self.sets.victim,)

    def run(self, folder: RunFolder) -> Outcome:
        started, sets, step = time.monotonic(), self.sets, self.sets.victim
        pictures = sets.pictures or Pictures(step.source, step.source_path, step.source_digest)
        victim, source = load_victim(step.folder(folder)), open_source(pictures.source, pictures.path)
        index = attacked_index(source, sets.split, sets.images, sets.seed)[self.start :][: sets.shard_images]
        split = source.split(sets.split)
        images = torch.from_numpy(split.images[index]).float() / 255
        labels = torch.from_numpy(split.labels[index])
        if sets.pictures:
            labels = predict_classes(victim.network, images, BATCH)
        places, draw_seed = torch.from_numpy(index), seed_for("drawn", sets.victim.key, sets.split, sets.seed)
        outputs = make_sets(victim.network, images, labels, places, sets.attacks, pixels=(), seed=draw_seed)
        seconds = (time.monotonic() - started) / len(outputs)
        for output in outputs:
            attack = output.attack
            provenance = {
                "toolchain": attack.toolchain,
                "toolchain_version": toolchain_version(attack.toolchain),
                "attack": str(attack),
                "victim": victim.card.name,
                "victim_weights": victim.card.weights_digest,
                "source": pictures.source,
                "source_digest": pictures.digest,
                "split": sets.split,
                "seed": sets.seed,
                "key": sets.key(attack),
                "shard_images": sets.shard_images,
                "torch": torch.__version__,
            }
            path = sets.path(folder, attack)
            write_shard(path, self.start, sets.images, sets.shard_images, output.columns(), provenance)
        return Outcome(seconds=seconds)


@dataclass(frozen=True)
class MeasureSuccess(Step):
    """Ask the victim about every image of a set under one pixel protocol; the answers become columns of the set.

    This step stands for the set under that protocol: whatever reads images of a set names it.
    """

    sets: MakeSets
    attack: AttackSpec
    pixels: Pixels
    kind, version, stage = "success", 1, "adversarial sets"

    @property
    def specification(self) -> object:
        return [self.pixels, PIXELS[self.pixels].version]

    @property
    def ref(self) -> SetRef:
        """The set, as questions name it."""
        control = ATTACKS[self.attack.family].control
        return SetRef(NO_VICTIM if control else self.sets.victim.spec.name, self.attack)

    @property
    def title(self) -> str:
        return f"measure {self.ref.name}, {self.sets.split}, {self.pixels}"

    @property
    def needs(self) -> tuple[Step, ...]:
        return self.sets.shards()

    @property
    def inputs(self) -> list[str]:
        return [self.sets.key(self.attack)]  # not the shards, which hold other sets as well

    def column(self, folder: RunFolder, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One array of the set; `eligible`: which images count, those that fool their victim, of a control all."""
        if name == "eligible":
            name = "attacked" if self.ref.victim == NO_VICTIM else f"success_{self.pixels}"
        return read_column(self.sets.path(folder, self.attack), name, rows)

    def run(self, folder: RunFolder) -> Outcome:
        started, sets, path = time.monotonic(), self.sets, self.sets.path(folder, self.attack)
        victim = load_victim(sets.victim.folder(folder))
        for start in range(0, sets.images, sets.shard_images):
            rows = np.arange(start, min(start + sets.shard_images, sets.images))
            images, label, attacked, linf = (
                torch.from_numpy(read_column(path, name, rows)) for name in ("images", "label", "attacked", "linf")
            )
            prediction = predict_classes(victim.network, PIXELS[self.pixels].apply(images), BATCH)
            success = succeeded(attacked, linf, prediction, label)
            columns = {f"prediction_{self.pixels}": prediction, f"success_{self.pixels}": success}
            write_shard(path, start, sets.images, sets.shard_images, columns, {})
        return Outcome(seconds=time.monotonic() - started)


def column_reader(measured: Sequence[MeasureSuccess], folder: RunFolder) -> ReadColumn:
    """Reads the arrays of some sets, of both splits, all under one pixel protocol."""
    by_place = {(step.ref, step.sets.split): step for step in measured}
    return lambda ref, split, column, rows: by_place[ref, split].column(folder, column, rows)


def show(
    samples: Samples, knowledge: Knowledge, sets: Sequence[MeasureSuccess], folder: RunFolder, split: Split
) -> Samples:
    """Samples of some sets with what the knowledge protocol adds: the defender's own victims, or the clean images."""
    if knowledge == "candidates":
        trained = {step.sets.victim.spec.name: step.sets.victim for step in sets}
        victims = {name: load_victim(victim.folder(folder)).network for name, victim in trained.items()}
        return replace(samples, victims=victims)
    if knowledge == "oracle":
        victim = sets[0].sets.victim
        images = open_source(victim.source, victim.source_path).split(split).images
        return replace(samples, clean=torch.from_numpy(images[np.asarray(samples.index)]).float() / 255)
    return samples


@dataclass(frozen=True)
class DescribeSet(Step):
    """Count what a finished set holds."""

    measured: tuple[MeasureSuccess, ...]  # of one set under several pixel protocols
    kind, version, stage = "card", 1, "adversarial sets"

    @property
    def specification(self) -> object:
        return []

    @property
    def ref(self) -> SetRef:
        """The set, as questions name it."""
        return self.measured[0].ref

    @property
    def split(self) -> Split:
        """Of the source."""
        return self.measured[0].sets.split

    @property
    def title(self) -> str:
        return f"describe {self.ref.name}, {self.split}"

    def record_path(self, folder: RunFolder) -> Path:
        return folder.results / "sets" / self.ref.victim / f"{self.ref.attack.label}-{self.split}.json"

    def column(self, folder: RunFolder, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One array of the set."""
        return self.measured[0].column(folder, name, rows)

    def run(self, folder: RunFolder) -> SetCard:
        sets, attack = self.measured[0].sets, self.measured[0].attack
        marks = [folder.mark(step.key) for step in (*sets.shards(), *self.measured)]
        seconds = sum(read_record(Outcome, mark).seconds for mark in marks)
        pixels = [step.pixels for step in self.measured]
        return describe_set(sets.path(folder, attack), self.ref.victim, attack, self.split, pixels, seconds)
