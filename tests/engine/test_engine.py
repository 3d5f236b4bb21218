"""The engine on a study of seconds: what is done is skipped, what changed is remade, and nothing else."""

import dataclasses
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import zarr
from filelock import FileLock
from rich.console import Console

from redhanded import run_study
from redhanded.attacks import ATTACKS, FGSM
from redhanded.attacks.toolchains import TOOLCHAINS
from redhanded.attributors import ATTRIBUTORS, DETECTORS, Attributor
from redhanded.core import Outcome, Record, digest, execution_environment, read_record, write_record
from redhanded.data import PIXELS as PROTOCOLS
from redhanded.engine import LocalExecutor, RunCard, RunFolder, TrainVictim, open_source, read_answers, read_run_records
from redhanded.engine import executor as local
from redhanded.engine.plan import Asked, only, plan
from redhanded.engine.step import Step, in_order
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors, write_answers
from redhanded.engine.steps.described import AskAxis, DescribeImages, FitOnDescribed
from redhanded.engine.steps.questions import AskedImages, AskQuestion, ChooseSetting, FitOnQuestion
from redhanded.engine.steps.sets import DescribeSet, MakeShard, MeasureSuccess, show
from redhanded.engine.steps.unknown import MeasureUnknown
from redhanded.errors import RunError, StudyError
from redhanded.models import VICTIMS as ARCHITECTURES
from redhanded.models import VictimCard
from redhanded.sets import Gallery, Samples, SetCard, SetRef, Split, attacked_index, read_column
from redhanded.sets.adversarial_set import COLUMNS
from redhanded.studies import QUESTIONS, Choice, Question, Result, Study, Unknown, build_questions
from redhanded.studies.questions import Grid
from support.processes import PATIENCE, wait_for
from support.steps import Write
from support.tiny_study import TEST, TRAIN, InOrder, tiny_study, write_source, write_study

SETTINGS = {  # of the tiny study, by family and norm: the labels of its sets
    "carlini_wagner-l2": ("learning_rate=0.1-confidence=0.1", "learning_rate=0.5-confidence=0.1"),
    "deepfool-l2": ("overshoot=0.2", "overshoot=1.0"),
    "deepfool-linf": ("overshoot=0.2", "overshoot=1.0"),
    "fgsm-l2": ("eps=4.0", "eps=6.0"),
    "fgsm-linf": ("eps=0.4", "eps=0.6"),
}
VICTIMS = ("alexnet", "other")
PIXELS = ("float32", "uint8")


@dataclass(frozen=True)
class Tiny:
    """The tiny study's folder of files, and how to run a variant of it."""

    folder: Path

    def study(self, *changes: tuple[str, str]) -> Study:
        return tiny_study(self.folder, *changes)

    @property
    def sources(self) -> dict[str, Path]:
        return {"bars": self.folder / "bars.npz"}

    def steps(self, *changes: tuple[str, str], wanted: tuple[str, ...] = ()) -> list[Step]:
        return in_order(only(plan(self.study(*changes), self.sources), wanted))

    def run(self, out: Path, *changes: tuple[str, str], wanted: tuple[str, ...] = (), **options: Any) -> RunFolder:
        """Run it without processes, unless another executor is among the options of `run_study`."""
        with (self.folder / "progress.txt").open("a") as progress:
            options = {"executor": InOrder(), "console": Console(file=progress)} | options
            return RunFolder(run_study(self.study(*changes), out, sources=self.sources, only=wanted, **options))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    write_source(folder / "bars.npz")
    return Tiny(folder)


@pytest.fixture(scope="session")
def finished(tiny: Tiny, shared: Path) -> RunFolder:
    """The one full run of this file, by the local executor; tests that change a run take a copy."""
    with FileLock(shared / "finished.lock"):
        folder = RunFolder(shared / "finished")
        if not folder.root.exists():
            tiny.run(folder.root, executor=LocalExecutor(2))
        return folder


@pytest.fixture(scope="session")
def others(tiny: Tiny, shared: Path) -> RunFolder:
    """The run that every other attributor is fitted and asked in; tests that change it take a copy."""
    with FileLock(shared / "others.lock"):
        folder = RunFolder(shared / "others")
        if not folder.root.exists():
            names = ("magnitude", "forensic", "candidates", "joined")
            tiny.run(folder.root, *OTHERS, wanted=ASKED_OF_OTHERS, attributors=names)
        return folder


def asked_of(tiny: Tiny, attributor: str, *questions: str) -> list[Asked]:
    """Steps of the run of `others` by the attributor and the questions."""
    return only(plan(tiny.study(*OTHERS), tiny.sources), questions, (attributor,))


