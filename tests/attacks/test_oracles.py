"""The attacks against what is known: closed forms on linear classifiers, Foolbox on a trained network."""

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from redhanded.attacks import FGSM, CarliniWagner, DeepFool
from redhanded.attacks.carlini_wagner import carlini_wagner
from redhanded.attacks.deepfool import deepfool
from redhanded.attacks.fgsm import fgsm
from redhanded.attacks.toolchains import attack_function, installed
from redhanded.core import dual_norm_of, norm_of

with warnings.catch_warnings():  # Foolbox imports a name that SciPy deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

SHAPE = (3, 8, 8)
CLASSES = 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def linear_problem(n: int = 12) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A linear classifier, images in the middle of the box, their classes, the weights (k, c, h, w)."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(CLASSES, 3 * 8 * 8, generator=generator, dtype=torch.float64)
    images = 0.5 + 0.1 * torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    layer = nn.Linear(3 * 8 * 8, CLASSES, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        # The centre of the box is equally likely to be any class, so that every boundary is near.
        layer.bias.copy_(-weight.sum(1) / 2)
    model = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
    return model, images, model(images).argmax(1), weight.reshape(CLASSES, *SHAPE)


def boundary_distance(model: nn.Module, images: Tensor, labels: Tensor, weight: Tensor, norm: str) -> Tensor:
    """Distance to the nearest hyperplane between the label and a rival, (n,): |f_k| / |w_k|_dual."""
    logits = model(images)
    best = torch.full((len(images),), torch.inf, dtype=images.dtype)
    for rival in range(CLASSES):
        gap = logits.gather(1, labels[:, None])[:, 0] - logits[:, rival]
        size = dual_norm_of(weight[rival] - weight[labels], norm)
        best = torch.where(labels == rival, best, torch.minimum(best, gap / size))
    return best


def margin(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the label's, (n,)."""
    logits, own = model(images), labels[:, None]
    return logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own)[:, 0]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.0, 0.02, 0.5])
def test_deepfool_reaches_the_nearest_hyperplane_in_one_step(norm: str, overshoot: float) -> None:
    model, images, labels, weight = linear_problem()
    (attacked,) = deepfool(model, images, labels, [DeepFool(norm=norm, overshoot=overshoot)])
    expected = (1 + overshoot) * (boundary_distance(model, images, labels, weight, norm) + 1e-4)
    torch.testing.assert_close(norm_of(attacked.images - images, norm), expected, rtol=1e-6, atol=0)
    assert (attacked.steps == 1).all()
    assert (margin(model, attacked.images, labels) > 0).all()


def test_deepfool_considers_only_the_candidates() -> None:
    model, images, labels, weight = linear_problem(40)
    everything, two = deepfool(model, images, labels, [DeepFool(), DeepFool(candidates=2)])
    runner_up = model(images).argsort(1, descending=True)[:, 1]
    gap = -margin(model, images, labels)
    expected = 1.02 * (gap / norm_of(weight[runner_up] - weight[labels], "l2") + 1e-4)
    torch.testing.assert_close(norm_of(two.images - images, "l2"), expected, rtol=1e-6, atol=0)
    assert (norm_of(two.images - images, "l2") > norm_of(everything.images - images, "l2") + 1e-3).any()


