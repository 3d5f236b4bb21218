"""PGD and BIM: signed or normalised gradient steps, projected onto a ball; PGD begins at a random point of it."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ascent import STEP_SIZE, AscentSpec, ascend
from redhanded.attacks.ball import point_in_ball
from redhanded.attacks.draws import generators, normal, uniform
from redhanded.attacks.gradients import direction
from redhanded.attacks.spec import AttackOutput, Rule


class PGD(AscentSpec):
    """Projected gradient ascent: `steps` steps of `step_size` > 0 in the ball of radius `eps` > 0 in `norm`.

    With `random_start` the first point is drawn evenly from the ball; `seed` >= 0 decides the draw.

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
    return [_climb(model, images.detach(), labels, attack, _start(images.detach(), attack)) for attack in attacks]


def bim(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[BIM]) -> list[AttackOutput]:
    """PGD's steps from the clean image itself, without a draw; see `pgd` for the formula and the arguments.

    Returns:
        For each attack the images, at most `eps` away but for rounding, and the number of gradients: `steps`.

    Paper: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", ICLR workshop 2017 (linf).
    """
    return [_climb(model, images.detach(), labels, attack, images.detach()) for attack in attacks]


def _climb(model: nn.Module, images: Tensor, labels: Tensor, attack: AscentSpec, start: Tensor) -> AttackOutput:
    return ascend(model, images, labels, attack, start, lambda gradient: direction(gradient, attack.norm))


def _start(images: Tensor, attack: PGD) -> Tensor:
    if not attack.random_start:
        return images
    rngs, shape = generators(images, attack), images.shape[1:]
    if attack.norm == "linf":
        offset = attack.eps * (2 * uniform(rngs, shape, images) - 1)
    else:
        offset = point_in_ball(normal(rngs, shape, images), uniform(rngs, (), images), attack.eps)
    return torch.clamp(images + offset, 0, 1)
