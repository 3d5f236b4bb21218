"""Contract tests: the laws that every attack and every attributor must keep, ours and other packages'.

Each law is a function of a dict, its name the sentence that must hold; it raises an AssertionError of one line.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from redhanded.attacks import ATTACKS, AttackKind, AttackOutput, AttackSpec, parse_attack
from redhanded.attributors import ATTRIBUTORS, Attributor, AttributorKind
from redhanded.errors import RunError
from redhanded.sets import Samples

Case = TypeVar("Case")


def check_attack(spec: AttackSpec, kind: AttackKind | None = None) -> None:
    """Check a specification against all laws of attacks, on a small network and seven images of 8 x 8 pixels.

    kind: the row of the attack; that of `ATTACKS` for its family unless given. Take parameters that make it quick.
    Raises AssertionError in one line for the first law that does not hold.
    """
    _hold(str(spec), ATTACK_LAWS, AttackCase(spec, kind or ATTACKS[spec.family]))


def check_attributor(name_or_row: str | AttributorKind, settings: BaseModel | Mapping[str, Any], seed: int = 0) -> None:
    """Check an attributor against all laws of attributors, on 240 images of 16 x 16 pixels in two easy classes.

    name_or_row: its name in `ATTRIBUTORS`, or its row. settings: some that make it quick and let it learn the task.
    Raises AssertionError in one line for the first law that does not hold.
    """
    row = ATTRIBUTORS[name_or_row] if isinstance(name_or_row, str) else name_or_row
    _hold(row.attributor.kind, ATTRIBUTOR_LAWS, AttributorCase(row, row.settings.model_validate(settings), seed))


def _hold(what: str, laws: Mapping[str, Callable[[Case], None]], case: Case) -> None:
    for name, law in laws.items():
        try:
            law(case)
        except AssertionError as error:
            raise AssertionError(f"{what}: {name}; {error}") from None
        except Exception as error:
            raise AssertionError(f"{what}: {name}; expected no error, found {type(error).__name__}: {error}") from error


def _expect(holds: bool | Tensor, expected: str) -> None:
    if not holds:
        raise AssertionError(f"expected {expected}")


def _equal(one: Tensor, other: Tensor, expected: str, tolerance: float = 0.0) -> None:
    """Raise AssertionError unless both have one shape and differ nowhere by more than the tolerance."""
    _expect(one.shape == other.shape and one.dtype == other.dtype, expected)
    off = (one.double() - other.double()).abs().max().item() if one.numel() else 0.0
    _expect(off <= tolerance, f"{expected}, found a difference of {off:.3g}")  # NaN fails too


def _refusal(error_type: type[Exception], action: Callable[..., object], *given: object) -> str | None:
    """Return the text of the error of this type that an action raises, or None where it raises none."""
    try:
        action(*given)
    except error_type as error:
        return str(error)
    return None


def small_network(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Make a network with batch normalisation, buffers and trainable parameters: (n, 3, 8, 8) -> (n, 4)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        layers = (
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4),
        )  # fmt: skip
        with torch.no_grad():
            layers[-1].weight.mul_(4)  # wider margins than an untrained network has
    return nn.Sequential(*layers).to(dtype).eval()


def small_batch(n: int = 7, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Make images (n, 3, 8, 8), some of whose pixels are 0 or 1, and the classes that `small_network` gives them."""
    generator = torch.Generator().manual_seed(11)
    images = (torch.rand(n, 3, 8, 8, generator=generator, dtype=torch.float64) * 1.2 - 0.1).clamp(0, 1).to(dtype)
    with torch.no_grad():
        return images, small_network(dtype)(images).argmax(1)


@dataclass(frozen=True)
class AttackCase:
    """A specification that is checked, and its row."""

    spec: AttackSpec
    kind: AttackKind

    def run(self, model: nn.Module, *batch: Tensor, spec: AttackSpec | None = None) -> AttackOutput:
        """Run the attack on a batch (images, labels), `small_batch` unless given, and its specification or another."""
        images, labels = batch or small_batch()
        outputs = self.kind.run(model, images, labels, [spec or self.spec])
        _expect(len(outputs) == 1, f"one output for one specification, found {len(outputs)}")
        return outputs[0]


