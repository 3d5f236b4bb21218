"""From bytes as they were received to images: what each file holds, its SHA-256 and its condition.

Nothing here executes what a file holds, and sizes are checked before anything is decoded.
"""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from redhanded.desk.records import Condition, Failure
from redhanded.errors import DataError
from redhanded.image_files import IMAGE_FORMATS, bad_data, read_npz_arrays, reading
from redhanded.views import round_to_uint8

MOST_BYTES = 1 << 25  # of one file
MOST_PIXELS = 1 << 22  # of one image file, before repeated pixels are taken away
MOST_ARRAY = 10_000  # images of one array file
LOSSLESS_MODES = {"L": "L", "RGB": "RGB", "P": "RGB", "1": "L"}  # how Pillow holds them -> without loss
ARRAY_SUFFIXES = (".npy", ".npz")
_CONVERT = "convert it to 8-bit grey or RGB without loss, or to .npy"


@dataclass(frozen=True)
class Evidence:
    """One image as it was handed in."""

    name: str
    sha256: str  # of the bytes as received
    image: Tensor  # (1, c, h, w) float32 in [0, 1]
    condition: Condition

    @property
    def file(self) -> str:
        """The file that the image came from: its name without the place in an array."""
        return re.sub(r"\[\d+\]$", "", self.name) if self.condition.file_format == "NPY" else self.name


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as named; of a folder every visible file below it, in order of the paths, links to folders not followed."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))


def read_files(paths: Iterable[Path], shape: Sequence[int]) -> Iterator[Evidence | Failure]:
    """The images of files and folders, for a bundle on images of `shape`; a file that cannot be used is a Failure."""
    for path in find_files(paths):
        try:
            yield from read_bytes(str(path), _bytes_of(path), shape)
        except DataError as error:
            yield Failure(name=str(path), error=str(error))


def read_bytes(name: str, data: bytes, shape: Sequence[int]) -> list[Evidence]:
    """The images of one file, given as bytes: one of an image file or `.npy`, any number of an `.npz`.

    shape: (c, h, w) of the images wanted. Raises DataError in one line for anything else.
    """
    digest = hashlib.sha256(data).hexdigest()
    if Path(name).suffix.lower() in ARRAY_SUFFIXES:
        arrays = _read_arrays(name, data)
        names = [name] if len(arrays) == 1 else [f"{name}[{place}]" for place in range(len(arrays))]
        return [
            _evidence(one, digest, pixels, shape, "NPY", "float", []) for one, pixels in zip(names, arrays, strict=True)
        ]
    pixels, file_format, lossy, remarks = _decode(name, data)
    return [_evidence(name, digest, pixels, shape, file_format, "lossy" if lossy else "8-bit", remarks)]


def from_array(name: str, image: NDArray | Tensor, shape: Sequence[int]) -> Evidence:
    """An image that is in memory already: (h, w), (h, w, c) or (c, h, w), uint8 or floats in [0, 1]."""
    array = _checked(name, np.asarray(image))
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return _evidence(name, digest, array, shape, "array", "float", [])


def _bytes_of(path: Path) -> bytes:
    with reading(path, "a file that can be read"):
        if not path.is_file():
            raise bad_data(path, "a file", "none, or something that is not a file", "check the path")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise bad_data(path, f"at most {MOST_BYTES:,} bytes", f"{size:,}", "cut the image out of it")
        return path.read_bytes()


def _evidence(
    name: str, digest: str, pixels: NDArray, shape: Sequence[int], file_format: str, form: str, remarks: list[str]
) -> Evidence:
    """Channels first, of the shape wanted, with the condition it is in."""
    image, changes = _fitted(name, _channels_first(name, _as_float(pixels)), shape)
    whole = torch.equal(round_to_uint8(image), image)
    condition = Condition(
        file_format=file_format,
        form="8-bit" if form == "float" and whole else form,
        pixels="uint8" if whole else "float32",
        remarks=remarks + changes,
    )
    return Evidence(name, digest, image, condition)


