"""A control: what JPEG compression does to an image, which attribution must tell from an attack."""

import io
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.errors import AttackError

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
    return [AttackOutput(_compress(images.detach(), attack.quality), torch.zeros_like(labels)) for attack in attacks]


def _compress(images: Tensor, quality: int) -> Tensor:
    levels = (images * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()  # (n, h, w, c)
    read = [_write_and_read(image, quality) for image in levels]
    compressed = torch.from_numpy(np.array(read, dtype=np.uint8).reshape(levels.shape)).movedim(-1, 1)
    return (compressed.to(images.dtype) / 255).to(images.device)


def _write_and_read(image: np.ndarray, quality: int) -> np.ndarray:
    buffer, grey = io.BytesIO(), image.shape[-1] == 1
    Image.fromarray(image.squeeze(-1) if grey else image).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    with Image.open(buffer, formats=["JPEG"]) as read:
        return np.array(read).reshape(image.shape)
