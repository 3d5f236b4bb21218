"""A study with axes, from its file to the records of each axis."""

from pathlib import Path

import numpy as np
import pytest

from redhanded.attributors import Attributor, Factored
from redhanded.bundle import PackOptions, pack_bundle
from redhanded.core import read_record
from redhanded.engine import LocalExecutor, run_study
from redhanded.errors import StudyError
from redhanded.sets import read_column
from redhanded.studies import ANOTHER, AxisResult, load_study
from redhanded.verdicts import Examiner

STUDY = """
name = "axes"
title = "Axes on few digits"
source = "mnist5k"
questions = []
same_images = false
[victims]
alexnet-0 = { architecture = "alexnet" }
alexnet-1 = { architecture = "alexnet", seed = 1 }
vgg16-0 = { architecture = "vgg16" }
alexnet-2 = { architecture = "alexnet", seed = 2, held_out = true }
[[attacks]]
family = "fgsm"
norm = "linf"
eps = { log_uniform = [0.1, 0.4] }
[[attacks]]
family = "bim"
norm = "l2"
eps = { log_uniform = [2, 8] }
[[attacks]]
family = "deepfool"
norm = "l2"
overshoot = { log_uniform = [0.01, 1.0] }
[[controls]]
family = "clean"
[[controls]]
family = "gaussian_noise"
eps = { log_uniform = [1, 4] }
[[axes]]
name = "checkpoint"
title = "checkpoints never seen"
victims = ["alexnet-2"]
[[axes]]
name = "strangers"
title = "the attacked victim is not asked"
strangers = true
victims = ["alexnet-2"]
[[axes]]
name = "foolbox"
title = "the code of Foolbox"
in_turn = true
victims = ["alexnet-0"]
[[axes.attacks]]
family = "fgsm"
norm = "linf"
eps = { choice = [0.15, 0.3] }
toolchain = "foolbox"
[[axes]]
name = "transport"
title = "what images go through"
victims = ["alexnet-0"]
pixels = ["jpeg-75"]
[[axes]]
name = "pictures"
title = "pictures of another origin"
source = "others"
victims = ["alexnet-0"]
times = 2
[scales.laptop]
train_images = 150
test_images = 60
shard_images = 100
unknown = ["factored"]
[scales.laptop.victims]
alexnet-0 = { width = 0.125, training = { epochs = 8, learning_rate = 2e-3 } }
alexnet-1 = { width = 0.125, training = { epochs = 8, learning_rate = 2e-3 } }
alexnet-2 = { width = 0.125, training = { epochs = 8, learning_rate = 2e-3 } }
vgg16-0 = { width = 0.125, training = { epochs = 3, learning_rate = 1e-2 } }
[scales.laptop.attributors]
factored = { training = { epochs = 10, batch_size = 64, learning_rate = 5e-3 }, transports = ["jpeg-90"] }
factored_asked = { training = { epochs = 10, batch_size = 64, learning_rate = 5e-3 } }
"""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits turned upside down, as a source of its own."""
    from redhanded.data import load_source

    source = load_source("mnist5k")
    path = tmp_path_factory.mktemp("others") / "others.npz"
    arrays = {
        f"{name}_{split}": part
        for split in ("train", "test")
        for name, part in (
            ("x", source.split(split).images[:200, 0, ::-1]),
            ("y", source.split(split).labels[:200]),
        )
    }
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, others: Path) -> Path:
    folder = tmp_path_factory.mktemp("axes")
    file = folder / "axes.toml"
    file.write_text(STUDY)
    return run_study(load_study(str(file)), folder / "run", sources={"others": others}, executor=LocalExecutor(1))


Found = dict[tuple[str, str, str], AxisResult]  # by axis (and what was left out), attributor, pixels


@pytest.fixture(scope="module")
def found(finished: Path) -> Found:
    paths = sorted((finished / "results" / "axes").rglob("*.json"))
    records = [(path.parent.name, read_record(AxisResult, path)) for path in paths]
    return {(name, one.attributor, one.pixels): one for name, one in records}


def test_every_axis_is_asked_of_every_attributor_that_it_can_be_asked_of(found: Found) -> None:
    asked = {(name, attributor, pixels) for name, attributor, pixels in found}
    pairs = [(attributor, pixels) for attributor in ("factored", "factored_asked") for pixels in ("float32", "uint8")]
    everywhere = ("known", "checkpoint", "foolbox", "foolbox-without-foolbox", "pictures")
    expected = {(name, *pair) for name in everywhere for pair in pairs}
    expected |= {("transport-jpeg-75", attributor, "uint8") for attributor in ("factored", "factored_asked")}
    expected |= {("strangers", "factored_asked", pixels) for pixels in ("float32", "uint8")}
    expected |= {
        (f"known-without-{family}", "factored", pixels)
        for family in ("fgsm", "pgd", "deepfool")
        for pixels in ("float32", "uint8")
    }
    assert asked == expected


def test_every_image_has_one_fate(found: Found) -> None:
    for one in found.values():
        assert one.n == sum(tally.n for tally in one.tallies.values())
        for tally in one.tallies.values():
            assert tally.unknown + tally.all_clear + tally.accused == tally.n
            assert tally.relied_on + tally.sure_and_wrong + tally.unknown <= tally.n
            assert tally.few <= tally.in_set
        for confusion in one.dimensions.values():
            assert sum(map(sum, confusion.counts)) == one.n


def test_what_is_held_out_is_not_trained_on(finished: Path, found: Found) -> None:
    layouts = {}
    for path in (finished / "results" / "fits").rglob("*.json"):
        layouts[path.parent.name] = path
    assert layouts.keys() == {
        "on-all-sets",
        "without-foolbox",
        *(f"without-{name}" for name in ("fgsm", "pgd", "deepfool")),
    }
    attributors = [Attributor.load(path.parent) for path in sorted((finished / "attributors").glob("*/card.json"))]
    assert all(isinstance(one, Factored) and "alexnet-2" not in one.layout_.victims for one in attributors)
    known, without = (found[name, "factored", "float32"] for name in ("known", "known-without-pgd"))
    assert set(known.dimensions["family"].names) == {"control", "fgsm", "pgd", "deepfool"}
    assert set(without.dimensions["family"].names) == {"control", "fgsm", "deepfool"}
    assert without.tallies["pgd"].relied_on == without.tallies["pgd"].in_set == 0
    assert len(without.detectors) > 5
    assert not known.detectors


def test_what_differs_along_an_axis_is_what_the_axis_says(found: Found) -> None:
    assert found["checkpoint", "factored", "float32"].dimensions["victim"].truths == [ANOTHER]
    assert found["checkpoint", "factored", "float32"].another is not None
    assert found["transport-jpeg-75", "factored", "uint8"].transport == "jpeg-75"
    assert set(found["foolbox", "factored", "float32"].tallies) == {"fgsm"}
    assert {"clean", "gaussian_noise"} < set(found["pictures", "factored", "float32"].tallies)
    assert found["pictures", "factored", "float32"].n > found["checkpoint", "factored", "float32"].n


def test_a_few_digits_are_enough_to_know_families_again(found: Found) -> None:
    """An attributor that learned nothing names a third of the attacks rightly."""
    known = found["known", "factored_asked", "float32"].dimensions["family"].recalls()
    assert min(right / n for right, n in known.values()) > 0.6
    numbers = {(one.family, one.parameter): one for one in found["known", "factored", "float32"].numbers}
    assert numbers["fgsm", "eps"].relative < 0.4


def test_a_bundle_of_it_decides_as_the_study_measured(finished: Path, found: Found, tmp_path: Path) -> None:
    """Of the test images of one set, the bundle calls as many unknown as the axis counted."""
    pack_bundle(finished, tmp_path / "bundle", PackOptions(blind=True, without_examples=True, without_victims=True))
    examiner = Examiner.load(tmp_path / "bundle")
    assert {part.knowledge for part in examiner.bundle.card.parts} == {"blind"}
    assert "foolbox" in {entry.toolchain for entry in examiner.bundle.card.sets.values()}
    assert not any(name.startswith("alexnet-2/") for name in examiner.bundle.card.sets)
    (path,) = (finished / "sets" / "alexnet-2").glob("fgsm-*-test-*.zarr")
    rows = np.flatnonzero(read_column(path, "success_float32"))
    verdicts = examiner.attribute(read_column(path, "images", rows).astype(np.float32))
    tally = found["checkpoint", "factored", "float32"].tallies["fgsm"]
    assert len(verdicts) == tally.n
    assert sum(bool(one.unknown) for one in verdicts) == tally.unknown
    right = [not one.unknown and one.findings["family"].ranked[0].name == "fgsm" for one in verdicts]
    assert sum(right) == tally.relied_on


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('victims = ["alexnet-2"]', 'victims = ["alexnet-9"]', "victim of the axis checkpoint"),
        ('pixels = ["jpeg-75"]', 'pixels = ["jpeg-7"]', "pixels of the axis transport"),
        ("in_turn = true", "in_trun = true", "in_trun"),
        ('family = "fgsm"\nnorm = "linf"\neps = { choice', 'family = "clean"\nnorm = "linf"\neps = { choice', "norm"),
    ],
)
def test_an_axis_that_makes_no_sense_is_refused_in_a_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    file = tmp_path / "axes.toml"
    file.write_text(STUDY.replace(old, new))
    with pytest.raises(StudyError, match=message) as error:
        load_study(str(file))
    assert "\n" not in str(error.value)
