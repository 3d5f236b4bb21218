"""A pixel protocol is a row: a study, its report and its bundle take it from there."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from redhanded.bundle import pack_bundle
from redhanded.data import PIXELS
from redhanded.engine import read_run_records, run_study
from redhanded.models import load_victim
from redhanded.report import write_report
from redhanded.sets import read_set
from support.tiny_study import InOrder, tiny_study, write_source


def by_hand(image: np.ndarray, quality: int) -> np.ndarray:
    """A grey image, (1, h, w) in [0, 1], saved as JPEG and decoded again."""
    stream = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(255 * image[0]))).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), np.float32)[None] / np.float32(255)


@pytest.mark.parametrize("quality", [75, 90])
def test_jpeg_is_what_a_file_of_that_quality_gives_back(quality: int) -> None:
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    decoded = torch.from_numpy(np.stack([by_hand(image, quality) for image in images.numpy()]))
    assert torch.equal(PIXELS[f"jpeg-{quality}"].apply(images), decoded)
    assert not torch.equal(decoded, PIXELS["uint8"].apply(images))


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
