"""The only place that runs attacks: images in, one adversarial set for each attack out, success measured here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
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
    seed: int = 0,
) -> list[AdversarialSet]:
    """Attack every image that the model classifies rightly, once with each attack.

    model: any module in evaluation mode from [0, 1] images to logits, on any device; it is left as it was.
    images: (n, c, h, w) float32 in [0, 1]; labels: (n,) int64; index: (n,) int64, where the images stand in their
    source, 0 to n - 1 unless given; pixels: the protocols of `PIXELS` under which success is measured. An image that
    the model already gets wrong stays as it is and counts as no success. `on_batch` is told the number of images after
    each batch of one attack function. `seed` decides, with an image's index, what it draws of an attack's ranges.

    Returns one set for each attack, in the order given. Raises AttackError where the inputs cannot be attacked or
    the model makes attacks meaningless, and gives a ModelWarning where it makes them doubtful (`check_model`).
    """
    check_batch(images, (torch.float32,), labels=labels, index=labels if index is None else index)
    check_model(model, images, labels, needs_gradient(attacks))
    index = torch.arange(len(images)) if index is None else index
    return make_sets(model, images, labels, index, attacks, pixels, batch_size=batch_size, on_batch=on_batch, seed=seed)


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
    seed: int = 0,
) -> list[AdversarialSet]:
    """Make what `generate` does of a model and images that are known to be sound: nothing is checked."""
    clean = predict_classes(model, images, batch_size)
    rows = (clean == labels).nonzero().flatten()
    own = images[rows], labels[rows]
    outputs = run_attacks(model, *own, attacks, batch_size=batch_size, on_batch=on_batch, index=index[rows], seed=seed)
    sets = []
    for attack in attacks:
        # The others stay as they are. No attack's own word is taken for distance or success.
        adversarial = images.index_copy(0, rows, outputs[attack].images)
        perturbation = adversarial - images
        measured = {name: predict_classes(model, PIXELS[name].apply(adversarial), batch_size) for name in pixels}
        adversarial_set = AdversarialSet(
            attack=attack,
            images=adversarial,
            index=index,
            label=labels,
            attacked=clean == labels,
            l2=norm_of(perturbation, "l2"),
            linf=norm_of(perturbation, "linf"),
            steps=torch.zeros(len(images), dtype=torch.int64).index_copy(0, rows, outputs[attack].steps),
            predictions=measured,
            parameters={name: value for name, value in attack.drawn(index, seed) if isinstance(value, Tensor)},
        )
        sets.append(adversarial_set)
    return sets


def run_attacks(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[AttackSpec],
    *,
    batch_size: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
    index: Tensor | None = None,
    seed: int = 0,
) -> dict[AttackSpec, AttackOutput]:
    """Run each attack on all the images, in batches; nothing is checked and nothing measured.

    index: (n,) where the images stand in their source, 0 to n - 1 unless given; with `seed` it decides what an image
    draws of an attack's ranges.

    Our own attacks run on a prepared copy of the model (`models.prepare`) and on images in channels-last memory; a
    toolchain's on the model itself and plain images, as its users run it.
    """
    outputs: dict[AttackSpec, AttackOutput] = {}
    index = torch.arange(len(images)) if index is None else index
    with frozen(model):
        device = device_of(model)
        prepared = model
        if any(attack.toolchain == "redhanded" for attack in attacks):
            prepared = prepare(model, images[:SAMPLE].to(device))
        for together in calls(list(dict.fromkeys(attacks))):
            ours, function = together[0].toolchain == "redhanded", attack_function(together[0])
            layout = torch.channels_last if ours else torch.contiguous_format
            parts: list[list[AttackOutput]] = []  # for each batch what each attack made of it
            batches = zip(*(column.split(batch_size) for column in (images, labels, index)), strict=True)
            for batch, batch_labels, batch_index in batches:
                batch = batch.to(device).contiguous(memory_format=layout)
                drawn = [attack.drawn(batch_index, seed) for attack in together]
                parts.append(function(prepared if ours else model, batch, batch_labels.to(device), drawn))
                on_batch(len(batch))
            for attack, own_parts in zip(together, zip(*parts, strict=True), strict=True):
                outputs[attack] = AttackOutput(
                    torch.cat([part.images.cpu() for part in own_parts]),
                    torch.cat([part.steps.cpu() for part in own_parts]),
                )
    return outputs


def attacked_index(source: Source, split: Literal["train", "test"], count: int, seed: int) -> NDArray[np.int64]:
    """Draw which images of a split are attacked, (count,): the same for every victim and attack, as pairing needs."""
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
    """Switch the gradients of the parameters off within the context: attacks need those of the image alone."""
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
    """Group attacks into calls of an attack function: all settings of a family where they share work, else one each."""
    caller = attrgetter("family", "toolchain")
    for (family, _), group in groupby(sorted(attacks, key=caller), key=caller):
        specs = tuple(group)
        yield from [specs] if ATTACKS[family].shares_work else [(spec,) for spec in specs]
