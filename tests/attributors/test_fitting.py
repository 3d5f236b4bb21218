"""`redhanded.fit`: an attributor of one's own from adversarial sets, with the manners of scikit-learn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_checks
from torch import Tensor, nn

import redhanded
from redhanded.attacks import Clean
from redhanded.attributors import AttackClassifier, Candidates, NetworkSettings, fitting
from redhanded.attributors.estimator import blind_attributors
from redhanded.data import round_to_uint8
from redhanded.errors import DataError, RedhandedError, RunError
from redhanded.models import Training
from redhanded.sets import AdversarialSet, Samples, attack_images, write_shard

SETTINGS = {"width": 0.25, "training": {"epochs": 12, "batch_size": 32, "learning_rate": 1e-2}}
QUICK = {"width": 0.125, "training": {"epochs": 4, "batch_size": 32, "learning_rate": 1e-2}}
ATTACKS = [
    redhanded.FGSM(norm="l2", eps=6.0),
    redhanded.FGSM(norm="linf", eps=0.5),
    redhanded.DeepFool(norm="l2", overshoot=0.2),
    redhanded.DeepFool(norm="linf", overshoot=0.2),
]
TRAIN = slice(0, 160)  # of the source images; the others are for tests
MODEL = """
import torch
from torch import nn


