"""Image sources: what is accepted, what is refused, and that a refusal is one line and a DataError."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from redhanded.data import SOURCES, Source, load_source, photographs
from redhanded.data.folders import SOURCE_LIMITS, read_image
from redhanded.errors import DataError

Arrays = dict[str, np.ndarray]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def some_arrays(n: int = 6, shape: tuple[int, ...] = (16, 16), classes: int = 3) -> Arrays:
    """A valid source: every pixel differs from its neighbours, labels 0, 1, 2, 0, 1, 2."""
    pixels = (np.arange(n * int(np.prod(shape))) % 251).astype(np.uint8).reshape(n, *shape)
    labels = np.arange(n) % classes
    return {"x_train": pixels, "y_train": labels, "x_test": 255 - pixels[:3], "y_test": labels[:3]}


def saved(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)
    return path


def refusal(path: Path) -> str:
    """The message with which `path` is refused; checks that it is one printable line."""
    with pytest.raises(DataError) as caught:
        load_source("mine", path)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 1), (64, 64, 3)])
@pytest.mark.parametrize("label_type", ["uint8", "int32", ">i8", "uint64"])
def test_npz_is_read_channels_first(tmp_path: Path, shape: tuple[int, ...], label_type: str) -> None:
    arrays = some_arrays(shape=shape)
    labels = arrays["y_train"].astype(label_type)
    source = load_source("mine", saved(tmp_path / "s.npz", {**arrays, "y_train": labels}))
    expected = arrays["x_train"].reshape(*arrays["x_train"].shape[:3], -1).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(source.train.images, expected)
    np.testing.assert_array_equal(source.train.labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(source.test.labels, [0, 1, 2])
    assert source.train.images.dtype == np.uint8
    assert source.train.labels.dtype == np.int64
    assert source.train.images.flags.c_contiguous
    assert source.shape == (expected.shape[1], shape[0], shape[1])
    assert (source.name, source.classes, len(source.train), len(source.test)) == ("mine", 3, 6, 3)


def test_label_columns_fortran_order_and_compression_are_read_alike(tmp_path: Path) -> None:
    arrays = some_arrays(shape=(16, 16, 3))
    plain = load_source("a", saved(tmp_path / "plain.npz", arrays))
    arrays["y_train"] = arrays["y_train"][:, np.newaxis]
    arrays["x_train"] = np.asfortranarray(arrays["x_train"])
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    assert load_source("b", tmp_path / "other.npz").digest == plain.digest


def changed(**changes: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **{**some_arrays(), **changes})


def without(key: str) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **{k: v for k, v in some_arrays().items() if k != key})


def member(content: bytes) -> Callable[[Path], None]:
    """An archive with a sound checksum whose x_train.npy is `content`."""

    def write(path: Path) -> None:
        saved(path, some_arrays())
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, old in members.items():
                archive.writestr(name, content if name == "x_train.npy" else old)

    return write


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def truncated(path: Path) -> None:
    content = saved(path, some_arrays()).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    content = bytearray(saved(path, some_arrays()).read_bytes())
    content[400] ^= 1  # a pixel of x_train
    path.write_bytes(content)


def pixels(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


LABELS = np.array([0, 1, 2, 0, 1, 2])
BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "FileNotFoundError"),
    "empty": (lambda path: path.touch(), "expected a zip archive"),
    "not a zip": (lambda path: path.write_bytes(b"x" * 999), "expected a zip archive"),
    "one array": (lambda path: path.write_bytes(npy("{}")), "expected a zip archive"),
    "truncated": (truncated, "expected a zip archive"),
    "flipped bit": (flipped, "Bad CRC-32"),
    "own link": (lambda path: path.symlink_to(path), "symbolic links"),
    "pipe": (os.mkfifo, "expected a file or a folder, found neither"),
    "no x_test": (
        without("x_test"),
        "arrays x_train, y_train, x_test, y_test, found x_train, y_train, y_test",
    ),
    "float images": (changed(x_train=np.zeros((6, 16, 16))), "train: expected uint8 images, found float64"),
    "signed images": (
        changed(x_test=np.zeros((3, 16, 16), np.int8)),
        "test: expected uint8 images, found int8",
    ),
    "pickle": (changed(x_train=np.array([{}, None] * 3, object)), "x_train: expected numbers, found pickled"),
    "flat images": (changed(x_train=pixels(6, 784)), "with 1 or 3 channels, found shape (6, 784)"),
    "channels first": (changed(x_train=pixels(6, 3, 16, 16)), "1 or 3 channels, found shape (6, 3, 16, 16)"),
    "two channels": (
        changed(x_train=pixels(6, 16, 16, 2)),
        "with 1 or 3 channels, found shape (6, 16, 16, 2)",
    ),
    "not square": (
        changed(x_train=pixels(6, 16, 17)),
        "square images of 16 to 64 pixels a side, found 16 x 17",
    ),
    "too small": (
        changed(x_train=pixels(6, 15, 15)),
        "square images of 16 to 64 pixels a side, found 15 x 15",
    ),
    "too big": (changed(x_train=pixels(6, 65, 65)), "square images of 16 to 64 pixels a side, found 65 x 65"),
    "sizes differ": (changed(x_test=pixels(3, 32, 32)), "test: expected the shape (1, 16, 16) of train"),
    "modes differ": (changed(x_test=pixels(3, 16, 16, 3)), "test: expected the shape (1, 16, 16) of train"),
    "empty train": (
        changed(x_train=pixels(0, 16, 16), y_train=LABELS[:0]),
        "train: expected at least one image",
    ),
    "empty test": (changed(x_test=pixels(0, 16, 16), y_test=LABELS[:0]), "test: expected at least one image"),
    "label missing": (changed(y_train=LABELS[:5]), "one label for each image, found 6 images and 5 labels"),
    "float labels": (changed(y_train=LABELS / 1), "expected integer labels, found float64"),
    "boolean labels": (changed(y_train=LABELS > 0), "expected integer labels, found bool"),
    "one-hot labels": (changed(y_train=np.eye(3, dtype=int)[LABELS]), "(n,) or (n, 1), found shape (6, 3)"),
    "scalar label": (changed(y_train=np.array(1)), "(n,) or (n, 1), found shape ()"),
    "negative label": (changed(y_train=LABELS - 1), "train: expected labels from 0 to 999, found -1 to 1"),
    "huge label": (
        changed(y_train=LABELS.astype("u8") * 2**62),
        "labels from 0 to 999, found 0 to 92233720368",
    ),
    "gap in labels": (changed(y_train=LABELS * 2), "every label from 0 to 4, found no label 1"),
    "from one": (changed(y_train=LABELS + 1), "every label from 0 to 3, found no label 0"),
    "one class": (changed(y_train=LABELS * 0), "expected two classes or more, found 1"),
    "only in test": (changed(y_test=LABELS[:3] + 1), "test: expected labels up to 2 as in train, found 3"),
    "no array": (member(b"hello"), "expected a zip archive that numpy.savez wrote"),
    "future array": (member(npy("{}", version=b"\x09\x00")), "array format (9, 0)"),
    "no header": (member(npy("(((")), "expected a zip archive that numpy.savez wrote"),
    "deep header": (member(npy("(" * 9000)), "expected a zip archive that numpy.savez wrote"),
    "too few bytes": (
        member(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000, 16, 16)}", b"12")),
        "cannot reshape",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_npz_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    write, words = BAD_FILES[case]
    path = tmp_path / "bad.npz"
    write(path)
    message = refusal(path)
    assert words in message
    assert message.startswith(str(path))


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    saved(path, some_arrays())
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # the directory's first entry; its unpacked size is at byte 24
    struct.pack_into("<I", content, entry + 24, 2**32 - 2)
    path.write_bytes(content)
    assert "at most 4,294,967,296 bytes" in refusal(path)


@in_one_folder
@given(data=st.data(), side=st.integers(16, 20), channels=st.sampled_from([(), (1,), (3,)]))
def test_round_trip_of_random_npz(tmp_path: Path, data: st.DataObject, side: int, channels: tuple[int, ...]) -> None:
    classes, extra, n_test = (data.draw(st.integers(low, 5)) for low in (2, 0, 1))
    labels = data.draw(st.permutations([*range(classes), *(i % classes for i in range(extra))]))
    images = [data.draw(hnp.arrays(np.uint8, (n, side, side, *channels))) for n in (len(labels), n_test)]
    test_labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=n_test, max_size=n_test))
    arrays = {"x_train": images[0], "y_train": labels, "x_test": images[1], "y_test": test_labels}
    source = load_source("mine", saved(tmp_path / "s.npz", arrays))
    for split, pixels_in, labels_in in (
        (source.train, images[0], labels),
        (source.test, images[1], test_labels),
    ):
        np.testing.assert_array_equal(split.images.transpose(0, 2, 3, 1).reshape(pixels_in.shape), pixels_in)
        assert split.labels.tolist() == labels_in
    assert source.classes == classes


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """Up to four random bytes of `content` replaced, then cut off somewhere or not at all."""
    changes = data.draw(st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4))
    damaged = bytearray(content)
    for place, value in changes.items():
        damaged[place] = value
    return bytes(damaged[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])


@in_one_folder
@given(data=st.data(), compressed=st.booleans())
def test_damaged_npz_raises_nothing_but_data_error(tmp_path: Path, data: st.DataObject, compressed: bool) -> None:
    path = tmp_path / "s.npz"
    (np.savez_compressed if compressed else np.savez)(path, **some_arrays())
    path.write_bytes(damaged(data, path.read_bytes()))
    loads_or_is_refused(path)


@in_one_folder
@given(data=st.data())
def test_damaged_array_with_sound_checksum_raises_nothing_but_data_error(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.save(buffer, some_arrays()["x_train"])
    member(damaged(data, buffer.getvalue()[:160]) + buffer.getvalue()[160:])(tmp_path / "s.npz")
    loads_or_is_refused(tmp_path / "s.npz")


def loads_or_is_refused(path: Path) -> None:
    refused = ""
    try:
        check_invariants(load_source("mine", path))
    except DataError as error:
        refused = str(error)
    assert refused.isprintable()


def check_invariants(source: Source) -> None:
    channels, height, width = source.shape
    assert channels in (1, 3)
    assert 16 <= height == width <= 64
    assert np.unique(source.train.labels).tolist() == list(range(source.classes))
    for split in (source.train, source.test):
        assert split.images.shape == (len(split), *source.shape)
        assert len(split) > 0
        assert split.labels.max() < source.classes


def folder_of(root: Path, suffix: str = ".png", shape: tuple[int, ...] = (16, 16)) -> Path:
    """Two images of each of two classes in both splits; the image's first pixel tells its place."""
    for place, (split, name, file) in enumerate(
        (split, name, file) for split in ("train", "test") for name in ("dog", "cat") for file in ("b", "a")
    ):
        (root / split / name).mkdir(parents=True, exist_ok=True)
        image = np.full(shape, 10 * place, np.uint8)
        Image.fromarray(image).save(root / split / name / f"{file}{suffix}")
    return root


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"])
@pytest.mark.parametrize("shape", [(16, 16), (24, 24, 3)])
def test_folder_is_read_in_sorted_order(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    folder = folder_of(tmp_path, suffix, shape)
    (folder / "train" / ".DS_Store").touch()
    (folder / "test" / "cat" / ".hidden").touch()
    source = load_source("pets", folder)
    grey = len(shape) == 2 and suffix != ".webp"  # WEBP has no grey images
    assert source.shape == (1 if grey else 3, *shape[:2])
    assert source.train.labels.tolist() == source.test.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(source.train.images.mean((1, 2, 3)), [30, 20, 10, 0], atol=3)  # lossy formats
    np.testing.assert_allclose(source.test.images.mean((1, 2, 3)), [70, 60, 50, 40], atol=3)


def test_folder_and_npz_of_the_same_images_have_one_digest(tmp_path: Path) -> None:
    folder = load_source("a", folder_of(tmp_path / "pets", shape=(16, 16, 3)))
    arrays = {"y_train": folder.train.labels, "y_test": folder.test.labels}
    arrays |= {"x_train": folder.train.images.transpose(0, 2, 3, 1)}
    arrays |= {"x_test": folder.test.images.transpose(0, 2, 3, 1)}
    assert load_source("b", saved(tmp_path / "pets.npz", arrays)).digest == folder.digest


def png(path: Path, mode: str = "L", size: tuple[int, int] = (16, 16)) -> None:
    Image.new(mode, size).save(path, "PNG")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(path: Path) -> None:
    """A few bytes that claim 100,000 x 100,000 pixels."""
    size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(99))))


