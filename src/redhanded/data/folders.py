"""Images and labels from a user's own files: `.npz` in Keras' layout, or a folder of class folders.

Nothing here executes what a file holds: no pickle, a list of allowed formats, sizes checked before decoding.
"""

import io
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from redhanded.errors import DataError, one_line

KEYS = ("x_train", "y_train", "x_test", "y_test")
IMAGE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
IMAGE_MODES = ("L", "RGB")
MIN_SIDE, MAX_SIDE = 16, 64  # pixels
MAX_IMAGE_BYTES = 1 << 20  # one image file on disk: 80 times a raw 64 x 64 RGB image
MAX_NPZ_BYTES = 1 << 32  # the arrays together, unpacked


class RawArrays(NamedTuple):
    """The four arrays of a source as read, not checked yet: images NHW or NHWC, labels (n,) or (n, 1)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class ImageLimits(NamedTuple):
    """What one image file may have at most."""

    pixels: int
    file_bytes: int


SMALL = ImageLimits(MAX_SIDE * MAX_SIDE, MAX_IMAGE_BYTES)  # images of a source


def bad_data(where: object, expected: str, found: str, remedy: str) -> DataError:
    """A DataError of one printable line: the place, what was expected, what was found, what to do."""
    return DataError(one_line(f"{where}: expected {expected}, found {found}; {remedy}"))


def read_arrays(path: Path) -> RawArrays:
    """The arrays of a folder of class folders, or else of an `.npz` file; raises DataError."""
    with reading(path, "a file or a folder"):
        is_folder = path.is_dir()
        if path.exists() and not is_folder and not path.is_file():  # a pipe would be waited for
            raise bad_data(path, "a file or a folder", "neither", "give the path of an .npz file or a folder")
    return read_folder(path) if is_folder else read_npz(path)


def read_npz(path: Path) -> RawArrays:
    """The arrays x_train, y_train, x_test, y_test of an `.npz` file; raises DataError for any other file."""
    return RawArrays(*read_npz_arrays(path, [KEYS]))


def read_npz_arrays(path: Path, choices: Sequence[Sequence[str]], data: io.BytesIO | None = None) -> list[np.ndarray]:
    """The arrays of an `.npz` file under the first of these choices of names that it has whole; raises DataError.

    data: the file's bytes, where they have been read already.
    """
    with reading(path, "a zip archive that numpy.savez wrote"), zipfile.ZipFile(data or path) as archive:
        keys = _choose_members(path, archive, choices)
        return [_read_member(path, archive, key) for key in keys]


def read_folder(path: Path) -> RawArrays:
    """The images of `train/<class>/` and `test/<class>/`, by class and file name; NHW (L) or NHWC (RGB).

    Labels count the class folders in sorted order (as text: "10" stands before "2"). Hidden files are left
    out. Raises DataError when a file is not an allowed image, sizes or modes are mixed, classes differ, or a
    class folder is empty.
    """
    classes = _class_names(path / "train")
    if _class_names(path / "test") != classes:
        raise bad_data(
            path / "test",
            f"the class folders of train ({some_names(classes)})",
            some_names(_class_names(path / "test")),
            "give both splits the same class folders",
        )
    return RawArrays(*_read_split(path / "train", classes), *_read_split(path / "test", classes))


def read_image(path: Path, limits: ImageLimits = SMALL) -> np.ndarray:
    """One image file as uint8 (h, w) for mode L or (h, w, 3) for mode RGB, the first frame only.

    Raises DataError unless it is a PNG, JPEG, BMP, WEBP or TIFF file within the limits (1 MiB and 4,096 pixels
    unless given) in mode L or RGB. Size and mode are read from the header, before any pixel is decoded.
    """
    with reading(path, "an image that can be decoded"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        _check_image_file(path, limits)
        with Image.open(path, formats=sorted(set(IMAGE_FORMATS.values()))) as image:
            _check_image_header(path, image, limits)
            return np.array(image)


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a decoder raises on foreign bytes (nearly any built-in exception) into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise bad_data(path, expected, found, "check the path and make the file again") from error


def _choose_members(path: Path, archive: zipfile.ZipFile, choices: Sequence[Sequence[str]]) -> Sequence[str]:
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    keys = next((keys for keys in choices if set(keys) <= set(names)), None)
    if keys is None:
        expected = " or ".join(", ".join(keys) for keys in choices)
        remedy = "save them with numpy.savez under these names"
        raise bad_data(path, f"the arrays {expected}", some_names(names), remedy)
    size = sum(archive.getinfo(f"{key}.npy").file_size for key in keys)
    if size > MAX_NPZ_BYTES:
        raise bad_data(path, f"at most {MAX_NPZ_BYTES:,} bytes of arrays", f"{size:,}", "use fewer images")
    return keys


def _read_member(path: Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """One array, read to its end (where zipfile compares the checksum) before its header is believed."""
    buffer = io.BytesIO()
    with archive.open(f"{key}.npy") as member:
        shutil.copyfileobj(member, buffer, 1 << 20)
    buffer.seek(0)
    shape, fortran_order, dtype = _read_npy_header(buffer)
    if dtype.hasobject:
        raise bad_data(f"{path}, {key}", "numbers", "pickled objects", "save a plain integer array")
    flat = np.frombuffer(buffer.getbuffer()[buffer.tell() :], dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _read_npy_header(buffer: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(buffer)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(buffer)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(buffer)
    raise ValueError(f"array format {version} instead of (1, 0) or (2, 0)")


def _class_names(split: Path) -> list[str]:
    with reading(split, "a folder of class folders"):
        entries = visible_entries(split)
        strays = [entry.name for entry in entries if not entry.is_dir()]
        if strays or not entries:
            found = some_names(strays) or "nothing"
            raise bad_data(split, "class folders only", found, "put every image into the folder of its class")
    return [entry.name for entry in entries]


def _read_split(split: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, h, w) or (n, h, w, 3) and labels int64 (n,) of one split."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        for path in image_paths(split / name):
            images.append(read_image(path))
            labels.append(label)
            if images[-1].shape != images[0].shape:
                found = f"shape {images[-1].shape}"
                expected = f"shape {images[0].shape} as before it"
                raise bad_data(path, expected, found, "use one size and one mode")
    return np.stack(images), np.array(labels, dtype=np.int64)


def image_paths(folder: Path) -> list[Path]:
    """The files of a folder, at least one; raises DataError."""
    with reading(folder, "a folder of images"):
        paths = visible_entries(folder)
    if not paths:
        raise bad_data(folder, "at least one image", "none", "add images or take the class away from both splits")
    return paths


def visible_entries(folder: Path) -> list[Path]:
    """What lies in a folder, hidden files left out, sorted by name as text."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _check_image_file(path: Path, limits: ImageLimits) -> None:
    if path.suffix.lower() not in IMAGE_FORMATS:
        expected = f"a name that ends in {', '.join(IMAGE_FORMATS)}"
        raise bad_data(path, expected, repr(path.suffix), "convert it or take it away")
    size = path.stat().st_size
    if not path.is_file():  # a folder, or a pipe that would never end
        raise bad_data(path, "an image file", "something that is not a file", "take it away")
    if size > limits.file_bytes:
        remedy = "save it without its metadata"
        raise bad_data(path, f"at most {limits.file_bytes:,} bytes", f"{size:,}", remedy)


def _check_image_header(path: Path, image: Image.Image, limits: ImageLimits) -> None:
    if image.width * image.height > limits.pixels:
        found = f"{image.width} x {image.height}"
        raise bad_data(path, f"at most {limits.pixels:,} pixels", found, "scale it down")
    if image.mode not in IMAGE_MODES:
        raise bad_data(path, f"mode {' or '.join(IMAGE_MODES)}", image.mode, "convert it to grey or RGB")


def some_names(names: list[str]) -> str:
    """Up to eight names for a message."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
