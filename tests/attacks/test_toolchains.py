"""Other people's attack code behind our calling convention: what holds for all of it, and what each library gives."""

import math
import random
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eagerpy as ep
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from redhanded import generate
from redhanded.attacks import (
    ATTACKS,
    BIM,
    DDN,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    AttackSpec,
    CarliniWagner,
    CarliniWagnerLinf,
    DeepFool,
    LogUniform,
    Square,
    Uniform,
    make_attack,
    parse_attack,
)
from redhanded.attacks.toolchains import TOOLCHAINS, attack_function, installed, load_toolchain, toolchain_version
from redhanded.attacks.toolchains.calling import LibraryAttack, adapter
from redhanded.attacks.toolchains.guard import guard
from redhanded.core import dual_norm_of, norm_of
from redhanded.errors import AttackError

ROOT = Path(__file__).parents[2]
PEERS = [name for name in TOOLCHAINS if name != "redhanded"]
SEARCH = {"learning_rate": 0.1, "confidence": 0.1, "steps": 20, "binary_search_steps": 3, "initial_const": 1.0}
SINGLE = {"learning_rate": 0.01, "confidence": 0.0, "steps": 60, "binary_search_steps": 1, "initial_const": 3.0}
BOUND = {"learning_rate": 0.05, "steps": 10, "initial_const": 0.1, "largest_const": 2.0, "const_factor": 10.0}
BOUND |= {"decrease_factor": 0.5}
LINF, L2 = ({"norm": "linf", "eps": 0.1, "steps": 5}, {"norm": "l2", "eps": 1.0, "steps": 5})
ITS_OWN = math.inf
# Each setting and the libraries that run it, with the largest difference of a pixel from ours, or ITS_OWN where the
# library goes another way. The libraries that are not named must refuse the setting.
RUNS: dict[AttackSpec, dict[str, float]] = {
    FGSM(norm="linf", eps=0.1): {"foolbox": 0, "art": 0, "torchattacks": 0, "cleverhans": 0},
    FGSM(norm="l2", eps=1.0): {"foolbox": 1.2e-7, "art": 1.2e-7, "cleverhans": 1.2e-7},
    DeepFool(norm="l2", overshoot=0.1, steps=20): {
        "foolbox": 1e-6,
        "art": ITS_OWN,
        "torchattacks": 2e-4,
        "advlib": 1e-6,
    },
    DeepFool(norm="linf", overshoot=0.1, steps=20): {"foolbox": 1e-6, "advlib": 1e-6},
    CarliniWagner(**SEARCH): {"foolbox": ITS_OWN, "advlib": ITS_OWN},
    CarliniWagner(**SEARCH, abort_early=False): {
        "foolbox": 1e-5,
        "art": ITS_OWN,
        "advlib": 1e-5,
        "cleverhans": ITS_OWN,
    },
    CarliniWagner(**SINGLE): {"foolbox": 1e-5, "torchattacks": 1e-5, "advlib": 1e-5},
    CarliniWagner(**SINGLE, abort_early=False): {"foolbox": 1e-5, "art": ITS_OWN, "advlib": 1e-5, "cleverhans": 1e-5},
    PGD(**LINF, step_size=0.03, random_start=False): {
        "foolbox": 1e-6,
        "art": 1e-6,
        "torchattacks": 1e-6,
        "advlib": ITS_OWN,
        "cleverhans": 1e-6,
    },
    PGD(**L2, step_size=0.3, random_start=False): {
        "foolbox": 1e-6,
        "art": ITS_OWN,
        "torchattacks": 1e-6,
        "cleverhans": ITS_OWN,
    },
    PGD(**LINF, step_size=0.2, random_start=False): {
        "foolbox": 1e-6,
        "art": 1e-6,
        "torchattacks": 1e-6,
        "advlib": ITS_OWN,
    },
    PGD(**LINF, step_size=0.03): dict.fromkeys(("foolbox", "art", "torchattacks", "advlib", "cleverhans"), ITS_OWN),
    PGD(**L2, step_size=0.3): dict.fromkeys(("foolbox", "art", "torchattacks", "cleverhans"), ITS_OWN),
    BIM(**LINF, step_size=0.03): {"foolbox": 1e-6, "art": 1e-6, "torchattacks": 1e-6, "cleverhans": 1e-6},
    BIM(**L2, step_size=0.3): {"foolbox": 1e-6, "cleverhans": ITS_OWN},
    MIFGSM(**LINF, step_size=0.03, decay=0.8): {"foolbox": ITS_OWN, "art": 1e-6, "torchattacks": 1e-6},
    MIFGSM(**L2, step_size=0.3, decay=0.8): {"foolbox": ITS_OWN, "art": ITS_OWN},
    DDN(gamma=0.1, steps=20): {"foolbox": 1e-5, "advlib": 1e-5},
    DDN(gamma=0.1, steps=20, levels=256): {"advlib": 1e-5},
    FMN(norm="l2", steps=20): {"advlib": ITS_OWN},
    FMN(norm="linf", steps=20): {"foolbox": ITS_OWN, "advlib": 1e-5},
    Square(norm="linf", eps=0.2, steps=40): {"art": ITS_OWN, "torchattacks": ITS_OWN},
    Square(norm="l2", eps=2.5, steps=40): {"art": ITS_OWN, "torchattacks": ITS_OWN},
    CarliniWagnerLinf(**BOUND): {"advlib": ITS_OWN},
    CarliniWagnerLinf(**BOUND, abort_early=False): {"art": ITS_OWN, "advlib": 1e-5},
    Square(p_init=0.9): {},
    DeepFool(candidates=3): {},
    DeepFool(box_from=0): {},
    CarliniWagner(init="deepfool", abort_early=False): {},
}


