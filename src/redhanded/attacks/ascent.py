"""Steps of fixed size uphill on the loss inside a ball: the loop that PGD, BIM and MI-FGSM share."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ball import project
from redhanded.attacks.gradients import cross_entropy, logits_and_gradient
from redhanded.attacks.spec import USUAL_EPS, AttackOutput, AttackSpec

STEP_SIZE = "size of a step in `norm`"


class AscentSpec(AttackSpec):
    """`steps` steps of `step_size` > 0 inside the ball of radius `eps` > 0 in `norm`; subclasses default the size."""

    norm: Literal["l2", "linf"] = Field(default="linf", description="of the ball")
    eps: float = Field(default_factory=USUAL_EPS, gt=0, description="radius of the ball")
    steps: int = Field(default=10, gt=0, description="steps")
    step_size: float = Field(gt=0, description=STEP_SIZE)


def ascend(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: AscentSpec,
    start: Tensor,
    direction: Callable[[Tensor], Tensor],
) -> AttackOutput:
    """The last of the points `x <- clip(x0 + project(x + step_size * direction(dJ/dx) - x0), 0, 1)` from `start`."""
    radius = torch.full_like(labels, attack.eps, dtype=images.dtype)  # (n,)
    x = start
    for _ in range(attack.steps):
        gradient = logits_and_gradient(model, x, cross_entropy(labels))[-1]
        offset = x + attack.step_size * direction(gradient) - images
        x = (images + project(offset, attack.norm, radius)).clamp_(0, 1)
    return AttackOutput(x, torch.full_like(labels, attack.steps))
