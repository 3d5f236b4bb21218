"""The one gate that every image of a library passes on its way to us."""

import torch
from torch import Tensor

from redhanded.core import per_image
from redhanded.errors import AttackError


def guard(returned: Tensor, images: Tensor) -> Tensor:
    """What a library made of `images`, with the type, the device and the range of `images`, detached.

    The input stands in, which counts as a failure, for an image with a value that is not finite and for one that
    is black where the input is not: Foolbox's C&W gives that where it found nothing. Values outside [0, 1] are
    clipped: ART and Foolbox project FGSM's step after the clipping, which can lead out again by a rounding.
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