@pytest.fixture
def copied(finished: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished.root, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def marks(folder: RunFolder) -> dict[str, int]:
    """Key -> when the mark was made, in ns."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder.root / "steps").glob("*.json")}


def labels(steps: list[Step]) -> dict[str, str]:
    """What tells a step of a study to a reader, its kind first -> its key."""
    named = {f"{step.kind}: {step.title}": step.key for step in steps}
    assert len(named) == len(steps)
    return named


def made_since(before: dict[str, int], folder: RunFolder, steps: list[Step]) -> set[str]:
    """The labels of the steps that were done since."""
    return {label for label, key in labels(steps).items() if key in marks(folder).keys() - before.keys()}


def records(folder: RunFolder) -> dict[str, Record]:
    """Every record among the results by its place, without what the clock says."""
    found: dict[str, Record] = {}
    for kind, name in ((VictimCard, "victims"), (SetCard, "sets"), (Outcome, "fits"), (Result, "questions")):
        for path in (folder.results / name).rglob("*.json"):
            record = read_record(kind, path)
            found[str(path.relative_to(folder.results))] = record.model_copy(update={"seconds": 0.0})
    return found


def set_bytes(folder: RunFolder) -> dict[str, bytes]:
    """The files of every adversarial set."""
    return {
        str(path.relative_to(folder.root)): path.read_bytes()
        for path in (folder.root / "sets").rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def question_ids(*kinds: str) -> list[str]:
    ids = {
        "setting": [f"setting/{pair}/{victim}" for pair in SETTINGS for victim in VICTIMS]
        + [f"learning-rate/carlini_wagner-l2/{victim}" for victim in VICTIMS],
        "norm": [f"norm/{family}/{victim}" for family in ("deepfool", "fgsm") for victim in VICTIMS],
        "joint": ["joint"],
    }
    return [name for kind in kinds for name in ids[kind]]


# --- what a run leaves behind


def test_a_run_makes_every_record(finished: RunFolder) -> None:
    expected = {f"victims/{victim}.json" for victim in VICTIMS}
    expected |= {
        f"sets/{victim}/{pair}-{setting}-{split}.json"
        for victim in VICTIMS
        for pair, settings in SETTINGS.items()
        for setting in settings
        for split in ("train", "test")
    }
    questions = question_ids("setting", "norm", "joint")
    for kind in ("fits", "questions"):
        expected |= {f"{kind}/{name}/cnn6-{pixels}-0.json" for name in questions for pixels in PIXELS}
    found = {str(path.relative_to(finished.results)) for path in finished.results.rglob("*") if path.is_file()}
    assert found == expected
    card = read_record(RunCard, finished.card)
    assert card.finished
    assert card.seconds == pytest.approx(
        sum(json.loads(path.read_bytes())["seconds"] for path in finished.results.rglob("*.json"))
    )
    assert card.study["name"] == "tiny"
    versions = {name: value for name, value in execution_environment().items() if name != "instructions"}
    assert card.packages.items() >= versions.items()
    assert f"CPU capability usage: {card.hardware['instructions']}" in torch.__config__.show()


def test_every_mark_says_under_what_it_was_made(finished: RunFolder) -> None:
    here = execution_environment()
    assert here.keys() == {"torch", "numpy", "zarr", "instructions"}
    assert here["numpy"] == np.__version__
    assert f"CPU capability usage: {here['instructions']}" in torch.__config__.show()
    made = [json.loads(path.read_bytes())["environment"] for path in (finished.root / "steps").glob("*.json")]
    assert len(made) > 200
    assert all(one == here for one in made)


def test_the_victims_are_good_and_the_questions_put(finished: RunFolder) -> None:
    """So that the other tests here stand on real numbers."""
    cards = read_run_records(finished.root).victims
    assert [(card.name, card.accuracy >= 0.9, card.n_test) for card in cards] == [
        ("alexnet", True, TEST),
        ("other", True, TEST),
    ]
    results = read_run_records(finished.root).results
    assert {result.status for result in results} <= {"measured", "collapsed"}  # FEWEST is reached in each
    assert all(50 <= result.n_train <= 60 for result in results)
    assert all(25 <= result.n_test <= 30 for result in results)
    joint = [result for result in results if result.question == "joint"]
    assert [(result.status, len(result.classes)) for result in joint] == [("measured", 10)] * 2
    assert all(result.accuracy is not None and result.accuracy > 0.25 for result in joint)  # chance is 0.1


@pytest.mark.parametrize("pair", SETTINGS)
def test_a_set_card_counts_what_its_set_holds(tiny: Tiny, finished: RunFolder, pair: str) -> None:
    source = open_source("bars", tiny.sources["bars"])
    described = [
        step for step in tiny.steps() if isinstance(step, DescribeSet) and step.ref.attack.label.startswith(pair)
    ]
    assert len(described) == 8  # settings x victims x splits
    for step in described:
        card = read_record(SetCard, step.record_path(finished))
        path = step.measured[0].sets.path(finished, step.ref.attack)
        names = (*COLUMNS, *(f"{what}_{pixels}" for what in ("prediction", "success") for pixels in PIXELS))
        column = {name: read_column(path, name) for name in names}
        whole = {"train": TRAIN, "test": TEST} if step.ref.attack.family == "fgsm" else {"train": 60, "test": 30}
        assert card.n_images == len(column["index"]) == whole[step.split]
        split = source.split(step.split)
        clean = split.images[column["index"]].astype(np.float32) / np.float32(255)
        assert len(set(column["index"].tolist())) == card.n_images
        assert np.array_equal(column["label"], split.labels[column["index"]])
        difference = (column["images"] - clean).reshape(len(clean), -1).astype(np.float64)
        np.testing.assert_allclose(column["l2"], np.linalg.norm(difference, axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(column["linf"], np.abs(difference).max(1), rtol=1e-4, atol=1e-6)
        able = column["attacked"] & difference.any(1)
        fooled, rounded = (able & (column[f"prediction_{pixels}"] != column["label"]) for pixels in PIXELS)
        assert np.array_equal(column["success_float32"], fooled)
        assert np.array_equal(column["success_uint8"], rounded)
        assert card.n_attacked == column["attacked"].sum()
        assert card.n_attacked < card.n_images or step.split == "test"  # the source has wrong labels in train
        assert not difference[~column["attacked"]].any()
        assert card.n_success == {"float32": fooled.sum(), "uint8": rounded.sum()}
        assert card.median_l2 == pytest.approx(np.median(column["l2"][fooled]))


def test_every_example_is_an_image_of_its_set(tiny: Tiny, finished: RunFolder) -> None:
    from PIL import Image

    described = {f"{step.ref.victim}_{step.ref.attack.label}": step for step in tiny.steps() if _is_test_set(step)}
    examples = sorted((finished.root / "examples").iterdir())
    assert len(examples) == len(SETTINGS)
    for path in examples:
        name, _, index = path.stem.rpartition("_test")
        step = described[name]
        assert isinstance(step, DescribeSet)
        row = step.column(finished, "index").tolist().index(int(index))
        assert step.column(finished, "success_uint8")[row]
        stored = np.rint(step.column(finished, "images", np.array([row]))[0, 0] * 255)
        assert np.array_equal(np.asarray(Image.open(path)), stored)


def test_figure_2_holds_one_image_under_every_attack(tiny: Tiny, finished: RunFolder) -> None:
    shown = Gallery.load(finished.figure2)
    described = {(step.ref.victim, step.ref.attack.label): step for step in tiny.steps() if _is_test_set(step)}
    assert len(shown.images) == len(SETTINGS)
    for label, image in shown.images.items():
        step = described[shown.victim, label]
        assert isinstance(step, DescribeSet)
        row = step.column(finished, "index").tolist().index(shown.index)
        assert step.column(finished, "success_float32")[row]
        assert np.array_equal(step.column(finished, "images", np.array([row]))[0], image.numpy())
        size = shown.perturbations()[label].norm().item()
        assert size == pytest.approx(step.column(finished, "l2")[row], rel=1e-4)


def _is_test_set(step: Step) -> bool:
    return isinstance(step, DescribeSet) and step.split == "test"


# --- what is done is skipped


def test_a_second_run_does_nothing(tiny: Tiny, copied: RunFolder) -> None:
    before, sets, card = marks(copied), set_bytes(copied), read_record(RunCard, copied.card)
    expected = records(copied)
    tiny.run(copied.root)
    assert marks(copied) == before
    assert set_bytes(copied) == sets
    assert records(copied) == expected
    again = read_record(RunCard, copied.card)
    assert (again.seconds, again.started, again.finished) == (card.seconds, card.started, True)


def test_a_grown_grid_computes_only_what_is_new(tiny: Tiny, copied: RunFolder) -> None:
    grown = ("overshoot = [0.2, 1.0]", "overshoot = [0.2, 1.0, 2.0]")
    before = marks(copied)
    tiny.run(copied.root, grown, wanted=("setting/deepfool-l2/other",))
    new = "deepfool-l2-overshoot=2.0"
    shards = (("train", 0), ("train", 30), ("test", 0))
    expected = {f"shard: {new} on other, {split} images from {start}" for split, start in shards}
    for split in ("train", "test"):
        expected |= {f"success: measure other/{new}, {split}, {pixels}" for pixels in PIXELS}
        expected.add(f"card: describe other/{new}, {split}")
    expected |= {f"fit-question: fit cnn6 on setting/deepfool-l2/other, {pixels}, seed 0" for pixels in PIXELS}
    expected |= {f"question: setting/deepfool-l2/other, cnn6, {pixels}" for pixels in PIXELS}
    assert made_since(before, copied, tiny.steps(grown)) == expected
    assert {key: marks(copied)[key] for key in before} == before


def test_a_new_question_needs_no_new_set(tiny: Tiny, copied: RunFolder) -> None:
    more = ('"joint"]', '"joint", "algorithm"]')
    before, sets = marks(copied), set_bytes(copied)
    tiny.run(copied.root, more, wanted=("algorithm-l2/other",))
    expected = {f"fit-question: fit cnn6 on algorithm-l2/other, {pixels}, seed 0" for pixels in PIXELS}
    expected |= {f"question: algorithm-l2/other, cnn6, {pixels}" for pixels in PIXELS}
    expected |= {f"choice: choose a setting of carlini_wagner l2, {pixels}" for pixels in PIXELS}
    assert made_since(before, copied, tiny.steps(more)) == expected
    assert set_bytes(copied) == sets
    assert {key: marks(copied)[key] for key in before} == before


def test_another_victim_remakes_what_depends_on_it(tiny: Tiny, copied: RunFolder) -> None:
    change = ('other = { architecture = "alexnet", seed = 1 }', 'other = { architecture = "alexnet", seed = 2 }')
    before, old = marks(copied), records(copied)
    tiny.run(copied.root, change, wanted=("setting/fgsm-l2",))
    attacks = " + ".join(f"{pair}-{value}" for pair in ("fgsm-l2", "fgsm-linf") for value in SETTINGS[pair])
    shards = [("train", 0), ("train", 30), ("train", 60), ("test", 0), ("test", 30)]
    expected = {"victim: train other"}
    expected |= {f"shard: {attacks} on other, {split} images from {start}" for split, start in shards}
    for name in (f"other/fgsm-l2-{value}, {split}" for value in SETTINGS["fgsm-l2"] for split in ("train", "test")):
        expected |= {f"success: measure {name}, {pixels}" for pixels in PIXELS}
        expected.add(f"card: describe {name}")
    expected |= {f"fit-question: fit cnn6 on setting/fgsm-l2/other, {pixels}, seed 0" for pixels in PIXELS}
    expected |= {f"question: setting/fgsm-l2/other, cnn6, {pixels}" for pixels in PIXELS}
    assert made_since(before, copied, tiny.steps(change)) == expected
    now = records(copied)
    assert now["victims/alexnet.json"] == old["victims/alexnet.json"]
    weights = [card["victims/other.json"].model_dump()["weights_digest"] for card in (old, now)]
    assert weights[0] != weights[1]


def test_a_changed_metric_fits_nothing_again(tiny: Tiny, copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, before = ("norm/fgsm/other",), marks(copied)
    monkeypatch.setattr(AskQuestion, "version", AskQuestion.version + 1)
    tiny.run(copied.root, wanted=wanted)
    expected = {f"question: norm/fgsm/other, cnn6, {pixels}" for pixels in PIXELS}
    assert made_since(before, copied, tiny.steps()) == expected


@pytest.mark.slow
def test_fresh_forgets_what_was_done(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny.run(tmp_path / "run", wanted=(ONE,))
    (folder.root / "notes.txt").write_text("mine")
    before, started = marks(folder), read_record(RunCard, folder.card).started
    stray = folder.root / "examples" / "old.png"
    stray.parent.mkdir(exist_ok=True)
    stray.touch()
    tiny.run(folder.root, wanted=(ONE,), fresh=True)
    after = marks(folder)
    assert after.keys() == before.keys()
    assert all(after[key] > before[key] for key in before)
    assert read_record(RunCard, folder.card).started >= started
    assert (folder.root / "notes.txt").read_text() == "mine"
    assert not stray.exists()


def test_what_was_made_under_other_versions_is_told_in_one_line_and_the_run_goes_on(
    tiny: Tiny, copied: RunFolder
) -> None:
    for name, change in (("victims", {"torch": "1.13", "instructions": "NO AVX"}), ("sets", {"zarr": "9"})):
        for path in (copied.results / name).rglob("*.json"):
            (mark,) = (mark for mark in marks_with(copied, path.read_bytes()))
            record = json.loads(mark.read_bytes())
            mark.write_text(json.dumps(record | {"environment": record["environment"] | change}))
    console = Console(record=True, width=80, file=io.StringIO())
    tiny.run(copied.root, console=console)
    assert console.export_text(clear=False) == ""  # nothing was to be done
    lost = next(step for step in tiny.steps() if isinstance(step, AskQuestion))
    copied.mark(lost.key).unlink()
    tiny.run(copied.root, console=console)
    here = execution_environment()
    assert console.export_text() == (
        "redhanded: a part of this run was made with torch 1.13, instructions NO AVX, zarr 9; it goes on with "
        f"{', '.join(f'{name} {value}' for name, value in here.items())}; --fresh starts anew\n"
    )
    assert json.loads(copied.mark(lost.key).read_bytes())["environment"] == here


def marks_with(folder: RunFolder, content: bytes) -> list[Path]:
    return [path for path in (folder.root / "steps").glob("*.json") if path.read_bytes() == content]


@pytest.mark.slow
def test_the_executor_that_is_given_does_the_steps(tiny: Tiny, tmp_path: Path) -> None:
    told: list[list[str]] = []

    class Telling(InOrder):
        def run(self, steps: Any, store: RunFolder, on_done: Any) -> None:
            told.append([step.key for step in steps])
            super().run(steps, store, on_done)

    folder = tiny.run(tmp_path / "run", wanted=(ONE,), executor=Telling())
    assert told == [[step.key for step in tiny.steps(wanted=(ONE,))]]
    assert marks(folder).keys() == set(told[0])
    tiny.run(tmp_path / "run", wanted=(ONE,), executor=Telling())
    assert told[1:] == [[]]


def test_results_hold_the_records_of_the_current_study_alone(tiny: Tiny, copied: RunFolder) -> None:
    smaller = ("learning_rate = [0.1, 0.5]", "learning_rate = 0.1"), ("overshoot = [0.2, 1.0]", "overshoot = 1.0")
    before, full = marks(copied), records(copied)
    tiny.run(copied.root, *smaller, ('"joint"]', '"victim"]'), wanted=("norm/fgsm",))
    kept = set(records(copied))
    assert kept == {
        *(f"victims/{victim}.json" for victim in VICTIMS),
        *(
            f"sets/{victim}/{pair}-{setting}-{split}.json"
            for victim in VICTIMS
            for split in ("train", "test")
            for pair, setting in [
                ("carlini_wagner-l2", SETTINGS["carlini_wagner-l2"][0]),
                ("deepfool-l2", "overshoot=1.0"),
                ("deepfool-linf", "overshoot=1.0"),
                *((pair, setting) for pair in ("fgsm-l2", "fgsm-linf") for setting in SETTINGS[pair]),
            ]
        ),
        *(
            f"{kind}/{name}/cnn6-{pixels}-0.json"
            for kind in ("fits", "questions")
            for name in question_ids("setting", "norm")
            if name.startswith(("setting/fgsm", "norm/fgsm"))
            for pixels in PIXELS
        ),
    }
    assert marks(copied) == before  # all of it was done before
    tiny.run(copied.root)
    assert marks(copied) == before
    assert records(copied) == full


# --- the same numbers again


def test_a_lost_mark_is_made_again_with_the_same_numbers(tiny: Tiny, copied: RunFolder) -> None:
    expected, sets = records(copied), set_bytes(copied)
    kinds: list[Callable[[Step], bool]] = [
        lambda step: isinstance(step, TrainVictim),
        lambda step: isinstance(step, MakeShard) and step.start == 30 and step.sets.attacks[0].family == "fgsm",
        lambda step: isinstance(step, MakeShard) and step.sets.attacks[0].family == "carlini_wagner",
        lambda step: isinstance(step, DescribeSet),
        lambda step: isinstance(step, ChooseSetting),
        lambda step: isinstance(step, FitOnQuestion) and step.images.question.id == "setting/fgsm-l2/alexnet",
        lambda step: isinstance(step, AskQuestion) and step.id == "norm/fgsm/other",
    ]
    lost = [next(step for step in tiny.steps() if wanted(step)) for wanted in kinds]
    before = marks(copied)
    for step in lost:
        copied.mark(step.key).unlink()
        if isinstance(step, TrainVictim):
            shutil.rmtree(step.folder(copied))
        if isinstance(step, MakeShard):
            shutil.rmtree(step.sets.path(copied, step.sets.attacks[-1]))  # other shards of it are lost as well
            measured = (one for one in tiny.steps() if isinstance(one, MeasureSuccess) and one.sets == step.sets)
            for part in (*step.sets.shards(), *measured):
                copied.mark(part.key).unlink(missing_ok=True)
    gone = before.keys() - marks(copied).keys()
    tiny.run(copied.root)
    assert {key for key, when in marks(copied).items() if before[key] != when} == gone
    assert marks(copied).keys() == before.keys()
    assert records(copied) == expected
    assert set_bytes(copied) == sets


@pytest.mark.parametrize("family", ["carlini_wagner", "deepfool", "fgsm"])
def test_a_shard_alone_has_the_same_bits(tiny: Tiny, finished: RunFolder, tmp_path: Path, family: str) -> None:
    shards = [step for step in tiny.steps() if isinstance(step, MakeShard) and step.sets.attacks[0].family == family]
    step = next(step for step in shards if step.start == 30)
    alone = RunFolder(tmp_path)
    shutil.copytree(step.sets.victim.folder(finished), step.sets.victim.folder(alone))
    step.run(alone)
    rows = np.arange(30, 60)
    for attack in step.sets.attacks:
        for name in COLUMNS:
            whole = read_column(step.sets.path(finished, attack), name, rows)
            assert read_column(step.sets.path(alone, attack), name, rows).tobytes() == whole.tobytes(), (attack, name)


def test_the_same_images_are_attacked_for_every_victim_and_attack(tiny: Tiny, finished: RunFolder) -> None:
    for split, count in (("train", 60), ("test", 30)):
        described = [step for step in tiny.steps() if isinstance(step, DescribeSet) and step.split == split]
        rows = {tuple(step.column(finished, "index")[:count].tolist()) for step in described}
        assert len(rows) == 1


def test_the_study_seed_decides_which_images_are_attacked(tiny: Tiny) -> None:
    source = open_source("bars", tiny.sources["bars"])
    drawn = [attacked_index(source, split, 30, seed).tolist() for split in ("train", "test") for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[3] == drawn[4] != drawn[5]
    assert all(len(set(rows)) == 30 for rows in drawn)
    assert attacked_index(source, "train", 60, 0)[:30].tolist() == drawn[0]


# --- one at a time, killed

ONE = "setting/fgsm-l2/other"  # the smallest question


@pytest.mark.slow
def test_a_folder_has_one_writer(tiny: Tiny, tmp_path: Path) -> None:
    """And `only`, on a fresh folder: what is not needed is not made."""
    out = tmp_path / "run"
    toml = write_study(tmp_path / "tiny.toml")
    command = [Path(sys.executable).with_name("redhanded"), "run", toml, "--out", out, "--only", ONE]
    command += ["--source", f"bars={tiny.sources['bars']}", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        wait_for(lambda: len(marks(RunFolder(out))) > 0 or other.poll() is not None)
        with pytest.raises(RunError, match="another run writing to it") as caught:
            tiny.run(out, wanted=(ONE,))
        _, errors = other.communicate(timeout=PATIENCE)
    assert "\n" not in str(caught.value)
    assert (other.returncode, errors) == (0, b"")
    folder = RunFolder(out)
    before = marks(folder)
    tiny.run(out, wanted=(ONE,))  # free again, and nothing left to do
    assert marks(folder) == before
    assert {name for name in records(folder) if name.startswith("questions")} == {
        f"questions/{ONE}/cnn6-{pixels}-0.json" for pixels in PIXELS
    }
    assert all(name.startswith("sets/other/fgsm-l2") for name in records(folder) if name.startswith("sets"))
    assert not folder.victim_record("alexnet").exists()
    assert read_record(RunCard, folder.card).finished


def test_a_killed_worker_ends_the_run_in_one_line_and_it_goes_on(
    tiny: Tiny, finished: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    killed: list[int] = []

    def kill_one() -> None:
        wait_for(lambda: len(marks(folder)) > 0)
        child = multiprocessing.active_children()[0]
        assert child.pid is not None
        killed.append(child.pid)
        os.kill(child.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(RunError, match="found its process killed") as caught:
        tiny.run(folder.root, wanted=(ONE,), executor=LocalExecutor(2))
    killer.join()
    assert killed
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()
    assert not read_record(RunCard, folder.card).finished
    before = marks(folder)
    tiny.run(folder.root, wanted=(ONE,))
    assert {key: marks(folder)[key] for key in before} == before
    assert read_record(RunCard, folder.card).finished
    whole = records(finished)
    assert records(folder) == {name: whole[name] for name in records(folder)}
    assert f"questions/{ONE}/cnn6-{PIXELS[0]}-0.json" in records(folder)


def test_a_pool_found_broken_when_a_step_is_handed_over_is_told_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Broken:
        """A pool one of whose processes has been there."""

        def __init__(self, workers: int, context: Any, initializer: Any, initargs: Any) -> None:
            initargs[0].set()

        def __enter__(self) -> "Broken":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def submit(self, *work: object) -> NoReturn:
            raise BrokenProcessPool

    monkeypatch.setattr(local, "ProcessPoolExecutor", Broken)
    with pytest.raises(RunError, match="expected b to finish, found its process killed"):
        LocalExecutor(1).run([Write("b")], RunFolder(tmp_path), lambda step: None)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_the_true_reason(tiny: Tiny, tmp_path: Path) -> None:
    write_study(tmp_path / "tiny.toml")
    script = tmp_path / "script.py"
    call = f"""
study = redhanded.load_study({str(tmp_path / "tiny.toml")!r})
redhanded.run_study(study, {str(tmp_path / "run")!r}, sources={{"bars": Path({str(tiny.sources["bars"])!r})}})
"""
    script.write_text(f"from pathlib import Path\nimport redhanded\n{call}")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1
    *_, last = ended.stderr.splitlines()
    assert last == (
        "redhanded.errors.RunError: expected worker processes to start, found that they ended before any step; a "
        'script that runs a study must do so below `if __name__ == "__main__":`, since each worker imports the script'
    )
    assert ended.stderr.count("Traceback") == 1  # the processes say nothing
    assert not marks(RunFolder(tmp_path / "run"))


# --- the executor, on steps of its own


def test_needs_come_first_and_each_step_once() -> None:
    a = Write("a")
    b, c = Write("b", (a,)), Write("c", (a,))
    d = Write("d", (c, b))
    assert [step.title for step in in_order([d, b, d, a])] == ["a", "c", "b", "d"]
    assert in_order([]) == []


def test_the_plan_is_in_order(tiny: Tiny) -> None:
    steps = tiny.steps()
    place = {step.key: number for number, step in enumerate(steps)}
    assert len(place) == len(steps)
    assert all(place[need.key] < place[step.key] for step in steps for need in step.needs)
    counted = Counter(step.kind for step in steps)
    assert counted == {
        "victim": 2,
        "shard": 2 * (6 * 3 + 5),  # of six one-setting calls and one of four
        "success": 2 * 2 * 2 * 10,
        "card": 2 * 2 * 10,
        "choice": 2 * 4,  # `norm` chooses for each norm of two families
        "fit-question": 2 * 17,
        "question": 2 * 17,
    }


@pytest.mark.slow
def test_execute_runs_each_step_once_after_its_needs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    done_before = Write("before")
    write_record(Outcome(seconds=0.0), folder.mark(done_before.key))
    first = Write("first", (done_before,))
    middle = [Write(f"middle{number}", (first,)) for number in range(4)]
    last = Write("last", tuple(middle))
    told: list[str] = []
    LocalExecutor(2).run([first, *middle, last], folder, lambda step: told.append(step.title))
    assert told[0] == "first"
    assert told[-1] == "last"
    assert sorted(told) == sorted(["first", "last", *(step.title for step in middle)])
    assert read_record(Outcome, folder.mark(done_before.key)).seconds == 0.0


def test_a_step_that_fails_is_named_and_leaves_no_mark(tmp_path: Path) -> None:
    folder, first = RunFolder(tmp_path), Write("first")
    bad = Write("the bad one", (first,), fails=True)
    with pytest.raises(ZeroDivisionError) as caught:
        LocalExecutor(1).run([first, bad, Write("never", (bad,))], folder, lambda step: None)
    assert caught.value.__notes__ == ["while doing this step: the bad one"]
    assert {path.name for path in (tmp_path / "steps").iterdir()} == {f"{first.key}.json"}
    assert not multiprocessing.active_children()


# --- which questions `only` names


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), question_ids("setting", "norm", "joint")),
        (("norm",), question_ids("norm")),
        (("norm/fgsm",), ["norm/fgsm/alexnet", "norm/fgsm/other"]),
        (("norm/fgsm/other",), ["norm/fgsm/other"]),
        (("setting",), question_ids("setting")),  # the item: the learning rate is a row of the same table
        (("joint", "norm/deepfool"), ["joint", "norm/deepfool/alexnet", "norm/deepfool/other"]),
    ],
)
def test_only_names_items_and_questions(tiny: Tiny, wanted: tuple[str, ...], expected: list[str]) -> None:
    chosen = only(plan(tiny.study(), tiny.sources), wanted)
    assert sorted(step.title for step in chosen) == sorted(
        f"{q}, cnn6, {pixels}" for q in expected for pixels in PIXELS
    )


@pytest.mark.parametrize("wanted", ["nor", "norm/fg", "norm/fgsm/", "table2", ""])
def test_only_refuses_what_names_nothing(tiny: Tiny, wanted: str) -> None:
    with pytest.raises(StudyError, match="joint, norm, setting or a question") as caught:
        only(plan(tiny.study(), tiny.sources), ("joint", wanted))
    assert repr(wanted) in str(caught.value)


OTHERS = (  # changes of the study
    (
        "[scales.tiny.attributors]",
        "[scales.tiny.attributors]\n"
        "magnitude = { training = { epochs = 6, batch_size = 32 } }\n"
        "joined = {}\n"
        "candidates = { training = { epochs = 20, batch_size = 32, learning_rate = 1e-2 } }\n"
        "forensic = { width = 0.2, training = { epochs = 6, batch_size = 32, learning_rate = 1e-2 } }",
    ),
    ("shard_images = 30", 'shard_images = 30\nunknown = ["candidates", "joined"]'),
    (
        "[scales.tiny]",
        '[[controls]]\nfamily = "clean"\n[[controls]]\nfamily = "gaussian_noise"\neps = 3.0\n\n[scales.tiny]',
    ),
    ('"joint"]', '"joint", "attack-and-setting", "dimension"]'),
    ('name = "tiny"', 'name = "tiny"\npixels = ["float32"]'),
)
ASKED_OF_OTHERS = ("joint", "norm/fgsm/alexnet", "attack-and-setting/other", "dimension", "unknown/fgsm")


def test_only_names_attributors(tiny: Tiny) -> None:
    steps = plan(tiny.study(*OTHERS), tiny.sources)
    assert {step.attributor for step in only(steps, ())} == {"cnn6", "magnitude", "joined", "candidates", "forensic"}
    chosen = only(steps, ("norm/fgsm",), ("magnitude",))
    assert {(step.id, step.attributor) for step in chosen} == {
        ("norm/fgsm/alexnet", "magnitude"),
        ("norm/fgsm/other", "magnitude"),
    }
    with pytest.raises(
        StudyError, match="--attributors to name some of magnitude, joined, candidates, forensic, cnn6, found 'cnn7'"
    ):
        only(steps, (), ("cnn6", "cnn7"))


@pytest.mark.parametrize(("name", "question"), [("magnitude", "norm/fgsm/alexnet"), ("candidates", "joint")])
def test_an_attributor_is_shown_what_its_knowledge_allows(
    tiny: Tiny, others: RunFolder, name: str, question: str
) -> None:
    """By the sizes of no attack, or by victims that made none of the images, neither would be near."""
    (step,) = asked_of(tiny, name, question)
    result = read_record(Result, others.mark(step.key))
    assert (result.knowledge, result.status) == (ATTRIBUTORS[name].attributor.knowledge, "measured")
    assert result.accuracy is not None
    assert result.accuracy > 3 * result.chance or result.accuracy == 1.0


@dataclass(frozen=True)
class MadeUpSet:
    """A described set of noise that fools its victim throughout, and notes from which split its images were read."""

    ref: SetRef
    split: Split
    read: dict[Split, set[str]]

    @property
    def key(self) -> str:
        return digest(self.ref.name, self.split)

    @property
    def sets(self) -> SimpleNamespace:
        return SimpleNamespace(split=self.split)

    def column(self, folder: RunFolder, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        count = {"train": 60, "test": 30}[self.split]
        assert name in ("index", "l2", "images", "eligible")
        made = {"index": np.arange(count), "l2": np.ones(count)}.get(name, np.ones(count, bool))
        if name == "images":
            made = np.random.default_rng(0).random((count, 1, 16, 16), np.float32)
            self.read.setdefault(self.split, set()).update([self.ref.victim] if rows is not None and len(rows) else [])
        return made if rows is None else made[rows]


@pytest.mark.slow
def test_a_checkpoint_that_is_held_out_is_asked_about_and_never_learned_from(tmp_path: Path) -> None:
    architectures = {"alexnet": "alexnet", "vgg16": "vgg16", "other": "alexnet", "more": "vgg16"}
    attack, read, folder = FGSM(norm="l2", eps=1.0), dict[Split, set[str]](), RunFolder(tmp_path)
    grid = Grid(tuple(architectures), (attack,), "bars", architectures=architectures)
    seen, _, without_second = build_questions(("architecture",), grid, None)
    sets: Any = [
        MadeUpSet(SetRef(victim, attack), split, read) for victim in architectures for split in ("train", "test")
    ]
    choice = ChooseSetting(tuple(sets), "float32")
    chosen = Choice(
        family="fgsm", norm="l2", setting=attack.setting, label=attack.label, success=1.0, median_l2=1.0, seconds=0.0
    )
    write_record(chosen, folder.mark(choice.key))
    settings = {"width": 0.05, "training": {"epochs": 1, "attempts": 1}}
    most: dict[Split, int] = {"train": 60, "test": 30}

    def ask(question: Question) -> AskQuestion:
        images = AskedImages(question, tuple(sets), (choice,), "float32", 0, most)
        return AskQuestion("tiny", "bars", images, "cnn6", FitOnQuestion(images, "cnn6", settings), ())

    def run(step: AskQuestion) -> Result:
        step.fitted.run(folder)
        assert {split for split, victims in read.items() if victims} == {"train"}
        return step.run(folder)

    result = run(ask(without_second))
    assert read == {"train": {"alexnet", "vgg16"}, "test": {"other", "more"}}
    assert (result.classes, result.n_train, result.n_test) == (["alexnet", "vgg16"], 60, 30)
    read.clear()
    run(ask(seen))
    assert read == {"train": set(architectures), "test": set(architectures)}
    told_all = ask(dataclasses.replace(without_second, held_out=()))
    assert ask(without_second).key != told_all.key
    assert ask(without_second).fitted.key != told_all.fitted.key


def test_attributors_fitted_on_all_sets_answer_every_question(tiny: Tiny, others: RunFolder) -> None:
    """Each is fitted once, and joining them fits nothing; controls take part."""
    names = ("forensic", "candidates", "joined")
    asked = only(plan(tiny.study(*OTHERS), tiny.sources), ASKED_OF_OTHERS, names)
    steps = [step for step in asked if isinstance(step, AskQuestion)]
    fits = {step.fitted.key for step in steps}
    results = {(step.id, step.attributor): read_record(Result, others.mark(step.key)) for step in steps}
    assert len(results) == 7 * len(names)
    assert {result.key for result in results.values()} == fits
    assert len(fits) == len(names)
    assert {path.name for path in (others.results / "fits/on-all-sets").iterdir()} == {
        f"{name}-float32-0.json" for name in names
    }
    for (question, name), result in results.items():
        assert result.accuracy is not None
        assert result.accuracy > 1.5 * result.chance or result.chance == 0.5, (question, name)
        assert result.calibration is not None
        assert len(result.projection) == ("attack" in question) * min(result.n_test, 40) * len(result.classes)
    families = results["dimension/family", "joined"]
    assert families.classes == ["carlini_wagner", "deepfool", "fgsm", "control"]
    assert families.sets["control"] == ["none/clean-none", "none/gaussian_noise-l2-eps=3.0"]
    assert len(results["dimension/set", "joined"].classes) == 20


def test_what_was_answered_by_looking_up_is_what_the_attributor_says(tiny: Tiny, others: RunFolder) -> None:
    (step,) = asked_of(tiny, "joined", "joint")
    assert isinstance(step, AskQuestion)
    place = others.attributor(step.fitted.key)
    sets = step.images.sets
    fgsm = next(one for one in sets if one.sets.split == "test" and one.attack.family == "fgsm")
    able = fgsm.column(others, "eligible")
    assert np.array_equal(able, fgsm.column(others, "success_float32"))
    rows = np.flatnonzero(able)
    stored = read_answers(place)[fgsm.ref.name].log_proba.numpy()
    assert np.isnan(stored).all(1).tolist() == (~able).tolist()
    images = torch.from_numpy(fgsm.column(others, "images", rows))
    shown = Samples(images, torch.zeros(len(rows), dtype=torch.int64), ("one",))
    victims = show(shown, "candidates", sets, others, "test")
    said = Attributor.load(place).predict_log_proba(victims)
    np.testing.assert_allclose(stored[rows], said.numpy(), rtol=0, atol=1e-4)


def test_a_set_whose_test_images_fool_nobody_has_no_answers_and_stops_nothing(
    tiny: Tiny, others: RunFolder, tmp_path: Path
) -> None:
    """It may be one of a class's sets: the others answer for the class."""
    (step,) = asked_of(tiny, "candidates", "joint")
    assert isinstance(step, AskQuestion)
    copy = RunFolder(tmp_path / "nobody")
    shutil.copytree(others.root, copy.root)
    fgsm = next(one for one in step.images.sets if one.sets.split == "test" and one.attack.label == "fgsm-l2-eps=4.0")
    zarr.open_group(fgsm.sets.path(copy, fgsm.attack), mode="a")["success_float32"][:] = False
    step.fitted.run(copy)
    stored = read_answers(copy.attributor(step.fitted.key))[fgsm.ref.name].log_proba.numpy()
    assert np.isnan(stored).all()
    assert step.run(copy).status == "measured"


@pytest.mark.parametrize(("name", "fits"), [("candidates", 1), ("joined", 2)])
def test_a_family_that_was_kept_from_an_attributor_is_measured_as_unknown(
    tiny: Tiny, others: RunFolder, name: str, fits: int
) -> None:
    (step,) = asked_of(tiny, name, "unknown/fgsm")
    assert step.title == f"unknown/fgsm, {name}, float32"
    assert [one.without for one in in_order([step]) if isinstance(one, FitOnAll)] == ["fgsm"] * fits
    (fitted,) = step.needs
    attributor = Attributor.load(others.attributor(fitted.key))
    families = {one.split("/")[1].split("-")[0] for one in attributor.classes_}
    assert families == {"carlini_wagner", "deepfool", "clean", "gaussian_noise"}
    found = read_record(Unknown, others.mark(step.key))
    assert (found.family, found.knowledge, found.pixels) == ("fgsm", "candidates", "float32")
    assert (found.n_known % 12, found.n_unknown % 8) == (0, 0)  # equally many of each set
    assert min(found.n_known, found.n_unknown) >= 25
    assert found.closed_accuracy > 0.6
    assert found.detectors.keys() == DETECTORS.keys()


def test_an_unknown_image_that_is_taken_for_a_control_is_not_named_wrongly(
    tiny: Tiny, others: RunFolder, tmp_path: Path
) -> None:
    (step,) = asked_of(tiny, "candidates", "unknown/fgsm")
    (fitted,) = step.needs
    run = RunFolder(tmp_path)
    shutil.copytree(others.attributor(fitted.key), run.attributor(fitted.key))
    classes, answers = Attributor.load(run.attributor(fitted.key)).classes_, read_answers(run.attributor(fitted.key))
    sure_and_wrong = {}
    for named in ("none/clean-none", "other/deepfool-l2-overshoot=1.0"):
        certain = torch.full((len(classes),), -20.0).index_fill(0, torch.tensor(classes.index(named)), 0.0)
        fgsm = {
            name: answer._replace(log_proba=certain + 0 * answer.log_proba)  # what is NaN stays so
            for name, answer in answers.items()
            if "/fgsm" in name
        }
        write_answers(run.attributor(fitted.key), answers | fgsm)
        sure_and_wrong[named] = step.run(run).detectors["max_softmax"].sure_and_wrong
    assert list(sure_and_wrong.values()) == [0.0, 1.0]


def test_only_names_the_papers_tables(tiny: Tiny) -> None:
    as_paper = ('source = "bars"', 'source = "bars"\npaper = "mnist"')
    steps = plan(tiny.study(as_paper), tiny.sources)
    assert {step.id for step in only(steps, ("table8",))} == set(question_ids("norm"))


# --- what the keys depend on

ALL = frozenset({"victim", "shard", "success", "card", "choice", "fit-question", "question"})
NOT_TRAINING = ALL - {"victim"}
FITTED = frozenset({"fit-question", "question"})


def changed(tiny: Tiny, *changes: tuple[str, str]) -> tuple[set[str], set[str]]:
    """Labels of the changed study's steps with another key than before, and those whose key is the same."""
    old, new = labels(tiny.steps()), labels(tiny.steps(*changes))
    same = {label for label, key in new.items() if key in old.values()}
    return new.keys() - same, same


def kind_of(label: str) -> str:
    return label.partition(":")[0]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (("Bright bars on a dark ground", "Another title"), frozenset()),
        (("scales.tiny", "scales.small"), frozenset()),
        (('"setting", "norm", "joint"', '"joint", "norm", "setting"'), frozenset()),
        (('name = "tiny"', 'name = "other"'), {"question"}),  # a result says of which study it is
        (('source = "bars"', 'source = "bars"\nseed = 1'), NOT_TRAINING),
        (('source = "bars"', 'source = "bars"\nattributor_seeds = [1]'), FITTED),
        (("shard_images = 30", "shard_images = 15"), NOT_TRAINING),
        (("epochs = 6,", "epochs = 7,"), FITTED),
        (("cnn6 = { width = 0.125", "cnn6 = { width = 0.25"), FITTED),
        (("width = 0.05", "width = 0.06"), ALL),
        (("epochs = 12", "epochs = 13"), ALL),
    ],
)
def test_a_change_of_everything_remakes_these_kinds(tiny: Tiny, change: tuple[str, str], kinds: set[str]) -> None:
    new, same = changed(tiny, change)
    assert {kind_of(label) for label in new} == kinds
    assert {kind_of(label) for label in same} == ALL - kinds


