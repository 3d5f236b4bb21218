"""The only place that runs attacks: images in, one adversarial set for each attack out, success measured here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from redhanded.advset import AdversarialSet
from redhanded.attacks import ATTACKS, Attacked, AttackSpec
from redhanded.data import Source
from redhanded.errors import AttackError
from redhanded.identity import seed_for
from redhanded.norms import norm_of
from redhanded.training import device_of
from redhanded.views import round_to_uint8


def generate(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[AttackSpec],
    *,
    index: Tensor | None = None,
    batch_size: int = 128,
    on_batch: Callable[[int], None] = lambda images: None,
) -> list[AdversarialSet]:
    """Attack every image that the model classifies rightly, once with each attack.

    model: any module in evaluation mode from [0, 1] images to logits, on any device; it is left as it was.
    images: (n, c, h, w) float32 in [0, 1]; labels: (n,) int64; index: (n,) int64, where the images stand in their
    source, 0 to n - 1 unless given. An image that the model already gets wrong stays as it is and counts as no
    success. `on_batch` is told the number of images after each batch of one attack function.

    Returns one set for each attack, in the order given. Raises AttackError where the inputs cannot be attacked.
    """
    _check(model, images, labels=labels, index=labels if index is None else index)
    index = torch.arange(len(images)) if index is None else index
    with frozen(model):
        clean = _predict(model, images, batch_size)
        made: dict[AttackSpec, Attacked] = {}
        for specs in calls(list(dict.fromkeys(attacks))):
            made |= _attack(model, images, labels, clean == labels, specs, batch_size, on_batch)
        return [_measure(model, images, labels, clean, index, spec, made[spec], batch_size) for spec in attacks]


def attacked_index(source: Source, split: Literal["train", "test"], count: int, seed: int) -> NDArray[np.int64]:
    """Which images of a split are attacked: the same for every victim and attack, as pairing needs."""
    rng = np.random.default_rng(seed_for("attacked images", source.digest, split, seed))
    return rng.permutation(len(source.split(split)))[:count].astype(np.int64)


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


def _check(model: nn.Module, images: Tensor, **per_image: Tensor) -> None:
    if model.training:
        raise AttackError("expected a model in evaluation mode, found it in training mode; call model.eval() first")
    if images.ndim != 4 or images.dtype != torch.float32:
        found = f"{images.dtype} of shape {tuple(images.shape)}"
        raise AttackError(f"expected images as torch.float32 of shape (n, c, h, w), found {found}")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):  # written so that NaN fails too
        found = f"{images.min():.3g} to {images.max():.3g}"
        raise AttackError(f"expected images in [0, 1], found {found}; normalise inside the model")
    for name, values in per_image.items():
        if values.shape != images.shape[:1] or values.dtype != torch.int64:
            found = f"{values.dtype} of shape {tuple(values.shape)}"
            raise AttackError(f"expected {name} as torch.int64 of shape ({len(images)},), found {found}")


def calls(attacks: Sequence[AttackSpec]) -> Iterator[tuple[AttackSpec, ...]]:
    """The settings that go into one call of an attack function: all of a family where they share work, else one."""
    for family, group in groupby(sorted(attacks, key=lambda spec: spec.family), key=lambda spec: spec.family):
        specs = tuple(group)
        yield from [specs] if ATTACKS[family].shares_work else [(spec,) for spec in specs]


def _attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attackable: Tensor,
    specs: Sequence[AttackSpec],
    batch_size: int,
    on_batch: Callable[[int], None],
) -> dict[AttackSpec, Attacked]:
    """Run one attack function over the rightly classified images, in batches; the others stay as they are."""
    device = device_of(model)
    made = {spec: Attacked(images.clone(), torch.zeros(len(images), dtype=torch.int64)) for spec in specs}
    for rows in attackable.nonzero().flatten().split(batch_size):
        batch = images[rows].to(device).contiguous(memory_format=torch.channels_last)
        outputs = ATTACKS[specs[0].family].run(model, batch, labels[rows].to(device), specs)
        for spec, output in zip(specs, outputs, strict=True):
            made[spec].images[rows] = output.images.cpu()
            made[spec].steps[rows] = output.steps.cpu()
        on_batch(len(rows))
    return made


def _measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    index: Tensor,
    spec: AttackSpec,
    attacked: Attacked,
    batch_size: int,
) -> AdversarialSet:
    """Distances and success of stored images: no attack's own word is taken for either."""
    perturbation = attacked.images - images
    tried, changed = clean == labels, perturbation.flatten(1).any(1)
    prediction_float32 = _predict(model, attacked.images, batch_size)
    prediction_uint8 = _predict(model, round_to_uint8(attacked.images), batch_size)
    return AdversarialSet(
        attack=spec,
        images=attacked.images,
        index=index,
        label=labels,
        attacked=tried,
        prediction_float32=prediction_float32,
        prediction_uint8=prediction_uint8,
        success_float32=tried & changed & (prediction_float32 != labels),
        success_uint8=tried & changed & (prediction_uint8 != labels),
        l2=norm_of(perturbation, "l2"),
        linf=norm_of(perturbation, "linf"),
        steps=attacked.steps,
    )


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Predicted classes of images in float, (n, c, h, w) -> (n,) on the CPU."""
    device = device_of(model)
    batches = (batch.to(device).contiguous(memory_format=torch.channels_last) for batch in images.split(batch_size))
    predicted = [model(batch).argmax(1).cpu() for batch in batches if len(batch)]
    return torch.cat(predicted) if predicted else torch.zeros(0, dtype=torch.int64)
