"""The only place that runs attacks: images in, one adversarial set for each attack out, success measured here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from redhanded.attacks import ATTACKS, AttackOutput, AttackSpec, check_batch
from redhanded.attacks.toolchains import attack_function
from redhanded.core import norm_of, seed_for
from redhanded.data import AS_FILE, AS_LEFT, PIXELS, Pixels, Source
from redhanded.models import SAMPLE, check_model, device_of, prepare
from redhanded.sets.adversarial_set import AdversarialSet

MEASURED_UNDER = (AS_LEFT, AS_FILE)  # pixel protocols, unless others are asked for
BATCH = 512  # images: below, networks of many small layers lose time between them


def generate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[AttackSpec],
    *,
    index: Tensor | None = None,
    pixels: Sequence[Pixels] = MEASURED_UNDER,
    batch_size: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
) -> list[AdversarialSet]:
    """Attack every image that the model classifies rightly, once with each attack.

    model: any module in evaluation mode from [0, 1] images to logits, on any device; it is left as it was.
    images: (n, c, h, w) float32 in [0, 1]; labels: (n,) int64; index: (n,) int64, where the images stand in their
    source, 0 to n - 1 unless given; pixels: the protocols of `PIXELS` under which success is measured. An image that
    the model already gets wrong stays as it is and counts as no success. `on_batch` is told the number of images after
    each batch of one attack function.

    Returns one set for each attack, in the order given. Raises AttackError where the inputs cannot be attacked or
    the model makes attacks meaningless, and gives a ModelWarning where it makes them doubtful (`model_checks`).
    """
    check_batch(images, (torch.float32,), labels=labels, index=labels if index is None else index)
    check_model(model, images, labels, needs_gradient(attacks))
    index = torch.arange(len(images)) if index is None else index
    return make_sets(model, images, labels, index, attacks, pixels, batch_size=batch_size, on_batch=on_batch)


def make_sets(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    index: Tensor,
    attacks: Sequence[AttackSpec],
    pixels: Sequence[Pixels],
    *,
    batch_size: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
) -> list[AdversarialSet]:
    """What `generate` makes, of a model and images that are known to be sound: nothing is checked."""
    clean = predict_classes(model, images, batch_size)
    rows = (clean == labels).nonzero().flatten()
    made = run_attacks(model, images[rows], labels[rows], attacks, batch_size=batch_size, on_batch=on_batch)
    return [
        _measured(model, images, labels, clean, index, spec, _spread(made[spec], images, rows), pixels, batch_size)
        for spec in attacks
    ]


def run_attacks(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[AttackSpec],
    *,
    batch_size: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
) -> dict[AttackSpec, AttackOutput]:
    """Run each attack on all the images, in batches; nothing is checked and nothing measured.

    Our own attacks run on a prepared copy of the model (`prepare.prepare`) and on images in channels-last memory; a
    toolchain's on the model itself and plain images, as its users run it.
    """
    made: dict[AttackSpec, AttackOutput] = {}
    with frozen(model):
        sample = images[:SAMPLE].to(device_of(model))
        ours = prepare(model, sample) if any(spec.toolchain == "redhanded" for spec in attacks) else model
        for specs in calls(list(dict.fromkeys(attacks))):
            if specs[0].toolchain == "redhanded":
                made |= _run(ours, torch.channels_last, images, labels, specs, batch_size, on_batch)
            else:
                made |= _run(model, torch.contiguous_format, images, labels, specs, batch_size, on_batch)
    return made


def attacked_index(source: Source, split: Literal["train", "test"], count: int, seed: int) -> NDArray[np.int64]:
    """Which images of a split are attacked: the same for every victim and attack, as pairing needs."""
    rng = np.random.default_rng(seed_for("attacked images", source.digest, split, seed))
    return rng.permutation(len(source.split(split)))[:count].astype(np.int64)


@torch.no_grad()
def predict_classes(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """The classes that a model gives images, (n, c, h, w) float32 in [0, 1] -> (n,) int64 on the CPU."""
    device = device_of(model)
    batches = (batch.to(device).contiguous(memory_format=torch.channels_last) for batch in images.split(batch_size))
    predicted = [model(batch).argmax(1).cpu() for batch in batches if len(batch)]
    return torch.cat(predicted) if predicted else torch.zeros(0, dtype=torch.int64)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Switch the gradients of the parameters off for a while: attacks need those of the image alone."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


def needs_gradient(attacks: Sequence[AttackSpec]) -> bool:
    """Whether a model must be differentiable for these attacks."""
    return any(ATTACKS[spec.family].uses_gradient for spec in attacks)


def calls(attacks: Sequence[AttackSpec]) -> Iterator[tuple[AttackSpec, ...]]:
    """The settings that go into one call of an attack function: all of a family where they share work, else one."""
    for (family, _), group in groupby(sorted(attacks, key=_caller), key=_caller):
        specs = tuple(group)
        yield from [specs] if ATTACKS[family].shares_work else [(spec,) for spec in specs]


def _caller(spec: AttackSpec) -> tuple[str, str]:
    return spec.family, spec.toolchain


def _run(
    model: nn.Module,
    layout: torch.memory_format,
    images: Tensor,
    labels: Tensor,
    specs: Sequence[AttackSpec],
    batch_size: int,
    on_batch: Callable[[int], None],
) -> dict[AttackSpec, AttackOutput]:
    """Run one attack function, in batches; what it makes comes back to the CPU."""
    device, function = device_of(model), attack_function(specs[0])
    parts: list[list[AttackOutput]] = []
    for batch, own in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        batch = batch.to(device).contiguous(memory_format=layout)
        parts.append(function(model, batch, own.to(device), specs))
        on_batch(len(batch))
    return {
        spec: AttackOutput(
            *(torch.cat([getattr(part, field).cpu() for part in made]) for field in AttackOutput._fields)
        )
        for spec, made in zip(specs, zip(*parts, strict=True), strict=True)
    }


def _spread(attacked: AttackOutput, images: Tensor, rows: Tensor) -> AttackOutput:
    """What an attack made of the images at `rows`, put back among the others, which stay as they are."""
    steps = torch.zeros(len(images), dtype=torch.int64)
    return AttackOutput(images.index_copy(0, rows, attacked.images), steps.index_copy(0, rows, attacked.steps))


def _measured(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    index: Tensor,
    spec: AttackSpec,
    attacked: AttackOutput,
    pixels: Sequence[Pixels],
    batch_size: int,
) -> AdversarialSet:
    """Distances and success of stored images: no attack's own word is taken for either."""
    perturbation = attacked.images - images
    return AdversarialSet(
        attack=spec,
        images=attacked.images,
        index=index,
        label=labels,
        attacked=clean == labels,
        l2=norm_of(perturbation, "l2"),
        linf=norm_of(perturbation, "linf"),
        steps=attacked.steps,
        predictions={name: predict_classes(model, PIXELS[name].apply(attacked.images), batch_size) for name in pixels},
    )
