"""The four kinds of steps a study is made of. A step is a frozen value whose key says all that decides its outcome."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redhanded.advset import read_column, write_shard
from redhanded.attacks import AttackSpec
from redhanded.attributors import ATTRIBUTORS
from redhanded.choice import choose_settings
from redhanded.data import Source, load_source
from redhanded.engine.layout import RunFolder
from redhanded.evaluation import Scores, gather, score
from redhanded.generation import generate
from redhanded.identity import code_digest, digest, seed_for
from redhanded.questions import Question, SetRef
from redhanded.results import Pixels, Record, Result, SetCard, VictimCard, read_record
from redhanded.samples import Split
from redhanded.victims import VictimSpec, load_victim, save_victim, train_victim

# The modules whose code decides what a kind of step makes; a change there makes its steps anew.
TRAINING_CODE = ("redhanded.networks", "redhanded.training", "redhanded.victims", "redhanded.weights")
ATTACK_CODE = (
    "redhanded.attacks.carlini_wagner",
    "redhanded.attacks.deepfool",
    "redhanded.attacks.fgsm",
    "redhanded.generation",
    "redhanded.norms",
    "redhanded.views",
)
QUESTION_CODE = (
    "redhanded.attributors.cnn6",
    "redhanded.choice",
    "redhanded.evaluation",
    "redhanded.networks",
    "redhanded.samples",
    "redhanded.training",
    "redhanded.views",
)


@cache
def open_source(name: str, path: Path | None) -> Source:
    """A source, read once in each process."""
    return load_source(name, path)


class Done(Record):
    """The record of a step whose outcome lies elsewhere."""

    seconds: float


class Step:
    """A unit of work: `needs` are steps that must be done first; `record` is where its record stands, if anywhere."""

    stage: str

    @property
    @abstractmethod
    def key(self) -> str:
        """SHA-256 of everything that decides the outcome."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the step does, for progress and errors."""

    @property
    def needs(self) -> tuple["Step", ...]:
        """The steps whose outcome this one reads."""
        return ()

    def record_path(self, folder: RunFolder) -> Path | None:
        """Where the record stands among the results."""
        return None

    @abstractmethod
    def run(self, folder: RunFolder) -> Record:
        """Do the work; the caller stores the record as the done-mark."""


@dataclass(frozen=True)
class TrainVictim(Step):
    """Train one victim."""

    spec: VictimSpec
    source: str
    source_path: Path | None
    source_digest: str
    weak_below: float
    stage = "victims"

    @cached_property
    def key(self) -> str:
        """See Step."""
        return digest("victim", self.spec.model_dump(), self.source_digest, self.weak_below, code_digest(TRAINING_CODE))

    @property
    def title(self) -> str:
        """See Step."""
        return f"train {self.spec.name}"

    def folder(self, run: RunFolder) -> Path:
        """Where the weights are."""
        return run.victim(self.spec.name, self.key)

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        return folder.victim_record(self.spec.name)

    def run(self, folder: RunFolder) -> VictimCard:
        """See Step."""
        network, card = train_victim(self.spec, open_source(self.source, self.source_path), self.weak_below)
        return save_victim(network, card, self.folder(folder))