def _row_and_specification_agree(case: AttackCase) -> None:
    spec = case.spec
    _expect(isinstance(spec, case.kind.spec), f"a specification of {case.kind.spec.__name__}, the row's")
    _expect(set(spec.setting) == set(spec.setting_names), "a parameter for each of setting_names")
    _expect(f"{spec.label}-".startswith(f"{spec.family}-{spec.norm}-"), f"a label of family and norm, not {spec.label}")
    frozen = "a frozen specification that can be hashed"
    _expect(hash(spec) == hash(spec.model_copy()), frozen)
    _expect(_refusal(ValueError, setattr, spec.model_copy(), "norm", spec.norm) is not None, frozen)
    if ATTACKS.get(spec.family) is case.kind:
        _expect(parse_attack(str(spec)) == spec, f"that parsing {spec} gives the specification")


def _images_keep_shape_type_and_range(case: AttackCase) -> None:
    for dtype in (torch.float32, torch.float64):
        images, labels = small_batch(dtype=dtype)
        attacked, steps = case.run(small_network(dtype), images, labels)
        _expect(attacked.shape == images.shape, f"images of shape {tuple(images.shape)}, found {tuple(attacked.shape)}")
        _expect(attacked.dtype == dtype, f"images of {dtype}, found {attacked.dtype}")
        _expect(not attacked.requires_grad, "images that ask for no gradient")
        _expect(bool(attacked.min() >= 0 and attacked.max() <= 1), "images in [0, 1]")
        _expect(steps.shape == labels.shape and steps.dtype == torch.int64, "steps as int64, (n,)")
        most = 0 if case.kind.control else torch.inf
        least = int(case.kind.uses_gradient and not case.kind.control)
        asked_as_said = ((steps >= least) & (steps <= most)).all()
        _expect(asked_as_said, f"{least} to {most} steps for each image, how often the model was asked")


def _no_image_or_no_specification_is_a_batch_too(case: AttackCase) -> None:
    images, labels = small_batch()
    output = case.run(small_network(), images[:0], labels[:0])
    _expect(output.images.shape == (0, 3, 8, 8), f"no images of no images, found shape {tuple(output.images.shape)}")
    _expect(output.steps.shape == (0,) and output.steps.dtype == torch.int64, "no steps, int64, of no images")
    _expect(case.kind.run(small_network(), images, labels, []) == [], "no output of no specification")


def _results_are_deterministic_and_draw_nothing(case: AttackCase) -> None:
    state = torch.get_rng_state()
    first, second = (case.run(small_network()) for _ in range(2))
    _equal(first.images, second.images, "the same images when run again")
    _equal(first.steps, second.steps, "the same steps when run again")
    _equal(torch.get_rng_state(), state, "the global random state as it was")


def _neighbours_do_not_matter(case: AttackCase) -> None:
    model, (images, labels) = small_network(), small_batch()
    whole = case.run(model)
    alone = [case.run(model, images[i : i + 1], labels[i : i + 1]) for i in range(len(images))]
    same = "the same of an image alone as in its batch"
    _equal(whole.images, torch.cat([output.images for output in alone]), f"{same}: images", 1e-9)
    _equal(whole.steps, torch.cat([output.steps for output in alone]), f"{same}: steps")
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    permuted = case.run(model, images[order], labels[order])
    _equal(permuted.images, whole.images[order], "the same of a batch in another order: images", 1e-9)
    _equal(permuted.steps, whole.steps[order], "the same of a batch in another order: steps")


def _several_settings_in_one_call_are_each_as_if_alone(case: AttackCase) -> None:
    if not case.spec.setting:
        return
    model, name = small_network(), case.spec.setting_names[0]
    other = case.spec.model_copy(update={name: 2 * getattr(case.spec, name)})
    together = case.kind.run(model, *small_batch(), [case.spec, other])
    _expect(len(together) == 2, f"an output for each of two specifications, found {len(together)}")
    for output, spec in zip(together, (case.spec, other), strict=True):
        _equal(output.images, case.run(model, spec=spec).images, f"the same of {spec} as alone")
    _expect(not torch.equal(together[0].images, together[1].images), f"other images with {name} doubled")


