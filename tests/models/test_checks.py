"""Model checks: each finds what it is for, lets the near miss pass, and has its section in the page."""

import random
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from redhanded import generate
from redhanded.attacks import FGSM, GaussianNoise
from redhanded.errors import AttackError
from redhanded.models import MANY, check_model, spread_over
from redhanded.models.checks import CHECKS, ENOUGH, PAGE, TRAINS_OTHERWISE, ModelWarning
from redhanded.sets import make_sets

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / PAGE).read_text()
SECTIONS = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
LINE = re.compile(rf"expected .+, found .+; .+; see {PAGE}#([\w-]+)")
IMAGES = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(4))
CLASSES = 10


class Then(nn.Module):
    """A sound linear classifier whose logits go through a function of images and logits."""

    def __init__(self, change: Callable[[Tensor, Tensor], Any] = lambda images, logits: logits) -> None:
        super().__init__()
        self.change = change
        self.asked = 0
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.linear = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Any:
        self.asked += 1
        return self.change(images, 3 * self.linear(images.flatten(1)))


SOUND = Then().eval()
with torch.no_grad():
    LOGITS = SOUND(IMAGES)
SPREAD = (LOGITS.max() - LOGITS.min()).item()
LABELS = LOGITS.argmax(1)


def then(change: Callable[[Tensor, Tensor], Any]) -> nn.Module:
    return Then(change).eval()


def with_part(part: nn.Module, training: bool) -> nn.Module:
    model = nn.Sequential(SOUND, part).eval()
    part.train(training)
    return model


def frozen_script() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is no longer the way
        return torch.jit.freeze(torch.jit.trace(SOUND, IMAGES[:2]).eval())


def later(change: Callable[[Tensor], Tensor]) -> nn.Module:
    """Changes its logits from the third call on: the first two are of the images and of one of them alone."""
    model = Then().eval()
    model.change = lambda images, logits: change(logits) if model.asked > 2 else logits
    return model


