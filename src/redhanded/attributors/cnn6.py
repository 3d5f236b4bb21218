"""The paper's attributor: a small convolutional network on the image's pixels (Dotter et al. 2021)."""

from typing import ClassVar

import torch
from torch import nn

from redhanded.attributors.base import Knowledge
from redhanded.attributors.network import NetworkAttributor
from redhanded.models import build_network, cnn6


class Cnn6(NetworkAttributor):
    """Six convolutions, two fully connected layers; it sees the image alone.

    `width` multiplies the channels 32, 32, 64, 64, 128, 128 and the 256 hidden units.
    """

    kind: ClassVar[str] = "cnn6"
    knowledge: ClassVar[Knowledge] = "blind"

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        network = build_network(cnn6, self.settings.width, self.shape_, len(self.classes_), mean, deviation)
        return network.to(memory_format=torch.channels_last)