def _inputs_and_model_are_untouched(case: AttackCase) -> None:
    model, (images, labels) = small_network(), small_batch()
    output = case.run(model, images, labels)
    _expect(output.images.data_ptr() != images.data_ptr(), "images in memory of their own, found the input's")
    for what, given, before in zip(("input images", "labels"), (images, labels), small_batch(), strict=True):
        _equal(given, before, f"the {what} as they were")
    _expect(not images.requires_grad and images.grad is None, "input images without gradients")
    state = small_network().state_dict()
    for name, value in model.state_dict().items():
        _equal(value, state[name], f"the model's {name} as it was")
    parameters = list(model.parameters())
    _expect(all(one.grad is None and one.requires_grad for one in parameters), "parameters as they were, no gradients")
    _expect(not any(module.training for module in model.modules()), "the model in evaluation mode")


def _gradients_may_be_off_or_parameters_frozen(case: AttackCase) -> None:
    expected = case.run(small_network()).images
    with torch.no_grad():
        _equal(case.run(small_network()).images, expected, "the same under torch.no_grad")
        _expect(not torch.is_grad_enabled(), "gradients left off where they were")
    frozen = small_network().requires_grad_(False)
    _equal(case.run(frozen).images, expected, "the same of a model with frozen parameters")


def _channels_last_images_work(case: AttackCase) -> None:
    model, (images, labels) = small_network().to(memory_format=torch.channels_last), small_batch()
    output = case.run(model, images.to(memory_format=torch.channels_last), labels)
    _equal(output.images, case.run(small_network()).images, "the same in channels-last memory", 1e-9)


def _controls_never_ask_the_model(case: AttackCase) -> None:
    class Deaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("expected a control not to ask the model")

    if case.kind.control:
        images, labels = small_batch()
        relabelled = case.run(Deaf(), images, (labels + 1) % 4)
        _equal(relabelled.images, case.run(Deaf()).images, "the same of a control for other labels")


def _gradients_are_asked_for_by_those_that_say_so_and_no_others(case: AttackCase) -> None:
    asked: list[Tensor] = []
    model = small_network().requires_grad_(False)

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = model(x)
            if logits.requires_grad:
                logits.register_hook(asked.append)
            return logits

    case.run(Watched())
    _expect(bool(asked) is case.kind.uses_gradient, f"uses_gradient={bool(asked)} in the row")


def _another_seed_or_another_image_is_another_draw(case: AttackCase) -> None:
    if "seed" not in case.kind.spec.model_fields:
        return
    images, labels = small_batch(4)
    images, labels = torch.cat([images, images[:1]]), torch.cat([labels, labels[:1]])  # the first image again, at last
    seeded = (case.spec.model_copy(update={"seed": seed}) for seed in (0, 1))
    first, second = (case.run(small_network(), images, labels, spec=spec).images for spec in seeded)
    differs = ((first - images) != (second - images)).flatten(1).any(1)
    _expect(differs.all(), "another change of every image with another seed")
    _equal(first[0], first[-1], "one draw for one image, wherever it stands", 1e-9)
    changes = (first - images)[:4]
    _expect(not any(torch.equal(one, other) for one, other in combinations(changes, 2)), "a draw for each image")


def _the_model_is_asked_for_images_in_the_box_alone(case: AttackCase) -> None:
    def check(module: nn.Module, inputs: tuple[Tensor]) -> None:
        low, high = (inputs[0].min(), inputs[0].max()) if inputs[0].numel() else (0, 1)
        _expect(bool(low >= 0 and high <= 1), f"a model asked for images in [0, 1], found {low:.3g} to {high:.3g}")

    model = small_network()
    model.register_forward_pre_hook(check)
    case.run(model)


def _an_image_the_model_gets_wrong_does_no_harm(case: AttackCase) -> None:
    model, (images, labels) = small_network(), small_batch()
    wrong = case.run(model, images, torch.cat([(labels[:1] + 1) % 4, labels[1:]])).images
    _expect(wrong.isfinite().all(), "finite images where the model is wrong")
    _equal(wrong[1:], case.run(model).images[1:], "the other images as without it", 1e-9)


ATTACK_LAWS: dict[str, Callable[[AttackCase], None]] = {
    "row and specification agree": _row_and_specification_agree,
    "images keep shape, type and range": _images_keep_shape_type_and_range,
    "no image or no specification is a batch too": _no_image_or_no_specification_is_a_batch_too,
    "results are deterministic and draw nothing": _results_are_deterministic_and_draw_nothing,
    "neighbours do not matter": _neighbours_do_not_matter,
    "several settings in one call are each as if alone": _several_settings_in_one_call_are_each_as_if_alone,
    "inputs and model are untouched": _inputs_and_model_are_untouched,
    "gradients may be off or parameters frozen": _gradients_may_be_off_or_parameters_frozen,
    "channels-last images work": _channels_last_images_work,
    "controls never ask the model": _controls_never_ask_the_model,
    "gradients are asked for by those that say so alone": _gradients_are_asked_for_by_those_that_say_so_and_no_others,
    "another seed or another image is another draw": _another_seed_or_another_image_is_another_draw,
    "the model is asked for images in the box alone": _the_model_is_asked_for_images_in_the_box_alone,
    "an image the model gets wrong does no harm": _an_image_the_model_gets_wrong_does_no_harm,
}


