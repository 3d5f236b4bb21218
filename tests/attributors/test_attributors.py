"""What holds for every row of `ATTRIBUTORS`: fit, answer, and come back from disk the same, or be refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from redhanded.attributors import (
    ATTRIBUTORS,
    Attributor,
    CalibrationSet,
    Candidates,
    Cnn6,
    Joined,
    JoinedSettings,
    Magnitude,
    NetworkSettings,
    Prediction,
    TaughtSettings,
    answering,
)
from redhanded.attributors.factored import FactoredSettings
from redhanded.errors import RunError
from redhanded.models import Training
from redhanded.sets import Samples
from redhanded.testing import ATTRIBUTOR_LAWS, AttributorCase, check_attributor, two_class_samples

TRAINING = Training(epochs=4, batch_size=32, learning_rate=1e-2)
# The cheapest settings of each row that still learn the task below.
CHEAP: dict[str, Any] = {
    "cnn6": NetworkSettings(width=0.125, training=TRAINING),
    "forensic": NetworkSettings(width=0.125, training=TRAINING),
    "forensic_each": NetworkSettings(width=0.125, training=TRAINING),
    "forensic_heads": NetworkSettings(width=0.125, training=TRAINING),
    "oracle": NetworkSettings(width=0.25, training=TRAINING.model_copy(update={"epochs": 6, "learning_rate": 3e-3})),
    "factored": FactoredSettings(width=0.5, training=TRAINING.model_copy(update={"epochs": 8})),
    "factored_asked": FactoredSettings(width=0.5, training=TRAINING.model_copy(update={"epochs": 8})),
    "candidates": NetworkSettings(width=0.5, training=TRAINING.model_copy(update={"epochs": 8})),
    "magnitude": NetworkSettings(width=0.5, training=TRAINING),
}
CHEAP["taught"] = TaughtSettings(inner="forensic", settings=CHEAP["forensic"].model_dump(mode="json"))
CHEAP["joined"] = JoinedSettings(forensic=CHEAP["forensic"], candidates=CHEAP["candidates"])


def made(kind: str, seed: int = 0) -> Attributor:
    attributor: Attributor = ATTRIBUTORS[kind].attributor(CHEAP[kind], seed)
    return attributor


@pytest.fixture(scope="module")
def samples() -> Samples:
    return two_class_samples()


@pytest.fixture(scope="module", params=ATTRIBUTORS)
def case(request: pytest.FixtureRequest) -> AttributorCase:
    return AttributorCase(ATTRIBUTORS[request.param], CHEAP[request.param])


@pytest.fixture
def fitted(case: AttributorCase) -> Attributor:
    return case.fitted


@pytest.fixture
def saved(fitted: Attributor, tmp_path: Path) -> Path:
    fitted.save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("law", ATTRIBUTOR_LAWS)
def test_a_law_of_attributors_holds(case: AttributorCase, law: str) -> None:
    ATTRIBUTOR_LAWS[law](case)


def test_the_easy_task_is_learned_at_the_first_attempt(fitted: Attributor) -> None:
    assert (fitted.attempts_, fitted.collapsed_) == (1, False)


def test_the_features_are_what_the_last_layer_makes_the_answer_from(fitted: Attributor, samples: Samples) -> None:
    found = fitted.answer(samples)
    parts = getattr(fitted, "parts_", (fitted,))
    each = [part.answer(samples).features for part in parts]
    assert torch.equal(found.features, each[0])
    for part, features in zip(parts, each, strict=True):
        last = [layer for layer in part.network_.modules() if isinstance(layer, nn.Linear)][-1]
        torch.testing.assert_close(last(features).log_softmax(1), part.predict_log_proba(samples), rtol=0, atol=1e-4)


def refusal(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        Attributor.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "cnn7"}, "'cnn7'"),
        ({"settings": {"widht": 1.0}}, "settings.widht"),
        ({"settings": {"width": -1}}, "settings.width"),
        ({"settings": {"width": 1.0}}, ("weights of this network", "settings.width")),
        ({"classes": ["a", "b", "c"]}, ("weights of this network", "classes of its card", "layout of other classes")),
        ({"files": {"weights.safetensors": "0" * 64}}, "SHA-256"),
        ({"files": {}}, "SHA-256"),
        ({"seed": "x"}, "seed"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_damaged_card_is_told_in_one_line(
    saved: Path, changes: dict[str, object], says: str | tuple[str, ...]
) -> None:
    path = saved / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    told = refusal(saved)
    assert any(words in told for words in ([says] if isinstance(says, str) else says))


def test_damaged_or_missing_files_are_told_in_one_line(saved: Path) -> None:
    weights = next(saved.rglob("weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "SHA-256" in refusal(saved)
    weights.unlink()
    assert str(weights) in refusal(saved)
    (saved / "card.json").write_text("{")
    assert "card.json" in refusal(saved)
    (saved / "card.json").unlink()
    assert "card.json" in refusal(saved)


def test_cnn6_without_settings_is_the_papers() -> None:
    assert Cnn6().settings == NetworkSettings(width=1.0, training=Training())


def test_a_collapse_is_reported(samples: Samples) -> None:
    # A step of this size drives the last bias so far that every image gets one class.
    training = Training(epochs=1, batch_size=64, optimizer="sgd", learning_rate=1e4, attempts=2)
    attributor = Cnn6(NetworkSettings(width=0.125, training=training)).fit(samples)
    assert (attributor.collapsed_, attributor.attempts_) == (True, 2)


def test_what_candidates_read_is_the_closed_form_on_a_linear_victim() -> None:
    """Of logits `w_k x + b_k` the margin, its gradient and the step back to the boundary are known."""
    layer = nn.Linear(16, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3, 16) * torch.tensor([[3.0], [1.0], [0.5]]))
        layer.bias.zero_()
    images = torch.full((2, 1, 4, 4), 0.5)
    images[1, 0, 0, 0] = 0.7
    samples = Samples(images, torch.zeros(2), ("a",), victims={"linear": nn.Sequential(nn.Flatten(), layer)})
    found = Candidates().view(samples).flatten(1)
    margin = torch.tensor([3 * 0.5 - 0.5, 3 * 0.7 - 0.5])
    l2, l1 = torch.tensor(10**0.5), torch.tensor(4.0)  # the gradient is (3, -1, 0, ...)
    expected = [margin.log(), (margin / l2).log(), (margin / l1).log(), l2.log().expand(2), (l1 / l2).log().expand(2)]
    torch.testing.assert_close(found[:, [3, 4, 5, 9, 10]], torch.stack(expected, 1))
    torch.testing.assert_close(found[:, 11], torch.tensor([3 * 0.5 - 0.25, 3 * 0.7 - 0.25]))
    assert found[0, 12:14].tolist() == [0, 0]  # an even image has no residual
    assert found[1, 12] < -0.5  # the bright pixel lies below its surroundings' mean, against the gradient of 3


@pytest.mark.parametrize("distance", [0.9e-4, 1e-4, 1.05e-4, 3e-4])
def test_a_step_back_as_short_as_the_offset_of_deepfool_is_read_to_a_few_per_cent(distance: float) -> None:
    layer = nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0] + [0.0] * 15, [0.0] * 16]) * 2 / 16)  # the margin is x_0 / 8
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 0, 0] = distance
    samples = Samples(images, torch.zeros(1), ("a",), victims={"linear": nn.Sequential(nn.Flatten(), layer)})
    zoomed = Candidates().view(samples).flatten(1)[0, 6:9]
    expected = [min(max(zoom * math.log(distance / 1e-4), -3.0), 3.0) for zoom in (4, 16, 40)]
    torch.testing.assert_close(zoomed, torch.tensor(expected), rtol=0, atol=1e-3)


def test_a_float_shows_candidates_the_step_along_a_victims_gradient_and_a_picture_does_not() -> None:
    """Grey pixels and a step of a quarter of a level against the margin: it was all of what lies between levels."""
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(16, 2)
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(torch.tensor([100.0, 0.0]))  # so that the first class stays the likeliest
    step = (0.25 / 255) * -(weights[0] - weights[1]).sign().view(1, 1, 4, 4)
    images = torch.stack([100 / 255 + step[0], torch.full((1, 4, 4), 100 / 255)])
    samples = Samples(images, torch.zeros(2), ("a",), victims={"linear": nn.Sequential(nn.Flatten(), layer)})
    stepped, picture = Candidates().view(samples).flatten(1)
    size = torch.tensor(0.25 / 255)
    torch.testing.assert_close(stepped[[1, 2]], torch.stack([(4 * size).log(), size.log()]), rtol=1e-4, atol=0)
    torch.testing.assert_close(stepped[[15, 17]], torch.stack([torch.tensor(-1.0), size.log()]), rtol=1e-4, atol=0)
    assert picture[14:16].tolist() == [0, 0]
    assert picture[[1, 2, 16, 17]].tolist() == pytest.approx([math.log(1e-6)] * 4)


def test_bars_have_no_residual_whatever_their_grey() -> None:
    """Its sign would be that of a rounding error, which depends on the neighbours in the batch and on the machine."""
    bars = torch.rand(32, 3, 1, 16, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 16, -1)
    images = torch.cat([bars, bars.transpose(2, 3)])
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
    samples = Samples(images, torch.zeros(64), ("a",), victims={"linear": linear})
    assert not Candidates().view(samples).flatten(1)[:, 12:14].any()


def test_what_arithmetic_leaves_between_levels_is_nothing() -> None:
    """Through C&W's tanh and back a value that did not move is off by as much, and its sign is anything."""
    images = (torch.arange(256) / 255 * (1 - 2e-7)).view(1, 1, 16, 16)
    assert (images * 255 != (images * 255).round()).any()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    found = Candidates().view(Samples(images, torch.zeros(1), ("a",), victims={"linear": linear})).flatten(1)[0]
    assert found[14:16].tolist() == [0, 0]