def cut_png(path: Path) -> None:
    Image.effect_noise((16, 16), 50).save(path)
    path.write_bytes(path.read_bytes()[:100])


BAD_IMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "text": ("a.txt", lambda path: path.write_text("hello"), "expected a name that ends in .png, .jpg"),
    "not an image": ("c.png", lambda path: path.write_text("hello"), "expected an image that can be decoded"),
    "gif inside": ("c.png", lambda path: Image.new("L", (16, 16)).save(path, "GIF"), "that can be decoded"),
    "empty": ("c.png", lambda path: path.touch(), "expected an image that can be decoded"),
    "truncated": ("c.png", cut_png, "expected an image that can be decoded"),
    "huge": ("c.png", huge_png, "DecompressionBombError"),
    "large": ("c.png", lambda path: png(path, size=(65, 64)), "at most 4,096 pixels, found 65 x 64"),
    "many bytes": (
        "c.png",
        lambda path: path.write_bytes(bytes(SOURCE_LIMITS.file_bytes + 1)),
        "at most 1,048,576 bytes",
    ),
    "alpha": ("c.png", lambda path: png(path, "RGBA"), "expected mode L or RGB, found RGBA"),
    "palette": ("c.png", lambda path: png(path, "P"), "expected mode L or RGB, found P"),
    "16 bits": ("c.png", lambda path: png(path, "I;16"), "expected mode L or RGB, found I;16"),
    "mixed modes": ("c.png", lambda path: png(path, "RGB"), "expected shape (16, 16) as before it"),
    "mixed sizes": ("c.png", lambda path: png(path, size=(17, 17)), "expected shape (16, 16) as before it"),
    "own link": ("c.png", lambda path: path.symlink_to(path), "symbolic links"),
    "loop of folders": (
        "c.png",
        lambda path: path.symlink_to(path.parents[2]),
        "something that is not a file",
    ),
    "pipe": ("c.png", os.mkfifo, "something that is not a file"),
    "line break": ("c\n\x1b[2J.png", lambda path: path.touch(), "c ?[2J.png: expected an image"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_is_refused_with_its_path(tmp_path: Path, case: str) -> None:
    file, write, words = BAD_IMAGES[case]
    path = folder_of(tmp_path) / "train" / "cat" / file
    write(path)
    message = refusal(tmp_path)
    assert words in message
    assert message.startswith(str(path.parent))


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    assert "FileNotFoundError" in refusal(tmp_path)  # neither train nor test
    folder_of(tmp_path)
    (tmp_path / "train" / "readme.txt").touch()
    assert "expected class folders only, found readme.txt" in refusal(tmp_path)
    (tmp_path / "train" / "readme.txt").rename(tmp_path / "readme.txt")  # beside the splits it does no harm
    assert load_source("pets", tmp_path).classes == 2
    (tmp_path / "train" / "eel").mkdir()
    assert "expected the class folders of train (cat, dog, eel), found cat, dog" in refusal(tmp_path)
    (tmp_path / "test" / "eel").mkdir()
    assert f"{tmp_path / 'train' / 'eel'}: expected at least one image, found none" in refusal(tmp_path)


@in_one_folder
@given(data=st.data(), suffix=st.sampled_from(["PNG", "JPEG", "BMP", "WEBP", "TIFF"]))
def test_damaged_image_raises_nothing_but_data_error(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    path = tmp_path / f"image.{suffix.lower()}"
    Image.fromarray(some_arrays(shape=(16, 16, 3))["x_train"][0]).save(path)
    path.write_bytes(damaged(data, path.read_bytes()))
    refused = ""
    try:
        image = read_image(path, SOURCE_LIMITS)
        assert image.dtype == np.uint8
        assert image.ndim in (2, 3)
        assert image.shape[0] * image.shape[1] <= 4096
    except DataError as error:
        refused = str(error)
    assert refused.isprintable()


def test_digest_tells_every_array_apart_but_not_names(tmp_path: Path) -> None:
    arrays = some_arrays()
    first = load_source("a", saved(tmp_path / "a.npz", arrays)).digest
    assert load_source("b", saved(tmp_path / "b.npz", arrays)).digest == first
    others = {first}
    for key, array in arrays.items():
        other = array.copy()
        other[[0, 1]] = other[[1, 0]]
        others.add(load_source("a", saved(tmp_path / "c.npz", {**arrays, key: other})).digest)
    assert len(others) == 5


@pytest.fixture(scope="module")
def digits() -> Source:
    return load_source("mnist5k")


def test_mnist5k_is_real_balanced_and_stable(digits: Source) -> None:
    kind, source = SOURCES["mnist5k"], digits
    check_invariants(source)
    assert (source.name, source.shape, source.classes) == ("mnist5k", kind.shape, 10)
    assert np.bincount(source.train.labels).tolist() == [400] * 10
    assert np.bincount(source.test.labels).tolist() == [100] * 10
    assert source.train.labels[:20].tolist() == [*range(10), *range(10)]  # any prefix is balanced
    train, test = ({image.tobytes() for image in split.images} for split in (source.train, source.test))
    assert (len(train), len(test)) == (4000, 1000)
    assert train.isdisjoint(test)
    assert source.digest[:16] == "2131f07f8d193abe"  # as in the records that are kept of runs


def test_mnist5k_labels_fit_their_images(digits: Source) -> None:
    """Ridge regression on pixels reaches 0.8; with labels that are shuffled or shifted it would be 0.1."""
    train, test = (split.images.reshape(len(split), -1) / 255 for split in (digits.train, digits.test))
    weights = np.linalg.solve(train.T @ train + np.eye(784), train.T @ np.eye(10)[digits.train.labels])
    assert ((test @ weights).argmax(1) == digits.test.labels).mean() > 0.8


def ridge_accuracy(train: Source, test: Source) -> float:
    """Of ridge regression on the pixels of one source's train split, over another's test split."""
    fitted, asked = (split.images.reshape(len(split), -1) / 255 for split in (train.train, test.test))
    targets = np.eye(train.classes)[train.train.labels]
    weights = np.linalg.solve(fitted.T @ fitted + 10 * np.eye(fitted.shape[1]), fitted.T @ targets)
    return float(((asked @ weights).argmax(1) == test.test.labels).mean())


def test_uci_digits_are_like_mnists_and_by_other_hands(digits: Source) -> None:
    source = load_source("uci_digits")
    check_invariants(source)
    assert (source.shape, len(source.train), len(source.test)) == (SOURCES["uci_digits"].shape, 1200, 597)
    assert np.bincount(source.test.labels).min() > 50
    images = np.concatenate([source.train.images, source.test.images])
    images[:, :, 4:24, 4:24] = 0  # the border alone is left
    assert not images.any()
    assert ridge_accuracy(source, source) > 0.85
    assert ridge_accuracy(digits, source) > 0.5  # of MNIST's: a mirrored, inverted or shifted digit would not be read
    assert source.digest[:16] == "83ad25e5b10feffe"


@pytest.fixture(scope="module")
def patches() -> Source:
    pytest.importorskip("skimage")
    return load_source("photographs")


def test_photographs_are_real_balanced_and_stable(patches: Source) -> None:
    check_invariants(patches)
    assert (patches.shape, patches.classes) == (SOURCES["photographs"].shape, len(photographs.PHOTOGRAPHS))
    for split, number in ((patches.train, 5000), (patches.test, 2000)):
        assert len({image.tobytes() for image in split.images}) == len(split) == number
        assert split.labels[:20].tolist() == [*range(10), *range(10)]  # any prefix is balanced
        assert split.images.mean(1).std((1, 2)).min() > 5  # each shows something
    assert ridge_accuracy(patches, patches) > 0.25
    assert patches.digest[:16] == "78fe56363fcce47a"


def test_no_pixel_of_a_photograph_is_in_both_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {}
    for name, height, width in (("wide", 300, 450), ("tall", 642, 427)):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        along = (np.arange(width) if width > height else np.arange(height)[:, np.newaxis]) * 3 // max(height, width)
        pixels[..., 0] = 255 * (along == 1)  # the middle third is red, the others are not
        Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(tmp_path / f"{name}.png")  # coarse: noise stays noise
        rows[name] = ("sklearn", str(tmp_path / f"{name}.png"))
    monkeypatch.setattr(photographs, "PHOTOGRAPHS", rows)
    source = load_source("photographs")
    assert (source.train.images[:, 0] == 0).all()
    assert (source.test.images[:, 0] == 255).all()


def test_photographs_without_scikit_image_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    expected = "photographs: expected the package scikit-image, found none; install it: "
    with pytest.raises(DataError, match=expected) as caught:
        load_source("photographs")
    assert str(caught.value).endswith("pip install 'redhanded[photographs]'")


@pytest.mark.parametrize(("name", "hint"), [("cifar", "did you mean cifar10?"), ("zzz", "unknown source 'zzz';")])
def test_unknown_name_is_told_with_the_list(name: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load_source(name)
    assert hint in str(caught.value)
    assert ", ".join(SOURCES) in str(caught.value)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_failed_download_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("REDHANDED_DATA", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the discard port: refused at once
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(DataError) as caught:
        load_source(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: expected images in {tmp_path} or a download, found ")
    assert f"--source {name}=PATH" in message
    assert message.isprintable()


def idx_files(folder: Path, arrays: Arrays) -> None:
    """The four arrays in the format of the official MNIST files, where torchvision keeps them."""
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        for key, kind in ((f"x_{split}", "images-idx3"), (f"y_{split}", "labels-idx1")):
            array = arrays[key]
            head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (folder / f"{name}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvision_cache_is_read_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    monkeypatch.setenv("REDHANDED_DATA", str(tmp_path))
    arrays = some_arrays(shape=(28, 28))
    idx_files(tmp_path / folder / "raw", arrays)
    assert load_source(name).digest == load_source("same", saved(tmp_path / "same.npz", arrays)).digest
    (tmp_path / folder / "raw" / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"--source {name}=PATH"):
        load_source(name)


def test_table_states_what_a_source_is_and_when_a_victim_is_too_weak() -> None:
    rows = {name: (kind.shape, kind.weak_below) for name, kind in SOURCES.items()}
    assert rows == {
        "mnist": ((1, 28, 28), 0.95),
        "mnist5k": ((1, 28, 28), 0.95),
        "fashion_mnist": ((1, 28, 28), 0.85),
        "cifar10": ((3, 32, 32), 0.60),
        "uci_digits": ((1, 28, 28), 0.95),
        "photographs": ((3, 32, 32), 0.60),
    }
    assert all(kind.summary for kind in SOURCES.values())


def test_importing_the_module_imports_no_framework() -> None:
    code = "import sys, redhanded.data.datasets"
    code += "; print({'torch', 'torchvision', 'mlxtend', 'sklearn'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