def touches(*words: str) -> Callable[[str], bool]:
    return lambda label: any(word in label for word in words)


def in_training_or_asked(label: str) -> bool:
    of_split = ", train" in label or kind_of(label) == "choice"
    return (of_split and "fgsm" not in label) or kind_of(label) in FITTED


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        # `norm` looks at every victim of its attack, to choose a setting; `setting` at its own victim's.
        (("[4.0, 6.0]", "[4.0, 6.5]"), touches("eps=6.5", "setting/fgsm-l2", "norm/fgsm", "joint", "fgsm l2")),
        (("train = 90", "train = 80"), touches("fgsm", "joint")),
        (("[0.2, 1.0]", "[0.2, 1.2]"), touches("=1.2", "setting/deepfool", "norm/deepfool", "joint", "deepfool l")),
        (("steps = 10,", "steps = 11,"), touches("carlini_wagner", "joint")),
        (("deepfool = { steps = 20 }", "deepfool = { steps = 21 }"), touches("deepfool", "joint")),
        (("seed = 1", "seed = 2"), touches("other", "norm/", "joint", "choose")),
        (("train_images = 60", "train_images = 70"), in_training_or_asked),
    ],
)
def test_a_change_of_one_part_remakes_what_reads_it(
    tiny: Tiny, change: tuple[str, str], remade: Callable[[str], bool]
) -> None:
    new, same = changed(tiny, change)
    if change[0] == "train = 90":  # the test split of FGSM stays as it is
        same = {label for label in same if ", test" not in label}
    assert new
    assert [label for label in new if not remade(label)] == []
    assert [label for label in same if remade(label)] == []