GRID = tuple(
    f"{victim}/{attack}"
    for victim in ("one", "two")
    for attack in (
        "fgsm-l2-eps=1.0",
        "fgsm-l2-eps=0.5",
        "fgsm-l2-eps=2.0",
        *(f"carlini_wagner-l2-learning_rate={rate}-confidence={level}" for rate in (0.1, 1e-05) for level in (0.1, 1)),
    )
)


def test_heads_know_a_sets_parts_apart(samples: Samples) -> None:
    """So what speaks for one attack and against another is the same whichever victim it was."""
    sets = (*GRID, "none/clean")
    labels = torch.arange(len(samples.labels)) % len(sets)
    attributor = made("forensic_heads").fit(replace(samples, labels=labels, classes=sets))
    one, two = (attributor.predict_log_proba(samples)[:, start : start + 7] for start in (0, 7))
    assert one.std(0).min() > 0
    torch.testing.assert_close(one - one[:, :1], two - two[:, :1], rtol=0, atol=1e-4)
    rates = one[:, 3:].unflatten(1, (2, 2))  # (n, learning rates, confidences)
    torch.testing.assert_close(rates[:, 0, 0] - rates[:, 0, 1], rates[:, 1, 0] - rates[:, 1, 1], rtol=0, atol=1e-4)


