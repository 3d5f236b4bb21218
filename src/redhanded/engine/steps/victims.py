"""Training a victim."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from redhanded.data import Source, load_source
from redhanded.engine.layout import RunFolder
from redhanded.engine.steps.base import Step
from redhanded.identity import code_digest, digest
from redhanded.results import VictimCard
from redhanded.victims import VictimSpec, save_victim, train_victim

# The modules whose code decides what comes out: a change there trains anew.
TRAINING_CODE = ("redhanded.networks", "redhanded.training", "redhanded.victims", "redhanded.weights")


@cache
def open_source(name: str, path: Path | None) -> Source:
    """A source, read once in each process."""
    return load_source(name, path)


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
