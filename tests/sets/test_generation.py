"""Generation: success is what the model says of the stored image, and nothing is left changed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from redhanded.attacks import ATTACKS, FGSM, AttackOutput, AttackSpec, CarliniWagner, DeepFool
from redhanded.core import norm_of
from redhanded.errors import AttackError
from redhanded.sets import generate, make_sets
from redhanded.sets.generation import frozen

ATTACK_LIST: list[AttackSpec] = [
    FGSM(norm="linf", eps=0.1),
    CarliniWagner(learning_rate=0.1, confidence=0.1, steps=10, binary_search_steps=2, initial_const=1.0),
    DeepFool(norm="linf", overshoot=0.02, steps=10),
    FGSM(norm="l2", eps=1.0),
    DeepFool(norm="l2", overshoot=0.02, steps=10),
    FGSM(norm="linf", eps=0.002),
]


def network(classes: int = 4) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, classes)
        )
    return model.eval()


def lattice(count: int = 20) -> Tensor:
    """Images (count, 1, 8, 8) of whole grey levels, as files hold."""
    return torch.randint(20, 236, (count, 1, 8, 8), generator=torch.Generator().manual_seed(10)) / 255


def classify(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(1)


@pytest.fixture
def task() -> tuple[nn.Module, Tensor, Tensor]:
    """A model, images, and labels of which every fifth is not what the model says."""
    model, images = network(), lattice()
    labels = classify(model, images)
    labels[::5] = (labels[::5] + 1) % 4
    return model, images, labels


Task = tuple[nn.Module, Tensor, Tensor]


def test_success_is_what_the_model_says_in_float_and_after_rounding(task: Task) -> None:
    model, images, labels = task
    attacked = torch.arange(20) % 5 != 0
    differ = 0
    for made in generate(model, images, labels, ATTACK_LIST):
        rounded = (made.images * 255).round() / 255
        changed = (made.images != images).flatten(1).any(1)
        assert torch.equal(made.attacked, attacked)
        assert torch.equal(made.predictions["float32"], classify(model, made.images))
        assert torch.equal(made.predictions["uint8"], classify(model, rounded))
        assert torch.equal(made.success("float32"), attacked & changed & (classify(model, made.images) != labels))
        assert torch.equal(made.success("uint8"), attacked & changed & (classify(model, rounded) != labels))
        assert torch.equal(made.l2, norm_of(made.images - images, "l2"))
        assert torch.equal(made.linf, norm_of(made.images - images, "linf"))
        assert made.images.min() >= 0
        assert made.images.max() <= 1
        differ += int((made.success("float32") != made.success("uint8")).sum())
    assert differ > 0  # or this test would not tell the two protocols apart


def test_what_was_wrong_before_stays_as_it_was(task: Task) -> None:
    model, images, labels = task
    for made in generate(model, images, labels, ATTACK_LIST):
        assert torch.equal(made.images[::5], images[::5])
        for column in (made.success("float32"), made.success("uint8"), made.l2, made.linf, made.steps):
            assert not column[::5].any()
        assert (made.steps[made.attacked] > 0).all()


class Fickle(nn.Module):
    """Right when asked for the first time, wrong ever after: no model that `generate` would take."""

    asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += 1
        return nn.functional.one_hot(torch.full((len(images),), int(self.asked > 1)), 2).float()


def faked(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    """Let FGSM return what `change` makes of its input."""

    def run(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[Any]) -> list[AttackOutput]:
        return [AttackOutput(change(images), torch.ones_like(labels)) for _ in attacks]

    monkeypatch.setitem(ATTACKS, "fgsm", ATTACKS["fgsm"]._replace(run=run))


@pytest.mark.parametrize("moved", [0.0, 0.1])
def test_an_unchanged_image_is_no_success(monkeypatch: pytest.MonkeyPatch, moved: float) -> None:
    faked(monkeypatch, lambda images: images + moved)
    labels = torch.zeros(20, dtype=torch.int64)
    (made,) = make_sets(
        Fickle().eval(), lattice() * 0.8, labels, torch.arange(20), [FGSM(eps=0.1)], ["float32", "uint8"]
    )
    assert made.attacked.all()
    assert (made.predictions["float32"] == 1).all()
    assert made.success("float32").tolist() == made.success("uint8").tolist() == [moved > 0] * 20


class Brightness(nn.Module):
    """Has neither parameters nor buffers: bright images are class 1."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def test_a_model_without_parameters_can_be_attacked() -> None:
    images = torch.cat([lattice(4) * 0.9, lattice(4) * 0.2 + 0.5])
    labels = classify(Brightness().eval(), images)
    assert labels.unique().tolist() == [0, 1]
    (made,) = generate(Brightness().eval(), images, labels, [DeepFool(norm="l2", overshoot=0.1)])
    assert made.success("float32").all()


