"""Pixel protocols: what an image goes through between the attack and the attributor."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Pixels = str  # a key of `redhanded.data.PIXELS`


def as_float(images: Tensor) -> Tensor:
    """uint8 grey levels as float32 in [0, 1], channels last; floats keep their values."""
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images
    return scaled.contiguous(memory_format=torch.channels_last)


class PixelProtocol(NamedTuple):
    """A row of `PIXELS`; everything that depends on the protocol is made from its row."""

    apply: Callable[[Tensor], Tensor]  # (n, c, h, w) float in [0, 1] -> the same
    title: str  # what was done with the image, for tables
    summary: str
    version: int = 1  # raised when `apply` gives other values


def round_to_uint8(images: Tensor) -> Tensor:
    """Round to the 256 levels of an 8-bit file, still as float in [0, 1]."""
    return (images * 255).round() / 255


def through_jpeg(images: Tensor, quality: int | Sequence[int]) -> Tensor:
    """Save each image as a baseline JPEG and decode it again, (n, c, h, w) float in [0, 1] -> the same in 256 levels.

    c: 1 or 3; quality: Pillow's, 1 to 100, of all images or of each; colour is subsampled as Pillow does it unless
    told. Wallace, "The JPEG still picture compression standard", Communications of the ACM 34(4), 1991.
    """
    levels = (images * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()  # (n, h, w, c)
    decoded = np.empty_like(levels)
    qualities = [quality] * len(levels) if isinstance(quality, int) else quality
    for place, (image, quality) in enumerate(zip(levels, qualities, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "JPEG", quality=quality)
        with Image.open(file, formats=["JPEG"]) as read:
            decoded[place] = np.array(read).reshape(image.shape)
    return (torch.from_numpy(decoded).movedim(-1, 1).to(images.dtype) / 255).to(images.device)


PIXELS: dict[str, PixelProtocol] = {
    "float32": PixelProtocol(lambda images: images, "as the attack left it", "images as the attack left them"),
    "uint8": PixelProtocol(
        round_to_uint8, "rounded to 8 bits", "images rounded to 256 levels, success checked again after rounding"
    ),
    "jpeg-90": PixelProtocol(
        partial(through_jpeg, quality=90),
        "as a JPEG of quality 90",
        "images saved as JPEG of quality 90 and decoded again",
    ),
    "jpeg-75": PixelProtocol(
        partial(through_jpeg, quality=75),
        "as a JPEG of quality 75",
        "images saved as JPEG of quality 75 and decoded again",
    ),
}
AS_LEFT, AS_FILE = "float32", "uint8"  # every set is measured under these: examples and sizes are told by them
