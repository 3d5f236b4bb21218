"""Carlini & Wagner in Linf: every pixel's change is pressed below a bound that shrinks after each success."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.gradients import margin
from redhanded.attacks.ops.tanh_space import to_image, to_tanh_space
from redhanded.attacks.ops.values import numbers
from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.core import norm_of, per_image

_FINEST = 1 / 255  # a bound of one 8-bit level is not tightened any more
_SOLVED = 1e-4  # a loss below this share of the constant is zero
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's usual ones


class CarliniWagnerLinf(AttackSpec):
    """C&W in Linf with Adam's `learning_rate` > 0, in search steps of at most `steps` iterations each.

    The constant begins at `initial_const` > 0 and is multiplied by `const_factor` > 1 after a failure, up to
    `largest_const` > 0; the bound is multiplied by `decrease_factor` in (0, 1) after a success. `abort_early` ends a
    search step when its loss is zero.

    Defaults: adv-lib's.
    """

    family: ClassVar[str] = "carlini_wagner_linf"
    setting_names: ClassVar[tuple[str, ...]] = ("learning_rate",)
    norm: Literal["linf"] = Field(default="linf", description="of the distance")
    learning_rate: float = Field(default=0.01, gt=0, description="Adam's")
    steps: int = Field(default=1000, gt=0, description="most iterations of a search step")
    initial_const: float = Field(default=1e-5, gt=0, description="the first `c`")
    largest_const: float = Field(default=20.0, gt=0, description="the `c` at which an image is given up")
    const_factor: float = Field(default=2.0, gt=1, description="growth of `c` after a failure")
    decrease_factor: float = Field(default=0.9, gt=0, lt=1, description="what is left of the bound after a success")
    abort_early: bool = Field(default=True, description="end a search step when its loss is below `c / 10,000`")


def carlini_wagner_linf(
    model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[CarliniWagnerLinf]
) -> list[AttackOutput]:
    """Minimise `sum max(0, |x' - x| - t) + c * max(0, z_label - max other z)` with `x' = (tanh(w) + 1) / 2`.

    A search step runs Adam over `w` with the bound `t` and the constant `c` fixed, from where the last one ended; it
    ends after `steps` iterations, or with `abort_early` when the loss is below `c / 10,000`. If it found a nearer
    image that fools, `t` becomes `decrease_factor` times its distance, or times `t` where that is less; if not, `c`
    is multiplied by `const_factor`. An image is finished when `t` is at most 1/255 or `c` at least `largest_const`;
    of all points looked at the nearest that fools is the result.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k), k >= 2.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images (the input itself where none fooled) and the number of gradients of all search
        steps together.

    Paper: Carlini, Wagner, "Towards evaluating the robustness of neural networks", IEEE S&P 2017.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


class _State(NamedTuple):
    """The images still worked on, each at its own point of its own search; the first axis is the image."""

    row: Tensor  # (n,) in the batch
    label: Tensor  # (n,)
    image: Tensor  # (n, c, h, w) the clean image
    w: Tensor  # (n, c, h, w) what Adam moves
    mean: Tensor  # (n, c, h, w) Adam's first moment
    square: Tensor  # (n, c, h, w) and its second
    nearest: Tensor  # (n, c, h, w) the nearest image that fools, the input till then
    distance: Tensor  # (n,) its Linf distance, 1 till then
    const: Tensor  # (n,)
    bound: Tensor  # (n,)
    succeeded: Tensor  # (n,) bool: a nearer image that fools in this search step
    step: Tensor  # (n,) int64: iterations in this search step
    used: Tensor  # (n,) int64: gradients in all


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: CarliniWagnerLinf) -> AttackOutput:
    result, used = images.clone(), torch.zeros_like(labels)
    state = _start(images, labels, attack)
    rate, shrink, grow, largest = (
        numbers(value, images)
        for value in (attack.learning_rate, attack.decrease_factor, attack.const_factor, attack.largest_const)
    )
    steps = numbers(attack.steps, labels)
    while len(state.row):
        state, loss, gradient = _look(model, state)
        solved = (loss < _SOLVED * state.const) & attack.abort_early
        state = _adam_step(state, gradient, ~solved, rate[state.row])
        over = solved | (state.step == steps[state.row])
        if not over.any():
            continue
        state = _restart(state, over, shrink[state.row], grow[state.row])
        finished = (state.bound <= _FINEST) | (state.const >= largest[state.row])
        result[state.row[finished]] = state.nearest[finished]
        used[state.row[finished]] = state.used[finished]
        state = _State(*(tensor[~finished] for tensor in state))
    return AttackOutput(result, used)


def _start(images: Tensor, labels: Tensor, attack: CarliniWagnerLinf) -> _State:
    one, count = images.new_ones(len(images)), torch.zeros_like(labels)
    return _State(
        row=torch.arange(len(images), device=images.device),
        label=labels,
        image=images,
        w=to_tanh_space(images),
        mean=torch.zeros_like(images),
        square=torch.zeros_like(images),
        nearest=images,
        distance=one,
        const=one * numbers(attack.initial_const, images),
        bound=one,
        succeeded=one < 0,
        step=count,
        used=count,
    )


def _look(model: nn.Module, state: _State) -> tuple[_State, Tensor, Tensor]:
    """Ask the model at every point; returns the state with new successes, the loss, (n,), and its gradient by `w`."""
    with torch.enable_grad():
        w = state.w.detach().requires_grad_()
        x = to_image(w)
        lead = -margin(model(x), state.label)  # (n,) of the label
        change = (x - state.image).abs()
        excess = (change - per_image(state.bound, x)).clamp_min(0).flatten(1).sum(1)
        loss = excess + state.const * lead.clamp_min(0)
        (gradient,) = torch.autograd.grad(loss.sum(), w)
    x = x.detach()
    distance = norm_of(x - state.image, "linf")
    nearer = (lead.detach() < 0) & (distance < state.distance)
    state = state._replace(
        nearest=torch.where(per_image(nearer, x), x, state.nearest),
        distance=torch.where(nearer, distance, state.distance),
        succeeded=state.succeeded | nearer,
    )
    return state, loss.detach(), gradient


def _adam_step(state: _State, gradient: Tensor, moves: Tensor, learning_rate: Tensor) -> _State:
    step = state.step + 1
    mean = _BETA1 * state.mean + (1 - _BETA1) * gradient
    square = _BETA2 * state.square + (1 - _BETA2) * gradient**2
    size, scale = (per_image(1 - beta ** step.to(gradient.dtype), gradient) for beta in (_BETA1, _BETA2))
    w = state.w - per_image(learning_rate, gradient) / size * mean / ((square / scale).sqrt() + _EPSILON)
    w = torch.where(per_image(moves, w), w, state.w)
    return state._replace(w=w, mean=mean, square=square, step=step, used=state.used + 1)


def _restart(state: _State, over: Tensor, shrink: Tensor, grow: Tensor) -> _State:
    """Move the bound or the constant of the images whose search step is over; Adam forgets them."""
    success, failure, whole = over & state.succeeded, over & ~state.succeeded, per_image(over, state.w)
    tighter = shrink * torch.minimum(state.bound, state.distance)
    return state._replace(
        mean=state.mean.masked_fill(whole, 0),
        square=state.square.masked_fill(whole, 0),
        const=torch.where(failure, grow * state.const, state.const),
        bound=torch.where(success, tighter, state.bound),
        succeeded=state.succeeded & ~over,
        step=state.step.masked_fill(over, 0),
    )
