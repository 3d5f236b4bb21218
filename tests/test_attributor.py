"""What holds for every row of `ATTRIBUTORS`: fit, answer, and come back from disk the same, or be refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from redhanded.attributors import ATTRIBUTORS, Attributor, Cnn6, Cnn6Settings
from redhanded.errors import RunError
from redhanded.samples import Samples
from redhanded.training import Training

TRAINING = Training(epochs=4, batch_size=32, learning_rate=1e-2)
# The cheapest settings of each row that still learn the task below.
CHEAP = {"cnn6": Cnn6Settings(width=0.125, training=TRAINING)}
every_attributor = pytest.mark.parametrize("kind", ATTRIBUTORS)


def made(kind: str, seed: int = 0) -> Attributor:
    attributor: Attributor = ATTRIBUTORS[kind].attributor(CHEAP[kind], seed)
    return attributor


@pytest.fixture(scope="module")
def samples(separable: tuple[Tensor, Tensor]) -> Samples:
    return Samples(*separable, ("left", "right"))


@pytest.fixture(scope="module", params=ATTRIBUTORS)
def fitted(request: pytest.FixtureRequest, samples: Samples) -> Attributor:
    return made(request.param).fit(samples)


@pytest.fixture
def saved(fitted: Attributor, tmp_path: Path) -> Path:
    fitted.save(tmp_path)
    return tmp_path


@every_attributor
def test_fit_returns_itself_with_its_learned_names(kind: str, samples: Samples) -> None:
    attributor = made(kind)
    assert attributor.fit(samples) is attributor
    assert attributor.kind == kind
    assert attributor.knowledge in ("blind", "candidates", "oracle")
    assert attributor.classes_ == ("left", "right")
    assert attributor.shape_ == (1, 16, 16)
    assert (attributor.attempts_, attributor.collapsed_) == (1, False)


def test_a_separable_task_is_learned(fitted: Attributor, samples: Samples) -> None:
    assert (fitted.predict_log_proba(samples).argmax(1) == samples.labels).float().mean() > 0.95


def test_log_probabilities(fitted: Attributor, samples: Samples) -> None:
    found = fitted.predict_log_proba(samples)
    assert found.shape == (240, 2)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(240))
    assert found.max() <= 0


def test_an_answer_depends_neither_on_neighbours_nor_on_the_labels(fitted: Attributor, samples: Samples) -> None:
    together = fitted.predict_log_proba(samples)[:5]
    alone = Samples(samples.images[:5], torch.zeros(5, dtype=torch.int64), samples.classes)
    torch.testing.assert_close(fitted.predict_log_proba(alone), together, rtol=0, atol=1e-5)


@every_attributor
def test_the_seed_decides(kind: str, samples: Samples) -> None:
    torch.manual_seed(1)
    one = made(kind, 3).fit(samples).predict_log_proba(samples)
    torch.manual_seed(2)
    again, other = (made(kind, seed).fit(samples).predict_log_proba(samples) for seed in (3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_fitting_leaves_the_samples(fitted: Attributor, samples: Samples) -> None:
    before = samples.images.clone()
    made(fitted.kind).fit(samples)
    assert torch.equal(samples.images, before)


def test_read_back_it_answers_the_same(fitted: Attributor, saved: Path, samples: Samples) -> None:
    back = Attributor.load(saved)
    assert type(back) is type(fitted)
    assert torch.equal(back.predict_log_proba(samples), fitted.predict_log_proba(samples))
    for name in ("classes_", "shape_", "attempts_", "collapsed_", "seed", "settings"):
        assert getattr(back, name) == getattr(fitted, name)


def test_on_disk_are_weights_and_a_card_alone(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == {"card.json", "weights.safetensors"}


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
        ({"settings": {"width": 1.0}}, "weights of this network"),
        ({"classes": ["a", "b", "c"]}, "weights of this network"),
        ({"weights_digest": "0" * 64}, "SHA-256"),
        ({"seed": "x"}, "seed"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_damaged_card_is_told_in_one_line(saved: Path, changes: dict[str, object], says: str) -> None:
    path = saved / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert says in refusal(saved)


def test_damaged_or_missing_files_are_told_in_one_line(saved: Path) -> None:
    weights = saved / "weights.safetensors"
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
    assert Cnn6().settings == Cnn6Settings(width=1.0, training=Training())


def test_a_collapse_is_reported(samples: Samples) -> None:
    # A step of this size drives the last bias so far that every image gets one class.
    training = Training(epochs=1, batch_size=64, optimizer="sgd", learning_rate=1e4, attempts=2)
    attributor = Cnn6(Cnn6Settings(width=0.125, training=training)).fit(samples)
    assert (attributor.collapsed_, attributor.attempts_) == (True, 2)
