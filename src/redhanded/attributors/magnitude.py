"""The floor: how large the true perturbation is, and nothing else."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from redhanded.attributors.base import Knowledge
from redhanded.attributors.network import NetworkAttributor
from redhanded.attributors.perceptron import perceptron
from redhanded.core import norm_of
from redhanded.sets import Samples

_SMALLEST = 1e-6  # keeps the logarithm of no perturbation finite
_HIDDEN = 64  # at width 1


class Magnitude(NetworkAttributor):
    """Two hidden layers on the logarithms of the L2 and Linf size of the true perturbation.

    What another attributor names better than this one, it does not name by size alone.
    """

    kind: ClassVar[str] = "magnitude"
    knowledge: ClassVar[Knowledge] = "oracle"

    def view(self, samples: Samples) -> Tensor:
        """The two sizes, (n, 2, 1, 1)."""
        sizes = [norm_of(samples.perturbations, "l2"), norm_of(samples.perturbations, "linf")]
        return torch.stack(sizes, 1).clamp_min(_SMALLEST).log()[:, :, None, None]

    def build(self, mean: list[float], deviation: list[float]) -> nn.Module:
        """See NetworkAttributor."""
        return perceptron(mean, deviation, self.channels_, round(_HIDDEN * self.settings.width), len(self.classes_))
