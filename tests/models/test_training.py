"""The training loop: it learns, it notices when it does not, and its seed decides everything."""

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from redhanded.data import as_float
from redhanded.models import Training, predict_logits, train
from redhanded.models import training as module
from redhanded.models.training import Trained

Task = tuple[Tensor, Tensor]
FAST = Training(epochs=3, batch_size=32, learning_rate=1e-2)


def linear(classes: int = 2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, classes))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 196, 2)
    )


class Constant(nn.Module):
    """Gives every image the class that its seed drew, whatever it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.favourite = int(torch.randint(0, 2, (1,)))

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.zeros(len(images), 2).index_fill_(1, torch.tensor([self.favourite]), 9.0)
        return logits + self.bias


def weights(trained: Trained) -> Tensor:
    return torch.cat([value.flatten().float() for value in trained.network.state_dict().values()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("augment", ["none", "shift", "flip-shift"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_separable_task_is_learned(separable: Task, optimizer: str, augment: str, bfloat16: bool) -> None:
    images, labels = separable
    if augment == "flip-shift":  # mirroring would swap left and right: make it top and bottom
        images = images.mT
    training = Training(
        epochs=8, batch_size=32, learning_rate=1e-2, optimizer=optimizer, augment=augment, bfloat16=bfloat16
    )  # type: ignore[arg-type]
    trained = train(linear, images, labels, training, seed=0)
    assert (trained.attempts, trained.collapsed, trained.epochs) == (1, False, 8)
    assert trained.validation_accuracy >= 0.95
    assert (predict_logits(trained.network, images).argmax(1) == labels).float().mean() >= 0.95
    assert not trained.network.training


def test_a_network_of_one_answer_is_collapsed_after_every_attempt(separable: Task) -> None:
    made = []

    def build() -> nn.Module:
        made.append(Constant())
        return made[-1]

    trained = train(build, *separable, FAST.model_copy(update={"attempts": 4, "epochs": 1}), seed=0)
    assert trained.collapsed
    assert trained.attempts == len(made) == 4
    assert {network.favourite for network in made} == {0, 1}  # each attempt starts from other draws


def test_a_collapse_is_tried_again_and_the_good_network_kept(separable: Task) -> None:
    candidates: list[Callable[[], nn.Module]] = [Constant, Constant, linear, Constant]
    trained = train(lambda: candidates.pop(0)(), *separable, FAST.model_copy(update={"attempts": 4}), seed=0)
    assert (trained.attempts, trained.collapsed) == (3, False)
    assert isinstance(trained.network, nn.Sequential)
    assert len(candidates) == 1


def test_each_retry_is_gentler(separable: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    monkeypatch.setattr(module, "_fit", lambda *given: rates.append(given[-1].learning_rate) or 1)
    train(Constant, *separable, FAST.model_copy(update={"attempts": 3, "learning_rate": 0.9}), seed=0)
    assert rates == pytest.approx([0.9, 0.3, 0.1])


def test_a_task_of_one_class_is_no_collapse(separable: Task) -> None:
    images, labels = separable
    trained = train(Constant, images, torch.zeros_like(labels), FAST, seed=0)
    assert (trained.attempts, trained.collapsed) == (1, False)


def test_the_seed_decides_and_the_global_generator_stays(separable: Task) -> None:
    training = FAST.model_copy(update={"augment": "flip-shift"})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = train(convolutional, *separable, training, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = train(convolutional, *separable, training, seed=7)
    other = train(convolutional, *separable, training, seed=8)
    assert torch.equal(weights(one), weights(again))
    assert not torch.equal(weights(one), weights(other))


def test_uint8_and_float_images_are_the_same_images(separable: Task) -> None:
    images, labels = separable
    levels = (images * 255).round().to(torch.uint8)
    from_levels = train(convolutional, levels, labels, FAST, seed=0)
    from_floats = train(convolutional, levels.float() / 255, labels, FAST, seed=0)
    assert torch.equal(weights(from_levels), weights(from_floats))
    assert torch.equal(as_float(levels), levels.float() / 255)
    assert as_float(images).data_ptr() == images.data_ptr() or torch.equal(as_float(images), images)


class Recorder(nn.Module):
    """Overfits to labels that mean nothing, and keeps what it answered after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 2))
        self.answers: list[tuple[Tensor, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        if not self.training:
            self.answers.append((images[:, 0, 0, 0].clone(), logits.clone()))
        return logits


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stop_keeps_the_best_epoch(patience: int) -> None:
    generator = torch.Generator().manual_seed(6)
    images = torch.rand(200, 1, 16, 16, generator=generator)
    images[:, 0, 0, 0] = torch.arange(200) / 255  # each image says which it is
    labels = torch.randint(0, 2, (200,), generator=generator)
    training = Training(epochs=40, batch_size=32, learning_rate=5e-3, validation_share=0.2, patience=patience)
    trained = train(Recorder, images, labels, training, seed=0)
    *by_epoch, (_, kept) = trained.network.answers
    numbers = (by_epoch[0][0] * 255).round().long()
    assert len(numbers) == len(numbers.unique()) == 40  # the share that is held out, the same in every epoch
    losses = [functional.cross_entropy(logits, labels[numbers]).item() for _, logits in by_epoch]
    best = losses.index(min(losses))
    assert trained.epochs == len(losses) == best + 1 + patience < 40
    assert torch.equal(kept, by_epoch[best][1])
    assert losses[-1] > losses[best]


def test_without_patience_every_epoch_is_run(separable: Task) -> None:
    assert train(linear, *separable, FAST, seed=0).epochs == 3


class Spy(nn.Module):
    """Keeps every batch it trains on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.batches.append((images[:, 0, 0, 0] * 255).round().long())
        return self.layer(images)


def test_an_epoch_sees_every_image_but_the_held_out_once_in_no_small_batch() -> None:
    images = torch.rand(101, 1, 16, 16, generator=torch.Generator().manual_seed(7))
    images[:, 0, 0, 0] = torch.arange(101) / 255
    training = Training(epochs=2, batch_size=16, validation_share=0.2)
    trained = train(Spy, images, torch.arange(101) % 2, training, seed=0)
    batches = trained.network.batches
    assert len(batches) == 2 * (81 // 16)
    assert {len(batch) for batch in batches} == {16, 17}
    first, second = torch.cat(batches[:5]), torch.cat(batches[5:])
    assert len(first.unique()) == len(first) == 81
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)  # in another order


def test_predictions_do_not_depend_on_the_batch_size(separable: Task) -> None:
    images, labels = separable
    network = train(convolutional, images, labels, FAST, seed=0).network.train()
    torch.testing.assert_close(predict_logits(network, images, 7), predict_logits(network, images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 1}, {"optimizer": "adam"}, {"learning_rate": 0.0}, {"validation_share": 0.5},
     {"patience": 0}, {"attempts": 0}, {"epoch": 3}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Training.model_validate(wrong)
