"""A pixel protocol is a row: a study, its report and its bundle take it from there."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from redhanded.bundle import pack_bundle
from redhanded.data import AS_LEFT, PIXELS
from redhanded.engine import read_run_records, run_study
from redhanded.models import load_victim
from redhanded.report import write_report
from redhanded.sets import read_set
from support.tiny_study import InOrder, tiny_study, write_source


def by_hand(image: np.ndarray, quality: int, form: str = "JPEG") -> np.ndarray:
    """An image, (c, h, w) in [0, 1], saved as a file of that form and decoded again."""
    levels, stream = np.uint8(np.rint(255 * image)), io.BytesIO()
    Image.fromarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)).save(stream, form, quality=quality)
    decoded = np.asarray(Image.open(stream), np.float32) / np.float32(255)
    return decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)


def some_images(channels: int, height: int = 16, width: int = 16) -> torch.Tensor:
    return torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(channels))


def soft_images() -> torch.Tensor:
    """Gradients with a blurred edge, (3, 3, 32, 32), as in a photograph."""
    return interpolate(some_images(3, 5, 5), (32, 32), mode="bilinear", align_corners=True)


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 40), (1, 1, 1)])
def test_a_protocol_keeps_the_size_of_images_which_do_not_meet(name: str, shape: tuple[int, ...]) -> None:
    images = some_images(*shape)
    before, kept = images.clone(), PIXELS[name].apply(images)
    assert torch.equal(images, before)
    assert (kept.shape, kept.dtype) == (images.shape, images.dtype)
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert name == AS_LEFT or torch.equal((kept * 255).round() / 255, kept)
    for place in range(len(images)):
        assert torch.equal(PIXELS[name].apply(images[place : place + 1]), kept[place : place + 1])
    assert PIXELS[name].apply(images[:0]).shape == (0, *shape)
    assert torch.equal(PIXELS[name].apply(images.contiguous(memory_format=torch.channels_last)), kept)


@pytest.mark.parametrize("name", [name for name in PIXELS if name != "crop"])
def test_a_protocol_leaves_what_is_soft_nearly_as_it_was(name: str) -> None:
    images = soft_images()
    assert (PIXELS[name].apply(images) - images).abs().mean() < 6 / 255
    flat = torch.zeros(2, 3, 16, 16)
    flat[1] = 1
    assert torch.equal(PIXELS[name].apply(flat), flat)


@pytest.mark.parametrize("name", [name for name in PIXELS if name.startswith(("jpeg-", "webp-"))])
def test_a_file_format_is_what_a_file_of_that_quality_gives_back(name: str) -> None:
    form, quality = name.split("-")
    for images in (some_images(3), soft_images()):
        decoded = torch.from_numpy(np.stack([by_hand(image, int(quality), form) for image in images.numpy()]))
        assert torch.equal(PIXELS[name].apply(images), decoded)
        assert not torch.equal(decoded, PIXELS["uint8"].apply(images))


def test_a_grey_webp_is_the_colour_one_of_equal_channels() -> None:
    images = some_images(1)
    decoded = PIXELS["webp-80"].apply(images.expand(-1, 3, -1, -1))
    assert (PIXELS["webp-80"].apply(images) - decoded).abs().max() < 1.5 / 255


@pytest.mark.parametrize(("name", "size", "mode"), [("resize", 64, "bicubic"), ("screenshot", 48, "bilinear")])
def test_scaling_and_back_is_that_of_another_library(name: str, size: int, mode: str) -> None:
    images = 0.3 + 0.4 * some_images(3, 32, 32)  # far from 0 and 1, where Pillow also clips between its two passes

    def scaled(pixels: torch.Tensor, side: int) -> torch.Tensor:
        scaled_pixels = interpolate(pixels, (side, side), mode=mode, align_corners=False, antialias=True)
        return (scaled_pixels.clamp(0, 1) * 255).round() / 255

    expected = scaled(scaled((images * 255).round() / 255, size), 32)
    assert (PIXELS[name].apply(images) - expected).abs().max() < 2.5 / 255  # it rounds there as well
    assert (expected - images).abs().max() > 0.1


@pytest.mark.parametrize(("side", "border"), [(16, 1), (28, 2), (32, 2), (64, 4)])
def test_a_crop_keeps_the_middle_seven_eighths(side: int, border: int) -> None:
    expected = torch.zeros(3, 1, side, side)
    images = some_images(1, side, side)
    kept = side - border
    expected[..., border:kept, border:kept] = (images[..., border:kept, border:kept] * 255).round() / 255
    assert torch.equal(PIXELS["crop"].apply(images), expected)


@pytest.mark.slow
def test_a_study_is_asked_under_jpeg_and_success_is_measured_after_it(tmp_path: Path) -> None:
    cw = '[[attacks]]\nfamily = "carlini_wagner"\nlearning_rate = [0.1, 0.5]\nconfidence = 0.1\n'
    asked = (('"setting", "norm", "joint"', '"dimension"'), ("cnn6 =", "forensic ="), (cw, ""))
    study = tiny_study(tmp_path, ('name = "tiny"', 'name = "tiny"\npixels = ["float32", "jpeg-75"]'), *asked)
    sources = {"bars": write_source(tmp_path / "bars.npz")}
    run = run_study(study, tmp_path / "run", sources=sources, executor=InOrder())
    records = read_run_records(run)
    assert {result.pixels for result in records.results if result.status == "measured"} == {"float32", "jpeg-75"}
    assert {tuple(card.n_success) for card in records.sets} == {("float32", "uint8", "jpeg-75")}
    fgsm = next(attack for attack in study.attacks if attack.family == "fgsm")
    (path,) = (run / "sets" / "alexnet").glob(f"{fgsm.label}-test-*.zarr")
    made = read_set(path, fgsm)
    victim = load_victim(next((run / "victims").glob("alexnet-*"))).network
    decoded = torch.from_numpy(np.stack([by_hand(image, 75) for image in made.images.numpy()]))
    with torch.no_grad():
        assert torch.equal(made.predictions["jpeg-75"], victim(decoded).argmax(1))
    assert "| success float32 | success uint8 | success jpeg-75 |" in write_report(run).with_suffix(".md").read_text()
    card = pack_bundle(run, tmp_path / "bundle")
    assert {part.pixels for part in card.parts} == {"float32", "jpeg-75"}
