"""From sets to samples to scores, with sets in memory and attributors whose answers are known."""

from math import comb
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from redhanded.attacks import FGSM, Clean
from redhanded.core import wilson_interval
from redhanded.sets import Samples, SetRef, Split
from redhanded.studies import (
    Picked,
    Scores,
    column_of,
    load_picked,
    load_sets,
    pick_images,
    score_answers,
    score_by_size,
    score_pooled,
)
from redhanded.studies.evaluation import ReadColumn

EPS = (1.0, 2.0, 3.0, 4.0)
ONE, TWO, THREE, FOUR = REFS = [SetRef("a", FGSM(norm="l2", eps=eps)) for eps in EPS]
SIZES: dict[Split, int] = {"train": 120, "test": 60}


class Memory:
    """Sets in memory; an image says where it is from: pixels are (set / 8, row / 255, split, sub-level noise)."""

    def __init__(self, rate: float = 0.9, short: dict[SetRef, int] | None = None) -> None:
        rng = np.random.default_rng(12)
        self.asked: list[tuple[SetRef, str, str, bool]] = []
        self.columns: dict[tuple[SetRef, str, str], NDArray[Any]] = {}
        for place, ref in enumerate(REFS):
            for split, full in SIZES.items():
                size = min(full, (short or {}).get(ref, full))
                images = np.zeros((size, 1, 1, 4), dtype=np.float32)
                images[:, 0, 0, 0], images[:, 0, 0, 1] = place / 8, np.arange(size) / 255
                images[:, 0, 0, 2], images[:, 0, 0, 3] = split == "test", 0.3 / 255
                self.columns[ref, split, "images"] = images
                self.columns[ref, split, "index"] = 2 * np.arange(size) + (split == "test")  # places in the source
                for pixels in ("float32", "uint8"):
                    self.columns[ref, split, f"success_{pixels}"] = rng.random(size) < rate

    def under(self, pixels: str) -> ReadColumn:
        """What the engine reads under a pixel protocol: of a control every image counts."""

        def read(ref: SetRef, split: Split, column: str, rows: NDArray[np.int64] | None) -> NDArray[Any]:
            self.asked.append((ref, split, column, rows is None))
            control = ref.attack.family == "clean"
            held = {"eligible": "attacked" if control else f"success_{pixels}"}.get(column, column)
            values = self.columns[ref, split, held]
            return values if rows is None else values[rows]

        return read


class Gathered(NamedTuple):
    """What a question is put with, and its images."""

    picked: Picked
    samples: dict[Split, Samples]


def gather(
    memory: Memory, pixels: Any, seed: tuple[object, ...] = (), most: dict[Split, int] | None = None
) -> Gathered:
    read = memory.under(pixels)
    picked = pick_images(CLASSES, read, seed, most)
    return Gathered(picked, {split: load_picked(CLASSES, picked, read, pixels, split) for split in SIZES})


def origins(samples: Samples) -> list[tuple[int, int, int]]:
    """(label, set, row) of every image."""
    pixels = samples.images[:, 0, 0]
    places, rows = (pixels[:, 0] * 8).round().long(), (pixels[:, 1] * 255).round().long()
    return list(zip(samples.labels.tolist(), places.tolist(), rows.tolist(), strict=True))


CLASSES = {"small": [ONE], "several": [TWO, THREE], "large": [FOUR]}
HOMES = {0: {0}, 1: {1, 2}, 2: {3}}  # label -> its sets


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize(("rate", "design"), [(0.95, "paired"), (0.5, "equal")])
def test_samples_are_equal_successful_and_of_their_split(pixels: Any, rate: float, design: str) -> None:
    memory = Memory(rate)
    gathered = gather(memory, pixels, ("seed",))
    assert gathered.picked.design == design
    for split, samples in gathered.samples.items():
        count = gathered.picked.counts[split]
        assert samples.classes == tuple(CLASSES)
        assert samples.labels.bincount().tolist() == [count] * 3
        assert samples.images.dtype == torch.float32
        assert (samples.images[:, 0, 0, 2] == (split == "test")).all()
        found = origins(samples)
        assert len({(label, row) for label, _, row in found}) == len(found)
        for label, place, row in found:
            assert place in HOMES[label]
            assert memory.columns[REFS[place], split, f"success_{pixels}"][row]
        rows = [{row for label, _, row in found if label == wanted} for wanted in range(3)]
        assert (rows[0] == rows[1] == rows[2]) == (design == "paired")
    assert len({place for label, place, _ in origins(gathered.samples["train"]) if label == 1}) == 2


