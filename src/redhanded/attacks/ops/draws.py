"""Random draws that depend on the image, the attack and its seed alone, never on the image's neighbours."""

import hashlib
from collections.abc import Callable, Sequence

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
    return [np.random.default_rng(seed_for("attack", str(attack), _digest(image))) for image in values]


def uniform(rngs: Sequence[np.random.Generator], shape: Sequence[int], like: Tensor) -> Tensor:
    """Even draws from [0, 1] for each image, (n, *shape); 1 itself where rounding to the type of `like` makes it so."""
    return _stack(rngs, shape, like, lambda rng: rng.random(shape))


def normal(rngs: Sequence[np.random.Generator], shape: Sequence[int], like: Tensor) -> Tensor:
    """Draws from the standard normal distribution for each image, (n, *shape)."""
    return _stack(rngs, shape, like, lambda rng: rng.standard_normal(shape))


def _stack(
    rngs: Sequence[np.random.Generator],
    shape: Sequence[int],
    like: Tensor,
    draw: Callable[[np.random.Generator], np.ndarray],
) -> Tensor:
    values = np.array([draw(rng) for rng in rngs]).reshape(len(rngs), *shape)  # also where there is no image
    return torch.from_numpy(values).to(like.dtype).to(like.device)


def _digest(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