def halves():
    weight = torch.cat([torch.ones(2, 1, 16, 8), -torch.ones(2, 1, 16, 8)], 3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(weight.flatten(1) * torch.tensor([[0.1], [-0.1]]))
    return network.eval()
"""


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Which half is brighter."""
    names: dict[str, Any] = {}
    exec(MODEL, names)  # noqa: S102 (our own)
    network: nn.Module = names["halves"]()
    return network


@pytest.fixture(scope="module")
def sets(model: nn.Module, separable: tuple[Tensor, Tensor]) -> list[AdversarialSet]:
    return redhanded.generate(model, *(part[TRAIN] for part in separable), ATTACKS)


@pytest.fixture(scope="module")
def test_sets(model: nn.Module, separable: tuple[Tensor, Tensor]) -> list[AdversarialSet]:
    return redhanded.generate(model, *(part[TRAIN.stop :] for part in separable), ATTACKS)


@pytest.fixture(scope="module")
def fitted(sets: list[AdversarialSet]) -> AttackClassifier:
    return redhanded.fit(sets, question="attack", settings=SETTINGS)


class Given(list[tuple[Tensor, np.ndarray, np.ndarray]]):
    """What the classifier was fitted on: images, names, index."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    calls = Given()
    monkeypatch.setattr(
        AttackClassifier, "fit", lambda self, images, y, index: calls.append((images, y, index)) or self
    )
    return calls


def fooling_only(made: AdversarialSet, rows: Tensor, pixels: str = "float32") -> AdversarialSet:
    """The same set where no other images than those at `rows`, (n,) bool, fool their victim under a pixel protocol."""
    prediction = torch.where(rows, made.predictions[pixels], made.label)
    return replace(made, predictions={**made.predictions, pixels: prediction})


def asked(sets: list[AdversarialSet]) -> tuple[np.ndarray, list[str]]:
    """Images that fool their victim, and the labels of their attacks."""
    images = np.concatenate([made.images[made.success("float32")].numpy() for made in sets])
    return images, [made.attack.label for made in sets for _ in range(int(made.success("float32").sum()))]


def test_it_names_attacks_on_images_it_has_not_seen(fitted: AttackClassifier, test_sets: list[AdversarialSet]) -> None:
    images, names = asked(test_sets)
    assert fitted.classes_.tolist() == sorted(attack.label for attack in ATTACKS)
    assert set(fitted.predict(images)) <= set(fitted.classes_)
    assert fitted.score(images, names) > 0.6  # chance is 0.25
    assert fitted.score(images, names) == np.mean(fitted.predict(images) == np.array(names))


def test_probabilities_are_the_calibrated_answer_in_the_order_of_the_classes(
    fitted: AttackClassifier, test_sets: list[AdversarialSet]
) -> None:
    images, _ = asked(test_sets)
    shares = fitted.predict_proba(images)
    assert shares.shape == (len(images), 4)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-12)
    assert (fitted.classes_[shares.argmax(1)] == fitted.predict(images)).all()
    own = fitted.attributor_.predict_log_proba(Samples(torch.from_numpy(images), torch.zeros(0), ()))
    expected = (own.double() / fitted.answer_.temperature).softmax(1).numpy()
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    np.testing.assert_allclose(fitted.predict_proba(torch.from_numpy(images[:1])), shares[:1], atol=1e-5)
    assert fitted.predict_proba(images[:0]).shape == (0, 4)
    assert fitted.predict(images[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("question", "classes"),
    [
        ("family", {"deepfool": 2, "fgsm": 2}),
        ("norm", {"l2": 2, "linf": 2}),
        ("setting", {"eps=0.5": 1, "eps=6.0": 1, "overshoot=0.2": 2}),
        ("attack", {attack.label: 1 for attack in ATTACKS}),
        (lambda made: "mine" if made.attack == ATTACKS[0] else "theirs", {"mine": 1, "theirs": 3}),
    ],
)
def test_classes_are_equal_and_hold_only_what_fools_its_victim(
    sets: list[AdversarialSet],
    given: Given,
    question: str | Callable[[AdversarialSet], str],
    classes: dict[str, int],
) -> None:
    some = torch.arange(160) % 4 > 0  # so that one attack has images that failed
    sets = [fooling_only(sets[0], some), *sets[1:]]
    redhanded.fit(sets, question=question)
    ((images, names, index),) = given
    found, counts = np.unique(names, return_counts=True)
    assert found.tolist() == sorted(classes)
    assert len(set(counts)) == 1
    ask = fitting.QUESTIONS.get(question, question) if isinstance(question, str) else question
    for name in found:
        own = index[names == name]
        assert len(set(own)) == len(own)
        for image, source in zip(images[names == name], own, strict=True):
            came = [made for made in sets if ask(made) == name and torch.equal(made.images[source], image)]
            assert any(made.success("float32")[source] for made in came)
    assert len({tuple(index[names == name]) for name in found}) == 1  # paired: the very same source images


def test_classes_that_share_no_source_images_are_made_equal(sets: list[AdversarialSet], given: Given) -> None:
    first, second = torch.arange(160) < 70, torch.arange(160) >= 70
    one = fooling_only(sets[0], first)
    redhanded.fit([one, fooling_only(sets[2], second)])
    ((_, names, index),) = given
    counts = [int((names == name).sum()) for name in ("fgsm", "deepfool")]
    assert counts[0] == counts[1] == int(one.success("float32").sum())
    assert not set(index[names == "fgsm"]) & set(index[names == "deepfool"])


def test_of_a_control_those_that_were_rightly_classified(
    model: nn.Module, separable: tuple[Tensor, Tensor], sets: list[AdversarialSet], given: Given
) -> None:
    images, labels = (part[TRAIN] for part in separable)
    wrong = torch.where(torch.arange(160) < 20, 1 - labels, labels)
    (control,) = redhanded.generate(model, images, wrong, [Clean()])
    redhanded.fit([control, sets[0]])
    ((_, names, index),) = given
    assert (names == "clean").sum() == (names == "fgsm").sum() >= 50
    assert index[names == "clean"].min() >= 20


def test_uint8_takes_what_still_fools_after_rounding_and_rounds(sets: list[AdversarialSet], given: Given) -> None:
    kept = torch.arange(160) >= 80
    redhanded.fit([fooling_only(made, kept, "uint8") for made in sets], pixels="uint8")
    ((images, _, index),) = given
    assert torch.equal(round_to_uint8(images), images)
    assert index.min() >= 80


def test_sets_on_disk_give_the_same_and_those_of_two_sources_are_not_mixed_up(
    sets: list[AdversarialSet], given: Given, tmp_path: Path
) -> None:
    def write(name: str, made: AdversarialSet, **provenance: str) -> Path:
        write_shard(tmp_path / name, 0, 160, 160, made.columns(), {"attack": str(made.attack), **provenance})
        return tmp_path / name

    same = [write(f"{place}.zarr", made, source_digest="a") for place, made in enumerate(sets)]
    redhanded.fit(sets)
    redhanded.fit(map(str, same))
    for one, two in zip(*given, strict=True):
        np.testing.assert_array_equal(one, two)
    apart = [same[0], write("other.zarr", sets[2], source_digest="b")]
    again = [write("train.zarr", sets[0], split="train"), write("test.zarr", sets[2], split="test")]
    for paths in (apart, again):
        given.clear()
        redhanded.fit(paths)
        ((_, names, index),) = given
        assert not set(index[names == "fgsm"]) & set(index[names == "deepfool"])


def test_sets_of_redhanded_attack_are_fitted(tmp_path: Path, separable: tuple[Tensor, Tensor]) -> None:
    images, labels = separable
    np.savez(tmp_path / "own.npz", images=images.numpy(), labels=labels.numpy())
    (tmp_path / "model.py").write_text(MODEL)
    victim = f"{tmp_path / 'model.py'}:halves"
    attack_images(victim, tmp_path / "own.npz", ATTACKS[::2], tmp_path / "sets")
    found = redhanded.fit((tmp_path / "sets").glob("*.zarr"), question="family", settings=QUICK)
    assert found.classes_.tolist() == ["deepfool", "fgsm"]


def test_a_mapping_has_its_own_classes_and_any_kind_of_array(sets: list[AdversarialSet], given: Given) -> None:
    levels = (255 * sets[0].images).round().to(torch.uint8)
    redhanded.fit({"mine": levels.numpy(), "theirs": sets[2].images[:90].double()})
    ((images, names, index),) = given
    assert names.tolist() == ["mine"] * 90 + ["theirs"] * 90
    assert images.dtype == torch.float32
    assert torch.equal(images[names == "theirs"], sets[2].images[:90])
    assert len(set(index)) == 180  # each image is its own source image


@pytest.mark.parametrize("attributor", blind_attributors())
def test_every_attributor_that_sees_the_image_alone(
    sets: list[AdversarialSet], attributor: str, tmp_path: Path
) -> None:
    found = redhanded.fit(sets, "norm", attributor=attributor, settings=QUICK, seed=3)
    assert (found.attributor_.kind, found.attributor_.seed) == (attributor, 3)
    found.save(tmp_path / "mine")
    loaded = AttackClassifier.load(tmp_path / "mine")
    assert loaded.classes_.tolist() == ["l2", "linf"]
    images = sets[0].images[:9]
    np.testing.assert_array_equal(loaded.predict_proba(images), found.predict_proba(images))
    again = clone(loaded)
    assert again.get_params() == loaded.get_params()
    assert again.settings.width == 0.125
    assert [path.suffix for path in sorted((tmp_path / "mine").iterdir())] == [".json", ".safetensors", ".safetensors"]


def test_the_seed_decides(sets: list[AdversarialSet]) -> None:
    images = sets[0].images[:5]
    torch.manual_seed(5)
    one = redhanded.fit(sets, settings=QUICK).predict_proba(images)
    torch.manual_seed(6)
    np.testing.assert_array_equal(redhanded.fit(sets, settings=QUICK).predict_proba(images), one)
    assert (redhanded.fit(sets, settings=QUICK, seed=1).predict_proba(images) != one).any()


# scikit-learn


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_conventions_of_scikit_learn(check: Callable[[str, AttackClassifier], None]) -> None:
    check("AttackClassifier", AttackClassifier())


def test_fit_returns_itself_and_leaves_parameters_and_inputs_as_they_were(sets: list[AdversarialSet]) -> None:
    images, names = asked(sets)
    before = images.copy()
    classifier = AttackClassifier(settings=QUICK)
    params = classifier.get_params()
    assert classifier.fit(images, names) is classifier
    assert classifier.get_params() == params
    assert classifier.settings is QUICK
    np.testing.assert_array_equal(images, before)
    unfitted = clone(classifier)
    assert unfitted.get_params() == params
    with pytest.raises(NotFittedError):
        unfitted.predict(images)
    with pytest.raises(NotFittedError):
        unfitted.save(Path("nowhere"))


def test_it_is_fitted_again_on_other_classes(fitted: AttackClassifier, sets: list[AdversarialSet]) -> None:
    images, _ = asked(sets)
    numbers = np.arange(len(images)) % 3
    again = clone(fitted).set_params(settings=QUICK).fit(images, numbers).fit(images, numbers + 1)
    assert again.classes_.tolist() == [1, 2, 3]
    assert set(again.predict(images)) <= {1, 2, 3}


def test_a_grid_search_takes_it(sets: list[AdversarialSet]) -> None:
    images, names = asked(sets)
    wide = {**QUICK, "width": 0.25}
    search = GridSearchCV(AttackClassifier(), {"settings": [QUICK, wide]}, cv=2, error_score="raise")
    search.fit(images, names)
    assert search.best_params_["settings"] in (QUICK, wide)
    assert 0 <= search.best_score_ <= 1


def test_variants_of_a_source_image_are_held_out_together(sets: list[AdversarialSet]) -> None:
    images, names = asked(sets)
    index = np.arange(len(images)) % 50
    held = AttackClassifier(settings=QUICK).fit(images, names, index=index).attributor_.held_out_
    assert len(held.labels) == np.isin(index, held.index.unique().numpy()).sum()


def test_a_collapse_is_told(sets: list[AdversarialSet]) -> None:
    images, names = asked(sets)
    training = Training(epochs=1, learning_rate=1e-12, attempts=1)
    with pytest.warns(ConvergenceWarning, match="found one given to every held-out image"):
        AttackClassifier(settings=NetworkSettings(width=0.125, training=training)).fit(images, names)


# Mistakes


def few(sets: list[AdversarialSet]) -> list[AdversarialSet]:
    return [fooling_only(sets[0], sets[0].success("float32").cumsum(0) < 50), *sets[1:]]


def other_size(sets: list[AdversarialSet]) -> list[AdversarialSet]:
    return [replace(sets[0], images=sets[0].images[..., :-1]), *sets[1:]]


BAD_SETS: dict[str, tuple[Callable[[list[AdversarialSet]], Any], dict[str, Any], str]] = {
    "one set": (lambda sets: sets[0], {}, "expected a list of sets or a mapping"),
    "one path": (lambda sets: "a.zarr", {}, "expected a list of sets or a mapping"),
    "none": (lambda sets: [], {}, "two or more classes, found none"),
    "one class": (lambda sets: sets[:2], {}, "two or more classes, found fgsm"),
    "a number": (lambda sets: [3], {}, "expected adversarial sets or their paths, found int"),
    "too few": (few, {"question": "attack"}, "expected 50 or more .* found 49 of fgsm-l2-eps=6.0"),
    "sizes": (other_size, {}, r"one shape .* found \(1, 16, 15\) and \(1, 16, 16\)"),
    "question": (lambda sets: sets, {"question": "victim"}, "expected a question of family, norm"),
    "no name": (lambda sets: sets, {"question": lambda made: None}, "expected the name of a class of fgsm"),
    "pixels": (lambda sets: sets, {"pixels": "uint16"}, "expected pixels of float32, uint8, .*found 'uint16'"),
    "attributor": (lambda sets: sets, {"attributor": "oracle"}, "expected an attributor of .* found 'oracle'"),
    "settings": (lambda sets: sets, {"settings": {"width": 9}}, "found: settings.width"),
    "training": (lambda sets: sets, {"settings": {"training": {"epoch": 1}}}, "found: settings.training.epoch"),
    "empty": (lambda sets: {"a": np.zeros((0, 1, 16, 16), np.uint8), "b": sets[0].images}, {}, "found 0 of a"),
    "no images": (lambda sets: {"a": np.zeros(3), "b": sets[0].images}, {}, r"a: expected images .* shape \(3,\)"),
    "ragged": (lambda sets: {"a": [[1], [1, 2]], "b": sets[0].images}, {}, "a: expected images of one size"),
    "integers": (lambda sets: {"a": np.zeros((60, 1, 16, 16), int), "b": sets[0].images}, {}, "found int64"),
    "above 1": (lambda sets: {"a": 255 * sets[0].images, "b": sets[0].images}, {}, r"values in \[0, 1\], found"),
    "not a number": (lambda sets: {"a": sets[0].images * torch.nan, "b": sets[0].images}, {}, "found nan to nan"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_mistakes_are_told_in_one_line(sets: list[AdversarialSet], name: str) -> None:
    change, options, message = BAD_SETS[name]
    with pytest.raises(DataError, match=message) as told:
        redhanded.fit(change(sets), **options)
    assert "\n" not in str(told.value)


def test_a_path_without_a_set_or_without_its_attack(sets: list[AdversarialSet], tmp_path: Path) -> None:
    write_shard(tmp_path / "nameless.zarr", 0, 160, 160, sets[0].columns(), {})
    for path in (tmp_path / "none.zarr", tmp_path / "nameless.zarr"):
        with pytest.raises(RunError, match="expected"):
            redhanded.fit([path, *sets])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": ["a"] * 3}, r"expected y of shape \(160,\)"),
        ({"y": ["a"] * 160}, "two or more classes, found 1"),
        ({"index": [0]}, r"expected index of shape \(160,\)"),
        ({"index": np.linspace(0, 1, 160)}, "expected integers as index"),
    ],
)
def test_mistakes_of_fit(sets: list[AdversarialSet], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        AttackClassifier().fit(sets[0].images, **({"y": ["a", "b"] * 80} | changes))


def test_mistakes_after_fitting(fitted: AttackClassifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected images of \(1, 16, 16\)"):
        fitted.predict(np.zeros((2, 3, 16, 16), np.uint8))
    with pytest.raises(RedhandedError, match="expected a AttributorCard"):
        AttackClassifier.load(tmp_path)
    victims = {"one": nn.Sequential(nn.Flatten(), nn.Linear(256, 3)).requires_grad_(False)}
    samples = Samples(torch.rand(64, 1, 16, 16), torch.arange(64) % 2, ("a", "b"), victims=victims)
    Candidates(NetworkSettings(width=0.1, training=Training(epochs=1))).fit(samples).save(tmp_path)
    with pytest.raises(DataError, match="found candidates"):
        AttackClassifier.load(tmp_path)
