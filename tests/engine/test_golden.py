"""What each kind of step writes is what is kept of it, unless its version says otherwise; see `support/golden.py`."""

import itertools
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from redhanded.attributors import marginal
from redhanded.attributors.marginal import Marginal
from redhanded.engine import RunFolder
from redhanded.engine.step import Step, in_order
from redhanded.engine.steps import attributors as fitting
from redhanded.engine.steps import questions as asking
from redhanded.engine.steps import sets as making
from redhanded.engine.steps.questions import AskQuestion
from redhanded.models import architectures, victims
from support.golden import COMMAND, FOLDER, Golden, folder_of, golden_steps, label_of, outcome, put

TOLERANCE = 1e-3  # of a float, relative or absolute: other processors round otherwise; whole numbers are exact
RANKED = 1e-2  # of a measure of ranks, which moves by one pair where two scores are nearly the same
RANKS = {"auroc", "fpr95", "oscr", "another"}
# Scores by the inverse of a covariance, which of so few held-out images is nearly singular: it is another on each
# kind of processor. The tests of the scores themselves have images enough.
SINGULAR = {"mahalanobis", "relative_mahalanobis", "either"}
WRITERS = {"MakeShard", "MeasureSuccess"}  # they write into sets that the others read, so each has its own store
KINDS = sorted(step.__name__ for step in Step.__subclasses__() if step.__module__.startswith("redhanded."))


