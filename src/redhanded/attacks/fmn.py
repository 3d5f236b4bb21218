"""FMN: gradient steps in a ball whose radius follows the estimated distance to the boundary."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.ball import project
from redhanded.attacks.ops.gradients import cosine_decay, logits_and_gradient, margin, unit
from redhanded.attacks.ops.values import column, going, most, numbers
from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.core import dual_norm_of, norm_of, per_image

_SHRINKS_TO = 0.01  # the last step's size as a share of the first
_LAST_GAMMA = 0.001
_TINY = 1e-12  # keeps a gradient of zero from dividing


class FMN(AttackSpec):
    """Fast minimum-norm attack: `steps` steps, the first of L2 size `step_size` > 0, the last a hundredth of it.

    The radius of the ball changes at each step by the share `gamma` in [0.001, 1), which falls to 0.001.

    Defaults: Foolbox's; adv-lib takes 10 steps.
    """

    family: ClassVar[str] = "fmn"
    setting_names: ClassVar[tuple[str, ...]] = ("step_size", "gamma")
    norm: Literal["l2", "linf"] = Field(default="l2", description="of the distance")
    steps: int = Field(default=100, gt=0, description="gradients")
    step_size: float = Field(default=1.0, gt=0, description="first step, in L2 in both norms")
    gamma: float = Field(default=0.05, ge=_LAST_GAMMA, lt=1, description="first change of the radius")


def fmn(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[FMN]) -> list[AttackOutput]:
    """Search the nearest image that fools, in a ball that is widened to the boundary and then tightened.

    The margin is `m = max other logit - logit of the label`. Till an image first fools, the radius of its ball is
    `|x - x0| + |m| / |dm/dx|_dual`, the linearised distance to the boundary; then it is `r * (1 + gamma)` where `x`
    does not fool and `min(r * (1 - gamma), the nearest success)` where it does. A step adds `step_size` times the
    L2 unit gradient of `m` (in both norms) and projects onto the ball, then onto [0, 1]. `step_size` and `gamma`
    fall along a cosine. Of all points looked at the nearest that fools is the result.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k), k >= 2.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images (the input itself where none fooled) and the number of gradients: `steps`.

    Paper: Pintor, Roli, Brendel, Biggio, "Fast minimum-norm adversarial attacks through adaptive norm
    constraints", NeurIPS 2021.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: FMN) -> AttackOutput:
    farthest = norm_of(torch.maximum(images, 1 - images), attack.norm)  # (n,) to the corner of the box
    radius, fooled_before = torch.full_like(farthest, torch.inf), torch.zeros_like(labels, dtype=torch.bool)
    x, nearest, distance = images.clone(), images.clone(), farthest.clone()
    for step in range(most(attack.steps)):
        rows = going(attack.steps, step)
        here, offset = x[rows], x[rows] - images[rows]
        _, ahead, slope = logits_and_gradient(model, here, partial(margin, labels=labels[rows]))
        fools, size = ahead > 0, norm_of(offset, attack.norm)
        fooled_before[rows] |= fools
        nearer = fools & (size < distance[rows])
        nearest[rows] = torch.where(per_image(nearer, here), here, nearest[rows])
        distance[rows] = torch.where(nearer, size, distance[rows])
        gamma = cosine_decay(attack.gamma, _LAST_GAMMA, step, attack.steps)
        grow, shrink = numbers(1 + gamma, images)[rows], numbers(1 - gamma, images)[rows]
        boundary = size + ahead.abs() / dual_norm_of(slope, attack.norm).clamp_min(_TINY)
        outside = torch.where(fooled_before[rows], radius[rows] * grow, boundary)
        inside = torch.minimum(radius[rows] * shrink, distance[rows])
        radius[rows] = torch.where(fools, inside, outside).minimum(farthest[rows])
        pace = cosine_decay(attack.step_size, attack.step_size * _SHRINKS_TO, step, attack.steps)
        offset += column(pace, images)[rows] * unit(slope)
        x[rows] = (images[rows] + project(offset, attack.norm, radius[rows])).clamp_(0, 1)
    return AttackOutput(nearest, numbers(attack.steps, labels).clone())
