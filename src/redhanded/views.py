"""Pixel protocols: what an image goes through between the attack and the attributor."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from redhanded.results import Pixels


class PixelProtocol(NamedTuple):
    """A row of `PIXELS`."""

    apply: Callable[[Tensor], Tensor]  # (n, c, h, w) float in [0, 1] -> the same
    summary: str


def round_to_uint8(images: Tensor) -> Tensor:
    """Round to the 256 levels of an 8-bit file, still as float in [0, 1]."""
    return (images * 255).round() / 255


PIXELS: dict[Pixels, PixelProtocol] = {
    "float32": PixelProtocol(lambda images: images, "as the attack left it"),
    "uint8": PixelProtocol(round_to_uint8, "rounded to 256 levels, success checked again after rounding"),
}
