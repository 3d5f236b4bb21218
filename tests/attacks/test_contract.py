"""What holds for every row of `ATTACKS`: the calling convention, and that neighbours do not matter."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from torch import Tensor, nn

import redhanded.attacks
from redhanded.attacks import (
    ATTACKS,
    BIM,
    DDN,
    FGSM,
    FMN,
    JPEG,
    MIFGSM,
    PGD,
    AttackKind,
    AttackOutput,
    AttackSpec,
    CarliniWagner,
    CarliniWagnerLinf,
    Clean,
    DeepFool,
    GaussianNoise,
    SaltAndPepper,
    Square,
    UniformNoise,
    make_attack,
    parse_attack,
)
from redhanded.attacks.toolchains import attack_function, installed
from redhanded.core import norm_of
from redhanded.errors import AttackError
from redhanded.testing import ATTACK_LAWS, AttackCase, check_attack
from redhanded.testing import small_batch as batch
from redhanded.testing import small_network as network

CHEAP: list[AttackSpec] = [
    FGSM(norm="linf", eps=0.1),
    FGSM(norm="l2", eps=1.0),
    DeepFool(norm="l2", overshoot=0.1, steps=20),
    DeepFool(norm="linf", overshoot=0.02, steps=20),
    DeepFool(norm="l2", overshoot=0.1, steps=20, candidates=3, box_from=1),
    DeepFool(norm="linf", overshoot=0.1, steps=20, box_from=0),
    CarliniWagner(learning_rate=0.05, confidence=0.1, steps=20, binary_search_steps=2, initial_const=0.5),
    # Checks that do not divide the steps, so that they are due at different times for different images.
    CarliniWagner(learning_rate=0.05, confidence=0.2, steps=25, binary_search_steps=2, initial_const=1.0),
    CarliniWagner(
        learning_rate=0.02, confidence=0.3, steps=20, binary_search_steps=2, initial_const=1.0, init="deepfool"
    ),
    CarliniWagnerLinf(learning_rate=0.05, steps=15, initial_const=0.5, largest_const=5, decrease_factor=0.7),
    CarliniWagnerLinf(
        learning_rate=0.05, steps=10, initial_const=2.0, largest_const=5, decrease_factor=0.7, abort_early=False
    ),
    PGD(norm="linf", eps=0.1, step_size=0.03, steps=6),
    PGD(norm="l2", eps=1.0, step_size=0.3, steps=6),
    BIM(norm="linf", eps=0.1, step_size=0.03, steps=6),
    BIM(norm="l2", eps=1.0, step_size=0.3, steps=6),
    MIFGSM(norm="linf", eps=0.1, step_size=0.03, steps=6),
    MIFGSM(norm="l2", eps=1.0, step_size=0.3, steps=6, decay=0.5),
    DDN(steps=20),
    DDN(steps=20, gamma=0.1, levels=256),
    FMN(norm="l2", steps=20),
    FMN(norm="linf", steps=20),
    Square(norm="linf", eps=0.1, steps=25),
    Square(norm="l2", eps=1.0, steps=25),
    GaussianNoise(eps=1.0),
    UniformNoise(eps=1.0),
    SaltAndPepper(amount=0.1),
    JPEG(quality=40),
    Clean(),
]
# What an attack promises of its result; each family is in exactly one of the three, or a control.
NEAREST = {"deepfool", "carlini_wagner", "carlini_wagner_linf", "ddn", "fmn"}  # an image that fools, or the input
INSIDE = {"pgd", "bim", "mi_fgsm", "square"}  # a point of the ball
ONE_STEP = {"fgsm"}
GRADIENT = {*NEAREST, "fgsm", "bim", "mi_fgsm"}  # a gradient of zero moves nothing, and no draw does


def chosen(families: set[str]) -> list[AttackSpec]:
    return [spec for spec in CHEAP if spec.family in families]


CONTROLS = {name for name, row in ATTACKS.items() if row.control}
every_attack = pytest.mark.parametrize("spec", CHEAP, ids=str)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor) -> AttackOutput:
    (attacked,) = ATTACKS[spec.family].run(model, images, labels, [spec])
    return attacked


def margin(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits, own = model(images).detach(), labels[:, None]
    return logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own)[:, 0]


def test_the_examples_cover_every_attack_and_norm() -> None:
    norms = {
        (name, norm) for name, row in ATTACKS.items() for norm in get_args(row.spec.model_fields["norm"].annotation)
    }
    assert {(spec.family, spec.norm) for spec in CHEAP} == norms
    assert sorted([*NEAREST, *INSIDE, *ONE_STEP, *CONTROLS]) == sorted(ATTACKS)
    assert all(row.spec.family == name for name, row in ATTACKS.items())
    assert [name for name, row in ATTACKS.items() if row.shares_work] == ["fgsm"]


@every_attack
@pytest.mark.parametrize("law", ATTACK_LAWS)
def test_a_law_of_attacks_holds(spec: AttackSpec, law: str) -> None:
    ATTACK_LAWS[law](AttackCase(spec, ATTACKS[spec.family]))


@pytest.mark.parametrize("spec", chosen(NEAREST), ids=str)
def test_an_image_is_changed_and_fools_or_is_the_input(spec: AttackSpec) -> None:
    model, (images, labels) = network(), batch(24)
    attacked = run(spec, model, images, labels)
    changed = (attacked.images != images).flatten(1).any(1)
    needed = getattr(spec, "confidence", 0.0)
    assert changed.sum() >= 12
    assert (margin(model, attacked.images[changed], labels[changed]) > needed).all()
    fools = margin(model, attacked.images, labels) > 0
    assert torch.equal(fools, changed)


@pytest.mark.parametrize("spec", chosen(ONE_STEP | INSIDE), ids=str)
def test_a_limited_step_or_ball_is_used_and_not_left(spec: Any) -> None:
    model, (images, labels) = network(), batch(24)
    attacked = run(spec, model, images, labels)
    size = norm_of(attacked.images - images, spec.norm)
    assert (size <= spec.eps * (1 + 1e-12)).all()
    assert (size > 0.5 * spec.eps).all()
    gained = margin(model, attacked.images, labels) - margin(model, images, labels)
    assert (gained > 0).float().mean() > 0.9


@pytest.mark.parametrize("spec", chosen(CONTROLS), ids=str)
def test_a_control_never_asks_the_model(spec: AttackSpec) -> None:
    class Deaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("a control asked the model")

    images, labels = batch()
    attacked = run(spec, Deaf(), images, labels)
    changed = (attacked.images != images).flatten(1).any(1)
    assert (changed == (spec.family != "clean")).all()
    assert torch.equal(attacked.images, run(spec, Deaf(), images, (labels + 1) % 4).images)


def test_square_counts_how_often_it_asks_without_a_gradient() -> None:
    assert (run(Square(norm="l2", eps=1.0, steps=5), network(), *batch()).steps >= 1).all()


@pytest.mark.parametrize("spec", chosen({"deepfool"}), ids=str)
def test_deepfool_leaves_an_image_the_model_gets_wrong(spec: AttackSpec) -> None:
    images, labels = batch()
    attacked = run(spec, network(), images, torch.cat([(labels[:1] + 1) % 4, labels[1:]]))
    assert torch.equal(attacked.images[0], images[0])
    assert attacked.steps[0] == 0


@pytest.mark.parametrize("spec", chosen(GRADIENT), ids=str)
def test_a_model_without_slope_changes_nothing(spec: AttackSpec) -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3] * 0 + torch.tensor([0, 1.0, 0], dtype=x.dtype)

    images, _ = batch(3)
    attacked = run(spec, Flat(), images, torch.ones(3, dtype=torch.int64))
    assert torch.equal(attacked.images, images)


def test_deepfool_refuses_a_model_of_one_class() -> None:
    images, labels = batch(2)
    with pytest.raises(AttackError, match="two or more classes, found 1"):
        run(DeepFool(), nn.Sequential(nn.Flatten(), nn.Linear(192, 1).double()), images, labels * 0)


def values_of(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Any value that a parameter may have, from its type and its limits."""
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
    limits = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("gt", "ge", "lt", "le")
        if hasattr(limit, name)
    }
    return st.one_of(*(_values(kind, limits) for kind in kinds))


