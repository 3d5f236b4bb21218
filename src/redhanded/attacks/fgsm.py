"""FGSM: one step along the gradient of the loss."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.gradients import cross_entropy, direction, logits_and_gradient
from redhanded.attacks.ops.values import column
from redhanded.attacks.spec import USUAL_EPS, AttackOutput, AttackSpec


class FGSM(AttackSpec):
    """Fast gradient (sign) method of size `eps` > 0 in `norm`.

    The size is that of the step: pixels that the step carries out of [0, 1] are clipped, so less may arrive.

    Defaults: `norm` is the paper's; `eps` is torchattacks' (that of its PGDL2 in l2).
    """

    family: ClassVar[str] = "fgsm"
    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    norm: Literal["l2", "linf"] = Field(default="linf", description="of the step")
    eps: float = Field(default_factory=USUAL_EPS, gt=0, description="size of the step, before clipping")


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[FGSM]) -> list[AttackOutput]:
    """One step uphill on the cross-entropy `J`, clipped to [0, 1]; one gradient serves all `attacks`.

    linf: `x + eps * sign(dJ/dx)`; l2: `x + eps * dJ/dx / |dJ/dx|`. A gradient of zero moves nothing.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k).
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: any mix of sizes and norms.

    Returns:
        For each attack its images and the number of gradients used: 1 an image.

    Paper: Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015.
    """
    gradient = logits_and_gradient(model, images, cross_entropy(labels))[-1]  # (n, c, h, w)
    directions = {norm: direction(gradient, norm) for norm in {attack.norm for attack in attacks}}
    return [
        AttackOutput(
            (images + column(attack.eps, images) * directions[attack.norm]).clamp_(0, 1).detach(),
            torch.ones(len(images), dtype=torch.int64, device=images.device),
        )
        for attack in attacks
    ]
