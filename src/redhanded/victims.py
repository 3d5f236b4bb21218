"""Victims: trained classifiers from images to logits, with a card, kept as safetensors and JSON."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from redhanded.data import Source, Split
from redhanded.errors import RunError
from redhanded.identity import file_digest, seed_for
from redhanded.metrics import wilson_interval
from redhanded.networks import VICTIMS, build_network, fold_batchnorm
from redhanded.results import VictimCard, read_record, write_record
from redhanded.training import Training, pick_device, predict_logits, train


class VictimSpec(BaseModel):
    """What a victim is, before it is trained; `name` tells two victims of one architecture apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    width: float = Field(gt=0, le=4)
    training: Training
    seed: int


@dataclass(frozen=True)
class Victim:
    """A trained classifier; `network` is frozen, in evaluation mode, normalisation folded into its weights."""

    card: VictimCard
    network: nn.Module


def train_victim(spec: VictimSpec, source: Source, weak_below: float) -> tuple[nn.Module, VictimCard]:
    """Train a victim on the source's train split and measure it on the whole test split."""
    images = torch.from_numpy(source.train.images)
    trained = train(
        lambda: _build(spec.architecture, spec.width, source.shape, source.classes, channel_statistics(images)),
        images,
        torch.from_numpy(source.train.labels),
        spec.training,
        seed_for("victim", spec.architecture, spec.width, source.digest, spec.seed),
    )
    network = trained.network.to(memory_format=torch.channels_last)
    correct = _count_correct(fold_batchnorm(network), source.test)
    total = len(source.test)
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
    )
    return network, card


def save_victim(network: nn.Module, card: VictimCard, folder: Path) -> VictimCard:
    """Write `weights.safetensors` and, last, `card.json` with the weights' checksum; returns the final card."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, weights)
    card = card.model_copy(update={"weights_digest": file_digest(weights)})
    write_record(card, folder / "card.json")
    return card


def load_victim(folder: Path) -> Victim:
    """Read a victim for use; raises RunError where the weights are missing or not those of the card."""
    card = read_record(VictimCard, folder / "card.json")
    if card.architecture not in VICTIMS:
        known = ", ".join(VICTIMS)
        raise RunError(f"expected a victim of {known} in {folder / 'card.json'}, found {card.architecture!r}")
    no_statistics = ([0.0] * card.shape[0], [1.0] * card.shape[0])  # the stored weights hold the real ones
    network = _build(card.architecture, card.width, card.shape, card.classes, no_statistics)
    load_weights(network, folder / "weights.safetensors", card.weights_digest)
    return Victim(card, fold_batchnorm(network.to(memory_format=torch.channels_last)).to(pick_device()))


def load_weights(network: nn.Module, path: Path, expected_digest: str) -> None:
    """Load safetensors into a network; raises RunError unless the file's SHA-256 and every shape agree."""
    if not path.is_file():
        raise RunError(f"expected weights at {path}, found no file; run the study again to make them")
    found = file_digest(path)
    if found != expected_digest:
        raise RunError(f"expected weights with SHA-256 {expected_digest[:12]}... at {path}, found {found[:12]}...")
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"expected weights of this network at {path}, found others: {reason}") from None


def channel_statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel, in units of [0, 1], of images (n, c, h, w) in uint8 or float."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    planes = images[:10_000].transpose(0, 1).flatten(1).double() / scale  # (c, n h w); more images change nothing
    return planes.mean(1).tolist(), planes.std(1).clamp_min(1e-3).tolist()


def _build(
    architecture: str,
    width: float,
    shape: tuple[int, int, int],
    classes: int,
    statistics: tuple[list[float], list[float]],
) -> nn.Module:
    return build_network(VICTIMS[architecture].build, width, shape, classes, *statistics)


def _count_correct(network: nn.Module, split: Split) -> int:
    predicted = predict_logits(network, torch.from_numpy(split.images)).argmax(1).numpy()
    return int(np.count_nonzero(predicted == split.labels))
