"""Files that nobody should send: image files and arrays, each with what the error has to say of it.

A row of `FILES` is (name of the file, what makes it at a path, a part of the error); of `ODD` the same with a part of
the remark, for files that are strange and can be used all the same.
"""

import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

SHAPE = (1, 16, 16)  # of the images that are wanted
CANARY = "canary"  # beside the file: made by any pickle that is run
_RNG = np.random.default_rng(11)
GREY = _RNG.integers(0, 256, (16, 16), np.uint8)
_LARGE = 20_000


class Case(NamedTuple):
    """A row."""

    name: str
    make: Callable[[Path], object]
    says: str


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path.with_name(CANARY),)


def _bytes(data: bytes | Callable[[], bytes]) -> Callable[[Path], object]:
    """data: of the file, or what makes it where that takes its time."""
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data())


def _image(array: np.ndarray, kind: str, mode: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int = 8, colour: int = 0, pixels: bytes | None = None, more: bytes = b""
) -> bytes:
    """A PNG as its header says, with any pixels; None: zeros, as many as it needs."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = b"\0" * (height * (1 + (width * depth * channels + 7) // 8)) if pixels is None else pixels
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(tags: dict[int, tuple[int, int, int]], data: bytes = b"", following: int = 0) -> bytes:
    """A TIFF of one directory; tags: tag -> (type, count, value or offset); the data starts at 8."""
    start = 8 + len(data)
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags.items())
    return (
        struct.pack("<2sHI", b"II", 42, start)
        + data
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", following)
    )


def tiff_tags(width: int, height: int, size: int, **more: int) -> dict[int, tuple[int, int, int]]:
    """Those of an uncompressed grey image whose pixels stand at 8."""
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: size}
    values |= {int(tag[1:]): value for tag, value in more.items()}
    return {tag: (4, 1, value) for tag, value in sorted(values.items())}


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _patched(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


SOUND = {
    "png": _image(GREY, "PNG"),
    "jpg": _image(GREY, "JPEG"),
    "bmp": _image(GREY, "BMP"),
    "tif": _image(GREY, "TIFF"),
    "lzw.tif": _image(GREY, "TIFF", compression="tiff_lzw"),
    "webp": _image(GREY, "WEBP", "RGB", lossless=True),
}


def _truncated() -> Iterator[Case]:
    for suffix, data in SOUND.items():
        for percent in (3, 20, 40, 60, 80, 93):
            yield Case(f"truncated{percent}.{suffix}", _bytes(data[: len(data) * percent // 100]), "expected ")


def _empty_and_random() -> Iterator[Case]:
    for suffix in ("png", "jpg", "bmp", "webp", "tiff", "npy", "npz"):
        yield Case(f"empty.{suffix}", _bytes(b""), "expected ")
        for size in (1, 40, 4000):
            yield Case(f"random{size}.{suffix}", _bytes(_RNG.bytes(size)), "expected ")


def _not_wanted() -> Iterator[Case]:
    """Formats that Pillow reads and this project does not, and what is no image, under the name of one."""
    kinds = {
        "gif": "GIF",
        "ppm": "PPM",
        "ico": "ICO",
        "tga": "TGA",
        "pcx": "PCX",
        "sgi": "SGI",
        "dds": "DDS",
    }
    for name, kind in kinds.items():
        yield Case(f"{name}.png", _bytes(_image(GREY, kind)), "bytes of something else")
    texts = {
        "text": b"hello",
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n",
        "pdf": b"%PDF-1.4\n%%EOF",
        "elf": b"\x7fELF" + bytes(60),
        "script": b"#!/bin/sh\ntouch canary\n",
        "pickle": pickle.dumps([1]),
        "zip": b"PK\x05\x06" + bytes(18),
        "xpm": b'/* XPM */ static char *a[] = {"16 16 2 1"};',
    }
    for name, data in texts.items():
        yield Case(f"{name}.jpg", _bytes(data), "bytes of something else")
    yield Case("array.png", lambda path: path.write_bytes(_npy(GREY)), "bytes of something else")
    yield Case("image.npy", _bytes(SOUND["png"]), "expected an array that numpy.save wrote")
    yield Case("image.npz", _bytes(SOUND["png"]), "expected an archive")
    yield Case("no_suffix", _bytes(b"what?"), "bytes of something else")


def _sizes() -> Iterator[Case]:
    for kind, suffix in {"PNG": "png", "JPEG": "jpg", "BMP": "bmp", "TIFF": "tif"}.items():
        yield Case(f"1x1.{suffix}", _bytes(_image(GREY[:1, :1], kind)), "found 1 x 1 x 1;")
    yield Case("1x1.webp", _bytes(_image(GREY[:1, :1], "WEBP", "RGB", lossless=True)), "found 1 x 1 x 1;")
    for height, width in ((16, 1), (1, 16), (15, 16), (16, 17), (24, 24), (31, 32), (32, 16), (1024, 1024)):
        image = _RNG.integers(0, 256, (height, width), np.uint8)
        yield Case(f"{height}x{width}.png", _bytes(_image(image, "PNG")), f"found 1 x {height} x {width};")
    resized = np.asarray(Image.fromarray(GREY).resize((32, 32)))
    yield Case("resized.png", _bytes(_image(resized, "PNG")), "resizing destroys what is looked for")
    yield Case("coloured.png", _bytes(_image(_RNG.integers(0, 256, (16, 16, 3), np.uint8), "PNG")), "3 x 16 x 16")


def _bombs() -> Iterator[Case]:
    pixels = "expected at most 1,048,576 pixels"
    yield Case("bomb.png", _bytes(lambda: png(_LARGE, _LARGE, depth=1)), pixels)
    yield Case("bomb_16_million.png", _bytes(lambda: png(4000, 4000)), pixels)
    yield Case("just_too_many.png", _bytes(png(1025, 1024)), pixels)
    yield Case("header_only.png", _bytes(png(_LARGE, _LARGE, pixels=b"")), pixels)
    yield Case("largest_header.png", _bytes(png(2**31 - 1, 2**31 - 1, pixels=b"")), "expected ")
    yield Case("nothing_wide.png", _bytes(png(0, 16)), "expected ")
    frame = SOUND["jpg"].index(b"\xff\xc0") + 5
    for side in (_LARGE, 65_500):
        yield Case(
            f"bomb{side}.jpg", _bytes(_patched(SOUND["jpg"], frame, struct.pack(">HH", side, side))), "expected "
        )
    for side in (_LARGE, 2**31 - 1):
        yield Case(f"bomb{side}.bmp", _bytes(_patched(SOUND["bmp"], 18, struct.pack("<ii", side, side))), "expected ")
    yield Case("bomb.tif", _bytes(tiff(tiff_tags(_LARGE, _LARGE, 256), bytes(256))), pixels)
    yield Case("bomb_deflate.tif", _bytes(tiff(tiff_tags(_LARGE, _LARGE, 256, t259=8), bytes(256))), pixels)
    canvas = (16_383 - 1).to_bytes(3, "little") * 2
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    yield Case("bomb.webp", _bytes(b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended), "expected ")
    lossless = SOUND["webp"].index(b"VP8L") + 9
    yield Case("header.webp", _bytes(_patched(SOUND["webp"], lossless, b"\xff\xff\xff\x0f")), "expected ")
    yield Case("padded.png", _bytes(SOUND["png"] + bytes(9 << 20)), "expected an image of at most 5,242,880 bytes")
    yield Case("sparse.png", lambda path: _sparse(path, 40 << 30), "expected at most 33,554,432 bytes")
    yield Case("sparse.npy", lambda path: _sparse(path, 40 << 30), "expected at most 33,554,432 bytes")
    for kind in (b"zTXt", b"iCCP"):
        yield Case(f"{kind.decode()}.png", _bytes(partial(_inflating, kind)), "expected ")
    yield Case(
        "many_texts.png",
        _bytes(lambda: png(17, 17, more=chunk(b"tEXt", b"a\0" + b"b" * 40) * 60_000)),
        "expected a PNG of at most 10,000 chunks",
    )
    yield Case(
        "many_chunks.png",
        _bytes(lambda: png(17, 17, more=chunk(b"abCd", b"") * 430_000)),
        "expected a PNG of at most 10,000 chunks",
    )
    yield Case("many_scans.jpg", _bytes(_many_scans), "expected a JPEG of at most 64 scans")
    shared = dict.fromkeys(range(40_000, 46_000), (7, 1 << 19, 8))
    yield Case("shared_tags.tif", _bytes(tiff(tiff_tags(17, 16, 272) | shared, bytes(1 << 19))), "expected ")
    yield Case("many_directories.tif", _bytes(_many_directories), "expected ")
    metadata = chunk(b"eXIf", tiff(shared, bytes(1 << 19)))
    yield Case("shared_exif.png", _bytes(png(17, 17, more=metadata)), "found 1 x 17 x 17")


def _inflating(kind: bytes) -> bytes:
    """A PNG with metadata that unpacks to 200 MiB."""
    return png(17, 17, more=chunk(kind, b"a\0\0" + zlib.compress(bytes(200 << 20), 1)))


def _many_scans() -> bytes:
    """A progressive JPEG of 1000 x 1000 whose last scan is repeated."""
    data = _image(np.zeros((1000, 1000), np.uint8), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 2000 + data[-2:]


def _many_directories() -> bytes:
    """A TIFF of a million frames, the first of 17 x 16."""
    first = tiff(tiff_tags(17, 16, 272), bytes(272), following=512)
    chain = (struct.pack("<HI", 0, 512 + 6 * (place + 1)) for place in range(1_000_000))
    return first.ljust(512, b"\0") + b"".join(chain)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _modes() -> Iterator[Case]:
    deep = "found values of 16 bits"
    rows = b"".join(b"\0" + _RNG.bytes(16 * 8) for _ in range(16))
    yield Case("16bit_grey.png", _bytes(png(16, 16, 16, 0, rows)), "found mode I;16")
    yield Case("16bit_rgb.png", _bytes(png(16, 16, 16, 2)), deep)
    yield Case("16bit_grey_alpha.png", _bytes(png(16, 16, 16, 4)), deep)
    yield Case("16bit_rgba.png", _bytes(png(16, 16, 16, 6, rows)), deep)
    wide = tiff_tags(16, 16, 1536, t277=3, t262=2) | {258: (3, 3, 8)}
    yield Case("16bit_rgb.tif", _bytes(tiff(wide, struct.pack("<HHH", 16, 16, 16) + bytes(1536))), "expected ")
    yield Case("16bit_grey.tif", _bytes(_image(GREY.astype(np.uint16), "TIFF")), "found mode I;16")
    yield Case("32bit.tif", _bytes(_image(GREY.astype(np.int32), "TIFF")), "found mode I;")
    yield Case("float.tif", _bytes(_image(GREY.astype(np.float32), "TIFF")), "found mode F;")
    colour = np.stack([GREY] * 3, 2)
    for kind, suffix, mode in (("JPEG", "jpg", "CMYK"), ("TIFF", "tif", "CMYK"), ("TIFF", "tif", "LAB")):
        data = _image(colour, kind, None if mode == "LAB" else mode)
        if mode == "LAB":
            file = io.BytesIO()
            Image.new("LAB", (16, 16)).save(file, kind)
            data = file.getvalue()
        yield Case(f"{mode}.{suffix}", _bytes(data), f"found mode {mode}")
    clear = "found transparent pixels"
    half = np.concatenate([colour, GREY[..., None]], 2)
    for kind, suffix in {"PNG": "png", "TIFF": "tif"}.items():
        yield Case(f"transparent.{suffix}", _bytes(_image(half, kind)), clear)
    yield Case("transparent.webp", _bytes(_image(half, "WEBP", lossless=True)), clear)
    yield Case("transparent_grey.png", _bytes(_image(half, "PNG", "LA")), clear)
    yield Case("transparent_level.png", _bytes(_image(GREY, "PNG", transparency=int(GREY[3, 3]))), clear)
    yield Case("transparent_colour.png", _bytes(_image(colour, "PNG", transparency=(int(GREY[3, 3]),) * 3)), clear)
    yield Case("transparent_index.png", _bytes(_image(GREY, "PNG", "P", transparency=int(GREY[3, 3]))), clear)


def _broken() -> Iterator[Case]:
    yield Case("crc.png", _bytes(_patched(SOUND["png"], 20, b"\x55")), "expected ")
    yield Case("pixels_garbage.png", _bytes(SOUND["png"].replace(b"IDAT", b"IDAT\xff\xff", 1)), "expected ")
    yield Case("compression.tif", _bytes(tiff(tiff_tags(16, 16, 256, t259=9999), bytes(256))), "expected ")
    yield Case("strip_beyond.tif", _bytes(tiff(tiff_tags(16, 16, 256, t273=10**9), bytes(256))), "expected ")
    yield Case("strip_short.tif", _bytes(tiff(tiff_tags(16, 16, 3), bytes(3))), "expected ")
    yield Case("lzw_garbage.tif", _bytes(tiff(tiff_tags(16, 16, 256, t259=5), _RNG.bytes(256))), "expected ")
    yield Case("no_tags.tif", _bytes(tiff({})), "expected ")
    yield Case("loop.tif", _bytes(tiff({256: (4, 1, 16)}, following=8)), "expected ")
    yield Case("strips_counted.tif", _bytes(tiff(tiff_tags(16, 16, 9) | {273: (4, 2**31, 8)}, bytes(9))), "expected ")
    yield Case("riff_size.webp", _bytes(_patched(SOUND["webp"], 4, b"\xff\xff\xff\xff")), "expected ")
    yield Case("chunk_size.webp", _bytes(_patched(SOUND["webp"], 16, b"\xff\xff\xff\x7f")), "expected ")
    yield Case("rle.bmp", _bytes(_patched(_patched(SOUND["bmp"], 30, b"\x01"), 1078, _RNG.bytes(256))), "expected ")
    yield Case("offset.bmp", _bytes(_patched(SOUND["bmp"], 10, b"\xff\xff\xff\x7f")), "expected ")
    yield Case("bits.bmp", _bytes(_patched(SOUND["bmp"], 28, b"\x33")), "expected ")
    yield Case("tables_missing.jpg", _bytes(SOUND["jpg"].replace(b"\xff\xdb", b"\xff\xfe")), "expected ")
    yield Case("marker_only.jpg", _bytes(b"\xff\xd8\xff\xd9"), "expected ")


def _not_files() -> Iterator[Case]:
    other = "expected a file, found none, or something that is not a file"
    yield Case("folder.png", Path.mkdir, "found a folder without visible files")
    yield Case("loop.png", lambda path: path.symlink_to(path), "expected a file")
    yield Case("loop_of_two.png", _loop_of_two, "expected a file")
    yield Case("dangling.png", lambda path: path.symlink_to("nowhere"), other)
    yield Case("pipe.png", lambda path: os.mkfifo(path), other)
    yield Case("socket.png", _socket, other)
    yield Case("zeros.png", lambda path: path.symlink_to("/dev/zero"), other)
    yield Case("endless.npy", lambda path: path.symlink_to("/dev/urandom"), other)
    yield Case("memory.png", lambda path: path.symlink_to("/proc/self/mem"), "expected a file that can be read")
    yield Case("gone.png", lambda path: None, other)
    yield Case("n" * 300 + ".png", lambda path: None, "expected a file")
    yield Case("nul\0.png", lambda path: None, "expected a file")
    yield Case("new\nline.png", _bytes(b"a"), "bytes of something else")
    yield Case("\x1b[31mred\x1b]0;title\x07.png", _bytes(b"a"), "bytes of something else")
    yield Case("\u202egnp.png", _bytes(b"a"), "bytes of something else")
    yield Case("\udcff\udcfe.png", _bytes(b"a"), "bytes of something else")
    yield Case("--json.png", _bytes(b"a"), "bytes of something else")


def _loop_of_two(path: Path) -> None:
    path.with_suffix(".other").symlink_to(path)
    path.symlink_to(path.with_suffix(".other"))


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


# --- arrays


def _npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_header(text: str, data: bytes = bytes(1024), version: tuple[int, int] = (1, 0)) -> bytes:
    """A .npy with any header."""
    head = text.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(head))
    return b"\x93NUMPY" + bytes(version) + size + head + data


def npz(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


FLOATS = GREY.astype(np.float32) / 255


def _with(value: float) -> np.ndarray:
    image = FLOATS.copy()
    image[3, 3] = value
    return image


def _array_values() -> Iterator[Case]:
    for name, value in {
        "nan": np.nan,
        "inf": np.inf,
        "minus_inf": -np.inf,
        "negative": -1e-6,
        "above_one": 1.0001,
        "of_255": 255.0,
    }.items():
        yield Case(f"{name}.npy", _bytes(_npy(_with(value))), "expected values in [0, 1], found others")


def _array_types_and_shapes() -> Iterator[Case]:
    strange = (
        "float16",
        "int8",
        "uint16",
        "int64",
        "bool",
        "complex64",
        "longdouble",
        ">f4",
        ">f8",
        "U4",
        "S4",
        "M8[s]",
    )
    for name in strange:
        array = np.zeros((16, 16), name)
        yield Case(
            f"type_{name.strip('>')}{'_big' * (name[0] == '>')}.npy",
            _bytes(_npy(array)),
            "expected float32, float64 or uint8",
        )
    yield Case("structured.npy", _bytes(_npy(np.zeros((16, 16), [("a", "f4"), ("b", "u1")]))), "expected float32")
    for shape in ((), (256,), (2, 16, 16), (16, 16, 2), (16, 16, 4), (1, 1, 16, 16), (5, 16, 16), (1,) * 6):
        name = "x".join(map(str, shape)) or "scalar"
        yield Case(f"shape_{name}.npy", _bytes(_npy(np.zeros(shape, np.float32))), "expected ")
    for shape in ((0,), (0, 16), (1, 0, 16)):
        yield Case(
            f"no_pixels_{'x'.join(map(str, shape))}.npy", _bytes(_npy(np.zeros(shape, np.uint8))), "expected an image"
        )


WROTE = "expected an array that numpy.save wrote"
HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 16), }\n"


def _array_files() -> Iterator[Case]:
    yield Case("object.npy", _bytes(_npy(np.array([{}]), allow_pickle=True)), WROTE)
    yield Case("pickle.npy", lambda path: path.write_bytes(pickle.dumps(Canary(path))), WROTE)
    yield Case("pickle_inside.npy", _pickle_inside, WROTE)
    yield Case("version_9.npy", _bytes(npy_header(HEADER, version=(9, 9))), WROTE)
    yield Case("version_0.npy", _bytes(npy_header(HEADER, version=(0, 0))), WROTE)
    yield Case("magic.npy", _bytes(b"\x93NUMPX" + _npy(FLOATS)[6:]), WROTE)
    for percent in (5, 50, 99):
        data = _npy(FLOATS)
        yield Case(f"truncated{percent}.npy", _bytes(data[: len(data) * percent // 100]), WROTE)
    yield Case("large.npy", _bytes(lambda: _npy(np.zeros(34 << 20, np.uint8))), "expected at most 33,554,432 bytes")


def _array_headers() -> Iterator[Case]:
    for name, text in {
        "shape_of_terabytes": HEADER.replace("(16, 16)", f"({10**12}, 16)"),
        "shape_that_overflows": HEADER.replace("(16, 16)", f"({2**62}, {2**62})"),
        "shape_negative": HEADER.replace("(16, 16)", "(-16, 16)"),
        "shape_of_text": HEADER.replace("(16, 16)", "'all'"),
        "shape_too_large": HEADER.replace("(16, 16)", "(16, 17)"),
        "size_of_gigabytes": HEADER.replace("<f4", "V2000000000"),
        "no_dictionary": "[1, 2, 3]\n",
        "code": HEADER.replace("False", "__import__('pathlib').Path('canary').touch()"),
        "keys_missing": "{'descr': '<f4'}\n",
        "keys_surplus": HEADER.replace("}", "'more': 1}"),
        "long": HEADER.replace("}", " " * 60_000 + "}"),
        "deep": "[" * 5000 + "]" * 5000 + "\n",
        "type_unknown": HEADER.replace("<f4", "<q99"),
        "type_of_code": HEADER.replace("'<f4'", "'O'"),
    }.items():
        yield Case(f"header_{name}.npy", _bytes(npy_header(text)), "expected ")


def _pickle_inside(path: Path) -> None:
    array = np.empty(1, object)
    array[0] = Canary(path)
    np.save(path, array, allow_pickle=True)


def _archives() -> Iterator[Case]:
    sound = _npy(FLOATS[None, None])
    archive, key = "expected a zip archive that numpy.savez wrote", "expected an archive with the array 'images'"
    whole = npz({"images.npy": sound})
    yield Case("empty_archive.npz", _bytes(npz({})), key)
    yield Case("key_missing.npz", _bytes(npz({"pictures.npy": sound})), key)
    yield Case("traversal.npz", _bytes(npz({"../images.npy": sound, "/images.npy": sound})), key)
    yield Case("nested.npz", _bytes(npz({"images.npz": whole})), key)
    yield Case("text_inside.npz", _bytes(npz({"images.npy": b"hello"})), archive)
    yield Case("image_inside.npz", _bytes(npz({"images.npy": SOUND["png"]})), archive)
    yield Case("archive_inside.npz", _bytes(npz({"images.npy": whole})), archive)
    yield Case(
        "object_inside.npz", _bytes(npz({"images.npy": _npy(np.array([{}]), allow_pickle=True)})), "found pickled"
    )
    for name, array in {
        "three_dimensions": FLOATS[None],
        "no_images": np.zeros((0, 1, 16, 16), np.uint8),
        "too_many": np.zeros((10_001, 1, 1, 1), np.uint8),
    }.items():
        yield Case(f"{name}.npz", _bytes(npz({"images.npy": _npy(array)})), "expected 'images' of shape (n, c, h, w)")
    yield Case("one_is_nan.npz", _bytes(npz({"images.npy": _npy(_with(np.nan)[None, None])})), "[0]: expected values")
    yield Case(
        "integers.npz", _bytes(npz({"images.npy": _npy(np.zeros((1, 1, 16, 16), np.int64))})), "expected float32"
    )
    yield Case(
        "bomb.npz", _bytes(lambda: npz({"images.npy": bytes(1 << 28)})), "expected at most 134,217,728 bytes of images"
    )
    declared = whole.index(b"PK\x01\x02") + 24
    yield Case("declares_4_gib.npz", _bytes(_patched(whole, declared, b"\xfe\xff\xff\xff")), "134,217,728")
    yield Case("declares_less.npz", _bytes(_patched(whole, declared, b"\x40\0\0\0")), "expected ")
    yield Case("sum.npz", _bytes(_patched(whole, whole.index(b"PK\x01\x02") + 16, b"\0\0\0\0")), archive)
    yield Case("encrypted.npz", _bytes(_patched(whole, whole.index(b"PK\x01\x02") + 8, b"\x01\0")), archive)
    for name, method in {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.items():
        yield Case(f"{name}.npz", _bytes(npz({"images.npy": sound}, method)), "found another method of compression")
    many = npz({f"{place}.npy": b"" for place in range(3000)} | {"images.npy": sound})
    yield Case("many_members.npz", _bytes(many), "expected an archive of at most 1,000 arrays")
    for percent in (10, 50, 90, 99):
        yield Case(f"truncated{percent}.npz", _bytes(whole[: len(whole) * percent // 100]), "is not a zip file")


FILES: dict[str, Case] = {
    case.name: case
    for part in (
        _truncated,
        _empty_and_random,
        _not_wanted,
        _sizes,
        _bombs,
        _modes,
        _broken,
        _not_files,
        _array_values,
        _array_types_and_shapes,
        _array_files,
        _array_headers,
        _archives,
    )
    for case in part()
}


# --- strange, and of use all the same


def _odd() -> Iterator[Case]:
    yield Case("png.jpg", _bytes(SOUND["png"]), "the file is PNG, whatever its name says")
    yield Case("tif.webp", _bytes(SOUND["tif"]), "the file is TIFF, whatever its name says")
    yield Case("no_suffix_png", _bytes(SOUND["png"]), "the file is PNG, whatever its name says")
    other = Image.fromarray(255 - GREY)
    for kind in ("png", "tif"):
        data = _image(GREY, {"tif": "TIFF"}.get(kind, kind.upper()), save_all=True, append_images=[other])
        yield Case(f"animated.{kind}", _bytes(data), "the first frame of several")
    frames = {"save_all": True, "append_images": [other.convert("RGB")], "lossless": True}
    yield Case("animated.webp", _bytes(_image(GREY, "WEBP", "RGB", **frames)), "the first frame of several")
    for kind, suffix in {"PNG": "png", "JPEG": "jpg", "TIFF": "tif"}.items():
        remark = "turned as the metadata asks" if kind == "TIFF" else "pixels as stored; the rotation"
        yield Case(f"rotated.{suffix}", _bytes(_image(GREY, kind, exif=_exif(6))), remark)
    opaque = "an alpha channel that hides nothing, taken away"
    colour = np.concatenate([np.stack([GREY] * 3, 2), np.full((16, 16, 1), 255, np.uint8)], 2)
    yield Case("opaque.png", _bytes(_image(colour, "PNG")), opaque)
    yield Case("opaque_grey.png", _bytes(_image(colour, "PNG", "LA")), opaque)
    yield Case("opaque_index.png", _bytes(_image(GREY, "PNG", "P", transparency=bytes([255] * 256))), opaque)
    yield Case("palette.png", _bytes(_image(GREY, "PNG", "P")), "three equal channels, taken as one")
    yield Case("camera.jpg", _bytes(_image(GREY, "MPO", save_all=True, append_images=[other])), "lossy compression")
    yield Case("inside.tif", _bytes(_image(GREY, "TIFF", compression="jpeg")), "lossy compression")


ODD: dict[str, Case] = {case.name: case for case in _odd()}


def make_files(folder: Path, cases: dict[str, Case]) -> dict[str, Path]:
    """Every file of a table in a folder."""
    for case in cases.values():
        case.make(folder / case.name)
    return {name: folder / name for name in cases}
