"""What is attacked: a trained victim as it was trained, and test images that it classifies rightly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchmarks.counting import flops_of
from benchmarks.records import BenchVictim
from redhanded.core import read_record, write_record
from redhanded.data import SOURCES, Source
from redhanded.engine import RunCard, RunFolder, TrainVictim, open_source
from redhanded.errors import DataError, RunError
from redhanded.models import VictimCard, load_network, predict_logits
from redhanded.sets import attacked_index
from redhanded.studies import Study, load_study


@dataclass(frozen=True)
class Subject:
    """A victim on the CPU and its images; every engine gets this very network."""

    card: VictimCard
    folder: Path  # of the weights
    network: nn.Module  # plain, in evaluation mode, parameters frozen
    flops: int  # of one image's forward pass
    images: Tensor  # (n, c, h, w) float32, all classified rightly
    labels: Tensor  # (n,)

    def few(self, count: int | None) -> tuple[Tensor, Tensor]:
        """The first images and their labels; all of them for None."""
        return self.images[:count], self.labels[:count]

    def record(self) -> BenchVictim:
        """What is kept of it."""
        names = ("name", "architecture", "width", "accuracy", "parameters", "weights_digest")
        return BenchVictim(**{name: getattr(self.card, name) for name in names}, flops=self.flops)


@dataclass(frozen=True)
class Trained:
    """Where the victims of a study lie."""

    study: Study
    source: Source
    folders: dict[str, Path]  # by victim


def find_victims(run: Path, sources: Mapping[str, Path], wanted: Sequence[str]) -> Trained:
    """The victims of a finished run; raises RunError where the run, a victim or its source is not there."""
    study = _study_of(run)
    names = chosen("--victim", wanted, study.victims)
    source = open_source(study.source, sources.get(study.source))
    cards = {name: read_record(VictimCard, RunFolder(run).victim_record(name)) for name in names}
    for card in cards.values():
        if card.source_digest != source.digest:
            expected, found = card.source_digest[:12], source.digest[:12]
            raise RunError(f"expected the source {study.source} of {run} (SHA-256 {expected}...), found {found}...")
    return Trained(study, source, {name: RunFolder(run).find_victim(card) for name, card in cards.items()})


def train_victims(out: Path, wanted: Sequence[str]) -> Trained:
    """The victims of the quick study, trained into `out` unless they are there."""
    study, folder = load_study("quick"), RunFolder(out)
    source = open_source(study.source, None)
    folders = {}
    for name in chosen("--victim", wanted, study.victims):
        weak_below = SOURCES[study.source].weak_below
        step = TrainVictim(study.victim_spec(name), study.source, None, source.digest, weak_below)
        if not folder.mark(step.key).is_file():
            write_record(step.run(folder), folder.mark(step.key))
        folders[name] = step.folder(folder)
    return Trained(study, source, folders)


def load_subject(folder: Path, source: Source, count: int, seed: int) -> Subject:
    """A victim and the first `count` test images that it classifies rightly, in the order of a study's seed."""
    card, network = load_network(folder)
    network.requires_grad_(False)
    order = attacked_index(source, "test", len(source.test), seed)
    images = torch.from_numpy(source.test.images[order]).float() / 255
    labels = torch.from_numpy(source.test.labels[order])
    right = (predict_logits(network, images).argmax(1) == labels).nonzero().flatten()[:count]
    if len(right) < count:
        found = f"{len(right)} that {card.name} classifies rightly"
        raise DataError(f"expected {count} test images, found {found}; give a smaller --images")
    return Subject(card, folder, network, flops_of(network, card.shape), images[right], labels[right])


def _study_of(run: Path) -> Study:
    card = read_record(RunCard, RunFolder(run).card)
    try:
        return Study.model_validate(card.study)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RunError(f"expected the study of today's code in {run / 'run.json'}, found: {reason}") from None


def chosen(option: str, wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Those of the known names that are wanted, all where none is; raises RunError for a name that is not known."""
    names = list(known)
    for name in wanted:
        if name not in names:
            raise RunError(f"expected {option} to be one of {', '.join(names)}, found {name!r}")
    return [name for name in names if name in wanted or not wanted]