def test_a_settings_head_is_ordinal() -> None:
    """As the score rises the values follow one another in the order of their size, and share all probability."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: Any = made("forensic_heads")
        network.classes_, network.channels_ = GRID, 1
        heads: Any = network.build([0.0], [1.0])[-1].eval()
    with torch.no_grad():
        heads.weight.zero_()
        heads.bias.zero_()
        heads.weight[4, 0] = 1.0  # two victims and two kinds come first: this is the score of FGSM's eps
        features = torch.zeros(61, heads.in_features)
        features[:, 0] = torch.linspace(-6, 6, 61)
        eps = heads(features)[:, [1, 0, 2]]  # 0.5, 1.0, 2.0
    low, high = torch.tensor([-0.5, 0.5])
    expected = torch.stack([(low - features[:, 0]).sigmoid(), (high - features[:, 0]).sigmoid()], 1)
    expected = torch.diff(expected, dim=1, prepend=torch.zeros(61, 1), append=torch.ones(61, 1))
    torch.testing.assert_close(eps.exp() * 4, expected, rtol=1e-3, atol=1e-5)  # two victims, two kinds


def test_the_floor_sees_sizes_alone(samples: Samples) -> None:
    """Turned upside down and with other signs, a perturbation of the same size is the same to it."""
    assert samples.clean is not None
    floor = made("magnitude").fit(samples)
    turned = samples.clean - samples.perturbations.flip(2)
    torch.testing.assert_close(
        floor.predict_log_proba(replace(samples, images=turned)), floor.predict_log_proba(samples), rtol=0, atol=1e-4
    )


def test_the_ceiling_sees_the_perturbation_alone(samples: Samples) -> None:
    """The sum of a perturbation and any clean image is the same to it."""
    ceiling = made("oracle").fit(samples)
    other = torch.rand(samples.images.shape, generator=torch.Generator().manual_seed(1))
    moved = replace(samples, images=other + samples.perturbations, clean=other)
    torch.testing.assert_close(ceiling.predict_log_proba(moved), ceiling.predict_log_proba(samples), rtol=0, atol=1e-3)


class Known(Cnn6):
    """Answers as it is told; its classes are four sets."""

    classes_ = ("a", "b", "c", "d")
    shape_, collapsed_ = (1, 4, 4), False

    def __init__(self, held_out: CalibrationSet | None = None) -> None:
        super().__init__()
        nothing = torch.zeros(0, dtype=torch.int64)
        self.held_out_ = held_out or CalibrationSet(torch.zeros(0, 4), torch.zeros(0, 1), nothing, nothing)

    def answer(self, samples: Samples) -> Prediction:
        return Prediction(samples.images.flatten(1), samples.images.flatten(1))


PROBABILITIES = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 1.0]])
QUESTION = {"first": ["a", "b", "not learned"], "second": ["c"]}


def test_a_marginal_is_the_mean_over_a_classs_sets() -> None:
    answer = answering(Known(), QUESTION)
    assert (answer.classes_, answer.shape_, answer.collapsed_) == (("first", "second"), (1, 4, 4), False)
    found = answer.predict_log_proba(Samples(PROBABILITIES[:1].log(), torch.zeros(1), ("first", "second")))
    torch.testing.assert_close(found.exp(), torch.tensor([[0.15 / 0.45, 0.3 / 0.45]]))


def test_an_answer_about_what_all_sets_of_no_class_made_stays_a_probability() -> None:
    answer = answering(Known(), QUESTION).predict_log_proba(
        Samples((PROBABILITIES[1:] + 1e-30).log(), torch.zeros(1), ("first", "second"))
    )
    torch.testing.assert_close(answer.exp(), torch.tensor([[0.5, 0.5]]))


def test_an_attributor_that_was_fitted_on_the_question_answers_by_its_own_classes() -> None:
    answer = answering(Known(), {name: [f"set {name}"] for name in Known.classes_})
    torch.testing.assert_close(answer.answer(PROBABILITIES[:1].log()).exp(), PROBABILITIES[:1])


def test_the_temperature_is_that_of_the_question_and_of_images_held_out() -> None:
    """Sure of the sets and right half of the time: between the question's classes, never; of d nothing is asked."""
    sure = torch.full((90, 4), -6.0)
    truth = torch.arange(90) % 3
    named = torch.where(torch.arange(90) < 60, truth, (truth + 1) % 3)  # a third wrong
    held = CalibrationSet(sure.scatter(1, named[:, None], 0.0).log_softmax(1), sure, truth, torch.arange(90))
    first = answering(Known(held), {"a": ["a"], "b": ["b"], "c": ["c"], "d": ["d"]})
    assert first.temperature > 2
    found = first.answer(held.log_proba).exp().amax(1)
    torch.testing.assert_close(found, torch.full((90,), 2 / 3), rtol=0, atol=0.05)
    right = CalibrationSet(sure.scatter(1, truth[:, None], 0.0).log_softmax(1), sure, truth, torch.arange(90))
    assert answering(Known(right), QUESTION).temperature < 0.2


