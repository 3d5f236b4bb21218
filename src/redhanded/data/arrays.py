"""Arrays of images: from the bytes of a `.npy` or `.npz` file, or from memory. No pickle is read."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redhanded.data.folders import EVIDENCE_LIMITS, bad_data, read_npz, reading
from redhanded.errors import DataError

MOST_IMAGES = 10_000  # of one archive
MOST_MEMBERS = 1000
_KEY = "images"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in what a parser says of a header: another one every time
_REMEDY = "save one image with numpy.save, float32 in [0, 1] or uint8"
_REMEDY_NPZ = f"save them with numpy.savez(file, {_KEY}=...)"


def read_arrays(name: str, data: bytes) -> list[NDArray]:
    """The images of an array file: one of a `.npy`, all of an `.npz`; raises DataError in one line."""
    try:
        return ARRAYS[Path(name).suffix.lower()](name, data)
    except DataError as error:
        raise DataError(_ADDRESS.sub("", str(error))) from None


def checked_array(name: str, image: NDArray | Tensor) -> NDArray:
    """uint8 or floats in [0, 1], of any shape; raises DataError in one line for anything else."""
    with reading(name, "an array of numbers"):
        array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise bad_data(name, "float32, float64 or uint8", str(array.dtype)[:80], _REMEDY)
    if not array.size:
        raise bad_data(name, "an image", f"an array of shape {array.shape}", _REMEDY)
    if array.dtype != np.uint8 and not (array.min() >= 0 and array.max() <= 1):  # NaN fails too
        raise bad_data(name, "values in [0, 1]", "others", _REMEDY)
    return array


def _read_npy(name: str, data: bytes) -> list[NDArray]:
    with reading(name, "an array that numpy.save wrote"):
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return [checked_array(name, array)]


def _read_npz(name: str, data: bytes) -> list[NDArray]:
    if data.count(b"PK\x01\x02") > MOST_MEMBERS:  # the mark of an entry, counted before they are all read
        raise bad_data(name, f"an archive of at most {MOST_MEMBERS:,} arrays", "more", _REMEDY_NPZ)
    wanted = f"an archive with the array '{_KEY}'"
    (images,) = read_npz(name, io.BytesIO(data), [(_KEY,)], EVIDENCE_LIMITS, wanted)
    if images.ndim != 4 or not 0 < len(images) <= MOST_IMAGES:
        expected = f"'{_KEY}' of shape (n, c, h, w) or (n, h, w, c), n up to {MOST_IMAGES:,}"
        raise bad_data(name, expected, str(images.shape), _REMEDY_NPZ)
    return [checked_array(f"{name}[{place}]", image) for place, image in enumerate(images)]


ARRAYS: dict[str, Callable[[str, bytes], list[NDArray]]] = {".npy": _read_npy, ".npz": _read_npz}