def test_deepfool_stays_in_the_box_and_says_so_when_it_gives_up() -> None:
    # One pixel decides and must rise above 1, so no image of the box is of another class.
    layer = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0]]))
        layer.bias.copy_(torch.tensor([2.0, 0]))
    model = nn.Sequential(nn.Flatten(), layer)
    images = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    (attacked,) = deepfool(model, images, torch.tensor([0, 0]), [DeepFool(steps=7)])
    assert torch.equal(attacked.images, images)
    assert attacked.steps.tolist() == [7, 7]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_that_keeps_to_the_box_counts_on_the_pixels_that_can_move(norm: Literal["l2", "linf"]) -> None:
    layer = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [-4.0, 1, 1, 1]]))  # the first pixel is black already
        layer.bias.copy_(torch.tensor([1.8, 0]))
    model, label = nn.Sequential(nn.Flatten(), layer), torch.tensor([0])
    images = torch.tensor([[[[0.0, 0.5], [0.5, 0.5]]]], dtype=torch.float64)
    plain, kept = deepfool(model, images, label, [DeepFool(norm=norm, overshoot=0.02, box_from=k) for k in (None, 0)])
    assert (plain.steps.item() > 1, kept.steps.item()) == (True, 1)
    step = 1.02 * (0.3 / 3 + (1e-4 if norm == "linf" else 1e-4 / 3**0.5))  # the three others share the gap of 0.3
    expected = torch.tensor([0, 0.5 + step, 0.5 + step, 0.5 + step], dtype=torch.float64).reshape(1, 1, 2, 2)
    torch.testing.assert_close(kept.images, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_whose_path_keeps_to_the_box_is_adv_libs(
    victim: tuple[nn.Module, Tensor, Tensor], norm: Literal["l2", "linf"]
) -> None:
    if not installed("advlib"):
        pytest.skip("advlib is not installed")
    model, images, labels = victim
    images = (images * 3 - 1).clamp(0, 1)  # half of the pixels black or white
    labels = model(images).argmax(1)
    ours = DeepFool(norm=norm, overshoot=0.3, steps=40, box_from=40)
    theirs = DeepFool(norm=norm, overshoot=0.3, steps=40, toolchain="advlib")
    (expected,) = attack_function(theirs)(model, images, labels, [theirs])
    plain, kept = deepfool(model, images, labels, [ours.model_copy(update={"box_from": None}), ours])
    torch.testing.assert_close(kept.images, expected.images, rtol=0, atol=1e-5)
    if norm == "l2":  # in linf no pixel of these images comes back from the edge
        assert not torch.allclose(plain.images, expected.images, rtol=0, atol=1e-3)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_carlini_wagner_from_deepfools_point_needs_one_short_search(confidence: float) -> None:
    model, images, labels, weight = linear_problem()
    budget: dict[str, Any] = {"learning_rate": 0.01, "confidence": confidence, "steps": 60, "abort_early": False}
    short, plain = (
        CarliniWagner(initial_const=2, binary_search_steps=1, init=init, **budget) for init in ("deepfool", "image")
    )
    from_there, from_here = carlini_wagner(model, images, labels, [short, plain])
    assert (margin(model, from_there.images, labels) > confidence).all()
    found, plain_found = (norm_of(attacked.images - images, "l2") for attacked in (from_there, from_here))
    if confidence == 0:
        assert (found <= 1.02 * boundary_distance(model, images, labels, weight, "l2") + 2e-3).all()
    assert found.median() < plain_found.median()
    (start,) = deepfool(model, images, labels, [DeepFool(overshoot=0.02)])
    assert not any(torch.equal(a, b) for a, b in zip(from_there.images, start.images, strict=True))
    assert (from_there.steps > from_here.steps).all()  # DeepFool's are counted


@pytest.mark.parametrize("confidence", [0.0, 0.5, 2.0])
def test_carlini_wagner_finds_the_nearest_image_of_its_confidence(confidence: float) -> None:
    model, images, labels, weight = linear_problem()
    attack = CarliniWagner(
        learning_rate=0.01, confidence=confidence, steps=300, binary_search_steps=8, initial_const=0.01
    )
    (attacked,) = carlini_wagner(model, images, labels, [attack])
    assert (margin(model, attacked.images, labels) > confidence).all()
    # The nearest image whose margin is the confidence: |f_k| + confidence over |w_k|, for the best rival.
    logits = model(images)
    best = torch.full((len(images),), torch.inf, dtype=images.dtype)
    for rival in range(CLASSES):
        gap = logits.gather(1, labels[:, None])[:, 0] - logits[:, rival] + confidence
        size = norm_of(weight[rival] - weight[labels], "l2")
        best = torch.where(labels == rival, best, torch.minimum(best, gap / size))
    found = norm_of(attacked.images - images, "l2")
    assert (found >= best * (1 - 1e-6)).all()
    assert (found <= best * 1.02 + 2e-3).all()  # Adam's steps of 0.01 do not come to rest nearer than that


def test_carlini_wagner_returns_the_input_where_it_found_nothing() -> None:
    model, images, labels, _ = linear_problem()
    attack = CarliniWagner(learning_rate=1e-6, steps=20, binary_search_steps=3)
    (attacked,) = carlini_wagner(model, images, labels, [attack])
    assert torch.equal(attacked.images, images)
    assert (attacked.steps > 0).all()


def test_carlini_wagner_moves_pixels_that_are_black_or_white() -> None:
    # Class 1 wants the right half brighter than the left, and the image is as far from it as one can be.
    layer = nn.Linear(4, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1, 1, -1], [-1.0, 1, -1, 1]]))
        layer.bias.zero_()
    model = nn.Sequential(nn.Flatten(), layer)
    images = torch.tensor([[[[1.0, 0], [1, 0]]]], dtype=torch.float64)
    attack = CarliniWagner(learning_rate=0.1, steps=600, binary_search_steps=5, initial_const=0.1)
    (attacked,) = carlini_wagner(model, images, torch.tensor([0]), [attack])
    assert norm_of(attacked.images - images, "l2").item() == pytest.approx(1, rel=0.01)  # every pixel to 1/2


