"""What becomes of images along an axis, counted on answers that are made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from redhanded.attacks import FGSM, PGD, Clean, DeepFool, LogUniform, make_attack
from redhanded.attributors import Attributor, AttributorCard, CalibrationSet, Prediction
from redhanded.sets import NO_VICTIM, Samples, SetRef
from redhanded.studies import ANOTHER, CONTROL, Decision, SetEntry, Truth, load_study, score_axis

SETS = [
    SetRef(NO_VICTIM, Clean()),
    SetRef("one", FGSM(eps=0.1)),
    SetRef("one", DeepFool()),
    SetRef("two", FGSM(eps=0.1)),
    SetRef("two", DeepFool()),
]
ENTRIES = {ref.name: SetEntry.of(ref) for ref in SETS}


class ByHand(Attributor):
    """Answers that are written down; the features of each class lie around a corner of their own."""

    kind = "by hand"
    knowledge = "blind"

    def __init__(self, images: int = 400) -> None:
        self.classes_ = tuple(ENTRIES)
        labels = torch.arange(len(SETS)).repeat_interleave(images)
        index = torch.arange(images).repeat(len(SETS))
        sure = torch.rand(len(labels), generator=torch.Generator().manual_seed(1)) * 0.2 + 0.79
        answer = answers(labels.tolist(), sure.tolist())
        self.held_out_ = CalibrationSet(answer.log_proba, answer.features, labels, index)

    def fit(self, samples: Samples) -> "ByHand":
        raise NotImplementedError

    def answer(self, samples: Samples) -> Prediction:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def from_card(cls, card: AttributorCard, folder: Path) -> "ByHand":
        raise NotImplementedError


def answers(named: list[int], sure: list[float], far: tuple[int, ...] = ()) -> Prediction:
    """What is said of images: each is given one class with a probability; the features of some are far from all."""
    count, classes = len(named), len(SETS)
    proba = torch.tensor([[(1 - share) / (classes - 1)] * classes for share in sure])
    proba[torch.arange(count), torch.tensor(named)] = torch.tensor(sure)
    features = 10 * torch.nn.functional.one_hot(torch.tensor(named), classes).float()
    features += torch.randn(features.shape, generator=torch.Generator().manual_seed(count))
    for row in far:
        features[row] = 100.0
    return Prediction(proba.log(), features)


@pytest.fixture(scope="module")
def decision() -> Decision:
    return Decision(ByHand(), ENTRIES)


def truth(of: list[int], entries: list[SetEntry] | None = None) -> Truth:
    return Truth(entries or list(ENTRIES.values()), np.array(of), {})


def test_what_becomes_of_each_image_is_counted(decision: Decision) -> None:
    #      right, right, wrong and sure, called a control, strange, clean right, clean accused
    of = [1, 4, 1, 2, 3, 0, 0]
    answer = answers([1, 4, 2, 0, 3, 0, 1], [0.95] * 7, far=(4,))
    scores: Any = score_axis(decision, answer, truth(of))
    fgsm, deepfool, clean = (scores["tallies"][name] for name in ("fgsm", "deepfool", "clean"))
    assert (fgsm.n, fgsm.relied_on, fgsm.sure_and_wrong, fgsm.unknown, fgsm.all_clear) == (3, 1, 1, 1, 0)
    assert (deepfool.n, deepfool.relied_on, deepfool.all_clear, deepfool.accused) == (2, 1, 1, 1)
    assert (clean.n, clean.relied_on, clean.accused, clean.sure_and_wrong) == (2, 1, 1, 1)
    family = scores["dimensions"]["family"]
    assert set(family.names) == {CONTROL, "fgsm", "deepfool"}
    assert family.recalls() == {"control": (1, 2), "fgsm": (2, 3), "deepfool": (1, 2)}


def test_a_wrong_name_that_is_not_sure_is_not_sure_and_wrong(decision: Decision) -> None:
    scores: Any = score_axis(decision, answers([2], [0.4]), truth([1]))
    assert scores["tallies"]["fgsm"].sure_and_wrong == 0
    assert scores["tallies"]["fgsm"].relied_on == 0


def test_a_victim_and_a_family_that_are_not_known_are_told_apart_from_those_that_are(decision: Decision) -> None:
    entries = [SetEntry.of(SetRef("three", FGSM(eps=0.1))), SetEntry.of(SetRef("one", PGD(eps=0.1)))]
    scores: Any = score_axis(decision, answers([1, 1, 3], [0.9] * 3), truth([0, 0, 1], entries))
    assert scores["dimensions"]["victim"].truths == [ANOTHER, "one"]
    assert scores["dimensions"]["family"].recalls() == {"fgsm": (2, 2)}
    assert scores["tallies"]["pgd"].relied_on == scores["tallies"]["pgd"].in_set == 0
    assert 0 <= scores["another"] <= 1


def test_about_one_in_twenty_known_images_is_strange(decision: Decision) -> None:
    """The threshold is told by images that took no part in the fit of their own score."""
    labels = [place for place in range(len(SETS)) for _ in range(600)]
    share = decision.unknown(answers(labels, [0.9] * len(labels))).mean()
    assert 0.02 < share < 0.09


def test_a_scale_leaves_victims_out_and_axes_that_have_none_left() -> None:
    small, laptop = load_study("wild", "small"), load_study("wild", "laptop")
    assert set(small.trained_on) < set(laptop.trained_on)
    assert len(laptop.trained_on) == 12
    assert all(set(axis.victims) <= set(small.victims) for axis in small.axes)
    assert [axis.name for axis in small.axes] == [axis.name for axis in laptop.axes]


@pytest.mark.parametrize("name", ["wild", "wild-mnist"])
def test_the_studies_of_the_wild_ask_what_nobody_taught(name: str) -> None:
    study = load_study(name)
    families = {SetEntry.of(SetRef("one", attack)).family for attack in study.attacks}
    assert len(families) >= 9
    architectures = {study.victims[name].architecture for name in study.trained_on}
    unseen = {row.architecture for row in study.victims.values()} - architectures
    assert len(unseen) == 2
    for architecture in architectures:
        rows = [row for row in study.victims.values() if row.architecture == architecture]
        assert [row.held_out for row in sorted(rows, key=lambda row: row.seed)] == [False] * 4 + [True] * 2
    everything = next(axis for axis in study.axes if axis.name == "everything")
    trained = {ref.attack.toolchain for ref in study.trained_sets}
    assert {study.victims[name].architecture for name in everything.victims} == unseen
    taught = {str(ref.attack) for ref in study.trained_sets}
    assert not taught & {str(attack) for attack in everything.attacks}
    assert {attack.toolchain for attack in everything.attacks} - trained
    assert make_attack("fgsm", eps=LogUniform(0.1, 0.2)) not in everything.attacks