def _decode(name: str, data: bytes) -> tuple[NDArray, str, bool, list[str]]:
    """Pixels, format, whether it loses something, remarks; the content decides on the format, not the name."""
    with reading(Path(name), "a PNG, JPEG, BMP, WEBP, TIFF, .npy or .npz file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=sorted(set(IMAGE_FORMATS.values()))) as image:
            if image.width * image.height > MOST_PIXELS:
                found = f"{image.width} x {image.height}"
                raise bad_data(name, f"at most {MOST_PIXELS:,} pixels", found, "cut the image out of it")
            if image.mode not in LOSSLESS_MODES or "transparency" in image.info:
                found = "transparency" if "transparency" in image.info else f"mode {image.mode}"
                raise bad_data(name, "8-bit grey, RGB or palette without transparency", found, _CONVERT)
            remarks = list(_remarks(name, image))
            lossy = image.format == "JPEG" or (image.format == "WEBP" and b"VP8L" not in data[:64])
            if lossy:
                remarks.append("lossy compression; the calibration was measured without it")
            return np.array(image.convert(LOSSLESS_MODES[image.mode])), str(image.format), lossy, remarks


def _remarks(name: str, image: Image.Image) -> Iterator[str]:
    expected = IMAGE_FORMATS.get(Path(name).suffix.lower())
    if expected != image.format:
        yield f"the file is {image.format}, whatever its name says"
    if getattr(image, "n_frames", 1) > 1:
        yield "the first frame of several"
    if image.getexif().get(0x0112, 1) != 1:
        yield "pixels as stored; the rotation that the metadata asks for was not applied"


def _read_arrays(name: str, data: bytes) -> list[NDArray]:
    """The images of an array file."""
    with reading(Path(name), "arrays of images"):
        if name.lower().endswith(".npz"):
            (images,) = read_npz_arrays(Path(name), [("images",)], io.BytesIO(data))
            if images.ndim != 4 or not 0 < len(images) <= MOST_ARRAY:
                expected = f"'images' of shape (n, c, h, w) or (n, h, w, c), n up to {MOST_ARRAY:,}"
                raise bad_data(name, expected, str(images.shape), "save them with numpy.savez(file, images=...)")
            return [_checked(f"{name}[{place}]", image) for place, image in enumerate(images)]
        return [_checked(name, np.load(io.BytesIO(data), allow_pickle=False))]


def _checked(name: str, array: NDArray) -> NDArray:
    remedy = "save one image with numpy.save, float32 in [0, 1] or uint8"
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise bad_data(name, "float32, float64 or uint8", str(array.dtype), remedy)
    if array.dtype != np.uint8 and (not array.size or not (array.min() >= 0 and array.max() <= 1)):  # NaN fails too
        raise bad_data(name, "values in [0, 1]", "others", remedy)
    return array


def _as_float(array: NDArray) -> Tensor:
    return torch.from_numpy(np.asarray(array / np.float32(255) if array.dtype == np.uint8 else array, np.float32))


def _channels_first(name: str, image: Tensor) -> Tensor:
    """(h, w), (h, w, c) or (c, h, w) -> (1, c, h, w)."""
    if image.ndim == 2:
        return image[None, None]
    if image.ndim == 3 and image.shape[0] in (1, 3):
        return image[None]
    if image.ndim == 3 and image.shape[2] in (1, 3):
        return image.permute(2, 0, 1)[None]
    raise bad_data(name, "one image (h, w), (h, w, c) or (c, h, w)", str(tuple(image.shape)), "save a single image")


def _fitted(name: str, image: Tensor, shape: Sequence[int]) -> tuple[Tensor, list[str]]:
    """The image in the shape wanted where that loses nothing: equal channels made one, repeated pixels taken away."""
    changes = []
    channels, height, width = shape
    if image.shape[1] == 3 and channels == 1 and (image == image[:, :1]).all():
        image, changes = image[:, :1], ["three equal channels, taken as one"]
    times = max(1, image.shape[2] // height)
    small = image[:, :, ::times, ::times]
    repeated = small.repeat_interleave(times, 2).repeat_interleave(times, 3)
    if times > 1 and small.shape[1:] == tuple(shape) and torch.equal(repeated, image):
        image, changes = small, [*changes, f"enlarged {times} times by repeating pixels; undone"]
    if tuple(image.shape[1:]) != tuple(shape):
        found = " x ".join(map(str, image.shape[1:]))
        remedy = "give the image as the classifier received it; resizing destroys what is looked for"
        raise bad_data(name, f"an image of {channels} x {height} x {width}", found, remedy)
    return image.contiguous(), changes
