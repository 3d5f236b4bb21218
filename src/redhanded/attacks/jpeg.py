"""A control: what JPEG compression does to an image, which attribution must tell from an attack."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.errors import AttackError
from redhanded.views import through_jpeg

_CHANNELS = (1, 3)  # grey and RGB


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
    if images.shape[1] not in _CHANNELS:
        raise AttackError(f"expected images of 1 or 3 channels for jpeg, found {images.shape[1]}")
    return [AttackOutput(through_jpeg(images.detach(), attack.quality), torch.zeros_like(labels)) for attack in attacks]
