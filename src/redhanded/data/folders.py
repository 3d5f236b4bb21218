"""Images and labels from a user's own files: an `.npz`, a folder of images, folders of class folders.

Nothing here executes what a file holds: no pickle, a list of allowed formats, sizes checked before decoding.
"""

import hashlib
import io
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from redhanded.errors import DataError, one_line

if TYPE_CHECKING:  # a source is read without it
    from torch import Tensor

IMAGE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
FORMATS = sorted(set(IMAGE_FORMATS.values()))
IMAGE_MODES = ("L", "RGB")
MIN_SIDE, MAX_SIDE = 16, 64  # pixels, of a source's images
SOURCE_KEYS = ("x_train", "y_train", "x_test", "y_test")  # images NHW or NHWC, labels (n,) or (n, 1)
IMAGE_KEYS = (("images", "labels"), ("x_test", "y_test"))
NPZ = "a zip archive that numpy.savez wrote"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that numpy writes
_CLASS_NUMBER = re.compile(r"[0-9]{1,6}")


class Limits(NamedTuple):
    """How much is read of a user's files; what is larger is refused before it is decoded or unpacked."""

    pixels: int  # of one image
    file_bytes: int  # of one image file
    array_bytes: int  # of all images together, unpacked


SOURCE_LIMITS = Limits(MAX_SIDE * MAX_SIDE, 1 << 20, 1 << 32)  # a file: 80 times a raw 64 x 64 RGB image
ATTACK_LIMITS = Limits(1 << 20, 1 << 24, 1 << 32)  # of images that their owner attacks: 1024 x 1024, 16 MiB
EVIDENCE_LIMITS = Limits(1 << 20, 5 << 20, 1 << 27)  # of strangers' images, at the command line and at the server


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

    def as_floats(self, rows: slice | np.ndarray) -> "Tensor":
        """Some of the images, (n, c, h, w) float32 in [0, 1]."""
        import torch

        from redhanded.data.pixels import as_float

        return as_float(torch.from_numpy(self.pixels[rows]))


def bad_data(where: object, expected: str, found: str, remedy: str) -> DataError:
    """A DataError of one printable line: the place, what was expected, what was found, what to do."""
    return DataError(one_line(f"{where}: expected {expected}, found {found}; {remedy}"))