def _values(kind: Any, limits: dict[str, float]) -> st.SearchStrategy[Any]:
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    of_type: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        int: st.integers((low or 0) + ("gt" in limits), high),
        float: st.floats(
            low, high, exclude_min="gt" in limits, exclude_max="lt" in limits, allow_infinity=False, allow_nan=False
        ),
    }
    return of_type[kind]


specs = st.one_of(
    *(
        st.builds(row.spec, **{name: values_of(field) for name, field in row.spec.model_fields.items()})
        for row in ATTACKS.values()
    )
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(specs)
def test_parsing_inverts_str(spec: AttackSpec) -> None:
    parsed = parse_attack(str(spec))
    assert parsed == spec
    assert str(parsed) == str(spec)
    assert hash(parsed) == hash(spec)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deepfool", DeepFool()),
        ("pgd", PGD(norm="linf", eps=8 / 255, steps=40, step_size=2.5 * 8 / 255 / 40)),
        ("deepfool()", DeepFool()),
        (" fgsm( eps = 8e-3 ) ", FGSM(eps=0.008)),
        ("deepfool(candidates=None,steps=5)", DeepFool(steps=5)),
    ],
)
def test_defaults_and_spaces_may_be_left_out(text: str, expected: AttackSpec) -> None:
    assert parse_attack(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fgms(eps=1)", f"one of {', '.join(ATTACKS)}, found 'fgms'; did you mean 'fgsm'?"),
        ("pixie", f"one of {', '.join(ATTACKS)}, found 'pixie'"),
        ("deepfool(overshot=1)", "found 'overshot'; did you mean 'overshoot'?"),
        ("fgsm(family=1)", "parameter of fgsm to be one of norm, toolchain, eps, found 'family'"),
        ("fgsm(eps=0)", "expected eps of fgsm to be greater than 0, found '0'"),
        ("fgsm(eps=inf)", "expected eps of fgsm to be a finite number, found 'inf'"),
        ("fgsm(eps=nan)", "expected eps of fgsm to be a finite number, found 'nan'"),
        ("fgsm(eps=one)", "expected eps of fgsm to be a valid number"),
        ("fgsm(norm=l1, eps=1)", "expected norm of fgsm to be 'l2' or 'linf', found 'l1'"),
        ("carlini_wagner(norm=linf)", "expected norm of carlini_wagner to be 'l2', found 'linf'"),
        ("carlini_wagner(confidence=-1)", "greater than or equal to 0, found '-1'"),
        ("deepfool(steps=2.5)", "expected steps of deepfool to be a valid integer"),
        ("deepfool(candidates=1)", "greater than or equal to 2, found '1'"),
        ("fgsm(eps=1, eps=2)", "each parameter once in the attack 'fgsm(eps=1, eps=2)', found 'eps' twice"),
        ("fgsm(1)", "expected name=value in the attack 'fgsm(1)', found '1'"),
        ("fgsm(eps=1,)", "expected name=value"),
        ("fgsm(eps=1", "expected an attack such as 'deepfool(norm=l2, overshoot=0.02)', found 'fgsm(eps=1'"),
        ("__import__('os').getcwd()", "expected name=value"),
        ("(eps=1)", "expected an attack such as"),
        ("", "expected an attack such as"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(AttackError) as caught:
        parse_attack(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_make_attack_takes_values_and_makes_the_same_errors() -> None:
    assert make_attack("fgsm", norm="l2", eps=0.5) == FGSM(norm="l2", eps=0.5)
    with pytest.raises(AttackError, match=r"greater than 0, found -1$"):
        make_attack("fgsm", eps=-1)
    with pytest.raises(AttackError, match="did you mean 'confidence'"):
        make_attack("carlini_wagner", confidenc=1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"norm": "l3"}, "expected norm of pgd to be 'l2' or 'linf', found 'l3'"),
        ({"eps": -1}, "expected eps of pgd to be greater than 0, found -1"),
        ({"eps": None}, "expected eps of pgd to be a valid number, found None"),
        ({"step_size": 0}, "expected step_size of pgd to be greater than 0, found 0"),
        ({"toolchain": "fool"}, "expected toolchain of pgd to be 'redhanded', 'foolbox', 'art', "),
        ({"epsilon": 1}, "one of norm, toolchain, eps, steps, step_size, random_start, seed, found 'epsilon'; did you "
         "mean 'eps'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_python_is_told_in_the_same_line(parameters: dict[str, Any], message: str) -> None:
    for build in (PGD, partial(make_attack, "pgd"), lambda **given: PGD.model_validate(given)):
        with pytest.raises(AttackError) as caught:
            build(**parameters)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_parameter_without_a_default_is_asked_for() -> None:
    class Needing(AttackSpec):
        family = "needing"
        setting_names = ("eps",)
        norm: str = "l2"
        eps: float

    with pytest.raises(AttackError, match=r"^expected the parameter eps of needing, found none$"):
        Needing()


def test_defaults_that_depend_on_others_are_numbers() -> None:
    assert [kind(norm="l2").eps for kind in (FGSM, PGD, BIM, MIFGSM, Square)] == [1.0] * 5
    assert FGSM() == FGSM(norm="linf", eps=8 / 255)
    assert str(FGSM(norm="l2")) == "fgsm(norm=l2, eps=1.0)"
    assert str(PGD(norm="l2", eps=3, steps=5)) == (
        "pgd(norm=l2, eps=3.0, steps=5, step_size=1.5, random_start=True, seed=0)"
    )
    assert (BIM(eps=0.5, steps=4).step_size, MIFGSM(eps=0.5, steps=4).step_size) == (0.1, 0.125)
    assert PGD(eps=0.5, step_size=0.25) == PGD(eps=0.5, steps=40, step_size=0.25)
    assert hash(PGD(eps=0.4)) == hash(PGD(eps=0.4, step_size=PGD(eps=0.4).step_size))


class Holding(BaseModel):
    attack: PGD


def test_a_model_of_pydantic_can_hold_a_specification() -> None:
    held = Holding(attack=PGD(eps=0.5))
    assert Holding.model_validate_json(held.model_dump_json()) == held
    assert Holding(attack={"eps": 0.5}) == held
    assert pickle.loads(pickle.dumps(held)) == held  # noqa: S301 (our own)
    with pytest.raises(AttackError, match=r"^expected eps of pgd to be greater than 0, found -1$"):
        Holding(attack={"eps": -1})


LABELS_OF_STORED_ATTACKS = {
    "fgsm(norm=l2, eps=1.0)": "fgsm-l2-eps=1.0",
    "deepfool(norm=linf, overshoot=0.1, steps=50, candidates=3, box_from=2)": (
        "deepfool-linf-overshoot=0.1-candidates=3-box_from=2"
    ),
    "pgd(norm=linf, eps=0.1, steps=40, step_size=0.01, random_start=True, seed=0)": "pgd-linf-eps=0.1",
    "bim(norm=l2, eps=0.5, steps=10, step_size=0.1)": "bim-l2-eps=0.5",
    "mi_fgsm(norm=linf, eps=0.1, steps=10, step_size=0.01, decay=1.0)": "mi_fgsm-linf-eps=0.1-decay=1.0",
    "square(norm=linf, eps=0.1, steps=5000, p_init=0.8, seed=0)": "square-linf-eps=0.1",
    "gaussian_noise(norm=l2, eps=0.5, seed=0)": "gaussian_noise-l2-eps=0.5",
    "salt_and_pepper(norm=l0, amount=0.1, seed=0)": "salt_and_pepper-l0-amount=0.1",
    "jpeg(norm=none, quality=75)": "jpeg-none-quality=75",
}


@pytest.mark.parametrize(("text", "label"), LABELS_OF_STORED_ATTACKS.items())
def test_texts_that_seed_draws_and_name_files_stay_as_they_are(text: str, label: str) -> None:
    assert str(parse_attack(text)) == text
    assert parse_attack(text).label == label


@pytest.mark.parametrize("family", ATTACKS)
def test_a_default_specification_can_be_called_alone(family: str) -> None:
    kind, (images, labels) = ATTACKS[family].spec, batch(2)
    assert getattr(redhanded.attacks, kind.__name__) is kind
    assert kind.__name__ in redhanded.attacks.__all__
    assert parse_attack(family) == kind()
    spec = kind(steps=20) if getattr(kind(), "steps", 0) >= 1000 else kind()  # C&W's would take a minute
    called, expected = spec(network(), images, labels), run(spec, network(), images, labels)
    assert isinstance(called, AttackOutput)
    assert torch.equal(called.images, expected.images)
    assert torch.equal(called.steps, expected.steps)


def test_a_call_runs_the_code_of_the_toolchain() -> None:
    images, labels = batch(dtype=torch.float32)
    spec = FGSM(norm="l2", toolchain="foolbox")
    if not installed("foolbox"):
        pytest.skip("foolbox is not installed")
    (expected,) = attack_function(spec)(network(torch.float32), images, labels, [spec])
    called = spec(network(torch.float32), images, labels)
    assert torch.equal(called.images, expected.images)
    assert (called.steps == 0).all()
    with pytest.raises(AttackError, match="for the toolchain advlib, found fgsm"):
        FGSM(toolchain="advlib")(network(torch.float32), images, labels)


WRONG_CALLS: dict[str, tuple[Callable[[nn.Module, Tensor, Tensor], tuple[Any, Any, Any]], str]] = {
    "no module": (lambda m, x, y: (abs, x, y), "the model as a torch.nn.Module, found builtin_function_or_method"),
    "training": (lambda m, x, y: (m.train(), x, y), "in evaluation mode, found Sequential in training mode; call"),
    "array": (lambda m, x, y: (m, x.numpy(), y), "expected images as a torch.Tensor, found ndarray"),
    "list": (lambda m, x, y: (m, x, y.tolist()), "expected labels as a torch.Tensor, found list"),
    "bytes": (lambda m, x, y: (m, x.byte(), y), "images as torch.float32 or torch.float64 of shape (n, c, h, w)"),
    "one image": (lambda m, x, y: (m, x[0], y), "found torch.float64 of shape (3, 8, 8)"),
    "range": (lambda m, x, y: (m, x * 255, y), "expected images in [0, 1], found 0 to 255; normalise inside the model"),
    "nan": (lambda m, x, y: (m, x / 0, y), "expected images in [0, 1], found nan to nan"),
    "few labels": (lambda m, x, y: (m, x, y[1:]), "expected labels as torch.int64 of shape (7,), found torch.int64 of"),
    "int32": (lambda m, x, y: (m, x, y.int()), "expected labels as torch.int64 of shape (7,), found torch.int32"),
    "negative": (lambda m, x, y: (m, x, -y - 1), "expected labels of 0 or more, found -4; number"),
    "device": (lambda m, x, y: (m.to("meta"), x, y), "model, images and labels on one device, found cpu, meta"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_call_with_other_inputs_is_told_in_one_line(name: str) -> None:
    change, message = WRONG_CALLS[name]
    arguments = change(network(), *batch())
    with pytest.raises(AttackError) as caught:
        FGSM()(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def blend(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[FGSM]) -> list[AttackOutput]:
    """A control that keeps every law."""
    return [AttackOutput(images.detach() * (1 - spec.eps / 10), torch.zeros_like(labels)) for spec in attacks]


def row(run: Callable[..., list[AttackOutput]], **changes: Any) -> AttackKind:
    fields = {"spec": FGSM, "title": "", "summary": "", "paper": "", "reference": "", "uses_gradient": False}
    return AttackKind(**(fields | {"run": run, "kind": "control"} | changes))


def breaking(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> AttackKind:
    """`blend`, whose outputs are changed."""
    return row(lambda *given: [AttackOutput(*change(*output)) for output in blend(*given)])


def pulling(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[FGSM]) -> list[AttackOutput]:
    images.mul_(0.5)
    return blend(model, images, labels, attacks)


def asking(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[FGSM]) -> list[AttackOutput]:
    with torch.no_grad():
        model(images * 1.5)
    return [output._replace(steps=torch.ones_like(labels)) for output in blend(model, images, labels, attacks)]


BROKEN: dict[str, tuple[AttackKind, str]] = {
    "range": (breaking(lambda x, n: (x * 2, n)), "images in [0, 1]"),
    "type": (breaking(lambda x, n: (x.double(), n)), "images of torch.float32, found torch.float64"),
    "steps": (breaking(lambda x, n: (x, n + 1)), "0 to 0 steps for each image"),
    "no images": (row(lambda m, x, y, specs: blend(m, x, y, specs) if len(x) else []), "one output for one spec"),
    "draws": (breaking(lambda x, n: (x * (0.5 + 0.5 * torch.rand(1).item()), n)), "the same images when run again"),
    "neighbours": (breaking(lambda x, n: (x * x.mean() if len(x) else x, n)), "of an image alone as in its batch"),
    "one output": (row(lambda m, x, y, specs: blend(m, x, y, specs[:1])), "an output for each of two specifications"),
    "in place": (row(pulling), "expected "),
    "gradient": (row(blend, uses_gradient=True), "expected uses_gradient=False in the row"),
    "asks": (row(asking), "expected "),
    "box": (row(asking, kind="single step"), "a model asked for images in [0, 1], found 0 to 1.5"),
    "raises": (row(lambda m, x, y, specs: 1 / 0), "expected no error, found ZeroDivisionError: division by zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_an_attack_that_breaks_a_law_is_told_in_one_line(name: str) -> None:
    check_attack(FGSM(norm="linf", eps=0.5), row(blend))
    kind, message = BROKEN[name]
    with pytest.raises(AssertionError) as caught:
        check_attack(FGSM(norm="linf", eps=0.5), kind)
    assert message in str(caught.value)
    assert str(caught.value).startswith("fgsm(norm=linf, eps=0.5): ")
    assert "\n" not in str(caught.value)
