"""The one training loop, for victims and attributors: data on the device, one-cycle, early stop, retries."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from redhanded.core import seed_for
from redhanded.data import as_float


class Training(BaseModel):
    """How a network is trained; the defaults suit a narrow network and a few thousand images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    validation_share: float = Field(0.1, gt=0, lt=0.5)  # of the training images, by position in a seeded shuffle
    patience: int | None = Field(None, ge=1)  # epochs without a better validation loss before stopping
    augment: Literal["none", "shift", "flip-shift"] = "none"
    bfloat16: bool = False
    attempts: int = Field(3, ge=1)  # trainings before a collapse is accepted


class Trained(NamedTuple):
    """A trained network, in evaluation mode on the CPU."""

    network: nn.Module
    attempts: int
    collapsed: bool  # every validation image was given one and the same class, in every attempt
    epochs: int
    validation_accuracy: float
    validation: Tensor  # the rows that were kept from training
    seconds: float


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's parameters and buffers; the CPU for one that has none."""
    return next(itertools.chain(network.parameters(), network.buffers()), torch.empty(0)).device


def pick_device() -> torch.device:
    """Return the CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Objective(NamedTuple):
    """What a network is trained for, from its outputs (m, k) and the labels (m, ...) of a batch."""

    loss: Callable[[Tensor, Tensor], Tensor]
    named: Callable[[Tensor], Tensor]  # the class of each image, (m,), to see a collapse
    truth: Callable[[Tensor], Tensor]  # and what it should be, from the labels


CLASSES = Objective(functional.cross_entropy, lambda outputs: outputs.argmax(1), lambda labels: labels)


def train(
    build: Callable[[], nn.Module],
    images: Tensor,
    labels: Tensor,
    training: Training,
    seed: int,
    groups: Tensor | None = None,
    objective: Objective = CLASSES,
) -> Trained:
    """Train a network that `build` makes; while it collapses to one class, again from other weights and more gently.

    images: (n, c, h, w), uint8 or float32 in [0, 1]; labels: (n,) int64, or what the objective takes; groups: (n,)
    int64, what must not be parted by validation, such as the variants of one source image. Draws come from `seed`
    alone; the global generator is left as it was.
    """
    started = time.monotonic()
    device = pick_device()
    validation, rest = _hold_out(
        torch.arange(len(labels)) if groups is None else groups, training.validation_share, seed
    )
    images, labels = images.to(device), labels.to(device)
    for attempt in range(1, training.attempts + 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed_for(seed, "attempt", attempt))
            network = build().to(device).to(memory_format=torch.channels_last)
            gentler = training.model_copy(update={"learning_rate": training.learning_rate / 3 ** (attempt - 1)})
            epochs = _fit(network, images, labels, rest.to(device), validation.to(device), objective, gentler)
        predicted = objective.named(predict_logits(network, images[validation.to(device)]))
        truth = objective.truth(labels)
        collapsed = len(truth.unique()) > 1 and len(predicted.unique()) == 1
        if not collapsed:
            break
    accuracy = (predicted == truth[validation.to(device)].cpu()).double().mean().item()
    return Trained(network.cpu(), attempt, collapsed, epochs, accuracy, validation, time.monotonic() - started)


@torch.no_grad()
def predict_logits(network: nn.Module, images: Tensor, batch_size: int = 512) -> Tensor:
    """Logits of a network in evaluation mode, (n, c, h, w) uint8 or float32 in [0, 1] -> (n, classes), on the CPU."""
    network.eval()
    device = device_of(network)
    return torch.cat([network(as_float(batch.to(device))).cpu() for batch in images.split(batch_size)])


def _hold_out(groups: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The rows of a random share of the groups, and the others."""
    names = groups.unique()
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed_for(seed, "validation")))
    held = torch.isin(groups, names[order[: max(1, round(len(names) * share))]])
    return held.nonzero().flatten(), (~held).nonzero().flatten()


def _fit(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    rest: Tensor,
    validation: Tensor,
    objective: Objective,
    training: Training,
) -> int:
    """Train in place with one-cycle; with patience, end early and keep the best epoch. Returns the epochs run."""
    batches = max(1, len(rest) // training.batch_size)
    rate, decay = training.learning_rate, training.weight_decay
    optimizer: torch.optim.Optimizer
    if training.optimizer == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=decay, nesterov=True)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    steps = max(8, training.epochs * batches + 1)  # with fewer the schedule has no room to rise and fall
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.25)
    best_loss, best_state, waited, epoch = math.inf, None, 0, 0
    while epoch < training.epochs and waited < (training.patience or math.inf):
        epoch += 1
        network.train()
        # Batches are of nearly equal size, so that none is too small for batch normalisation.
        for rows in rest[torch.randperm(len(rest), device=rest.device)].tensor_split(batches):
            optimizer.zero_grad(set_to_none=True)
            batch = _augment(as_float(images[rows]), training.augment)
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=training.bfloat16):
                logits = network(batch)
            objective.loss(logits.float(), labels[rows]).backward()
            optimizer.step()
            schedule.step()
        if training.patience is None:
            continue
        loss = objective.loss(predict_logits(network, images[validation]), labels[validation].cpu()).item()
        waited = 0 if loss < best_loss else waited + 1
        if not waited:
            best_loss, best_state = loss, {name: value.clone() for name, value in network.state_dict().items()}
    if best_state is not None:
        network.load_state_dict(best_state)
    return epoch


def _augment(images: Tensor, how: str) -> Tensor:
    """Augment a batch: one shift of up to an eighth of the side, with reflection; half of the images mirrored."""
    if how == "none":
        return images
    if how == "flip-shift":
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    size, reach = images.shape[-1], images.shape[-1] // 8
    padded = functional.pad(images, [reach] * 4, mode="reflect")
    top, left = torch.randint(0, 2 * reach + 1, (2,)).tolist()
    return as_float(padded[:, :, top : top + size, left : left + size])
