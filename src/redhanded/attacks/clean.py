"""A control: images as they are, which attribution must tell from those that were attacked."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from redhanded.attacks.spec import AttackOutput, AttackSpec


class Clean(AttackSpec):
    """Nothing is done."""

    family: ClassVar[str] = "clean"
    setting_names: ClassVar[tuple[str, ...]] = ()
    norm: Literal["none"] = Field(default="none", description="nothing changes")


def clean(model: nn.Module, images: Tensor, labels: Tensor, attacks: Sequence[Clean]) -> list[AttackOutput]:
    """The images themselves; the model is not asked.

    Args:
        model: not used.
        images: (n, c, h, w), floating point, in [0, 1].
        labels: (n,) int64, not used but for their number.
        attacks: each gives the same.

    Returns:
        For each control a copy of the images, and 0 for each: the model was not asked.
    """
    return [AttackOutput(images.detach().clone(), torch.zeros_like(labels)) for _ in attacks]
