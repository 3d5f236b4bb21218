"""The tour: what it attacks, writes and counts, with the tests' bundle and its source."""

import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import redhanded
from redhanded.bundle import BundleError, load_bundle
from redhanded.data import AS_FILE, AS_LEFT, load_source
from redhanded.errors import DataError
from redhanded.models import load_victim
from redhanded.sets import predict_classes
from redhanded.verdicts import take_tour, tour_table, tour_totals
from redhanded.verdicts.tour import FORMS, Exhibit, tally
from support.tiny_study import write_source

REDHANDED = Path(sys.executable).with_name("redhanded")
SHOWN = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "bars.npz")


@pytest.fixture(scope="module")
def taken(bundle: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Exhibit]]:
    """The folder of a tour, not to be changed, and what it showed."""
    out = tmp_path_factory.mktemp("tour") / "out"
    return out, take_tour(redhanded.Examiner.load(bundle), bundle, load_source("bars", source), out, SHOWN)


def test_every_attack_and_control_of_the_bundle_is_shown_in_both_forms(
    taken: tuple[Path, list[Exhibit]], bundle: Path
) -> None:
    _, exhibits = taken
    labels = {entry.label for entry in load_bundle(bundle).card.sets.values()}
    shown = {(one.entry.label, one.pixels) for one in exhibits}
    assert shown == {(label, pixels) for label in labels for pixels in FORMS}
    assert {one.entry.victim for one in exhibits} == {"alexnet", "other", "none"}  # victims in turn


def test_what_is_shown_fools_its_victim_as_the_file_that_was_written(
    taken: tuple[Path, list[Exhibit]], bundle: Path, source: Path
) -> None:
    out, exhibits = taken
    test = load_source("bars", source).test
    for one in exhibits:
        index = int(one.path.stem.rpartition("-")[2])
        if one.pixels == AS_LEFT:
            stored = np.load(one.path)
        else:
            stored = np.asarray(Image.open(one.path), np.float32)[None] / 255
        np.testing.assert_allclose(stored, one.image, atol=0.5 / 255 + 1e-6 if one.pixels == AS_FILE else 0)
        np.testing.assert_allclose(one.clean, test.images[index] / 255, atol=1e-6)
        if not one.entry.control:
            network = load_victim(bundle / "victims" / one.entry.victim).network
            images = one.clean.new_tensor(stored)[None]
            assert predict_classes(network, images, 1).item() != test.labels[index]
    assert {path.name for path in (out / "images").iterdir()} == {one.path.name for one in exhibits}


def test_verdicts_are_those_of_the_files(taken: tuple[Path, list[Exhibit]], bundle: Path) -> None:
    _, exhibits = taken
    judged = redhanded.Examiner.load(bundle).attribute_files([exhibits[0].path, exhibits[-1].path])
    for one, again in zip((exhibits[0], exhibits[-1]), judged, strict=True):
        assert getattr(again, "verdict", None) is not None
        assert one.verdict.name == str(one.path)
        assert one.verdict.condition.pixels in (one.pixels, AS_FILE)  # a clean image is of whole levels in either form


def test_counts_are_of_names_and_unknown_ones_are_neither_right_nor_wrong(taken: tuple[Path, list[Exhibit]]) -> None:
    _, exhibits = taken
    for dimension, forms in tour_totals(exhibits).items():
        for pixels, form in FORMS.items():
            own = [one for one in exhibits if one.pixels == pixels]
            assert sum(forms[form]) == len(own), dimension
    one = exhibits[0]
    name = one.said("family")
    right = one._replace(entry=one.entry.model_copy(update={"family": name}))
    wrong = one._replace(entry=one.entry.model_copy(update={"family": "another"}))
    doubtful = right._replace(verdict=one.verdict.model_copy(update={"unknown": "strange"}))
    sure = [each._replace(verdict=one.verdict.model_copy(update={"unknown": ""})) for each in (right, wrong, right)]
    assert tally([*sure, doubtful], "family") == (2, 1, 1)


def test_the_page_has_each_image_and_loads_nothing(taken: tuple[Path, list[Exhibit]]) -> None:
    out, exhibits = taken
    page = (out / "tour.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(exhibits)
    assert set(re.findall(r'(?:src|href)="([a-z]+):', page)) == {"data"}
    for one in exhibits:
        assert one.entry.family in page
    assert exhibits[0].verdict.bundle in page


def test_the_table_fits_into_80_columns(taken: tuple[Path, list[Exhibit]]) -> None:
    file = io.StringIO()
    Console(width=80, file=file).print(tour_table(taken[1]))
    heading, *rows = file.getvalue().splitlines()
    assert heading.split() == ["what", "was", "done", "kind", "form", "named", "right", "wrong", "unknown"]
    assert len(rows) == 10
    assert max(map(len, rows)) <= 80


def test_a_bundle_that_cannot_be_shown_is_one_line(bundle: Path, source: Path, tmp_path: Path) -> None:
    examiner = redhanded.Examiner.load(bundle)
    with pytest.raises(
        DataError, match="mnist5k: expected images of 1 x 16 x 16, which the bundle is for, found 1 x 28"
    ):
        take_tour(examiner, bundle, load_source("mnist5k"), tmp_path / "out")
    card = examiner.bundle.card.model_copy(update={"victims_inside": False})
    secret = redhanded.Examiner(dataclasses.replace(examiner.bundle, card=card))
    with pytest.raises(BundleError, match="expected a bundle with the weights of its victims, found none;"):
        take_tour(secret, bundle, load_source("bars", source), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected to write"):
        take_tour(redhanded.Examiner.load(bundle), bundle, load_source("bars", source), tmp_path / "file")


@pytest.mark.slow
def test_the_command_shows_truth_beside_verdict(bundle: Path, source: Path, tmp_path: Path) -> None:
    words = [
        REDHANDED,
        "tour",
        "--bundle",
        bundle,
        "--source",
        f"bars={source}",
        "--images",
        1,
        "--out",
        tmp_path / "t",
    ]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["what", "was", "done", "kind", "form", "named", "right", "wrong", "unknown"]
    assert sum(row.startswith(("FGSM, L2", "DeepFool, L2", "clean")) for row in rows) == 10
    assert (tmp_path / "t" / "tour.html").is_file()