@dataclass(frozen=True)
class MakeSets:
    """The adversarial sets of the attacks that go into one call, for one victim and split; cut into shards."""

    victim: TrainVictim
    attacks: tuple[AttackSpec, ...]
    split: Split
    images: int
    shard_images: int
    seed: int  # of the study: which source images are attacked

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the sets, their grid included."""
        grid = (self.split, self.images, self.shard_images, self.seed)
        return digest("sets", self.victim.key, [str(spec) for spec in self.attacks], grid, code_digest(ATTACK_CODE))

    def path(self, run: RunFolder, attack: AttackSpec) -> Path:
        """Where one of the sets is."""
        return run.set(SetRef(self.victim.spec.name, attack), self.split, self.key)

    def shards(self) -> tuple["MakeShard", ...]:
        """One step for each shard."""
        return tuple(MakeShard(self, start) for start in range(0, self.images, self.shard_images))


@dataclass(frozen=True)
class MakeShard(Step):
    """Run the attacks of one call on one shard of the images."""

    sets: MakeSets
    start: int
    stage = "adversarial sets"

    @cached_property
    def key(self) -> str:
        """See Step."""
        return digest("shard", self.sets.key, self.start)

    @property
    def title(self) -> str:
        """See Step."""
        names = " + ".join(attack.label for attack in self.sets.attacks)
        return f"{names} on {self.sets.victim.spec.name}, {self.sets.split} images from {self.start}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return (self.sets.victim,)

    def run(self, folder: RunFolder) -> Done:
        """See Step."""
        started, sets, victim_step = time.monotonic(), self.sets, self.sets.victim
        victim = load_victim(victim_step.folder(folder))
        source = open_source(victim_step.source, victim_step.source_path)
        index = attacked_index(source, sets.split, sets.images, sets.seed)[self.start :][: sets.shard_images]
        split = source.split(sets.split)
        images = torch.from_numpy(split.images[index]).float() / 255
        labels = torch.from_numpy(split.labels[index])
        made = generate(victim.network, images, labels, sets.attacks, index=torch.from_numpy(index))
        seconds = (time.monotonic() - started) / len(made)
        for shard in made:
            provenance = {
                "toolchain": "redhanded",
                "attack": str(shard.attack),
                "victim": victim.card.name,
                "victim_weights": victim.card.weights_digest,
                "source": source.name,
                "source_digest": source.digest,
                "split": sets.split,
                "key": sets.key,
                "shard_images": sets.shard_images,
                "torch": torch.__version__,
            }
            path = sets.path(folder, shard.attack)
            write_shard(path, self.start, sets.images, sets.shard_images, shard, provenance)
        return Done(seconds=seconds)


def attacked_index(source: Source, split: Split, count: int, seed: int) -> np.ndarray:
    """Which images of a split are attacked: the same for every victim and attack, as pairing needs."""
    rng = np.random.default_rng(seed_for("attacked images", source.digest, split, seed))
    return rng.permutation(len(source.split(split)))[:count].astype(np.int64)


@dataclass(frozen=True)
class DescribeSet(Step):
    """Count what a finished set holds."""

    sets: MakeSets
    attack: AttackSpec
    stage = "adversarial sets"

    @cached_property
    def key(self) -> str:
        """See Step."""
        return digest("card", self.sets.key, str(self.attack), code_digest(("redhanded.engine.steps",)))

    @property
    def ref(self) -> SetRef:
        """The set, as questions name it."""
        return SetRef(self.sets.victim.spec.name, self.attack)

    @property
    def title(self) -> str:
        """See Step."""
        return f"describe {self.ref.name}, {self.sets.split}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return self.sets.shards()

    def record_path(self, folder: RunFolder) -> Path:
        """See Step."""
        return folder.set_record(self.ref, self.sets.split)

    def column(self, folder: RunFolder, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One array of the set."""
        return read_column(self.sets.path(folder, self.attack), name, rows)

    def run(self, folder: RunFolder) -> SetCard:
        """See Step."""
        attacked, success, rounded = (
            self.column(folder, name) for name in ("attacked", "success_float32", "success_uint8")
        )
        seconds = [read_record(Done, folder.mark(shard.key)).seconds for shard in self.needs]
        return SetCard(
            victim=self.ref.victim,
            family=self.attack.family,
            norm=self.attack.norm,
            setting=self.attack.setting,
            attack=str(self.attack),
            label=self.attack.label,
            split=self.sets.split,
            n_images=len(attacked),
            n_attacked=int(attacked.sum()),
            n_success={"float32": int(success.sum()), "uint8": int(rounded.sum())},
            median_l2=_median(self.column(folder, "l2")[success]),
            median_linf=_median(self.column(folder, "linf")[success]),
            mean_steps=float(self.column(folder, "steps")[attacked].mean()) if attacked.any() else 0.0,
            seconds=sum(seconds),
        )


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


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
    stage = "questions"

    @cached_property
    def key(self) -> str:
        """See Step."""
        what = {name: list(selector) for name, selector in self.question.classes.items()}
        asked = (self.study, self.source, self.question.id, self.question.item, self.question.row, what)
        how = (self.attributor, self.settings, self.pixels, self.seed, self.most)
        return digest("question", asked, [step.key for step in self.sets], how, code_digest(QUESTION_CODE))

    @property
    def title(self) -> str:
        """See Step."""
        return f"{self.question.id}, {self.attributor}, {self.pixels}"

    @property
    def needs(self) -> tuple[Step, ...]:
        """See Step."""
        return self.sets

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

        gathered = gather(classes, read, self.pixels, (self.question.id, self.pixels, self.seed), self.most)
        kind = ATTRIBUTORS[self.attributor]
        settings = kind.settings.model_validate(self.settings)
        attributor = kind.attributor(settings, seed_for(self.question.id, self.attributor, self.pixels, self.seed))
        if gathered.enough:
            attributor.fit(gathered.samples["train"]).save(folder.attributor(self.key))
            scores = score(attributor, gathered.samples["test"])
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
            sets={name: [ref.name for ref in members] for name, members in classes.items()},
            design=gathered.design,
            n_train=gathered.counts["train"],
            n_test=gathered.counts["test"],
            chance=1 / len(classes),
            attempts=attributor.attempts_ if gathered.enough else 0,
            seconds=time.monotonic() - started,
            key=self.key if gathered.enough else "",
            **scores._asdict(),
        )


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps with everything they need, each once, needs first."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.key not in ordered:
            for need in step.needs:
                visit(need)
            ordered[step.key] = step

    for step in steps:
        visit(step)
    return list(ordered.values())