@pytest.fixture(scope="module")
def kept() -> Golden:
    return Golden.load()


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return golden_steps(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stores: what steps need is put there once for all tests."""
    return tmp_path_factory.mktemp("stores")


def check(kind: str, kept: Golden, steps: Sequence[Step], stores: Path) -> None:
    """Do the steps of one kind on what is kept of the others; fail in one line unless they write what is kept."""
    own = [step for step in steps if type(step).__name__ == kind]
    store = RunFolder(stores / (kind if kind in WRITERS else "readers"))
    if not own:
        pytest.fail(f"no outcome of `{kind}` is kept: add a step of it to tests/support/golden.py, then {COMMAND}")
    if any(kept.keys.get(label_of(step)) != step.key for step in own):
        pytest.fail(f"the version of `{kind}`, or of what it reads, was raised: keep the outcomes anew: {COMMAND}")
    for step in in_order(own):
        if step not in own and not store.mark(step.key).exists():
            put(step, kept, store)
    for step in own:
        forget(step, store)
        found = first_difference(step, kept, store)
        forget(step, store)  # the next test reads what is kept of it
        if found:
            pytest.fail(f"the outcome of `{kind}` changed: raise its version ({step.title}: {found})")


def forget(step: Step, store: RunFolder) -> None:
    store.mark(step.key).unlink(missing_ok=True)
    trained = folder_of(step, store)
    if trained is not None:
        shutil.rmtree(trained, ignore_errors=True)


def first_difference(step: Step, kept: Golden, store: RunFolder) -> str:
    """Between what is kept of a step and what it does in a store that holds what it needs; empty without one."""
    try:
        records, arrays = outcome(step, kept, store)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    label = label_of(step)
    found = itertools.chain(differing(kept.records[label], records), differing_arrays(kept.arrays[label], arrays))
    return next(found, "")


def differing(kept: Any, made: Any, where: str = "record") -> Iterator[str]:
    """Where two JSON documents differ."""
    if isinstance(kept, dict) and isinstance(made, dict) and kept.keys() == made.keys():
        for name in kept.keys() - SINGULAR:
            yield from differing(kept[name], made[name], f"{where}.{name}")
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for place, pair in enumerate(zip(kept, made, strict=True)):
            yield from differing(*pair, f"{where}[{place}]")
    elif isinstance(kept, float) and isinstance(made, float):
        close = RANKED if where.rpartition(".")[2] in RANKS else TOLERANCE
        if not math.isclose(kept, made, rel_tol=close, abs_tol=close):
            yield f"{where} is {made}, was {kept}"
    elif kept != made:
        yield f"{where} is {made}, was {kept}"


def differing_arrays(kept: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> Iterator[str]:
    """Where arrays differ, by their names."""
    if kept.keys() != made.keys():
        yield f"arrays that are new or gone: {', '.join(sorted(kept.keys() ^ made.keys()))}"
    for name in sorted(kept.keys() & made.keys()):
        one, other = kept[name], made[name]
        close = TOLERANCE if one.is_floating_point() else 0
        if one.shape != other.shape or not torch.allclose(other.double(), one.double(), close, close, equal_nan=True):
            yield f"other values of {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_writes_what_is_kept_of_its_kind(kind: str, kept: Golden, steps: list[Step], stores: Path) -> None:
    check(kind, kept, steps, stores)


def test_what_is_kept_is_small_and_of_these_steps(kept: Golden, steps: list[Step]) -> None:
    assert kept.keys.keys() == kept.records.keys() == kept.arrays.keys() == {label_of(step) for step in steps}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 800_000


# --- what must be noticed

MUTATIONS: dict[str, tuple[str, Any, str, Callable[[Any], Any]]] = {
    # what was changed: (the kind whose outcome changes, where, the name there, what it becomes)
    "answers with the classes in reverse": (
        "AskQuestion",
        Marginal,
        "_mean",
        lambda mean: lambda self, log_proba: mean(self, log_proba).flip(1),
    ),
    "another temperature": (
        "AskQuestion",
        marginal,
        "fit_temperature",
        lambda fit: lambda log_proba, labels: 1.1 * fit(log_proba, labels),
    ),
    "unknown images answered in reverse": (
        "MeasureUnknown",
        Marginal,
        "_mean",
        lambda mean: lambda self, log_proba: mean(self, log_proba).flip(1),
    ),
    "the largest setting is chosen": (
        "ChooseSetting",
        asking,
        "choose_settings",
        lambda choose: lambda cards, pixels: choose([card for card in cards if "eps=4.0" not in card.label], pixels),
    ),
    "an unchanged image is a success": (
        "MeasureSuccess",
        making,
        "succeeded",
        lambda succeeded: lambda attacked, linf, prediction, label: attacked & (prediction != label),
    ),
    "an image that was not attacked is a success": (
        "MeasureSuccess",
        making,
        "succeeded",
        lambda succeeded: lambda attacked, linf, prediction, label: (linf >= 0) & (prediction != label),
    ),
    "success is not counted": (
        "DescribeSet",
        making,
        "describe_set",
        lambda describe: lambda *given: describe(*given).model_copy(update={"median_l2": 0.0}),
    ),
    "other images are attacked": (
        "MakeShard",
        making,
        "attacked_index",
        lambda index: lambda *given: index(*given)[::-1].copy(),
    ),
    "another network": (
        "TrainVictim",
        victims,
        "channel_statistics",
        lambda statistics: lambda images: [[0.5], [0.5]],
    ),
    "other images are learned from": (
        "FitOnAll",
        fitting,
        "load_sets",
        lambda load: lambda refs, read, pixels, seed, most: load(refs, read, pixels, seed + 1, most),
    ),
    "another part is held out": (
        "FitOnQuestion",
        asking,
        "seed_for",
        lambda seed_for: lambda *parts: seed_for("other", *parts),
    ),
    "joined in equal parts": (
        "JoinAttributors",
        fitting.Joined,
        "combine",
        lambda combine: lambda self, answers: combine(self, answers[::-1]),
    ),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_changed_outcome_is_told_with_the_step_whose_version_is_to_be_raised(
    kept: Golden, steps: list[Step], stores: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    kind, where, name, change = MUTATIONS[what]
    monkeypatch.setattr(where, name, change(getattr(where, name)))
    with pytest.raises(pytest.fail.Exception, match=f"^the outcome of `{kind}` changed: raise its version") as told:
        check(kind, kept, steps, stores)
    assert "\n" not in str(told.value)


def test_a_network_of_another_shape_is_a_changed_outcome(
    kept: Golden, steps: list[Step], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alexnet = architectures.VICTIMS["alexnet"]

    def wider(width: float, inputs: int, classes: int) -> nn.Sequential:
        return alexnet.build(2 * width, inputs, classes)

    monkeypatch.setitem(architectures.VICTIMS, "alexnet", alexnet._replace(build=wider))
    with pytest.raises(pytest.fail.Exception, match="the outcome of `TrainVictim` changed: raise its version"):
        check("TrainVictim", kept, steps, tmp_path)


def test_a_raised_version_is_told_with_the_command_that_keeps_the_outcome_anew(
    kept: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AskQuestion, "version", AskQuestion.version + 1)
    with pytest.raises(pytest.fail.Exception) as told:
        check("AskQuestion", kept, golden_steps(tmp_path), tmp_path)
    said = "the version of `AskQuestion`, or of what it reads, was raised: keep the outcomes anew: make golden"
    assert str(told.value) == said


def test_a_kind_of_step_of_which_nothing_is_kept_is_told(kept: Golden, steps: list[Step], tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="no outcome of `NewStep` is kept: add a step of it to"):
        check("NewStep", kept, steps, tmp_path)
