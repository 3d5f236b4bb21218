"""Gradients with respect to the image, and the directions and losses that several attacks share."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from redhanded.core import Norm, norm_of, per_image

Value: TypeAlias = float | Tensor  # of all images, or (n,) one an image

_TINY = 1e-12  # keeps a gradient of zero at zero instead of NaN


def logits_and_gradient(
    model: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (n, k), loss (n,) and its gradient (n, c, h, w) at the images; `loss` maps logits to (n,)."""
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        logits = model(x)
        values = loss(logits)
        # The sum, not the mean: an image's gradient must not shrink with the number of its neighbours.
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return logits.detach(), values.detach(), gradient


def cross_entropy(labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the cross-entropy of each image's label as a function of the logits, (n, k) -> (n,)."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the label's, above 0 where the image fools, (n, k) -> (n,)."""
    own = labels[:, None]
    return logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own).squeeze(1)


def unit(gradient: Tensor) -> Tensor:
    """Each image's gradient at length 1 in L2; zero stays zero."""
    return gradient * per_image(1 / norm_of(gradient, "l2").clamp_min(_TINY), gradient)


def direction(gradient: Tensor, norm: Norm) -> Tensor:
    """The step of size 1 in `norm` that climbs most: the gradient's sign in linf, its unit vector in l2."""
    return gradient.sign() if norm == "linf" else unit(gradient)


def cosine_decay(first: Value, last: Value, step: int, steps: int | Tensor) -> Value:
    """A value that falls from `first` at step 0 towards `last` at step `steps` along half a cosine.

    A number, or (n,) where one of the others is one value an image; an image whose steps are over stays at `last`.
    """
    if isinstance(steps, Tensor):
        cosine: Value = (math.pi * (step / steps.double()).clamp_max(1)).cos()
    else:
        cosine = math.cos(math.pi * step / steps)
    return last + (first - last) * (1 + cosine) / 2