@pytest.fixture(scope="module")
def joined(samples: Samples) -> Joined:
    return made("joined").fit(samples)  # type: ignore[return-value]


def test_what_was_held_out_shares_no_source_image_with_training(samples: Samples) -> None:
    indexed = replace(samples, index=torch.arange(240) // 4)
    held = made("cnn6").fit(indexed).held_out_
    assert len(held.labels) == 24
    assert set(torch.bincount(held.index)[held.index].tolist()) == {4}  # all of a source image, or nothing
    assert torch.equal(held.labels, torch.cat([indexed.labels[indexed.index == one] for one in held.index.unique()]))


def test_joined_parts_held_out_the_same_and_answer_as_a_product(joined: Joined, samples: Samples) -> None:
    answers = [part.predict_log_proba(samples) for part in joined.parts_]
    expected = sum(power * answer for power, answer in zip(joined.powers_, answers, strict=True)).log_softmax(1)
    torch.testing.assert_close(joined.predict_log_proba(samples), expected)
    with pytest.raises(ValueError, match="held out the same images"):
        Joined().join([joined.parts_[0], made("candidates", seed=5).fit(samples)])


def test_a_part_that_knows_nothing_gets_no_say() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, index = torch.arange(300) % 4, torch.arange(300)
    good = (3 * torch.nn.functional.one_hot(labels, 4) + torch.randn(300, 4, generator=generator)).log_softmax(1)
    noise = (3 * torch.randn(300, 4, generator=generator)).log_softmax(1)
    parts = [Known(CalibrationSet(answer, answer, labels, index)) for answer in (good, noise)]
    for part in parts:
        part.attempts_ = 1
    joined = Joined().join(parts)
    assert joined.powers_[0] > 0.5
    assert joined.powers_[1] < 0.1


class Leaky(Magnitude):
    """Answers by the labels of its samples."""

    def answer(self, samples: Samples) -> Prediction:
        answer = super().answer(samples)
        return answer._replace(log_proba=(answer.log_proba + samples.labels[:, None] * torch.eye(2)[1]).log_softmax(1))


class Unseeded(Magnitude):
    """Draws its weights from one seed whatever it is given."""

    def __init__(self, settings: NetworkSettings | None = None, seed: int = 0) -> None:
        super().__init__(settings, 0)


class Unnormalised(Magnitude):
    """Answers with logits."""

    def answer(self, samples: Samples) -> Prediction:
        answer = super().answer(samples)
        return answer._replace(log_proba=answer.log_proba + 1)


class Pickled(Magnitude):
    """Leaves a pickle beside its weights."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save(self.network_.state_dict(), folder / "weights.pt")


class Peeking(Magnitude):
    """Says that it sees the image alone, and uses the true perturbation."""

    knowledge = "blind"


BROKEN: dict[type[Attributor], str] = {
    Leaky: "the same of five images alone, with other labels",
    Unseeded: "another attributor from another seed",
    Unnormalised: "probabilities that sum to 1",
    Pickled: "safetensors and JSON alone, found .json, .pt, .safetensors",
    Peeking: "no error, found ValueError: expected samples with",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_an_attributor_that_breaks_a_law_is_told_in_one_line(broken: type[Attributor]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_attributor(ATTRIBUTORS["magnitude"]._replace(attributor=broken), CHEAP["magnitude"])
    assert BROKEN[broken] in str(caught.value)
    assert "\n" not in str(caught.value)
