"""Iterative, minimum-norm and query attacks and the controls against other libraries and closed forms."""

import io
import math
from collections.abc import Iterator
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from redhanded.attacks import (
    ATTACKS,
    BIM,
    DDN,
    FMN,
    JPEG,
    MIFGSM,
    PGD,
    AttackSpec,
    CarliniWagnerLinf,
    GaussianNoise,
    SaltAndPepper,
    Square,
    UniformNoise,
)
from redhanded.attacks.ops.ball import point_in_ball, project
from redhanded.attacks.ops.draws import generators, normal, uniform
from redhanded.attacks.ops.gradients import cosine_decay
from redhanded.attacks.ops.windows import corner, peak, peak_at, window_at
from redhanded.attacks.toolchains import installed, load_toolchain
from redhanded.core import dual_norm_of, norm_of
from redhanded.errors import AttackError

CLASSES = 4
Problem = tuple[nn.Module, Tensor, Tensor]


def library(name: str) -> ModuleType:
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    return load_toolchain(name)


def attack(spec: AttackSpec, problem: Problem) -> Tensor:
    (attacked,) = ATTACKS[spec.family].run(*problem, [spec])
    return attacked.images


def fools(problem: Problem, images: Tensor) -> Tensor:
    model, _, labels = problem
    return model(images).argmax(1) != labels