def test_other_images_remake_everything(tiny: Tiny, tmp_path: Path) -> None:
    with np.load(tiny.sources["bars"]) as arrays:
        moved = dict(arrays)
    elsewhere, another = tmp_path / "same.npz", tmp_path / "another.npz"
    np.savez_compressed(elsewhere, **moved)
    moved["x_test"][0, 0, 0] ^= 1
    np.savez(another, **moved)
    keys = {path: set(labels(in_order(plan(tiny.study(), {"bars": path}))).values()) for path in (elsewhere, another)}
    here = set(labels(tiny.steps()).values())
    assert keys[elsewhere] == here  # the place of the file does not count
    assert not keys[another] & here


def test_a_key_is_made_of_kind_version_specification_and_inputs(tiny: Tiny) -> None:
    kinds: dict[str, type[Step]] = {}
    for step in tiny.steps(*OTHERS):
        assert step.key == digest(step.kind, step.version, step.specification, step.inputs)
        assert kinds.setdefault(step.kind, type(step)) is type(step)
        assert step.inputs or isinstance(step, TrainVictim)
    assert len(kinds) == 10


def of_kinds(*kinds: str) -> Callable[[str], bool]:
    return lambda label: kind_of(label) in kinds


def but_kinds(*kinds: str) -> Callable[[str], bool]:
    return lambda label: kind_of(label) not in kinds


