"""Ranges: what an image draws is its own, whatever stands beside it, and is attacked as if it had been given."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from redhanded.attacks import (
    ATTACKS,
    FGSM,
    PGD,
    AttackSpec,
    Choice,
    DeepFool,
    LogUniform,
    Range,
    Uniform,
    make_attack,
    parse_attack,
)
from redhanded.attacks.ranges import RANGES, read_range
from redhanded.errors import AttackError
from redhanded.sets import generate
from redhanded.testing import small_batch, small_network

# For each parameter that may differ from image to image, over all attacks, a range in which it changes the outcome.
RANGE_OF = {
    "amount": Uniform(0.01, 0.2),
    "binary_search_steps": Uniform(1, 3),
    "confidence": Uniform(0, 1),
    "const_factor": Uniform(1.5, 3),
    "decay": Uniform(0, 1),
    "decrease_factor": Uniform(0.5, 0.95),
    "eps": LogUniform(0.1, 0.5),
    "gamma": LogUniform(0.01, 0.3),
    "init_norm": LogUniform(0.1, 1),
    "initial_const": LogUniform(0.01, 1),
    "largest_const": Uniform(1, 20),
    "learning_rate": LogUniform(0.01, 0.3),
    "overshoot": LogUniform(0.01, 1),
    "p_init": Uniform(0.1, 0.9),
    "quality": Uniform(50, 95),
    "step_size": LogUniform(0.05, 0.2),
    "steps": Uniform(5, 12),
}
# What keeps the others short.
BUDGET = {
    "carlini_wagner": {"steps": 8, "binary_search_steps": 2, "initial_const": 1.0, "learning_rate": 0.1},
    "carlini_wagner_linf": {"steps": 6, "initial_const": 1.0, "largest_const": 4.0, "learning_rate": 0.1},
    "ddn": {"steps": 8},
    "fmn": {"steps": 8},
    "pgd": {"steps": 4},
    "square": {"steps": 25},
}
CASES = [
    (name, norm, parameter)
    for name, row in ATTACKS.items()
    for norm in ("l2", "linf")
    if norm in (norms := row.spec.model_fields["norm"].annotation.__args__) or (norm == "l2" and "linf" not in norms)
    for parameter in row.spec.spreadable()
]


def spread(name: str, norm: str, **ranges: Range):
    norms = ATTACKS[name].spec.model_fields["norm"].annotation.__args__
    return make_attack(name, **BUDGET.get(name, {}) | ({"norm": norm} if norm in norms else {}) | ranges)


@pytest.mark.parametrize(("name", "norm", "parameter"), CASES)
def test_a_drawn_value_attacks_as_the_same_value_for_all(name: str, norm: str, parameter: str) -> None:
    model, (images, labels) = small_network(), small_batch()
    drawn = spread(name, norm, **{parameter: RANGE_OF[parameter]}).drawn(torch.arange(len(images)), seed=3)
    assert len(set(getattr(drawn, parameter).tolist())) > 1
    (together,) = ATTACKS[name].run(model, images, labels, [drawn])
    for place in range(len(images)):
        fixed = make_attack(name, **dict(drawn.of_image(place)))  # all its values are within their bounds
        (alone,) = ATTACKS[name].run(model, images[place : place + 1], labels[place : place + 1], [fixed])
        torch.testing.assert_close(together.images[place : place + 1], alone.images, rtol=0, atol=1e-9)
        assert together.steps[place] == alone.steps


@pytest.mark.parametrize("name", ATTACKS)
def test_all_numbers_of_an_attack_may_be_drawn_at_once(name: str) -> None:
    model, (images, labels) = small_network(), small_batch()
    names = ATTACKS[name].spec.spreadable()
    drawn = spread(name, "l2", **{each: RANGE_OF[each] for each in names}).drawn(torch.arange(len(images)), seed=5)
    (together,) = ATTACKS[name].run(model, images, labels, [drawn])
    for place in range(len(images)):
        alone = (images[place : place + 1], labels[place : place + 1], [drawn.of_image(place)])
        torch.testing.assert_close(
            together.images[place : place + 1], ATTACKS[name].run(model, *alone)[0].images, rtol=0, atol=1e-9
        )


def test_draws_have_the_distribution_that_is_named() -> None:
    index = torch.arange(4000)

    def draws(**ranges: Range) -> np.ndarray:
        attack = PGD(**ranges).drawn(index, seed=1)
        return getattr(attack, next(iter(ranges))).numpy()

    assert kstest(draws(eps=Uniform(0.1, 0.5)), "uniform", (0.1, 0.4)).pvalue > 1e-3
    assert kstest(np.log(draws(eps=LogUniform(0.01, 0.25))), "uniform", (np.log(0.01), np.log(25))).pvalue > 1e-3
    for steps in (draws(steps=Uniform(5, 8)), draws(steps=Choice(5, 6, 7, 8))):
        values, counts = np.unique(steps, return_counts=True)
        assert values.tolist() == [5, 6, 7, 8]
        assert abs(counts / 4000 - 0.25).max() < 0.03
    few, many = ((draws(steps=LogUniform(1, 15)) == value).mean() for value in (1, 15))
    assert abs(few - np.log(2) / np.log(16)) < 0.03  # whole numbers n have the share of [n, n + 1)
    assert abs(many - np.log(16 / 15) / np.log(16)) < 0.01


def test_parameters_of_one_attack_are_drawn_apart() -> None:
    drawn = PGD(eps=Uniform(0.1, 0.2), step_size=Uniform(0.1, 0.2)).drawn(torch.arange(2000), seed=0)
    assert abs(np.corrcoef(drawn.eps, drawn.step_size)[0, 1]) < 0.1


def test_a_range_may_be_in_units_of_another_parameter() -> None:
    drawn = PGD(norm="l2", eps=LogUniform(0.1, 6), step_size=LogUniform(0.1, 1, times="eps")).drawn(
        torch.arange(500), 0
    )
    ratio = drawn.step_size / drawn.eps
    assert 0.1 <= ratio.min() < 0.12 < 0.9 < ratio.max() <= 1


def test_a_default_that_depends_on_a_range_is_each_images_own() -> None:
    drawn = PGD(norm="l2", eps=LogUniform(0.1, 6), steps=Uniform(5, 20)).drawn(torch.arange(50), 0)
    torch.testing.assert_close(drawn.step_size, 2.5 * drawn.eps / drawn.steps)
    for place in range(50):
        assert drawn.of_image(place) == PGD(norm="l2", eps=drawn.eps[place].item(), steps=drawn.steps[place].item())


def test_what_an_image_draws_hangs_on_its_index_the_seed_and_the_specification() -> None:
    index, attack = torch.tensor([7, 3, 900, 3]), FGSM(eps=LogUniform(0.01, 0.25))
    eps = attack.drawn(index, 4).eps
    assert eps[1] == eps[3]
    assert torch.equal(attack.drawn(index[1:2], 4).eps, eps[1:2])
    others = attack.drawn(index, 5), FGSM(norm="l2", eps=LogUniform(0.01, 0.25)).drawn(index, 4)
    assert all(not torch.equal(other.eps, eps) for other in others)


def test_a_shard_made_alone_is_that_of_the_whole_set() -> None:
    model, (images, labels) = small_network(torch.float32), small_batch(24, torch.float32)
    attacks = [FGSM(eps=LogUniform(0.01, 0.25)), PGD(norm="l2", eps=LogUniform(0.1, 2), steps=Uniform(2, 6))]
    index = torch.arange(24) + 100
    whole = generate(model, images, labels, attacks, index=index, seed=9)
    part = slice(10, 20)
    alone = generate(model, images[part], labels[part], attacks, index=index[part], seed=9, batch_size=4)
    for one, other in zip(whole, alone, strict=True):
        assert one.parameters.keys() == other.parameters.keys() >= one.attack.ranges.keys()
        for name, values in other.parameters.items():
            assert torch.equal(values, one.parameters[name][part])
        torch.testing.assert_close(one.images[part], other.images, rtol=0, atol=1e-6)


def test_one_value_an_image_may_be_given() -> None:
    model, (images, labels) = small_network(), small_batch()
    eps = torch.linspace(0.1, 0.5, len(images), dtype=torch.float64)
    found = FGSM(eps=eps)(model, images, labels)
    change = (found.images - images).abs().flatten(1).amax(1)
    assert torch.all(change <= eps + 1e-9)
    assert torch.all(change[1:] > eps[0])
    with pytest.raises(AttackError, match="expected eps for each of 7 images, found 3 values"):
        FGSM(eps=eps[:3])(model, images, labels)


def test_other_libraries_take_drawn_values_too() -> None:
    pytest.importorskip("foolbox")
    model, (images, labels) = small_network(torch.float32), small_batch(dtype=torch.float32)
    eps = Choice(0.1, 0.3)
    ours, theirs = (FGSM(eps=eps, toolchain=name)(model, images, labels).images for name in ("redhanded", "foolbox"))
    drawn = FGSM(eps=eps, toolchain="foolbox").drawn(torch.arange(len(images)), 0)
    assert set(drawn.eps.tolist()) == {0.1, 0.3}
    for place in range(len(images)):
        alone = drawn.of_image(place)(model, images[place : place + 1], labels[place : place + 1]).images
        torch.testing.assert_close(theirs[place : place + 1], alone)
    assert ours.shape == theirs.shape


numbers = st.floats(1e-6, 1e6)


@given(
    kind=st.sampled_from([LogUniform, Uniform]),
    ends=st.tuples(numbers, numbers).filter(lambda ends: ends[0] < ends[1]),
    times=st.sampled_from([None, "eps"]),
)
def test_a_range_survives_text_and_toml(kind: type[Range], ends: tuple[float, float], times: str | None) -> None:
    made = kind(*ends, times=times)
    assert read_range(str(made)) == made
    assert read_range({kind.name: list(ends)} | ({"times": times} if times else {})) == made
    attack = PGD(norm="l2", step_size=made)
    assert parse_attack(str(attack)) == attack
    assert hash(parse_attack(str(attack))) == hash(attack)
    assert "(" not in attack.label


@given(
    kind=st.sampled_from(sorted(RANGES)),
    ends=st.tuples(numbers, numbers).filter(lambda ends: ends[0] < ends[1]),
    shares=st.lists(st.floats(0, 1, exclude_max=True), min_size=1),
)
def test_no_value_leaves_its_range(kind: str, ends: tuple[float, float], shares: list[float]) -> None:
    values = RANGES[kind](*ends).at(np.array(shares), whole=False)
    assert np.all((values >= ends[0]) & (values <= ends[1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LogUniform(1, 0.1),
            "expected two numbers, the lower one first, above 0 for log_uniform, found 1, 0.1",
        ),
        (lambda: Uniform(1), "expected two numbers, the lower one first for uniform, found 1"),
        (lambda: Choice(), "expected one number or more for choice, found none"),
        (lambda: Uniform(0, float("nan")), "expected two numbers, the lower one first for uniform, found 0, nan"),
        (lambda: Uniform(0, "a"), "expected two numbers, the lower one first for uniform, found 0, a"),
        (lambda: FGSM(eps="log_uniform(a,b)"), "expected numbers in 'log_uniform(a,b)', found 'a,b'"),
        (lambda: FGSM(eps={"gauss": [1, 2]}), "expected the distribution to be one of log_uniform, uniform, choice"),
        (lambda: FGSM(eps={"uniform": 2}), "expected a range such as {log_uniform = [0.004, 0.25]}"),
        (
            lambda: FGSM(eps={"uniform": [1, 2], "choice": [1]}),
            "expected a range such as {log_uniform = [0.004, 0.25]}",
        ),
        (lambda: FGSM(eps=Uniform(-1, 1)), "expected eps of fgsm to be greater than 0, found -1"),
        (lambda: make_attack("jpeg", quality=Uniform(50, 120)), "expected quality of jpeg to be less than or equal to"),
        (lambda: PGD(steps=Uniform(2.5, 9)), "expected steps of pgd to be a valid integer"),
        (lambda: FGSM(norm=Choice(1, 2)), "expected one value of norm for all images of fgsm, found choice(1,2)"),
        (lambda: PGD(seed=Choice(1, 2)), "expected one value of seed for all images of pgd, found choice(1,2)"),
        (lambda: PGD(step_size=Uniform(1, 2, times="norm")), "expected step_size of pgd in units of eps, steps, found"),
        (lambda: DeepFool(overshoot=torch.zeros(2, 2)), "expected overshoot as a number or (n,) values, found shape"),
    ],
)
def test_a_mistake_is_one_line(make, message: str) -> None:
    with pytest.raises(AttackError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", [PGD(eps=LogUniform(0.1, 1)), FGSM(norm="l2", eps=Choice(1, 2)), DeepFool()])
def test_a_specification_goes_to_another_process_as_it_is(spec: AttackSpec) -> None:
    """A default that follows a range is a rule, which cannot be pickled."""
    back = pickle.loads(pickle.dumps(spec))  # noqa: S301 - our own
    assert str(back) == str(spec)
    index = torch.arange(3)
    assert str(back.drawn(index, 1).of_image(2)) == str(spec.drawn(index, 1).of_image(2))