def altered(spec: AttackSpec, **parameters: Any) -> AttackSpec:
    return type(spec)(**spec.model_dump() | parameters)


def name_of(spec: AttackSpec) -> str:
    return "-".join([spec.label, *(["whole"] if getattr(spec, "abort_early", True) is False else [])])


EXAMPLES = [altered(spec, toolchain=name) for spec, names in RUNS.items() for name in names]
every_example = pytest.mark.parametrize("spec", EXAMPLES, ids=name_of)
# For what does not hang on how far a search comes, nor on the setting: ART takes a second for one.
SHORT = {
    (spec.toolchain, spec.family, spec.norm): altered(spec, steps=spec.steps // 2)
    if hasattr(spec, "abort_early")
    else spec
    for spec in EXAMPLES
}
every_short_example = pytest.mark.parametrize("spec", SHORT.values(), ids=name_of)


def function_of(spec: AttackSpec) -> Any:
    if not installed(spec.toolchain):
        pytest.skip(f"not installed: {TOOLCHAINS[spec.toolchain].install}")
    return attack_function(spec)


def run(spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    (attacked,) = function_of(spec)(model, images, labels, [spec])
    return attacked.images


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A small network with buffers, a part in training mode, and some parameters that ask for gradients."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 25, 4), nn.Identity(),
        )  # fmt: skip
        with torch.no_grad():
            model[-2].weight.mul_(4)  # wider margins than an untrained network has
            model[-2].bias.add_(20)
    model.eval()[-1].train()
    model[0].requires_grad_(False)
    model[-2].weight.grad = torch.full_like(model[-2].weight, 7)
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Some of their pixels are exactly 0 or 1."""
    generator = torch.Generator().manual_seed(11)
    return (torch.rand(8, 3, 10, 10, generator=generator) * 1.2 - 0.1).clamp(0, 1)


@pytest.fixture(scope="module")
def labels(model: nn.Module, images: Tensor) -> Tensor:
    return predict(model, images)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    return model(images).argmax(1)


# --- what holds for every library and attack


def test_the_examples_cover_every_library_and_attack() -> None:
    assert {(spec.toolchain, spec.family) for spec in EXAMPLES} == {
        (name, family) for name in PEERS for family in TOOLCHAINS[name].runs
    }
    assert {family for name in PEERS for family in TOOLCHAINS[name].runs} <= set(ATTACKS)


@every_short_example
def test_images_keep_shape_type_range_and_layout(
    spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    own = labels.clone()
    own[::3] = (own[::3] + 1) % 4  # the model gets these wrong
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        (attacked,) = function_of(spec)(model, images.contiguous(memory_format=layout), own, [spec])
        assert attacked.images.shape == images.shape
        assert attacked.images.dtype == torch.float32
        assert attacked.images.is_contiguous(memory_format=layout)
        assert not attacked.images.requires_grad
        assert attacked.images.min() >= 0
        assert attacked.images.max() <= 1
        assert attacked.steps.tolist() == [0] * len(images)
        assert attacked.steps.dtype == torch.int64
        found.append(attacked.images)
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


@every_short_example
def test_nothing_of_the_callers_is_touched(
    spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor, watch: Callable[..., Any]
) -> None:
    before = watch(model, images, labels)
    run(spec, model, images, labels)
    assert watch(model, images, labels) == before


@every_example
def test_no_image_is_a_batch_too_and_no_attack_a_call(
    spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    function = attack_function(spec)  # and no library is asked for
    (attacked,) = function(model, images[:0], labels[:0], [spec])
    assert attacked.images.shape == (0, 3, 10, 10)
    assert (attacked.steps.shape, attacked.steps.dtype) == ((0,), torch.int64)
    assert function(model, images, labels, []) == []


@every_short_example
def test_specifications_are_run_in_order_and_give_the_same_again(
    spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    first = spec.setting_names[0]
    other = altered(spec, **{first: OTHERWISE[spec.family][first]})
    batch = model, images[:2], labels[:2]
    attacked = function_of(spec)(*batch, [spec, other, spec])
    alone = [run(each, *batch) for each in (spec, other)]
    assert not torch.equal(*alone)
    assert all(torch.equal(attacked[place].images, alone[place % 2]) for place in range(3))


OTHERWISE = {
    "fgsm": {"eps": 0.3},
    "deepfool": {"overshoot": 0.4, "steps": 1},
    "carlini_wagner": {
        "learning_rate": 0.02,
        "confidence": 1.0,
        "steps": 1,
        "binary_search_steps": 2,
        "initial_const": 10.0,
        "abort_early": True,
    },
    "carlini_wagner_linf": {
        "learning_rate": 0.02,
        "steps": 1,
        "initial_const": 0.5,
        "largest_const": 0.7,
        "const_factor": 3.0,
        "decrease_factor": 0.8,
        "abort_early": True,
    },
    "pgd": {"eps": 0.3, "steps": 2, "step_size": 0.07, "random_start": True, "seed": 1},
    "bim": {"eps": 0.3, "steps": 2, "step_size": 0.07},
    "mi_fgsm": {"eps": 0.3, "steps": 2, "step_size": 0.07, "decay": 0.1},
    "ddn": {"gamma": 0.2, "steps": 2, "init_norm": 0.5, "levels": 16},
    "fmn": {"step_size": 0.5, "gamma": 0.2, "steps": 2},
    "square": {"eps": 0.3, "steps": 2, "p_init": 0.2, "seed": 1},
}


@pytest.mark.parametrize(
    ("toolchain", "family"), [(name, family) for name in PEERS for family in TOOLCHAINS[name].runs]
)
def test_every_parameter_reaches_the_library(
    toolchain: str, family: str, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    def seen(spec: AttackSpec) -> list[Any]:
        """All that the model is asked, and what is found."""
        asked: list[Any] = []
        with model.register_forward_hook(lambda module, given, logits: asked.append(given[0].tolist())):
            found = run(spec, model, images[:1], labels[:1])
        return [*asked, found.tolist()]

    accepted, reached = set(), set()
    for spec in (each for each in EXAMPLES if (each.toolchain, each.family) == (toolchain, family)):
        before = seen(spec)
        others = {name: altered(spec, **{name: value}) for name, value in OTHERWISE[family].items()}
        for name, other in others.items():
            if other != spec and name not in reached and accepts(other):
                accepted.add(name)
                reached |= {name} if seen(other) != before else set()
    assert reached == accepted


def accepts(spec: AttackSpec) -> bool:
    try:
        attack_function(spec)
    except AttackError:
        return False
    return True


# --- what the libraries give, beside ours and beside what is known


def ours_of(spec: AttackSpec) -> AttackSpec:
    """The same attack, run by us; without the early stop, which the libraries make for a whole batch or not at all."""
    whole = {"abort_early": False} if hasattr(spec, "abort_early") else {}
    return altered(spec, toolchain="redhanded", **whole)


@every_example
def test_the_outcome_is_ours_or_near_it(spec: AttackSpec, model: nn.Module, images: Tensor) -> None:
    inside = 0.1 + 0.8 * images  # torchattacks' C&W moves no pixel of exactly 0 or 1; clipping leads others elsewhere
    labels = predict(model, inside)
    theirs, ours = (run(each, model, inside, labels) for each in (spec, ours_of(spec)))
    tolerance = RUNS[altered(spec, toolchain="redhanded")][spec.toolchain]
    assert (theirs - ours).abs().max() <= tolerance
    fooled = (predict(model, theirs) != labels) & (predict(model, ours) != labels)
    assert fooled.sum() >= 6
    near, reference = (norm_of(found - inside, spec.norm)[fooled].median() for found in (theirs, ours))
    assert 0.8 * reference < near < 1.6 * reference


@pytest.fixture(scope="module")
def linear() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear classifier of two classes, images of one channel in the middle of the box, the slope (c, h, w)."""
    generator = torch.Generator().manual_seed(3)
    slope = torch.randn(100, generator=generator)
    layer = nn.Linear(100, 2).requires_grad_(False)
    layer.weight.copy_(torch.stack([-slope / 2, slope / 2]))
    layer.bias.copy_(torch.stack([slope.sum() / 4, -slope.sum() / 4]))  # at the centre of the box neither class leads
    images = 0.5 + 0.1 * torch.randn(12, 1, 10, 10, generator=generator)
    return nn.Sequential(nn.Flatten(), layer).eval(), images, slope.reshape(1, 10, 10)


@pytest.mark.parametrize("spec", [spec for spec in EXAMPLES if spec.family == "deepfool"], ids=name_of)
def test_deepfool_goes_past_the_boundary_by_the_overshoot(
    spec: DeepFool, linear: tuple[nn.Module, Tensor, Tensor]
) -> None:
    model, images, slope = linear
    gap = model(images).diff(dim=1)[:, 0].abs()
    boundary = gap / dual_norm_of(slope[None], spec.norm)  # (n,)
    found = run(spec, model, images, predict(model, images))
    past = norm_of(found - images, spec.norm) / (1 + spec.overshoot) - boundary
    assert (past > -1e-5).all()
    assert (past < 1.1e-4).all()  # some of the libraries add 1e-4 to every step, as we do


def test_generate_measures_what_the_libraries_made(linear: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, _ = linear
    specs = [spec for spec in EXAMPLES if installed(spec.toolchain)]
    labels = predict(model, images)
    labels[:2] = 1 - labels[:2]  # the model gets these wrong, so they are not attacked
    for spec, made in zip(specs, generate(model, images, labels, specs, batch_size=5), strict=True):
        assert made.attack == spec
        assert torch.equal(made.images[:2], images[:2])
        assert not made.success("float32")[:2].any()
        clear = model(made.images).diff(dim=1)[2:, 0].abs() > 1e-5  # of another batch a sum is rounded otherwise
        assert torch.equal(made.success("float32")[2:][clear], (predict(model, made.images) != labels)[2:][clear])
        assert (made.success("float32")[2:] | ~clear).sum() >= 5, spec  # or on the boundary, as near as FMN goes
        torch.testing.assert_close(made.l2, (made.images - images).flatten(1).norm(dim=1))


def test_foolbox_gives_black_images_which_are_failures(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    hopeless = CarliniWagner(learning_rate=1e-6, steps=5, binary_search_steps=2, toolchain="foolbox")
    assert torch.equal(run(hopeless, model, images, labels), images)
    found = attack_function(hopeless).attack(model, images, labels, hopeless)
    assert not found.any()


def test_foolbox_does_not_project_where_we_refuse(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(AttackError, match=r"expected norm=linf of fmn .* never projects\), found norm=l2;"):
        attack_function(FMN(norm="l2", steps=20, toolchain="foolbox"))
    function_of(FMN(norm="linf", toolchain="foolbox"))
    method = load_toolchain("foolbox").attacks.L2FMNAttack()
    found = method.project(ep.astensor(images), ep.astensor(images / 2), ep.astensor(torch.full((8,), 1e-3))).raw
    torch.testing.assert_close(found, images)  # far outside of the ball


def test_advlib_divides_by_zero_where_we_refuse(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    few = CarliniWagner(steps=9, toolchain="advlib")
    with pytest.raises(AttackError, match=r"expected steps >= 10, or abort_early=False, of carlini_wagner .* steps=9;"):
        attack_function(few)
    run(altered(few, abort_early=False), model, images, labels)
    run(altered(few, steps=10), model, images, labels)
    with pytest.raises(ZeroDivisionError):
        TOOLCHAINS["advlib"].runs["carlini_wagner"].attack(model, images, labels, few)


# --- what is refused


@pytest.mark.parametrize("toolchain", PEERS)
@pytest.mark.parametrize("spec", RUNS, ids=str)
def test_a_library_runs_a_setting_or_says_in_one_line_why_not(toolchain: str, spec: AttackSpec) -> None:
    asked = altered(spec, toolchain=toolchain)
    if toolchain in RUNS[spec]:
        assert attack_function(asked) is TOOLCHAINS[toolchain].runs[spec.family]
        return
    with pytest.raises(AttackError, match=rf"^expected .* toolchain {toolchain}.*, found .*; [^\n]*$"):
        attack_function(asked)


def test_refusals_name_the_way_out() -> None:
    with pytest.raises(
        AttackError, match=r"found fgsm; toolchains that have it: redhanded, foolbox, art, torchattacks"
    ):
        attack_function(FGSM(eps=0.1, toolchain="advlib"))
    with pytest.raises(
        AttackError,
        match=r"expected binary_search_steps=1 of carlini_wagner in the toolchain torchattacks \(.*\), found "
        r"binary_search_steps=9; change it or the toolchain",
    ):
        attack_function(CarliniWagner(toolchain="torchattacks"))
    with pytest.raises(AttackError, match=r"expected toolchain of fgsm to be 'redhanded', 'foolbox', .*, found 'nope'"):
        make_attack("fgsm", eps=0.1, toolchain="nope")
    with pytest.raises(AttackError, match=r"expected a toolchain of redhanded, foolbox, .*, found 'nope'; choose"):
        load_toolchain("nope")


def test_a_call_checks_every_specification_and_the_images(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    function = TOOLCHAINS["torchattacks"].runs["fgsm"]
    with pytest.raises(AttackError, match="expected norm=linf"):
        function(model, images, labels, [FGSM(norm=norm, eps=0.1, toolchain="torchattacks") for norm in ("linf", "l2")])
    with pytest.raises(AttackError, match=r"expected torch.float32 images .*, found torch.float64; convert the images"):
        function(model, images.double(), labels, [FGSM(eps=0.1, toolchain="torchattacks")])


def test_art_refuses_a_device_that_it_would_move_the_model_from() -> None:
    model, images = nn.Flatten().to("meta"), torch.rand(2, 1, 2, 2, device="meta")
    labels = torch.zeros(2, dtype=torch.int64, device="meta")
    attack = FGSM(eps=0.1, toolchain="art")
    with pytest.raises(AttackError, match="expected the CPU or CUDA for the toolchain art, found meta; move the model"):
        function_of(attack).attack(model, images, labels, attack)


def test_art_refuses_images_too_small_for_its_tiles(model: nn.Module) -> None:
    small = Square(norm="l2", eps=1.0, steps=5, toolchain="art")
    expected = "expected images of at least 10 pixels a side for square in l2 in the toolchain art, found 9 x 12; "
    with pytest.raises(AttackError, match=expected):
        run(small, model, torch.rand(1, 3, 9, 12), torch.zeros(1, dtype=torch.int64))


def test_what_differs_from_image_to_image_is_checked_at_its_ends(
    model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    within = PGD(eps=LogUniform(0.01, 0.1), step_size=Uniform(0.1, 1, times="eps"), steps=3, toolchain="cleverhans")
    assert (function_of(within)(model, images, labels, [within.drawn(torch.arange(8), 0)])[0].images != images).any()
    with pytest.raises(AttackError, match=r"expected step_size <= eps of pgd .*, found step_size=0.15"):
        attack_function(PGD(eps=LogUniform(0.01, 0.1), step_size=Uniform(0.005, 0.15), toolchain="cleverhans"))
    with pytest.raises(AttackError, match="expected steps >= 10, or abort_early=False, of carlini_wagner"):
        attack_function(CarliniWagner(steps=Uniform(5, 20), toolchain="advlib"))
    # The default is the ball's radius times 2.5 over the steps.
    assert attack_function(PGD(eps=LogUniform(0.01, 0.1), toolchain="cleverhans"))
    with pytest.raises(AttackError, match=r"expected step_size <= eps of pgd"):
        attack_function(PGD(eps=LogUniform(0.01, 0.1), steps=2, toolchain="cleverhans"))


def test_a_draw_hangs_on_the_images_and_the_seed_alone(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    for spec in (spec for spec in SHORT.values() if "seed" in type(spec).model_fields):
        batch = model, images[:2], labels[:2]
        first = run(spec, *batch)
        torch.rand(3)
        assert torch.equal(run(spec, *batch), first)
        assert not torch.equal(run(altered(spec, seed=1), *batch), first)
        moved = run(spec, model, (images[:2] * 0.999), labels[:2]) / 0.999
        assert (moved - first).abs().max() > 0.01  # and not the same noise again


@every_example
def test_a_specification_names_its_toolchain(spec: AttackSpec) -> None:
    assert parse_attack(str(spec)) == spec
    assert f"toolchain={spec.toolchain}" in str(spec)
    ours = altered(spec, toolchain="redhanded")
    assert spec.label == f"{ours.label}-{spec.toolchain}"
    assert "toolchain" not in str(ours)
    assert ours != spec


# --- the guard, and what else stands between a library and us


def found_by(images: Tensor, defects: list[str]) -> tuple[Tensor, Tensor]:
    """What a library with these defects returns, one for each image, and what should come of it."""
    found, expected = images.clone(), images.clone()
    for row, defect in enumerate(defects):
        found[row], expected[row] = DEFECTS[defect](images[row])
    return found, expected


# From an image: what the library returns, and what the guard makes of it.
DEFECTS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "none": lambda image: (1 - image, 1 - image),
    "unchanged": lambda image: (image, image),
    "black": lambda image: (torch.zeros_like(image), image),
    "one NaN": lambda image: (image.index_fill(1, torch.tensor([1]), torch.nan), image),
    "infinite": lambda image: (image / 0, image),
    "above 1": lambda image: (image + 0.75, (image + 0.75).clamp_max(1)),
    "below 0": lambda image: (image - 0.75, (image - 0.75).clamp_min(0)),
    "black but for one pixel": lambda image: (one_pixel(image), one_pixel(image)),
}


def one_pixel(image: Tensor) -> Tensor:
    return torch.zeros_like(image).index_put((torch.tensor(0), torch.tensor(1), torch.tensor(0)), torch.tensor(0.5))


@given(
    st.lists(st.sampled_from(sorted(DEFECTS)), min_size=1, max_size=6), st.sampled_from([torch.float32, torch.float64])
)
def test_the_guard_mends_each_image_by_itself(defects: list[str], dtype: torch.dtype) -> None:
    images = torch.linspace(0.25, 0.875, len(defects) * 12).reshape(-1, 3, 2, 2)
    found, expected = found_by(images, defects)
    mended = guard(found.to(dtype).requires_grad_(), images)
    assert torch.equal(mended, expected)
    assert mended.dtype == torch.float32
    assert not mended.requires_grad


def test_the_guard_lets_black_images_be_black_and_other_shapes_out() -> None:
    black = torch.zeros(2, 1, 2, 2)
    assert torch.equal(guard(black, black), black)
    assert torch.equal(guard(black + 1, black), black + 1)
    with pytest.raises(AttackError, match=r"expected images of shape \(2, 1, 2, 2\) .*, found \(2, 1, 2\); check that"):
        guard(black[..., 0], black)


def as_foolbox(monkeypatch: pytest.MonkeyPatch, library: LibraryAttack) -> AttackSpec:
    """A specification that is run by this stand-in for a library."""
    row = TOOLCHAINS["foolbox"]._replace(runs={"fgsm": adapter()(library)})
    monkeypatch.setitem(TOOLCHAINS, "foolbox", row)
    return FGSM(eps=0.1, toolchain="foolbox")


@pytest.mark.parametrize("defect", ["unchanged", "black", "one NaN", "infinite"])
def test_what_a_library_breaks_is_no_success(
    monkeypatch: pytest.MonkeyPatch, defect: str, linear: tuple[nn.Module, Tensor, Tensor]
) -> None:
    model, images, _ = linear
    spec = as_foolbox(monkeypatch, lambda model, images, labels, attack: found_by(images, [defect] * len(images))[0])
    (made,) = generate(model, images, predict(model, images), [spec])
    assert torch.equal(made.images, images)
    assert not made.success("float32").any()
    assert not made.success("uint8").any()


def disturb(model: nn.Module, images: Tensor, labels: Tensor, attack: AttackSpec) -> Tensor:
    """A library that leaves nothing as it was."""
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.train()
    model[-1].eval()
    model.zero_grad()
    model[0].weight.requires_grad_(True)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    random.random()  # noqa: S311
    np.random.random()  # noqa: NPY002
    torch.rand(1)
    labels.zero_()
    return images.requires_grad_().add(0.1)


def test_a_library_that_disturbs_everything_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch, model: nn.Module, images: Tensor, labels: Tensor, watch: Callable[..., Any]
) -> None:
    spec, own = as_foolbox(monkeypatch, disturb), labels + 1
    before = watch(model, images, own)
    assert torch.equal(run(spec, model, images, own), (images + 0.1).clamp(0, 1))
    assert watch(model, images, own) == before


def test_what_was_disturbed_is_put_back_after_an_error_too(
    monkeypatch: pytest.MonkeyPatch, model: nn.Module, images: Tensor, labels: Tensor, watch: Callable[..., Any]
) -> None:
    def fail(*given: Any) -> Tensor:
        disturb(*given)
        raise RuntimeError("boom")

    spec, before = as_foolbox(monkeypatch, fail), watch(model, images)
    with pytest.raises(RuntimeError, match="boom"):
        run(spec, model, images, labels.clone())
    assert watch(model, images) == before


def random_states() -> list[Any]:
    return [random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()]  # noqa: NPY002


@pytest.fixture
def watch() -> Callable[..., Any]:
    """What belongs to the caller of an attack, as a value that can be compared."""

    def look(model: nn.Module, *tensors: Tensor) -> Any:
        return (
            [(module.training, len(module._forward_hooks), len(module._backward_hooks)) for module in model.modules()],
            [(each.requires_grad, None if each.grad is None else each.grad.tolist()) for each in model.parameters()],
            {name: tensor.tolist() for name, tensor in model.state_dict().items()},
            [(tensor.requires_grad, tensor.tolist()) for tensor in tensors],
            random_states(),
        )

    return look


# --- installing and importing


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Stands a package with the given code in for Foolbox."""
    monkeypatch.syspath_prepend(tmp_path)

    def stand_in(code: str) -> None:
        (tmp_path / "stand_in.py").write_text(code)
        row = TOOLCHAINS["foolbox"]._replace(package="stand_in", unneeded=("no_such_plotter", "math"))
        monkeypatch.setitem(TOOLCHAINS, "foolbox", row)

    yield stand_in
    sys.modules.pop("stand_in", None)


def test_a_missing_library_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, model: nn.Module, images: Tensor, labels: Tensor
) -> None:
    row = TOOLCHAINS["foolbox"]._replace(distribution="no-such-library", package="no_such_library")
    monkeypatch.setitem(TOOLCHAINS, "foolbox", row)
    assert not installed("foolbox")
    line = r"^expected the toolchain foolbox, found[^\n]*no.such.library[^\n]*; install it: pip install 'redhanded.*'$"
    with pytest.raises(AttackError, match=line):
        toolchain_version("foolbox")
    with pytest.raises(AttackError, match=line):
        generate(model, images, labels, [FGSM(eps=0.1, toolchain="foolbox")])


def test_a_library_whose_own_imports_fail_says_what_is_missing(package: Callable[[str], None]) -> None:
    package("import no_such_dependency")
    with pytest.raises(AttackError, match=r"found: No module named 'no_such_dependency'; install it: pip install"):
        load_toolchain("foolbox")


def test_an_import_is_quiet_draws_nothing_and_needs_no_plotter(package: Callable[[str], None]) -> None:
    package(
        "import warnings, random, numpy, torch, math, no_such_plotter\nwarnings.warn('old')\n"
        "random.random(), numpy.random.random(), torch.rand(1)\nPI = math.pi"
    )
    before = random_states()
    assert vars(load_toolchain("foolbox"))["PI"] == math.pi  # a package that is there is not replaced
    assert random_states() == before
    assert "no_such_plotter" not in sys.modules


def test_another_package_of_the_same_name_is_not_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLCHAINS, "art", TOOLCHAINS["art"]._replace(distribution="no-such-library", package="math"))
    assert not installed("art")


def test_what_a_user_types_is_what_is_declared_and_tested() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    by_hand = re.findall(r"pip install .*--no-deps (.+)", (ROOT / "Makefile").read_text())[0].split()
    typed = [TOOLCHAINS[name].install for name in PEERS]
    named = [extra for line in typed for extra in re.findall(r"redhanded\[(\w+)\]", line)]
    assert extras["bench"] == [f"redhanded[{','.join(named)}]"]
    assert any(re.match(r"redhanded\[(.*,)?bench[,\]]", needed) for needed in extras["test"])
    assert set(named) <= extras.keys()
    assert sorted(by_hand) == sorted(name for line in typed for name in re.findall(r"--no-deps (\S+)", line))
    for name in PEERS:
        row = TOOLCHAINS[name]
        assert any(word.startswith(row.distribution) for word in [*by_hand, *extras.get(name, [])])
        assert f"redhanded[{name}]" in row.install or row.install == f"pip install --no-deps {row.distribution}"
