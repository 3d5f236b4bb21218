"""DDN: gradient steps on a sphere whose radius shrinks after a success and grows after a failure."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.gradients import cosine_decay, cross_entropy, logits_and_gradient, unit
from redhanded.attacks.ops.values import column, going, most, numbers
from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.core import norm_of, per_image

_FIRST, _LAST = 1.0, 0.01  # the step's size at the beginning and at the end
_TINY = 1e-12  # keeps an offset of zero at zero instead of NaN


class DDN(AttackSpec):
    """Decoupled direction and norm: `steps` gradients on a sphere that begins at radius `init_norm` > 0.

    The radius changes by the share `gamma` in (0, 1) at each step. `levels` >= 2 rounds every point to so many
    evenly spaced values, e.g. 256 (None: not at all).

    Defaults: the paper's, as in Foolbox and adv-lib, but for `levels`, which adv-lib sets to 256.
    """

    family: ClassVar[str] = "ddn"
    setting_names: ClassVar[tuple[str, ...]] = ("gamma",)
    norm: Literal["l2"] = Field(default="l2", description="of the distance")
    steps: int = Field(default=100, gt=0, description="gradients")
    gamma: float = Field(default=0.05, gt=0, lt=1, description="change of the radius at each step")
    init_norm: float = Field(default=1.0, gt=0, description="first radius")
    levels: int | None = Field(
        default=None, ge=2, description="values that every point is rounded to, e.g. 256; None: not at all"
    )


def ddn(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[DDN]) -> list[AttackOutput]:
    """Search the nearest image that fools by steps whose direction and size are decided apart.

    With the offset `d = x - x0`, a step adds the unit gradient of the cross-entropy, scaled by a cosine that falls
    from 1 to 0.01; the radius `r` becomes `r * (1 - gamma)` where `x` fools and `r * (1 + gamma)` where not, and
    `x` moves to `clip(x0 + r * d / |d|, 0, 1)`. Of all points looked at the nearest that fools is the result. A
    gradient of zero moves nothing.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k).
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images (the input itself where none fooled) and the number of gradients: `steps`.

    Paper: Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger, "Decoupling direction and norm for efficient
    gradient-based L2 adversarial attacks and defenses", CVPR 2019.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: DDN) -> AttackOutput:
    farthest = norm_of(torch.maximum(images, 1 - images), "l2")  # (n,) to the corner of the box
    radius = numbers(attack.init_norm, images).clone()
    shrink, grow = numbers(1 - attack.gamma, images), numbers(1 + attack.gamma, images)
    x, nearest, distance = images.clone(), images.clone(), farthest.clone()
    for step in range(most(attack.steps)):
        rows = going(attack.steps, step)
        here, offset = x[rows], x[rows] - images[rows]
        logits, _, gradient = logits_and_gradient(model, here, cross_entropy(labels[rows]))
        fools, size = logits.argmax(1) != labels[rows], norm_of(offset, "l2")
        nearer = fools & (size < distance[rows])
        nearest[rows] = torch.where(per_image(nearer, here), here, nearest[rows])
        distance[rows] = torch.where(nearer, size, distance[rows])
        radius[rows] = torch.minimum(radius[rows] * torch.where(fools, shrink[rows], grow[rows]), farthest[rows])
        pace = column(cosine_decay(_FIRST, _LAST, step, attack.steps), images)
        offset = offset + pace[rows] * unit(gradient)
        size = radius[rows] / norm_of(offset, "l2").clamp_min(_TINY)
        moved = (images[rows] + offset * per_image(size, offset)).clamp_(0, 1)
        if attack.levels is not None:
            moved = (moved * (attack.levels - 1)).round_() / (attack.levels - 1)
        x[rows] = moved
    return AttackOutput(nearest, numbers(attack.steps, labels).clone())
