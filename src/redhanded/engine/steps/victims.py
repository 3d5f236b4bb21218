"""Training a victim."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from redhanded.data import Source, load_source
from redhanded.engine.step import Step
from redhanded.engine.store import RunFolder
from redhanded.models import VICTIMS, VictimCard, VictimSpec, save_victim, train_victim


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
    kind, version, stage = "victim", 1, "victims"

    @property
    def specification(self) -> object:
        version = VICTIMS[self.spec.architecture].version
        return [self.spec.model_dump(), version, self.source_digest, self.weak_below]

    @property
    def title(self) -> str:
        return f"train {self.spec.name}"

    def folder(self, run: RunFolder) -> Path:
        """Where the weights are."""
        return run.victim(self.spec.name, self.key)

    def record_path(self, folder: RunFolder) -> Path:
        return folder.victim_record(self.spec.name)

    def run(self, folder: RunFolder) -> VictimCard:
        network, card = train_victim(self.spec, open_source(self.source, self.source_path), self.weak_below)
        return save_victim(network, card, self.folder(folder))
