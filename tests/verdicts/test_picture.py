"""Pictures of the evidence: the panels show the image, its perturbation, the spectrum and the known images."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import redhanded
from redhanded.verdicts import evidence_picture
from redhanded.verdicts.evidence import from_array
from redhanded.verdicts.picture import draw_evidence
from support.pictures import read_panels

SHADE = 2 / 255  # of the grey map and of rounding to 8 bits


@pytest.fixture(scope="module")
def examiner(bundle: Path) -> redhanded.Examiner:
    return redhanded.Examiner.load(bundle)


def random(seed: int) -> Tensor:
    """(1, 1, 16, 16) in [0, 1]."""
    return 0.9 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def shows(panel: np.ndarray, image: Tensor | np.ndarray) -> bool:
    return bool(np.abs(panel - np.asarray(image).reshape(16, 16)).max() <= SHADE)


def test_the_panels_are_the_image_its_perturbation_and_the_known_images() -> None:
    image, perturbation, *known = random(0), random(1) - 0.5, random(2)[0], random(3)[0]
    png = draw_evidence(image, perturbation, "estimated", [("one", known[0]), ("other", known[1])], "a title")
    panels = read_panels(png)
    assert len(panels) == 5
    assert shows(panels[0], image)
    assert shows(panels[1], 0.5 + 0.45 * perturbation / perturbation.abs().max())  # darker where it was taken away
    assert shows(panels[3], known[0])
    assert shows(panels[4], known[1])


def test_the_spectrum_is_bright_at_the_frequency_of_a_wave() -> None:
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)  # 3 periods from left to right
    spectrum = read_panels(draw_evidence(random(0), wave, "true", [], "a wave"))[2]
    assert {tuple(place) for place in np.argwhere(spectrum > 0.99).tolist()} == {(8, 8 - 3), (8, 8 + 3)}


def test_a_verdict_shows_its_own_image_and_the_examples_that_it_names(examiner: redhanded.Examiner) -> None:
    examples = examiner.bundle.examples.float() / 255
    drawn = []
    for place in (0, 20):
        evidence = from_array("a", examiner.bundle.examples[place].numpy(), examiner.shape)
        (verdict,) = examiner.judge([evidence])
        drawn.append(evidence_picture(examiner.bundle, verdict, evidence))
        image, _, _, *nearest = read_panels(drawn[-1])
        assert shows(image, examples[place])
        assert len(nearest) == 3
        for panel, neighbour in zip(nearest, verdict.nearest, strict=True):
            assert shows(panel, examples[neighbour.example])
    assert drawn[0] != drawn[1]


def test_with_the_original_the_true_perturbation_is_shown(examiner: redhanded.Examiner) -> None:
    image = examiner.bundle.examples[0].numpy() / np.float32(255)
    moved = np.where(np.indices(image.shape).sum(0) % 2, 0.1, -0.05).astype(np.float32)
    evidence, clean = (
        from_array("a", image, examiner.shape),
        from_array("b", np.clip(image - moved, 0, 1), examiner.shape),
    )
    (verdict,) = examiner.judge([evidence])
    true = evidence.image - clean.image
    shown = read_panels(evidence_picture(examiner.bundle, verdict, evidence, clean))[1]
    assert shows(shown, 0.5 + 0.45 * true / true.abs().max())


def test_captions_of_neighbours_keep_apart_however_long_the_names() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    known = ("known: resnet50/carlini_wagner-l2-learning_rate=0.5-confidence=0.01", image[0])
    with Image.open(io.BytesIO(draw_evidence(image, image - 0.5, "estimated", [known] * 3, "a.png"))) as picture:
        shown = np.asarray(picture.convert("L"))
    gap = shown.shape[1] * 5 // 6  # between the last two of six panels
    assert (shown[:, gap] == 255).all()
    assert (shown[:, gap + 40] < 255).any()
