"""Square windows of images, each image's at its own place, and the pattern of a peak beside a trough."""

from collections.abc import Sequence

import torch
from torch import Tensor


def corner(numbers: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """The upper left corner of a window, each place equally likely, from draws in [0, 1], (n, 2) -> (n, 2) int64."""
    room = numbers.new_tensor([size - side + 1 for size in shape])
    return torch.minimum(numbers * room, room - 1).long()  # a draw of exactly 1 is inside too


def window_at(corners: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """Which pixels are in the window of `side` x `side` at each corner, (n, 2) -> (n, 1, *shape) bool."""
    rows, columns = _inside(corners, shape)
    return (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)


def peak_at(corners: Tensor, side: int, shape: Sequence[int], numbers: Tensor) -> Tensor:
    """`peak` at each corner, zero outside the window, (n, 2) -> (n, 1, *shape).

    numbers: (n,) draws from [0, 1]; below 1/2 the trough is to the right of the peak and not below it.
    """
    rows, columns = (place.clamp(0, side - 1) for place in _inside(corners, shape))
    pattern, lying = peak(side).to(numbers), (numbers < 0.5).reshape(-1, 1, 1, 1)
    turned = torch.where(lying, pattern.T[rows, columns], pattern[rows, columns])
    return turned * window_at(corners, side, shape)


def peak(side: int) -> Tensor:
    """A peak in the upper half of a square, a trough of the same L2 size in the lower, (side, side) of L2 size 1."""
    above = side // 2
    pattern = torch.cat([_unit(_bump(above, side)), -_unit(_bump(side - above, side))])
    return _unit(pattern)


def _bump(height: int, width: int) -> Tensor:
    """At the distance `r` (in the greater of both directions) from the middle: the sum of `1 / k**2` for k > r."""
    rows, columns = ((torch.arange(size) - size // 2).abs() for size in (height, width))
    terms = 1 / torch.arange(1, max(height, width) // 2 + 2, dtype=torch.float64) ** 2
    return terms.flip(0).cumsum(0).flip(0)[torch.maximum(rows[:, None], columns)]


def _unit(pattern: Tensor) -> Tensor:
    return pattern / torch.linalg.vector_norm(pattern)


def _inside(corners: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows (n, 1, height, 1) and columns (n, 1, 1, width) counted from each corner."""
    rows, columns = (torch.arange(size, device=corners.device) for size in shape)
    top, left = corners.reshape(-1, 2, 1, 1, 1).unbind(1)
    return rows[:, None] - top, columns - left
