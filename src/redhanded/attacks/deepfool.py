"""DeepFool: step after step to the nearest boundary of the linearised classifier."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.ops.values import column, most, numbers
from redhanded.attacks.spec import AttackOutput, AttackSpec
from redhanded.core import Norm, dual_norm_of, norm_of, per_image
from redhanded.errors import AttackError

_OFFSET = 1e-4  # added to every distance, so that a step lands behind the boundary and not on it
_GUARD = 1e-8  # added to every gradient's size, so that a gradient of zero divides nothing by zero


class DeepFool(AttackSpec):
    """DeepFool in `norm`, at most `steps` steps; each scales the path so far by `1 + overshoot` (>= 0).

    `candidates` limits the classes looked at, the image's own included, to the most likely ones (None: all).
    `box_from` >= 0 makes the path keep to the box [0, 1], and steps from that one on, the first being 0, count on the
    pixels alone that can still move (None: neither).

    Defaults: those of the authors' code and of Foolbox, but for `candidates`, which both set to 10.
    """

    family: ClassVar[str] = "deepfool"
    setting_names: ClassVar[tuple[str, ...]] = ("overshoot",)
    shortcut_names: ClassVar[tuple[str, ...]] = ("candidates", "box_from")
    norm: Literal["l2", "linf"] = Field(default="l2", description="of the distance")
    overshoot: float = Field(default=0.02, ge=0, description="share by which the whole path is lengthened at each step")
    steps: int = Field(default=50, gt=0, description="most steps")
    candidates: int | None = Field(
        default=None, ge=2, description="most likely classes looked at, the own one included; None: all"
    )
    box_from: int | None = Field(
        default=None, ge=0, description="from this step on (the first is 0) a step keeps to pixels that can still move"
    )


def deepfool(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[DeepFool]) -> list[AttackOutput]:
    """Walk to the nearest boundary of the classifier, linearised anew at each step, until the class changes.

    With `f_k = logit_k - logit_label` and `w_k = df_k/dx`, a step goes to the rival `k` with the smallest
    `d_k = |f_k| / |w_k|_dual`: by `(d_k + 1e-4) * w_k / |w_k|` in l2, by `(d_k + 1e-4) * sign(w_k)` in linf.
    The next point is `clip(x0 + (1 + overshoot) * sum of the steps, 0, 1)`. With `box_from` what the clipping took
    off is taken off the sum too, and from that step on `w_k` is 0 where a pixel is at 0 or 1 and would be pushed
    outwards, so that the others make up for it: images with many black pixels need far fewer steps.

    Args:
        model: in evaluation mode, (n, c, h, w) -> logits (n, k), k >= 2.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, the true classes; an image that the model gets wrong is returned as it is.
        attacks: run one after the other.

    Returns:
        For each attack the images (the input itself where the class did not change within `steps` steps) and
        the number of linearisations (gradients of all rivals at one point), 0..steps.

    Raises AttackError where the model has fewer than two classes.

    Paper: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural
    networks", CVPR 2016.
    """
    return [_attack(model, images.detach(), labels, attack) for attack in attacks]


@torch.no_grad()
def _attack(model: nn.Module, images: Tensor, labels: Tensor, attack: DeepFool) -> AttackOutput:
    result, used = images.clone(), torch.zeros_like(labels)
    if not len(images):
        return AttackOutput(result, used)
    active = torch.arange(len(images), device=images.device)  # the rows of the batch still worked on
    x, logits = _forward(model, images)
    if logits.shape[1] < 2:
        raise AttackError(f"expected a model of two or more classes, found {logits.shape[1]}")
    ranked = logits.detach().scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    rivals = ranked[:, : (attack.candidates or logits.shape[1]) - 1]  # (n, candidates - 1); the own class is last
    path, lengthened = torch.zeros_like(images), 1 + column(attack.overshoot, images)
    for step in range(most(attack.steps)):
        inside = attack.box_from is not None and step >= attack.box_from
        holds = (logits.argmax(1) == labels[active]) & (step < numbers(attack.steps, labels)[active])
        # Letting images go costs the rest another forward pass; keeping them costs a backward pass a rival.
        staying = int(holds.sum())
        if (len(holds) - staying) * rivals.shape[1] > staying:
            done = (logits.argmax(1) != labels[active]).nonzero().flatten()
            result[active[done]] = x[done]
            active, path, x, holds = active[holds], path[holds], x[holds], holds[holds]
            if not len(active):
                return AttackOutput(result, used)
            x, logits = _forward(model, x)
        if attack.box_from is not None:
            path = (x - images[active]) / lengthened[active]
        path += _step(x, logits, labels[active], rivals[active], attack.norm, inside)
        moved = (images[active] + lengthened[active] * path).clamp_(0, 1)
        used[active] += holds
        # An image that is done but still in the batch does not move.
        x, logits = _forward(model, torch.where(per_image(holds, x), moved, x))
    fooled = logits.argmax(1) != labels[active]
    result[active[fooled]] = x[fooled]
    return AttackOutput(result, used)


def _forward(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return x, model(x)


def _step(x: Tensor, logits: Tensor, labels: Tensor, rivals: Tensor, norm: Norm, inside: bool) -> Tensor:
    """The step over the nearest linearised boundary, (n, c, h, w)."""
    nearest = torch.full_like(logits[:, 0], torch.inf)  # (n,)
    slope = torch.zeros_like(x)  # the gradient of the nearest rival's gap
    with torch.enable_grad():
        gaps = logits.gather(1, rivals) - logits.gather(1, labels[:, None])  # (n, candidates - 1)
    # One rival after the other: only the best gradient is kept, however many classes there are.
    for rival in range(gaps.shape[1]):
        only = torch.zeros_like(gaps)
        only[:, rival] = 1
        (gradient,) = torch.autograd.grad(gaps, x, only, retain_graph=rival + 1 < gaps.shape[1])
        if inside:  # pixels at 0 or 1 that a step would push outwards cannot move
            gradient = gradient.masked_fill(((x <= 0) & (gradient < 0)) | ((x >= 1) & (gradient > 0)), 0)
        distance = gaps[:, rival].abs() / (dual_norm_of(gradient, norm) + _GUARD)
        closer = (distance < nearest).nonzero().flatten()
        nearest[closer], slope[closer] = distance[closer], gradient[closer]
    size = per_image(nearest + _OFFSET, x)
    return size * slope.sign() if norm == "linf" else size / per_image(norm_of(slope, "l2") + _GUARD, x) * slope