def once(value: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One logit of the first image is this value."""
    return lambda images, logits: torch.cat([logits.new_full((1, 1), value), logits.flatten()[None, 1:]], 1).view_as(
        logits
    )


def of_batch(share: float) -> nn.Module:
    """The logits depend on the batch by a share of their spread."""
    return then(lambda images, logits: logits + share * SPREAD * (len(images) > 1))


def stepped(images: Tensor, logits: Tensor) -> Tensor:
    """As the logits, without a gradient for the first image."""
    return torch.cat([logits[:1].detach() + 0 * images[:1].sum(), logits[1:]])


def root(images: Tensor, logits: Tensor) -> Tensor:
    """The gradient of a root at zero is infinite, and infinity times zero is no number."""
    return logits + (0 * images).sqrt().sum((1, 2, 3))[:, None]


def wrong(count: int, right: int = 0) -> Tensor:
    """Labels of the first images, of which so many are right; the checks look at 64 of 64."""
    labels = (LABELS[:count] + 1) % CLASSES
    labels[:right] = LABELS[:right]
    return labels


class Case(NamedTuple):
    row: str
    name: str
    make: Callable[[], nn.Module]
    labels: Tensor = LABELS


def rows(row: str, **models: Callable[[], nn.Module]) -> list[Case]:
    return [Case(row, name, make) for name, make in models.items()]


FAILING = [
    *rows(
        "evaluation-mode",
        all=lambda: Then().train(),
        dropout=lambda: with_part(nn.Dropout(0.5), True),
        batchnorm=lambda: with_part(nn.BatchNorm1d(CLASSES), True),
        wrapper=lambda: nn.Sequential(SOUND),
    ),
    *rows(
        "shape",
        tuple=lambda: then(lambda images, logits: (logits, images)),
        one_dimension=lambda: then(lambda images, logits: logits[:, 0]),
        one_logit=lambda: then(lambda images, logits: logits[:, :1]),
        three_dimensions=lambda: then(lambda images, logits: logits[..., None]),
        other_rows=lambda: then(lambda images, logits: logits[:2].repeat(2, 1)),
        classes=lambda: then(lambda images, logits: logits.long()),
        squeezed=lambda: then(lambda images, logits: logits.squeeze(0)),
        one_batch_size=lambda: then(lambda images, logits: logits.view(8, -1)),
        other_images=lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(4)).eval(),
    ),
    *rows(
        "finite",
        nan=lambda: then(once(torch.nan)),
        infinity=lambda: then(once(torch.inf)),
        minus_infinity=lambda: then(once(-torch.inf)),
    ),
    *rows("logits", softmax=lambda: then(lambda images, logits: logits.softmax(1))),
    *rows(
        "deterministic",
        noise=lambda: then(lambda images, logits: logits + 2e-3 * SPREAD * torch.rand_like(logits)),
        dropout=lambda: then(lambda images, logits: functional.dropout(logits, 0.5)),
        state=lambda: later(lambda logits: logits.flip(1)),
        nan=lambda: later(lambda logits: logits * torch.nan),
    ),
    *rows(
        "neighbours",
        shift=lambda: of_batch(0.02),
        statistics=lambda: nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), SOUND).eval(),
    ),
    *rows(
        "differentiable",
        detached=lambda: then(lambda images, logits: logits.detach()),
        numpy=lambda: then(lambda images, logits: torch.from_numpy(logits.numpy())),
        constant=lambda: then(lambda images, logits: LOGITS[: len(images)].requires_grad_()),
    ),
    *rows(
        "gradients",
        steps=lambda: then(lambda images, logits: SOUND.linear((images * 3).round().flatten(1))),
        one_image=lambda: then(stepped),
        saturated=lambda: then(lambda images, logits: 1000 * logits),
        nan=lambda: then(root),
    ),
    Case("labels", "shuffled", lambda: SOUND, wrong(64)),
    Case("labels", "few_right", lambda: SOUND, wrong(64, right=12)),
    Case("labels", "just_enough", lambda: SOUND, wrong(ENOUGH)),
    Case("labels", "too_large", lambda: SOUND, LABELS[:20].clone().index_fill(0, torch.tensor([0]), CLASSES)),
    Case("labels", "negative", lambda: SOUND, LABELS[:20].clone().index_fill(0, torch.tensor([0]), -1)),
]
PASSING = [
    Case("evaluation-mode", "identity", lambda: with_part(nn.Identity(), True)),
    Case("evaluation-mode", "dropout", lambda: with_part(nn.Dropout(0.5), False)),
    Case("evaluation-mode", "frozen_script", frozen_script),
    Case("shape", "two_classes", lambda: then(lambda images, logits: logits[:, :2]), LABELS[:20] * 0),
    Case("shape", "half", lambda: then(lambda images, logits: logits.half())),
    Case("shape", "double", lambda: then(lambda images, logits: logits.double())),
    Case("finite", "large", lambda: then(lambda images, logits: logits + 1e6 * (logits > 1e9))),
    Case("logits", "log_softmax", lambda: then(lambda images, logits: logits.log_softmax(1))),
    Case("logits", "positive", lambda: then(lambda images, logits: logits.softmax(1) * 1.01)),
    Case("logits", "sum_of_one", lambda: then(lambda images, logits: logits - logits.mean(1, True) + 0.1)),
    Case("deterministic", "rounding", lambda: later(lambda logits: logits + 5e-4 * SPREAD)),
    Case("deterministic", "own_seed", lambda: then(seeded)),
    Case("neighbours", "rounding", lambda: of_batch(0.005)),
    Case("gradients", "blind", lambda: then(lambda images, logits: SOUND.linear(images.flatten(1).clamp(0.2)))),
    Case("gradients", "sharp", lambda: then(lambda images, logits: 3 * logits)),
    Case("labels", "too_few", lambda: SOUND, wrong(ENOUGH - 1)),
    Case("labels", "enough_right", lambda: SOUND, wrong(64, right=13)),
]


def seeded(images: Tensor, logits: Tensor) -> Tensor:
    """Noise that is the same at every call."""
    return logits + 0.1 * torch.rand(CLASSES, generator=torch.Generator().manual_seed(0))


def told(model: nn.Module, labels: Tensor | None = LABELS, **more: Any) -> list[tuple[str, bool]]:
    """The rows that were named, and whether they refused; every message is one line of the one form."""
    images = IMAGES if labels is None else IMAGES[: len(labels)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ModelWarning)
        try:
            check_model(model, images, labels, **more)
        except AttackError as error:
            return [(LINE.fullmatch(str(error))[1], True)]
    return [(LINE.fullmatch(str(each.message))[1], False) for each in caught]


def ids(cases: list[Case]) -> list[str]:
    return [f"{case.row}-{case.name}" for case in cases]


@pytest.mark.parametrize("case", FAILING, ids=ids(FAILING))
def test_a_check_finds_what_it_is_for_and_no_other_does(case: Case) -> None:
    assert told(case.make(), case.labels) == [(case.row, CHECKS[case.row].refuses)]


@pytest.mark.parametrize("case", PASSING, ids=ids(PASSING))
def test_a_near_miss_passes(case: Case) -> None:
    assert told(case.make(), case.labels) == []


def test_every_check_has_a_failure_and_those_with_a_threshold_a_near_miss() -> None:
    assert {case.row for case in FAILING} == set(CHECKS)
    assert set(CHECKS) - {case.row for case in PASSING} == {"differentiable"}


@pytest.mark.parametrize("name", ["detached", "steps"])
def test_gradients_are_not_asked_for_where_no_attack_needs_them(name: str) -> None:
    (case,) = [case for case in FAILING if case.name == name]
    assert told(case.make(), needs_gradient=False) == []


def test_without_labels_the_others_are_checked() -> None:
    assert told(SOUND, None) == []
    assert told(then(lambda images, logits: logits.softmax(1)), None) == [("logits", True)]


def test_several_warnings_come_in_the_order_of_the_table() -> None:
    model = then(lambda images, logits: 1000 * logits * (1 + (len(images) > 1)))
    assert told(model, wrong(64)) == [("neighbours", False), ("gradients", False), ("labels", False)]


def test_a_message_counts_and_names() -> None:
    with pytest.raises(AttackError, match=r"found its module '1' \(Dropout\) in training mode; call model\.eval\(\)"):
        check_model(with_part(nn.Dropout(), True), IMAGES, LABELS)
    with pytest.raises(
        AttackError, match=r"images of shape \(8, 1, 8, 8\).*, found ValueError: no \?o{284}; give images"
    ):
        check_model(then(failing), IMAGES, LABELS)
    with pytest.warns(ModelWarning, match="for 1 of 8 images"):
        check_model(then(stepped), IMAGES, LABELS)
    with pytest.warns(ModelWarning, match="found 12 of 64 with 10 classes"):
        check_model(SOUND, IMAGES[:64], wrong(64, right=12))
    with pytest.warns(ModelWarning, match="expected labels from 0 to 9, found 1 to 10;"):
        check_model(SOUND, IMAGES[:5], torch.tensor([1, 10, 3, 4, 5]))


def failing(images: Tensor, logits: Tensor) -> Tensor:
    raise ValueError("no\n\x1b" + "o" * 1000)


@given(
    st.integers(2, 300),
    st.floats(0.01, 30),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.integers(0, 1000),
)
def test_probabilities_are_told_from_logits_in_every_type(
    classes: int, sharpness: float, dtype: torch.dtype, seed: int
) -> None:
    weights = torch.randn(64, classes, generator=torch.Generator().manual_seed(seed))

    def logits(images: Tensor, _: Tensor) -> Tensor:
        return sharpness * (images.flatten(1) - 0.5) @ weights / 4

    soft = then(lambda *given: logits(*given).softmax(1).to(dtype))
    assert told(soft, None) == [("logits", True)]
    for change in (lambda z: z, lambda z: z.log_softmax(1)):
        plain = then(lambda *given, change=change: change(logits(*given)).to(dtype))
        assert ("logits", True) not in told(plain, None, needs_gradient=False)


@given(st.floats(0.01, 4), st.floats(-10, 10))
def test_scale_and_offset_of_the_logits_do_not_matter(scale: float, offset: float) -> None:
    assert told(then(lambda images, logits: scale * logits + offset)) == []


@given(st.integers(1, 10**9), st.integers(1, 70))
def test_the_images_that_are_asked_for_go_from_the_first_to_the_last(count: int, most: int) -> None:
    places = spread_over(count, most).tolist()
    assert len(places) == min(count, most)
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] == count - 1 or len(places) == 1


def test_few_images_are_asked_for_whatever_their_number() -> None:
    seen: list[Tensor] = []
    watching = then(lambda images, logits: seen.append(images) or logits)
    check_model(watching, IMAGES, LABELS)
    assert sum(map(len, seen)) <= 4 * 8 + MANY
    assert all(any(torch.equal(image, asked) for asked in seen[0]) for image in IMAGES[[0, -1]])


def test_no_images_and_one_image() -> None:
    assert told(Then().train(), LABELS[:0]) == []
    assert told(SOUND, LABELS[:1]) == []


class Careless(nn.Module):
    """Writes into its input, and draws from every generator."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Then()

    def forward(self, images: Tensor) -> Tensor:
        torch.rand(1), np.random.random(), random.random()  # noqa: NPY002, S311
        logits = self.inner(images)
        if not torch.is_grad_enabled():
            images.zero_()
        return logits


def test_model_images_and_random_states_are_left_as_they_were() -> None:
    def state() -> list[Any]:
        gradients = [parameter.grad for parameter in model.parameters()]
        random_states = [random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()]  # noqa: NPY002
        return [[part.training for part in model.modules()], gradients, torch.is_grad_enabled(), *random_states]

    model = Careless().eval()
    weights, images, before = [each.clone() for each in model.parameters()], IMAGES.clone(), state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        check_model(model, images, LABELS)
    assert state() == before
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(one, other) for one, other in zip(weights, model.parameters(), strict=True))


