"""Controls: images as they are, with noise or after JPEG compression, which attribution must tell from attacks."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.draws import generators, normal, uniform
from redhanded.attacks.ops.gradients import unit
from redhanded.attacks.ops.values import column, numbers
from redhanded.attacks.spec import USUAL_EPS, AttackOutput, AttackSpec
from redhanded.data import through_jpeg
from redhanded.errors import AttackError


class Clean(AttackSpec):
    """The control that leaves images as they are."""

    family: ClassVar[str] = "clean"
    setting_names: ClassVar[tuple[str, ...]] = ()
    norm: Literal["none"] = Field(default="none", description="nothing changes")


def clean(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[Clean]) -> list[AttackOutput]:
    """The images themselves; the model is not asked.

    Args:
        model: not used.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, not used but for their number.
        attacks: each gives the same.

    Returns:
        For each control a copy of the images, and the count 0 for each image: the model was not asked.
    """
    return [AttackOutput(images.detach().clone(), torch.zeros_like(labels)) for _ in attacks]


class NoiseSpec(AttackSpec):
    """Noise of L2 size `eps` > 0; `seed` >= 0 decides the draw.

    The size is that before clipping: pixels that the noise carries out of [0, 1] are clipped, so less may arrive.
    """

    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    norm: Literal["l2"] = Field(default="l2", description="of the noise")
    eps: float = Field(default_factory=USUAL_EPS, gt=0, description="its size, before clipping")
    seed: int = Field(default=0, ge=0, description="decides the draw")


class GaussianNoise(NoiseSpec):
    """Independent normal noise on every value, scaled to the L2 size `eps` > 0 before clipping.

    Defaults: `eps` is that of FGSM in l2, so that the noise is as large as an attack.
    """

    family: ClassVar[str] = "gaussian_noise"


class UniformNoise(NoiseSpec):
    """Independent uniform noise from [-1, 1] on every value, scaled to the L2 size `eps` > 0 before clipping.

    Defaults: `eps` is that of FGSM in l2, so that the noise is as large as an attack.
    """

    family: ClassVar[str] = "uniform_noise"


class SaltAndPepper(AttackSpec):
    """Salt-and-pepper noise: the share `amount` in (0, 1] of the pixels becomes black or white; `seed` >= 0.

    Defaults: `amount` is that of scikit-image's `random_noise`.
    """

    family: ClassVar[str] = "salt_and_pepper"
    setting_names: ClassVar[tuple[str, ...]] = ("amount",)
    norm: Literal["l0"] = Field(default="l0", description="pixels that change")
    amount: float = Field(default=0.05, gt=0, le=1, description="share of the pixels")
    seed: int = Field(default=0, ge=0, description="decides the draw")


def gaussian_noise(
    model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[GaussianNoise]
) -> list[AttackOutput]:
    """Add `eps * z / |z|` with standard normal `z`, clipped to [0, 1]; arguments and counts are those of `clean`."""
    return _add_noise(images, labels, attacks, normal)


def uniform_noise(
    model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[UniformNoise]
) -> list[AttackOutput]:
    """Add `eps * u / |u|` with `u` uniform in [-1, 1], clipped to [0, 1]; otherwise as `gaussian_noise`."""
    return _add_noise(images, labels, attacks, lambda *given: 2 * uniform(*given) - 1)


def _add_noise(
    images: Tensor, labels: Tensor, attacks: Sequence[NoiseSpec], draw: Callable[..., Tensor]
) -> list[AttackOutput]:
    outputs = []
    for attack in attacks:
        noise = draw(generators(images, attack), images.shape[1:], images)
        noisy = (images.detach() + column(attack.eps, images) * unit(noise)).clamp_(0, 1)
        outputs.append(AttackOutput(noisy, torch.zeros_like(labels)))
    return outputs


def salt_and_pepper(
    model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[SaltAndPepper]
) -> list[AttackOutput]:
    """Set `round(amount * h * w)` pixels, drawn without replacement, to 0 or 1 with probability 1/2 each.

    A pixel changes in all its channels; arguments and counts are those of `clean`.
    """
    shape, pixels, outputs = (len(images), 1, *images.shape[2:]), images.shape[2:].numel(), []
    for attack in attacks:
        rngs = generators(images, attack)
        order = uniform(rngs, (pixels,), images).argsort(1).argsort(1)  # (n, h * w) a random rank for each pixel
        count = (numbers(attack.amount, images, torch.float64) * pixels).round()  # (n,)
        hit = (order < count[:, None]).reshape(shape)
        grains = uniform(rngs, (pixels,), images).round_().reshape(shape)
        outputs.append(AttackOutput(torch.where(hit, grains, images.detach()), torch.zeros_like(labels)))
    return outputs


class JPEG(AttackSpec):
    """JPEG compression at Pillow's `quality`, 1 to 100; the result is of 256 levels.

    Defaults: Pillow's.
    """

    family: ClassVar[str] = "jpeg"
    setting_names: ClassVar[tuple[str, ...]] = ("quality",)
    norm: Literal["none"] = Field(default="none", description="it has no size of its own")
    quality: int = Field(default=75, ge=1, le=100, description="Pillow's")


def jpeg(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[JPEG]) -> list[AttackOutput]:
    """Round to 256 levels, write as JPEG in memory and read again; the model is not asked.

    Args:
        model: not used.
        images: (n, c, h, w) of 1 or 3 channels, floating point, in [0, 1].
        labels: (n,) int64, not used but for their number.
        attacks: run one after the other.

    Returns:
        For each control the images, whose values are whole 255ths, and 0 for each: the model was not asked.

    Raises AttackError for images of another number of channels.

    Paper: Wallace, "The JPEG still picture compression standard", Communications of the ACM 34(4), 1991.
    """
    if images.shape[1] not in (1, 3):
        raise AttackError(f"expected images of 1 or 3 channels for jpeg, found {images.shape[1]}")
    qualities = (numbers(attack.quality, labels).tolist() for attack in attacks)
    return [AttackOutput(through_jpeg(images.detach(), each), torch.zeros_like(labels)) for each in qualities]