ON_ONE_QUESTION, ON_ALL = ("cnn6", "magnitude"), ("forensic", "candidates", "joined")  # fitted
RAISED = {
    "TrainVictim": (TrainVictim, but_kinds()),
    "MakeShard": (MakeShard, but_kinds("victim")),
    "MeasureSuccess": (MeasureSuccess, but_kinds("victim", "shard")),
    "DescribeSet": (DescribeSet, of_kinds("card")),
    "ChooseSetting": (ChooseSetting, touches("choice:", "norm/")),  # of these questions `norm` alone chooses
    "FitOnQuestion": (FitOnQuestion, touches(*ON_ONE_QUESTION)),
    "FitOnAll": (FitOnAll, touches(*ON_ALL)),
    "JoinAttributors": (JoinAttributors, touches("joined", "join:")),
    "AskQuestion": (AskQuestion, of_kinds("question")),
    "MeasureUnknown": (MeasureUnknown, of_kinds("unknown")),
    # Of studies with axes, of which this is none: see test_axes.py.
    "DescribeImages": (DescribeImages, of_kinds("describe")),
    "FitOnDescribed": (FitOnDescribed, of_kinds("fit-described")),
    "AskAxis": (AskAxis, of_kinds("axis")),
}


@pytest.mark.parametrize("name", RAISED)
def test_a_raised_version_of_a_step_remakes_its_kind_and_what_reads_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    step, remade = RAISED[name]
    before = labels(tiny.steps(*OTHERS))
    monkeypatch.setattr(step, "version", step.version + 1)
    after = labels(tiny.steps(*OTHERS))
    assert {label for label in after if before[label] != after[label]} == set(filter(remade, after))


