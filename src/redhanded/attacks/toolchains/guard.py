"""The one check that every image made by a library passes."""

import torch
from torch import Tensor

from redhanded.core import per_image
from redhanded.errors import AttackError


def guard(returned: Tensor, images: Tensor) -> Tensor:
    """Return what a library made of `images`, (n, c, h, w), detached, with their type and device and in [0, 1].

    The input stands in, which counts as a failure, for an image with a value that is not finite and for one that
    is black where the input is not: Foolbox's C&W gives that where it found nothing. Values outside [0, 1] are
    clipped: ART and Foolbox project FGSM's step after the clipping, which can lead out again by a rounding.
    Raises AttackError for images of another shape.
    """
    if returned.shape != images.shape:
        raise AttackError(
            f"expected images of shape {tuple(images.shape)} from the library, found {tuple(returned.shape)}; "
            "check that its version is one that is supported"
        )
    returned = returned.detach().to(images)
    broken = ~returned.isfinite().flatten(1).all(1)  # (n,)
    black = (returned == 0).flatten(1).all(1) & (images != 0).flatten(1).any(1)
    return torch.where(per_image(broken | black, images), images.detach(), returned.clamp(0, 1))