def test_carlini_wagner_ends_a_search_step_at_the_first_check_without_progress() -> None:
    model, images, labels, _ = linear_problem()
    frozen = nn.Sequential(model, nn.Linear(CLASSES, CLASSES, dtype=torch.float64)).requires_grad_(False)
    frozen[1].weight.zero_()
    attack = CarliniWagner(steps=50, binary_search_steps=3, confidence=1.0)
    (attacked,) = carlini_wagner(frozen, images, labels, [attack])
    assert attacked.steps.tolist() == [3 * 50 // 10] * len(images)


def test_carlini_wagner_tries_the_largest_constant_in_the_last_of_ten_search_steps() -> None:
    model, images, labels, _ = linear_problem()
    nine, ten = (CarliniWagner(initial_const=1e-30, steps=50, binary_search_steps=searches) for searches in (9, 10))
    failed, succeeded = carlini_wagner(model, images, labels, [nine, ten])
    assert torch.equal(failed.images, images)  # 1e-21 is the largest constant that it came to
    assert (margin(model, succeeded.images, labels) > 0).all()


def test_fgsm_is_one_step_along_the_gradient() -> None:
    model, images, labels, weight = linear_problem()
    attacks = [FGSM(norm="l2", eps=0.3), FGSM(norm="linf", eps=0.02), FGSM(norm="linf", eps=1.0)]
    l2, linf, whole = fgsm(model, images, labels, attacks)
    softmax = model(images).softmax(1)  # the gradient of the cross-entropy is sum_k (p_k - [k = y]) * w_k
    gradient = torch.einsum("nk,kchw->nchw", softmax - F.one_hot(labels, CLASSES), weight)
    unit = gradient / norm_of(gradient, "l2").reshape(-1, 1, 1, 1)
    torch.testing.assert_close(l2.images, images + 0.3 * unit, rtol=0, atol=1e-12)
    assert torch.equal(linf.images, images + 0.02 * gradient.sign())
    assert torch.equal(whole.images, (gradient > 0).double())  # a step of 1 clips every pixel to 0 or 1
    assert all((attacked.steps == 1).all() for attacked in (l2, linf, whole))


@pytest.fixture(scope="module")
def victim() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network trained on noisy prototypes, and 32 images that it gets right."""
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16 * 4 * 4, CLASSES),
        )  # fmt: skip
    prototypes = F.interpolate(torch.rand(CLASSES, 3, 4, 4, generator=generator), size=16, mode="bilinear")

    def batch(n: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(CLASSES, (n,), generator=generator)
        noise = 0.15 * torch.randn(n, 3, 16, 16, generator=generator)
        return (0.25 + 0.5 * prototypes[labels] + noise).clamp(0, 1), labels

    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        images, labels = batch(64)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval().requires_grad_(False)
    images, labels = batch(128)
    right = model(images).argmax(1) == labels
    assert right.sum() >= 32
    return model, images[right][:32], labels[right][:32]


def judge(model: nn.Module) -> foolbox.PyTorchModel:
    return foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.5])
def test_fgsm_linf_is_foolbox_to_the_bit(victim: tuple[nn.Module, Tensor, Tensor], eps: float) -> None:
    model, images, labels = victim
    theirs = foolbox.attacks.LinfFastGradientAttack()(judge(model), images, labels, epsilons=eps)[1]
    (ours,) = fgsm(model, images, labels, [FGSM(norm="linf", eps=eps)])
    assert torch.equal(ours.images, theirs)


@pytest.mark.parametrize("eps", [0.1, 1.0, 5.0])
def test_fgsm_l2_is_foolbox_to_the_last_digit(victim: tuple[nn.Module, Tensor, Tensor], eps: float) -> None:
    model, images, labels = victim
    theirs = foolbox.attacks.L2FastGradientAttack()(judge(model), images, labels, epsilons=eps)[1]
    (ours,) = fgsm(model, images, labels, [FGSM(norm="l2", eps=eps)])
    # Foolbox projects the step back onto the ball it ends on, which rounds once more.
    torch.testing.assert_close(ours.images, theirs, rtol=0, atol=1.2e-7)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("candidates", [None, 3])
def test_deepfool_is_foolbox(
    victim: tuple[nn.Module, Tensor, Tensor], norm: str, overshoot: float, candidates: int | None
) -> None:
    model, images, labels = victim
    kind = {"l2": foolbox.attacks.L2DeepFoolAttack, "linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    attack = kind(overshoot=overshoot, candidates=candidates, loss="logits")
    theirs = attack(judge(model), images, labels, epsilons=None)[1]
    spec = DeepFool(norm=norm, overshoot=overshoot, candidates=candidates)
    (ours,) = deepfool(model, images, labels, [spec])
    assert (margin(model, ours.images, labels) > 0).all()
    torch.testing.assert_close(ours.images, theirs, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "confidence"), [(0.01, 0.0), (0.05, 0.5), (0.01, 1.0)])
def test_carlini_wagner_is_as_near_as_foolbox(
    victim: tuple[nn.Module, Tensor, Tensor], learning_rate: float, confidence: float
) -> None:
    model, images, labels = victim
    shared = {"steps": 60, "binary_search_steps": 4, "confidence": confidence, "initial_const": 0.1}
    attack = foolbox.attacks.L2CarliniWagnerAttack(stepsize=learning_rate, **shared)
    theirs = attack(judge(model), images, labels, epsilons=None)[1]
    (ours,) = carlini_wagner(model, images, labels, [CarliniWagner(learning_rate=learning_rate, **shared)])
    reached = margin(model, ours.images, labels) > confidence - 1e-5
    # Foolbox returns a black image where it found nothing, and may call it a success.
    foolbox_reached = (margin(model, theirs, labels) > confidence - 1e-5) & (theirs.flatten(1).amax(1) > 0)
    assert reached.sum() >= foolbox_reached.sum() >= 24
    both = reached & foolbox_reached
    near, reference = (norm_of(found - images, "l2")[both].median() for found in (ours.images, theirs))
    assert 0.9 * reference < near < 1.05 * reference