def test_every_kind_of_step_is_among_those_that_were_raised() -> None:
    ours = {step for step in Step.__subclasses__() if step.__module__.startswith("redhanded.")}
    assert {step for step, _ in RAISED.values()} == ours


RAISED_ROWS: dict[str, tuple[dict[str, Any], str, Callable[[str], bool]]] = {
    "architecture": (ARCHITECTURES, "alexnet", but_kinds()),
    "toolchain": (TOOLCHAINS, "redhanded", but_kinds("victim")),
    "attack": (ATTACKS, "fgsm", touches("fgsm", "joint", "attack-and-setting", *ON_ALL)),
    "attributor": (ATTRIBUTORS, "cnn6", touches("cnn6")),
    "attributor that is joined": (ATTRIBUTORS, "forensic", touches("forensic", "joined")),
    "joined": (ATTRIBUTORS, "joined", touches("joined", "join:")),
    "pixels that are asked about": (
        PROTOCOLS,
        "float32",
        lambda label: but_kinds("victim", "shard")(label) and "uint8" not in label,
    ),
    "pixels that are only counted": (PROTOCOLS, "uint8", touches("card:", "uint8")),
}


@pytest.mark.parametrize("name", RAISED_ROWS)
def test_a_raised_version_of_a_row_remakes_what_uses_the_row(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    table, row, remade = RAISED_ROWS[name]
    before = labels(tiny.steps(*OTHERS))
    monkeypatch.setitem(table, row, table[row]._replace(version=table[row].version + 1))
    after = labels(tiny.steps(*OTHERS))
    assert {label for label in after if before[label] != after[label]} == set(filter(remade, after))


def with_new_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more architecture, attack, question, attributor and pixel protocol, each like one that there is."""
    rows = ((ARCHITECTURES, "alexnet"), (ATTACKS, "fgsm"), (QUESTIONS, "victim"), (ATTRIBUTORS, "magnitude"))
    table: dict[str, Any]
    for table, like in (*rows, (PROTOCOLS, "uint8")):
        monkeypatch.setitem(table, "new", table[like])


def test_a_new_row_leaves_every_step_done(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = labels(tiny.steps(*OTHERS))
    with_new_rows(monkeypatch)
    assert labels(tiny.steps(*OTHERS)) == before


OTHER_VICTIM = 'other = { architecture = "alexnet", seed = 1 }'
OTHER_SIZE = "\nother = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }"
GROWN: dict[str, tuple[list[tuple[str, str]], set[str], Callable[[str], bool]]] = {
    # what is changed in the study, kinds of the steps that are new, and which of the earlier ones have another key
    "question": (
        [('"joint"]', '"joint", "new"]')],
        {"choice", "fit-question", "question"},
        lambda label: False,
    ),
    "attributor": (
        [("[scales.tiny.attributors]", "[scales.tiny.attributors]\nnew = {}")],
        {"fit-question", "question"},
        lambda label: False,
    ),
    "pixels": (  # a card counts under every protocol
        [('name = "tiny"', 'name = "tiny"\npixels = ["float32", "uint8", "new"]')],
        {"success", "card", "choice", "fit-question", "question"},
        of_kinds("card"),
    ),
    "victim": (  # a choice looks at all victims, and `joint` tells them apart
        [
            (OTHER_VICTIM, OTHER_VICTIM + '\nmore = { architecture = "new" }'),
            (OTHER_SIZE, OTHER_SIZE + OTHER_SIZE.replace("other", "more")),
        ],
        set(ALL),
        touches("choice:", "norm/", "joint"),
    ),
}


@pytest.mark.parametrize("what", GROWN)
def test_a_study_that_grows_by_a_new_row_leaves_what_does_not_read_it(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    before = labels(tiny.steps())
    with_new_rows(monkeypatch)
    changes, kinds, reads_it = GROWN[what]
    after = labels(tiny.steps(*changes))
    assert before.keys() <= after.keys()
    assert {label for label in before if before[label] != after[label]} == set(filter(reads_it, before))
    new = {label for label, key in after.items() if key not in before.values()}
    assert {kind_of(label) for label in new} == kinds