# --- generate


def test_generate_refuses_before_it_attacks() -> None:
    asked: list[int] = []
    model = then(lambda images, logits: asked.append(len(images)) or logits.softmax(1))
    with pytest.raises(AttackError, match=r"#logits$"):
        generate(model, IMAGES, LABELS, [FGSM(eps=0.1)])
    assert sum(asked) <= 9


def test_a_warning_of_generate_names_the_line_that_called_it() -> None:
    with pytest.warns(ModelWarning, match=r"#labels$") as caught:
        (made,) = generate(SOUND, IMAGES[:64], wrong(64, right=3), [FGSM(eps=0.1)])
    assert [warning.filename for warning in caught] == [__file__]
    assert made.attacked.sum() == 3


def test_controls_run_on_a_model_without_gradients() -> None:
    model = then(lambda images, logits: logits.detach())
    generate(model, IMAGES, LABELS, [GaussianNoise(eps=1.0)])
    with pytest.raises(AttackError, match=r"#differentiable$"):
        generate(model, IMAGES, LABELS, [GaussianNoise(eps=1.0), FGSM(eps=0.1)])


def test_sets_of_a_trusted_model_are_made_unchecked_and_are_the_same() -> None:
    (trusted,) = make_sets(SOUND, IMAGES, LABELS, torch.arange(len(IMAGES)), [FGSM(eps=0.1)], ["float32"])
    (checked,) = generate(SOUND, IMAGES, LABELS, [FGSM(eps=0.1)])
    assert torch.equal(trusted.images, checked.images)
    make_sets(
        then(lambda images, logits: logits.softmax(1)), IMAGES, LABELS, trusted.index, [FGSM(eps=0.1)], ["float32"]
    )


