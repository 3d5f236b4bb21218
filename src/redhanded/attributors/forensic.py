"""Ours, blind: a network that sees high-pass residuals beside the image, and pools late."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from redhanded.attributors.network import NetworkAttributor
from redhanded.networks import ConvNorm
from redhanded.residuals import RESIDUALS, ResidualBank
from redhanded.results import Knowledge

_CHANNELS = (48, 48, 64, 96, 96, 128, 128)  # at width 1
_POOLED = (3, 5)  # the convolutions that have an average pooling before them: the first three see every pixel


class Forensic(NetworkAttributor):
    """A residual bank, seven 3x3 convolutions, the mean over the image, one linear layer; it sees the image alone.

    `width` multiplies the channels 48, 48, 64, 96, 96, 128, 128. A perturbation is a weak, fine texture: it is told
    apart in high-pass residuals at full resolution, and its place in the image says little.
    """

    kind: ClassVar[str] = "forensic"
    knowledge: ClassVar[Knowledge] = "blind"

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        layers: list[nn.Module] = [ResidualBank(mean, deviation)]
        inputs = (1 + RESIDUALS) * self.channels_
        for place, count in enumerate(_CHANNELS):
            outputs = max(1, round(count * self.settings.width))
            layers += [nn.AvgPool2d(2)] if place in _POOLED else []
            layers += [ConvNorm(inputs, outputs, 3), nn.ReLU(inplace=True)]
            inputs = outputs
        layers += [_Mean(), nn.Dropout(0.3), nn.Linear(inputs, len(self.classes_))]
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)


class ForensicEach(Forensic):
    """The same layers, to be fitted on each question by itself."""

    kind: ClassVar[str] = "forensic_each"


class _Mean(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c)."""
        return features.mean((2, 3))
