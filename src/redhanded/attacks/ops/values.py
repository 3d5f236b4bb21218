"""Parameters that are one number for all images of a batch, or one an image."""

from typing import TypeAlias

import torch
from torch import Tensor

from redhanded.core import per_image

_ROWS = 16  # batches of some of the images are multiples of this

Rows: TypeAlias = Tensor | slice  # some images of a batch


def column(value: float | Tensor, images: Tensor) -> Tensor:
    """One value an image that broadcasts over it, of the images' type: a number or (n,) -> (n, 1, 1, 1)."""
    return per_image(numbers(value, images), images)


def numbers(value: float | Tensor, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """One value an image, (n,), on the device of `like`, whose first axis is the image, of its type unless given."""
    return torch.as_tensor(value, dtype=dtype or like.dtype, device=like.device).expand(len(like))


def most(steps: int | Tensor) -> int:
    """The largest number of steps of any image."""
    return int(max(steps.tolist(), default=0)) if isinstance(steps, Tensor) else steps


def going(steps: int | Tensor, step: int) -> Rows:
    """The rows of the images that have a step of this number, counted from 0; the first may stand there again."""
    if not isinstance(steps, Tensor):
        return slice(None)
    rows = (steps > step).nonzero().flatten()
    # Libraries prepare a convolution anew for each size of batch that they have not met: only few sizes are used.
    return torch.cat([rows, rows[:1].expand(-len(rows) % _ROWS)])
