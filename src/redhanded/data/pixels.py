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
    qualities = [quality] * len(images) if isinstance(quality, int) else quality
    return _through_pillow(images, [partial(_saved, form="JPEG", quality=quality) for quality in qualities])


def through_webp(images: Tensor, quality: int) -> Tensor:
    """Save each image as a lossy WebP and decode it again, (n, c, h, w) float in [0, 1] -> the same in 256 levels.

    c: 1 or 3; quality: Pillow's, 0 to 100. Zern et al., "WebP Image Format", RFC 9649, 2024.
    """
    return _through_pillow(images, [partial(_saved, form="WEBP", quality=quality)] * len(images))


def scale_and_back(images: Tensor, factor: float, kernel: Image.Resampling) -> Tensor:
    """Enlarge by `factor` and scale back to the size it had, (n, c, h, w) float in [0, 1] -> the same in 256 levels.

    c: 1 or 3. Both ways with `kernel`, in 8 bits, as a viewer or an editor does it: Pillow computes in whole numbers,
    so the outcome hangs on no processor.
    """

    def scaled(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.resize((round(factor * width), round(factor * height)), kernel).resize(image.size, kernel)

    return _through_pillow(images, [scaled] * len(images))


def blacken_border(images: Tensor) -> Tensor:
    """Keep the middle seven eighths of each side, in 256 levels; the rest is black, (n, c, h, w) -> the same.

    The size stays, so that a victim can be asked; a border is a sixteenth of its side in whole pixels.
    """
    down, across = (round(side / 16) for side in images.shape[2:])
    kept = torch.zeros_like(images)
    middle = (..., slice(down, images.shape[2] - down), slice(across, images.shape[3] - across))
    kept[middle] = round_to_uint8(images[middle])
    return kept


def _through_pillow(images: Tensor, changes: Sequence[Callable[[Image.Image], Image.Image]]) -> Tensor:
    """Round to 256 levels and send each image, of mode L or RGB, through its change, which keeps its size."""
    levels = (images * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()  # (n, h, w, c)
    changed = np.empty_like(levels)
    for place, (image, change) in enumerate(zip(levels, changes, strict=True)):
        opened = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        # WebP has no grey images: three channels that are alike come back.
        changed[place] = np.array(change(opened).convert(opened.mode)).reshape(image.shape)
    return (torch.from_numpy(changed).movedim(-1, 1).to(images.dtype) / 255).to(images.device)


def _saved(image: Image.Image, form: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, form, quality=quality)
    with Image.open(file, formats=[form]) as read:
        read.load()
        return read


def _jpeg(quality: int) -> PixelProtocol:
    return PixelProtocol(
        partial(through_jpeg, quality=quality),
        f"as a JPEG of quality {quality}",
        f"images saved as JPEG of quality {quality} and decoded again",
    )


PIXELS: dict[str, PixelProtocol] = {
    "float32": PixelProtocol(lambda images: images, "as the attack left it", "images as the attack left them"),
    "uint8": PixelProtocol(
        round_to_uint8, "rounded to 8 bits", "images rounded to 256 levels, success checked again after rounding"
    ),
    "jpeg-95": _jpeg(95),
    "jpeg-90": _jpeg(90),
    "jpeg-85": _jpeg(85),
    "jpeg-75": _jpeg(75),
    "jpeg-50": _jpeg(50),
    "webp-80": PixelProtocol(
        partial(through_webp, quality=80),
        "as a lossy WebP of quality 80",
        "images saved as lossy WebP of quality 80 and decoded again",
    ),
    "resize": PixelProtocol(
        partial(scale_and_back, factor=2, kernel=Image.Resampling.BICUBIC),
        "enlarged twofold and back",
        "images enlarged to 200 % (bicubic), saved in 8 bits and scaled back",
    ),
    "screenshot": PixelProtocol(
        partial(scale_and_back, factor=1.5, kernel=Image.Resampling.BILINEAR),
        "shown at 150 %",
        "images shown enlarged to 150 % (bilinear), taken from the screen in 8 bits and scaled back",
    ),
    "crop": PixelProtocol(
        blacken_border,
        "cropped",
        "the middle seven eighths of each side in 8 bits, the rest black: the size stays",
    ),
}
AS_LEFT, AS_FILE = "float32", "uint8"  # every set is measured under these: examples and sizes are told by them