@pytest.fixture(scope="module")
def victim() -> Problem:
    """A small network trained on noisy prototypes in float64, and 24 images that it gets right."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(8 * 2 * 2, CLASSES),
        )  # fmt: skip
    prototypes = F.interpolate(torch.rand(CLASSES, 3, 4, 4, generator=generator), size=10, mode="bilinear")

    def batch(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(CLASSES, (n,), generator=generator)
        noise = 0.15 * torch.randn(n, 3, 10, 10, generator=generator)
        return (0.25 + 0.5 * prototypes[labels] + noise).clamp(0, 1), labels

    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        images, labels = batch(64)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval().requires_grad_(False)
    images, labels = batch(64)
    right = model(images).argmax(1) == labels
    assert right.sum() >= 24
    return model, images[right][:24], labels[right][:24]


@pytest.fixture
def exact(victim: Problem) -> Iterator[Problem]:
    """The victim in float64, where many steps do not turn a rounding into another path."""
    model, images, labels = victim
    yield model.double(), images[:8].double(), labels[:8]
    model.float()


def two_classes(n: int = 6) -> tuple[Problem, Tensor]:
    """A half space of class 1, images in the middle of the box and outside of it, and its normal (c, h, w)."""
    generator = torch.Generator().manual_seed(3)
    slope = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)
    images = 0.5 + 0.1 * torch.rand(n, 3, 6, 6, generator=generator, dtype=torch.float64)
    edge = (images * slope).flatten(1).sum(1).max() + 1
    return (HalfSpace(slope, edge), images, torch.zeros(n, dtype=torch.int64)), slope


class HalfSpace(nn.Module):
    """Class 1 behind a hyperplane. The margin is curved: an exact linearisation leads onto the edge, not over it."""

    def __init__(self, slope: Tensor, edge: Tensor) -> None:
        super().__init__()
        self.slope, self.edge = slope, edge

    def forward(self, x: Tensor) -> Tensor:
        gain = (x * self.slope).flatten(1).sum(1) - self.edge
        return torch.stack([torch.zeros_like(gain), gain.asinh()], 1)


def on_a_line() -> tuple[nn.Module, list[float]]:
    """Class 1 from 1/2 on, for images of one pixel, and the list of what it will be asked."""
    model, asked = HalfSpace(torch.ones(1, 1, 1).double(), torch.tensor(0.5).double()), list[float]()
    model.register_forward_hook(lambda module, inputs, output: asked.append(inputs[0].item()))
    return model, asked


def gap(problem: Problem) -> Tensor:
    """How much `x * slope` must gain until an image of `two_classes` fools, (n,)."""
    return -problem[0](problem[1])[:, 1].sinh()


# --- steps inside a ball


@pytest.mark.parametrize("kind", [BIM, MIFGSM])
@pytest.mark.parametrize("steps", [1, 3, 9])
def test_steps_of_one_direction_end_at_the_edge_of_the_ball(kind: Any, steps: int) -> None:
    problem, slope = two_classes()
    linf = attack(kind(norm="linf", eps=0.05, step_size=0.02, steps=steps), problem)
    l2 = attack(kind(norm="l2", eps=0.5, step_size=0.2, steps=steps), problem)
    unit = slope / slope.square().sum().sqrt()
    torch.testing.assert_close(linf, problem[1] + min(0.02 * steps, 0.05) * slope.sign(), rtol=0, atol=1e-12)
    torch.testing.assert_close(l2, problem[1] + min(0.2 * steps, 0.5) * unit, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_begins_at_its_draw_and_ends_at_the_edge(norm: Any) -> None:
    problem, slope = two_classes()
    images, eps = problem[1], {"linf": 0.05, "l2": 0.5}[norm]
    ascent = {"linf": slope.sign(), "l2": slope / slope.square().sum().sqrt()}[norm]
    (near, far) = (attack(PGD(norm=norm, eps=eps, step_size=size, steps=1), problem) for size in (1e-9, 1e3))
    first = norm_of(near - images, norm)
    assert (first <= eps * (1 + 1e-6)).all()
    assert (first > 0.9 * eps).all()  # in 108 dimensions nearly all of a ball is at its edge
    assert near.sub(images).flatten(1).sign().sum(1).abs().max() < 60  # of 108: not all to one side
    torch.testing.assert_close(far, images + eps * ascent, rtol=0, atol=1e-3)
    fixed = attack(PGD(norm=norm, eps=eps, step_size=eps / 4, steps=3, random_start=False), problem)
    torch.testing.assert_close(fixed, images + 0.75 * eps * ascent, rtol=0, atol=1e-12)


def test_momentum_weights_earlier_gradients_by_the_decay() -> None:
    # The first gradient of sizes (3, 1) becomes (3/4, 1/4); behind x0 = 0.5 it turns to (-1, 1), so (-1/2, 1/2).
    class Turning(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a, b = x.flatten(1).unbind(1)
            return torch.stack([torch.zeros_like(a), torch.where(a > 0.5, -a + b, 3 * a + b)], 1)

    problem = Turning(), torch.full((1, 1, 1, 2), 0.5, dtype=torch.float64), torch.tensor([0])
    for decay in (0.0, 0.5, 1.0):
        moved = attack(MIFGSM(norm="l2", eps=1, step_size=0.1, steps=2, decay=decay), problem) - 0.5
        first, second = torch.tensor([0.75, 0.25]).double(), torch.tensor([-0.5, 0.5]).double()
        total = decay * first + second
        expected = 0.1 * (first / first.norm() + total / total.norm())
        torch.testing.assert_close(moved.flatten(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("norm", "kind"), [("linf", "LinfBasicIterativeAttack"), ("l2", "L2BasicIterativeAttack")])
def test_bim_is_foolbox(victim: Problem, norm: Any, kind: str) -> None:
    foolbox, (model, images, labels) = library("foolbox"), victim
    eps, size = {"linf": (0.05, 0.01), "l2": (1.0, 0.2)}[norm]
    judge = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    method = getattr(foolbox.attacks, kind)(abs_stepsize=size, steps=10, random_start=False)
    theirs = method(judge, images, labels, epsilons=eps)[1]
    ours = attack(BIM(norm=norm, eps=eps, step_size=size), victim)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert fools(victim, ours).float().mean() > 0.5


@pytest.mark.parametrize(
    ("spec", "kind", "parameters"),
    [
        (PGD(eps=0.05, step_size=0.01, random_start=False), "PGD", {"steps": 40, "random_start": False}),
        (
            PGD(norm="l2", eps=1, step_size=0.2, steps=9, random_start=False),
            "PGDL2",
            {"steps": 9, "random_start": False},
        ),
        (BIM(eps=0.05, step_size=0.01), "BIM", {"steps": 10}),
        (MIFGSM(eps=0.05, step_size=0.01), "MIFGSM", {"steps": 10, "decay": 1.0}),
        (MIFGSM(eps=0.05, step_size=0.01, decay=0.3), "MIFGSM", {"steps": 10, "decay": 0.3}),
    ],
    ids=str,
)
def test_ascent_is_torchattacks(victim: Problem, spec: Any, kind: str, parameters: dict[str, Any]) -> None:
    model, images, labels = victim
    method = getattr(library("torchattacks"), kind)(model, eps=spec.eps, alpha=spec.step_size, **parameters)
    torch.testing.assert_close(attack(spec, victim), method(images, labels), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "spec", [PGD(eps=1, step_size=1, steps=7), BIM(eps=1, step_size=1, steps=7), DDN(steps=7), FMN(steps=7)], ids=str
)
def test_every_step_is_one_gradient(spec: AttackSpec) -> None:
    problem, _ = two_classes()
    (attacked,) = ATTACKS[spec.family].run(*problem, [spec])
    assert (attacked.steps == 7).all()


# --- the nearest image that fools


@pytest.mark.parametrize(
    ("spec", "within"),
    [
        (DDN(), 1.03),
        (DDN(init_norm=0.01), 1.06),
        (FMN(norm="l2"), 1.002),
        (FMN(norm="linf", step_size=0.3), 1.01),
        (CarliniWagnerLinf(steps=100, initial_const=0.1, decrease_factor=0.97), 1.2),
    ],
    ids=str,
)
def test_the_nearest_boundary_is_found(spec: AttackSpec, within: float) -> None:
    problem, slope = two_classes()
    least = gap(problem) / dual_norm_of(slope[None], spec.norm)
    found = attack(spec, problem)
    assert fools(problem, found).all()
    ratio = norm_of(found - problem[1], spec.norm) / least
    assert (ratio > 1).all()
    assert (ratio < within).all()


@pytest.mark.parametrize("gamma", [0.05, 0.2])
def test_ddn_is_foolbox(victim: Problem, gamma: float) -> None:
    foolbox, (model, images, labels) = library("foolbox"), victim
    judge = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.DDNAttack(steps=50, gamma=gamma)(judge, images, labels, epsilons=None)[1]
    ours = attack(DDN(steps=50, gamma=gamma), victim)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert fools(victim, ours).all()


@pytest.mark.parametrize(("levels", "init_norm"), [(None, 0.3), (256, 1.0), (8, 1.0)])
def test_ddn_is_advlib(victim: Problem, levels: int | None, init_norm: float) -> None:
    theirs = library("advlib").attacks.ddn(*victim, steps=50, levels=levels, init_norm=init_norm)
    ours = attack(DDN(steps=50, levels=levels, init_norm=init_norm), victim)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    if levels is not None:
        changed = fools(victim, ours)
        torch.testing.assert_close(ours[changed] * (levels - 1), (ours[changed] * (levels - 1)).round())


def test_ddn_rounds_to_the_nearest_level() -> None:
    images, labels = mid_grey()
    plain, rounded = (Recorder(images[0] - 0.5) for _ in range(2))
    attack(DDN(steps=2), (plain, images, labels))
    attack(DDN(steps=2, levels=8), (rounded, images, labels))
    assert torch.equal(rounded.asked[1], (plain.asked[1] * 7).round() / 7)


@pytest.mark.parametrize("step_size", [0.3, 0.02])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_fmn_follows_its_formula_along_a_line(norm: Any, step_size: float) -> None:
    # One pixel from 1/4 on, class 1 from 1/2 on: all norms are the distance along the line.
    model, asked = on_a_line()
    image = torch.full((1, 1, 1, 1), 0.25, dtype=torch.float64)
    attack(FMN(norm=norm, steps=50, step_size=step_size, gamma=0.1), (model, image, torch.tensor([0])))
    offset, radius, nearest, expected = 0.0, math.inf, 0.75, []
    for step in range(50):
        expected.append(0.25 + offset)
        fall = (1 + math.cos(math.pi * step / 50)) / 2
        gamma, size = 0.001 + 0.099 * fall, step_size * (0.01 + 0.99 * fall)
        gain = offset - 0.25
        if gain > 0:
            nearest = min(nearest, offset)
            radius = min(radius * (1 - gamma), nearest)
        elif nearest < 0.75:
            radius *= 1 + gamma
        else:
            radius = offset + abs(math.asinh(gain)) * math.sqrt(1 + gain**2)
        offset = min(offset + size, radius)
    assert asked == pytest.approx(expected, abs=1e-12)
    assert nearest < 0.26


@pytest.mark.parametrize("step_size", [1.0, 0.2])
def test_fmn_linf_is_advlib(victim: Problem, step_size: float) -> None:
    theirs = library("advlib").attacks.fmn(*victim, norm=torch.inf, steps=60, α_init=step_size)
    ours = attack(FMN(norm="linf", steps=60, step_size=step_size), victim)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_fmn_l2_is_as_near_as_advlib(victim: Problem) -> None:
    theirs = library("advlib").attacks.fmn(*victim, norm=2, steps=60)
    ours = attack(FMN(norm="l2", steps=60), victim)
    near, reference = (norm_of(found - victim[1], "l2").median() for found in (ours, theirs))
    assert fools(victim, ours).all()
    assert 0.98 * reference < near < 1.02 * reference


def test_fmn_linf_is_as_near_as_foolbox(victim: Problem) -> None:
    foolbox, (model, images, labels) = library("foolbox"), victim
    judge = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.LInfFMNAttack(steps=60)(judge, images, labels, epsilons=None)[1]
    near, far = (norm_of(found - images, "linf") for found in (attack(FMN(norm="linf", steps=60), victim), theirs))
    torch.testing.assert_close(near, far, rtol=0.01, atol=0)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": 0.01, "initial_const": 10.1},
        {"learning_rate": 0.03, "initial_const": 2.0, "abort_early": False},
        {
            "learning_rate": 0.01,
            "initial_const": 2.0,
            "largest_const": 9.0,
            "const_factor": 3.0,
            "decrease_factor": 0.6,
        },
    ],
)
def test_carlini_wagner_linf_is_advlib_image_by_image(exact: Problem, parameters: dict[str, Any]) -> None:
    model, images, labels = exact
    reference = library("advlib").attacks.carlini_wagner_linf
    theirs = [
        reference(model, x[None], y[None], max_iterations=20, **parameters) for x, y in zip(images, labels, strict=True)
    ]
    ours = attack(CarliniWagnerLinf(steps=20, **parameters), exact)
    torch.testing.assert_close(ours, torch.cat(theirs), rtol=0, atol=1e-6)  # its bound and constant are float32
    assert fools(exact, ours).any()


@pytest.mark.parametrize(("factor", "searches"), [(2.0, 3), (3.0, 2), (6.0, 1)])
def test_carlini_wagner_linf_says_how_often_it_asked(factor: float, searches: int) -> None:
    problem, _ = two_classes()
    spec = CarliniWagnerLinf(learning_rate=1e-9, steps=7, initial_const=1.0, largest_const=5.0, const_factor=factor)
    (attacked,) = ATTACKS["carlini_wagner_linf"].run(*problem, [spec])
    assert torch.equal(attacked.images, problem[1])
    assert (attacked.steps == searches * 7).all()


@pytest.mark.parametrize("abort_early", [True, False])
def test_carlini_wagner_linf_follows_its_formula_along_a_line(abort_early: bool) -> None:
    # One pixel from 1/4 on, class 1 from 1/2 on, and so far from 0 and 1 that Adam's path is smooth.
    model, asked = on_a_line()
    spec = CarliniWagnerLinf(learning_rate=0.05, steps=12, initial_const=0.3, largest_const=4, abort_early=abort_early)
    image = torch.full((1, 1, 1, 1), 0.25, dtype=torch.float64)
    (attacked,) = ATTACKS["carlini_wagner_linf"].run(model, image, torch.tensor([0]), [spec])
    w, bound, const, nearest, expected = math.atanh(-0.5 * 0.999999), 1.0, 0.3, 1.0, []
    while bound > 1 / 255 and const < 4:
        mean, square, found = 0.0, 0.0, False
        for step in range(1, 13):
            x = (math.tanh(w) + 1) / 2
            expected.append(x)
            distance, lead = abs(x - 0.25), -math.asinh(x - 0.5)
            if lead < 0 and distance < nearest:
                nearest, found = distance, True
            if abort_early and max(0, distance - bound) + const * max(0, lead) < 1e-4 * const:
                break
            slope = math.copysign(distance >= bound, x - 0.25) - (lead >= 0) * const / math.hypot(1, x - 0.5)
            slope *= 2 * x * (1 - x)
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            w -= 0.05 * mean / (1 - 0.9**step) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        bound, const = (0.9 * min(bound, nearest), const) if found else (bound, 2 * const)
    assert asked == pytest.approx(expected, abs=1e-9)
    assert attacked.steps.item() == len(expected) > 60
    assert norm_of(attacked.images - image, "linf").item() == pytest.approx(nearest)
    assert 0.25 < nearest < 0.26


def test_carlini_wagner_linf_ends_a_search_step_that_is_solved() -> None:
    problem, _ = two_classes()
    early, late = (CarliniWagnerLinf(steps=50, initial_const=1.0, abort_early=abort) for abort in (True, False))
    short, long = ATTACKS["carlini_wagner_linf"].run(*problem, [early, late])
    assert fools(problem, short.images).all()
    assert (short.steps % 50 != 0).all()
    assert (long.steps % 50 == 0).all()


# --- random search


class Recorder(nn.Module):
    """Never fooled: label 0 leads by 100 at least; remembers what it was asked."""

    def __init__(self, slope: Tensor | None = None) -> None:
        super().__init__()
        self.slope, self.asked = slope, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.clone())
        gain = torch.zeros(len(x), dtype=x.dtype) if self.slope is None else (x * self.slope).flatten(1).sum(1)
        return torch.stack([100 + gain * 0, gain], 1)


def mid_grey(n: int = 5, size: int = 12) -> tuple[Tensor, Tensor]:
    images = torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 0.3 + 0.4 * images, torch.zeros(n, dtype=torch.int64)


def test_square_linf_asks_for_squares_of_the_paper_s_sides() -> None:
    images, labels = mid_grey()
    model = Recorder()  # nothing is ever better, so every query is the start and one square
    spec = Square(eps=0.1, steps=1000, p_init=0.5)
    (attacked,) = ATTACKS["square"].run(model, images, labels, [spec])
    start, *queries = model.asked
    assert torch.equal(attacked.images, start)
    assert (attacked.steps == 1000).all()
    assert len(queries) == 999
    torch.testing.assert_close((start - images).abs(), torch.full_like(images, 0.1), rtol=0, atol=1e-12)
    assert torch.equal(start - images > 0, (start - images > 0)[:, :, :1].expand_as(images))  # stripes
    seen, sides = 0.0, []
    for query, asked in enumerate(queries):
        share = 0.5 / 2 ** sum(10 * query > after for after in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
        sides.append(max(round((share * 144) ** 0.5), 1))
        change = asked - images
        torch.testing.assert_close(change.abs(), torch.full_like(change, 0.1), rtol=0, atol=1e-12)
        rows = (asked != start).any(1).any(2).sum(1)  # (n,) all of a square, or none where it is the start again
        assert set(rows.tolist()) <= {0, sides[-1]}
        seen += (rows > 0).double().mean().item() / len(queries)
    assert seen > 0.8
    assert sorted(set(sides), reverse=True) == [8, 6, 4, 3, 2, 1]
    places = torch.stack([(asked != start).any(1)[0] for asked in queries]).double().mean(0)
    assert (places > 0).all()  # every pixel had its turn, those at the edge too


def test_square_linf_finds_the_best_corner_of_the_ball_of_one_pixel() -> None:
    images, labels = mid_grey(size=1)
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64).reshape(3, 1, 1)
    found = attack(Square(norm="linf", eps=0.09, steps=60), (Recorder(slope), images, labels))
    torch.testing.assert_close(found, images + 0.09 * slope.sign(), rtol=0, atol=1e-12)


def test_square_l2_spends_all_of_its_size_and_keeps_what_helps() -> None:
    images, labels = mid_grey()
    slope = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    model = Recorder(slope)
    (attacked,) = ATTACKS["square"].run(model, images, labels, [Square(norm="l2", eps=0.5, steps=200)])
    sizes = torch.cat([norm_of(asked - images, "l2") for asked in model.asked])
    torch.testing.assert_close(sizes, torch.full_like(sizes, 0.5), rtol=1e-9, atol=0)
    gains = torch.stack([((asked - images) * slope).flatten(1).sum(1) for asked in model.asked])
    torch.testing.assert_close(((attacked.images - images) * slope).flatten(1).sum(1), gains.amax(0))
    assert (gains.amax(0) > gains[0] + 0.5).all()


def test_square_l2_begins_with_a_grid_of_peaks_in_the_middle() -> None:
    images, labels = mid_grey()
    start = attack(Square(norm="l2", eps=0.3, steps=1), (Recorder(), images, labels)) - images
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[1:11, 1:11] = True  # 5 x 5 tiles of side 2
    assert (start[..., ~inside].abs() < 1e-12).all()
    tiles = start[..., 1:11, 1:11].unfold(2, 2, 2).unfold(3, 2, 2).reshape(-1, 2, 2) / (0.3 / 75**0.5)
    patterns = torch.stack([sign * turned for sign in (-1, 1) for turned in (peak(2), peak(2).T)])
    which = (tiles[:, None] - patterns).abs().flatten(2).amax(2)  # (tiles, patterns)
    assert (which.amin(1) < 1e-9).all()
    assert (which.argmin(1).bincount() > len(tiles) / 8).all()


@pytest.mark.parametrize("p_init", [0.8, 0.45])
def test_a_move_of_square_l2_is_the_paper_s(p_init: float) -> None:
    images = 1.2 * torch.rand(6, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.1
    model, images = Recorder(), images.clamp(0, 1)
    attack(Square(norm="l2", eps=0.9, steps=2, p_init=p_init), (model, images, torch.zeros(6, dtype=torch.int64)))
    start, query = model.asked
    places, signs = list(product((0, 1), repeat=2)), list(product((-1, 1), repeat=2))
    choices = list(product(places, places, (peak(5), peak(5).T), signs))  # all that can be drawn: the side is 5
    for image, before, after in zip(images, start, query, strict=True):
        moves = torch.stack([moved(before - image, 0.9, *choice) for choice in choices])
        errors = ((image + moves).clamp(0, 1) - after).abs().flatten(1).amax(1)
        assert errors.min() < 1e-12


def moved(change: Tensor, eps: float, first: Any, second: Any, pattern: Tensor, signs: Any) -> Tensor:
    """What one choice of two windows of 5 x 5, a pattern and its signs makes of a change, (c, h, w)."""
    windows = [(slice(top, top + 5), slice(left, left + 5)) for top, left in (first, second)]
    both = torch.zeros(change.shape[1:], dtype=torch.bool)
    for window in windows:
        both[window] = True
    unused = max(eps**2 - change.square().sum().item(), 0) / len(change)
    result = change.clone()
    result[(..., *windows[1])] = 0
    for channel, sign in enumerate(signs):
        there = change[channel][windows[0]]
        fresh = sign * pattern + there / there.norm()
        result[channel][windows[0]] = fresh / fresh.norm() * (change[channel][both].square().sum() + unused).sqrt()
    return eps * result / result.norm()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_stops_asking_for_an_image_that_fools(victim: Problem, norm: Any) -> None:
    model, images, labels = victim
    rows: list[int] = []
    counting = nn.Sequential(model)
    counting.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    spec = Square(norm=norm, eps={"linf": 0.06, "l2": 1.0}[norm], steps=100)
    (attacked,) = ATTACKS["square"].run(counting, images, labels, [spec])
    fooled = fools(victim, attacked.images)
    assert 0 < fooled.sum() < len(images)
    assert (attacked.steps[~fooled] == 100).all()
    assert (attacked.steps[fooled] < 100).any()
    assert sum(rows) == attacked.steps.sum()


@pytest.mark.parametrize("shape", [(3, 3), (5, 9), (9, 5), (12, 12)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_takes_images_of_any_shape(norm: Any, shape: tuple[int, int]) -> None:
    images = torch.full((2, 1, *shape), 0.5)
    labels = torch.zeros(2, dtype=torch.int64)
    found = attack(Square(norm=norm, eps=0.2, steps=30), (Recorder(), images, labels))
    torch.testing.assert_close(norm_of(found - images, norm), torch.full((2,), 0.2))


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "theirs", "eps"), [("linf", "Linf", 0.08), ("l2", "L2", 1.1)])
def test_square_succeeds_and_asks_as_often_as_torchattacks(victim: Problem, norm: Any, theirs: str, eps: float) -> None:
    model, images, labels = victim
    kind = library("torchattacks").Square
    asked, success, ours = [], [], []
    for seed in range(3):
        rows: list[int] = []
        counting = nn.Sequential(model)
        counting.register_forward_hook(lambda module, inputs, output, rows=rows: rows.append(len(output)))
        method = kind(counting, norm=theirs, eps=eps, n_queries=300, resc_schedule=True, loss="margin", seed=seed)
        method.set_device(images.device)
        with torch.random.fork_rng(devices=[]):
            success.append(fools(victim, method(images, labels)).float().mean())
        asked.append(sum(rows) / len(images) - 2)  # it asks for the clean image and for the result too
        ours.append(ATTACKS["square"].run(model, images, labels, [Square(norm=norm, eps=eps, steps=300, seed=seed)])[0])
    rate = torch.stack([fools(victim, attacked.images).float().mean() for attacked in ours]).mean()
    queries = torch.stack([attacked.steps.float().mean() for attacked in ours]).mean()
    assert 0.3 < rate < 0.98
    assert abs(rate - torch.stack(success).mean()) < 0.15
    assert 0.7 < queries / torch.tensor(asked).mean() < 1.2


# --- windows, balls and draws


@given(st.integers(1, 6), st.integers(6, 9), st.integers(6, 9), st.lists(st.floats(0, 1), min_size=2, max_size=2))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_window_is_a_square_inside_the_image(side: int, height: int, width: int, numbers: list[float]) -> None:
    corners = corner(torch.tensor([numbers]), side, (height, width))
    top, left = corners[0].tolist()
    expected = torch.zeros(1, 1, height, width, dtype=torch.bool)
    expected[..., top : top + side, left : left + side] = True
    assert torch.equal(window_at(corners, side, (height, width)), expected)
    assert expected.sum() == side**2


def test_every_corner_is_equally_likely() -> None:
    numbers = (torch.arange(600, dtype=torch.float64) + 0.5) / 600
    places = corner(torch.stack([numbers, numbers], 1), 5, (10, 8))
    assert torch.equal(places[:, 0].bincount(), torch.full((6,), 100))
    assert torch.equal(places[:, 1].bincount(), torch.full((4,), 150))


def test_a_peak_is_the_paper_s() -> None:
    # Side 4: sums of 1 / k**2 for k from the distance to the middle on, in 2 x 4 above and below.
    near, far, farthest = 1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9
    half = torch.tensor([[farthest, far, far, far], [farthest, far, near, far]], dtype=torch.float64)
    expected = torch.cat([half, -half])
    torch.testing.assert_close(peak(4), expected / torch.linalg.vector_norm(expected))
    for side in range(1, 12):
        assert torch.linalg.vector_norm(peak(side)).item() == pytest.approx(1)


def test_a_peak_stands_or_lies_where_it_is_put() -> None:
    corners, numbers = torch.tensor([[1, 2], [0, 3]]), torch.tensor([0.7, 0.2], dtype=torch.float64)
    placed = peak_at(corners, 4, (6, 7), numbers)
    expected = torch.zeros(2, 1, 6, 7, dtype=torch.float64)
    expected[0, 0, 1:5, 2:6] = peak(4)
    expected[1, 0, 0:4, 3:7] = peak(4).T
    assert torch.equal(placed, expected)


offsets = st.lists(st.floats(-3, 3), min_size=4, max_size=4)


@given(offsets, st.floats(0.01, 4), st.sampled_from(["l2", "linf"]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_projection_is_inside_keeps_what_is_inside_and_is_the_nearest(
    values: list[float], radius: float, norm: Any
) -> None:
    offset = torch.tensor([values], dtype=torch.float64).reshape(1, 1, 2, 2)
    inside = project(offset, norm, torch.tensor([radius], dtype=torch.float64))
    size = norm_of(offset, norm).item()
    assert norm_of(inside, norm).item() <= radius * (1 + 1e-12)
    if size <= radius:
        assert torch.equal(inside, offset)
        return
    # The nearest point of a convex set sees all others at a right angle or more.
    corners = radius * torch.cat([torch.eye(4), -torch.eye(4), torch.ones(1, 4) / 2]).double()
    assert ((corners - inside.flatten()) @ (offset - inside).flatten() <= 1e-9).all()


def test_points_are_drawn_evenly_from_the_ball() -> None:
    generator = torch.Generator().manual_seed(0)
    normal_draws = torch.randn(4000, 3, 1, 1, generator=generator, dtype=torch.float64)
    points = point_in_ball(normal_draws, torch.rand(4000, generator=generator, dtype=torch.float64), 2.0)
    share = (norm_of(points, "l2") / 2) ** 3  # of the ball that is nearer to its centre: even from 0 to 1
    levels = torch.linspace(0, 1, 4000, dtype=torch.float64)
    assert (share.sort().values - levels).abs().max() < 1.63 / 4000**0.5  # Kolmogorov and Smirnov at 1 %
    assert points.mean(0).abs().max() < 0.06


def test_a_draw_depends_on_the_image_and_the_specification_alone() -> None:
    images, _ = mid_grey(3)
    spec = GaussianNoise(eps=1)
    draws = normal(generators(images, spec), (50,), images)
    turned = images.flip(0).contiguous(memory_format=torch.channels_last)
    assert torch.equal(normal(generators(turned, spec), (50,), images).flip(0), draws)
    assert not torch.equal(normal(generators(images, GaussianNoise(eps=2)), (50,), images), draws)
    even = uniform(generators(images, spec), (2000,), images)
    assert 0 <= even.min() < 0.01
    assert 0.99 < even.max() <= 1
    assert (even.mean(1) - 0.5).abs().max() < 0.03


def test_a_decay_goes_down_half_a_cosine() -> None:
    assert cosine_decay(3, 1, 0, 10) == 3
    assert cosine_decay(3, 1, 5, 10) == pytest.approx(2)
    assert cosine_decay(3, 1, 10, 10) == pytest.approx(1)


# --- controls


@pytest.mark.parametrize(
    ("kind", "kurtosis"), [(GaussianNoise, 3.0), (UniformNoise, 9 / 5)], ids=["gaussian", "uniform"]
)
def test_noise_has_its_size_and_its_shape(kind: Any, kurtosis: float) -> None:
    images, labels = mid_grey(20)
    noise = attack(kind(eps=0.4), (nn.Identity(), images, labels)) - images
    torch.testing.assert_close(norm_of(noise, "l2"), torch.full((20,), 0.4, dtype=torch.float64), rtol=1e-9, atol=0)
    assert (noise.mean() / noise.std()).abs() < 0.05
    assert abs((noise**4).mean() / noise.square().mean() ** 2 - kurtosis) < 0.2


@pytest.mark.parametrize("amount", [0.01, 0.25, 1.0])
def test_salt_and_pepper_hits_its_share_of_the_pixels(amount: float) -> None:
    images, labels = mid_grey(40)
    found = attack(SaltAndPepper(amount=amount), (nn.Identity(), images, labels))
    hit = (found != images).any(1)
    assert (hit.flatten(1).sum(1) == round(amount * 144)).all()
    grains = found.movedim(1, -1)[hit]  # (hits, channels)
    assert torch.equal(grains, grains[:, :1].expand_as(grains))
    assert ((grains == 0) | (grains == 1)).all()
    assert abs(grains.mean() - 0.5) < 0.2
    where = hit.double().mean(0)
    assert where.max() <= amount + 5 * (amount * (1 - amount) / 40) ** 0.5 + 1e-9  # spread over the image


@pytest.mark.parametrize(("channels", "quality"), [(1, 10), (1, 95), (3, 10), (3, 95)])
def test_jpeg_is_pillow(channels: int, quality: int) -> None:
    images = torch.rand(3, channels, 20, 12, generator=torch.Generator().manual_seed(2))
    found = attack(JPEG(quality=quality), (nn.Identity(), images, torch.zeros(3, dtype=torch.int64)))
    for before, after in zip(images, found, strict=True):
        levels = (before * 255).round().byte().permute(1, 2, 0).numpy().squeeze()
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=quality)
        expected = np.array(Image.open(file)).reshape(20, 12, channels)
        assert np.array_equal((after * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert torch.equal((after * 255).round() / 255, after)


def test_jpeg_knows_grey_and_rgb_alone() -> None:
    images = torch.rand(2, 2, 8, 8)
    with pytest.raises(AttackError, match=r"^expected images of 1 or 3 channels for jpeg, found 2"):
        attack(JPEG(quality=50), (nn.Identity(), images, torch.zeros(2, dtype=torch.int64)))