@contextmanager
def reading(where: object, expected: str) -> Iterator[None]:
    """Turn whatever a decoder raises on foreign bytes (nearly any built-in exception) into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise bad_data(where, expected, found, "check the path and make the file again") from error


def read_source(path: Path) -> list[np.ndarray]:
    """The arrays SOURCE_KEYS of a folder of class folders, or else of an `.npz` file; raises DataError.

    A folder: the images of `train/<class>/` and `test/<class>/` by class and file name, NHW (mode L) or NHWC (RGB);
    labels count the class folders in sorted order (as text: "10" stands before "2"). Hidden files are left out.
    """
    with reading(path, "a file or a folder"):
        is_folder = path.is_dir()
        if path.exists() and not is_folder and not path.is_file():  # a pipe would be waited for
            raise bad_data(path, "a file or a folder", "neither", "give the path of an .npz file or a folder")
    if not is_folder:
        return read_npz(path, path, [SOURCE_KEYS], SOURCE_LIMITS)
    splits = [_class_folders(path / "train"), _class_folders(path / "test")]
    train, test = ([folder.name for folder in folders] for folders in splits)
    if train != test:
        expected = f"the class folders of train ({some_names(train)})"
        raise bad_data(path / "test", expected, some_names(test), "give both splits the same class folders")
    arrays = list[np.ndarray]()
    for folders in splits:
        paths, labels = _class_files(folders)
        arrays += _read_files(paths, SOURCE_LIMITS, "as before it"), np.array(labels, np.int64)
    return arrays


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
            return _read_images_of_folder(path)
        if not path.is_file():  # a pipe would be waited for
            raise bad_data(path, expected, "neither", "check the path")
    images, labels = read_npz(path, path, IMAGE_KEYS, ATTACK_LIMITS)
    pixels = _channels_first(images) if images.dtype == np.uint8 else images
    if pixels.dtype not in (np.uint8, np.float32) or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        expected = "images as uint8 NHW or NHWC, or as float32 NCHW, with 1 or 3 channels"
        raise bad_data(path, expected, f"{pixels.dtype}, {pixels.shape} as NCHW", "convert them")
    if not pixels.size or pixels[0, 0].size > ATTACK_LIMITS.pixels:
        expected = f"at least one image of at most {ATTACK_LIMITS.pixels:,} pixels"
        found = f"{len(pixels)} of {pixels.shape[2]} x {pixels.shape[3]}"
        raise bad_data(path, expected, found, "add or scale images")
    if pixels.dtype == np.float32 and not (pixels.min() >= 0 and pixels.max() <= 1):  # so that NaN fails too
        raise bad_data(path, "float images in [0, 1]", f"{pixels.min():.3g} to {pixels.max():.3g}", "divide by 255")
    if labels.dtype.kind not in "iu" or labels.shape not in {(len(images),), (len(images), 1)}:
        expected, found = f"integer labels of shape ({len(images)},)", f"{labels.dtype} of shape {labels.shape}"
        raise bad_data(path, expected, found, "save one class number for each image")
    return UserImages(path.name, "npz", pixels, labels.reshape(-1).astype(np.int64), "the file")


def _read_images_of_folder(folder: Path) -> UserImages:
    entries = _visible_entries(folder)
    folders = [entry for entry in entries if entry.is_dir()]
    if len(folders) not in (0, len(entries)):
        found = f"{len(folders)} folders beside {len(entries) - len(folders)} files"
        raise bad_data(folder, "images alone or class folders alone", found, "take one of the two kinds away")
    if not entries:
        raise bad_data(folder, "at least one image", "none", "add images")
    labels: np.ndarray | None = None
    if not folders:
        kind, origin, paths = "folder", "the model's own predictions", entries
    else:
        kind, origin = "class folders", "the class folders in sorted order"
        paths, places = _class_files(folders)
        if all(_CLASS_NUMBER.fullmatch(entry.name) for entry in folders):
            origin, places = "the names of the class folders", [int(path.parent.name) for path in paths]
        labels = np.array(places, np.int64)
    pixels = _channels_first(_read_files(paths, ATTACK_LIMITS, f"as of {paths[0].name}"))
    names = [path.relative_to(folder).as_posix() for path in paths]
    return UserImages(folder.resolve().name, kind, pixels, labels, origin, names)


def _class_folders(split: Path) -> list[Path]:
    with reading(split, "a folder of class folders"):
        entries = _visible_entries(split)
        strays = [entry.name for entry in entries if not entry.is_dir()]
        if strays or not entries:
            found = some_names(strays) or "nothing"
            raise bad_data(split, "class folders only", found, "put every image into the folder of its class")
    return entries


def _class_files(folders: Sequence[Path]) -> tuple[list[Path], list[int]]:
    """The files of all class folders, at least one of each, and of each file the place of its folder."""
    paths, labels = list[Path](), list[int]()
    for label, folder in enumerate(folders):
        with reading(folder, "a folder of images"):
            files = _visible_entries(folder)
        if not files:
            remedy = "add images or take the class away from both splits"
            raise bad_data(folder, "at least one image", "none", remedy)
        paths += files
        labels += [label] * len(files)
    return paths, labels


def _visible_entries(folder: Path) -> list[Path]:
    """What lies in a folder, hidden files left out, sorted by name as text."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _read_files(paths: Sequence[Path], limits: Limits, like: str) -> np.ndarray:
    """Images of one shape, uint8 (n, h, w) or (n, h, w, 3), filled file by file: they are in memory once.

    like: how a message names the first of them.
    """
    first = read_image(paths[0], limits)
    if len(paths) * first.nbytes > limits.array_bytes:
        expected, found = f"at most {limits.array_bytes:,} bytes of pixels", f"{len(paths) * first.nbytes:,}"
        raise bad_data(paths[0].parent, expected, found, "use fewer images")
    images = np.empty((len(paths), *first.shape), np.uint8)
    for place, path in enumerate(paths):
        image = read_image(path, limits)
        if image.shape != first.shape:
            raise bad_data(path, f"shape {first.shape} {like}", f"shape {image.shape}", "use one size and one mode")
        images[place] = image
    return images


