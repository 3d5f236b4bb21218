"""Lp geometry of images: sizes of perturbations, one number an image."""

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["l2", "linf"]

_ORDERS: dict[str, float] = {"l2": 2.0, "linf": float("inf")}
_DUALS: dict[str, float] = {"l2": 2.0, "linf": 1.0}


def norm_of(perturbation: Tensor, norm: Norm) -> Tensor:
    """Size of each image's perturbation, (n, ...) -> (n,)."""
    return torch.linalg.vector_norm(perturbation, ord=_ORDERS[norm], dim=_inner(perturbation))


def dual_norm_of(gradient: Tensor, norm: Norm) -> Tensor:
    """Size of each image's gradient in the dual norm (L2 -> L2, Linf -> L1), (n, ...) -> (n,)."""
    return torch.linalg.vector_norm(gradient, ord=_DUALS[norm], dim=_inner(gradient))


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value an image so that it broadcasts over the image, (n,) -> (n, 1, 1, 1)."""
    return values.reshape(-1, *([1] * (like.ndim - 1)))


def _inner(images: Tensor) -> tuple[int, ...]:
    return tuple(range(1, images.ndim))  # flattening would copy channels-last memory
