"""Victims: trained classifiers from images to logits, with a card, kept as safetensors and JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from redhanded.core import (
    Outcome,
    execution_environment,
    load_weights,
    read_record,
    save_weights,
    seed_for,
    wilson_interval,
    write_record,
)
from redhanded.data import Source
from redhanded.errors import RunError
from redhanded.models.architectures import VICTIMS, build_network, channel_statistics
from redhanded.models.inference import prepare
from redhanded.models.training import Training, pick_device, predict_logits, train


class VictimCard(Outcome):
    """The record of a victim: how it was trained, and its accuracy with a Wilson interval."""

    name: str  # within the study, e.g. "alexnet"
    architecture: str
    width: float
    source: str
    source_digest: str
    seed: int
    classes: int
    shape: tuple[int, int, int]  # channels, height, width
    parameters: int
    training: dict[str, Any]
    accuracy: float  # on the source's whole test split
    n_test: int
    interval: tuple[float, float]
    weak_below: float
    weights_digest: str

    @property
    def too_weak(self) -> bool:
        """Whether this victim misses the accuracy below which attacking it says little."""
        return self.accuracy < self.weak_below


class VictimSpec(BaseModel):
    """The specification of a victim to be trained; `name` tells two victims of one architecture apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    width: float = Field(gt=0, le=4)
    training: Training
    seed: int


@dataclass(frozen=True)
class Victim:
    """A trained classifier; `network` is frozen, in evaluation mode, and prepared: the same function, faster."""

    card: VictimCard
    network: nn.Module


def train_victim(spec: VictimSpec, source: Source, weak_below: float) -> tuple[nn.Module, VictimCard]:
    """Train a victim on the source's train split and measure it on the whole test split."""
    images = torch.from_numpy(source.train.images)
    build = VICTIMS[spec.architecture].build
    trained = train(
        lambda: build_network(build, spec.width, source.shape, source.classes, *channel_statistics(images)),
        images,
        torch.from_numpy(source.train.labels),
        spec.training,
        seed_for("victim", spec.architecture, spec.width, source.digest, spec.seed),
    )
    network = trained.network.eval()
    predicted = predict_logits(prepare(network), torch.from_numpy(source.test.images)).argmax(1).numpy()
    correct, total = int(np.count_nonzero(predicted == source.test.labels)), len(source.test)
    card = VictimCard(
        name=spec.name,
        architecture=spec.architecture,
        width=spec.width,
        source=source.name,
        source_digest=source.digest,
        seed=spec.seed,
        classes=source.classes,
        shape=source.shape,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        training=spec.training.model_dump() | {"epochs_run": trained.epochs, "attempts": trained.attempts},
        accuracy=correct / total,
        n_test=total,
        interval=wilson_interval(correct, total),
        weak_below=weak_below,
        weights_digest="",
        seconds=trained.seconds,
        environment=execution_environment(),
    )
    return network, card


def save_victim(network: nn.Module, card: VictimCard, folder: Path) -> VictimCard:
    """Write `weights.safetensors` and, last, `card.json` with the weights' checksum; returns the final card."""
    card = card.model_copy(update={"weights_digest": save_weights(network, folder)})
    write_record(card, folder / "card.json")
    return card


def load_victim(folder: Path) -> Victim:
    """Read a victim for use; raises RunError where the weights are missing or not those of the card."""
    card, network = load_network(folder)
    return Victim(card, prepare(network).to(pick_device()))


def load_network(folder: Path) -> tuple[VictimCard, nn.Module]:
    """Read a victim's card and its network as it was trained, in evaluation mode; raises as `load_victim`."""
    card = read_record(VictimCard, folder / "card.json")
    if card.architecture not in VICTIMS:
        known = ", ".join(VICTIMS)
        raise RunError(f"expected a victim of {known} in {folder / 'card.json'}, found {card.architecture!r}")
    no_statistics = ([0.0] * card.shape[0], [1.0] * card.shape[0])  # the stored weights hold the real ones
    build = VICTIMS[card.architecture].build
    network = build_network(build, card.width, card.shape, card.classes, *no_statistics)
    load_weights(network, folder, card.weights_digest)
    return card, network.eval()