def test_sets_come_in_the_order_of_the_attacks(task: Task) -> None:
    together = generate(*task, [*ATTACK_LIST, ATTACK_LIST[0]])
    assert [made.attack for made in together] == [*ATTACK_LIST, ATTACK_LIST[0]]
    for attack, made in zip(ATTACK_LIST, together, strict=False):
        (alone,) = generate(*task, [attack])
        assert torch.equal(made.images, alone.images)
        assert torch.equal(made.steps, alone.steps)
    assert generate(*task, []) == []


def test_the_index_goes_through(task: Task) -> None:
    places = torch.arange(20).flip(0) * 7
    given = generate(*task, ATTACK_LIST[:3], index=places)
    counted = generate(*task, ATTACK_LIST[:3])
    assert all(torch.equal(made.index, places) for made in given)
    assert all(torch.equal(made.index, torch.arange(20)) for made in counted)
    assert all(torch.equal(made.label, task[2]) for made in given)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_inputs_are_left_as_they_were(
    task: Task, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images, labels = task
    model[0].weight.requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    assert len(set(wanted)) == 2
    before = ({key: value.clone() for key, value in model.state_dict().items()}, images.clone(), labels.clone())
    during = []

    def change(batch: Tensor) -> Tensor:
        during.extend(parameter.requires_grad for parameter in model.parameters())
        if fails:
            raise RuntimeError("out of memory")
        return batch

    if fails:
        faked(monkeypatch, change)
        with pytest.raises(RuntimeError, match="out of memory"):
            generate(model, images, labels, ATTACK_LIST)
        assert not any(during)
    else:
        generate(model, images, labels, ATTACK_LIST)
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[0][key]) for key, value in model.state_dict().items())
    assert torch.equal(images, before[1])
    assert torch.equal(labels, before[2])
    assert not model.training


def test_gradients_of_the_parameters_are_off_inside_only() -> None:
    model = network()
    with frozen(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_progress_counts_each_batch_of_each_call(task: Task) -> None:
    told: list[int] = []
    generate(*task, ATTACK_LIST, batch_size=6, on_batch=told.append)
    # 16 of 20 images are attacked: batches of 6, 6, 4 for FGSM's one call, each DeepFool and C&W.
    assert told == [6, 6, 4] * 4


def test_no_images_make_empty_sets(task: Task) -> None:
    (made,) = generate(task[0], lattice(0), torch.zeros(0, dtype=torch.int64), ATTACK_LIST[:1])
    assert len(made) == len(made.success("float32")) == 0
    assert made.images.shape == (0, 1, 8, 8)


NAN = lattice()
NAN[3, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"images": lattice() * 255}, "in [0, 1]"),
        ({"images": lattice() - 0.5}, "in [0, 1]"),
        ({"images": NAN}, "in [0, 1]"),
        ({"images": lattice().double()}, "torch.float32"),
        ({"images": (lattice() * 255).to(torch.uint8)}, "torch.uint8"),
        ({"images": lattice()[0]}, "(n, c, h, w)"),
        ({"images": torch.tensor(0.5)}, "(n, c, h, w)"),
        ({"labels": torch.zeros(19, dtype=torch.int64)}, "labels as torch.int64 of shape (20,)"),
        ({"labels": torch.zeros(20, 1, dtype=torch.int64)}, "labels as torch.int64 of shape (20,)"),
        ({"labels": torch.zeros(20)}, "labels as torch.int64 of shape (20,)"),
        ({"index": torch.arange(19)}, "index as torch.int64 of shape (20,)"),
        ({"index": torch.arange(20).int()}, "index as torch.int64 of shape (20,)"),
        ({"model": network().train()}, "model.eval()"),
    ],
)
def test_bad_inputs_are_told_in_one_line(task: Task, wrong: dict[str, Any], says: str) -> None:
    given = dict(zip(("model", "images", "labels"), task, strict=True)) | wrong
    with pytest.raises(AttackError) as caught:
        generate(**given, attacks=ATTACK_LIST)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
