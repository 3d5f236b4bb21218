"""Image files: from bytes to pixels. Sizes are checked before anything is decoded, and nothing is lost unsaid."""

import contextlib
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from redhanded.data.folders import EVIDENCE_LIMITS, FORMATS, IMAGE_FORMATS, bad_data, reading

MOST_SCANS = 64  # of a JPEG; ten are usual, and each one costs as much as decoding a whole image
MOST_CHUNKS = 10_000  # of a PNG; each one takes Pillow some microseconds
MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}  # Pillow's -> pixels
_LOSSY = ("JPEG", "MPO")  # a camera's MPO is a JPEG with more JPEGs behind it
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_DEEP = re.compile(r";16[BLN]")  # how Pillow calls stored values of 16 bits, of which it keeps 8
_ROTATION = 0x0112
_STDERR = 2
_PNG = b"\x89PNG\r\n\x1a\n"
_CONVERT = "convert it to 8-bit grey or RGB without loss, or to .npy"
_CUT_OUT = "cut the image out of it"
_FILTERS = threading.Lock()  # the filters of warnings belong to the process


class Decoded(NamedTuple):
    """What an image file holds."""

    pixels: NDArray[np.uint8]  # (c, h, w)
    file_format: str  # as Pillow calls it; the content decides, not the name
    lossy: bool
    remarks: list[str]


def decode_image(name: str, data: bytes) -> Decoded:
    """The first image of a PNG, JPEG, BMP, WEBP or TIFF file; raises DataError in one line for anything else."""
    if len(data) > EVIDENCE_LIMITS.file_bytes:
        raise bad_data(name, f"an image of at most {EVIDENCE_LIMITS.file_bytes:,} bytes", f"{len(data):,}", _CONVERT)
    place, chunks = len(_PNG), 0
    while data.startswith(_PNG) and place < len(data):
        place += 12 + int.from_bytes(data[place : place + 4])  # length, kind and checksum, and what lies between
        chunks += 1
        if chunks > MOST_CHUNKS:
            raise bad_data(name, f"a PNG of at most {MOST_CHUNKS:,} chunks", "more", _CONVERT)
    with _FILTERS, warnings.catch_warnings(), reading(name, "an image that can be decoded"):
        warnings.simplefilter("ignore")  # remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _opened(name, data) as image:
            turned = image.format == "TIFF" and _asks_for_rotation(image)  # Pillow does it, and forgets that it did
            with _silent_libtiff():
                pixels, changes = _pixels(name, image)
            lossy = image.format in _LOSSY or image.info.get("compression") in _LOSSY_TIFF
            lossy = _is_lossy_webp(data) if image.format == "WEBP" else lossy
            remarks = [*_remarks(name, image), *(["turned as the metadata asks"] if turned else []), *changes]
            remarks += ["lossy compression; the calibration was measured without it"] if lossy else []
            return Decoded(pixels, str(image.format), lossy, remarks)


def _opened(name: str, data: bytes) -> Image.Image:
    """An image of which only the header was read, and found to be one that can be used."""
    few = f"at most {EVIDENCE_LIMITS.pixels:,} pixels"
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        found = f"{len(data):,} bytes of something else" if data else "no bytes at all"
        raise bad_data(name, "a PNG, JPEG, BMP, WEBP, TIFF, .npy or .npz file", found, _CONVERT) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise bad_data(name, few, "more than a hundred million", _CUT_OUT) from None
    if image.width * image.height > EVIDENCE_LIMITS.pixels:
        raise bad_data(name, few, f"{image.width} x {image.height}", _CUT_OUT)
    if image.mode not in MODES:
        raise bad_data(name, "8-bit grey, RGB or palette", f"mode {image.mode}", _CONVERT)
    if any(_DEEP.search(str(tile.args)) for tile in getattr(image, "tile", ())):
        raise bad_data(name, "8-bit values", "values of 16 bits", _CONVERT)
    scans = data.count(b"\xff\xda") if image.format in _LOSSY else 0
    if scans > MOST_SCANS:
        raise bad_data(name, f"a JPEG of at most {MOST_SCANS} scans", f"{scans:,}", _CONVERT)
    return image


def _pixels(name: str, image: Image.Image) -> tuple[NDArray[np.uint8], list[str]]:
    """(c, h, w); an alpha channel is taken away where it hides nothing."""
    mode = MODES[image.mode] + ("A" if image.has_transparency_data else "")
    pixels = np.moveaxis(np.atleast_3d(np.array(image.convert(mode))), 2, 0)
    if not image.has_transparency_data:
        return pixels, []
    if pixels[-1].min() < 255:
        raise bad_data(name, "an image without transparency", "transparent pixels", _CONVERT)
    return pixels[:-1], ["an alpha channel that hides nothing, taken away"]


@contextlib.contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Nothing on the standard error for a while: libtiff writes there itself, beside the exception.

    Not in a server's threads, where lines of others would be lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(_STDERR)
        os.dup2(nowhere.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


def _is_lossy_webp(data: bytes) -> bool:
    """Whether the first frame is VP8, not VP8L: the chunks are walked, since any number may stand before it."""
    place = 12  # behind RIFF, size, WEBP
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        place += 24 if kind == b"ANMF" else 8 + size + size % 2  # a frame's own chunks lie behind its header
    return True


def _remarks(name: str, image: Image.Image) -> Iterator[str]:
    if IMAGE_FORMATS.get(Path(name).suffix.lower()) != image.format:
        yield f"the file is {image.format}, whatever its name says"
    if getattr(image, "is_animated", False):  # counting the frames of a TIFF would read all of them
        yield "the first frame of several"
    if _asks_for_rotation(image):
        yield "pixels as stored; the rotation that the metadata asks for was not applied"


def _asks_for_rotation(image: Image.Image) -> bool:
    """Of a PNG to be asked once its pixels are there: it would load them, and what fails here is not told."""
    with contextlib.suppress(Exception):  # broken metadata says nothing about the pixels
        return bool(image.getexif().get(_ROTATION, 1) != 1)
    return False