@pytest.mark.parametrize("rate", [0.95, 0.5])
def test_a_sample_knows_its_place_in_the_source(rate: float) -> None:
    for split, samples in gather(Memory(rate), "float32", ("seed",)).samples.items():
        assert samples.index is not None
        assert samples.index.tolist() == [2 * row + (split == "test") for _, _, row in origins(samples)]
        assert (samples.clean, samples.victims) == (None, {})  # nothing that an analyst does not have


def test_images_are_rounded_for_their_protocol_and_none_is_read_that_is_not_picked() -> None:
    for pixels, noise in (("float32", 0.3 / 255), ("uint8", 0.0)):
        memory = Memory()
        gathered = gather(memory, pixels)
        assert ("images", True) not in {(column, whole) for _, _, column, whole in memory.asked}
        assert gathered.samples["test"].images[:, 0, 0, 3].tolist() == pytest.approx([noise] * len(
            gathered.samples["test"].labels))  # fmt: skip


def test_the_seed_decides_which() -> None:
    first, again, other = (gather(Memory(0.5), "float32", seed) for seed in (("q", 0), ("q", 0), ("q", 1)))
    for split in SIZES:
        assert origins(first.samples[split]) == origins(again.samples[split])
        assert origins(first.samples[split]) != origins(other.samples[split])


def test_at_most_as_many_as_asked() -> None:
    picked, _ = gather(Memory(), "float32", most={"train": 60, "test": 30})
    assert picked.counts == {"train": 60, "test": 30}
    assert picked.design == "paired"
    assert picked.enough


def test_a_set_may_end_earlier_than_another() -> None:
    memory = Memory(1.0, short={ONE: 70, TWO: 10})
    gathered = gather(memory, "float32")
    assert (gathered.picked.design, gathered.picked.counts) == ("paired", {"train": 70, "test": 60})
    found = origins(gathered.samples["train"])
    assert {row for _, _, row in found} == set(range(70))
    assert max(row for _, place, row in found if place == 1) < 10


@pytest.mark.parametrize(("rate", "enough"), [(0.9, True), (0.1, False), (0.0, False)])
def test_too_few_images_are_noticed(rate: float, enough: bool) -> None:
    assert pick_images(CLASSES, Memory(rate).under("float32"), ()).enough is enough


def test_enough_means_enough_in_both_splits() -> None:
    for train, test, enough in ((50, 25, True), (49, 25, False), (50, 24, False)):
        assert Picked("equal", {"train": train, "test": test}, {}).enough is enough


def one_hot(answers: Tensor, classes: int = 3) -> Tensor:
    """Logarithms of probabilities whose largest is that of the answer."""
    return (0.1 + torch.nn.functional.one_hot(answers, classes)).log().log_softmax(1)


def scored(answers: list[int], true: list[int], collapsed: bool = False) -> Scores:
    return score_answers(one_hot(torch.tensor(answers)), torch.tensor(true), ("a", "b", "c"), collapsed=collapsed)


def test_one_answer_for_everything_is_a_collapse() -> None:
    assert scored([1, 1, 1, 1], [0, 1, 2, 1]).status == "collapsed"
    assert scored([1, 1, 1, 0], [0, 1, 2, 1]).status == "measured"
    assert scored([1, 0, 0, 1], [0, 1, 2, 1], collapsed=True).status == "collapsed"


TRUE = [0] * 4 + [1] * 4 + [2] * 4


def test_a_perfect_attributor() -> None:
    scores = scored(TRUE, TRUE)
    assert (scores.status, scores.accuracy) == ("measured", 1.0)
    assert scores.confusion == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert scores.p_value == pytest.approx(3.0**-12)
    assert scores.interval == wilson_interval(12, 12)


def test_a_constant_attributor_is_at_chance() -> None:
    scores = scored([1] * 12, TRUE, collapsed=True)
    assert (scores.status, scores.accuracy) == ("collapsed", pytest.approx(1 / 3))
    assert scores.confusion == [[0, 4, 0]] * 3
    tail = sum(comb(12, k) * 2 ** (12 - k) for k in range(4, 13)) / 3**12
    assert scores.p_value == pytest.approx(tail)
    assert tail > 0.5


def test_mistakes_stand_in_the_row_of_the_true_class() -> None:
    scores = scored([0, 0, 0, 2, 1, 1, 0, 0, 2, 2, 2, 2], TRUE)
    assert scores.confusion == [[3, 0, 1], [2, 2, 0], [0, 0, 4]]
    assert scores.accuracy == 9 / 12
    assert scores.interval == wilson_interval(9, 12)
    found = {name: (part.correct, part.total, part.accuracy) for name, part in scores.per_class.items()}
    assert found == {"a": (3, 4, 0.75), "b": (2, 4, 0.5), "c": (4, 4, 1.0)}
    assert scores.per_class["b"].interval == wilson_interval(2, 4)


