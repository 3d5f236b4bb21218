"""A user's own images: a folder of files, a folder of class folders, or an `.npz` file."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redhanded.data.folders import (
    MAX_NPZ_BYTES,
    ImageLimits,
    bad_data,
    image_paths,
    read_image,
    read_npz_arrays,
    reading,
    visible_entries,
)
from redhanded.data.pixels import as_float

LARGE = ImageLimits(pixels=1 << 20, file_bytes=1 << 24)  # 1024 x 1024, 16 MiB
KEYS = (("images", "labels"), ("x_test", "y_test"))
_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, eq=False)
class UserImages:
    """Images of one size and mode, in a fixed order."""

    name: str  # of the file or folder
    kind: str  # in words
    pixels: np.ndarray  # (n, c, h, w) uint8, or float32 in [0, 1]
    labels: np.ndarray | None  # (n,) int64, or None where the model itself is to give them
    labels_from: str  # in words
    names: Sequence[str] | None = None  # of the files, within their folder

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pixels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of type, shape and bytes of the pixels, then of the labels where there are any."""
        sha = hashlib.sha256(f"{self.pixels.dtype.str} {self.pixels.shape}".encode())
        for image in self.pixels:  # one by one: the whole may be a view that is not contiguous
            sha.update(image.tobytes())
        if self.labels is not None:
            sha.update(self.labels.tobytes())
        return sha.hexdigest()

    def as_floats(self, rows: slice | np.ndarray) -> Tensor:
        """Some of the images, (n, c, h, w) float32 in [0, 1]."""
        return as_float(torch.from_numpy(self.pixels[rows]))


def read_images(path: Path) -> UserImages:
    """The images at `path`, of one size and mode (L or RGB), at most 2**20 pixels each and 4 GiB together.

    A folder of files: the labels are left to the model. A folder of class folders: an image's label is the place of
    its folder in sorted order, or the folder's name where all are numbers. An `.npz`: `images` and `labels`, or
    `x_test` and `y_test`; images uint8 NHW or NHWC, or float32 NCHW in [0, 1]; labels (n,) or (n, 1) integers.
    Hidden files are left out. Raises DataError, in one line, for anything else.
    """
    expected = "a folder of images or an .npz file"
    with reading(path, expected):
        if path.is_dir():
            return _read_folder(path)
        if not path.is_file():  # a pipe would be waited for
            raise bad_data(path, expected, "neither", "check the path")
    return _read_npz(path)


def _read_folder(folder: Path) -> UserImages:
    entries = visible_entries(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    if len(classes) not in (0, len(entries)):
        found = f"{len(classes)} folders beside {len(entries) - len(classes)} files"
        raise bad_data(folder, "images alone or class folders alone", found, "take one of the two kinds away")
    if not entries:
        raise bad_data(folder, "at least one image", "none", "add images")
    return _read_classes(folder, classes) if classes else _read_flat(folder)


def _read_flat(folder: Path) -> UserImages:
    return _of_files(folder, "folder", image_paths(folder), None, "the model's own predictions")


def _read_classes(folder: Path, classes: Sequence[Path]) -> UserImages:
    numbered = all(_NUMBER.fullmatch(entry.name) for entry in classes)
    paths, labels = list[Path](), list[int]()
    for place, entry in enumerate(classes):
        paths += image_paths(entry)
        labels += [int(entry.name) if numbered else place] * (len(paths) - len(labels))
    origin = "the names of the class folders" if numbered else "the class folders in sorted order"
    return _of_files(folder, "class folders", paths, np.array(labels, np.int64), origin)


def _of_files(
    folder: Path, kind: str, paths: Sequence[Path], labels: np.ndarray | None, labels_from: str
) -> UserImages:
    names = [path.relative_to(folder).as_posix() for path in paths]
    return UserImages(folder.resolve().name, kind, _read_files(paths), labels, labels_from, names)


def _read_files(paths: Sequence[Path]) -> np.ndarray:
    """(n, c, h, w) uint8, filled file by file: the images are in memory once."""
    first = read_image(paths[0], LARGE)
    if len(paths) * first.nbytes > MAX_NPZ_BYTES:
        expected, found = f"at most {MAX_NPZ_BYTES:,} bytes of pixels", f"{len(paths) * first.nbytes:,}"
        raise bad_data(paths[0].parent, expected, found, "use fewer images")
    images = np.empty((len(paths), *first.shape), np.uint8)
    for place, path in enumerate(paths):
        image = read_image(path, LARGE)
        if image.shape != first.shape:
            expected, found = f"shape {first.shape} as of {paths[0].name}", f"shape {image.shape}"
            raise bad_data(path, expected, found, "use one size and one mode")
        images[place] = image
    return _channels_first(images)


def _read_npz(path: Path) -> UserImages:
    images, labels = read_npz_arrays(path, KEYS)
    pixels = _check_pixels(path, _channels_first(images) if images.dtype == np.uint8 else images)
    if labels.dtype.kind not in "iu" or labels.shape not in {(len(images),), (len(images), 1)}:
        expected, found = f"integer labels of shape ({len(images)},)", f"{labels.dtype} of shape {labels.shape}"
        raise bad_data(path, expected, found, "save one class number for each image")
    return UserImages(path.name, "npz", pixels, labels.reshape(-1).astype(np.int64), "the file")


def _channels_first(images: np.ndarray) -> np.ndarray:
    """NHW or NHWC as (n, c, h, w); any other number of dimensions as it is."""
    if images.ndim == 3:
        return images[:, np.newaxis]
    return images.transpose(0, 3, 1, 2) if images.ndim == 4 else images


def _check_pixels(path: Path, pixels: np.ndarray) -> np.ndarray:
    expected = "images as uint8 NHW or NHWC, or as float32 NCHW, with 1 or 3 channels"
    if pixels.dtype not in (np.uint8, np.float32) or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise bad_data(path, expected, f"{pixels.dtype}, {pixels.shape} as NCHW", "convert them")
    if not pixels.size or pixels[0, 0].size > LARGE.pixels:
        found = f"{len(pixels)} of {pixels.shape[2]} x {pixels.shape[3]}"
        raise bad_data(path, f"at least one image of at most {LARGE.pixels:,} pixels", found, "add or scale images")
    if pixels.dtype == np.float32 and not (pixels.min() >= 0 and pixels.max() <= 1):  # so that NaN fails too
        raise bad_data(path, "float images in [0, 1]", f"{pixels.min():.3g} to {pixels.max():.3g}", "divide by 255")
    return pixels
