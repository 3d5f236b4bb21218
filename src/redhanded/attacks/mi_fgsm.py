"""MI-FGSM: signed or normalised steps along a running sum of gradients."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ascent import STEP_SIZE, AscentSpec, ascend
from redhanded.attacks.gradients import direction
from redhanded.attacks.spec import AttackOutput, Rule
from redhanded.norms import Norm, dual_norm_of, per_image

_TINY = 1e-30  # below any gradient's L1 size that means something, and not zero in float32


class MIFGSM(AscentSpec):
    """Momentum iterative FGSM: BIM along the sum of all gradients so far, each weighted by `decay` >= 0 a step.

    Defaults: `eps` is torchattacks' (that of its PGDL2 in l2); `steps`, `step_size` and `decay` are the paper's.
    """

    family: ClassVar[str] = "mi_fgsm"
    setting_names: ClassVar[tuple[str, ...]] = ("eps", "decay")
    step_size: float = Field(
        default_factory=Rule("eps / steps", lambda given: given["eps"] / given["steps"]), gt=0, description=STEP_SIZE
    )
    decay: float = Field(default=1.0, ge=0, description="weight of the gradients before")


def mi_fgsm(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[MIFGSM]) -> list[AttackOutput]:
    """BIM along a momentum `g <- decay * g + dJ/dx / |dJ/dx|_1` of the cross-entropy's gradients.

    `x <- clip(x0 + project(x + step_size * direction(g) - x0), 0, 1)`, the direction being `sign(g)` in linf and
    `g / |g|` in l2. A gradient of zero adds nothing.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k).
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images, at most `eps` away but for rounding, and the number of gradients: `steps`.

    Paper: Dong, Liao, Pang, Su, Zhu, Hu, Li, "Boosting adversarial attacks with momentum", CVPR 2018.
    """
    images = images.detach()
    return [
        ascend(model, images, labels, attack, images, _Momentum(images, attack.decay, attack.norm))
        for attack in attacks
    ]


class _Momentum:
    """The direction of the gradients seen so far."""

    def __init__(self, like: Tensor, decay: float, norm: Norm) -> None:
        self.sum, self.decay, self.norm = torch.zeros_like(like), decay, norm

    def __call__(self, gradient: Tensor) -> Tensor:
        size = dual_norm_of(gradient, "linf").clamp_min(_TINY)  # (n,) in L1
        self.sum = self.decay * self.sum + gradient / per_image(size, gradient)
        return direction(self.sum, self.norm)
