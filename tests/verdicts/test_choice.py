"""Which bundle an image goes to: by its shape, in a folder of bundles such as those that come with the package."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import redhanded
from redhanded.bundle import BundleError, bundle_named, find_bundles
from redhanded.errors import DataError
from redhanded.verdicts import ExamineOptions, Examiner, Failure, load_examiner, watch_folder
from support.hostile_bundles import edit, mend

REDHANDED = Path(sys.executable).with_name("redhanded")
Cli = Callable[..., tuple[int, str, str]]
LARGER = (1, 20, 20)


def enlarge(folder: Path) -> None:
    """Make a bundle one for images of another shape: its blind attributors look at small windows, wherever they are."""

    def change(card: dict[str, Any]) -> None:
        card["parts"] = [part for part in card["parts"] if part["knowledge"] == "blind"]
        card |= {"shape": LARGER, "victims_inside": False, "examples": []}
        card["study"]["name"] = "larger"

    edit(folder / "bundle.json", change)
    for path in (folder / "attributors").iterdir():
        if path.name.startswith("blind"):
            edit(path / "card.json", lambda card: card.update(shape=LARGER))
        else:
            shutil.rmtree(path)
    shutil.rmtree(folder / "victims")
    (folder / "examples.safetensors").unlink()
    mend(folder)


@pytest.fixture(scope="module")
def shelf(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles beside one another, for images of 1 x 16 x 16 and of 1 x 20 x 20; not to be changed."""
    folder = tmp_path_factory.mktemp("shelf")
    for name in ("bars", "larger"):
        shutil.copytree(bundle, folder / name)
    enlarge(folder / "larger")
    return folder