def two_classes() -> tuple[Tensor, Tensor]:
    """Make images (240, 1, 16, 16) that are bright in the left or the right half, and labels 0 and 1 that say which."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(240) % 2
    images = 0.3 * torch.rand(240, 1, 16, 16, generator=generator)
    images[labels == 0, :, :, :8] += 0.6
    images[labels == 1, :, :, 8:] += 0.6
    return images, labels


def two_class_samples() -> Samples:
    """Take the images of `two_classes`, their bright half added, more of it in the second class, and two victims."""
    images, labels = two_classes()
    added = (images > 0.5) * (0.05 + 0.1 * labels)[:, None, None, None]
    victims = {}
    for seed, name in enumerate(("one", "two"), start=1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = (nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 3))
        victims[name] = nn.Sequential(*layers).eval().requires_grad_(False)
    return Samples(images, labels, ("left", "right"), clean=images - added, victims=victims)


class AttributorCase:
    """An attributor that is checked: its row, its settings, the samples, and one of them fitted."""

    def __init__(self, kind: AttributorKind, settings: BaseModel, seed: int = 0) -> None:
        self.kind, self.settings, self.seed = kind, settings, seed
        self.samples = two_class_samples()
        self.fitted = self.fit(self.samples)

    def make(self, seed: int | None = None) -> Attributor:
        """Make a fresh one, not fitted."""
        attributor: Attributor = self.kind.attributor(self.settings, self.seed if seed is None else seed)
        return attributor

    def fit(self, samples: Samples, seed: int | None = None) -> Attributor:
        """Fit a fresh one."""
        return self.make(seed).fit(samples)

    def answers(self) -> Tensor:
        """Ask the fitted one for the samples' log probabilities, (240, 2)."""
        return self.fitted.predict_log_proba(self.samples)


def _fit_returns_itself_with_its_learned_names(case: AttributorCase) -> None:
    attributor = case.make()
    _expect(attributor.fit(case.samples) is attributor, "fit to return the attributor")
    knowledge = ("blind", "candidates", "oracle")
    _expect(attributor.knowledge in knowledge, f"a knowledge of {', '.join(knowledge)}, found {attributor.knowledge!r}")
    for name, value in {"classes_": ("left", "right"), "shape_": (1, 16, 16), "collapsed_": False}.items():
        learned = getattr(attributor, name, None)
        _expect(learned == value, f"{name} to be {value}, found {learned}")
    _expect(attributor.attempts_ >= 1, f"1 or more attempts_, found {attributor.attempts_}")
    held = attributor.held_out_
    _expect(len(held.labels) >= 2, "answers to two held-out images or more in held_out_")
    _expect(held.log_proba.shape == (len(held.labels), 2), "an answer for each held-out image in held_out_")


def _a_separable_task_is_learned(case: AttributorCase) -> None:
    accuracy = (case.answers().argmax(1) == case.samples.labels).float().mean()
    _expect(accuracy > 0.95, f"more than 95 % of an easy task learned, found {accuracy:.0%}")


def _log_probabilities_are_of_classes_and_sum_to_one(case: AttributorCase) -> None:
    log_proba, features = case.fitted.answer(case.samples)
    _expect(log_proba.shape == (240, 2), f"log probabilities (240, 2), found {tuple(log_proba.shape)}")
    _equal(log_proba.exp().sum(1), torch.ones(240), "probabilities that sum to 1", 1e-5)
    _expect(features.ndim == 2 and len(features) == 240, "features (240, f)")


def _neighbours_and_labels_do_not_matter(case: AttributorCase) -> None:
    samples = case.samples
    clean = None if samples.clean is None else samples.clean[:5]
    alone = replace(samples, images=samples.images[:5], labels=torch.zeros(5, dtype=torch.int64), clean=clean)
    expected = "the same of five images alone, with other labels"
    _equal(case.fitted.predict_log_proba(alone), case.answers()[:5], expected, 1e-5)