def read_image(path: Path, limits: Limits) -> np.ndarray:
    """One image file as uint8 (h, w) for mode L or (h, w, 3) for mode RGB, the first frame only.

    Raises DataError unless it is a PNG, JPEG, BMP, WEBP or TIFF file within the limits in mode L or RGB. Size and mode
    are read from the header, before any pixel is decoded.
    """
    with reading(path, "an image that can be decoded"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if path.suffix.lower() not in IMAGE_FORMATS:
            expected = f"a name that ends in {', '.join(IMAGE_FORMATS)}"
            raise bad_data(path, expected, repr(path.suffix), "convert it or take it away")
        size = path.stat().st_size
        if not path.is_file():  # a folder, or a pipe that would never end
            raise bad_data(path, "an image file", "something that is not a file", "take it away")
        if size > limits.file_bytes:
            expected = f"at most {limits.file_bytes:,} bytes"
            raise bad_data(path, expected, f"{size:,}", "save it without its metadata")
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > limits.pixels:
                found = f"{image.width} x {image.height}"
                raise bad_data(path, f"at most {limits.pixels:,} pixels", found, "scale it down")
            if image.mode not in IMAGE_MODES:
                raise bad_data(path, f"mode {' or '.join(IMAGE_MODES)}", image.mode, "convert it to grey or RGB")
            return np.array(image)


def _channels_first(images: np.ndarray) -> np.ndarray:
    """NHW or NHWC as (n, c, h, w); any other number of dimensions as it is."""
    if images.ndim == 3:
        return images[:, np.newaxis]
    return images.transpose(0, 3, 1, 2) if images.ndim == 4 else images


def read_npz(
    where: object, file: Path | io.BytesIO, choices: Sequence[Sequence[str]], limits: Limits, wanted: str = ""
) -> list[np.ndarray]:
    """The arrays of an `.npz` file under the first of these choices of names that it has whole; raises DataError.

    where: names the file in messages; wanted: says there what it must have, where its arrays alone do not.
    """
    with reading(where, wanted or NPZ), zipfile.ZipFile(file) as archive, reading(where, NPZ):
        names = archive.namelist()
        keys = next((keys for keys in choices if {f"{key}.npy" for key in keys} <= set(names)), None)
        if keys is None:
            expected = wanted or f"the arrays {' or '.join(', '.join(keys) for keys in choices)}"
            found = some_names([name.removesuffix(".npy") for name in names])[:80] or "an empty archive"
            raise bad_data(where, expected, found, "save them with numpy.savez under these names")
        members = [archive.getinfo(f"{key}.npy") for key in keys]
        size = sum(member.file_size for member in members)
        if size > limits.array_bytes:
            raise bad_data(where, f"at most {limits.array_bytes:,} bytes of images", f"{size:,}", "use fewer images")
        if any(member.compress_type not in _METHODS for member in members):
            found, remedy = "another method of compression", "save them with numpy.savez"
            raise bad_data(where, "an archive that numpy wrote", found, remedy)
        return [_read_member(f"{where}, {key}", archive, member) for key, member in zip(keys, members, strict=True)]


def _read_member(where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, read to its end (where zipfile compares the checksum) before its header is believed."""
    buffer = io.BytesIO()
    with archive.open(member) as file:
        shutil.copyfileobj(file, buffer, 1 << 20)
    buffer.seek(0)
    version = np.lib.format.read_magic(buffer)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(buffer)
    elif version == (2, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(buffer)
    else:
        raise ValueError(f"array format {version} instead of (1, 0) or (2, 0)")
    if dtype.hasobject:
        raise bad_data(where, "numbers", "pickled objects", "save a plain integer array")
    flat = np.frombuffer(buffer.getbuffer()[buffer.tell() :], dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def some_names(names: list[str]) -> str:
    """Up to eight names for a message."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
