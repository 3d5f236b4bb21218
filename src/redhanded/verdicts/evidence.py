"""Evidence: the images of files as they were received, each with the SHA-256 of its file and its condition.

Nothing here executes what a file holds, and sizes are checked before anything is decoded.
"""

import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.data import ARRAYS, bad_data, checked_array, decode_image, read_arrays, reading, round_to_uint8
from redhanded.errors import DataError
from redhanded.verdicts.verdict import Condition, Failure

MOST_BYTES = 1 << 25  # of one file


class UnfitError(DataError):
    """An image of another shape than the bundle is for; `found` is what it has."""

    def __init__(self, message: str, found: str) -> None:
        super().__init__(message)
        self.found = found


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


Read = Callable[[str, bytes], Sequence[Evidence]]


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that paths and patterns name, in their order; of a folder every visible file below it.

    Links to folders are left out. A folder that cannot be read is given itself: whoever reads it as a file says so.
    """
    for path in paths:
        named = [path]
        if glob.has_magic(str(path)) and not os.path.lexists(path):
            names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - any pattern
            named = [Path(name) for name in names] or [path]
        for place in named:
            if not os.path.isdir(place):  # noqa: PTH112 - Path.is_dir may raise
                yield place
                continue
            unreadable: list[OSError] = []
            for folder, folders, files in os.walk(place, onerror=unreadable.append):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))
            yield from (Path(str(error.filename)) for error in unreadable)


def read_files(paths: Iterable[Path], shape: Sequence[int]) -> Iterator[Evidence | Failure]:
    """Read the images of files and folders, for a bundle on images of `shape`; see `read_paths`."""
    return read_paths(paths, lambda name, data: read_bytes(name, data, shape))


def read_paths(paths: Iterable[Path], read: Read) -> Iterator[Evidence | Failure]:
    """Read the images of files and folders; a file that cannot be used is a Failure, and so is a folder without files.

    read: from the name and the bytes of a file to the images in it.
    """
    for named in paths:
        files = find_files([named])
        for path in chain([next(files, named)], files):
            name, data = _readable(str(path)), None
            try:
                data = bytes_of(path)
                yield from read(name, data)
            except DataError as error:
                yield Failure(name=name, error=str(error), sha256=None if data is None else digest_of(data))


def read_bytes(name: str, data: bytes, shape: Sequence[int]) -> list[Evidence]:
    """The images of one file, given as bytes: one of an image file or `.npy`, any number of an `.npz`.

    shape: (c, h, w) of the images wanted. Raises DataError in one line for anything else, of which UnfitError for a
    sound image of another shape.
    """
    name = _readable(name)
    digest = hashlib.sha256(data).hexdigest()
    if len(data) > MOST_BYTES:
        raise bad_data(name, f"at most {MOST_BYTES:,} bytes", f"{len(data):,}", "give fewer images at a time")
    if Path(name).suffix.lower() in ARRAYS:
        arrays = read_arrays(name, data)
        names = [name] if len(arrays) == 1 else [f"{name}[{place}]" for place in range(len(arrays))]
        return [
            _evidence(one, digest, pixels, shape, "NPY", "float", []) for one, pixels in zip(names, arrays, strict=True)
        ]
    image = decode_image(name, data)
    form = "lossy" if image.lossy else "8-bit"
    return [_evidence(name, digest, image.pixels, shape, image.file_format, form, image.remarks)]


def bytes_of(path: Path) -> bytes:
    """A file's bytes, or as many as show that it is too large; raises DataError where they cannot be had."""
    with reading(path, "a file that can be read"):
        if not path.is_file():
            found = "a folder without visible files" if path.is_dir() else "none, or something that is not a file"
            raise bad_data(path, "a file", found, "check the path")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)  # whatever size it is said to be


def from_array(name: str, image: NDArray | Tensor, shape: Sequence[int]) -> Evidence:
    """An image that is in memory already: (h, w), (h, w, c) or (c, h, w), uint8 or floats in [0, 1]."""
    array = checked_array(name, image)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return _evidence(name, digest, array, shape, "array", "float", [])


def digest_of(data: bytes) -> str | None:
    """SHA-256 of a file's bytes; None where these are the beginning of a file that is too large."""
    return hashlib.sha256(data).hexdigest() if len(data) <= MOST_BYTES else None


def _readable(name: str) -> str:
    """A name as text that every program can write; bytes of it that are no UTF-8 are spelt out."""
    return name.encode(errors="backslashreplace").decode()


def _evidence(
    name: str, digest: str, pixels: NDArray, shape: Sequence[int], file_format: str, form: str, remarks: list[str]
) -> Evidence:
    """An image in the shape wanted where that loses nothing, with the condition it is in.

    pixels: (h, w), (h, w, c) or (c, h, w). Equal channels are made one, repeated pixels taken away.
    """
    # A copy: whoever handed the array in may change it.
    copy = np.array(pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels, np.float32)
    image = torch.from_numpy(copy[None] if copy.ndim == 2 else copy)
    if image.ndim != 3 or not {image.shape[0], image.shape[2]} & {1, 3}:
        found = str(tuple(copy.shape))
        raise bad_data(name, "one image (h, w), (h, w, c) or (c, h, w)", found, "save a single image")
    image = (image if image.shape[0] in (1, 3) else image.permute(2, 0, 1))[None]
    channels, height, width = shape
    if image.shape[1] == 3 and channels == 1 and (image == image[:, :1]).all():
        image, remarks = image[:, :1], [*remarks, "three equal channels, taken as one"]
    times = max(1, image.shape[2] // height)
    small = image[:, :, ::times, ::times]
    enlarged = small.repeat_interleave(times, 2).repeat_interleave(times, 3)
    if times > 1 and small.shape[1:] == tuple(shape) and torch.equal(enlarged, image):
        image, remarks = small, [*remarks, f"enlarged {times} times by repeating pixels; undone"]
    if tuple(image.shape[1:]) != tuple(shape):
        found = " x ".join(map(str, image.shape[1:]))
        remedy = "give the image as the classifier received it; resizing destroys what is looked for"
        raise UnfitError(str(bad_data(name, f"an image of {channels} x {height} x {width}", found, remedy)), found)
    image = image.contiguous()
    whole = torch.equal(round_to_uint8(image), image)
    condition = Condition(
        file_format=file_format,
        form="8-bit" if form == "float" and whole else form,
        pixels="uint8" if whole else "float32",
        remarks=remarks,
    )
    return Evidence(name, digest, image, condition)
