"""The Mahalanobis distance of features to the classes: one normal distribution a class, all of one covariance."""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

ACCEPTED = 0.95  # share of the known that a threshold on a novelty score lets pass


class Gaussians(NamedTuple):
    """Class-conditional normal distributions of features with a shared covariance, fitted before.

    `redhanded.attributors.openset` fits them with pytorch-ood; the score is taken here with the same operations in the
    same order, so that whoever asks for it does not import that library. Lee, Lee, Lee, Shin, "A simple unified
    framework for detecting out-of-distribution samples and adversarial attacks", NeurIPS 2018.
    """

    centres: Tensor  # (classes, f)
    precision: Tensor  # (f, f) inverse of the covariance, up to the number of images; column by column in memory

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_file({"centres": self.centres, "columns": self.precision.T.contiguous()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote, laid out as it was: from another order a product would be rounded otherwise."""
        tensors = load_file(path)
        return cls(tensors["centres"], tensors["columns"].T)

    def score(self, features: Tensor) -> Tensor:
        """Half the squared Mahalanobis distance to the nearest centre, (n, f) -> (n,)."""
        apart = [features - centre for centre in self.centres]
        likelihood = [-0.5 * ((one @ self.precision) * one).sum(dim=1) for one in apart]
        return -torch.stack(likelihood, 1).max(dim=1).values
