"""Random draws that depend on the image, the attack and its seed alone, never on the image's neighbours."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from redhanded.attacks.spec import AttackSpec
from redhanded.core import seed_for


def generators(images: Tensor, attack: AttackSpec) -> list[np.random.Generator]:
    """One generator an image; its seed is made from the pixels and the specification, `seed` included.

    The device, the type and the memory format of the images do not count, nor does their place in the batch.
    """
    # numpy's generators use all bits of a seed, torch's on the CPU no more than 32.
    values = images.detach().cpu().double().numpy()
    digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in values)
    return [
        np.random.default_rng(seed_for("attack", str(attack.of_image(place)), digest))
        for place, digest in enumerate(digests)
    ]


def uniform(rngs: Sequence[np.random.Generator], shape: Sequence[int], like: Tensor) -> Tensor:
    """Uniform draws from [0, 1] for each image, (n, *shape); 1 itself where the type of `like` rounds to it."""
    return _stack([rng.random(shape) for rng in rngs], shape, like)


def normal(rngs: Sequence[np.random.Generator], shape: Sequence[int], like: Tensor) -> Tensor:
    """Draws from the standard normal distribution for each image, (n, *shape)."""
    return _stack([rng.standard_normal(shape) for rng in rngs], shape, like)


def _stack(draws: Sequence[np.ndarray], shape: Sequence[int], like: Tensor) -> Tensor:
    values = np.array(draws).reshape(len(draws), *shape)  # also where there is no image
    return torch.from_numpy(values).to(like.dtype).to(like.device)
