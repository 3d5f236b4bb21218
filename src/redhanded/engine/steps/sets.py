"""Making adversarial sets, shard by shard, and counting what they hold."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redhanded.advset import describe_set, read_column, write_shard
from redhanded.attacks import ATTACKS, AttackSpec
from redhanded.attacks.toolchains import module_of, toolchain_version
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps.base import Done, Step
from redhanded.engine.steps.victims import TrainVictim, open_source
from redhanded.generation import attacked_index, make_sets
from redhanded.identity import code_digest, digest, imports_of
from redhanded.questions import SetRef
from redhanded.results import NO_VICTIM, SetCard, VictimCard, read_record
from redhanded.samples import Split
from redhanded.victims import load_victim

# The modules whose code decides what comes out, beside those of the attack: a change there attacks anew.
COMMON_CODE = ("redhanded.advset", "redhanded.generation", "redhanded.norms", "redhanded.prepare", "redhanded.views")


@dataclass(frozen=True)
class MakeSets:
    """The adversarial sets of the attacks that go into one call, for one victim and split; cut into shards."""

    victim: TrainVictim
    attacks: tuple[AttackSpec, ...]
    split: Split
    images: int
    shard_images: int
    seed: int  # of the study: which source images are attacked

    def key(self, attack: AttackSpec) -> str:
        """SHA-256 of everything that decides one of the sets: not which others share its call."""
        grid = (self.split, self.images, self.shard_images, self.seed)
        code = code_digest(COMMON_CODE + imports_of(module_of(attack)))
        return digest("set", self.victim.key, str(attack), grid, code)

    def path(self, run: RunFolder, attack: AttackSpec) -> Path:
        """Where one of the sets is."""
        return run.set(SetRef(self.victim.spec.name, attack), self.split, self.key(attack))

    def provenance(self, victim: VictimCard, attack: AttackSpec) -> dict[str, Any]:
        """What is stored with a set of how it was made."""
        return {
            "toolchain": attack.toolchain,
            "toolchain_version": toolchain_version(attack.toolchain),
            "attack": str(attack),
            "victim": victim.name,
            "victim_weights": victim.weights_digest,
            "source": victim.source,
            "source_digest": victim.source_digest,
            "split": self.split,
            "seed": self.seed,
            "key": self.key(attack),
            "shard_images": self.shard_images,
            "torch": torch.__version__,
        }

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
        return digest("shard", [self.sets.key(attack) for attack in self.sets.attacks], self.start)

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
        made = make_sets(victim.network, images, labels, torch.from_numpy(index), sets.attacks)
        seconds = (time.monotonic() - started) / len(made)
        for shard in made:
            path, provenance = sets.path(folder, shard.attack), sets.provenance(victim.card, shard.attack)
            write_shard(path, self.start, sets.images, sets.shard_images, shard, provenance)
        return Done(seconds=seconds)


@dataclass(frozen=True)
class DescribeSet(Step):
    """Count what a finished set holds."""

    sets: MakeSets
    attack: AttackSpec
    stage = "adversarial sets"

    @cached_property
    def key(self) -> str:
        """See Step."""
        return digest("card", self.sets.key(self.attack))

    @property
    def ref(self) -> SetRef:
        """The set, as questions name it."""
        control = ATTACKS[self.attack.family].control
        return SetRef(NO_VICTIM if control else self.sets.victim.spec.name, self.attack)

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
        seconds = sum(read_record(Done, folder.mark(shard.key)).seconds for shard in self.needs)
        path = self.sets.path(folder, self.attack)
        return describe_set(path, self.ref.victim, self.attack, self.sets.split, seconds)
