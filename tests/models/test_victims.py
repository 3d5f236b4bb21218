"""Victims: what is read back is what was trained, or it is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from redhanded.core import file_digest
from redhanded.data import LabelledImages, Source
from redhanded.errors import RunError
from redhanded.models import (
    Training,
    VictimCard,
    VictimSpec,
    channel_statistics,
    load_victim,
    predict_logits,
    prepare,
    save_victim,
    train_victim,
)
from redhanded.models.victims import Victim


def split_of(count: int, seed: int) -> LabelledImages:
    """Images (1, 16, 16) whose bright quarter is their class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.integers(0, 80, (count, 1, 16, 16), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 8 * (label // 2) :, 8 * (label % 2) :][:8, :8] += 150
    return LabelledImages(images, labels)


SOURCE = Source("quarters", split_of(240, 0), split_of(80, 1), 4)
TRAINING = Training(epochs=8, batch_size=32, learning_rate=1e-2)
SPEC = VictimSpec(name="narrow", architecture="vgg16", width=0.0625, training=TRAINING, seed=5)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, VictimCard]:
    return train_victim(SPEC, SOURCE, weak_below=0.5)


@pytest.fixture
def saved(trained: tuple[nn.Module, VictimCard], tmp_path: Path) -> Path:
    save_victim(*trained, tmp_path)
    return tmp_path


def test_the_card_says_what_was_trained(trained: tuple[nn.Module, VictimCard]) -> None:
    network, card = trained
    images, labels = torch.from_numpy(SOURCE.test.images), torch.from_numpy(SOURCE.test.labels)
    right = (predict_logits(prepare(network), images).argmax(1) == labels).sum().item()
    assert (card.accuracy, card.n_test) == (right / 80, 80)
    assert card.interval[0] < card.accuracy < card.interval[1] or card.accuracy == 1.0
    assert card.accuracy > 0.6  # chance is 0.25
    assert (card.name, card.architecture, card.width, card.seed) == ("narrow", "vgg16", 0.0625, 5)
    assert (card.source, card.source_digest, card.classes, card.shape) == ("quarters", SOURCE.digest, 4, (1, 16, 16))
    assert card.parameters == sum(value.numel() for value in network.parameters())
    assert card.training["epochs_run"] == 8
    assert card.training["attempts"] >= 1


def test_weak_is_below_the_threshold(trained: tuple[nn.Module, VictimCard]) -> None:
    card = trained[1]
    assert not card.model_copy(update={"weak_below": card.accuracy}).too_weak
    assert card.model_copy(update={"weak_below": card.accuracy + 0.001}).too_weak


def test_the_same_spec_trains_the_same_victim(trained: tuple[nn.Module, VictimCard]) -> None:
    again, _ = train_victim(SPEC, SOURCE, weak_below=0.5)
    renamed, _ = train_victim(SPEC.model_copy(update={"name": "other"}), SOURCE, weak_below=0.5)
    other, _ = train_victim(SPEC.model_copy(update={"seed": 6}), SOURCE, weak_below=0.5)
    weights = trained[0].state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())
    assert all(torch.equal(value, weights[name]) for name, value in renamed.state_dict().items())
    assert not all(torch.equal(value, weights[name]) for name, value in other.state_dict().items())


def test_a_victim_read_back_gives_the_same_logits(trained: tuple[nn.Module, VictimCard], saved: Path) -> None:
    network, card = trained
    victim = load_victim(saved)
    images = torch.from_numpy(SOURCE.test.images)
    torch.testing.assert_close(
        predict_logits(victim.network, images), predict_logits(prepare(network), images), rtol=0, atol=0
    )
    torch.testing.assert_close(
        predict_logits(victim.network, images), predict_logits(network, images), rtol=0, atol=1e-4
    )
    assert victim.card == card.model_copy(update={"weights_digest": file_digest(saved / "weights.safetensors")})


def test_a_victim_for_use_is_frozen_and_prepared(saved: Path) -> None:
    victim: Victim = load_victim(saved)
    assert not victim.network.training
    assert not any(parameter.requires_grad for parameter in victim.network.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in victim.network.modules())


def refusal(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_victim(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_card(folder: Path, **changes: object) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("place", [0, 40, -1], ids=["header length", "header", "last weight"])
def test_one_flipped_byte_is_noticed(saved: Path, place: int) -> None:
    weights = saved / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[place] ^= 1
    weights.write_bytes(content)
    assert "SHA-256" in refusal(saved)


def test_missing_files_are_named(saved: Path) -> None:
    (saved / "weights.safetensors").unlink()
    assert str(saved / "weights.safetensors") in refusal(saved)
    (saved / "card.json").unlink()
    assert str(saved / "card.json") in refusal(saved)


def test_weights_under_the_card_of_another_network_are_refused(saved: Path) -> None:
    change_card(saved, width=0.125)
    assert "weights of this network" in refusal(saved)
    change_card(saved, width=0.0625, architecture="alexnet")
    assert "weights of this network" in refusal(saved)


def test_an_unknown_architecture_is_refused(saved: Path) -> None:
    change_card(saved, architecture="vgg19")
    assert "'vgg19'" in refusal(saved)


def test_a_damaged_card_is_refused(saved: Path) -> None:
    change_card(saved, accuracy="high")
    assert "accuracy" in refusal(saved)
    (saved / "card.json").write_text('{"name": ')
    assert "card.json" in refusal(saved)


def test_weights_that_are_no_safetensors_are_refused_though_the_card_agrees(saved: Path) -> None:
    weights = saved / "weights.safetensors"
    weights.write_bytes(b"not weights")
    change_card(saved, weights_digest=file_digest(weights))
    assert "weights of this network" in refusal(saved)


def test_a_missing_tensor_is_refused_though_the_card_agrees(saved: Path) -> None:
    weights = saved / "weights.safetensors"
    tensors = load_file(weights)
    tensors.pop("0.mean")
    save_file(tensors, weights)
    change_card(saved, weights_digest=file_digest(weights))
    assert "weights of this network" in refusal(saved)


def test_statistics_are_per_channel_and_in_units_of_the_unit_interval() -> None:
    images = torch.stack([torch.tensor([[0, 255]]), torch.tensor([[51, 51]])]).to(torch.uint8)[None]  # (1, 2, 1, 2)
    for given in (images, images.float() / 255):
        mean, deviation = channel_statistics(given)
        assert mean == pytest.approx([0.5, 0.2])
        assert deviation == pytest.approx([0.5**0.5, 1e-3], rel=1e-3)  # a flat channel is not divided by 0