def _the_seed_decides(case: AttributorCase) -> None:
    torch.manual_seed(1)
    one = case.fit(case.samples, 3).predict_log_proba(case.samples)
    torch.manual_seed(2)
    again, other = (case.fit(case.samples, seed).predict_log_proba(case.samples) for seed in (3, 4))
    _equal(one, again, "the same from one seed, whatever the global random state")
    _expect(not torch.equal(one, other), "another attributor from another seed")


def _fitting_leaves_the_samples(case: AttributorCase) -> None:
    before = case.samples.images.clone()
    case.fit(case.samples)
    _equal(case.samples.images, before, "the samples as they were")


def _an_attributor_uses_what_its_knowledge_allows_and_no_more(case: AttributorCase) -> None:
    nothing: dict[str, Any] = {"clean": None, "victims": {}}
    needed = {"blind": (), "candidates": ("victims",), "oracle": ("clean",)}[case.fitted.knowledge]
    enough = replace(case.samples, **{name: value for name, value in nothing.items() if name not in needed})
    answers = case.fit(enough).predict_log_proba(enough)
    _equal(answers, case.answers(), "the same without what its knowledge does not allow")
    for name in needed:
        refusal = _refusal(ValueError, case.fit, replace(case.samples, **{name: nothing[name]}))
        _expect(refusal is not None, f"a ValueError for samples without {name}")
        _expect("expected samples with" in str(refusal), "a ValueError 'expected samples with ...'")


def _read_back_it_answers_the_same(case: AttributorCase) -> None:
    if ATTRIBUTORS.get(case.fitted.kind) is not case.kind:
        return  # `Attributor.load` knows the kinds of the table
    with tempfile.TemporaryDirectory() as folder:
        case.fitted.save(Path(folder))
        back = Attributor.load(Path(folder))
    _expect(type(back) is type(case.fitted), f"{type(case.fitted).__name__} read back, found {type(back).__name__}")
    _equal(back.predict_log_proba(case.samples), case.answers(), "the same answers read back")
    for name in ("classes_", "shape_", "attempts_", "collapsed_", "seed", "settings"):
        _expect(getattr(back, name, None) == getattr(case.fitted, name), f"the same {name} read back")


def _on_disk_are_weights_and_cards_alone(case: AttributorCase) -> None:
    with tempfile.TemporaryDirectory() as folder:
        case.fitted.save(Path(folder))
        suffixes = {path.suffix for path in Path(folder).rglob("*") if path.is_file()}
    _expect(suffixes <= {".json", ".safetensors"}, f"safetensors and JSON alone, found {', '.join(sorted(suffixes))}")


def _damaged_files_are_refused_in_one_line(case: AttributorCase) -> None:
    if ATTRIBUTORS.get(case.fitted.kind) is not case.kind:
        return
    with tempfile.TemporaryDirectory() as folder:
        case.fitted.save(Path(folder))
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            content = path.read_bytes()
            for damage, damaged in (("a changed byte", content[:-1] + bytes([content[-1] ^ 1])), ("no byte", b"")):
                path.write_bytes(damaged)
                expected = f"a RunError of one line for {damage} in {path.relative_to(folder)}"
                refusal = _refusal(RunError, Attributor.load, Path(folder))
                harmless = path.suffix == ".json" and damage == "a changed byte"  # its last byte says nothing
                _expect(harmless if refusal is None else "\n" not in refusal, expected)
            path.write_bytes(content)


ATTRIBUTOR_LAWS: dict[str, Callable[[AttributorCase], None]] = {
    "fit returns itself with its learned names": _fit_returns_itself_with_its_learned_names,
    "a separable task is learned": _a_separable_task_is_learned,
    "log probabilities are of the classes and sum to one": _log_probabilities_are_of_classes_and_sum_to_one,
    "neighbours and labels do not matter": _neighbours_and_labels_do_not_matter,
    "the seed decides": _the_seed_decides,
    "fitting leaves the samples": _fitting_leaves_the_samples,
    "it uses what its knowledge allows and no more": _an_attributor_uses_what_its_knowledge_allows_and_no_more,
    "read back it answers the same": _read_back_it_answers_the_same,
    "on disk are weights and cards alone": _on_disk_are_weights_and_cards_alone,
    "damaged files are refused in one line": _damaged_files_are_refused_in_one_line,
}
