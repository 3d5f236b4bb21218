"""Teaching a bundle a family: what it says afterwards, what its card says of it, and what is refused."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from redhanded.bundle import BundleError, Lesson, load_bundle, teach_bundle
from redhanded.errors import DataError, RunError
from redhanded.verdicts import Examiner
from support.hostile_bundles import CARD, mend
from support.tiny_bundle import KnownImages

BLIND = "attributors/blind-float32"


def static(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """The images under strong noise, which no known set has."""
    return (0.5 * images + 0.5 * np.random.default_rng(seed).random(images.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def photographs(known: dict[str, KnownImages]) -> np.ndarray:
    return known["none/clean-none"].images


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory, photographs: np.ndarray) -> Path:
    """A folder with the images of a new family, one a file."""
    folder = tmp_path_factory.mktemp("lesson")
    for place, image in enumerate(static(photographs[:10])):
        np.save(folder / f"{place}.npy", image)
    return folder


@pytest.fixture(scope="module")
def taught(bundle: Path, lesson: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught") / "bundle"
    images = [np.load(path) for path in sorted(lesson.iterdir())]
    Examiner.load(bundle).teach("static", images, out, kind="random search", norm="linf")
    return out


def test_the_command_teaches_and_attribute_names(
    cli: Callable[..., tuple[int, str, str]], bundle: Path, lesson: Path, photographs: np.ndarray, tmp_path: Path
) -> None:
    code, out, err = cli("teach", "static", lesson, "--bundle", bundle, "--out", tmp_path / "new")
    assert (code, err) == (0, "")
    assert "taught (blind, float32): 10" in out
    assert "oracle" not in out
    np.save(tmp_path / "a.npy", static(photographs[10:11], seed=1)[0])
    code, out, _ = cli("attribute", tmp_path / "a.npy", "--bundle", tmp_path / "new", "--json")
    verdict = json.loads(out)
    assert code == 0
    assert verdict["findings"]["family"]["ranked"][0]["name"] == "static"
    assert verdict["findings"]["kind"]["ranked"][0]["name"] == "other"


def test_what_it_knew_it_names_as_before(bundle: Path, taught: Path, known: dict[str, KnownImages]) -> None:
    before, after = Examiner.load(bundle), Examiner.load(taught)
    truth = [before.bundle.card.sets[name].family for name in known for _ in range(8)]
    images = np.concatenate([one.images[:8] for one in known.values()])
    first, then = (
        [verdict.findings["family"].ranked[0].name for verdict in examiner.attribute(images, blind=True)]
        for examiner in (before, after)
    )
    right = [place for place, name in enumerate(truth) if first[place] == name]
    assert len(right) > 30
    assert sum(then[place] != first[place] for place in right) <= 4  # it was calibrated on few images
    assert {new for old, new in zip(first, then, strict=True) if new != old} <= {"static"}


def test_the_card_says_what_was_taught(bundle: Path, taught: Path, lesson: Path) -> None:
    card, before = load_bundle(taught).card, load_bundle(bundle).card
    (family,) = card.taught
    assert family.name == "none/static"
    oracles = {part.folder for part in card.parts if part.knowledge == "oracle"}
    assert family.images == {part.folder: 10 for part in card.parts if part.folder not in oracles}
    images = [np.load(path) for path in sorted(lesson.iterdir())]
    assert family.sha256 == [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    entry = card.sets["none/static"]
    assert (entry.family, entry.kind, entry.norm, entry.control) == ("static", "random search", "linf", False)
    assert "static was taught from 10 images" in card.limits[-1]
    assert before.taught == []
    assert "taught" not in json.loads((bundle / CARD).read_text())


def test_the_other_parts_are_the_same_files(bundle: Path, taught: Path) -> None:
    before, after = load_bundle(bundle).card, load_bundle(taught).card
    same = {name for name in before.files if after.files.get(name) == before.files[name]}
    assert {name for name in before.files if name.startswith(("victims/", "attributors/oracle", "examples"))} <= same


def test_taught_twice_it_knows_both(taught: Path, photographs: np.ndarray, tmp_path: Path) -> None:
    dark = (0.2 * photographs).astype(np.float32)
    twice = Examiner.load(taught).teach("dusk", dark[:8], tmp_path / "twice")
    assert [one.name for one in twice.bundle.card.taught] == ["none/static", "none/dusk"]
    images = np.concatenate([dark[10:15], static(photographs[10:15], seed=1)])
    named = [verdict.findings["family"].ranked[0].name for verdict in twice.attribute(images, blind=True)]
    assert named.count("dusk") >= 4
    assert named.count("static") >= 4
    assert not list((tmp_path / "twice").rglob("inner/inner"))


def test_what_is_like_nothing_stays_unknown(taught: Path) -> None:
    stripes = np.zeros((1, 1, 16, 16), np.float32)
    stripes[..., ::2] = 0.9973
    (verdict,) = Examiner.load(taught).attribute(stripes, blind=True)
    assert verdict.unknown


def test_8_bit_images_teach_the_attributors_of_8_bit_images_alone(
    bundle: Path, photographs: np.ndarray, tmp_path: Path
) -> None:
    rounded = (255 * static(photographs[:4])).round().astype(np.uint8)
    card = Examiner.load(bundle).teach("static", rounded, tmp_path / "new").bundle.card
    learned = [part.pixels for part in card.parts if part.folder in card.taught[0].images]
    assert set(learned) == {"uint8"}


@pytest.mark.parametrize(
    ("name", "count", "says"),
    [
        ("fgsm", 4, "expected a new name without a slash, none of .*fgsm.*, found 'fgsm'"),
        ("none", 4, "expected a new name"),
        ("a/b", 4, "expected a new name"),
        ("static", 1, "expected 2 different images or more, found 1; give more"),
        ("\x1b[31m", 4, "a name that cannot be printed"),
        ("n" * 201, 4, "at most 200 characters"),
    ],
)
def test_a_lesson_that_cannot_be_taught_is_refused(
    cli: Callable[..., tuple[int, str, str]],
    bundle: Path,
    lesson: Path,
    tmp_path: Path,
    name: str,
    count: int,
    says: str,
) -> None:
    images = sorted(lesson.iterdir())[:count]
    code, out, err = cli("teach", name, *images, *images, "--bundle", bundle, "--out", tmp_path / "new")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(says, err)
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_and_a_folder_that_is_there_are_refused(bundle: Path, tmp_path: Path) -> None:
    examiner = Examiner.load(bundle)
    with pytest.raises(DataError, match=r"expected an image of 1 x 16 x 16, found 1 x 20 x 20"):
        examiner.teach("static", torch.rand(4, 1, 20, 20), tmp_path / "new")
    images = list(torch.rand(2, 1, 20, 20))
    lesson = Lesson("static", images, ["float32"] * 2, ["0" * 64] * 2)
    with pytest.raises(DataError, match=r"expected images of 1 x 16 x 16, found 1 x 20 x 20"):
        teach_bundle(examiner.bundle, tmp_path / "new", lesson)
    with pytest.raises(RunError, match="expected a new folder"):
        examiner.teach("static", torch.rand(4, 1, 16, 16), tmp_path)


def _of(path: str, **changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        card = json.loads((folder / path).read_text())
        (folder / path).write_text(json.dumps(card | changes))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder / BLIND / "inner"), "expected "),
        (_of(f"{BLIND}/card.json", settings={"inner": "taught"}), "expected an inner attributor of"),
        (_of(f"{BLIND}/card.json", settings={"inner": "../inner"}), "expected an inner attributor of"),
        (_of(f"{BLIND}/card.json", settings={"inner": "factored"}), "expected an attributor of the kind factored"),
        (_of(f"{BLIND}/card.json", classes=["a", "b"]), "expected "),
        (_of(f"{BLIND}/inner/card.json", channels=10**9), "expected at most 1000 channels"),
        (_of(f"{BLIND}/inner/card.json", classes=["a", "b"]), "expected "),
        (_of(CARD, taught=[{"name": "x", "images": {BLIND: 0}, "sha256": []}]), "taught"),
        (lambda folder: (folder / BLIND / "heads.safetensors").write_bytes(b"hello"), "expected "),
    ],
)
def test_a_spoilt_taught_bundle_is_refused(
    taught: Path, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    folder = shutil.copytree(taught, tmp_path / "bundle")
    spoil(folder)
    mend(folder)
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(folder)
    assert str(caught.value).isprintable()
