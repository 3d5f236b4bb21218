"""The page on Python: its code runs, block after block, on a bundle and a model."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import redhanded
from redhanded.sets import write_png

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "python.md").read_text()
KEPT_RUN = DOCS / "results" / "quick"


@pytest.fixture
def my_classifier() -> nn.Module:
    """Which half of an image is brighter."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False)).eval()
    halves = torch.cat([torch.full((1, 16, 8), 0.1), torch.full((1, 16, 8), -0.1)], 2).flatten(1)
    with torch.no_grad():
        network[1].weight.copy_(torch.cat([halves, -halves]))
    return network


def test_the_code_of_the_page_runs(
    bundle: Path,
    my_classifier: nn.Module,
    separable: tuple[Tensor, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle, "bundle")
    known = redhanded.Examiner.load(bundle).bundle.examples.numpy()
    Path("inbox").mkdir()
    shutil.copytree(KEPT_RUN, "runs/quick")
    write_png(known[0] / np.float32(255), Path("inbox/one.png"))
    Path("inbox/notes.txt").write_text("not an image")
    images, labels = separable
    names = {
        "suspicious": list(known[:3]),
        "original": known[4],
        "my_classifier": my_classifier,
        "images": images[:160],
        "labels": labels[:160],
        "other_images": images[160:],
        "other_labels": labels[160:],
        "suspicious_of_mine": images[:4],
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for block in blocks:
        exec(block, names)  # noqa: S102 (our own page)
    told = capsys.readouterr().out
    assert len(blocks) == 6
    assert re.search(r"pixels +float32 .*uint8", told)
    assert "image 0" in told
    assert "3 images:" in told
    assert told.count("inbox/notes.txt") >= 2  # by attribute_files and by watch
    assert "['deepfool' 'fgsm']" in told
    assert Path("mine/card.json").exists()
