"""Carlini & Wagner in L2: the nearest image that is wrong by a margin, found by Adam in tanh space."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.deepfool import DeepFool, deepfool
from redhanded.attacks.ops.tanh_space import to_image, to_tanh_space
from redhanded.attacks.ops.values import most, numbers
from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.core import norm_of, per_image

_CEILING = 1e10  # of the constant
_PROGRESS = 0.9999  # a loss above this share of the last checked one has stalled
_REPEAT_FROM = 10  # with so many search steps the last one repeats the smallest constant that succeeded
_ROWS = 16  # batches of a part of the images are multiples of this
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's usual ones


class CarliniWagner(AttackSpec):
    """C&W with Adam's `learning_rate` > 0 and `confidence` >= 0, the logit margin that counts as a success.

    `binary_search_steps` searches for the constant, from `initial_const` > 0 on, of `steps` iterations each;
    `abort_early` ends a search when the loss has stalled for a tenth of them, which with few and large steps is
    while Adam still swings: switch it off there.

    `init` is where each search begins. "deepfool" is a shortcut of ours: it begins at DeepFool's point, with
    `initial_const` in units of what makes that point the optimum of the linearised problem, so that one search of
    few iterations is enough (with `initial_const` about 2).

    Defaults: those of the authors' code, but for `steps`, of which it has 10,000.
    """

    family: ClassVar[str] = "carlini_wagner"
    setting_names: ClassVar[tuple[str, ...]] = ("learning_rate", "confidence")
    shortcut_names: ClassVar[tuple[str, ...]] = ("init",)
    norm: Literal["l2"] = Field(default="l2", description="of the distance")
    learning_rate: float = Field(default=0.01, gt=0, description="Adam's")
    confidence: float = Field(default=0.0, ge=0, description="the margin that counts as a success")
    steps: int = Field(default=1000, gt=0, description="most iterations of a search step")
    binary_search_steps: int = Field(default=9, gt=0, description="search steps")
    initial_const: float = Field(default=1e-3, gt=0, le=_CEILING, description="the first `c`")
    abort_early: bool = Field(
        default=True, description="end a search step whose loss did not fall by 0.01 % in a tenth of its iterations"
    )
    init: Literal["image", "deepfool"] = Field(
        default="image", description="where a search step starts: the image, or DeepFool's point"
    )


def carlini_wagner(
    model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[CarliniWagner]
) -> list[AttackOutput]:
    """Minimise `|x' - x|^2 + c * max(0, z_label - max other z + confidence)`, `x' = (tanh(w) + 1) / 2`.

    A search step runs Adam over `w` with `c` fixed; it ends after `steps` iterations, or with `abort_early` at one
    of ten checks if this image's loss did not fall by 0.01 %. Then `c` is multiplied by 10 as long as none succeeded
    (up to 1e10), and bisected from then on. A success is a margin above `confidence`; of all of them but the
    beginning the nearest is kept, exactly as the model saw it.

    With `init="deepfool"` the searches begin at the end of DeepFool's path, at distance `d`, and the first `c` is
    `initial_const * 2 * (lead + confidence) * d^2 / lead^2`, where `lead` is `z_label - max other z` of the clean
    image; where DeepFool finds nothing they begin as with "image".

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k), k >= 2.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images (the input itself where none succeeded) and the number of iterations of all
        search steps together, 1..steps * binary_search_steps, DeepFool's linearisations with them.

    Paper: Carlini, Wagner, "Towards evaluating the robustness of neural networks", IEEE S&P 2017.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