def test_from_sets_to_scores() -> None:
    test = gather(Memory(), "float32").samples["test"]
    homes = torch.tensor([0, 1, 1, 2])  # set -> class, as the image itself says
    log_proba = one_hot(homes[(test.images[:, 0, 0, 0] * 8).round().long()])
    assert score_answers(log_proba, test.labels, test.classes).accuracy == 1.0


def test_among_the_three_likeliest() -> None:
    log_proba = torch.tensor([[0.4, 0.3, 0.2, 0.1]] * 4).log()
    scores = score_answers(log_proba, torch.tensor([0, 1, 2, 3]), tuple("abcd"))
    assert (scores.accuracy, scores.top3) == (0.25, 0.75)


def test_of_a_control_every_image_can_be_asked_about() -> None:
    control = SetRef("none", Clean())
    memory = Memory(0.9)
    for split, size in SIZES.items():
        memory.columns[control, split, "images"] = np.zeros((size, 1, 1, 4), dtype=np.float32)
        memory.columns[control, split, "index"] = np.arange(size)
        memory.columns[control, split, "attacked"] = np.arange(size) % 3 > 0
        memory.columns[control, split, "success_float32"] = np.zeros(size, dtype=bool)  # nothing is fooled by it
    picked = pick_images({"attack": [ONE], "control": [control]}, memory.under("float32"), ())
    assert picked.enough
    assert (picked.picks["test"][1].rows % 3 > 0).all()
    assert load_sets([control], memory.under("float32"), "float32", 0, most=1000).labels.tolist() == [0] * 80


def test_answers_by_size_are_those_of_the_images_picked() -> None:
    memory = Memory(1.0)
    rng = np.random.default_rng(0)
    for ref in REFS:
        rows = np.arange(SIZES["test"])
        memory.columns[ref, "test", "l2"] = np.where(rows % 2, 1.0, 2.0) + rng.random(len(rows)) / 10
    picked = pick_images(CLASSES, memory.under("float32"), ())
    rows = column_of(CLASSES, picked.picks["test"], memory.under("float32"), "test", "index") // 2
    own = torch.arange(3).repeat_interleave(SIZES["test"])
    small = torch.from_numpy(rows % 2 == 1)  # alone the small ones are named rightly
    found = score_by_size(one_hot(torch.where(small, own, (own + 1) % 3)), CLASSES, picked, memory.under("float32"), ())
    assert {(part.high < 1.5, part.correct == part.n, part.correct == 0) for part in found} == {
        (True, True, False),
        (False, False, True),
    }


def test_images_of_one_actor_are_of_one_set_and_their_evidence_adds_up() -> None:
    """Right three times of five but weakly, wrong twice: alone 60 %, together all."""
    memory = Memory(1.0)
    picked = pick_images(CLASSES, memory.under("float32"), ())
    labels = torch.arange(3).repeat_interleave(60)
    weak = torch.where(torch.arange(180) % 5 < 3, labels, (labels + 1) % 3)
    found = score_pooled(one_hot(weak), picked)
    several = np.bincount(picked.picks["test"][1].sets)  # the second class has two sets, whose images do not mix
    assert (found.images, found.n) == (5, 12 + 12 + sum(several // 5))
    assert found.correct >= 24
    assert score_answers(one_hot(weak), labels, "abc").accuracy == 0.6
    sure = one_hot(weak).index_fill(0, torch.arange(4, 180, 5), 0.0)
    sure[torch.arange(4, 180, 5), (labels[4::5] + 1) % 3] = 50.0  # one sure and wrong outweighs the others
    assert score_pooled(sure.log_softmax(1), picked).correct < found.correct


def test_all_sets_together_are_equally_large_and_of_the_train_split() -> None:
    memory = Memory(0.5, short={ONE: 20})
    memory.columns[FOUR, "train", "success_uint8"][:] = False
    samples = load_sets(REFS, memory.under("uint8"), "uint8", 3, most=40)
    assert samples.classes == (ONE.name, TWO.name, THREE.name)  # nothing of the fourth fools
    assert samples.labels.bincount().tolist() == [40] * 3
    assert (samples.images[:, 0, 0, 2] == 0).all()
    found = origins(samples)
    for label, place, row in found:
        assert place == label
        assert memory.columns[REFS[place], "train", "success_uint8"][row]
    each = [[row for label, _, row in found if label == wanted] for wanted in range(3)]
    whole = memory.columns[ONE, "train", "success_uint8"].sum()
    assert [len(set(rows)) for rows in each] == [whole, 40, 40]  # the short one is repeated, evenly
    counts = np.bincount(each[0])
    assert set(counts[counts > 0]) <= {40 // whole, 40 // whole + 1}
