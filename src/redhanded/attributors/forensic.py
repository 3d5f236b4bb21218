"""Ours, blind: a network that sees, beside the image, high-pass residuals and what lies between grey levels."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from redhanded.attributors.base import Knowledge
from redhanded.attributors.network import NetworkAttributor
from redhanded.attributors.residuals import VIEWS, ResidualBank
from redhanded.models import ConvNorm

# (channels at width 1, stride, whether an average pooling stands before it) of each 3x3 convolution
_LAYERS = ((64, 2, False), (64, 1, False), (128, 1, True), (128, 1, False), (192, 1, True))


class Forensic(NetworkAttributor):
    """A residual bank, five 3x3 convolutions, the mean over the image, one linear layer; it sees the image alone.

    `width` multiplies the channels 64, 64, 128, 128, 192. A perturbation is a weak, fine texture: it is told apart in
    high-pass residuals, in a float image also between the grey levels, and its place in the image says little. The
    first convolution has a stride of 2: it sees every view, and what it leaves is cheap enough to be trained on many
    more images in the same time, which was worth more than its output at full resolution.
    """

    kind: ClassVar[str] = "forensic"
    knowledge: ClassVar[Knowledge] = "blind"

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        layers: list[nn.Module] = [ResidualBank(mean, deviation)]
        inputs = VIEWS * self.channels_
        for count, stride, pooled in _LAYERS:
            outputs = max(1, round(count * self.settings.width))
            layers += [nn.AvgPool2d(2)] if pooled else []
            layers += [ConvNorm(inputs, outputs, 3, stride), nn.ReLU(inplace=True)]
            inputs = outputs
        layers += [_Mean(), nn.Dropout(0.2), nn.Linear(inputs, len(self.classes_))]
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)


class ForensicEach(Forensic):
    """The same layers, to be fitted on each question by itself."""

    kind: ClassVar[str] = "forensic_each"


class _Mean(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c)."""
        return features.mean((2, 3))