class _State(NamedTuple):
    """The images still worked on, each at its own point of its own search; the first axis is the image."""

    row: Tensor  # (n,) in the batch
    label: Tensor  # (n, 1)
    anchor: Tensor  # (n, c, h, w) the clean image on its way through tanh space: within 5e-7 of it
    origin: Tensor  # (n, c, h, w) in tanh space, where every search step starts
    w: Tensor  # (n, c, h, w) what Adam moves
    mean: Tensor  # (n, c, h, w) Adam's first moment
    square: Tensor  # (n, c, h, w) and its second
    nearest: Tensor  # (n, c, h, w) the nearest success of all search steps, the input till then
    distance: Tensor  # (n,) its squared L2 distance, inf where there is none
    start_hinge: Tensor  # (n,) max(0, hinge) at the origin
    start_distance: Tensor  # (n,) squared L2 distance of the origin, 0 unless it is DeepFool's point
    hinge: Tensor  # (n,) at the last iteration, 0 before the first
    hinge_before: Tensor  # (n,) and at the one before it
    checked: Tensor  # (n,) the loss at the last check
    const: Tensor  # (n,)
    lower: Tensor  # (n,) the largest constant that failed
    upper: Tensor  # (n,) the smallest that succeeded
    succeeded: Tensor  # (n,) bool: a success in this search step
    step: Tensor  # (n,) int64: iterations in this search step
    search: Tensor  # (n,) int64: search steps done
    used: Tensor  # (n,) int64: iterations in all


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> AttackOutput:
    result, used = images.clone(), torch.zeros_like(labels)
    adam = _adam_table(attack, images)
    state = _start(model, images, labels, attack)
    steps, searches = numbers(attack.steps, labels), numbers(attack.binary_search_steps, labels)  # (n,)
    checks = (steps // 10).clamp_min(1) if attack.abort_early else steps  # every so many iterations
    confidence = numbers(attack.confidence, images)
    while len(state.row):
        # Every image restarts by itself, so the batch stays full until the last searches; nothing but the
        # checks, which are as far apart for all, needs the host to know where an image stands.
        every, last = checks[state.row], steps[state.row]
        for _ in range(int(torch.minimum(every - state.step % every, last - state.step).min())):
            loss = _iterate(model, state, confidence[state.row], adam)
        due = state.step % every == 0
        stalled = due & ~(loss <= _PROGRESS * state.checked)  # written so that NaN has stalled
        state = state._replace(checked=torch.where(due, loss, state.checked))
        over = stalled | (state.step == last)
        if over.any():
            state = _restart(state, over, searches[state.row])
        finished = state.search == searches[state.row]
        if finished.any():
            result[state.row[finished]] = state.nearest[finished]
            used[state.row[finished]] = state.used[finished]
            state = _State(*(tensor[~finished] for tensor in state))
    return AttackOutput(result, used)


def _start(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagner) -> _State:
    label, anchor = labels[:, None], to_image(to_tanh_space(images))
    confidence = numbers(attack.confidence, images)
    beginning, used, unit = images, torch.zeros_like(labels), torch.ones(())  # the unit of the constant
    if attack.init == "deepfool":
        # The rivals of a near boundary are the likely classes: more of them cost more than the search itself.
        (fooled,) = deepfool(model, images, labels, [DeepFool(norm="l2", overshoot=0.02, candidates=3, box_from=2)])
        lead = _hinge(model(anchor), label, 0.0)
        slope = lead / norm_of(fooled.images - images, "l2")  # NaN or inf where DeepFool found nothing
        # Where the hinge falls evenly, |x' - x|^2 + c * hinge is least where it reaches 0 for this c.
        unit = 2 * (lead + confidence) / slope.square()
        beginning, used, unit = fooled.images, fooled.steps, torch.where(unit > 0, unit, 1)
    origin = to_tanh_space(beginning)
    point = to_image(origin)
    hinge = _hinge(model(point), label, confidence).clamp_min(0)
    distance = norm_of(point - anchor, "l2").square()
    const = (numbers(attack.initial_const, hinge) * unit).clamp_max(_CEILING)
    zeros = torch.zeros_like(hinge)
    return _State(
        row=torch.arange(len(images), device=images.device),
        label=label,
        anchor=anchor,
        origin=origin,
        w=origin.clone(),
        mean=torch.zeros_like(images),
        square=torch.zeros_like(images),
        nearest=images.clone(),
        distance=torch.full_like(hinge, torch.inf),
        start_hinge=hinge,
        start_distance=distance,
        hinge=zeros.clone(),
        hinge_before=zeros.clone(),
        checked=const * hinge + distance,
        const=const,
        lower=zeros,
        upper=torch.full_like(hinge, _CEILING),
        succeeded=zeros.bool(),
        step=torch.zeros_like(labels),
        search=torch.zeros_like(labels),
        used=used.clone(),
    )


def _iterate(model: nn.Module, state: _State, confidence: Tensor, adam: Tensor) -> Tensor:
    """One iteration for every image, in place; returns the loss at the point it started from, (n,)."""
    image = to_image(state.w)
    hinge, gradient = _hinge_gradient(model, image, state, confidence)
    offset = image - state.anchor
    distance = norm_of(offset, "l2").square()  # (n,)
    success = (hinge < 0) & (state.step > 0)
    state.succeeded.logical_or_(success)
    nearer = success & (distance < state.distance)
    torch.where(nearer, distance, state.distance, out=state.distance)
    rows = nearer.nonzero().flatten()
    state.nearest.index_copy_(0, rows, image[rows])
    # d|x' - x|^2/dx' = 2 * offset and dx'/dw = 2 * x' * (1 - x')
    _adam_step(state, gradient.add_(offset, alpha=2).mul_((1 - image).mul_(image)), adam)
    return distance + state.const * hinge.clamp_min(0)


def _hinge_gradient(model: nn.Module, image: Tensor, state: _State, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """The hinge, (n,), and the gradient of `const * max(0, hinge)`, (n, c, h, w).

    Behind the boundary the hinge is flat and the gradient zero, and there most iterations are: such an image needs
    the model's answer alone. Which images those are is known only when the model has answered; so those that are
    likely to be behind are asked first, and the gradient is taken for the others and for those that were not.
    """
    hinge, gradient = torch.zeros_like(state.const), torch.zeros_like(image)
    likely = torch.stack([state.hinge, state.hinge_before, 2 * state.hinge - state.hinge_before]).amin(0) >= 0
    # Libraries prepare a convolution anew for each size of batch that they have not met: only few sizes are used.
    behind = (~likely).nonzero().flatten()
    behind = behind[: len(behind) // _ROWS * _ROWS]
    if len(behind):
        hinge[behind] = _hinge(model(image[behind]), state.label[behind], confidence[behind])
    rows = (hinge >= 0).nonzero().flatten()
    rows = torch.cat([rows, rows[:1].expand(-len(rows) % _ROWS)])  # the first one again
    if len(rows):
        with torch.enable_grad():
            x = image[rows].requires_grad_()
            answer = _hinge(model(x), state.label[rows], confidence[rows])
            (gradient[rows],) = torch.autograd.grad((state.const[rows] * answer.clamp_min(0)).sum(), x)
        hinge[rows] = answer.detach()
    state.hinge_before.copy_(state.hinge)
    state.hinge.copy_(hinge)
    return hinge, gradient


def _hinge(logits: Tensor, label: Tensor, confidence: float | Tensor) -> Tensor:
    """`z_label - max other z + confidence`, below 0 for a success, (n,)."""
    others = logits.scatter(1, label, -torch.inf)  # (n, k)
    return logits.gather(1, label).squeeze(1) - others.amax(1) + confidence


def _adam_table(attack: CarliniWagner, like: Tensor) -> Tensor:
    """Adam's step `t` is `w -= mean / (a_t * sqrt(square) + b_t)`; (n, steps, 2): each image's a_t and b_t.

    `mean` and `square` are those of half the gradient, as `_iterate` gives it.
    """
    steps = range(1, most(attack.steps) + 1)
    means, squares = (like.new_tensor([1 - beta**t for t in steps], dtype=torch.float64) for beta in (_BETA1, _BETA2))
    rate = torch.as_tensor(attack.learning_rate, dtype=torch.float64, device=like.device).reshape(-1, 1) / means
    table = torch.stack([1 / squares.sqrt() / rate, _EPSILON / 2 / rate], 2)
    return table.to(like.dtype).expand(len(like), -1, -1)


def _adam_step(state: _State, gradient: Tensor, adam: Tensor) -> None:
    state.mean.lerp_(gradient, 1 - _BETA1)
    state.square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
    scale, floor = (per_image(column, gradient) for column in adam[state.row, state.step].unbind(1))
    state.w.addcdiv_(state.mean, state.square.sqrt().mul_(scale).add_(floor), value=-1)
    state.step.add_(1)
    state.used.add_(1)


def _restart(state: _State, over: Tensor, searches: Tensor) -> _State:
    """Move the constants of the images whose search step is over, and put them back to their origin."""
    # The smallest constant that succeeds is searched: by factors of ten until one does, then by bisection.
    upper = torch.where(over & state.succeeded, state.const, state.upper)
    lower = torch.where(over & ~state.succeeded, state.const, state.lower)
    const = torch.where(upper < _CEILING, (lower + upper) / 2, state.const * 10).clamp_max(_CEILING)
    const = torch.where((searches >= _REPEAT_FROM) & (state.search + 2 == searches), upper, const)
    const = torch.where(over, const, state.const)
    whole = per_image(over, state.w)
    return state._replace(
        w=torch.where(whole, state.origin, state.w),
        mean=state.mean.masked_fill_(whole, 0),
        square=state.square.masked_fill_(whole, 0),
        hinge=state.hinge.masked_fill_(over, 0),
        hinge_before=state.hinge_before.masked_fill_(over, 0),
        checked=torch.where(over, const * state.start_hinge + state.start_distance, state.checked),
        const=const,
        lower=lower,
        upper=upper,
        succeeded=state.succeeded & ~over,
        step=state.step.masked_fill(over, 0),
        search=state.search + over,
    )