# --- the page


def test_the_page_has_the_rows_of_the_table_in_order() -> None:
    assert list(SECTIONS) == list(CHECKS)
    assert len(re.findall(r"^## ", TEXT, re.MULTILINE)) == len(CHECKS)


@pytest.mark.parametrize("row", CHECKS)
def test_a_section_says_what_is_wrong_what_it_does_and_how_to_repair_it(row: str) -> None:
    section = SECTIONS[row]
    assert section.startswith("Refused" if CHECKS[row].refuses else "Warned of. ")
    assert re.search(r"\n\*\*What it does to attacks\.\*\* .{80}", section)
    assert re.search(r"\n\*\*Repair\.\*\* (?s:.*)\n```python\n", section)
    assert ("controls" in section) is (CHECKS[row].of_gradient and CHECKS[row].refuses)


def snippets() -> Iterator[tuple[str, str]]:
    for name, text in {"top": TEXT.split("\n## ")[0], **SECTIONS}.items():
        yield from ((name, code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.parametrize(("where", "code"), list(snippets()), ids=[name for name, _ in snippets()])
def test_the_code_of_the_page_runs(where: str, code: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.Softmax(1))
    networks = {"model": model, "network": SOUND, "network_without_softmax": SOUND, "normalise": nn.Identity()}
    values = {"images": IMAGES, "hidden": LOGITS, "mean": [0.5], "std": [0.5], "self": SOUND}
    names = {"torch": torch, "nn": nn, "functional": functional, **networks, **values}
    exec(TEXT.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - the imports; our own page
    exec(code, names)  # noqa: S102


@pytest.mark.parametrize("row", ["shape", "gradients"])
def test_a_repair_of_the_page_repairs(row: str) -> None:
    (code,) = [code for name, code in snippets() if name == row]
    if row == "shape":
        names: dict[str, Any] = {"nn": nn, "torch": torch}
        exec(code, names)  # noqa: S102
        assert told(names["Logits"](then(lambda images, logits: (logits, images))).eval()) == []
    else:

        def rounded(images: Tensor, logits: Tensor) -> Tensor:
            names = {"images": images}
            exec(code, names)  # noqa: S102
            assert torch.allclose(names["rounded"], (images * 255).round() / 255)
            return 3 * SOUND.linear(names["rounded"].flatten(1))

        assert told(then(rounded)) == []


def test_every_layer_of_torch_that_draws_or_keeps_statistics_is_known() -> None:
    kinds = [kind for name, kind in vars(nn).items() if re.search("Drop|BatchNorm|InstanceNorm|RReLU", name)]
    assert len(kinds) >= 17
    assert all(issubclass(kind, TRAINS_OTHERWISE) for kind in kinds)