def image(side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (side, side), np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Four images: of the two shapes, by turns."""
    folder = tmp_path / "files"
    folder.mkdir()
    for place, side in enumerate((16, 20, 16, 20)):
        Image.fromarray(image(side)).save(folder / f"{place}.png")
    return folder


def test_each_image_goes_to_the_bundle_of_its_shape(shelf: Path, files: Path) -> None:
    loaded: list[Examiner] = []
    judged = list(load_examiner(shelf, loaded.append).attribute_files([files]))
    assert [Path(one.verdict.name).name for one in judged if not isinstance(one, Failure)] == [
        f"{place}.png" for place in range(4)
    ]
    labels = [Examiner.load(shelf / name).bundle.label for name in ("bars", "larger")]
    assert [one.verdict.bundle for one in judged if not isinstance(one, Failure)] == labels * 2
    assert [one.bundle.label for one in loaded] == labels  # once each


def test_by_its_shape_an_image_has_the_verdict_of_its_own_bundle(shelf: Path) -> None:
    images = [image(side) for side in (20, 16)]
    alone = [
        Examiner.load(shelf / name).attribute([one])[0] for name, one in zip(("larger", "bars"), images, strict=True)
    ]
    for mine, own in zip(redhanded.attribute(images, bundle=shelf), alone, strict=True):
        assert mine.findings == own.findings
        assert mine.bundle == own.bundle
    assert redhanded.attribute(images[1:], bundle=shelf / "bars")[0].findings == alone[1].findings


def test_a_bundle_is_loaded_when_an_image_needs_it(shelf: Path) -> None:
    loaded: list[Examiner] = []
    examiner = load_examiner(shelf, loaded.append)
    assert not loaded
    examiner.judge([examiner.from_array("small", image(16))])
    assert [one.shape for one in loaded] == [(1, 16, 16)]


def test_an_image_that_fits_none_is_one_line_that_says_what_they_take(shelf: Path, files: Path) -> None:
    Image.fromarray(image(24)).save(files / "other.png")
    (files / "no image.png").write_text("hello")
    *_, unread, failure = load_examiner(shelf).attribute_files(
        [files / "0.png", files / "no image.png", files / "other.png"]
    )
    assert isinstance(failure, Failure)
    assert failure.error == (
        f"{files}/other.png: expected an image of 1 x 16 x 16 (bars) or 1 x 20 x 20 (larger), found 1 x 24 x 24; give "
        "it as the classifier received it, or name the bundle of a study of your own: --bundle DIR"
    )
    assert isinstance(unread, Failure)
    assert "1 x 16 x 16" not in unread.error  # what is wrong with it is not its shape


def test_images_of_two_bundles_are_not_one_actors_nor_of_one_original(shelf: Path) -> None:
    examiner = load_examiner(shelf)
    evidence = [examiner.from_array("one", image(side)) for side in (16, 20)]
    with pytest.raises(DataError, match="--together: expected images of one shape, found 1 x 16 x 16 and 1 x 20 x 20;"):
        examiner.judge(evidence, ExamineOptions(together=True))
    with pytest.raises(DataError, match="expected the shape of its clean reference, 1 x 16 x 16, found 1 x 20 x 20;"):
        examiner.judge(evidence, ExamineOptions(clean=evidence[0]))
    with pytest.raises(DataError, match="expected images that one bundle judges, found bars and larger;"):
        examiner.bundle_of(evidence)
    assert examiner.bundle_of(evidence[1:]).card.shape == LARGER


def test_a_watched_folder_may_hold_images_of_every_shape(shelf: Path, files: Path, tmp_path: Path) -> None:
    entries = list(watch_folder(load_examiner(shelf), files, tmp_path / "out.jsonl", interval=0, once=True))
    shapes = [entry.verdict.bundle.partition("@")[0] for entry in entries if entry.verdict]
    assert shapes == ["tiny", "larger"] * 2


def test_what_is_no_folder_of_bundles_is_one_line(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^expected bundles that come with the package in .*, found none; make one"):
        find_bundles(tmp_path)
    with pytest.raises(BundleError, match=r"expected a bundle, a folder with bundle.json, found none;"):
        load_examiner(tmp_path)
    shutil.copytree(shelf / "bars", tmp_path / "first")
    shutil.copytree(shelf / "bars", tmp_path / "second")
    with pytest.raises(BundleError, match="expected bundles for images of different shapes, found first and second;"):
        load_examiner(tmp_path)
    (tmp_path / "second" / "bundle.json").write_text("[]")
    with pytest.raises(BundleError, match="expected a JSON object, found list;"):
        load_examiner(tmp_path)


def test_a_bundle_of_the_package_is_found_by_its_name(shelf: Path, tmp_path: Path) -> None:
    assert bundle_named(Path("bars"), shelf) == shelf / "bars"
    assert bundle_named(Path("nothing"), shelf) == Path("nothing")
    assert bundle_named(tmp_path, shelf) == tmp_path
    assert bundle_named(Path("../shelf/bars"), shelf) == Path("../shelf/bars")


@pytest.mark.slow
def test_the_command_says_which_bundle_it_asked(shelf: Path, files: Path) -> None:
    command = [REDHANDED, "attribute", files, "--bundle", shelf, "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0
    bars, larger = (Examiner.load(shelf / name).bundle.label for name in ("bars", "larger"))
    assert done.stderr.splitlines() == [
        f"bundle: {bars}, for images of 1 x 16 x 16",
        f"bundle: {larger}, for images of 1 x 20 x 20",
    ]
    assert [json.loads(line)["bundle"] for line in done.stdout.splitlines()] == [bars, larger] * 2


def test_exports_and_pictures_of_images_of_one_shape(shelf: Path, files: Path, tmp_path: Path, cli: Cli) -> None:
    common = ("--bundle", shelf, "--manifest", tmp_path / "m", "--pictures", tmp_path / "pictures")
    code, _, err = cli("attribute", files, *common)
    assert (code, err.splitlines()[-1]) == (
        2,
        "redhanded: an export: expected images that one bundle judges, found bars and larger; give those of each shape "
        "apart",
    )
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 4
    code, _, _ = cli("attribute", files / "1.png", files / "3.png", *common)
    assert code == 0
    assert "1.png" in (tmp_path / "m").read_text()
