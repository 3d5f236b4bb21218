"""PGD, BIM and MI-FGSM: steps of fixed size uphill on the loss, projected onto a ball around the image."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.ball import point_in_ball, project
from redhanded.attacks.ops.draws import generators, normal, uniform
from redhanded.attacks.ops.gradients import cross_entropy, direction, logits_and_gradient
from redhanded.attacks.ops.values import Rows, column, going, most, numbers
from redhanded.attacks.spec import USUAL_EPS, AttackOutput, AttackSpec, Rule
from redhanded.core import dual_norm_of, per_image

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
    follow: Callable[[Tensor, Tensor, Rows], Tensor] = lambda followed, gradient, rows: gradient,
) -> AttackOutput:
    """Run `g <- follow(g, dJ/dx)`, `x <- clip(x0 + project(x + step_size * direction(g) - x0), 0, 1)` from `start`.

    `g` is zero at first; the default follows the gradient alone, and `follow` is told the rows of the images that
    still have steps. Returns the last point.
    """
    radius, step_size = numbers(attack.eps, images), column(attack.step_size, images)
    x, followed = start.clone(), torch.zeros_like(images)
    for step in range(most(attack.steps)):
        rows = going(attack.steps, step)
        gradient = logits_and_gradient(model, x[rows], cross_entropy(labels[rows]))[-1]
        followed[rows] = follow(followed[rows], gradient, rows)
        offset = x[rows] + step_size[rows] * direction(followed[rows], attack.norm) - images[rows]
        x[rows] = (images[rows] + project(offset, attack.norm, radius[rows])).clamp_(0, 1)
    return AttackOutput(x, numbers(attack.steps, labels).clone())


class PGD(AscentSpec):
    """Projected gradient ascent: `steps` steps of `step_size` > 0 in the ball of radius `eps` > 0 in `norm`.

    With `random_start` the first point is drawn uniformly from the ball; `seed` >= 0 decides the draw.

    Defaults: `eps` is torchattacks' (that of its PGDL2 in l2), `steps` are Foolbox's in linf and the paper's on MNIST,
    and `step_size` is the paper's where it varies `eps` (2.5 * eps / 100 in 100 steps), which leads to the ball's
    boundary from any point of the ball.
    """

    family: ClassVar[str] = "pgd"
    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    steps: int = Field(default=40, gt=0, description="steps")
    step_size: float = Field(
        default_factory=Rule("2.5 * eps / steps", lambda given: 2.5 * given["eps"] / given["steps"]),
        gt=0,
        description=STEP_SIZE,
    )
    random_start: bool = Field(default=True, description="begin at a random point and not at the image")
    seed: int = Field(default=0, ge=0, description="decides the point")


class BIM(AscentSpec):
    """Basic iterative method: `steps` steps of `step_size` > 0 in the ball of radius `eps` > 0 in `norm`.

    Defaults: `eps` is torchattacks' (that of its PGDL2 in l2), `steps` and `step_size` are Foolbox's.
    """

    family: ClassVar[str] = "bim"
    setting_names: ClassVar[tuple[str, ...]] = ("eps",)
    step_size: float = Field(
        default_factory=Rule("0.2 * eps", lambda given: 0.2 * given["eps"]), gt=0, description=STEP_SIZE
    )


def pgd(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[PGD]) -> list[AttackOutput]:
    """Climb the cross-entropy `J` inside a ball, from a random point of it; the last point is the result.

    `x <- clip(x0 + project(x + step_size * direction - x0), 0, 1)`; linf: the direction is `sign(dJ/dx)` and the
    projection limits each pixel's change to `eps`; l2: `dJ/dx / |dJ/dx|`, and a change longer than `eps` is
    shortened to it. There is no choice of the best point and no early end, as in the paper.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k).
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes.
        attacks: run one after the other.

    Returns:
        For each attack the images, at most `eps` away but for rounding, and the number of gradients: `steps`.

    Paper: Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial
    attacks", ICLR 2018.
    """
    images = images.detach()
    return [ascend(model, images, labels, attack, _start(images, attack)) for attack in attacks]


def bim(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[BIM]) -> list[AttackOutput]:
    """PGD's steps from the clean image itself, without a draw; see `pgd` for the formula and the arguments.

    Returns:
        For each attack the images, at most `eps` away but for rounding, and the number of gradients: `steps`.

    Paper: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", ICLR workshop 2017 (linf).
    """
    images = images.detach()
    return [ascend(model, images, labels, attack, images) for attack in attacks]


def _start(images: Tensor, attack: PGD) -> Tensor:
    if not attack.random_start:
        return images
    rngs, shape = generators(images, attack), images.shape[1:]
    if attack.norm == "linf":
        offset = column(attack.eps, images) * (2 * uniform(rngs, shape, images) - 1)
    else:
        offset = point_in_ball(normal(rngs, shape, images), uniform(rngs, (), images), numbers(attack.eps, images))
    return torch.clamp(images + offset, 0, 1)


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

    def momentum(decay: Tensor) -> Callable[[Tensor, Tensor, Rows], Tensor]:
        def follow(followed: Tensor, gradient: Tensor, rows: Rows) -> Tensor:
            size = dual_norm_of(gradient, "linf").clamp_min(_TINY)  # (n,) in L1
            return decay[rows] * followed + gradient / per_image(size, gradient)

        return follow

    return [ascend(model, images, labels, attack, images, momentum(column(attack.decay, images))) for attack in attacks]
