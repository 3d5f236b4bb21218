"""What an attributor that was taught a class keeps of what it knew, and what its answers are calibrated by."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from redhanded.attributors import Attributor, CalibrationSet, Forensic, NetworkSettings, Taught, TaughtSettings, teach
from redhanded.attributors.few_shot import BUDGET
from redhanded.errors import RunError
from redhanded.models import Training
from redhanded.sets import Samples
from redhanded.testing import two_class_samples

FAMILIES = {"left": ["left"], "right": ["right"]}


def top(count: int, seed: int = 7) -> Samples:
    """Images that are bright in the upper half, which is neither of the two known classes."""
    images = 0.3 * torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    images[:, :, :8] += 0.6
    return Samples(images, torch.zeros(count, dtype=torch.int64), ("top",))


@pytest.fixture(scope="module")
def inner() -> Attributor:
    training = Training(epochs=4, batch_size=32, learning_rate=1e-2)
    return Forensic(NetworkSettings(width=0.125, training=training)).fit(two_class_samples())


@pytest.fixture(scope="module")
def taught(inner: Attributor) -> Taught:
    return teach(inner, top(8), FAMILIES)


def test_a_class_is_named_after_eight_images_of_it_and_the_known_are_named_as_before(taught: Taught) -> None:
    named = taught.predict_log_proba(top(50, seed=8)).argmax(1)
    assert (named == 2).float().mean() > 0.9
    known = two_class_samples()
    assert (taught.predict_log_proba(known).argmax(1) == known.labels).float().mean() > 0.95


def test_known_classes_keep_their_shares_of_what_the_new_one_leaves(inner: Attributor, taught: Taught) -> None:
    samples = two_class_samples()
    samples = replace(samples, images=torch.cat([samples.images, top(50).images]))
    before, after = inner.predict_log_proba(samples), taught.predict_log_proba(samples)
    assert taught.classes_ == ("left", "right", "top")
    torch.testing.assert_close(after[:, 0] - after[:, 1], before[:, 0] - before[:, 1], rtol=0, atol=1e-4)
    torch.testing.assert_close(after.exp().sum(1), torch.ones(len(after)), rtol=0, atol=1e-5)


def test_what_was_taught_before_keeps_its_share_too(taught: Taught) -> None:
    samples, dark = two_class_samples(), torch.zeros(4, 1, 16, 16)
    dark[:, :, 4:12, 4:12] = torch.tensor([0.5, 0.6, 0.7, 0.8])[:, None, None, None]
    twice = teach(taught, Samples(dark, torch.zeros(4, dtype=torch.int64), ("middle",)), FAMILIES | {"top": ["top"]})
    before, after = taught.predict_log_proba(samples), twice.predict_log_proba(samples)
    assert twice.classes_ == ("left", "right", "top", "middle")
    torch.testing.assert_close(after[:, :3].log_softmax(1), before, rtol=0, atol=1e-4)
    assert twice.inner_ is taught.inner_


def test_it_is_calibrated_on_what_each_new_image_is_called_by_the_others(inner: Attributor) -> None:
    """One image among those of another class: without it nothing speaks for it, and its answer says so."""
    odd = torch.cat([top(8).images, two_class_samples().images[:1]])
    taught = teach(inner, Samples(odd, torch.zeros(9, dtype=torch.int64), ("top",)), FAMILIES)
    held = taught.held_out_
    assert torch.equal(held.labels, torch.cat([inner.held_out_.labels, torch.full((9,), 2)]))
    assert torch.equal(held.features[-9:], inner.answer(Samples(odd, held.labels[-9:], ())).features)
    own = held.log_proba[-9:, 2]
    assert own[-1] < own[:-1].min() - 1
    assert own[-1] < taught.predict_log_proba(Samples(odd, held.labels[-9:], ()))[-1, 2]


def test_known_images_lose_no_more_than_the_budget(inner: Attributor) -> None:
    """New images that are known ones by another name: nothing tells them apart, and the known ones keep their name."""
    held = inner.held_out_
    many = CalibrationSet(*(value.repeat(10, *[1] * (value.ndim - 1)) for value in vars(held).values()))
    known = Taught.around(inner).made_of(inner, (), (), many)
    samples = two_class_samples()
    copies = Samples(samples.images[:20:2], samples.labels[:20:2], ("again",))
    taught = teach(known, copies, FAMILIES)
    answers = taught.held_out_.log_proba[: len(many.labels)].argmax(1)
    right = many.log_proba.argmax(1) == many.labels
    assert (right & (answers == 2)).sum() <= BUDGET * len(right)


def test_the_attributor_that_is_taught_stays_as_it_was(inner: Attributor) -> None:
    samples = two_class_samples()
    before = inner.predict_log_proba(samples)
    teach(inner, top(3), FAMILIES)
    assert torch.equal(inner.predict_log_proba(samples), before)
    assert inner.classes_ == ("left", "right")


def test_read_back_it_is_the_same_to_the_bit(taught: Taught, tmp_path: Path) -> None:
    taught.save(tmp_path)
    back = Attributor.load(tmp_path)
    samples = two_class_samples()
    assert torch.equal(back.predict_log_proba(samples), taught.predict_log_proba(samples))
    for name, value in vars(taught.held_out_).items():
        assert torch.equal(getattr(back.held_out_, name), value), name
    assert (back.classes_, back.settings, back.knowledge) == (taught.classes_, taught.settings, "blind")


def test_it_knows_what_its_inner_attributor_knows() -> None:
    assert Taught(TaughtSettings(inner="candidates")).knowledge == "candidates"
    for inner in ("taught", "cnn6", "elf"):
        with pytest.raises(RunError, match=f"expected an inner attributor of forensic, .*, found '{inner}'"):
            Taught(TaughtSettings(inner=inner))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: tensors.update(weights=tensors["weights"][:, 1:]), "expected 1 heads on"),
        (lambda tensors: tensors.update(bias=tensors["bias"].repeat(2)), "expected 1 heads on"),
        (lambda tensors: tensors["deviation"].fill_(0), "with deviations over 0"),
        (lambda tensors: tensors.update(mean=tensors["mean"].double()), "expected 1 heads on"),
        (lambda tensors: tensors.pop("bias"), "expected 1 heads on"),
    ],
)
def test_heads_of_another_shape_are_refused(taught: Taught, tmp_path: Path, change: object, says: str) -> None:
    from redhanded.core import file_digest

    taught.save(tmp_path)
    path, card = tmp_path / "heads.safetensors", tmp_path / "card.json"
    tensors = load_file(path)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path)
    content = json.loads(card.read_text())
    content["files"][path.name] = file_digest(path)
    card.write_text(json.dumps(content))
    with pytest.raises(RunError, match=says):
        Attributor.load(tmp_path)
